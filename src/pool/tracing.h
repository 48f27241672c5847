/* Whether a pool has a trace, and where that goes: pool_options.trace and $PARPOOL_TRACE.
 *
 * Called by: lifetime, wait, round, outcome. */
#ifndef PP_TRACING_H
#define PP_TRACING_H

#include "parpool.h"

/* Before workers are started. Returns 0, POOL_ENOMEM or POOL_EINVAL: the file that the options name cannot be made. */
int pp_tracing_begin(struct pool *pool);
/* The workers have ended: writes the file. */
void pp_tracing_write(struct pool *pool);
/* Under the lock, if there is a trace: a call has slept since then, ns; a task or item is to be run once more. */
void pp_tracing_wait(struct pool *pool, uint64_t since);
void pp_tracing_retry(struct pool *pool, pool_fn *fn, uint64_t item);

#endif
