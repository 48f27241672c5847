#include "pool/dispatch.h"

#include <stdio.h>
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
    bool fresh = future->task.tried;
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
    struct pp_shape shape = shape_of(future);
    pp_desc_set_shape(desc, shape);
    if (shape.has_extra) {
        future->relations->extra->in = in;
        in = future->relations->extra;
    }
    desc->fn = task->fn;
    desc->in = in;
    desc->out = future->result ? future->result : future->out_size ? outcome->out : NULL;
    desc->seed = task->seed;
    desc->item = future->index << PP_IN_SIZE_BITS | in_size;
    desc->timeout = task->timeout;
    if (task->cpu_timeout) {
        pool->shared.limits[slot] = (struct pp_limits){task->timeout, task->cpu_timeout};
        desc->timeout = PP_HAS_LIMITS;
    }
    pp_state_submit(&outcome->state, pool->slots.table[slot].generation);
}

/* ---- room for results */

/* Finds room for the result, unless the task has some. */
static inline bool find_room(struct pool *pool, struct future *future) {
    if (future->out_size <= PP_RESULT_PAGE || future->result) return true;
    pool->memory.has_generous = true;
    if (pp_has_any_size(future)) return true;
    future->result = pp_heap_alloc(&pool->memory.results, future->out_size, false);
    return future->result != NULL;
}

static void give_up_room(struct pool *pool, struct future *future) {
    if (!pp_takes_room_late(future)) return;
    pp_heap_free(&pool->memory.results, future->result);
    future->result = NULL;
}

/* Whether a task that is not older and needs room has found none, so that this one must wait behind it. */
static bool others_need_room(const struct pool *pool, const struct future *future) {
    const struct future *first = pp_queue_first(&pool->short_of_room);
    return first && !future->result && pp_takes_room_late(future) && first->task.priority >= future->task.priority;
}

/* Takes the first of the queue out of the way of others. Without private memory it fails. */
static void set_aside(struct pool *pool, struct future *future) {
    pp_queue_remove(&pool->queue, future);
    future->short_of_room = pp_queue_add(&pool->short_of_room, future, false);
    if (!future->short_of_room) pp_future_finish(future, POOL_ENOMEM, NULL);
}

/* Finds room for the next in turn. Returns false if there is none: then the task has been taken out of the way. */
static bool has_room(struct pool *pool, struct future *next) {
    if (next->short_of_room || !others_need_room(pool, next)) {
        if (find_room(pool, next)) return true;
        if (next->short_of_room || pp_heap_has_room(&pool->memory.results, next->out_size)) {
            /* There is room, but no private memory to note it. */
            pp_future_finish(next, POOL_ENOMEM, NULL);
            return false;
        }
    }
    set_aside(pool, next);
    return false;
}

bool pp_fail_hopeless(struct pool *pool) {
    struct future *first = pp_queue_first(&pool->short_of_room);
    uint32_t in_use = pool->slots.fresh - pool->slots.free_count - pool->corpses.slots;
    if (!first || pool->queue.count > 0 || in_use > 0) return false;
    struct pool_failure failure;
    memset(&failure, 0, sizeof failure);
    snprintf(failure.message, sizeof failure.message,
             "the arena has no room for a result of %zu bytes, and nothing runs that could make some: set arena_size",
             first->out_size);
    pp_future_finish(first, POOL_ENOMEM, &failure);
    return true;
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

/* Takes slot and room from a task that is not claimed. Returns false if a worker claims it just now. */
static bool take_back(struct pool *pool, struct future *future) {
    uint32_t slot = future->slot;
    if (!pp_state_cancel(&pool->shared.outcomes[slot].state, pool->slots.table[slot].generation)) return false;
    pp_slot_free(pool, slot);
    give_up_room(pool, future);
    return true;
}

/* Puts the task in front of its equals in the queue. Without memory it is sent out of order, but not lost. */
static void put_in_front(struct pool *pool, struct future *future) {
    if (pp_queue_add(&pool->queue, future, true)) return;
    if (!find_room(pool, future) || !send_ticket(pool, future)) pp_future_finish(future, POOL_ENOMEM, NULL);
}

void pp_recall_tickets(struct pool *pool) {
    struct future *taken = NULL; /* the youngest first */
    uint64_t ticket, left = pp_ring_length(&pool->shared);
    if (left > PP_TICKETS) return; /* a task has overwritten the head; a look finds that */
    /* No more than there were: a task may set the head back all the time. */
    for (; left > 0 && (ticket = pp_ring_recall(&pool->shared)) != 0; left--) {
        const struct pp_slot *slot = &pool->slots.table[pp_ticket_slot(ticket)];
        struct future *future = slot->future;
        /* A ticket may be in the ring twice, or its task may have been cancelled since. */
        if (!future || slot->generation != pp_ticket_generation(ticket) || future->queued || future->is_job) continue;
        uint64_t state =
            atomic_load_explicit(&pool->shared.outcomes[pp_ticket_slot(ticket)].state, memory_order_acquire);
        if (pp_phase_of(state) != PP_PENDING) continue;
        if (pp_takes_room_late(future) && !take_back(pool, future)) continue;
        future->queued = true;
        future->next = taken;
        taken = future;
    }
    while (taken) {
        struct future *future = taken;
        taken = future->next;
        future->queued = false;
        put_in_front(pool, future);
    }
}

/* The first of those set aside, if there is room for it and nothing has a higher priority; else of the queue. */
static struct future *next_in_turn(struct pool *pool) {
    struct future *first = pp_queue_first(&pool->queue), *aside = pp_queue_first(&pool->short_of_room);
    bool outranked = first && aside && first->task.priority > aside->task.priority;
    bool fits = aside && !outranked && pp_heap_has_room(&pool->memory.results, aside->out_size);
    return fits ? aside : first;
}

void pp_dispatch(struct pool *pool) {
    struct future *next = next_in_turn(pool);
    if (!next) return;
    if (outranks_ring(pool, next->task.priority)) pp_recall_tickets(pool);
    uint32_t sent = 0;
    while ((next = next_in_turn(pool)) != NULL) {
        bool mixed = pool->queue.count > 1 || next->task.priority != pool->ring_priority;
        if (mixed && pp_ring_length(&pool->shared) >= PP_MIXED_DEPTH) break;
        if (!has_room(pool, next)) continue;
        if (!send_ticket(pool, next)) {
            if (next->slot == PP_NO_SLOT) give_up_room(pool, next);
            break;
        }
        pp_queue_remove(next->short_of_room ? &pool->short_of_room : &pool->queue, next);
        sent++;
    }
    if (sent) pp_call_workers(pool, sent);
}

/* The task goes straight to the ring if that keeps the order, else to the queue. */
int pp_dispatch_new(struct pool *pool, struct future *future) {
    bool may_go = pool->queue.count == 0 && !outranks_ring(pool, future->task.priority);
    if (may_go && !others_need_room(pool, future) && find_room(pool, future)) {
        if (send_ticket(pool, future)) {
            pp_call_workers(pool, 1);
            return 0;
        }
        give_up_room(pool, future);
    }
    if (!pp_queue_add(&pool->queue, future, false)) return POOL_ENOMEM;
    pp_dispatch(pool);
    return 0;
}

void pp_queue_again(struct pool *pool, struct future *future) {
    /* The slot gets a new generation, so a worker that holds the old ticket finds nothing. */
    pp_slot_free(pool, future->slot);
    give_up_room(pool, future);
    /* It may be in the queue already: its ticket was to be sent again, but the old one was claimed all the same. */
    if (!future->queued) put_in_front(pool, future);
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
