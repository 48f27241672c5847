#include "pool/alloc.h"

#include <string.h>

void *pp_alloc_fresh(struct pp_heap *heap, size_t size, bool zeroed, struct pp_huge_pages *take) {
    /* Memory that was given before may have been touched, page by page: only what is fresh counts. */
    char *fresh = pp_heap_fresh(heap), *block = pp_heap_alloc(heap, size, zeroed);
    struct pp_region region = {.base = heap->base, .size = pp_heap_size(heap)};
    *take = pp_pages_begun(region, fresh, pp_heap_fresh(heap));
    return block;
}

void *pp_alloc_whole(struct pool *pool, struct pp_heap *heap, size_t size) {
    struct pp_huge_pages take;
    void *block = pp_alloc_fresh(heap, size, false, &take);
    pp_pages_take(&pool->memory.no_huge_pages, take);
    return block;
}

bool pp_copy_in(struct pool *pool, const void *data, size_t size, char **copy) {
    if (size == 0 || pp_is_in_arena(pool, data, size)) return true;
    *copy = pp_alloc_whole(pool, &pool->memory.inputs, size);
    if (*copy) memcpy(*copy, data, size);
    return *copy != NULL;
}
