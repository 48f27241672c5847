/* What few futures have: callbacks, tasks that come after them, and tasks that they come after.
 *
 * It is made when it is first asked for, and goes when the future is done and every relation has been told: graph.h,
 * callback.h.
 *
 * Invariant: all under the pool's lock. While a future has relations and is done, it is pinned. */
#ifndef PP_RELATIONS_H
#define PP_RELATIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "pool/interest.h"

struct pp_callback {
    struct pp_link link; /* in its future's relations, then in the pool's callbacks */
    struct future *future;
    void (*run)(struct future *future, void *arg);
    void *arg;
    bool is_last; /* of those that its future had when it became done */
};

/* From a task to one that it comes after. */
struct pp_edge {
    struct pp_link link; /* among the dependency's dependents; on no list once the dependency is done */
    struct future *dependent, *dependency;
};

/* Data that several tasks read, and that lasts until the last of them is done. */
struct pp_context {
    uint64_t serial; /* of the context, in this process; not 0 */
    size_t uses;
    char *copy; /* in the inputs heap; NULL: it is used where it lies */
};

struct pp_relations {
    struct future *future;
    struct pp_list callbacks;  /* struct pp_callback, in the order in which they were given */
    struct pp_list dependents; /* struct pp_edge, in the order of submission */
    struct pp_edge *edges;     /* [edge_count] to what it comes after */
    size_t edge_count;
    size_t pending;            /* of those, dependencies that are not done */
    struct pp_extra *extra;    /* in the inputs heap; NULL: none */
    struct pp_context *context; /* what it shares with other tasks; NULL: nothing */
    struct pp_link settling;   /* among the pool's futures that are done, and whose dependents are still to be told */
};

/* ---- tasks that are held until their dependencies are done */

static inline void pp_held_add(struct pool *pool, struct future *future) {
    pp_list_add_front(&pool->held, &future->link);
    pp_interest_begin(pool);
}

static inline void pp_held_remove(struct pool *pool, struct future *future) {
    future->relations->pending = 0;
    pp_list_remove(&pool->held, &future->link);
    pp_interest_end(pool);
}

/* ---- making */

/* The future's relations, made if it has none yet; NULL: no memory. It is not done. */
struct pp_relations *pp_relations_of(struct future *future);
void pp_relations_free(struct pool *pool, struct future *future);

/* A context with one use; NULL: no memory. */
struct pp_context *pp_context_new(struct pool *pool, const void *data, size_t size);
/* Ends one use; NULL: nothing happens. */
void pp_context_drop(struct pool *pool, struct pp_context *context);

#endif
