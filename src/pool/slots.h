/* Slots: the places of tasks and jobs that workers can reach. A task has one from its ticket to its end, a job while it
 * has an entry of the job table.
 *
 * Invariant: a slot has a future, or is on the stack of free slots, or withheld (corpse.h), or was never used. Each use
 * has a new generation.
 * Always under the pool's lock. */
#ifndef PP_SLOTS_H
#define PP_SLOTS_H

#include "pool/pool.h"
#include "shared/ticket.h"

#define PP_SLOTS_AHEAD 8U

/* Returns a slot that was never used, or PP_NO_SLOT if there is none. */
uint32_t pp_slot_fresh(struct pool *pool);

/* Prefetches the lines of a slot that will soon be written; workers had them last. bench_limits, "submit" */
static inline void pp_slot_prefetch(const struct pool *pool, uint32_t slot) {
    pp_prefetch_write(&pool->shared.descs[slot]);
    pp_prefetch_write(&pool->shared.outcomes[slot]);
    pp_prefetch(&pool->slots.table[slot]);
}

/* Gives the future a slot. Returns PP_NO_SLOT if none is free. */
static inline uint32_t pp_slot_take(struct pool *pool, struct future *future) {
    uint32_t slot, free = pool->slots.free_count;
    if (free > 0) {
        slot = pool->slots.free[free - 1];
        pool->slots.free_count = free - 1;
        if (free > PP_SLOTS_AHEAD) pp_slot_prefetch(pool, pool->slots.free[free - 1 - PP_SLOTS_AHEAD]);
    } else {
        slot = pp_slot_fresh(pool);
        if (slot == PP_NO_SLOT) return slot;
    }
    struct pp_slot *s = &pool->slots.table[slot];
    s->future = future;
    if (++s->generation == 0) s->generation = 1;
    future->slot = slot;
    return slot;
}

static inline uint64_t pp_slot_ticket(const struct pool *pool, uint32_t slot) {
    return pp_ticket(slot, pool->slots.table[slot].generation);
}

/* The future that the ticket names, or NULL if the slot has been used for another since. */
static inline struct future *pp_slot_future(const struct pool *pool, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket);
    if (slot >= PP_SLOTS || pool->slots.table[slot].generation != pp_ticket_generation(ticket)) return NULL;
    return pool->slots.table[slot].future;
}

/* The future leaves its slot; which is given to others only once it is given back. */
static inline void pp_slot_leave(struct pool *pool, uint32_t slot) {
    pool->slots.table[slot].future->slot = PP_NO_SLOT;
    pool->slots.table[slot].future = NULL;
}

static inline void pp_slot_give_back(struct pool *pool, uint32_t slot) {
    pool->slots.free[pool->slots.free_count++] = slot;
}

static inline void pp_slot_free(struct pool *pool, uint32_t slot) {
    pp_slot_leave(pool, slot);
    pp_slot_give_back(pool, slot);
}

#endif
