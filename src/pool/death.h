/* The death of a worker: what its notice means for the task that it ran and the tickets that it held. What it means for
 * jobs is in round.h, how it is described to the program in describe.h.
 *
 * A notice repeats what the worker's record said, so it is evidence like the record: a task counts as the dead worker's
 * only if its state word names that worker in that life. */
#ifndef PP_DEATH_H
#define PP_DEATH_H

#include "pool/pool.h"

/* Ends the task that the dead worker ran, or has it run again. */
void pp_task_died(struct pool *pool, const struct pp_notice *notice);
/* Sends the tickets again that the dead worker had claimed and not started. */
void pp_claims_died(struct pool *pool, const struct pp_notice *notice);

#endif
