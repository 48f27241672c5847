/* What workers run of a reduction: the leaves and the inner nodes of its tree, as tasks; see reduce.c.
 *
 * Invariant: what these tasks are told lies where workers can only read it, save the spots.
 * Called by: reduce and tree, which submit the tasks; carrier_folds and node_work, which know them by their
 * functions. */
#ifndef PP_FOLD_H
#define PP_FOLD_H

#include <stdatomic.h>
#include <stddef.h>

#include "parpool.h"
#include "shared/shared.h"

/* What all tasks of a reduction need to know. It lies in the inputs heap. */
struct pp_recipe {
    uint64_t serial; /* of the reduction, in this process; not 0 */
    pool_fn *fn;
    int (*block)(const void *in, size_t count, void *part); /* instead of fn */
    int (*combine)(void *result, const void *right);
    const char *in; /* NULL: items follow the leaf's argument, or there are none */
    size_t in_size, out_size;
    const void *context;
    size_t context_size; /* 0: it is an address */
    uint64_t seed;
    bool skip_failed; /* an item that fails is left out; each leaf then ends with a byte an item: leave it out */
};

/* Of the task at this place of the ring. It lies in the work heap, since workers write it. */
struct pp_spot {
    /* The item that runs, or the first on the right of a call of combine: task_index(), and the failure's index. */
    _Alignas(PP_LINE) _Atomic uint64_t at;
    /* With skip_failed: items whose fn returned another value than 0, and of the first of them the index, that value,
     * and what it said. Written by the worker that runs the leaf; the caller reads it once the task is done. */
    uint64_t failed, failed_at;
    int32_t code, pid;
    char message[PP_MESSAGE];
    _Alignas(PP_LINE) unsigned char part[]; /* an item's, before it is combined */
};

/* The argument of a leaf. Items that were copied follow, and with skip_failed a byte for each item. */
struct pp_leaf {
    _Alignas(16) const struct pp_recipe *recipe;
    struct pp_spot *spot;
    uint64_t first, count;
    bool alone; /* with skip_failed: a block function gets each item alone, since it has died with all */
};

static inline size_t pp_leaf_size(const struct pp_recipe *recipe, size_t count) {
    size_t item = (recipe->in ? 0 : recipe->in_size) + (recipe->skip_failed ? 1 : 0);
    return sizeof(struct pp_leaf) + count * item;
}
/* Where that byte is. */
static inline size_t pp_leaf_mark(const struct pp_recipe *recipe, size_t count, size_t i) {
    return pp_leaf_size(recipe, count) - count + i;
}

/* A task combines so many neighbouring parts at most, or two if they are larger than PP_JOIN_SMALL bytes, which are to
 * be combined side by side. */
#define PP_JOIN_MOST 16U
#define PP_JOIN_SMALL 256U
#define PP_JOIN_DIGITS 4U /* of a binary counter up to PP_JOIN_MOST */

/* The argument of a task that combines parts, which stand for equally many leaves, the last one for at most so many. */
struct pp_join {
    const struct pp_recipe *recipe;
    struct pp_spot *spot;
    uint64_t first[PP_JOIN_MOST]; /* item of each part */
};

static inline size_t pp_join_size(size_t parts) {
    return offsetof(struct pp_join, first) + parts * sizeof(uint64_t);
}

/* A pool_fn, whose argument is a struct pp_leaf: makes the parts of its items, and combines them from left to right; or
 * makes one part of all of them. */
int pp_leaf_task(const void *in, void *out);
/* A pool_fn, whose argument is a struct pp_join: combines the results of the tasks that it comes after. */
int pp_join_task(const void *in, void *out);

#endif
