/* A job's plan: each position is claimed once, for any number of threads, positions, blocks, chunks and regions. */
#include "threads.h"

#include "shared/plan.h"

enum { CLAIMERS = 4, MOST_COUNT = 70000 };

static struct {
    struct pp_job_plan plan;
    struct pp_cursor cursors[64];
    _Atomic unsigned char marks[MOST_COUNT];
    atomic_uchar claims[MOST_COUNT];
    unsigned char data[MOST_COUNT]; /* not atomic: only the claimer writes it */
    struct barrier start, end;
    atomic_int wrong;
    atomic_bool use_up, over;
} job;

static bool is_chunk(const struct pp_job_plan *plan, const struct pp_chunk *chunk) {
    return chunk->first < chunk->last && chunk->last <= plan->blocks && chunk->begin == chunk->first * plan->block &&
           chunk->end > chunk->begin && chunk->end <= plan->count &&
           (chunk->end == chunk->last * plan->block || (chunk->last == plan->blocks && chunk->end == plan->count)) &&
           (plan->chunk_blocks == 0 || chunk->last - chunk->first <= plan->chunk_blocks);
}

static void claim_until_nothing_is_left(uint32_t number, uint64_t *random) {
    struct pp_pace pace = {.items = 0};
    struct pp_chunk chunk;
    for (;;) {
        uint64_t most = next_random(random) % 3 ? UINT64_MAX : 1 + next_random(random) % 50;
        if (!pp_plan_claim(&job.plan, number, &pace, most, &chunk)) return;
        bool right = is_chunk(&job.plan, &chunk);
        if (!job.plan.chunk_blocks && chunk.end - chunk.begin > most && chunk.last - chunk.first > 1) right = false;
        if (!right) atomic_fetch_add(&job.wrong, 1);
        for (uint64_t p = chunk.begin; right && p < chunk.end; p++) {
            atomic_fetch_add_explicit(&job.claims[p], 1, memory_order_relaxed);
            job.data[p] = (unsigned char)(number + 1);
        }
        if (right) pp_plan_mark(&job.plan, chunk.first, chunk.last, number % 2);
        uint64_t took = next_random(random) % (2 * PP_CHUNK_NS);
        pp_pace_add(&pace, chunk.end - chunk.begin);
        if (pp_pace_is_due(&pace, next_random(random) % 2)) pp_pace_measure(&pace, pace.began + took);
        if (next_random(random) % 16 == 0) sched_yield();
    }
}

static void *claim(void *argument) {
    uint32_t number = (uint32_t)(uintptr_t)argument;
    uint64_t random = number;
    for (;;) {
        meet(&job.start);
        if (atomic_load(&job.over)) return NULL;
        claim_until_nothing_is_left(number, &random);
        meet(&job.end);
    }
}

static void make_job(uint64_t count, uint64_t block, uint64_t chunk_blocks, uint32_t workers, uint32_t generation) {
    job.plan = (struct pp_job_plan){.count = count, .block = block, .blocks = (count + block - 1) / block,
                                    .chunk_blocks = chunk_blocks, .generation = generation,
                                    .cursors = job.cursors, .marks = job.marks};
    pp_plan_deal(&job.plan, workers);
    for (size_t i = 0; i < count; i++) job.claims[i] = job.marks[i] = 0;
    pp_plan_begin(&job.plan);
}

static void check_claims(bool all) {
    assert_int_equal(job.wrong, 0);
    assert_true(pp_plan_is_used_up(&job.plan));
    for (uint64_t p = 0; p < job.plan.count; p++) {
        if (all) assert_int_equal(job.claims[p], 1);
        assert_true(job.claims[p] <= 1);
        unsigned char mark = job.marks[p / job.plan.block];
        assert_int_equal(mark, !job.claims[p] ? PP_UNMARKED : job.data[p] % 2 ? PP_MARK_DONE : PP_MARK_ERRORS);
    }
}

static void start_claimers(struct threads *threads, unsigned others) {
    job.start.count = job.end.count = CLAIMERS + others;
    atomic_store(&job.over, false);
    for (uintptr_t i = 0; i < CLAIMERS; i++) start_thread(threads, claim, (void *)i);
}

static void end_claimers(struct threads *threads) {
    atomic_store(&job.over, true);
    meet(&job.start);
    join_all(threads);
}

/* A job with numbers at the edges, or with random ones. */
static void make_some_job(uint64_t *random, uint32_t round) {
    static const uint64_t counts[] = {1, 2, 3, 7, 8, 63, 64, 65, 1000, 65535, 65536, 65537, MOST_COUNT};
    uint64_t count = round < 2 * COUNT(counts) ? counts[round / 2] : 1 + next_random(random) % 5000;
    uint64_t block = next_random(random) % 3 ? 1 + next_random(random) % 10 : 1 + next_random(random) % count;
    if (block > count) block = count;
    uint64_t chunk_blocks = next_random(random) % 2 ? 0 : 1 + next_random(random) % 20;
    make_job(count, block, chunk_blocks, 1 + (uint32_t)(next_random(random) % COUNT(job.cursors)),
             round % 5 ? round + 1 : 0xffffffffU - round);
}

TEST_CASE(claims_of_several_threads_cover_each_position_once) {
    struct threads threads = {.count = 0};
    start_claimers(&threads, 1);
    uint64_t random = 11;
    for (uint32_t round = 0; round < scaled(2000); round++) {
        make_some_job(&random, round);
        meet(&job.start);
        meet(&job.end);
        check_claims(true);
    }
    end_claimers(&threads);
}

TEST_CASE(no_position_is_claimed_after_the_plan_is_used_up) {
    struct threads threads = {.count = 0};
    start_claimers(&threads, 1);
    uint64_t random = 12;
    for (uint32_t round = 0; round < scaled(2000); round++) {
        make_some_job(&random, round);
        meet(&job.start);
        for (uint64_t i = next_random(&random) % 10; i; i--) stumble(&random);
        pp_plan_use_up(&job.plan);
        meet(&job.end);
        check_claims(false);
    }
    end_claimers(&threads);
}

TEST_CASE(scribbled_cursors_claim_nothing_outside_the_plan) {
    uint64_t random = 13;
    for (uint32_t round = 0; round < scaled(20000); round++) {
        make_some_job(&random, 100 + round);
        for (uint32_t i = 0; i < job.plan.regions; i++) {
            uint64_t near = job.plan.cursors[i].word + next_random(&random) % 64 - 32;
            uint64_t bit = job.plan.cursors[i].word ^ (uint64_t)1 << next_random(&random) % 64;
            job.plan.cursors[i].word = next_random(&random) % 2 ? near : next_random(&random) % 2 ? bit : random;
        }
        struct pp_pace pace = {.items = next_random(&random)};
        struct pp_chunk chunk;
        uint64_t claims = 0;
        while (pp_plan_claim(&job.plan, round, &pace, UINT64_MAX, &chunk)) {
            assert_true(is_chunk(&job.plan, &chunk));
            assert_true(++claims <= job.plan.blocks);
        }
        assert_true(pp_plan_is_used_up(&job.plan));
    }
}

TEST_CASE(regions_fit_their_cursors_and_hold_all_blocks) {
    static const uint64_t blocks[] = {1, 2, 3, 63, 64, 65, 65536, ((uint64_t)1 << 24) - 1, (uint64_t)1 << 24,
                                      ((uint64_t)1 << 24) + 1, ((uint64_t)1 << 40) - 1};
    static const uint32_t workers[] = {1, 2, 3, 64, PP_WORKERS};
    for (size_t b = 0; b < COUNT(blocks); b++)
        for (size_t w = 0; w < COUNT(workers); w++) {
            struct pp_job_plan plan = {.blocks = blocks[b]};
            pp_plan_deal(&plan, workers[w]);
            uint64_t stripes = plan.regions * plan.stripes_each + plan.one_more;
            assert_true(plan.stripes_each > 0 && plan.one_more < plan.regions);
            assert_true((plan.stripes_each + 1) << plan.stripe_bits < (uint64_t)1 << 24);
            assert_true(plan.short_of < (uint64_t)1 << plan.stripe_bits);
            assert_int_equal((stripes << plan.stripe_bits) - plan.short_of, blocks[b]);
            assert_true(plan.regions <= workers[w] || plan.stripes_each << plan.stripe_bits >= (uint64_t)1 << 22);
            assert_true(plan.stripe_bits == 0 || (plan.stripes_each >= 3 && plan.stripes_each <= 8));
        }
}

TEST_CASE(a_worker_claims_its_own_region_from_the_front_and_others_from_the_back) {
    make_job(256, 1, 8, 2, 7); /* stripes of 32 blocks */
    struct pp_pace pace = {.items = 0};
    struct pp_chunk chunk;
    static const struct {
        uint32_t worker;
        uint64_t begin;
    } expected[] = {{0, 0}, {1, 32}, {0, 8}, {1, 40}, {0, 16}, {0, 24}, {0, 64}, {1, 48}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(pp_plan_claim(&job.plan, expected[i].worker, &pace, UINT64_MAX, &chunk));
        assert_int_equal(chunk.begin, expected[i].begin);
    }
    for (uint64_t begin = 72; begin < 256; begin += begin % 32 == 24 ? 40 : 8)
        assert_true(pp_plan_claim(&job.plan, 0, &pace, UINT64_MAX, &chunk) && chunk.begin == begin);
    for (uint64_t begin = 248; begin >= 56; begin -= begin % 32 == 0 ? 40 : 8)
        assert_true(pp_plan_claim(&job.plan, 0, &pace, UINT64_MAX, &chunk) && chunk.begin == begin);
    assert_false(pp_plan_claim(&job.plan, 1, &pace, UINT64_MAX, &chunk));
}

/* Workers that are equally fast start each item when about all items before it were started. */
TEST_CASE(items_start_in_about_their_order) {
    static const uint64_t counts[] = {40, 1000, 5000};
    for (size_t i = 0; i < COUNT(counts); i++) {
        const uint32_t workers = 3;
        make_job(counts[i], 1, 1, workers, 1);
        struct pp_pace pace = {.items = 0};
        struct pp_chunk chunk;
        uint64_t begun = 0, off = counts[i] / 6 + workers;
        while (pp_plan_claim(&job.plan, (uint32_t)(begun % workers), &pace, UINT64_MAX, &chunk)) {
            assert_true(chunk.begin + off >= begun && chunk.begin <= begun + off);
            begun++;
        }
        assert_int_equal(begun, counts[i]);
    }
}

TEST_CASE(chunks_grow_until_they_take_long_enough) {
    make_job(MOST_COUNT, 1, 0, 1, 1);
    struct pp_pace pace = {.items = 0, .began = 1000};
    struct pp_chunk chunk;
    uint64_t now = 1000, longest = 0;
    while (pp_plan_claim(&job.plan, 0, &pace, UINT64_MAX, &chunk)) {
        uint64_t items = chunk.end - chunk.begin;
        assert_true(items <= (job.plan.count - chunk.begin + 1) / 2);
        now += items * 1000; /* a microsecond each */
        pp_pace_add(&pace, items);
        if (pp_pace_is_due(&pace, 0)) pp_pace_measure(&pace, now);
        if (items > longest) longest = items;
    }
    assert_true(longest >= PP_CHUNK_NS / 1000 / 2 && longest <= PP_CHUNK_NS / 1000 * 2);
}

/* Returns how many chunks, of one item and `ns` each, go by until a look at the clock is due, and then makes it. */
static unsigned chunks_until_due(struct pp_pace *pace, uint64_t ns) {
    unsigned chunks = 0;
    do {
        pp_pace_add(pace, 1);
        chunks++;
    } while (!pp_pace_is_due(pace, 0));
    assert_true(pp_pace_is_behind(pace));
    pp_pace_measure(pace, pace->began + chunks * ns);
    assert_false(pp_pace_is_behind(pace));
    return chunks;
}

TEST_CASE(short_chunks_share_a_look_at_the_clock_and_long_ones_do_not) {
    struct pp_pace pace = {.began = 1000};
    for (unsigned expected = 1; expected <= PP_UNMEASURED_MOST + 1; expected *= 2)
        assert_int_equal(chunks_until_due(&pace, 50), expected);
    assert_int_equal(chunks_until_due(&pace, 50), PP_UNMEASURED_MOST + 1);
    /* The pace follows from all chunks measured, not from one. */
    assert_int_equal(pace.items, 8 * (PP_UNMEASURED_MOST + 1));
    assert_int_equal(chunks_until_due(&pace, PP_CHUNK_NS), PP_UNMEASURED_MOST + 1);
    assert_int_equal(pace.items, 1);
    for (int i = 0; i < 10; i++) assert_int_equal(chunks_until_due(&pace, PP_SHORT_NS + 1), 1);
}

TEST_CASE(a_tick_makes_the_next_look_at_the_clock_due) {
    struct pp_pace pace = {.began = 1000};
    for (int i = 0; i < 10; i++) chunks_until_due(&pace, 50);
    assert_false(pp_pace_is_due(&pace, 0));
    assert_true(pp_pace_is_due(&pace, 4000000));
    pp_pace_measure(&pace, pace.began + 100);
    assert_false(pp_pace_is_due(&pace, 4000000));
}

/* As after a cursor was set back: finished blocks are not claimed again, and those behind them are. */
TEST_CASE(marked_blocks_are_not_claimed_again) {
    static const uint64_t chunks[] = {1, 4, 0};
    for (size_t i = 0; i < COUNT(chunks); i++) {
        make_job(300, 3, chunks[i], 2, 1);
        static const uint64_t marked[] = {0, 1, 5, 49, 50, 98, 99};
        for (size_t m = 0; m < COUNT(marked); m++) pp_plan_mark(&job.plan, marked[m], marked[m] + 1, false);
        struct pp_pace pace = {.items = 3 * job.plan.block};
        struct pp_chunk chunk;
        uint64_t claimed = 0;
        while (pp_plan_claim(&job.plan, i % 2, &pace, UINT64_MAX, &chunk)) {
            assert_true(is_chunk(&job.plan, &chunk));
            for (uint64_t b = chunk.first; b < chunk.last; b++) assert_int_equal(job.marks[b], PP_UNMARKED);
            pp_plan_mark(&job.plan, chunk.first, chunk.last, false);
            claimed += chunk.last - chunk.first;
        }
        assert_true(pp_plan_is_used_up(&job.plan));
        if (chunks[i] == 1) assert_int_equal(claimed, 100 - COUNT(marked));
        assert_true(claimed >= 80); /* of a chunk only the blocks before its first mark are claimed */
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(claims_of_several_threads_cover_each_position_once),
        TEST(no_position_is_claimed_after_the_plan_is_used_up),
        TEST(scribbled_cursors_claim_nothing_outside_the_plan),
        TEST(marked_blocks_are_not_claimed_again),
        TEST(regions_fit_their_cursors_and_hold_all_blocks),
        TEST(a_worker_claims_its_own_region_from_the_front_and_others_from_the_back),
        TEST(items_start_in_about_their_order),
        TEST(chunks_grow_until_they_take_long_enough),
        TEST(short_chunks_share_a_look_at_the_clock_and_long_ones_do_not),
        TEST(a_tick_makes_the_next_look_at_the_clock_due),
    };
    return run_group("shared_plan", tests, COUNT(tests), argc, argv);
}
