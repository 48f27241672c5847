/* Retries find a worker that has run nothing, so they save what died of another task's leavings. A worker whose task
 * has failed is replaced: fresh_after_failure. */
#include "support.h"

#include <signal.h>

enum { ITEMS = 300, SPOILS = 10 };

static int spoilt; /* a worker's own: a task that has run there has left something behind */

static void work_a_little(void) {
    for (volatile int i = 0; i < 20000; i++) continue;
}

/* Dies in a spoilt worker, whatever the item. Each tenth item leaves its worker spoilt, and succeeds. */
static int spoil_item(const void *in, void *out) {
    size_t i = in ? (size_t)*(const long *)in : task_index();
    if (spoilt) abort();
    work_a_little();
    if (i % SPOILS == 3) spoilt = 1;
    if (out) *(long *)out = (long)i;
    return 0;
}

static int add_unspoilt(void *left, const void *right) {
    if (spoilt) abort();
    *(long *)left += *(const long *)right;
    return 0;
}

static void assert_map_is_saved(struct pool *pool, size_t chunk, int timeout) {
    static long out[ITEMS];
    memset(out, -1, sizeof out);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = spoil_item, POOL_OUT(out), .count = ITEMS, .chunk = chunk,
                                                .timeout = timeout, .retries = 1}));
    for (long i = 0; i < ITEMS; i++) assert_int_equal(out[i], i);
}

static void assert_stream_is_saved(struct pool *pool) {
    struct stream *stream;
    long result;
    assert_ok(pool_imap(pool, &(struct pool_stream){.fn = spoil_item, .count = ITEMS, .out_size = sizeof result,
                                                    .retries = 1}, &stream));
    for (long i = 0; i < ITEMS; i++) {
        assert_ok(stream_next(stream, &result, PATIENCE));
        assert_int_equal(result, i);
    }
    assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
    stream_free(stream);
}

static void assert_tasks_are_saved(struct pool *pool) {
    struct future *futures[ITEMS];
    for (long i = 0; i < ITEMS; i++)
        assert_ok(pool_submit(pool, &(struct pool_task){.fn = spoil_item, POOL_IN(&i), .out_size = sizeof i,
                                                        .retries = 1}, &futures[i]));
    for (long i = 0; i < ITEMS; i++) {
        long result = -1;
        assert_ok(finish(futures[i], &result));
        assert_int_equal(result, i);
    }
}

static void assert_reduction_is_saved(struct pool *pool) {
    long sum = -1;
    assert_ok(pool_reduce(pool, &(struct pool_reduction){.fn = spoil_item, .combine = add_unspoilt, .count = ITEMS,
                                                         .chunk = 1, .out = &sum, .out_size = sizeof sum,
                                                         .retries = 1}));
    assert_int_equal(sum, ITEMS * (ITEMS - 1) / 2);
}

static void assert_all_are_saved(const struct pool_options *options) {
    struct pool *pool = pool_from(options);
    for (size_t chunk = 0; chunk <= 50; chunk += 25) assert_map_is_saved(pool, chunk, 0);
    assert_map_is_saved(pool, 1, PATIENCE);
    assert_stream_is_saved(pool);
    assert_tasks_are_saved(pool);
    assert_reduction_is_saved(pool);
    assert_square(submit_square(pool, 9), 9);
    pool_destroy(pool);
}

TEST_CASE(one_retry_saves_what_dies_in_a_spoilt_worker) {
    struct pool_options options = test_options(2);
    assert_all_are_saved(&options);
}

TEST_CASE(a_single_worker_is_replaced_for_each_retry) {
    struct pool_options options = test_options(1);
    assert_all_are_saved(&options);
}

TEST_CASE(retries_find_fresh_workers_in_pools_whose_workers_come_and_go) {
    struct pool_options options = test_options(3);
    options.lazy = true;
    options.idle_timeout = 1;
    assert_all_are_saved(&options);
    options = test_options(2);
    options.max_tasks_per_worker = 4;
    assert_all_are_saved(&options);
    options = test_options(2);
    options.max_load = 1000000;
    assert_all_are_saved(&options);
}

/* Also while the pool is made smaller and larger, so that successors do not come. */
TEST_CASE(retries_wait_for_no_worker_that_does_not_come) {
    struct pool *pool = pool_of(4);
    for (uint64_t round = 0; round < scaled(20); round++) {
        struct future *futures[ITEMS], *map;
        int status[ITEMS];
        assert_ok(pool_map_async(pool, &(struct pool_job){.fn = spoil_item, .count = ITEMS, .retries = 1, .chunk = 1,
                                                          .status = status}, &map));
        for (long i = 0; i < ITEMS; i++)
            assert_ok(pool_submit(pool, &(struct pool_task){.fn = spoil_item, POOL_IN(&i), .retries = 1}, &futures[i]));
        for (uint64_t turn = 0; turn < 20; turn++) {
            assert_ok(pool_resize(pool, 1 + (int)(scramble(20 * round + turn) % 6)));
            future_wait(map, 1);
        }
        assert_ok(finish(map, NULL));
        for (long i = 0; i < ITEMS; i++) assert_ok(finish(futures[i], NULL));
    }
    pool_destroy(pool);
}

/* A retry is not put off by tasks that keep coming, nor they by it. */
struct once {
    atomic_int deaths, retried;
};

static int die_once(const void *in, void *out) {
    (void)out;
    struct once *once = *(struct once *const *)in;
    if (atomic_fetch_add(&once->deaths, 1) == 0) abort();
    atomic_store(&once->retried, 1);
    return 0;
}

TEST_CASE(a_retry_is_not_put_off_by_tasks_that_keep_coming) {
    struct once *once = shared(sizeof *once);
    struct pool *pool = pool_of(1);
    struct future *victim, *others[64];
    for (long i = 0; i < 64; i++) others[i] = submit_square(pool, i);
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = die_once, POOL_IN(&once), .retries = 1}, &victim));
    int64_t begin = now_ms();
    for (long i = 0; !future_done(victim); i = (i + 1) % 64) {
        assert_true(now_ms() - begin < PATIENCE);
        assert_square(others[i], i);
        others[i] = submit_square(pool, i);
    }
    assert_ok(finish(victim, NULL));
    for (long i = 0; i < 64; i++) assert_square(others[i], i);
    pool_destroy(pool);
}

/* Ends other than the retry's own: cancelled, killed, and destroyed while workers are replaced for it. */
TEST_CASE(a_retry_that_waits_can_be_cancelled_and_killed) {
    for (uint64_t round = 0; round < scaled(200); round++) {
        struct pool *pool = pool_of(1 + (int)(round % 3));
        struct future *futures[ITEMS / 10], *map;
        for (long i = 0; i < ITEMS / 10; i++)
            assert_ok(pool_submit(pool, &(struct pool_task){.fn = spoil_item, POOL_IN(&i), .retries = 3}, &futures[i]));
        assert_ok(pool_map_async(pool, &(struct pool_job){.fn = spoil_item, .count = ITEMS, .retries = 3}, &map));
        future_wait(map, (int)(scramble(round) % 20));
        if (round % 4 != 3) {
            for (long i = 0; i < ITEMS / 10; i += 2)
                (void)(round % 2 ? future_kill(futures[i]) : future_cancel(futures[i]));
            (void)future_kill(map);
            assert_any_of(future_get(map, NULL, PATIENCE), 0, POOL_ECANCELLED);
            for (long i = 0; i < ITEMS / 10; i++)
                assert_any_of(future_get(futures[i], NULL, PATIENCE), 0, POOL_ECANCELLED);
        }
        pool_destroy(pool);
        for (long i = 0; i < ITEMS / 10; i++) future_free(futures[i]);
        future_free(map);
    }
}

/* ---- fresh_after_failure */

/* Returns 7 where i is 3, 13, …; with where its process had run something before. */
static int fail_some(const void *in, void *out) {
    size_t i = in ? (size_t)*(const long *)in : task_index();
    *(long *)out = spoilt;
    if (spoilt == 0) spoilt = 1;
    if (i % SPOILS == 3) spoilt = 2;
    return i % SPOILS == 3 ? 7 : 0;
}

static void assert_failures_end_workers(int backend, bool fresh) {
    struct pool_options options = test_options(2);
    options.backend = backend;
    options.fresh_after_failure = fresh;
    struct pool *pool = pool_from(&options);
    static long out[ITEMS];
    static int status[ITEMS];
    int after_failures = 0;
    for (size_t chunk = 0; chunk <= 50; chunk += 25) {
        assert_code(pool_map(pool, &(struct pool_job){.fn = fail_some, POOL_OUT(out), .count = ITEMS, .chunk = chunk,
                                                      .status = status}), POOL_EFAILED);
        for (int i = 0; i < ITEMS; i++) assert_code(status[i], i % SPOILS == 3 ? POOL_EFAILED : 0);
        for (int i = 0; i < ITEMS; i++) after_failures += status[i] == 0 && out[i] == 2;
    }
    struct future *futures[ITEMS];
    for (long i = 0; i < ITEMS; i++) futures[i] = submit(pool, fail_some, &i, sizeof i, sizeof i);
    for (long i = 0; i < ITEMS; i++) {
        long had = 0;
        assert_code(finish(futures[i], &had), i % SPOILS == 3 ? POOL_EFAILED : 0);
        after_failures += had == 2;
    }
    assert_true(fresh ? after_failures == 0 : after_failures > 0);
    struct pool_stats stats = {0};
    assert_ok(pool_stats(pool, &stats));
    assert_int_equal(stats.died, 0); /* they ended by themselves */
    pool_destroy(pool);
}

TEST_CASE(a_worker_whose_item_failed_is_replaced_if_the_pool_is_told_to) {
    assert_failures_end_workers(POOL_PROCESSES, true);
    assert_failures_end_workers(POOL_PROCESSES, false);
}

static int count_begin(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* In the program's own process the memory stays, but the initializer runs again. */
TEST_CASE(in_threads_and_inline_the_initializer_runs_again_after_a_failure) {
    for (int backend = POOL_THREADS; backend <= POOL_INLINE; backend++) {
        atomic_int *begins = shared(sizeof *begins);
        struct pool_options options = test_options(1);
        options.backend = backend;
        options.fresh_after_failure = true;
        options.initializer = count_begin;
        options.initializer_arg = begins;
        struct pool *pool = pool_from(&options);
        long out[30];
        assert_code(pool_map(pool, &(struct pool_job){.fn = fail_some, POOL_OUT(out), .count = 30, .retries = 1}),
                    POOL_EFAILED);
        assert_ok(pool_shutdown(pool, 0, PATIENCE));
        assert_any_of(atomic_load(begins), 3, 4); /* 1 and one for each failure; the last may still be due */
        pool_destroy(pool);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(one_retry_saves_what_dies_in_a_spoilt_worker),
        TEST(a_single_worker_is_replaced_for_each_retry),
        TEST(retries_find_fresh_workers_in_pools_whose_workers_come_and_go),
        TEST(retries_wait_for_no_worker_that_does_not_come),
        TEST(a_retry_is_not_put_off_by_tasks_that_keep_coming),
        TEST(a_retry_that_waits_can_be_cancelled_and_killed),
        TEST(a_worker_whose_item_failed_is_replaced_if_the_pool_is_told_to),
        TEST(in_threads_and_inline_the_initializer_runs_again_after_a_failure),
    };
    return run_group("fresh", tests, COUNT(tests), argc, argv);
}
