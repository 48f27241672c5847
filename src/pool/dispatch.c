#include "pool/dispatch.h"

#include <string.h>

#include "pool/demand.h"
#include "pool/finish.h"
#include "pool/relations.h"
#include "pool/slots.h"
#include "shared/ring.h"
#include "shared/state.h"

#define PP_MIXED_DEPTH 256

/* ---- what workers are told */

static struct pp_shape shape_of(const struct future *future) {
    uint32_t size = pp_is_huge(future) ? PP_SIZE_ASIDE : (uint32_t)future->out_size;
    bool has_extra = future->relations && future->relations->extra;
    bool fresh = future->task.tries > 0;
    return (struct pp_shape){.has_extra = has_extra, .fresh = fresh, .out_size = size & PP_SIZE_ASIDE};
}

/* Copies word by word: most arguments are of one word, which was written a moment ago, and a wider load would wait
 * until that store has reached the cache. bench_limits, "submit" */
static const void *copy_small(unsigned char *to, const unsigned char *from, size_t size) {
    enum { WORD = 8 };
    _Static_assert(PP_INLINE_IN == 2 * WORD, "the second is the rest");
    memcpy(to, from, WORD);
    if (size > WORD) memcpy(to + WORD, from + WORD, WORD);
    return to;
}

static void describe(struct pool *pool, struct future *future) {
    uint32_t slot = future->slot;
    struct pp_desc *desc = &pool->shared.descs[slot];
    struct pp_outcome *outcome = &pool->shared.outcomes[slot];
    const struct pp_task *task = &future->task;
    const void *in = task->in;
    if (in == future->small) in = copy_small(desc->argument, future->small, task->in_size);
    if (pp_is_huge(future)) memcpy(desc->argument, &(uint64_t){future->out_size}, sizeof(uint64_t));
    uint64_t in_size = task->in_size;
    if (in_size >= PP_IN_SIZE_ASIDE) { /* so the argument lies elsewhere */
        memcpy(desc->argument + sizeof in_size, &in_size, sizeof in_size);
        in_size = PP_IN_SIZE_ASIDE;
    }
    desc->shape = shape_of(future);
    if (desc->shape.has_extra) {
        future->relations->extra->in = in;
        in = future->relations->extra;
    }
    desc->fn = task->fn;
    desc->in = in;
    desc->out = future->result ? future->result : future->out_size ? outcome->out : NULL;
    desc->seed = task->seed;
    desc->item = future->index << PP_IN_SIZE_BITS | in_size;
    desc->timeout = task->timeout;
    pp_state_submit(&outcome->state, pool->slots.table[slot].generation);
}

/* ---- dispatch */

static inline bool push_ticket(struct pool *pool, uint32_t slot) {
    return pp_ring_push(&pool->shared, pp_slot_ticket(pool, slot));
}

/* Gives the future a slot and sends its ticket. Returns false if there is no room. It is inline because compilers do
 * not inline it by themselves: bench_limits, "submit". */
static inline bool send_ticket(struct pool *pool, struct future *future) {
    if (pp_ring_is_full(&pool->shared)) return false;
    if (future->slot == PP_NO_SLOT) {
        if (pp_slot_take(pool, future) == PP_NO_SLOT) return false;
        describe(pool, future);
    }
    push_ticket(pool, future->slot);
    if (++pool->sends == 2) atomic_store_explicit(&pool->shared.control->one_by_one, 0, memory_order_relaxed);
    pool->ring_priority = future->task.priority;
    return true;
}

static bool outranks_ring(const struct pool *pool, int priority) {
    return priority > pool->ring_priority && !pp_ring_is_empty(&pool->shared);
}

void pp_recall_tickets(struct pool *pool) {
    struct future *taken = NULL; /* the youngest first */
    uint64_t ticket;
    while ((ticket = pp_ring_recall(&pool->shared)) != 0) {
        const struct pp_slot *slot = &pool->slots.table[pp_ticket_slot(ticket)];
        struct future *future = slot->future;
        /* A ticket may be in the ring twice, or its task may have been cancelled since. */
        if (!future || slot->generation != pp_ticket_generation(ticket) || future->queued || future->is_job) continue;
        uint64_t state =
            atomic_load_explicit(&pool->shared.outcomes[pp_ticket_slot(ticket)].state, memory_order_acquire);
        if (pp_phase_of(state) != PP_PENDING) continue;
        future->queued = true;
        future->next = taken;
        taken = future;
    }
    while (taken) {
        struct future *future = taken;
        taken = future->next;
        future->queued = false;
        if (!pp_queue_add(&pool->queue, future, true)) send_ticket(pool, future); /* out of order, but not lost */
    }
}

void pp_dispatch(struct pool *pool) {
    struct future *first = pp_queue_first(&pool->queue);
    if (!first) return;
    if (outranks_ring(pool, first->task.priority)) pp_recall_tickets(pool);
    uint32_t sent = 0;
    while ((first = pp_queue_first(&pool->queue)) != NULL) {
        bool mixed = pool->queue.count > 1 || first->task.priority != pool->ring_priority;
        if (mixed && pp_ring_length(&pool->shared) >= PP_MIXED_DEPTH) break;
        if (!send_ticket(pool, first)) break;
        pp_queue_remove(&pool->queue, first);
        sent++;
    }
    if (sent) pp_call_workers(pool, sent);
}

/* The task goes straight to the ring if that keeps the order, else to the queue. */
int pp_dispatch_new(struct pool *pool, struct future *future) {
    if (pool->queue.count == 0 && !outranks_ring(pool, future->task.priority) && send_ticket(pool, future)) {
        pp_call_workers(pool, 1);
        return 0;
    }
    if (!pp_queue_add(&pool->queue, future, false)) return POOL_ENOMEM;
    pp_dispatch(pool);
    return 0;
}

void pp_queue_again(struct pool *pool, struct future *future) {
    /* The slot gets a new generation, so a worker that holds the old ticket finds nothing. */
    pp_slot_free(pool, future->slot);
    /* It may be in the queue already: its ticket was to be sent again, but the old one was claimed all the same. */
    bool waits = future->queued || pp_queue_add(&pool->queue, future, true);
    if (!waits && !send_ticket(pool, future)) pp_future_finish(future, POOL_ENOMEM, NULL);
}

void pp_submit_again(struct pool *pool, struct future *future) {
    pp_queue_again(pool, future);
    pp_dispatch(pool);
}

void pp_ticket_again(struct pool *pool, uint32_t slot) {
    struct future *future = pool->slots.table[slot].future;
    if (future->queued) return;
    if (!push_ticket(pool, slot)) pp_queue_add(&pool->queue, future, true);
    pp_call_workers(pool, 1);
}
