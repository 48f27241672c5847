#include "pool/alloc.h"

#include "base/sys.h"
#include "shared/pages.h"

/* Once a heap has given so many bytes, each further huge page is taken as soon as the first block of it is given. */
#define AHEAD_FROM (2 * PP_HUGE_PAGE)
#define AHEAD_MOST ((size_t)65536) /* for blocks up to this size: larger ones are fewer, and may not all be used */

/* The huge page of the heap from which the next fresh block comes. */
static size_t next_huge_page(const struct pp_heap *heap) {
    return (size_t)(pp_heap_fresh(heap) - heap->base) / PP_HUGE_PAGE;
}

void *pp_alloc_fresh(struct pp_heap *heap, size_t size, bool zeroed, struct pp_to_take *take) {
    size_t next = next_huge_page(heap);
    /* Memory that was given before may have been touched, page by page: only what is fresh counts. */
    char *fresh = pp_heap_fresh(heap), *block = pp_heap_alloc(heap, size, zeroed);
    *take = (struct pp_to_take){NULL, 0};
    if (!block || pp_heap_fresh(heap) == fresh) return block;
    if (size >= PP_HUGE_PAGE) {
        take->begin = block > fresh ? block : fresh;
        take->size = (size_t)(block + size - take->begin);
    } else if (size <= AHEAD_MOST && next_huge_page(heap) != next) {
        take->begin = heap->base + next_huge_page(heap) * PP_HUGE_PAGE;
        if (take->begin >= heap->base + AHEAD_FROM && pp_heap_holds(heap, take->begin, PP_HUGE_PAGE))
            take->size = PP_HUGE_PAGE;
    }
    return block;
}

void *pp_alloc_whole(struct pool *pool, struct pp_heap *heap, size_t size) {
    struct pp_to_take take;
    void *block = pp_alloc_fresh(heap, size, false, &take);
    pp_pages_take(&pool->memory.no_huge_pages, take.begin, take.size);
    return block;
}
