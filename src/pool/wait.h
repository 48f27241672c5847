/* Sleeping until something is done, and waking those that sleep.
 *
 * One thread at a time sleeps in poll(), on the bell and on the lifeline, for all; others sleep on a condition variable
 * until it comes back. Before it sleeps it says in shared memory for which outcome, and looks once more; workers ring
 * the bell only for that. A program that has asked for pool_fd() is waited for at all times.
 *
 * A long sleep is cut at growing intervals to look for what scribbling may have hidden: nothing else would end the
 * wait. While no thread waits, nothing wakes up. */
#ifndef PP_WAIT_H
#define PP_WAIT_H

#include "pool/pool.h"

/* A number that changes with everything that a call may wait for that waits for no future in particular. */
static inline size_t pp_news(const struct pool *pool) {
    return pool->finished + pool->events.wakes;
}

/* What a call waits for: the future is done; or, if that is NULL, pp_news() is not `baseline` any more or nothing is
 * open. Or, whatever it waits for, *stop: not NULL if another thread may end the wait; that thread sets it under the
 * lock and calls pp_wake_waiting(). */
struct pp_goal {
    struct future *future;
    size_t baseline;
    const bool *stop;
};
/* Waits until the goal is reached. Returns 0 or POOL_ETIMEDOUT. Unlocks while it sleeps. deadline: ns of pp_now(); 0:
 * only looks; UINT64_MAX: for ever. */
int pp_wait(struct pool *pool, const struct pp_goal *goal, uint64_t deadline);
/* The deadline of a time-out in ms. */
uint64_t pp_deadline(int timeout);
/* Waits, when the pool has ended, until calls of other threads that have stepped out have come back. */
void pp_await_others(struct pool *pool);
/* Breaks the pool if its supervisor has gone, unless all workers have retired; lets a stopped supervisor go on. Returns
 * whether it has gone. */
bool pp_check_supervisor(struct pool *pool);

#endif
