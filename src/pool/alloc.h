/* Memory of the pool's heaps that will all be used: it is taken in huge pages where the system has such.
 *
 * A large block is taken at once. Small blocks are many or few: once a heap has given enough of them, each huge page is
 * taken as soon as the first block of it is given. */
#ifndef PP_ALLOC_H
#define PP_ALLOC_H

#include "pool/pool.h"

/* Whether the data lies in the arena, so that workers can reach it where it is. */
static inline bool pp_is_in_arena(const struct pool *pool, const void *data, size_t size) {
    return pp_heap_holds(&pool->memory.arena, data, size);
}

/* As pp_heap_alloc(), for memory that will all be used. */
void *pp_alloc_whole(struct pool *pool, struct pp_heap *heap, size_t size);

/* What of a heap is to be taken in huge pages; nothing if its size is 0. */
struct pp_to_take {
    char *begin;
    size_t size;
};

/* The same in two steps, for a call that takes the pages, with pp_pages_take(), when it has given up the lock. */
void *pp_alloc_fresh(struct pp_heap *heap, size_t size, bool zeroed, struct pp_to_take *take);

#endif
