#include "pool/heap.h"

#include <string.h>

#include "base/sys.h"

#define PAGE ((size_t)4096)
#define SMALLEST ((size_t)64)
#define LARGEST_SHARED ((size_t)2048)
#define LOOKS 16 /* runs of a list that are tried before longer ones are cut */

enum kind { INSIDE, FREE_RUN, USED_RUN, SHARED_PAGE };

struct pp_heap_page {
    uint32_t kind;
    uint32_t run;        /* first page of a run: its length; last page: where it begins */
    uint32_t next, prev; /* in the list it is on, + 1; 0: none */
    uint64_t used;       /* a shared page: which of its blocks are in use */
    uint32_t size_class;
};

void pp_heap_begin(struct pp_heap *heap, char *base, size_t size, size_t *budget) {
    memset(heap, 0, sizeof *heap);
    heap->budget = budget;
    heap->base = base;
    heap->pages = size / PAGE > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)(size / PAGE);
}

void pp_heap_end(struct pp_heap *heap) {
    pp_release(heap->table);
    memset(heap, 0, sizeof *heap);
}

/* ---- lists */

static void list_add(struct pp_heap *heap, uint32_t *list, uint32_t page) {
    struct pp_heap_page *p = &heap->table[page];
    p->prev = 0;
    p->next = *list;
    if (*list) heap->table[*list - 1].prev = page + 1;
    *list = page + 1;
}

static void list_remove(struct pp_heap *heap, uint32_t *list, uint32_t page) {
    struct pp_heap_page *p = &heap->table[page];
    if (p->prev) heap->table[p->prev - 1].next = p->next;
    else *list = p->next;
    if (p->next) heap->table[p->next - 1].prev = p->prev;
}

static unsigned log2_of(uint32_t length) {
    unsigned log = 0;
    while (length >>= 1) log++;
    return log;
}

static uint32_t *list_of(struct pp_heap *heap, uint32_t length) {
    return &heap->free_runs[log2_of(length)];
}

/* ---- runs of pages */

static void set_run(struct pp_heap *heap, uint32_t first, uint32_t length, enum kind kind) {
    struct pp_heap_page *last = &heap->table[first + length - 1];
    last->kind = INSIDE;
    last->run = first;
    heap->table[first].kind = kind; /* a run of one page is not INSIDE: that tells run_before() */
    heap->table[first].run = length;
}

static uint32_t run_before(const struct pp_heap *heap, uint32_t page) {
    const struct pp_heap_page *last = &heap->table[page - 1];
    return last->kind == INSIDE ? last->run : page - 1;
}

static void add_free(struct pp_heap *heap, uint32_t first, uint32_t length) {
    set_run(heap, first, length, FREE_RUN);
    list_add(heap, list_of(heap, length), first);
}

static void take_free(struct pp_heap *heap, uint32_t first) {
    list_remove(heap, list_of(heap, heap->table[first].run), first);
}

static void free_run(struct pp_heap *heap, uint32_t first) {
    uint32_t length = heap->table[first].run;
    heap->table[first].kind = INSIDE; /* no block begins here any more, whatever run it becomes a part of */
    uint32_t after = first + length;
    if (after < heap->frontier && heap->table[after].kind == FREE_RUN) {
        take_free(heap, after);
        length += heap->table[after].run;
    }
    if (first > 0) {
        uint32_t before = run_before(heap, first);
        if (heap->table[before].kind == FREE_RUN) {
            take_free(heap, before);
            length += heap->table[before].run;
            first = before;
        }
    }
    if (first + length == heap->frontier) heap->frontier = first;
    else add_free(heap, first, length);
}

static bool know_pages(struct pp_heap *heap, uint32_t count) {
    if (count <= heap->known) return true;
    uint64_t wanted = (uint64_t)count + count / 2 + 64;
    uint32_t known = wanted > heap->pages ? heap->pages : (uint32_t)wanted;
    struct pp_heap_page *table = pp_realloc(heap->table, known * sizeof *table);
    if (!table) return false;
    memset(table + heap->known, 0, (known - heap->known) * sizeof *table); /* INSIDE */
    heap->table = table;
    heap->known = known;
    return true;
}

/* A free run of at least `length` pages, or heap->pages. */
static uint32_t find_run(struct pp_heap *heap, uint32_t length) {
    unsigned log = log2_of(length);
    uint32_t page = heap->free_runs[log];
    for (int looks = 0; page && looks < LOOKS; page = heap->table[page - 1].next, looks++)
        if (heap->table[page - 1].run >= length) return page - 1;
    while (++log < PP_HEAP_LENGTHS)
        if (heap->free_runs[log]) return heap->free_runs[log] - 1;
    return heap->pages;
}

static uint32_t alloc_run(struct pp_heap *heap, uint32_t length) {
    uint32_t first = find_run(heap, length);
    if (first < heap->pages) {
        uint32_t had = heap->table[first].run;
        take_free(heap, first);
        if (had > length) add_free(heap, first + length, had - length);
    } else {
        if (length > heap->pages - heap->frontier || !know_pages(heap, heap->frontier + length)) return heap->pages;
        first = heap->frontier;
        heap->frontier += length;
    }
    set_run(heap, first, length, USED_RUN);
    return first;
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

static char *alloc_shared(struct pp_heap *heap, uint32_t size_class) {
    uint32_t *list = &heap->part_used[size_class];
    if (!*list) {
        uint32_t page = alloc_run(heap, 1);
        if (page == heap->pages) return NULL;
        heap->table[page].kind = SHARED_PAGE;
        heap->table[page].used = 0;
        heap->table[page].size_class = size_class;
        list_add(heap, list, page);
    }
    uint32_t page = *list - 1;
    struct pp_heap_page *p = &heap->table[page];
    unsigned block = lowest_zero(p->used);
    p->used |= (uint64_t)1 << block;
    if (p->used == all_used(size_class)) list_remove(heap, list, page);
    return heap->base + page * PAGE + block * size_of(size_class);
}

static void free_shared(struct pp_heap *heap, uint32_t page, size_t offset) {
    struct pp_heap_page *p = &heap->table[page];
    uint32_t *list = &heap->part_used[p->size_class];
    uint64_t bit = (uint64_t)1 << offset / size_of(p->size_class);
    if (!(p->used & bit) || offset % size_of(p->size_class)) return;
    if (p->used == all_used(p->size_class)) list_add(heap, list, page);
    p->used &= ~bit;
    if (heap->budget) *heap->budget += size_of(p->size_class);
    if (p->used != 0) return;
    list_remove(heap, list, page);
    free_run(heap, page);
}

/* ---- both */

void *pp_heap_alloc(struct pp_heap *heap, size_t size, bool zeroed) {
    if (size == 0 || size > (size_t)heap->pages * PAGE) return NULL;
    bool shares = size <= LARGEST_SHARED;
    size_t takes = shares ? size_of(size_class_of(size)) : (size + PAGE - 1) / PAGE * PAGE;
    if (heap->budget && takes > *heap->budget) return NULL;
    char *block;
    if (shares) {
        block = alloc_shared(heap, size_class_of(size));
    } else {
        uint32_t page = alloc_run(heap, (uint32_t)(takes / PAGE));
        block = page == heap->pages ? NULL : heap->base + page * PAGE;
    }
    if (!block) return NULL;
    if (heap->budget) *heap->budget -= takes;
    size_t begin = (size_t)(block - heap->base), touched = heap->touched * PAGE;
    if (zeroed && begin < touched) memset(block, 0, size < touched - begin ? size : touched - begin);
    if (heap->frontier > heap->touched) heap->touched = heap->frontier;
    return block;
}

void pp_heap_free(struct pp_heap *heap, void *block) {
    if (!block || !pp_heap_holds(heap, block, 1)) return;
    size_t offset = (size_t)((char *)block - heap->base);
    uint32_t page = (uint32_t)(offset / PAGE);
    if (page >= heap->frontier) return;
    if (heap->table[page].kind == SHARED_PAGE) free_shared(heap, page, offset % PAGE);
    else if (heap->table[page].kind == USED_RUN && offset % PAGE == 0) {
        if (heap->budget) *heap->budget += heap->table[page].run * PAGE;
        free_run(heap, page);
    }
}

void pp_heap_shrink(struct pp_heap *heap, void *block, size_t size) {
    if (!block || !pp_heap_holds(heap, block, 1)) return;
    size_t offset = (size_t)((char *)block - heap->base);
    uint32_t page = (uint32_t)(offset / PAGE);
    if (page >= heap->frontier || heap->table[page].kind != USED_RUN || offset % PAGE != 0) return;
    uint32_t had = heap->table[page].run;
    if (size > (size_t)(had - 1) * PAGE) return; /* all of its pages are needed */
    uint32_t left = size ? (uint32_t)((size + PAGE - 1) / PAGE) : 1;
    if (left == had) return;
    set_run(heap, page, left, USED_RUN);
    set_run(heap, page + left, had - left, USED_RUN);
    free_run(heap, page + left);
    if (heap->budget) *heap->budget += (size_t)(had - left) * PAGE;
}
