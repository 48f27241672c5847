/* The outcome that a worker left in a task's slot: it becomes the outcome of the task's future.
 *
 * Workers can write to outcomes and messages at any time, so they are evidence: only a slot whose state word has the
 * generation of the caller's own table counts, and a size counts only if there was room for so much. */
#ifndef PP_OUTCOME_H
#define PP_OUTCOME_H

#include "pool/pool.h"

/* Takes in the outcome of the task in this slot, if there is one. Returns whether there was. */
bool pp_outcome_take(struct pool *pool, uint32_t slot);
/* Ends the task in this slot, which a swap by a worker or by the caller has ended. state: its state word then. */
void pp_outcome_end(struct pool *pool, uint32_t slot, uint64_t state);
/* Gives back what tasks that have ended left in `extents`. */
void pp_sweep_extents(const struct pool *pool);
/* Returns whether the task, which was started and lost, must be run again, and counts that. */
bool pp_task_try_again(struct pool *pool, struct future *future);
/* Ends the task in this slot with this error, which is not what it returned. */
void pp_task_fail(struct pool *pool, uint32_t slot, int error);

#endif
