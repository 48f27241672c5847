/* The initializer of workers: if it always fails, the pool is broken; if it fails once, it is tried again. */
#include "support.h"

#include <signal.h>

#include "shared/worker_life.h"

enum { RETURNS, ABORTS, EXITS, FAULTS }; /* how its process ends */

struct plan {
    atomic_int starts, failures; /* failures: how many calls are still to fail; negative: all */
    int code;
    bool dies, hangs;
    int how;
};

static int initialize(void *argument) {
    struct plan *plan = argument;
    atomic_fetch_add(&plan->starts, 1);
    if (plan->failures == 0) return 0;
    if (plan->failures > 0 && atomic_fetch_sub(&plan->failures, 1) <= 0) {
        atomic_store(&plan->failures, 0);
        return 0;
    }
    if (plan->dies) raise(SIGKILL);
    if (plan->hangs) return forever_task(NULL, NULL);
    if (plan->how == ABORTS) abort();
    if (plan->how == EXITS) exit(plan->code);
    if (plan->how == FAULTS) raise(SIGSEGV);
    return plan->code;
}

static struct pool *pool_with(struct plan *plan, int workers) {
    struct pool_options options = test_options(workers);
    options.initializer = initialize;
    options.initializer_arg = plan;
    return pool_from(&options);
}

TEST_CASE(an_initializer_that_always_fails_ends_all_tasks) {
    static const int codes[] = {7, -1, 256, POOL_EFAILED};
    for (size_t c = 0; c < COUNT(codes); c++) {
        struct plan *plan = shared(sizeof *plan);
        plan->failures = -1;
        plan->code = codes[c];
        struct pool *pool = pool_with(plan, 2);
        struct future *futures[20] = {NULL};
        long in[20], out[20];
        int status[20], submitted = 0;
        struct pool_failure failure = {.error = 12345};
        for (long i = 0; i < 20; i++) {
            in[i] = i;
            out[i] = -1;
            struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
            int error = pool_submit(pool, &task, &futures[i]);
            if (error)
                assert_code(error, POOL_EINIT); /* the pool may be broken already */
            else
                submitted++;
            if (i == 10) sleep_ms(50);
        }
        for (int i = 0; i < submitted; i++) {
            assert_code(future_get(futures[i], NULL, PATIENCE), POOL_EINIT);
            assert_ok(future_failure(futures[i], &failure));
            assert_code(failure.error, POOL_EINIT);
            assert_int_equal(failure.code, codes[c]);
            assert_contains(failure.message, "the initializer returned");
            future_free(futures[i]);
        }
        struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 20, .status = status};
        assert_code(pool_map(pool, &job), POOL_EINIT);
        for (int i = 0; i < 20; i++) assert_int_equal(out[i], -1);
        int starts = plan->starts;
        assert_true(starts > 0 && starts < 1000);
        sleep_ms(50);
        assert_true(plan->starts - starts < 50); /* workers are not started over and over */
        pool_destroy(pool);
    }
}

TEST_CASE(an_initializer_that_crashes_or_exits_breaks_the_pool_soon) {
    for (int lazy = 0; lazy <= 1; lazy++)
        for (int how = ABORTS; how <= FAULTS; how++) {
            struct plan *plan = shared(sizeof *plan);
            plan->failures = -1;
            plan->how = how;
            struct pool_options options = test_options(2);
            options.initializer = initialize;
            options.initializer_arg = plan;
            options.lazy = lazy;
            struct pool *pool = pool_from(&options);
            long in[2] = {1, 2}, out[2];
            struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 2};
            int error = pool_map(pool, &job);
            assert_any_of(error, POOL_EINIT, POOL_EDIED);
            assert_in_range(plan->starts, PP_INIT_TRIES, 2 * PP_INIT_TRIES);
            pool_destroy(pool);
        }
}

TEST_CASE(a_job_has_the_code_of_a_failed_initializer) {
    struct plan *plan = shared(sizeof *plan);
    plan->failures = -1;
    plan->code = 77;
    struct pool *pool = pool_with(plan, 3);
    int status[20];
    struct pool_failure failure = {.error = 12345};
    struct pool_job job = {.fn = pid_task, .out_size = sizeof(pid_t), .count = 20, .status = status};
    job.failure = &failure;
    struct future *future = NULL;
    int error = pool_map_async(pool, &job, &future);
    if (error == 0) {
        assert_code(finish(future, NULL), POOL_EINIT);
        assert_code(failure.error, POOL_EINIT);
        assert_int_equal(failure.code, 77);
        assert_int_equal(failure.index, 0);
        for (int i = 0; i < 20; i++) assert_code(status[i], POOL_EINIT);
    } else
        assert_code(error, POOL_EINIT);
    pool_destroy(pool);
}

TEST_CASE(an_initializer_that_fails_once_is_tried_again) {
    for (int dies = 0; dies < 2; dies++) {
        for (int workers = 1; workers < 4; workers++) {
            struct plan *plan = shared(sizeof *plan);
            plan->failures = 1;
            plan->code = 5;
            plan->dies = dies;
            struct pool *pool = pool_with(plan, workers);
            assert_squares_in_turn(pool, 100);
            pool_destroy(pool);
        }
    }
}

static int die_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return raise(SIGKILL);
}

TEST_CASE(an_initializer_that_fails_now_and_then_is_tried_again_each_time) {
    struct plan *plan = shared(sizeof *plan);
    plan->code = 5;
    struct pool *pool = pool_with(plan, 2);
    for (int i = 0; i < 20; i++) {
        plan->failures = i % 2;
        assert_code(finish(submit(pool, die_task, NULL, 0, 0), NULL), POOL_EDIED);
        assert_square(submit_square(pool, i), i);
    }
    pool_destroy(pool);
}

TEST_CASE(a_pool_goes_on_with_its_workers_if_replacements_fail) {
    struct plan *plan = shared(sizeof *plan);
    struct gate *gate = shared(sizeof *gate);
    plan->code = 5;
    struct pool *pool = pool_with(plan, 2);
    struct future *both[2];
    for (int i = 0; i < 2; i++) both[i] = submit_gated(pool, gate); /* so that both workers have started */
    assert_true(gate_reached(gate, 2));
    gate_open(gate);
    for (int i = 0; i < 2; i++) assert_ok(finish(both[i], NULL));
    plan->failures = -1;
    assert_code(finish(submit(pool, die_task, NULL, 0, 0), NULL), POOL_EDIED);
    assert_squares_in_turn(pool, 200);
    assert_code(finish(submit(pool, die_task, NULL, 0, 0), NULL), POOL_EDIED); /* the last worker */
    long value = 1;
    struct pool_task task = {.fn = square_task, POOL_IN(&value), .out_size = sizeof value};
    struct future *future;
    int error = pool_submit(pool, &task, &future);
    if (error == 0) error = finish(future, &value);
    assert_code(error, POOL_EINIT);
    pool_destroy(pool);
}

TEST_CASE(a_pool_that_fails_or_hangs_at_start_can_be_destroyed) {
    for (int hangs = 0; hangs < 2; hangs++) {
        struct plan *plan = shared(sizeof *plan);
        plan->failures = -1;
        plan->code = 5;
        plan->hangs = hangs;
        for (int i = 0; i < 5; i++) {
            struct pool *pool = pool_with(plan, 2);
            if (i % 2) sleep_ms(20);
            struct pool_task task = {.fn = pid_task, .out_size = sizeof(pid_t)};
            struct future *future = NULL;
            int error = pool_submit(pool, &task, &future);
            assert_any_of(error, 0, POOL_EINIT);
            int64_t start = now_ms();
            pool_destroy(pool);
            assert_took(start, 0, 20000);
            if (error == 0) assert_any_of(finish(future, NULL), POOL_ECANCELLED, POOL_EINIT);
        }
    }
}

/* One worker gave up, and the other rests: it is the one that is started for work. */
TEST_CASE(a_worker_that_gave_up_is_not_taken_for_one_that_runs) {
    struct plan *plan = shared(sizeof *plan);
    plan->failures = PP_INIT_TRIES;
    plan->code = 7;
    struct pool_options options = test_options(2);
    options.initializer = initialize;
    options.initializer_arg = plan;
    options.lazy = true;
    options.idle_timeout = 20;
    struct pool *pool = pool_from(&options);
    for (long i = 0; i < 5; i++) {
        assert_square(submit_square(pool, i), i);
        struct pool_stats stats = {.room = 0};
        do assert_ok(pool_stats(pool, &stats));
        while (stats.busy + stats.idle > 0); /* until it rests */
    }
    assert_code(atomic_load(&plan->failures), 0);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(an_initializer_that_always_fails_ends_all_tasks),
        TEST(a_worker_that_gave_up_is_not_taken_for_one_that_runs),
        TEST(an_initializer_that_crashes_or_exits_breaks_the_pool_soon),
        TEST(a_job_has_the_code_of_a_failed_initializer),
        TEST(an_initializer_that_fails_once_is_tried_again),
        TEST(an_initializer_that_fails_now_and_then_is_tried_again_each_time),
        TEST(a_pool_goes_on_with_its_workers_if_replacements_fail),
        TEST(a_pool_that_fails_or_hangs_at_start_can_be_destroyed),
    };
    return run_group("initializer", tests, COUNT(tests), argc, argv);
}
