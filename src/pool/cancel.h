/* Cancelling and killing single tasks. */
#ifndef PP_CANCEL_H
#define PP_CANCEL_H

#include "pool/pool.h"

/* Ends a task that is not done and has not started. Returns 0, or POOL_EBUSY if it has started. */
int pp_task_cancel(struct pool *pool, struct future *future);
/* Kills the worker that runs the task, if one does; the task is done when its worker has died. */
void pp_task_kill(struct pool *pool, struct future *future);
/* Ends a task that is not done: cancels it or, if it has started, kills it. */
static inline void pp_task_stop(struct pool *pool, struct future *future) {
    if (pp_task_cancel(pool, future)) pp_task_kill(pool, future);
}
/* Kills the worker, of the life, that a state word names: the caller has swapped the word from `running` to KILLED. */
void pp_kill_worker(struct pool *pool, uint64_t running);
/* Kills a worker that runs nothing, by all that is known, if it has taken no step since its record had this trace. */
void pp_kill_stray(struct pool *pool, uint32_t worker, uint32_t trace);

#endif
