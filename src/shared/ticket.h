/* A ticket names one use of a slot: the slot in its low half, the generation, which counts the slot's uses, in its high
 * half. A ticket is a hint: the slot's state word (state.h) says whether that use still stands.
 *
 * Invariant: 0 is no ticket, since generations begin at 1. */
#ifndef PP_TICKET_H
#define PP_TICKET_H

#include <stdint.h>

static inline uint64_t pp_ticket(uint32_t slot, uint32_t generation) {
    return (uint64_t)generation << 32 | slot;
}

static inline uint32_t pp_ticket_slot(uint64_t ticket) {
    return (uint32_t)ticket;
}

static inline uint32_t pp_ticket_generation(uint64_t ticket) {
    return (uint32_t)(ticket >> 32);
}

#endif
