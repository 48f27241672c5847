/* Items that turn out slow among many short ones: what a worker has claimed and not begun goes to workers that are
 * idle. Slow items wait for each other, so they end only if as many workers run them at once. */
#include "support.h"

#include <signal.h>

#include "base/sys.h"

enum { WORKERS = 4, MOST = 200000 };

/* Shared with the workers. */
struct stage {
    struct gate gate, thief, held;
    char point[32];
    atomic_int arrived; /* workers at the point */
    atomic_int begun[MOST];
};
static struct stage *stage;
static pid_t tester;

static struct {
    int in[MOST], out[MOST], status[MOST];
} items;

enum { SHORT, SLOW, FAILS, WAITS_FOR_THIEF, DIES_BEFORE_THIEF };

static int item(const void *in, void *out) {
    size_t i = task_index();
    atomic_fetch_add(&stage->begun[i], 1);
    *(int *)out = (int)i + 1;
    switch (*(const int *)in) {
    case SLOW: return gate_pass(&stage->gate);
    case FAILS: return 7;
    case WAITS_FOR_THIEF: return becomes(&stage->arrived, 1) ? 0 : 98;
    case DIES_BEFORE_THIEF:
        becomes(&stage->arrived, 1);
        raise(SIGKILL);
        return 97;
    default: return 0;
    }
}

/* fault: what each PP_POINT and system call calls; NULL: nothing. */
static struct pool *tail_pool(int backend, bool (*fault)(const char *name)) {
    struct pool_options options = test_options(WORKERS);
    options.backend = backend;
    stage = shared(sizeof *stage);
    memset(items.in, 0, sizeof items.in);
    tester = backend == POOL_THREADS ? -1 : getpid();
    pp_fault = fault;
    return pool_from(&options);
}

static struct future *map_items(struct pool *pool, size_t count, size_t chunk, int timeout) {
    struct pool_job job = {.fn = item, .in = items.in, .in_size = sizeof *items.in, .out = items.out,
                           .out_size = sizeof *items.out, .count = count, .chunk = chunk, .timeout = timeout,
                           .status = items.status};
    struct future *future = NULL;
    assert_ok(pool_map_async(pool, &job, &future));
    return future;
}

/* Each item was run once; those that fail have failed, and nothing else. Returns how many have died. */
static int check_items(size_t count) {
    int died = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(atomic_load(&stage->begun[i]), 1);
        died += items.status[i] == POOL_EDIED;
        if (items.status[i] == POOL_EDIED) continue;
        assert_int_equal(items.status[i], items.in[i] == FAILS ? POOL_EFAILED : 0);
        if (items.status[i] == 0) assert_int_equal(items.out[i], (int)i + 1);
    }
    return died;
}

/* As many slow neighbours as workers, from `first` on; around them each third item fails. */
static void run_slow_neighbours(int backend, size_t count, size_t first, size_t chunk, int timeout) {
    struct pool *pool = tail_pool(backend, pp_fault);
    for (size_t i = first < 300 ? 0 : first - 300; i < count && i < first + 300; i += 3) items.in[i] = FAILS;
    for (size_t i = first; i < first + WORKERS; i++) items.in[i] = SLOW;
    struct future *future = map_items(pool, count, chunk, timeout);
    assert_true(gate_reached(&stage->gate, WORKERS));
    gate_open(&stage->gate);
    future_wait(future, PATIENCE);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EFAILED);
    assert_int_equal(check_items(count), 0);
    future_free(future);
    pool_destroy(pool);
}

/* Without the barrier, chunks of items that were short so far are not divided. */
static void run_everywhere(int backend, size_t count, size_t chunk, int timeout) {
    if (!pp_barrier_exists()) return;
    const size_t firsts[] = {0, 7, count / 3 + 7, count / 2, count - 200, count - WORKERS};
    for (size_t i = 0; i < COUNT(firsts); i++) run_slow_neighbours(backend, count, firsts[i], chunk, timeout);
}

TEST_CASE(slow_neighbours_are_run_at_once_wherever_they_lie) {
    run_everywhere(POOL_PROCESSES, 20000, 0, 0);
    run_everywhere(POOL_THREADS, 20000, 0, 0);
}

/* A block has three items. */
TEST_CASE(slow_neighbours_in_one_block_are_run_at_once) {
    run_everywhere(POOL_PROCESSES, MOST, 0, 0);
    run_everywhere(POOL_THREADS, MOST, 0, 0);
}

TEST_CASE(slow_neighbours_in_a_given_chunk_are_run_at_once) {
    run_everywhere(POOL_PROCESSES, 3000, 100, 0);
    run_everywhere(POOL_THREADS, 3000, 100, 0);
}

TEST_CASE(slow_neighbours_with_a_time_out_are_run_at_once) {
    run_everywhere(POOL_PROCESSES, 20000, 0, 3600000);
    run_everywhere(POOL_THREADS, 20000, 0, 3600000);
}

static bool lose_barrier(const char *call) {
    return strcmp(call, "membarrier") == 0;
}

/* Then a worker has a fence for each item of a chunk that is not known to be short. */
TEST_CASE(slow_neighbours_are_run_at_once_where_the_system_has_no_barrier) {
    pp_fault = lose_barrier;
    run_slow_neighbours(POOL_PROCESSES, WORKERS * 8, WORKERS * 4, WORKERS * 2, 0);
    run_slow_neighbours(POOL_THREADS, WORKERS * 8, WORKERS * 4, WORKERS * 2, 0);
    pp_fault = NULL;
}

/* ---- points */

static bool is_at_point(const char *name) {
    return (tester < 0 || getpid() != tester) && strcmp(name, stage->point) == 0;
}

/* From now on: until then the point has no name. */
static void watch_point(const char *point) {
    snprintf(stage->point, sizeof stage->point, "%s", point);
}

/* The first worker that has claimed the slow ones waits until all others sleep. Its claim is seen coming. */
static bool linger_after_claim(const char *name) {
    if (is_at_point(name) && atomic_fetch_add(&stage->arrived, 1) == 0) sleep_ms(300);
    return false;
}

/* Where a wake-up is a byte in a pipe, one that is awake may take it before the sleeper that it was for. */
TEST_CASE(a_chunk_that_is_claimed_as_all_others_fall_asleep_is_shared) {
    if (!pp_barrier_exists()) return;
    static const int backends[] = {POOL_PROCESSES, POOL_THREADS};
    for (size_t b = 0; b < COUNT(backends); b++) {
        struct pool *pool = tail_pool(backends[b], linger_after_claim);
        assert_ok(finish(map_items(pool, 2000, 100, 0), NULL)); /* all have had a chunk */
        memset(stage->begun, 0, sizeof stage->begun);
        watch_point("claimed");
        for (size_t i = 0; i < WORKERS; i++) items.in[i] = SLOW;
        struct future *future = map_items(pool, WORKERS, WORKERS, 0); /* one chunk has all, and all are called */
        assert_true(gate_reached(&stage->gate, WORKERS));
        gate_open(&stage->gate);
        assert_ok(finish(future, NULL));
        assert_int_equal(check_items(WORKERS), 0);
        pool_destroy(pool);
        pp_fault = NULL;
    }
}

static bool hold_at_point(const char *name) {
    if (!is_at_point(name)) return false;
    if (atomic_fetch_add(&stage->arrived, 1) == 0) gate_pass(&stage->held);
    return false;
}

/* The thief has seen where the worker is, and stands still. */
TEST_CASE(a_thief_that_is_slow_takes_nothing_that_the_worker_has_begun_since) {
    if (!pp_barrier_exists()) return;
    static const int backends[] = {POOL_PROCESSES, POOL_THREADS};
    for (size_t b = 0; b < COUNT(backends); b++) {
        struct pool *pool = tail_pool(backends[b], hold_at_point);
        watch_point("halted");
        enum { COUNT_OF = 2000 };
        items.in[1000] = WAITS_FOR_THIEF;
        struct future *future = map_items(pool, COUNT_OF, 100, 0);
        assert_true(gate_reached(&stage->held, 1));
        for (int ms = 0; ms < PATIENCE && atomic_load(&stage->begun[1099]) == 0; ms++) sleep_ms(1);
        gate_open(&stage->held);
        assert_ok(finish(future, NULL));
        assert_int_equal(check_items(COUNT_OF), 0);
        pool_destroy(pool);
        pp_fault = NULL;
    }
}

/* The thief has seen where the worker is; the worker dies, and what it left is settled; then the thief goes on. */
TEST_CASE(a_thief_takes_nothing_of_a_worker_whose_death_is_settled) {
    if (!pp_barrier_exists()) return;
    struct pool *pool = tail_pool(POOL_PROCESSES, hold_at_point);
    watch_point("halted");
    enum { COUNT_OF = 2000 };
    items.in[1000] = DIES_BEFORE_THIEF;
    struct future *future = map_items(pool, COUNT_OF, 100, 0);
    assert_true(gate_reached(&stage->held, 1));
    struct pool_stats stats = {0};
    for (int ms = 0; ms < PATIENCE && stats.died == 0; ms++) {
        sleep_ms(1);
        pool_poll(pool, 0);
        assert_ok(pool_stats(pool, &stats));
    }
    assert_int_equal(stats.died, 1);
    gate_open(&stage->held);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
    assert_int_equal(check_items(COUNT_OF), 1);
    assert_int_equal(items.status[1000], POOL_EDIED);
    future_free(future);
    pool_destroy(pool);
    pp_fault = NULL;
}

static bool die_at_point(const char *name) {
    if (is_at_point(name) && atomic_fetch_add(&stage->arrived, 1) < 2) raise(SIGKILL);
    return false;
}

TEST_CASE(a_thief_that_dies_loses_nothing) {
    if (!pp_barrier_exists()) return;
    static const char *const points[] = {"halted", "taken over"};
    static const size_t chunks[] = {0, 100};
    for (size_t p = 0; p < COUNT(points); p++)
        for (size_t c = 0; c < COUNT(chunks); c++) {
            struct pool *pool = tail_pool(POOL_PROCESSES, die_at_point);
            watch_point(points[p]);
            size_t count = chunks[c] ? 3000 : MOST, first = count / 3 + 1;
            for (size_t i = first; i < first + WORKERS; i++) items.in[i] = SLOW;
            struct future *future = map_items(pool, count, chunks[c], 0);
            /* Not all slow items: one that a thief has taken, and not begun, is left to another round. */
            assert_true(gate_reached(&stage->gate, 1) && becomes(&stage->arrived, 2));
            gate_open(&stage->gate);
            assert_ok(finish(future, NULL));
            assert_int_equal(check_items(count), 0);
            pool_destroy(pool);
            pp_fault = NULL;
        }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(slow_neighbours_are_run_at_once_wherever_they_lie),
        TEST(slow_neighbours_in_one_block_are_run_at_once),
        TEST(slow_neighbours_in_a_given_chunk_are_run_at_once),
        TEST(slow_neighbours_with_a_time_out_are_run_at_once),
        TEST(slow_neighbours_are_run_at_once_where_the_system_has_no_barrier),
        TEST(a_chunk_that_is_claimed_as_all_others_fall_asleep_is_shared),
        TEST(a_thief_that_is_slow_takes_nothing_that_the_worker_has_begun_since),
        TEST(a_thief_takes_nothing_of_a_worker_whose_death_is_settled),
        TEST(a_thief_that_dies_loses_nothing),
    };
    return run_group("tail", tests, COUNT(tests), argc, argv);
}
