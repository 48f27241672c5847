/* What workers run of a reduction: the leaves and the inner nodes of its tree, as tasks; see reduce.c.
 *
 * Invariant: what these tasks are told lies where workers can only read it, save the spots.
 * Called by: reduce.c, which submits the tasks. */
#ifndef PP_FOLD_H
#define PP_FOLD_H

#include "pool/pool.h"

/* What all tasks of a reduction need to know. It lies in the inputs heap. */
struct pp_recipe {
    pool_fn *fn;
    int (*block)(const void *in, size_t count, void *part); /* instead of fn */
    int (*combine)(void *result, const void *right);
    const char *in; /* NULL: items follow the leaf's argument, or there are none */
    size_t in_size, out_size;
    const void *context;
    uint64_t seed;
};

/* Of the leaf at this place of the ring. It lies in the work heap, since workers write it. */
struct pp_spot {
    /* The item that runs: task_index(), and the index of the failure if the worker dies. */
    _Alignas(PP_LINE) _Atomic uint64_t at;
    _Alignas(PP_LINE) unsigned char part[]; /* an item's, before it is combined */
};

/* The argument of a leaf. Items that were copied follow. */
struct pp_leaf {
    _Alignas(16) const struct pp_recipe *recipe;
    struct pp_spot *spot;
    uint64_t first, count;
};

/* The argument of a task that combines two parts. */
struct pp_join {
    const struct pp_recipe *recipe;
    _Atomic uint64_t right; /* first item of the right part */
};
_Static_assert(sizeof(struct pp_join) <= PP_INLINE_IN, "it needs no memory of its own");

/* A pool_fn, whose argument is a struct pp_leaf: makes the parts of its items, and combines them from left to right; or
 * makes one part of all of them. */
int pp_leaf_task(const void *in, void *out);
/* A pool_fn, whose argument is a struct pp_join: combines the results of the two tasks that it comes after. */
int pp_join_task(const void *in, void *out);

#endif
