#include "shared/item_errors.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#define SPARE 4        /* places that deaths may cost */
#define MOST_KEPT 1000 /* messages: each costs those that follow a look, until the set is full */
#define WRITING ((uint64_t)1 << 63)
#define PATIENCE 100 /* times that a writer is waited for */

uint32_t pp_item_errors_room(size_t wanted) {
    return (uint32_t)(wanted > MOST_KEPT ? MOST_KEPT : wanted < 1 ? 1 : wanted) + SPARE;
}

size_t pp_item_errors_size(uint32_t room) {
    return sizeof(struct pp_item_errors) + room * sizeof(struct pp_item_error);
}

void pp_item_errors_begin(struct pp_item_errors *flaws, uint32_t room) {
    atomic_store_explicit(&flaws->limit, UINT64_MAX, memory_order_relaxed);
    for (uint32_t i = 0; i < room; i++) atomic_store_explicit(&flaws->places[i].position, 0, memory_order_relaxed);
}

/* A free place, or that of the highest position beyond `position`; NULL: there is none. *seen: what stands there. */
static struct pp_item_error *place_for(struct pp_item_errors *flaws, uint32_t room, uint64_t position, bool writing_too,
                                 uint64_t *seen) {
    struct pp_item_error *place = NULL;
    uint64_t highest = 0;
    for (uint32_t i = 0; i < room; i++) {
        uint64_t there = atomic_load_explicit(&flaws->places[i].position, memory_order_relaxed);
        if (there != 0 && ((there & ~WRITING) <= highest || ((there & WRITING) && !writing_too))) continue;
        place = &flaws->places[i];
        *seen = there;
        if (there == 0) return place;
        highest = there & ~WRITING;
    }
    if (highest > position) return place;
    if (writing_too) atomic_store_explicit(&flaws->limit, highest, memory_order_relaxed);
    return NULL;
}

void pp_item_errors_note(struct pp_item_errors *flaws, uint32_t room, uint64_t position, const char *message) {
    uint64_t number = position + 1, seen = 0;
    for (int tries = 0; number <= atomic_load_explicit(&flaws->limit, memory_order_relaxed); tries++) {
        struct pp_item_error *place = place_for(flaws, room, number, tries < PATIENCE, &seen);
        if (!place || tries > 2 * PATIENCE) return;
        if (seen & WRITING) {
            sched_yield();
            continue;
        }
        /* Acquire: what its last writer wrote comes before what we write; pairs with the release below. */
        if (!atomic_compare_exchange_strong_explicit(&place->position, &seen, number | WRITING, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        place->pid = (int32_t)getpid();
        memcpy(place->message, message, PP_MESSAGE);
        atomic_store_explicit(&place->position, number, memory_order_release);
        return;
    }
}

const struct pp_item_error *pp_item_errors_find(const struct pp_item_errors *flaws, uint32_t room, uint64_t position) {
    for (uint32_t i = 0; i < room; i++)
        if (atomic_load_explicit(&flaws->places[i].position, memory_order_acquire) == position + 1)
            return &flaws->places[i];
    return NULL;
}
