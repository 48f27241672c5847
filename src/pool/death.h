/* The death of a worker: what its notice means for the task that it ran and the tickets that it held, and how the death
 * is described to the program. What it means for jobs is in round.h.
 *
 * A notice repeats what the worker's record said, so it is evidence like the record: a task counts as the dead worker's
 * only if its state word names that worker in that life. */
#ifndef PP_DEATH_H
#define PP_DEATH_H

#include "pool/pool.h"

/* Says in *failure why what a dead worker ran has failed. ended: the phase of its state word; timeout: its limit in
 * ms. */
void pp_describe_death(struct pool_failure *failure, const struct pp_notice *notice, enum pp_phase ended, int timeout);
/* Says in *failure why the pool can do no more work. notice: of kind PP_POOL_BROKEN. */
void pp_describe_break(struct pool_failure *failure, const struct pp_notice *notice);

/* Ends the task that the dead worker ran, or has it run again. */
void pp_task_died(struct pool *pool, const struct pp_notice *notice);
/* Sends the tickets again that the dead worker had claimed and not started. */
void pp_claims_died(struct pool *pool, const struct pp_notice *notice);

#endif
