/* An allocator over a range of shared memory. The caller has one for the arena, one for inputs, one for results, and
 * one for what jobs need to run.
 *
 * All bookkeeping is in private memory, so a worker that scribbles over the range cannot harm it, and no page of the
 * range is touched before it is used. Free runs of pages are kept by the power of two of their length, and merged when
 * they are freed; blocks of 2 KiB or less share a page with others of their size. Blocks begin at multiples of 64
 * bytes.
 *
 * Invariant: every page below `frontier` belongs to exactly one run, whose first and last page tell its length; pages
 * from `touched` on are still zero. Always under the pool's lock. */
#ifndef PP_HEAP_H
#define PP_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PP_HEAP_SIZES 6   /* 64, 128, … 2048 bytes */
#define PP_HEAP_LENGTHS 40 /* powers of two of pages */

struct pp_heap_page;

struct pp_heap {
    char *base;
    size_t *budget; /* bytes that may still be given, perhaps by several heaps; NULL: no limit but the range */
    uint32_t pages, frontier, touched, known; /* known: pages that have an entry in `table` */
    struct pp_heap_page *table;
    uint32_t free_runs[PP_HEAP_LENGTHS]; /* first of each list, + 1; 0: none */
    uint32_t part_used[PP_HEAP_SIZES];   /* shared pages with room, likewise */
};

void pp_heap_begin(struct pp_heap *heap, char *base, size_t size, size_t *budget);
void pp_heap_end(struct pp_heap *heap);
/* Returns NULL if the heap is full, if size is 0, or if there is no private memory. Unless `zeroed`, the block has any
 * content. */
void *pp_heap_alloc(struct pp_heap *heap, size_t size, bool zeroed);
static inline size_t pp_heap_size(const struct pp_heap *heap) {
    return (size_t)heap->pages * 4096;
}
/* From here on no block was ever given. */
static inline char *pp_heap_fresh(const struct pp_heap *heap) {
    return heap->base + (size_t)heap->touched * 4096;
}
/* Gives back the pages beyond the first `size` bytes of a block. Does nothing if this heap has no such block. */
void pp_heap_shrink(struct pp_heap *heap, void *block, size_t size);
/* Does nothing if this heap has no such block. So an argument may be freed that lies in the program's own memory. */
void pp_heap_free(struct pp_heap *heap, void *block);
static inline bool pp_heap_holds(const struct pp_heap *heap, const void *address, size_t size) {
    uintptr_t at = (uintptr_t)address, base = (uintptr_t)heap->base;
    size_t all = pp_heap_size(heap);
    return at >= base && at - base < all && size <= all - (at - base);
}

#endif
