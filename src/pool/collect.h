/* Taking in what workers and supervisor have published: announced outcomes, rounds of jobs that are over, and deaths.
 *
 * Workers' memory is evidence, not truth: a ticket counts only if the caller's own table has that generation in that
 * slot, and a task is ended only by what its state word says. */
#ifndef PP_COLLECT_H
#define PP_COLLECT_H

#include "pool/pool.h"

/* Takes in everything that was published. */
void pp_collect(struct pool *pool);
/* The same, and the outcome of this future if it is there and not announced yet. */
void pp_collect_for(struct pool *pool, const struct future *future);

#endif
