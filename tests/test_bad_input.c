/* A call with a wrong argument returns the right code, writes nothing and leaves the pool as it was. */
#include "support.h"

#include <limits.h>

static struct pool *pool;
static long mark = 4711; /* where out-parameters point to, to see that a refused call leaves them alone */

#define UNTOUCHED_FUTURE ((struct future *)&mark)
#define UNTOUCHED_POOL ((struct pool *)&mark)

static void assert_still_works(void) {
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

static void assert_options_refused(struct pool_options options, int code) {
    struct pool *made = UNTOUCHED_POOL;
    assert_code(pool_create(&options, &made), code);
    assert_true(made == UNTOUCHED_POOL);
}

TEST_CASE(a_pool_needs_an_out_parameter_and_valid_options) {
    assert_code(pool_create(NULL, NULL), POOL_EINVAL);
    struct pool_options options = test_options(1);
    assert_code(pool_create(&options, NULL), POOL_EINVAL);
    options.workers = 1025;
    assert_options_refused(options, POOL_EINVAL);
    options.workers = INT_MAX;
    assert_options_refused(options, POOL_EINVAL);
    assert_still_works();
}

/* This program does not call pool_serve(). */
TEST_CASE(hosts_need_a_program_that_serves) {
    struct pool *made = NULL;
    struct pool_options options = {.workers = 1, .hosts = "local:1"};
    assert_code(pool_create(&options, &made), LINUX ? POOL_EINVAL : POOL_ENOTSUP);
    options.hosts = "w1;reboot";
    assert_code(pool_create(&options, &made), POOL_EINVAL);
    assert_null(made);
    options.hosts = "";
    assert_ok(pool_create(&options, &made));
    pool_destroy(made);
}

TEST_CASE(an_arena_larger_than_the_address_space_is_refused) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2,
                                   sizeof(size_t) > 4 ? SIZE_MAX / 16 : SIZE_MAX / 3};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct pool *made = UNTOUCHED_POOL;
        struct pool_options options = {.workers = 1, .arena_size = sizes[i]};
        assert_any_of(pool_create(&options, &made), POOL_EINVAL, POOL_ENOMEM);
        assert_true(made == UNTOUCHED_POOL);
    }
    assert_still_works();
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

static void assert_job_refused(struct pool_job job) {
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_map(pool, &job), POOL_EINVAL);
    assert_code(pool_map(NULL, &job), POOL_EINVAL);
    assert_code(pool_map_async(pool, &job, &future), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
    assert_true(untouched(out, sizeof out));
    assert_true(untouched(status, sizeof status));
    assert_true(untouched(&failure, sizeof failure));
}

TEST_CASE(an_invalid_job_is_refused) {
    struct pool_job job = good_job();
    assert_code(pool_map(pool, NULL), POOL_EINVAL);
    assert_code(pool_map(NULL, NULL), POOL_EINVAL);
    job.fn = NULL;
    assert_job_refused(job);
    job = good_job();
    job.in_size = 0;
    assert_job_refused(job);
    job = good_job();
    job.out_size = 0;
    assert_job_refused(job);
    job = good_job();
    job.failures = &failure;
    assert_job_refused(job);
    job.failures_room = SIZE_MAX / sizeof failure + 1;
    assert_job_refused(job);
    job = good_job();
    job.failures_room = 1;
    assert_job_refused(job);
    job = good_job();
    job.timeout = -2;
    assert_job_refused(job);
    job = good_job();
    job.timeout = INT_MIN;
    assert_job_refused(job);
    job = good_job();
    job.count = SIZE_MAX / sizeof *in + 2;
    assert_job_refused(job);
    job = good_job();
    job.in_size = SIZE_MAX;
    assert_job_refused(job);
    job = good_job();
    job.out_size = SIZE_MAX / 4 + 1;
    assert_job_refused(job);
    job = good_job();
    job.fn = NULL;
    job.count = 0; /* an empty job is checked as well */
    assert_job_refused(job);
    job = good_job();
    assert_ok(pool_map(pool, &job));
    assert_int_equal(out[3], 16);
    assert_still_works();
}

TEST_CASE(an_asynchronous_job_needs_a_pool_and_a_future) {
    struct pool_job job = good_job();
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_map_async(NULL, &job, &future), POOL_EINVAL);
    assert_code(pool_map_async(pool, NULL, &future), POOL_EINVAL);
    assert_code(pool_map_async(pool, &job, NULL), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
    assert_true(untouched(out, sizeof out));
    assert_still_works();
}

static void assert_task_refused(struct pool_task task) {
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_submit(pool, &task, &future), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
}

TEST_CASE(an_invalid_task_is_refused) {
    const struct pool_task good = {.fn = square_task, POOL_IN(in), .out_size = sizeof *out};
    struct future *future = UNTOUCHED_FUTURE;
    assert_code(pool_submit(NULL, &good, &future), POOL_EINVAL);
    assert_code(pool_submit(pool, NULL, &future), POOL_EINVAL);
    assert_code(pool_submit(pool, &good, NULL), POOL_EINVAL);
    assert_true(future == UNTOUCHED_FUTURE);
    struct pool_task task = good;
    task.fn = NULL;
    assert_task_refused(task);
    task = good;
    task.in_size = 0;
    assert_task_refused(task);
    task = good;
    task.in = NULL;
    assert_task_refused(task);
    task = good;
    task.timeout = -2;
    assert_task_refused(task);
    assert_still_works();
}

TEST_CASE(a_task_too_large_for_any_memory_is_refused_and_its_argument_not_read) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2,
                                   sizeof(size_t) > 4 ? SIZE_MAX / 16 : SIZE_MAX / 3};
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
    assert_still_works();
}

TEST_CASE(wrong_arguments_of_future_functions_are_refused) {
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
    assert_code(future_get(future, &result, -2), POOL_EINVAL); /* also once the task is done */
    assert_code(future_failure(future, NULL), POOL_EINVAL);
    assert_int_equal(result, -1);
    assert_true(untouched(&why, sizeof why));
    assert_ok(finish(future, &result));
    assert_int_equal(result, 9);
}

TEST_CASE(a_shutdown_with_wrong_arguments_is_refused_and_the_pool_stays_open) {
    assert_code(pool_shutdown(NULL, 0, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, 4, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, -1, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, INT_MIN, 0), POOL_EINVAL);
    assert_code(pool_shutdown(pool, 0, -2), POOL_EINVAL);
    assert_code(pool_shutdown(pool, POOL_KILL_RUNNING, INT_MIN), POOL_EINVAL);
    assert_still_works();
}

TEST_CASE(wrong_arguments_of_the_other_pool_functions_are_refused) {
    assert_code(pool_fd(NULL), POOL_EINVAL);
    assert_code(pool_poll(NULL, 0), POOL_EINVAL);
    assert_code(pool_poll(pool, -2), POOL_EINVAL);
    assert_code(pool_poll(pool, INT_MIN), POOL_EINVAL);
    assert_null(pool_alloc(NULL, 8));
    assert_null(pool_alloc(pool, 0));
    pool_free(pool, NULL);
    pool_free(NULL, NULL);
    pool_destroy(NULL);
    assert_still_works();
}

TEST_CASE(refused_calls_take_no_memory) {
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
    assert_still_works();
}

#undef TEST
#define TEST(function)                                                                                                 \
    { #function, function, make_pool, end_pool, (void *)#function }

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_pool_needs_an_out_parameter_and_valid_options),
        TEST(hosts_need_a_program_that_serves),
        TEST(an_arena_larger_than_the_address_space_is_refused),
        TEST(a_tiny_arena_works_or_is_refused),
        TEST(an_invalid_job_is_refused),
        TEST(an_asynchronous_job_needs_a_pool_and_a_future),
        TEST(an_invalid_task_is_refused),
        TEST(a_task_too_large_for_any_memory_is_refused_and_its_argument_not_read),
        TEST(wrong_arguments_of_future_functions_are_refused),
        TEST(a_shutdown_with_wrong_arguments_is_refused_and_the_pool_stays_open),
        TEST(wrong_arguments_of_the_other_pool_functions_are_refused),
        TEST(refused_calls_take_no_memory),
    };
    return run_group("bad_input", tests, COUNT(tests), argc, argv);
}
