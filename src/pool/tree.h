/* The tree of a reduction as it grows: the ring of the tasks that are under way, the stack of those that are still to
 * be combined, and leaves of which items may fail. What the tree is, see reduce.c.
 *
 * Invariant: outcomes are looked at in the order of submission. It is the calling thread's own: no lock is held.
 * Called by: reduce.c. */
#ifndef PP_TREE_H
#define PP_TREE_H

#include "pool/pool.h"
#include "worker/fold.h"

#define PP_TREE_MOST 272U /* nodes on the stack: fewer than PP_JOIN_MOST for each of 17 digits */

struct pp_node {
    struct future *future; /* NULL: the node is not in use */
    uint64_t first, count; /* its items */
    unsigned digit;        /* 0: a leaf; d: the join of `d->most` neighbours of digit d - 1, or of fewer at the end */
    bool awaited, wanted; /* it is in the ring; it is on the stack */
    struct pp_spot *spot;
    struct pp_leaf *leaf;  /* with skip_failed, its argument; NULL: it is settled, or no leaf */
    size_t left, losses;   /* items that have not failed; times that it was lost, and nothing tells at which item */
    struct pp_node *next;     /* among those that are free, or settled */
};

struct pp_reduction {
    struct pool *pool;
    const struct pool_reduction *options;
    size_t chunk;
    bool copies_items;
    bool settles;  /* leaves get onto the stack once they are done, not when they are submitted */
    unsigned most; /* neighbours that a task combines */
    struct pp_recipe *recipe, told; /* the same in the caller's own memory, which stays when the pool ends */
    char *context; /* a copy, or NULL */
    char *spots;
    size_t spot_size;
    struct pp_leaf *argument;
    struct pp_node *nodes, *free_nodes; /* [node_count] */
    size_t node_count;
    struct pp_node *settled, **settled_end; /* leaves that are to get onto the stack, in this order */
    struct pp_node **ring;              /* [window] */
    size_t window, head, length;
    size_t seen; /* of the oldest in it: they were waited for, and most are done */
    struct pp_node *stack[PP_TREE_MOST];
    unsigned depth;
    uint64_t taken; /* items taken from the input */
    int error;
    struct pool_failure failure;
    size_t failed;              /* items that were left out; */
    struct pool_failure lowest; /* of those the first */
};

/* The reduction has failed, unless it has before. index: the item. failure: NULL: the code says all. */
void pp_tree_fail(struct pp_reduction *reduction, int error, uint64_t index, const struct pool_failure *failure);
/* Takes all of the input, and waits for all that it submits. */
void pp_tree_grow(struct pp_reduction *reduction);
/* Frees the node's future, unless the node is in the ring or on the stack. */
void pp_tree_drop(struct pp_reduction *reduction, struct pp_node *node);

#endif
