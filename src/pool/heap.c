#include "pool/heap.h"

#include <string.h>

#include "base/sys.h"

#define SMALLEST ((size_t)64)
#define LARGEST_SHARED ((size_t)2048)
#define MUCH ((uint32_t)(((size_t)16 << 20) / PP_PAGE)) /* pages that are freed before any go back to the system */
#define FEWEST_KEPT 64U
#define KEPT_MOST 512U      /* pages of a run that is kept */
#define SOON_NS 1000000000U /* what is taken again after so long counts as needed again */

void pp_heap_begin(struct pp_heap *heap, char *base, size_t size, size_t *budget) {
    memset(heap, 0, sizeof *heap);
    pp_runs_begin(&heap->runs, base, size);
    heap->budget = budget;
}

void pp_heap_end(struct pp_heap *heap) {
    pp_runs_end(&heap->runs);
    pp_release(heap->kept);
    memset(heap, 0, sizeof *heap);
}

/* ---- blocks that are kept */

static void join_one_kept(struct pp_heap *heap) {
    pp_runs_free(&heap->runs, pp_runs_find(&heap->runs, heap->kept[--heap->kept_count]));
}

static void join_kept(struct pp_heap *heap) {
    while (heap->kept_count) join_one_kept(heap);
}

/* Makes room for one more. */
static bool grow_kept(struct pp_heap *heap) {
    if (heap->kept_count < heap->kept_room) return true;
    uint32_t room = heap->kept_room ? 2 * heap->kept_room : FEWEST_KEPT;
    uint32_t *kept = room > heap->kept_room ? pp_realloc(heap->kept, room * sizeof *kept) : NULL;
    if (!kept) return false;
    heap->kept = kept;
    heap->kept_room = room;
    return true;
}

/* Keeps the block for the next of its length. If other lengths are freed than the one that is kept, that is soon
 * another one. Returns false if the block is to be joined with other free runs. */
static bool keep(struct pp_heap *heap, uint32_t first, uint32_t length) {
    if (heap->kept_count && length != heap->kept_length) join_one_kept(heap);
    if (length > KEPT_MOST || (heap->kept_count && length != heap->kept_length) || !grow_kept(heap)) return false;
    heap->kept[heap->kept_count++] = first;
    heap->kept_length = length;
    return true;
}

/* ---- when free memory goes back */

/* The clock, which need not be exact, is looked at once for many pages: small blocks do not notice. */
static void count_freed(struct pp_heap *heap, uint32_t pages) {
    heap->freed = pages > UINT32_MAX - heap->freed ? UINT32_MAX : heap->freed + pages;
    if (heap->freed < MUCH) return;
    heap->freed = 0;
    heap->looked_at = pp_last_tick();
    if (!heap->takes_again) {
        join_kept(heap);
        pp_runs_give_back(&heap->runs);
    } else if (heap->holds_back) {
        *heap->holds_back = true;
    }
}

bool pp_heap_settle(struct pp_heap *heap, uint64_t now) {
    if (!heap->takes_again) return true;
    if (now < heap->looked_at + SOON_NS) return false;
    heap->takes_again = false;
    join_kept(heap);
    pp_runs_give_back(&heap->runs);
    return true;
}

static void count_taken(struct pp_heap *heap, uint32_t pages) {
    heap->taken = pages > UINT32_MAX - heap->taken ? UINT32_MAX : heap->taken + pages;
    if (heap->taken < MUCH) return;
    heap->taken = 0;
    heap->takes_again = heap->looked_at && pp_last_tick() - heap->looked_at < SOON_NS;
}

/* Returns a used run, or 0. */
static uint32_t alloc_run(struct pp_heap *heap, uint32_t length) {
    uint32_t run = pp_runs_take(&heap->runs, length);
    if (!run && heap->kept_count) {
        join_kept(heap);
        run = pp_runs_take(&heap->runs, length);
    }
    if (!run) return 0;
    pp_run_of(&heap->runs, run)->counts = length;
    count_taken(heap, length);
    return run;
}

/* ---- pages shared by small blocks */

static size_t size_of(uint32_t size_class) {
    return SMALLEST << size_class;
}

static uint64_t all_used(uint32_t size_class) {
    size_t blocks = PP_PAGE / size_of(size_class);
    return blocks == 64 ? UINT64_MAX : ((uint64_t)1 << blocks) - 1;
}

static unsigned lowest_zero(uint64_t word) {
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(~word);
#else
    unsigned bit = 0;
    while (word >> bit & 1) bit++;
    return bit;
#endif
}

static uint32_t size_class_of(size_t size) {
    uint32_t size_class = 0;
    while (size_of(size_class) < size) size_class++;
    return size_class;
}

/* Returns the run that the block is in, and the block. */
static uint32_t alloc_shared(struct pp_heap *heap, uint32_t size_class, char **block) {
    uint32_t *list = &heap->part_used[size_class];
    if (!*list) {
        uint32_t run = alloc_run(heap, 1);
        if (!run) return 0;
        struct pp_run *page = pp_run_of(&heap->runs, run);
        page->kind = PP_RUN_SHARED;
        page->used = 0;
        page->size_class = (uint8_t)size_class;
        pp_run_list_add(&heap->runs, list, run);
    }
    uint32_t run = *list;
    struct pp_run *r = pp_run_of(&heap->runs, run);
    unsigned bit = lowest_zero(r->used);
    r->used |= (uint64_t)1 << bit;
    if (r->used == all_used(size_class)) pp_run_list_remove(&heap->runs, list, run);
    *block = pp_run_base(&heap->runs, run) + bit * size_of(size_class);
    return run;
}

static void free_shared(struct pp_heap *heap, uint32_t run, size_t offset) {
    struct pp_run *r = pp_run_of(&heap->runs, run);
    uint32_t *list = &heap->part_used[r->size_class];
    uint64_t bit = (uint64_t)1 << offset / size_of(r->size_class);
    if (!(r->used & bit) || offset % size_of(r->size_class)) return;
    if (r->used == all_used(r->size_class)) pp_run_list_add(&heap->runs, list, run);
    r->used &= ~bit;
    if (heap->budget) *heap->budget += size_of(r->size_class);
    if (r->used != 0) return;
    pp_run_list_remove(&heap->runs, list, run);
    pp_runs_free(&heap->runs, run);
    count_freed(heap, 1);
}

/* ---- both */

static uint32_t pages_of(size_t size) {
    return size ? (uint32_t)((size + PP_PAGE - 1) / PP_PAGE) : 1;
}

/* How many bytes at the end of the block are known to be zero. The page of a small block is touched by the first. */
static size_t count_fresh(const struct pp_heap *heap, struct pp_run *r, const char *block, size_t size) {
    bool was_touched = r->touched;
    r->touched = true;
    if (!was_touched) return size;
    size_t begin = (size_t)(block - heap->runs.base), touched = heap->runs.touched * PP_PAGE;
    size_t dirty = begin < touched ? touched - begin : 0;
    return dirty < size ? size - dirty : 0;
}

/* Returns a block that was kept; NULL: none of that length is. */
static char *take_kept(struct pp_heap *heap, uint32_t length) {
    if (heap->kept_count == 0 || length != heap->kept_length) return NULL;
    count_taken(heap, length);
    return heap->runs.base + heap->kept[--heap->kept_count] * PP_PAGE;
}

/* Returns NULL if there is no room. *fresh: see pp_heap_take(). */
static char *take_pages(struct pp_heap *heap, size_t size, size_t *fresh) {
    *fresh = 0;
    char *block = take_kept(heap, pages_of(size));
    if (block) return block;
    uint32_t run = alloc_run(heap, pages_of(size));
    if (!run) return NULL;
    block = pp_run_base(&heap->runs, run);
    *fresh = count_fresh(heap, pp_run_of(&heap->runs, run), block, size);
    return block;
}

static char *take_shared(struct pp_heap *heap, size_t size, size_t *fresh) {
    char *block;
    uint32_t run = alloc_shared(heap, size_class_of(size), &block);
    if (!run) return NULL;
    *fresh = count_fresh(heap, pp_run_of(&heap->runs, run), block, size);
    return block;
}

void *pp_heap_take(struct pp_heap *heap, size_t size, bool zeroed, size_t *fresh) {
    if (size == 0 || size > pp_heap_size(heap)) return NULL;
    bool shares = size <= LARGEST_SHARED;
    size_t takes = shares ? size_of(size_class_of(size)) : pages_of(size) * PP_PAGE, zero;
    if (heap->budget && takes > *heap->budget) return NULL;
    char *block = shares ? take_shared(heap, size, &zero) : take_pages(heap, size, &zero);
    if (!block) return NULL;
    if (heap->budget) *heap->budget -= takes;
    if (zeroed) memset(block, 0, size - zero);
    if (fresh) *fresh = zero;
    if (heap->runs.frontier > heap->runs.touched) heap->runs.touched = heap->runs.frontier;
    return block;
}

bool pp_heap_has_room(struct pp_heap *heap, size_t size) {
    if (size > pp_heap_size(heap) || (heap->budget && pages_of(size) * PP_PAGE > *heap->budget)) return false;
    if (pp_runs_has(&heap->runs, pages_of(size))) return true;
    join_kept(heap);
    return pp_runs_has(&heap->runs, pages_of(size));
}

/* The used run to which the block belongs, and its offset there; 0: none. */
static uint32_t run_at(const struct pp_heap *heap, const void *block, size_t *offset) {
    if (!block || !pp_heap_holds(heap, block, 1)) return 0;
    size_t at = (size_t)((const char *)block - heap->runs.base);
    *offset = at % PP_PAGE;
    return pp_runs_find(&heap->runs, (uint32_t)(at / PP_PAGE));
}

static void free_pages(struct pp_heap *heap, uint32_t run) {
    const struct pp_run *r = pp_run_of(&heap->runs, run);
    uint32_t pages = r->length;
    if (heap->budget) *heap->budget += r->counts * PP_PAGE;
    bool is_whole = heap->keeps && r->counts == pages;
    if (!is_whole || !keep(heap, r->first, pages)) pp_runs_free(&heap->runs, run);
    count_freed(heap, pages);
}

void pp_heap_free(struct pp_heap *heap, void *block) {
    size_t offset;
    uint32_t run = run_at(heap, block, &offset);
    if (!run) return;
    if (pp_run_of(&heap->runs, run)->kind == PP_RUN_SHARED) free_shared(heap, run, offset);
    else if (pp_run_of(&heap->runs, run)->kind == PP_RUN_USED && offset == 0) free_pages(heap, run);
}

void pp_heap_free_room(struct pp_heap *heap, void *block, size_t size) {
    uint32_t pages = pages_of(size);
    if (!heap->keeps || !keep(heap, (uint32_t)((size_t)((char *)block - heap->runs.base) / PP_PAGE), pages)) {
        pp_heap_free(heap, block);
        return;
    }
    if (heap->budget) *heap->budget += pages * PP_PAGE;
    count_freed(heap, pages);
}

/* The pages beyond stay with the block while there is room for others: then each block of this size meets the same
 * pages again and again, and touches no new ones. */
void pp_heap_shrink(struct pp_heap *heap, void *block, size_t size) {
    size_t offset;
    uint32_t run = run_at(heap, block, &offset);
    if (!run || pp_run_of(&heap->runs, run)->kind != PP_RUN_USED || offset != 0) return;
    struct pp_run *r = pp_run_of(&heap->runs, run);
    uint32_t left = pages_of(size);
    if (left >= r->counts) return;
    if (heap->budget) *heap->budget += (size_t)(r->counts - left) * PP_PAGE;
    r->counts = left;
    if (heap->runs.frontier > heap->runs.pages / 2) count_freed(heap, pp_runs_cut(&heap->runs, run, left));
}
