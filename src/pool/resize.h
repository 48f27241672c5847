/* How many workers a pool has: pool_resize(), workers that are started when there is work (lazy), and workers that end
 * when there has been none (idle_timeout).
 *
 * The pool wants workers of the numbers below control->wanted. A worker of a higher number retires when it has finished
 * what it holds, and is not replaced. control->workers is one more than the highest number ever used, and only grows:
 * loops over all workers go up to there. A job that was started before it grew has fewer parts of scratch than the pool
 * has workers.
 *
 * A worker rests if it is to be started once there is work. Nothing polls for that:
 *     caller:      publishes work; fence; sees resting workers; asks for as many as could be of use (PP_START)
 *     supervisor:  counts a worker as resting; fence; sees work; starts the worker
 * One of the two sees the other. Workers that were asked for and not yet started are starts_sent, which the caller
 * counts, less starts_taken, which the supervisor counts before the workers cease to rest.
 *
 * Invariant: wanted <= workers <= PP_WORKERS. The caller writes both, and the supervisor reads them on a command. */
#ifndef PP_RESIZE_H
#define PP_RESIZE_H

#include "pool/pool.h"

/* How many workers `workers` of the options means, or POOL_EINVAL. */
int pp_worker_count(int workers);

/* Has all workers end by themselves, and waits for that; no future is open. Returns 0 or POOL_ETIMEDOUT. */
int pp_retire_all(struct pool *pool, uint64_t deadline);

#endif
