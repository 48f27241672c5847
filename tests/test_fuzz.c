/* Runs fuzz_shared.c on pseudo-random programs. `test_fuzz all_tasks COUNT SEED` runs COUNT of them from SEED on; a
 * failure names its seed. */
#include "support.h"

#include "fuzz_shared.c" /* NOLINT */

enum { BATCH = 100, MOST = 700 };

static uint64_t first_seed = 1, runs = 6000;

static void run_seed(uint64_t seed) {
    uint8_t program[MOST + 8];
    uint64_t random = scramble(seed);
    fill(program, sizeof program, random);
    /* One program in four does not scribble: then all outcomes must be right. */
    for (size_t i = 0; seed % 4 == 0 && i < sizeof program; i++)
        if (program[i] % 24 > 18) program[i] = (uint8_t)(program[i] - 12);
    LLVMFuzzerTestOneInput(program, 20 + (size_t)(random % (MOST - 20)));
}

static int run_batch(void *argument) {
    _Atomic uint64_t *seed = argument;
    for (int i = 0; i < BATCH; i++, ++*seed) run_seed(*seed);
    return 0;
}

TEST_CASE(all_tasks_end_whatever_workers_write) {
    _Atomic uint64_t *seed = shared(sizeof *seed);
    *seed = first_seed;
    for (uint64_t end = first_seed + scaled((size_t)runs); *seed < end;) {
        struct ending ending = run_child(run_batch, seed, PATIENCE);
        if (ending.timed_out || ending.code != 0)
            print_error("seed %llu: %s, signal %d\n", (unsigned long long)*seed,
                        ending.timed_out ? "it hung" : "it ended", ending.signal);
        assert_false(ending.timed_out);
        assert_int_equal(ending.code, 0);
        allow_seconds(120);
    }
}

/* ---- Programs written by hand */

enum { MANY = 6000 };

static struct {
    long in[MANY], out[MANY];
    int status[MANY];
} many;

static struct future *map_many(size_t count, size_t chunk) {
    struct pool_job job = {.fn = good_fn, .in = many.in, .in_size = sizeof(long), .out = many.out,
                           .out_size = sizeof(long), .count = count, .chunk = chunk, .status = many.status};
    struct future *future = NULL;
    for (long i = 0; i < MANY; i++) many.in[i] = i, many.out[i] = -1, many.status[i] = 1;
    MUST(pool_map_async(world.pool, &job, &future) == 0);
    return future;
}

static void end_world(struct future *future) {
    future_free(future);
    pool_destroy(world.pool);
    pp_close(&world.control_end);
}

/* Points of run_job(): the first upon entering, then two for a claim, then one for each item. */
static int lose_memory_for_the_next_round(void *unused) {
    (void)unused;
    make_world(NULL, 0);
    struct future *future = map_many(MANY, MANY);
    step(0, 3 + 10);
    EXPECT(world.hands[0].stopped);
    struct pp_heap *work = &world.pool->memory.work;
    work->runs.pages = work->runs.frontier; /* the next round needs more memory: each item is a block of its own */
    die(0, SIGKILL);
    EXPECT(future_get(future, NULL, 0) == POOL_EDIED);
    for (long i = 0; i < MANY; i++) {
        EXPECT(many.status[i] == (i < 9 ? 0 : i == 9 ? POOL_EDIED : POOL_ENOMEM));
        EXPECT(many.out[i] == (i < 9 ? 2 * i + 1 : -1));
    }
    end_world(future);
    return 0;
}

TEST_CASE(items_fail_without_memory_for_another_round) {
    assert_child_passes(lose_memory_for_the_next_round, NULL);
}

static int die_after_many_announcements(void *unused) {
    (void)unused;
    make_world(NULL, 0);
    struct future *future = map_many(40, 20);
    step(0, 3 + 5);
    EXPECT(world.hands[0].stopped);
    step(1, 0); /* does the other half: only the dead worker's chunk is left of the round */
    atomic_fetch_add(&record_of(0)->done_tail, 1U << PP_DONE_BITS); /* tickets that belong to no future any more */
    die(0, SIGKILL);
    for (int i = 0; i < 5 && !future_done(future); i++) step(1, 0);
    EXPECT(future_get(future, NULL, 0) == POOL_EDIED);
    int died = 0;
    for (long i = 0; i < 40; i++) {
        died += many.status[i] == POOL_EDIED;
        EXPECT(many.status[i] == POOL_EDIED || (many.status[i] == 0 && many.out[i] == 2 * i + 1));
    }
    EXPECT(died == 1);
    end_world(future);
    return 0;
}

TEST_CASE(the_death_of_a_worker_that_announced_too_much_is_settled) {
    assert_child_passes(die_after_many_announcements, NULL);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(all_tasks_end_whatever_workers_write),
        TEST(items_fail_without_memory_for_another_round),
        TEST(the_death_of_a_worker_that_announced_too_much_is_settled),
    };
    if (argc > 2) runs = strtoull(argv[2], NULL, 10);
    if (argc > 3) first_seed = strtoull(argv[3], NULL, 10);
    return run_group("fuzz", tests, COUNT(tests), argc < 2 ? argc : 2, argv);
}
