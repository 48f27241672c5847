/* Dispatch: how tasks get to the workers, by slots, tickets, and the queue for what finds no room.
 *
 * The ring holds tickets in the order in which they are to start. A task goes straight into it when nothing waits and
 * nothing there has a lower priority; else it goes to the queue. When the first of the queue outranks the last of the
 * ring, the tickets are recalled from the ring and both are merged; from then on, while priorities differ, at most
 * PP_MIXED_DEPTH tickets are sent ahead, so that recalling stays cheap.
 *
 * A result's room of more than a page may be generous (task_resize). Such a task takes its room when it is sent, and
 * gives it up when it is recalled: a task that waits needs none. The first that finds no room is set aside, with those
 * after it that need room, until there is some; others go on. A task that comes after others has its room from the
 * beginning, since what it waits for may be its own inputs, which are freed only once it has run. */
#ifndef PP_DISPATCH_H
#define PP_DISPATCH_H

#include "pool/pool.h"
#include "pool/relations.h"

/* Sends what waits in the queue as far as there is room. */
void pp_dispatch(struct pool *pool);
/* Sends a task on its way for the first time. Returns 0, or POOL_ENOMEM. */
int pp_dispatch_new(struct pool *pool, struct future *future);
/* Takes tickets that no worker has claimed back from the ring, and puts their tasks in front of their equals in the
 * queue. */
void pp_recall_tickets(struct pool *pool);
/* Puts a task that has a slot in front of its equals in the queue, to be sent in a new generation. */
void pp_queue_again(struct pool *pool, struct future *future);
/* The same for a task whose worker died, and sends it. */
void pp_submit_again(struct pool *pool, struct future *future);
/* Sends the ticket of a slot again, for one that may have been lost. */
void pp_ticket_again(struct pool *pool, uint32_t slot);

/* Whether the task takes room for its result only when it is sent. */
static inline bool pp_takes_room_late(const struct future *future) {
    if (future->out_size <= PP_RESULT_PAGE || pp_has_any_size(future)) return false;
    return !(future->relations && future->relations->edges);
}
/* Whether room of that size may be there once the task is the next in turn. */
static inline bool pp_room_may_come(struct pool *pool, size_t size) {
    return size <= pool->shared.arena_size && (pool->open > 0 || pp_heap_has_room(&pool->memory.results, size));
}
/* Fails the first of the tasks that have no room for their results, if nothing is sent: then only the program could
 * make room, and it waits. Returns whether there was one. */
bool pp_fail_hopeless(struct pool *pool);

/* Whether the task's out_size takes the place that a small argument would have in the description. */
static inline bool pp_is_huge(const struct future *future) {
    return future->out_size >= PP_SIZE_ASIDE;
}

#endif
