/* The reset: the one repair for shared memory that contradicts the caller's own tables; see integrity.h.
 *
 *     caller                         supervisor
 *     PP_RESET            -------->  kills all workers, and starts none
 *                         <--------  a notice of each death, and when no worker is left, PP_ALL_DIED
 *     settles what was open
 *     PP_RESUME           -------->  starts workers again
 *
 * A reset goes on across calls: each call that takes in notices moves it on, and no call blocks for it. Until
 * PP_ALL_DIED the pool works as ever: tasks are submitted, cancelled and killed, outcomes and deaths are taken in. From
 * PP_ALL_DIED to PP_RESUME no worker lives, and the supervisor writes to the workers' half only for a worker that has
 * died or is started. So the caller alone writes there, and sets it back to what it was when the pool was made.
 *
 * What was open ends or goes on as follows. Most of it is settled before PP_ALL_DIED, by the notices of the deaths,
 * which say that a reset was the reason:
 *   - A task that is done is taken in. A task that was killed or overdue ends so, if its worker's record confirms it.
 *   - A task that ran ends as POOL_ECORRUPT, or runs again if it has retries left.
 *   - A task that has not started is sent again, in its old order and in a new generation.
 *   - A task whose word says none of this ends as POOL_ECORRUPT.
 *   - A job's round ends: finished blocks keep their results, and what is left goes to another round.
 *
 * Why resets come to an end: a task or item that is lost again and again before it has started ends as POOL_ECORRUPT
 * (death.h, job_result.h), an item once it has no retries left. And if nothing is completed from one reset to the next,
 * for a few of them, everything in the workers' reach ends so.
 *
 * What else may happen while a reset is under way:
 *   - A worker crashes: its notice says so, as ever.
 *   - Workers scribble on until they are dead: nothing is judged before.
 *   - The supervisor dies: the pool breaks, as ever.
 *   - pool_destroy() ends the supervisor in any state. pool_shutdown() waits for what is open, which moves the reset
 *     on; a supervisor that is to have no workers exits when none lives.
 *   - pool_resize(), and demand for workers that rest: the supervisor notes it, and starts workers after PP_RESUME.
 *   - A worker is killed in its initializer: this does not count as the initializer's failure.
 *
 * A child that a task has moved out of its worker's process group survives. What it then overwrites is found later, as
 * another contradiction.
 * Called by: integrity (begin), collect (finish). */
#ifndef PP_RESET_H
#define PP_RESET_H

#include "pool/pool.h"

/* Grows with each task and item that is completed. */
uint64_t pp_count_completed(const struct pool *pool);
/* Asks the supervisor to kill all workers. If it takes no commands, nothing happens, and the next look tries again. */
void pp_reset_begin(struct pool *pool);
/* All workers have died, and all notices of their deaths were read. */
void pp_reset_finish(struct pool *pool);

#endif
