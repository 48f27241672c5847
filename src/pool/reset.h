/* The reset: the one repair for shared memory that contradicts the caller's own tables; see integrity.h.
 *
 *   caller      PP_RESET ->  supervisor   kills all workers, and starts none
 *               <- notices of their deaths, and after the last of them PP_ALL_DIED
 *   caller      sets back what workers can write, and settles what was open
 *               PP_RESUME ->              starts workers again
 *
 * The reset goes on across calls: each that takes in notices moves it on, and none waits for it. Until PP_ALL_DIED the
 * pool works as ever: tasks are submitted, cancelled and killed, outcomes and deaths are taken in. No worker lives from
 * PP_ALL_DIED to PP_RESUME, and the supervisor writes to the workers' half only when a worker has died, before its
 * notice of PP_ALL_DIED, or when one is started, so the caller alone writes there.
 *
 * What becomes of what is open:
 *   - A task that is done is taken in. One that was killed or overdue ends so.
 *   - A task that ran ends as POOL_ECORRUPT, or runs again if it has retries left. So does one whose word makes no
 *     sense. Most of them end earlier, with the notice of their worker's death, which says that a reset killed it.
 *   - A task that has not started is sent again, in a new generation and in the order in which it was sent first.
 *   - A round of a job ends: its finished blocks keep their results, and the rest is left for the next round.
 *
 * Why it ends: a task or item that is lost again and again before it has started ends as POOL_ECORRUPT by itself
 * (death.h, job_result.h). If resets follow each other and nothing is completed in between, everything that is in the
 * workers' reach ends so.
 *
 * What may happen meanwhile:
 *   - A worker dies by itself or is killed on request: its notice says so, as ever.
 *   - A second contradiction: workers write until they are dead, and nothing is judged before.
 *   - The supervisor dies: the pool breaks as ever, and with it the reset.
 *   - pool_destroy(): PP_END ends the supervisor in any state. pool_shutdown() waits for what is open, which moves the
 *     reset on; a supervisor that is to have no workers exits when none lives.
 *   - pool_resize(), and workers that rest: the supervisor notes what it is told, and starts workers after PP_RESUME.
 *   - An initializer is killed: that does not count as its failure.
 *
 * A child that a task has moved out of its worker's process group outlives its worker. If it scribbles after the reset
 * it is a contradiction of its own.
 * Called by: integrity (begin), collect (finish). */
#ifndef PP_RESET_H
#define PP_RESET_H

#include "pool/pool.h"

/* Has all workers killed. Nothing if the supervisor does not take commands: then it has gone, or the next look tries
 * again. */
void pp_reset_begin(struct pool *pool);
/* All workers have died, and all their notices were read. */
void pp_reset_finish(struct pool *pool);

#endif
