#include "shared/item_errors.h"

#include <sched.h>
#include <string.h>

#define SPARE 4        /* entries that deaths may cost */
#define MOST_KEPT 1000 /* failures: until the set is full, each that is added looks at all before it */
#define WRITING ((uint64_t)1 << 63)
#define PATIENCE 100 /* tries before an entry that is being written is taken for lost */

bool pp_item_errors_suffice(size_t wanted) {
    return wanted <= MOST_KEPT;
}

uint32_t pp_item_errors_room(size_t wanted) {
    return (uint32_t)(wanted > MOST_KEPT ? MOST_KEPT : wanted < 1 ? 1 : wanted) + SPARE;
}

size_t pp_item_errors_size(uint32_t room) {
    return sizeof(struct pp_item_errors) + room * sizeof(struct pp_item_error);
}

void pp_item_errors_begin(struct pp_item_errors *errors, uint32_t room) {
    atomic_store_explicit(&errors->limit, UINT64_MAX, memory_order_relaxed);
    for (uint32_t i = 0; i < room; i++) atomic_store_explicit(&errors->entries[i].position, 0, memory_order_relaxed);
}

/* Returns the entry that has this position already, since its item was run again; a free entry; or the one with the
 * highest position if that is beyond `position`; NULL if there is none. *seen: the entry's position as it was read. */
static struct pp_item_error *entry_for(struct pp_item_errors *errors, uint32_t room, uint64_t position,
                                       bool writing_too, uint64_t *seen) {
    struct pp_item_error *entry = NULL;
    uint64_t highest = 0;
    for (uint32_t i = 0; i < room; i++) {
        uint64_t there = atomic_load_explicit(&errors->entries[i].position, memory_order_relaxed);
        bool is_it = there == position;
        if (!is_it && there != 0 && ((there & ~WRITING) <= highest || ((there & WRITING) && !writing_too))) continue;
        entry = &errors->entries[i];
        *seen = there;
        if (is_it || there == 0) return entry;
        highest = there & ~WRITING;
    }
    if (highest > position) return entry;
    if (writing_too) atomic_store_explicit(&errors->limit, highest, memory_order_relaxed);
    return NULL;
}

void pp_item_errors_note(struct pp_item_errors *errors, uint32_t room, uint64_t position, int32_t code, int32_t pid,
                         const char *message) {
    uint64_t number = position + 1, seen = 0;
    for (int tries = 0; number <= atomic_load_explicit(&errors->limit, memory_order_relaxed); tries++) {
        struct pp_item_error *entry = entry_for(errors, room, number, tries < PATIENCE, &seen);
        if (!entry || tries > 2 * PATIENCE) return;
        if (seen & WRITING) {
            sched_yield();
            continue;
        }
        /* Acquire: the last writer's message is complete before this one is written. Pairs with the release below. */
        if (!atomic_compare_exchange_strong_explicit(&entry->position, &seen, number | WRITING, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        entry->code = code;
        entry->pid = pid;
        memcpy(entry->message, message, PP_MESSAGE);
        atomic_store_explicit(&entry->position, number, memory_order_release);
        return;
    }
}

const struct pp_item_error *pp_item_errors_find(const struct pp_item_errors *errors, uint32_t room, uint64_t position) {
    for (uint32_t i = 0; i < room; i++)
        if (atomic_load_explicit(&errors->entries[i].position, memory_order_acquire) == position + 1)
            return &errors->entries[i];
    return NULL;
}
