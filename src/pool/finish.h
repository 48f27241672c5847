/* Making a future done: pp_future_finish() is the one function that does it.
 *
 * The future leaves the queue, gives back what only an open one needs, keeps why it failed, and counts as done; then
 * its observers, its dependents and its callbacks hear of it.
 *
 * Invariant: a future is finished once. Its outcome, its result and its failure are complete before it is marked done,
 * and do not change afterwards. */
#ifndef PP_FINISH_H
#define PP_FINISH_H

#include "pool/pool.h"

/* failure: why it failed, or NULL. A future that was given up may be gone afterwards. */
void pp_future_finish(struct future *future, int outcome, const struct pool_failure *failure);

#endif
