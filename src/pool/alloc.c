#include "pool/alloc.h"

#include <string.h>

#include "base/copy.h"
#include "shared/extents.h"

void pp_memory_settle(struct pool *pool) {
    struct pp_memory *memory = &pool->memory;
    uint64_t now = pp_last_tick();
    struct pp_heap *heaps[] = {&memory->inputs, &memory->results, &memory->arena, &memory->work};
    memory->holds_back = false;
    for (size_t i = 0; i < sizeof heaps / sizeof *heaps; i++) memory->holds_back |= !pp_heap_settle(heaps[i], now);
}

void *pp_alloc_fresh(struct pp_heap *heap, size_t size, bool zeroed, struct pp_huge_pages *take) {
    size_t untouched = 0;
    /* Memory that was given before may have been touched, page by page: only what is fresh counts. */
    char *fresh = pp_heap_fresh(heap), *block = pp_heap_take(heap, size, zeroed, &untouched);
    struct pp_region region = {.base = heap->runs.base, .size = pp_heap_size(heap)};
    *take = pp_pages_begun(region, fresh, pp_heap_fresh(heap));
    if (!block || take->size > 0 || untouched < size || size < PP_HUGE_PAGE) return block;
    /* It was given before, and has gone back to the system since. */
    region = (struct pp_region){.base = block + (PP_HUGE_PAGE - (uintptr_t)block % PP_HUGE_PAGE) % PP_HUGE_PAGE};
    region.size = (size_t)(block + size - region.base);
    *take = pp_pages_begun(region, region.base, block + size);
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
    if (*copy) pp_copy(*copy, data, size);
    return *copy != NULL;
}

void pp_result_free(struct pool *pool, const struct future *future) {
    if (pp_is_extent(&pool->shared, future->result)) {
        pp_extent_free(&pool->shared, future->result, future->out_size);
        pool->memory.arena_left += pp_extent_takes(future->out_size);
    } else {
        pp_heap_free(&pool->memory.results, future->result);
    }
}
