/* What a future has to do with others: the tasks that it comes after, those that come after it, and callbacks. Few
 * futures have any of that; it is made when it is asked for, and goes when the future is done.
 *
 * Graphs. A task that comes after others has an edge to each of them, and is held while one of them is not done. Each
 * edge is on the list of the dependency, so a future that becomes done finds its dependents, and one that fails early
 * leaves the lists of the others, without a search. The last to succeed sends the task on its way. A future that is
 * done is put on a list of the pool; one loop tells the dependents of each in turn, and what fails by that joins the
 * end of the list: no recursion, however long a chain. What lies in a dependency's result stays until the dependent is
 * done: it is pinned.
 *
 * Callbacks. A future that becomes done hands its callbacks to a list of the pool. Each call, before it returns and
 * while it waits, runs what is on the list, one at a time and without the lock; a call that is made by a callback
 * leaves them to the one that runs it. So they run in order, never in each other, and never deep.
 *
 * Invariant: a task is held while its count of dependencies that are not done, `pending`, is not 0, and only then. All
 * under the pool's lock.
 * Called by: graph.c: submit (make, begin), collect (finish); callback.c: every call of the caller's layer. */
#ifndef PP_DEPENDENCIES_H
#define PP_DEPENDENCIES_H

#include <stddef.h>

struct future;
struct pool;
struct pool_task;
struct pp_extra;

struct pp_callback {
    struct future *future;
    void (*run)(struct future *future, void *arg);
    void *arg;
    struct pp_callback *next;
};

struct pp_edge {
    struct future *dependent, *dependency;
    struct pp_edge *next, **link; /* among the dependency's dependents; link NULL: it is not there, the dependency is
                                     done */
};

struct pp_ties {
    struct pp_callback *callbacks, **callbacks_end;
    struct pp_edge *dependents, **dependents_end; /* in the order of submission */
    struct future *settled_next;
    struct pp_edge *edges; /* [edge_count] to what it comes after */
    size_t edge_count, pending;
    struct pp_extra *extra; /* inputs heap; NULL: none */
};

#endif
