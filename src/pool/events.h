/* What event loops of the program are told: how many futures became done, and which tasks with `notify`.
 *
 * Invariant: of the tasks with `notify` that the program has neither been handed nor freed, events.done has those that
 * are done, and events.expected counts the others. */
#ifndef PP_EVENTS_H
#define PP_EVENTS_H

#include "pool/pool.h"

static inline void pp_notify_begin(struct future *future) {
    future->notify = PP_NOTIFIED;
    future->pool->events.expected++;
}

/* The task is done. */
static inline void pp_notify_finish(struct future *future) {
    future->notify = PP_IN_DONE;
    future->pool->events.expected--;
    pp_list_add_back(&future->pool->events.done, &future->link);
}

/* The task is handed out, or given up. */
static inline void pp_notify_end(struct future *future) {
    if (future->notify == PP_NOTIFIED) future->pool->events.expected--;
    else pp_list_remove(&future->pool->events.done, &future->link);
    future->notify = PP_NOT_NOTIFIED;
}

/* Futures that are done, with their callbacks, and were not reported. */
static inline size_t pp_events_unreported(const struct pool *pool) {
    return pool->finished - pool->events.uncalled - pool->events.reported;
}

/* Whether pool_poll() or pool_next_done() would do something: then pool_fd() is readable. */
static inline bool pp_events_wait(const struct pool *pool) {
    const struct pp_events *events = &pool->events;
    return pp_events_unreported(pool) > 0 || (events->uncalled > 0 && !pool->calling) || events->woken ||
           !pp_list_is_empty(&events->done) || pool->jobs.reports_ended > 0;
}

#endif
