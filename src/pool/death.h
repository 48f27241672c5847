/* The death of a worker: what its notice means for the task that it ran and the tickets that it held. What it means for
 * jobs is in round.h, how it is described to the program in describe.h.
 *
 * A notice repeats what the worker's record said, so it is evidence like the record: a task counts as the dead worker's
 * only if its state word names that worker in that life. */
#ifndef PP_DEATH_H
#define PP_DEATH_H

#include "pool/pool.h"

/* The task in the slot was lost before it was started, by its word. That takes a death between two instructions, or
 * scribbling: its own, if it happens again and again. Then the task ends, and the function returns true; else the task
 * must be sent again. */
bool pp_task_lost(struct pool *pool, uint32_t slot);
/* Ends the task that the dead worker ran, or has it run again. */
void pp_task_died(struct pool *pool, const struct pp_notice *notice);
/* The dead worker was the carrier: the same for all tasks that it held. */
void pp_carrier_died(struct pool *pool, const struct pp_notice *notice);
/* Sends the tickets again that the dead worker had claimed and not started, but not the one that its successor runs. */
void pp_claims_died(struct pool *pool, const struct pp_notice *notice);
/* The pool has become smaller: the same for what workers have left to successors that will not come. */
void pp_bequests_release(struct pool *pool);

#endif
