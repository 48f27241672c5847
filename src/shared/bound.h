/* The bound of a worker's chunk, as a word: see stretch.h for what it is for.
 *
 * A bound has the number of the position behind the last, its state, and which of the record's two shifts turns the
 * number into a position.
 *
 * Invariant: none; this only takes words apart and puts them together.
 * Called by: record, stretch, claim. */
#ifndef PP_BOUND_H
#define PP_BOUND_H

#include <stdint.h>

/* number 59 bits | PP_BOUND_FENCED | which shift | state 3 bits */
enum pp_bound_state {
    PP_BOUND_NONE,   /* the worker is about to claim */
    PP_BOUND_FIXED,  /* the worker runs all of its chunk; the number says nothing */
    PP_BOUND_OPEN,
    PP_BOUND_HALTED, /* a thief looks; the worker must swap the bound before it begins another position */
    PP_BOUND_CLOSED  /* the worker has died, or must not go on: it is about to be killed */
};
#define PP_BOUND_STATE 7U
#define PP_BOUND_SHIFT 8U
#define PP_BOUND_FENCED 16U
#define PP_BOUND_BITS 5U

static inline enum pp_bound_state pp_bound_state(uint64_t bound) {
    return (enum pp_bound_state)(bound & PP_BOUND_STATE);
}
static inline uint64_t pp_bound_with(uint64_t bound, enum pp_bound_state state) {
    return (bound & ~(uint64_t)PP_BOUND_STATE) | (uint64_t)state;
}
static inline uint64_t pp_bound_number(uint64_t bound) {
    return bound >> PP_BOUND_BITS;
}
/* The position that has this number. */
static inline uint64_t pp_bound_position(uint64_t number, uint64_t shift) {
    return (number - shift) & (UINT64_MAX >> PP_BOUND_BITS);
}

#endif
