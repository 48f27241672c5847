/* How many workers a pool has: pool_resize(), workers that are started when there is work (lazy), and workers that end
 * when there has been none (idle_timeout).
 *
 * Numbers below control->wanted are the pool's. A worker of a higher number retires when it has finished what it holds,
 * and its place is not filled again. control->workers, one more than the highest number ever used, only grows: whoever
 * looks at all workers goes up to there, and jobs that were begun before have fewer parts of scratch than there are
 * workers.
 *
 * A place rests if its worker is to be started once there is work. Nobody polls for that:
 *     caller:      publishes work; fence; sees resting places; asks for as many workers as could be of use (PP_START)
 *     supervisor:  counts a place as resting; fence; sees work; fills the place
 * One of the two sees the other. What was asked for and is not seen to yet is the caller's starts_sent less
 * starts_taken.
 *
 * Invariant: wanted <= workers <= PP_WORKERS; both are the caller's, and the supervisor reads them when it is told.
 * Called by: submit and pass (call), pool (retire), supervisor (what waits). */
#ifndef PP_RESIZE_H
#define PP_RESIZE_H

#include "pool/pool.h"

/* How many workers `workers` of the options means, or POOL_EINVAL. */
int pp_worker_count(int workers);

/* Caller: lets all workers end of themselves, and waits for that; nothing is open. 0 or POOL_ETIMEDOUT. */
int pp_retire_all(struct pool *pool, uint64_t deadline);

/* See struct pp_backend. */
void pp_processes_resize(struct pool *pool);
int pp_processes_retire(struct pool *pool, uint64_t deadline);

#endif
