/* An allocator over a range of shared memory: the caller's, for the arena, for inputs and for the workers' results.
 *
 * All of its bookkeeping is in private memory, so a worker that scribbles over the range cannot harm it, and nothing of
 * the range is touched before it is used. Runs of pages are kept by powers of two of their length and merged when
 * freed; what is 2 KiB or less shares a page with others of its size. Blocks begin at multiples of 64 bytes.
 *
 * Invariant: every page below `frontier` belongs to exactly one run, whose first and last page tell its length; pages
 * from `touched` on are still zero.
 * Called by: the files of the caller's layer, always under the pool's lock. */
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
/* NULL: full, size 0, or no private memory. Zeroed if asked for, else of any content. */
void *pp_heap_alloc(struct pp_heap *heap, size_t size, bool zeroed);
/* From here on nothing was ever given. */
static inline char *pp_heap_fresh(const struct pp_heap *heap) {
    return heap->base + (size_t)heap->touched * 4096;
}
/* Gives back the pages beyond the first `size` bytes of a block. NULL, or what is no block of this heap: nothing. */
void pp_heap_shrink(struct pp_heap *heap, void *block, size_t size);
/* NULL, or what is no block of this heap: nothing. */
void pp_heap_free(struct pp_heap *heap, void *block);
static inline bool pp_heap_holds(const struct pp_heap *heap, const void *address, size_t size) {
    uintptr_t at = (uintptr_t)address, base = (uintptr_t)heap->base;
    size_t all = (size_t)heap->pages * 4096;
    return at >= base && at - base < all && size <= all - (at - base);
}

#endif
