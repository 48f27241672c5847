/* Graphs: tasks that come after others.
 *
 * A task that comes after others has an edge to each of them, and is held while one of them is not done. Each edge is
 * on the list of the dependency, so a future that becomes done finds its dependents, and one that fails early leaves
 * the lists of the others, without a search. The last dependency to succeed sends the task on its way. A future that is
 * done is put on a list of the pool; one loop tells the dependents of each in turn, and what fails by that joins the
 * end of the list: no recursion, however long a chain. A dependency is pinned until the dependent is done, so its
 * result stays.
 *
 * Invariant: a task is held if and only if its count of dependencies that are not done, `pending`, is not 0. */
#ifndef PP_GRAPH_H
#define PP_GRAPH_H

#include "pool/pool.h"

/* Adds edges from a new task to what it comes after, and keeps its context. Returns 0, POOL_EINVAL or POOL_ENOMEM: then
 * nothing is changed. */
int pp_graph_add(struct pool *pool, struct future *future, const struct pool_task *task);
/* The same for results of tasks that are not of this pool: a new task gets copies of `count` inputs, which lie one
 * after another at `data` and have those sizes; UINT64_MAX: that task has no result. context: as it is. Returns 0 or
 * POOL_ENOMEM. */
int pp_graph_give(struct pool *pool, struct future *future, const void *context, size_t count, const uint64_t *sizes,
                  const void *data);
/* Sends it on its way, holds it, or ends it, by what is known of its dependencies. */
void pp_graph_begin(struct pool *pool, struct future *future);
/* Tells the dependents and callbacks of futures that are done. A future that was given up is gone afterwards. */
void pp_graph_settle(struct pool *pool);

#endif
