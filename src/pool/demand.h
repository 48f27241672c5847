/* The demand for workers: the caller has published work, and calls as many workers as could be of use.
 *
 * Workers that sleep are woken (park.h). In an elastic pool some may not be running at all: those are asked for, by a
 * command to the supervisor; resize.h has the protocol. */
#ifndef PP_DEMAND_H
#define PP_DEMAND_H

#include "pool/pool.h"
#include "shared/park.h"

/* Elastic pools only: asks for workers if more could be of use than are running. */
void pp_ask_for_workers(struct pool *pool);

/* work: how many workers could be of use to what was just published. */
static inline void pp_call_workers(struct pool *pool, uint32_t work) {
    pp_wake(&pool->shared, pool->fds.task_pipe, &pool->wakes, work);
    if (pool->elastic) pp_ask_for_workers(pool);
}

#endif
