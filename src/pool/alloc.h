/* Memory of the pool's heaps that will all be used: it is taken in huge pages if the system has some; see pages.h. */
#ifndef PP_ALLOC_H
#define PP_ALLOC_H

#include "pool/pool.h"
#include "shared/pages.h"

/* Whether the data lies in the arena, so that workers can reach it where it is. */
static inline bool pp_is_in_arena(const struct pool *pool, const void *data, size_t size) {
    return pp_heap_holds(&pool->memory.arena, data, size);
}

/* The same of data that may also have been copied for workers. */
static inline bool pp_is_in_reach(const struct pool *pool, const void *data, size_t size) {
    return pp_is_in_arena(pool, data, size) || pp_heap_holds(&pool->memory.inputs, data, size);
}

/* Blocks up to this size are used as a whole: it is one page of the system. Of a larger one the program may leave some
 * untouched. */
#define PP_SURELY_USED ((size_t)4096)

/* Gives back to the system what heaps have held back, if the program has stopped taking and freeing much. */
void pp_memory_settle(struct pool *pool);

/* As pp_heap_alloc(), for memory that will all be used. */
void *pp_alloc_whole(struct pool *pool, struct pp_heap *heap, size_t size);

/* The same in two steps, for a call that takes the pages, with pp_pages_take(), when it has given up the lock. */
void *pp_alloc_fresh(struct pp_heap *heap, size_t size, bool zeroed, struct pp_huge_pages *take);

/* Frees the result of a future that is done, in shared memory. */
void pp_result_free(struct pool *pool, const struct future *future);

/* Copies data of the program to where workers can read it, unless it lies there; size 0: there is none. *copy: receives
 * the copy, if one was made. Returns false if there is no memory. */
bool pp_copy_in(struct pool *pool, const void *data, size_t size, char **copy);

#endif
