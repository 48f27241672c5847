/* An allocator over a range of shared memory. The caller has one for the arena, one for inputs, one for results, and
 * one for what jobs need to run.
 *
 * A block is a run of pages (runs.h); blocks of 2 KiB or less share a page with others of their size. Blocks begin at
 * multiples of 64 bytes. All bookkeeping is in private memory, so a worker that scribbles over the range cannot harm
 * it, and no page of the range is touched before it is used.
 *
 * A block of some pages is mostly followed by others of its size. So blocks of one length are kept, by their first page
 * alone, for the next of that length, as long as there is other memory. For the table they are still in use, so that
 * neither it nor their runs are looked at: bench_limits, "generous". Not in the arena: a block that the program frees
 * twice would be given twice.
 *
 * Free memory goes back to the system once much was freed, unless as much was taken again within a second: then the
 * program goes on taking and freeing, and would have the same pages cleared again and again. pp_heap_settle() gives
 * back what is left of that. Always under the pool's lock. */
#ifndef PP_HEAP_H
#define PP_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/runs.h"

#define PP_HEAP_SIZES 6 /* 64, 128, … 2048 bytes */

struct pp_heap {
    struct pp_runs runs;
    size_t *budget; /* bytes that may still be given, perhaps by several heaps; NULL: no limit but the range */
    uint32_t part_used[PP_HEAP_SIZES]; /* shared pages with room: the first of each list */
    uint32_t *kept;         /* first pages of the blocks that are kept, all of kept_length pages */
    uint32_t kept_count, kept_room, kept_length;
    bool keeps;             /* whether any are: no block is ever freed twice */
    uint32_t freed, taken;  /* pages, in runs, since each was last looked at */
    uint64_t looked_at;     /* ns when `freed` was */
    bool takes_again;       /* what is freed is soon taken again … */
    bool *holds_back;       /* … so set this when much is free; may be NULL */
};

void pp_heap_begin(struct pp_heap *heap, char *base, size_t size, size_t *budget);
void pp_heap_end(struct pp_heap *heap);
/* Returns NULL if the heap is full, if size is 0, or if there is no private memory. Unless `zeroed`, the block has any
 * content. fresh: receives how many bytes at the end of the block were not touched since the system gave them; may be
 * NULL. */
void *pp_heap_take(struct pp_heap *heap, size_t size, bool zeroed, size_t *fresh);
static inline void *pp_heap_alloc(struct pp_heap *heap, size_t size, bool zeroed) {
    return pp_heap_take(heap, size, zeroed, NULL);
}
/* Whether there is room for a block of that size. */
bool pp_heap_has_room(struct pp_heap *heap, size_t size);
static inline size_t pp_heap_size(const struct pp_heap *heap) {
    return (size_t)heap->runs.pages * PP_PAGE;
}
/* From here on no block was ever given. */
static inline char *pp_heap_fresh(const struct pp_heap *heap) {
    return heap->runs.base + heap->runs.touched * PP_PAGE;
}
/* Keeps only the first `size` bytes of a block: the pages beyond count no more. Does nothing if this heap has no such
 * block. */
void pp_heap_shrink(struct pp_heap *heap, void *block, size_t size);
/* Does nothing if this heap has no such block. So an argument may be freed that lies in the program's own memory. */
void pp_heap_free(struct pp_heap *heap, void *block);
/* The same for a block of more than 2 KiB that the heap has, that was taken for this size and was not shrunk: the next
 * of its size is found faster. */
void pp_heap_free_room(struct pp_heap *heap, void *block, size_t size);
/* Gives free memory back to the system if no more was freed for a second. Returns false if that is to be tried again.
 * now: ns. */
bool pp_heap_settle(struct pp_heap *heap, uint64_t now);
static inline bool pp_heap_holds(const struct pp_heap *heap, const void *address, size_t size) {
    uintptr_t at = (uintptr_t)address, base = (uintptr_t)heap->runs.base;
    size_t all = pp_heap_size(heap);
    return at >= base && at - base < all && size <= all - (at - base);
}

#endif
