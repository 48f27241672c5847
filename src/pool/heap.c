#include "pool/heap.h"

#include <string.h>

#include "base/sys.h"

#define PAGE ((size_t)4096)
#define SMALLEST ((size_t)64)
#define LARGEST_SHARED ((size_t)2048)
#define LOOKS 16 /* runs of a list that are tried before longer ones are cut */
#define FEWEST_RUNS 64U

#define MUCH ((uint32_t)(((size_t)16 << 20) / PAGE)) /* pages that are freed before any go back to the system */
#define WORTH_A_CALL 4U                              /* runs of 1 << WORTH_A_CALL pages or more go back */
#define KEPT_MOST 512U                               /* pages of a run that is kept */
#define SOON_NS 1000000000U                          /* what is taken again after so long counts as needed again */

enum kind { SPARE, FREE_RUN, USED_RUN, SHARED_PAGE };

struct pp_run {
    uint32_t first, length;  /* pages */
    uint32_t before, after;  /* its neighbours by address; the run after the last is 0 */
    uint32_t next, prev;     /* in the list it is on */
    uint32_t chain;          /* of a used run: the next in its bucket */
    uint32_t counts;         /* of a used run: its pages that count against the budget */
    uint64_t used;           /* of a shared page: which of its blocks are in use */
    uint8_t kind, size_class;
    bool touched;            /* its pages may hold anything; else they are zero, and the system has them */
};

void pp_heap_begin(struct pp_heap *heap, char *base, size_t size, size_t *budget) {
    memset(heap, 0, sizeof *heap);
    heap->budget = budget;
    heap->base = base;
    heap->pages = size / PAGE > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)(size / PAGE);
}

void pp_heap_end(struct pp_heap *heap) {
    pp_release(heap->runs);
    pp_release(heap->buckets);
    pp_release(heap->kept);
    memset(heap, 0, sizeof *heap);
}

static struct pp_run *run_of(const struct pp_heap *heap, uint32_t run) {
    return &heap->runs[run - 1];
}

/* ---- the table of runs */

static uint32_t *bucket_of(const struct pp_heap *heap, uint32_t page) {
    uint32_t mixed = page * 0x9e3779b1U;
    return &heap->buckets[(mixed ^ mixed >> 16) & (heap->bucket_count - 1)];
}

/* Returns the used run that begins at this page; 0: none does. */
static uint32_t find_used(const struct pp_heap *heap, uint32_t page) {
    if (!heap->buckets) return 0;
    uint32_t run = *bucket_of(heap, page);
    while (run && run_of(heap, run)->first != page) run = run_of(heap, run)->chain;
    return run;
}

static void chain_used(struct pp_heap *heap, uint32_t run) {
    uint32_t *bucket = bucket_of(heap, run_of(heap, run)->first);
    run_of(heap, run)->chain = *bucket;
    *bucket = run;
}

static void unchain_used(struct pp_heap *heap, uint32_t run) {
    uint32_t *link = bucket_of(heap, run_of(heap, run)->first);
    while (*link != run) link = &run_of(heap, *link)->chain;
    *link = run_of(heap, run)->chain;
}

/* Makes room for twice as many runs. */
static bool grow_table(struct pp_heap *heap) {
    if (heap->room > UINT32_MAX / 4) return false;
    uint32_t room = heap->room ? 2 * heap->room : FEWEST_RUNS;
    uint32_t *buckets = pp_zalloc(room, sizeof *buckets);
    struct pp_run *runs = buckets ? pp_realloc(heap->runs, room * sizeof *runs) : NULL;
    if (!runs) {
        pp_release(buckets);
        return false;
    }
    pp_release(heap->buckets);
    heap->runs = runs;
    heap->room = heap->bucket_count = room;
    heap->buckets = buckets;
    for (uint32_t run = 1; run <= heap->known; run++)
        if (run_of(heap, run)->kind >= USED_RUN) chain_used(heap, run);
    return true;
}

/* Makes sure that new_run() can be called once. */
static bool has_spare(struct pp_heap *heap) {
    return heap->spare || heap->known < heap->room || grow_table(heap);
}

/* Returns a run of these pages that comes after the run `before`, on no list. */
static uint32_t new_run(struct pp_heap *heap, uint32_t first, uint32_t length, uint32_t before, enum kind kind) {
    uint32_t run = heap->spare;
    if (run) heap->spare = run_of(heap, run)->next;
    else run = ++heap->known;
    struct pp_run *r = run_of(heap, run);
    *r = (struct pp_run){.first = first, .length = length, .before = before, .kind = (uint8_t)kind, .touched = true};
    r->after = before ? run_of(heap, before)->after : 0;
    if (before) run_of(heap, before)->after = run;
    if (r->after) run_of(heap, r->after)->before = run;
    else heap->last = run;
    return run;
}

static void drop_run(struct pp_heap *heap, uint32_t run) {
    struct pp_run *r = run_of(heap, run);
    if (r->before) run_of(heap, r->before)->after = r->after;
    if (r->after) run_of(heap, r->after)->before = r->before;
    else heap->last = r->before;
    r->kind = SPARE;
    r->next = heap->spare;
    heap->spare = run;
}

/* ---- lists */

static void list_add(struct pp_heap *heap, uint32_t *list, uint32_t run) {
    struct pp_run *r = run_of(heap, run);
    r->prev = 0;
    r->next = *list;
    if (*list) run_of(heap, *list)->prev = run;
    *list = run;
}

static void list_remove(struct pp_heap *heap, uint32_t *list, uint32_t run) {
    const struct pp_run *r = run_of(heap, run);
    if (r->prev) run_of(heap, r->prev)->next = r->next;
    else *list = r->next;
    if (r->next) run_of(heap, r->next)->prev = r->prev;
}

static unsigned log2_of(uint32_t length) {
    unsigned log = 0;
    while (length >>= 1) log++;
    return log;
}

static uint32_t *list_of(struct pp_heap *heap, uint32_t run) {
    return &heap->free_runs[log2_of(run_of(heap, run)->length)];
}

/* ---- pages that go back to the system */

/* A worker may still write to what was freed: one that is being killed, or a task with a stray pointer. The page that
 * it writes to is then in memory again until it is given or the pool ends, and harms as little as a write into freed
 * memory ever does. */
static void give_back(struct pp_heap *heap) {
    for (unsigned log = WORTH_A_CALL; log < PP_HEAP_LENGTHS; log++)
        for (uint32_t run = heap->free_runs[log]; run; run = run_of(heap, run)->next) {
            struct pp_run *r = run_of(heap, run);
            if (r->touched && !pp_give_back(heap->base + r->first * PAGE, r->length * PAGE)) return;
            r->touched = false;
        }
    if (heap->touched - heap->frontier < 1U << WORTH_A_CALL) return;
    if (pp_give_back(heap->base + heap->frontier * PAGE, (heap->touched - heap->frontier) * PAGE))
        heap->touched = heap->frontier;
}

/* ---- runs of pages */

/* Joins the free run with the one after it, and forgets that. */
static void join_next(struct pp_heap *heap, uint32_t run) {
    struct pp_run *r = run_of(heap, run);
    const struct pp_run *after = run_of(heap, r->after);
    r->length += after->length;
    r->touched |= after->touched;
    drop_run(heap, r->after);
}

/* The run is on no list and in no chain. */
static void free_run(struct pp_heap *heap, uint32_t run) {
    struct pp_run *r = run_of(heap, run);
    r->kind = FREE_RUN;
    r->touched = true;
    if (r->after && run_of(heap, r->after)->kind == FREE_RUN) {
        list_remove(heap, list_of(heap, r->after), r->after);
        join_next(heap, run);
    }
    if (r->before && run_of(heap, r->before)->kind == FREE_RUN) {
        run = r->before;
        list_remove(heap, list_of(heap, run), run);
        join_next(heap, run);
        r = run_of(heap, run);
    }
    if (r->after == 0) {
        heap->frontier = r->first;
        drop_run(heap, run);
    } else {
        list_add(heap, list_of(heap, run), run);
    }
}

/* ---- blocks that are kept */

static void join_one_kept(struct pp_heap *heap) {
    uint32_t run = find_used(heap, heap->kept[--heap->kept_count]);
    unchain_used(heap, run);
    free_run(heap, run);
}

static void join_kept(struct pp_heap *heap) {
    while (heap->kept_count) join_one_kept(heap);
}

/* Makes room for one more. */
static bool grow_kept(struct pp_heap *heap) {
    if (heap->kept_count < heap->kept_room) return true;
    uint32_t room = heap->kept_room ? 2 * heap->kept_room : FEWEST_RUNS;
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
        give_back(heap);
    } else if (heap->holds_back) {
        *heap->holds_back = true;
    }
}

bool pp_heap_settle(struct pp_heap *heap, uint64_t now) {
    if (!heap->takes_again) return true;
    if (now < heap->looked_at + SOON_NS) return false;
    heap->takes_again = false;
    join_kept(heap);
    give_back(heap);
    return true;
}

static void count_taken(struct pp_heap *heap, uint32_t pages) {
    heap->taken = pages > UINT32_MAX - heap->taken ? UINT32_MAX : heap->taken + pages;
    if (heap->taken < MUCH) return;
    heap->taken = 0;
    heap->takes_again = heap->looked_at && pp_last_tick() - heap->looked_at < SOON_NS;
}

/* A free run of at least `length` pages, or 0. */
static uint32_t find_free(const struct pp_heap *heap, uint32_t length) {
    unsigned log = log2_of(length);
    uint32_t run = heap->free_runs[log];
    for (int looks = 0; run && looks < LOOKS; run = run_of(heap, run)->next, looks++)
        if (run_of(heap, run)->length >= length) return run;
    while (++log < PP_HEAP_LENGTHS)
        if (heap->free_runs[log]) return heap->free_runs[log];
    return 0;
}

/* Returns a used run, or 0. Its `touched` says whether its first page may have been. */
static uint32_t alloc_run(struct pp_heap *heap, uint32_t length) {
    if (!has_spare(heap)) return 0;
    uint32_t run = find_free(heap, length);
    if (!run && length > heap->pages - heap->frontier) {
        join_kept(heap);
        run = find_free(heap, length);
        if (!run && length > heap->pages - heap->frontier) return 0;
    }
    if (run) {
        list_remove(heap, list_of(heap, run), run);
        struct pp_run *r = run_of(heap, run);
        uint32_t left = r->length - length;
        r->length = length;
        if (left) {
            uint32_t rest = new_run(heap, r->first + length, left, run, FREE_RUN);
            run_of(heap, rest)->touched = r->touched;
            list_add(heap, list_of(heap, rest), rest);
        }
    } else {
        run = new_run(heap, heap->frontier, length, heap->last, USED_RUN);
        run_of(heap, run)->touched = heap->frontier < heap->touched;
        heap->frontier += length;
    }
    run_of(heap, run)->kind = USED_RUN;
    run_of(heap, run)->counts = length;
    chain_used(heap, run);
    count_taken(heap, length);
    return run;
}

/* ---- pages shared by small blocks */

static size_t size_of(uint32_t size_class) {
    return SMALLEST << size_class;
}

static uint64_t all_used(uint32_t size_class) {
    size_t blocks = PAGE / size_of(size_class);
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
        run_of(heap, run)->kind = SHARED_PAGE;
        run_of(heap, run)->used = 0;
        run_of(heap, run)->size_class = (uint8_t)size_class;
        list_add(heap, list, run);
    }
    uint32_t run = *list;
    struct pp_run *r = run_of(heap, run);
    unsigned bit = lowest_zero(r->used);
    r->used |= (uint64_t)1 << bit;
    if (r->used == all_used(size_class)) list_remove(heap, list, run);
    *block = heap->base + r->first * PAGE + bit * size_of(size_class);
    return run;
}

static void free_shared(struct pp_heap *heap, uint32_t run, size_t offset) {
    struct pp_run *r = run_of(heap, run);
    uint32_t *list = &heap->part_used[r->size_class];
    uint64_t bit = (uint64_t)1 << offset / size_of(r->size_class);
    if (!(r->used & bit) || offset % size_of(r->size_class)) return;
    if (r->used == all_used(r->size_class)) list_add(heap, list, run);
    r->used &= ~bit;
    if (heap->budget) *heap->budget += size_of(r->size_class);
    if (r->used != 0) return;
    list_remove(heap, list, run);
    unchain_used(heap, run);
    free_run(heap, run);
    count_freed(heap, 1);
}

/* ---- both */

static uint32_t pages_of(size_t size) {
    return size ? (uint32_t)((size + PAGE - 1) / PAGE) : 1;
}

/* How many bytes at the end of the block are known to be zero. The page of a small block is touched by the first. */
static size_t count_fresh(const struct pp_heap *heap, struct pp_run *r, const char *block, size_t size) {
    bool was_touched = r->touched;
    r->touched = true;
    if (!was_touched) return size;
    size_t begin = (size_t)(block - heap->base), touched = heap->touched * PAGE;
    size_t dirty = begin < touched ? touched - begin : 0;
    return dirty < size ? size - dirty : 0;
}

/* Returns a block that was kept; NULL: none of that length is. */
static char *take_kept(struct pp_heap *heap, uint32_t length) {
    if (heap->kept_count == 0 || length != heap->kept_length) return NULL;
    count_taken(heap, length);
    return heap->base + heap->kept[--heap->kept_count] * PAGE;
}

/* Returns NULL if there is no room. *fresh: see pp_heap_take(). */
static char *take_pages(struct pp_heap *heap, size_t size, size_t *fresh) {
    *fresh = 0;
    char *block = take_kept(heap, pages_of(size));
    if (block) return block;
    uint32_t run = alloc_run(heap, pages_of(size));
    if (!run) return NULL;
    block = heap->base + run_of(heap, run)->first * PAGE;
    *fresh = count_fresh(heap, run_of(heap, run), block, size);
    return block;
}

static char *take_shared(struct pp_heap *heap, size_t size, size_t *fresh) {
    char *block;
    uint32_t run = alloc_shared(heap, size_class_of(size), &block);
    if (!run) return NULL;
    *fresh = count_fresh(heap, run_of(heap, run), block, size);
    return block;
}

void *pp_heap_take(struct pp_heap *heap, size_t size, bool zeroed, size_t *fresh) {
    if (size == 0 || size > (size_t)heap->pages * PAGE) return NULL;
    bool shares = size <= LARGEST_SHARED;
    size_t takes = shares ? size_of(size_class_of(size)) : pages_of(size) * PAGE, zero;
    if (heap->budget && takes > *heap->budget) return NULL;
    char *block = shares ? take_shared(heap, size, &zero) : take_pages(heap, size, &zero);
    if (!block) return NULL;
    if (heap->budget) *heap->budget -= takes;
    if (zeroed) memset(block, 0, size - zero);
    if (fresh) *fresh = zero;
    if (heap->frontier > heap->touched) heap->touched = heap->frontier;
    return block;
}

bool pp_heap_has_room(struct pp_heap *heap, size_t size) {
    if (size > (size_t)heap->pages * PAGE || (heap->budget && pages_of(size) * PAGE > *heap->budget)) return false;
    if (pages_of(size) <= heap->pages - heap->frontier || find_free(heap, pages_of(size))) return true;
    join_kept(heap);
    return pages_of(size) <= heap->pages - heap->frontier || find_free(heap, pages_of(size));
}

/* The used run to which the block belongs, and its offset there; 0: none. */
static uint32_t run_at(const struct pp_heap *heap, const void *block, size_t *offset) {
    if (!block || !pp_heap_holds(heap, block, 1)) return 0;
    size_t at = (size_t)((const char *)block - heap->base);
    *offset = at % PAGE;
    return find_used(heap, (uint32_t)(at / PAGE));
}

static void free_pages(struct pp_heap *heap, uint32_t run) {
    const struct pp_run *r = run_of(heap, run);
    uint32_t pages = r->length;
    if (heap->budget) *heap->budget += r->counts * PAGE;
    bool is_whole = heap->keeps && r->counts == pages;
    if (!is_whole || !keep(heap, r->first, pages)) {
        unchain_used(heap, run);
        free_run(heap, run);
    }
    count_freed(heap, pages);
}

void pp_heap_free(struct pp_heap *heap, void *block) {
    size_t offset;
    uint32_t run = run_at(heap, block, &offset);
    if (!run) return;
    if (run_of(heap, run)->kind == SHARED_PAGE) free_shared(heap, run, offset);
    else if (run_of(heap, run)->kind == USED_RUN && offset == 0) free_pages(heap, run);
}

void pp_heap_free_room(struct pp_heap *heap, void *block, size_t size) {
    uint32_t pages = pages_of(size);
    if (!heap->keeps || !keep(heap, (uint32_t)((size_t)((char *)block - heap->base) / PAGE), pages)) {
        pp_heap_free(heap, block);
        return;
    }
    if (heap->budget) *heap->budget += pages * PAGE;
    count_freed(heap, pages);
}

/* The pages beyond stay with the block while there is room for others: then each block of this size meets the same
 * pages again and again, and touches no new ones. */
void pp_heap_shrink(struct pp_heap *heap, void *block, size_t size) {
    size_t offset;
    uint32_t run = run_at(heap, block, &offset);
    if (!run || run_of(heap, run)->kind != USED_RUN || offset != 0) return;
    struct pp_run *r = run_of(heap, run);
    uint32_t left = pages_of(size);
    if (left >= r->counts) return;
    if (heap->budget) *heap->budget += (size_t)(r->counts - left) * PAGE;
    r->counts = left;
    if (heap->frontier <= heap->pages / 2 || !has_spare(heap)) return;
    r = run_of(heap, run);
    uint32_t rest = new_run(heap, r->first + left, r->length - left, run, USED_RUN);
    run_of(heap, run)->length = left;
    count_freed(heap, run_of(heap, rest)->length);
    free_run(heap, rest);
}
