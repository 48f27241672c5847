/* Dispatch: how tasks get to the workers, by slots, tickets, and the queue for what finds no room.
 *
 * The ring holds tickets in the order in which they are to start. A task goes straight into it when nothing waits and
 * nothing there has a lower priority; else it goes to the queue. When the first of the queue outranks the last of the
 * ring, the tickets are recalled from the ring and both are merged; from then on, while priorities differ, at most
 * PP_MIXED_DEPTH tickets are sent ahead, so that recalling stays cheap. */
#ifndef PP_DISPATCH_H
#define PP_DISPATCH_H

#include "pool/pool.h"

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

/* Whether the task's out_size takes the place that a small argument would have in the description. */
static inline bool pp_is_huge(const struct future *future) {
    return future->out_size >= PP_SIZE_ASIDE;
}

#endif
