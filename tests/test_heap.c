/* The allocator of shared memory, against a model: blocks never overlap, lie inside the heap, are zero where asked for,
 * and never exceed the budget; when all are freed, the memory is one piece again. */
#include "support.h"

#include <sys/mman.h>

#include "pool/heap.h"

enum { BLOCKS = 600, PAGE = 4096 };

struct block {
    unsigned char *data;
    size_t size, takes;
    uint64_t seed;
    bool is_cut;
};

struct model {
    struct pp_heap heap;
    char *base;
    size_t size, budget;
    struct block blocks[BLOCKS];
    size_t count, in_use; /* bytes that count against the budget */
};

static size_t next(uint64_t *random) {
    *random = scramble(*random);
    return (size_t)*random;
}

/* Of large blocks only the ends, which an overlap would hit. */
static void mark(const struct block *b) {
    size_t end = b->size < 256 ? b->size : 256;
    fill(b->data, end, b->seed);
    if (b->size >= 512) fill(b->data + b->size - 256, 256, b->seed + 1);
}

static bool is_marked(const struct block *b) {
    size_t end = b->size < 256 ? b->size : 256;
    return filled(b->data, end, b->seed) && (b->size < 512 || filled(b->data + b->size - 256, 256, b->seed + 1));
}

static bool is_zero(const unsigned char *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (data[i]) return false;
    return true;
}

static size_t taken_by(size_t size) {
    if (size > 2048) return (size + PAGE - 1) / PAGE * PAGE;
    size_t takes = 64;
    while (takes < size) takes *= 2;
    return takes;
}

static size_t some_size(uint64_t *random) {
    switch (next(random) % 8) {
    case 0: return 1 + next(random) % 64;
    case 1: return (size_t)64 << next(random) % 7;
    case 2: return ((size_t)64 << next(random) % 7) + 1;
    case 3: return 1 + next(random) % 2048;
    case 4: return 2049 + next(random) % 20000;
    case 5: return PAGE * (1 + next(random) % 8);
    case 6: return 1 + next(random) % 200000;
    default: return 1 + next(random) % 600;
    }
}

static struct model *make_model(size_t pages) {
    static struct model model;
    memset(&model, 0, sizeof model);
    model.size = pages * PAGE;
    model.base = shared(model.size);
    model.budget = model.size;
    pp_heap_begin(&model.heap, model.base, model.size, &model.budget);
    return &model;
}

static bool allocate(struct model *m, size_t size, uint64_t seed) {
    bool zeroed = seed % 2;
    size_t budget = m->budget;
    unsigned char *data = pp_heap_alloc(&m->heap, size, zeroed);
    if (!data) {
        assert_true(m->budget == budget);
        return false;
    }
    struct block *b = &m->blocks[m->count++];
    *b = (struct block){.data = data, .size = size, .takes = taken_by(size), .seed = seed};
    assert_true((uintptr_t)(data - (unsigned char *)m->base) % 64 == 0);
    assert_true(pp_heap_holds(&m->heap, data, b->takes));
    assert_true(budget - m->budget == b->takes);
    if (zeroed) assert_true(is_zero(data, size));
    mark(b);
    m->in_use += b->takes;
    assert_true(m->budget == m->size - m->in_use);
    return true;
}

static void give_back(struct model *m, size_t i) {
    struct block *b = &m->blocks[i];
    assert_true(is_marked(b));
    memset(b->data, 0xdd, b->size < PAGE ? b->size : PAGE);
    if (m->heap.keeps && !b->is_cut && b->size > 2048) pp_heap_free_room(&m->heap, b->data, b->size);
    else pp_heap_free(&m->heap, b->data);
    m->in_use -= b->takes;
    assert_true(m->budget == m->size - m->in_use);
    *b = m->blocks[--m->count];
}

static void shorten(struct model *m, size_t i, size_t size) {
    struct block *b = &m->blocks[i];
    assert_true(is_marked(b));
    pp_heap_shrink(&m->heap, b->data, size);
    if (b->takes >= PAGE) {
        m->in_use -= b->takes;
        b->takes = (size + PAGE - 1) / PAGE * PAGE;
        m->in_use += b->takes;
    }
    assert_true(m->budget == m->size - m->in_use);
    b->size = size;
    b->is_cut = true;
    mark(b);
}

static void check_is_whole(struct model *m) {
    assert_int_equal(m->count, 0);
    assert_true(m->budget == m->size);
    void *all = pp_heap_alloc(&m->heap, m->size, false);
    assert_true(all == m->base);
    for (size_t i = 0; i < PP_RUN_LENGTHS; i++) assert_int_equal(m->heap.runs.free_runs[i], 0);
    for (size_t i = 0; i < PP_HEAP_SIZES; i++) assert_int_equal(m->heap.part_used[i], 0);
    pp_heap_free(&m->heap, all);
    assert_true(m->budget == m->size);
}

TEST_CASE(blocks_never_overlap_and_memory_becomes_whole_again) {
    uint64_t random = 1;
    for (int round = 0; round < 8; round++) {
        struct model *m = make_model(round % 4 < 2 ? 20000 : 700);
        m->heap.keeps = round >= 4;
        for (size_t step = 0; step < scaled(60000); step++) {
            /* For 3000 steps mostly allocations, for the next 3000 mostly frees. */
            bool more = next(&random) % 100 < (step / 3000 % 2 ? 30U : 70U);
            size_t size = round % 2 && step % 4 ? 3 * PAGE : some_size(&random);
            if (more && m->count < BLOCKS) allocate(m, size, next(&random));
            else if (m->count) give_back(m, next(&random) % m->count);
            if (m->count && step % 8 == 0) {
                size_t i = next(&random) % m->count;
                shorten(m, i, 1 + next(&random) % m->blocks[i].size);
            }
        }
        while (m->count) give_back(m, next(&random) % m->count);
        check_is_whole(m);
        pp_heap_end(&m->heap);
    }
}

TEST_CASE(the_last_page_can_be_allocated_and_no_more) {
    struct model *m = make_model(64);
    for (int round = 0; round < 3; round++) {
        assert_null(pp_heap_alloc(&m->heap, 64 * PAGE + 1, false));
        assert_true(allocate(m, 64 * PAGE, 1));
        assert_null(pp_heap_alloc(&m->heap, 1, false));
        give_back(m, 0);
        for (int i = 0; i < 64; i++) assert_true(allocate(m, PAGE, 3));
        assert_false(allocate(m, 1, 3));
        while (m->count) give_back(m, m->count / 2);
        check_is_whole(m);
    }
    while (m->count < BLOCKS && allocate(m, 60, 5)) continue;
    assert_int_equal(m->count, BLOCKS);
    while (m->count) give_back(m, 0);
    check_is_whole(m);
    pp_heap_end(&m->heap);
}

TEST_CASE(impossible_sizes_are_refused) {
    struct model *m = make_model(16);
    const size_t sizes[] = {0, SIZE_MAX, SIZE_MAX - PAGE, SIZE_MAX / 2, 16 * PAGE + 1};
    for (size_t i = 0; i < COUNT(sizes); i++) assert_null(pp_heap_alloc(&m->heap, sizes[i], true));
    assert_false(pp_heap_holds(&m->heap, m->base, 16 * PAGE + 1));
    assert_false(pp_heap_holds(&m->heap, m->base + PAGE, SIZE_MAX));
    assert_false(pp_heap_holds(&m->heap, m->base - 1, 1));
    assert_true(pp_heap_holds(&m->heap, m->base, 16 * PAGE));
    check_is_whole(m);
    pp_heap_end(&m->heap);
}

TEST_CASE(addresses_that_are_no_block_are_not_freed) {
    struct model *m = make_model(100);
    int elsewhere = 0;
    allocate(m, 100, 2);
    allocate(m, 3 * PAGE, 4);
    allocate(m, 5, 6);
    unsigned char *small = m->blocks[0].data, *large = m->blocks[1].data;
    void *wrong[] = {NULL, &elsewhere, small + 1, small + 64, small + 128, small + 2048, large + 1, large + 2049,
                     m->base - 64, m->base + m->size, m->base + m->size - 64, m->base + 50 * PAGE};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        pp_heap_free(&m->heap, wrong[i]);
        assert_true(m->budget == m->size - m->in_use);
    }
    give_back(m, 1);
    pp_heap_free(&m->heap, large); /* twice */
    assert_true(m->budget == m->size - m->in_use);
    while (m->count) give_back(m, 0);
    check_is_whole(m);
    pp_heap_end(&m->heap);
}

/* Entries of the table that described earlier blocks must not make inner pages of a block look like blocks. */
TEST_CASE(pages_inside_a_block_are_no_blocks) {
    struct model *m = make_model(3000);
    uint64_t random = 9;
    for (int round = 0; round < 20; round++) {
        while (m->count < 300 && allocate(m, PAGE * (1 + next(&random) % 5), next(&random))) continue;
        while (m->count) give_back(m, next(&random) % m->count);
        assert_true(allocate(m, 1500 * PAGE, next(&random)));
        for (int page = 1; page < 1500; page++) pp_heap_free(&m->heap, m->blocks[0].data + page * PAGE);
        assert_true(m->budget == m->size - m->in_use);
        give_back(m, 0);
        check_is_whole(m);
    }
    pp_heap_end(&m->heap);
}

TEST_CASE(heaps_share_a_budget) {
    size_t budget = 10 * PAGE;
    struct pp_heap one, other;
    pp_heap_begin(&one, shared(64 * PAGE), 64 * PAGE, &budget);
    pp_heap_begin(&other, shared(64 * PAGE), 64 * PAGE, &budget);
    void *a = pp_heap_alloc(&one, 7 * PAGE, false);
    assert_non_null(a);
    assert_null(pp_heap_alloc(&other, 4 * PAGE, false));
    void *b = pp_heap_alloc(&other, 3 * PAGE, false);
    assert_non_null(b);
    assert_null(pp_heap_alloc(&one, 1, false));
    pp_heap_free(&one, a);
    assert_non_null(pp_heap_alloc(&other, 7 * PAGE, false));
    assert_int_equal(budget, 0);
    pp_heap_end(&one);
    pp_heap_end(&other);
}

/* The rooms of many results, of which nothing is touched: what the heap itself needs does not grow with their size. */
TEST_CASE(a_long_block_takes_no_more_bookkeeping_than_a_short_one) {
    enum { RUNS = 1000 };
    for (size_t pages = 1; pages <= (sizeof(size_t) > 4 ? 16384 : 256); pages *= 4) {
        struct pp_heap heap;
        void *blocks[RUNS], *base = mmap(NULL, RUNS * pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED) return; /* there is no address space for it */
        pp_heap_begin(&heap, base, RUNS * pages * PAGE, NULL);
        for (size_t i = 0; i < RUNS; i++) {
            blocks[i] = pp_heap_alloc(&heap, pages * PAGE, false);
            assert_non_null(blocks[i]);
        }
        assert_true(heap.runs.room <= 2 * RUNS);
        for (size_t i = 0; i < RUNS; i += 2) pp_heap_free(&heap, blocks[i]);
        for (size_t i = 1; i < RUNS; i += 2) pp_heap_free(&heap, blocks[i]);
        assert_non_null(pp_heap_alloc(&heap, RUNS * pages * PAGE, false));
        assert_true(heap.runs.room <= 2 * RUNS);
        pp_heap_end(&heap);
        munmap(base, RUNS * pages * PAGE);
    }
}

/* ---- What goes back to the system -------------------------------------------------------------------------------- */

enum { LARGE = 8192 * PAGE, ALL = 4 * 8192 * PAGE };

static struct pp_heap begin_large(void) {
    struct pp_heap heap;
    pp_heap_begin(&heap, shared(ALL), ALL, NULL);
    return heap;
}

static unsigned char *take_and_write(struct pp_heap *heap, size_t size) {
    unsigned char *block = pp_heap_alloc(heap, size, true);
    assert_non_null(block);
    assert_true(is_zero(block, size));
    memset(block, 1, size);
    return block;
}

TEST_CASE(much_that_is_freed_goes_back_to_the_system_and_the_rest_stays) {
    struct pp_heap heap = begin_large();
    if (pages_in(heap.runs.base, ALL) < 0) return;
    unsigned char *first = take_and_write(&heap, LARGE), *second = take_and_write(&heap, PAGE);
    unsigned char *third = take_and_write(&heap, LARGE);
    pp_heap_free(&heap, first); /* between others */
    assert_int_equal(pages_in(first, LARGE), 0);
    pp_heap_free(&heap, third); /* the last */
    assert_int_equal(pages_in(heap.runs.base, ALL), 1);
    for (int i = 0; i < PAGE; i++) assert_int_equal(second[i], 1);
    first = take_and_write(&heap, LARGE / 2); /* it is zero again */
    third = take_and_write(&heap, 2 * LARGE);
    assert_int_equal(pages_in(heap.runs.base, ALL), (LARGE / 2 + 2 * LARGE) / PAGE + 1);
    pp_heap_free(&heap, first);
    pp_heap_free(&heap, second);
    pp_heap_free(&heap, third);
    pp_heap_end(&heap);
}

TEST_CASE(many_small_blocks_go_back_together) {
    enum { BLOCKS_OF = 5 * PAGE, COUNT_OF = LARGE / BLOCKS_OF };
    struct pp_heap heap = begin_large();
    if (pages_in(heap.runs.base, ALL) < 0) return;
    static unsigned char *blocks[COUNT_OF];
    for (size_t i = 0; i < COUNT_OF; i++) blocks[i] = take_and_write(&heap, BLOCKS_OF);
    for (size_t i = 0; i < COUNT_OF; i++) pp_heap_free(&heap, blocks[i]);
    assert_true(pages_in(heap.runs.base, ALL) < LARGE / PAGE * 3 / 4);
    pp_heap_end(&heap);
}

TEST_CASE(memory_that_is_taken_again_and_again_stays_until_that_ends) {
    struct pp_heap heap = begin_large();
    if (pages_in(heap.runs.base, ALL) < 0) return;
    int64_t start = now_ms();
    unsigned char *block = take_and_write(&heap, LARGE);
    for (int i = 0; i < 3; i++) {
        pp_heap_free(&heap, block);
        if (i == 0) assert_int_equal(pages_in(heap.runs.base, ALL), 0);
        else if (now_ms() - start < 900) assert_int_equal(pages_in(heap.runs.base, ALL), LARGE / PAGE);
        block = take_and_write(&heap, LARGE);
    }
    bool holds_back = false;
    heap.holds_back = &holds_back;
    pp_heap_free(&heap, block);
    if (holds_back) {
        assert_false(pp_heap_settle(&heap, heap.looked_at + 999999999));
        assert_int_equal(pages_in(heap.runs.base, ALL), LARGE / PAGE);
        assert_true(pp_heap_settle(&heap, heap.looked_at + 1000000000));
    }
    assert_int_equal(pages_in(heap.runs.base, ALL), 0);
    sleep_ms(1100); /* now it is no such loop any more */
    block = take_and_write(&heap, LARGE);
    pp_heap_free(&heap, block);
    assert_int_equal(pages_in(heap.runs.base, ALL), 0);
    pp_heap_end(&heap);
}

/* Rooms for results of unknown length: each is cut to a page or two, and some are held for long. */
TEST_CASE(generous_blocks_that_are_cut_do_not_touch_ever_new_pages) {
    enum { HELD = 16, ROOM = 256 * PAGE };
    struct pp_heap heap = begin_large();
    if (pages_in(heap.runs.base, ALL) < 0) return;
    char *held[HELD] = {NULL};
    uint64_t random = 5;
    for (int i = 0; i < 20000; i++) {
        size_t at = next(&random) % HELD, size = next(&random) % 7 ? 100 : 5000;
        pp_heap_free(&heap, held[at]);
        held[at] = pp_heap_alloc(&heap, ROOM, false);
        assert_non_null(held[at]);
        held[at][0] = held[at][size - 1] = 1;
        pp_heap_shrink(&heap, held[at], size);
    }
    assert_true(pages_in(heap.runs.base, ALL) <= 4 * HELD);
    pp_heap_end(&heap);
}

/* As of arguments and results. Blocks of one length are given again as they are, and are there for others, too, once
 * there is no other memory. */
TEST_CASE(a_heap_that_keeps_blocks_gives_them_again_and_joins_them_when_it_must) {
    enum { BLOCKS_IN = 16, EACH = 4 };
    struct pp_heap heap;
    size_t budget = SIZE_MAX;
    char *blocks[BLOCKS_IN];
    pp_heap_begin(&heap, shared(BLOCKS_IN * EACH * PAGE), BLOCKS_IN * EACH * PAGE, &budget);
    heap.keeps = true;
    for (int i = 0; i < BLOCKS_IN; i++) assert_non_null(blocks[i] = pp_heap_alloc(&heap, EACH * PAGE, false));
    for (int i = 0; i < BLOCKS_IN; i++) {
        if (i % 2) pp_heap_free(&heap, blocks[i]);
        else pp_heap_free_room(&heap, blocks[i], EACH * PAGE - 1);
    }
    assert_true(budget == SIZE_MAX);
    for (int i = BLOCKS_IN; i-- > 0;) {
        char *again = pp_heap_alloc(&heap, EACH * PAGE - 7, true);
        assert_ptr_equal(again, blocks[i]);
        assert_true(is_zero((const unsigned char *)again, EACH * PAGE - 7));
        memset(again, 1, EACH * PAGE);
    }
    assert_null(pp_heap_alloc(&heap, 1, false));
    for (int i = 0; i < BLOCKS_IN; i++) pp_heap_free_room(&heap, blocks[i], EACH * PAGE);
    assert_true(pp_heap_has_room(&heap, BLOCKS_IN * EACH * PAGE));
    assert_ptr_equal(pp_heap_alloc(&heap, BLOCKS_IN * EACH * PAGE, false), blocks[0]);
    pp_heap_end(&heap);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(blocks_never_overlap_and_memory_becomes_whole_again),
        TEST(the_last_page_can_be_allocated_and_no_more),
        TEST(impossible_sizes_are_refused),
        TEST(addresses_that_are_no_block_are_not_freed),
        TEST(pages_inside_a_block_are_no_blocks),
        TEST(heaps_share_a_budget),
        TEST(a_long_block_takes_no_more_bookkeeping_than_a_short_one),
        TEST(much_that_is_freed_goes_back_to_the_system_and_the_rest_stays),
        TEST(many_small_blocks_go_back_together),
        TEST(memory_that_is_taken_again_and_again_stays_until_that_ends),
        TEST(generous_blocks_that_are_cut_do_not_touch_ever_new_pages),
        TEST(a_heap_that_keeps_blocks_gives_them_again_and_joins_them_when_it_must),
    };
    return run_group("heap", tests, COUNT(tests), argc, argv);
}
