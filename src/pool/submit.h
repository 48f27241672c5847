/* Making and sending a task: pool_submit() in its parts, for the files that write the argument in between. */
#ifndef PP_SUBMIT_H
#define PP_SUBMIT_H

#include "pool/pool.h"

/* Makes a future for the task, with room for its result and for in_size bytes of argument at task.in. The caller writes
 * the argument before it sends the task, and may release the lock meanwhile. Returns 0, POOL_ENOMEM, or why the pool
 * refuses. */
int pp_task_new(struct pool *pool, const struct pool_task *task, uint64_t index, struct future **future);
/* Returns 0, or POOL_ENOMEM: it was not sent. */
int pp_task_send(struct pool *pool, struct future *future);
/* Undoes pp_task_new() for a task that was not sent. */
void pp_task_drop(struct pool *pool, struct future *future);

#endif
