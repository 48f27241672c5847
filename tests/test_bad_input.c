/* Each wrong argument has its code; nothing was done, nothing written; the pool is as good as before. */
#include "support.h"

#include <limits.h>

static struct pool *pool;
static long mark = 4711; /* what out-parameters point to, to see that they stay */

#define UNTOUCHED_FUTURE ((struct future *)&mark)
#define UNTOUCHED_POOL ((struct pool *)&mark)

static void still_good(void) {
    assert_int_equal(mark, 4711);
    assert_square(submit_square(pool, 9), 9);
}

static int make_pool(void **state) {
    test_begin(state);
    struct pool_options options = test_options(1);
    return pool_create(&options, &pool);
}

static int end_pool(void **state) {
    pool_destroy(pool);
    return test_end(state);
}

static void refused_options(struct pool_options options, int code) {
    struct pool *made = UNTOUCHED_POOL;
    assert_code(pool_create(&options, &made), code);
    assert_true(made == UNTOUCHED_POOL);
}

TEST_CASE(a_pool_needs_a_place_and_sound_options) {
    assert_code(pool_create(NULL, NULL), POOL_EINVAL);
    struct pool_options options = test_options(1);
    assert_code(pool_create(&options, NULL), POOL_EINVAL);
    options.workers = 1025;
    refused_options(options, POOL_EINVAL);
    options.workers = INT_MAX;
    refused_options(options, POOL_EINVAL);
    still_good();
}

TEST_CASE(an_arena_that_cannot_be_is_refused) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2, (size_t)1 << 60};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct pool *made = UNTOUCHED_POOL;
        struct pool_options options = {.workers = 1, .arena_size = sizes[i]};
        assert_any_of(pool_create(&options, &made), POOL_EINVAL, POOL_ENOMEM);
        assert_true(made == UNTOUCHED_POOL);
    }
    still_good();
}

TEST_CASE(a_tiny_arena_works_or_is_refused) {
    static const size_t sizes[] = {1, 100, 4095, 4096, 65536};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct pool *made = UNTOUCHED_POOL;
        struct pool_options options = {.workers = 1, .arena_size = sizes[i]};
        int error = pool_create(&options, &made);
        assert_any_of(error, 0, POOL_EINVAL);
        if (error) {
            assert_true(made == UNTOUCHED_POOL);
            continue;
        }
        assert_square(submit_square(made, 5), 5);
        pool_destroy(made);
    }
}

static long in[4] = {1, 2, 3, 4}, out[4];
static int status[4];
static struct pool_failure failure;

static struct pool_job good_job(void) {
    memset(out, 0x5a, sizeof out);
    memset(status, 0x5a, sizeof status);
    memset(&failure, 0x5a, sizeof failure);
    return (struct pool_job){.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 4, .status = status,
                             .failure = &failure};
}

static bool untouched(const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0x5a) return false;
    }
    return true;
}

static void refused_job(struct pool_job job) {
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_map(pool, &job), POOL_EINVAL);
    assert_code(pool_map(NULL, &job), POOL_EINVAL);
    assert_code(pool_map_async(pool, &job, &future), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
    assert_true(untouched(out, sizeof out));
    assert_true(untouched(status, sizeof status));
    assert_true(untouched(&failure, sizeof failure));
}

TEST_CASE(a_job_that_cannot_be_is_refused) {
    struct pool_job job = good_job();
    assert_code(pool_map(pool, NULL), POOL_EINVAL);
    assert_code(pool_map(NULL, NULL), POOL_EINVAL);
    job.fn = NULL;
    refused_job(job);
    job = good_job();
    job.in_size = 0;
    refused_job(job);
    job = good_job();
    job.out_size = 0;
    refused_job(job);
    job = good_job();
    job.failures = &failure;
    refused_job(job);
    job.failures_room = SIZE_MAX / sizeof failure + 1;
    refused_job(job);
    job = good_job();
    job.failures_room = 1;
    refused_job(job);
    job = good_job();
    job.timeout = -2;
    refused_job(job);
    job = good_job();
    job.timeout = INT_MIN;
    refused_job(job);
    job = good_job();
    job.count = SIZE_MAX / sizeof *in + 2;
    refused_job(job);
    job = good_job();
    job.in_size = SIZE_MAX;
    refused_job(job);
    job = good_job();
    job.out_size = SIZE_MAX / 4 + 1;
    refused_job(job);
    job = good_job();
    job.fn = NULL;
    job.count = 0; /* an empty job is looked at, too */
    refused_job(job);
    job = good_job();
    assert_ok(pool_map(pool, &job));
    assert_int_equal(out[3], 16);
    still_good();
}

TEST_CASE(an_asynchronous_job_needs_a_pool_and_a_future) {
    struct pool_job job = good_job();
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_map_async(NULL, &job, &future), POOL_EINVAL);
    assert_code(pool_map_async(pool, NULL, &future), POOL_EINVAL);
    assert_code(pool_map_async(pool, &job, NULL), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
    assert_true(untouched(out, sizeof out));
    still_good();
}

static void refused_task(struct pool_task task) {
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_submit(pool, &task, &future), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
}

TEST_CASE(a_task_that_cannot_be_is_refused) {
    const struct pool_task good = {.fn = square_task, POOL_IN(in), .out_size = sizeof *out};
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_submit(NULL, &good, &future), POOL_EINVAL);
    assert_code(pool_submit(pool, NULL, &future), POOL_EINVAL);
    assert_code(pool_submit(pool, &good, NULL), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
    struct pool_task task = good;
    task.fn = NULL;
    refused_task(task);
    task = good;
    task.in_size = 0;
    refused_task(task);
    task = good;
    task.in = NULL;
    refused_task(task);
    task = good;
    task.timeout = -2;
    refused_task(task);
    still_good();
}

TEST_CASE(a_task_too_large_for_any_memory_is_refused_unread) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2, (size_t)1 << 60};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct future *future = UNTOUCHED_FUTURE;
        struct pool_task large_in = {.fn = square_task, .in = in, .in_size = sizes[i], .out_size = 8};
        struct pool_task large_out = {.fn = square_task, .in = in, .in_size = 8, .out_size = sizes[i]};
        struct pool_task both = {.fn = square_task, .in = in, .in_size = sizes[i], .out_size = sizes[i]};
        assert_any_of(pool_submit(pool, &large_in, &future), POOL_EINVAL, POOL_ENOMEM);
        assert_any_of(pool_submit(pool, &large_out, &future), POOL_EINVAL, POOL_ENOMEM);
        assert_any_of(pool_submit(pool, &both, &future), POOL_EINVAL, POOL_ENOMEM);
        assert_true(future == UNTOUCHED_FUTURE);
    }
    still_good();
}

TEST_CASE(wrong_arguments_about_futures_are_refused) {
    long result = -1;
    struct pool_failure why;
    memset(&why, 0x5a, sizeof why);
    assert_code(future_get(NULL, &result, 0), POOL_EINVAL);
    assert_code(future_wait(NULL, 0), POOL_EINVAL);
    assert_code(future_cancel(NULL), POOL_EINVAL);
    assert_code(future_kill(NULL), POOL_EINVAL);
    assert_code(future_failure(NULL, &why), POOL_EINVAL);
    assert_false(future_done(NULL));
    assert_false(future_running(NULL));
    future_free(NULL);
    struct future *future = submit(pool, square_task, &in[2], sizeof *in, sizeof *out);
    assert_code(future_get(future, &result, -2), POOL_EINVAL);
    assert_code(future_get(future, &result, INT_MIN), POOL_EINVAL);
    assert_code(future_wait(future, -2), POOL_EINVAL);
    assert_code(future_failure(future, NULL), POOL_EINVAL);
    assert_ok(future_wait(future, PATIENCE));
    assert_code(future_get(future, &result, -2), POOL_EINVAL); /* when it is done, too */
    assert_code(future_failure(future, NULL), POOL_EINVAL);
    assert_int_equal(result, -1);
    assert_true(untouched(&why, sizeof why));
    assert_ok(finish(future, &result));
    assert_int_equal(result, 9);
}

TEST_CASE(a_wrong_shutdown_is_refused_and_the_pool_stays_open) {
    assert_code(pool_shutdown(NULL, 0, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, 4, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, -1, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, INT_MIN, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, 0, -2), POOL_EINVAL);
    assert_code(pool_shutdown(pool, POOL_KILL_RUNNING, INT_MIN), POOL_EINVAL);
    still_good();
}

TEST_CASE(the_rest_is_checked_as_well) {
    assert_code(pool_fd(NULL), POOL_EINVAL);
    assert_code(pool_poll(NULL, 0), POOL_EINVAL);
    assert_code(pool_poll(pool, -2), POOL_EINVAL);
    assert_code(pool_poll(pool, INT_MIN), POOL_EINVAL);
    assert_null(pool_alloc(NULL, 8));
    assert_null(pool_alloc(pool, 0));
    pool_free(pool, NULL);
    pool_free(NULL, NULL);
    pool_destroy(NULL);
    still_good();
}

/* None of the refusals may keep anything. */
TEST_CASE(refusals_by_the_hundred_thousand_cost_nothing) {
    long before = 0;
    int errors = 0;
    for (int i = 0; i < 100000; i++) {
        if (i == 1000) before = resident_kib();
        struct future *future = UNTOUCHED_FUTURE;
        struct pool_task task = {.fn = square_task, .in = in, .in_size = SIZE_MAX / 4, .out_size = 8};
        struct pool_job job = {.fn = square_task, .in = in, .in_size = SIZE_MAX / 4, .count = 1};
        errors += pool_submit(pool, &task, &future) == 0;
        errors += pool_map_async(pool, &job, &future) == 0;
    }
    assert_int_equal(errors, 0);
    if (!instrumented()) assert_true(resident_kib() - before < 4096);
    still_good();
}

#undef TEST
#define TEST(function)                                                                                                 \
    { #function, function, make_pool, end_pool, (void *)#function }

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_pool_needs_a_place_and_sound_options),
        TEST(an_arena_that_cannot_be_is_refused),
        TEST(a_tiny_arena_works_or_is_refused),
        TEST(a_job_that_cannot_be_is_refused),
        TEST(an_asynchronous_job_needs_a_pool_and_a_future),
        TEST(a_task_that_cannot_be_is_refused),
        TEST(a_task_too_large_for_any_memory_is_refused_unread),
        TEST(wrong_arguments_about_futures_are_refused),
        TEST(a_wrong_shutdown_is_refused_and_the_pool_stays_open),
        TEST(the_rest_is_checked_as_well),
        TEST(refusals_by_the_hundred_thousand_cost_nothing),
    };
    return run_group("bad_input", tests, COUNT(tests), argc, argv);
}
