/* Futures: waiting, cancelling, killing, failures and life time. */
#include "support.h"

#include <pthread.h>

/* A pool of one worker, which a task blocks at a gate: later tasks wait. */
struct blocked {
    struct gate *gate;
    struct pool *pool;
    struct future *running;
};

static struct blocked block(void) {
    struct blocked b = {.gate = shared(sizeof *b.gate)};
    b.pool = pool_of(1);
    b.running = block_worker(b.pool, b.gate);
    return b;
}

static void release(struct blocked b) {
    gate_open(b.gate);
    assert_ok(finish(b.running, NULL));
}

TEST_CASE(a_task_is_pending_then_running_then_done) {
    struct blocked b = block();
    struct future *pending = submit_square(b.pool, 12);
    assert_true(future_running(b.running));
    assert_false(future_done(b.running));
    assert_false(future_running(pending));
    assert_false(future_done(pending));
    release(b);
    assert_ok(future_wait(pending, PATIENCE));
    assert_true(future_done(pending));
    assert_false(future_running(pending));
    future_free(pending);
    pool_destroy(b.pool);
}

TEST_CASE(future_done_becomes_true_without_a_wait) {
    struct pool *pool = pool_of(1);
    for (int i = 0; i < 50; i++) {
        struct future *future = submit_square(pool, 3);
        for (int64_t start = now_ms(); !future_done(future) && now_ms() - start < PATIENCE;) sleep_ms(1);
        assert_true(future_done(future));
        long result = -1;
        assert_ok(future_get(future, &result, 0));
        assert_int_equal(result, 9);
        future_free(future);
    }
    pool_destroy(pool);
}

TEST_CASE(a_wait_ends_with_its_time_out_and_the_task_goes_on) {
    struct blocked b = block();
    long value = 5, result = -1;
    struct future *pending = submit_square(b.pool, value);
    struct future *both[2] = {b.running, pending};
    for (int i = 0; i < 2; i++) {
        assert_code(future_wait(both[i], 0), POOL_ETIMEDOUT);
        assert_code(future_get(both[i], &result, 0), POOL_ETIMEDOUT);
        int64_t start = now_ms();
        assert_code(future_wait(both[i], 50), POOL_ETIMEDOUT);
        assert_took(start, 50, PATIENCE);
        start = now_ms();
        assert_code(future_get(both[i], &result, 50), POOL_ETIMEDOUT);
        assert_took(start, 50, PATIENCE);
        struct pool_failure failure = {.error = 12345};
        assert_code(future_failure(both[i], &failure), POOL_EBUSY);
        assert_int_equal(failure.error, 12345);
    }
    assert_int_equal(result, -1);
    release(b);
    assert_ok(future_get(pending, &result, -1));
    assert_int_equal(result, 25);
    future_free(pending);
    pool_destroy(b.pool);
}

TEST_CASE(a_result_may_be_got_several_times_or_never) {
    struct pool *pool = pool_of(1);
    struct future *future = submit_square(pool, 7);
    assert_ok(future_get(future, NULL, -1));
    for (int i = 0; i < 3; i++) {
        long result = -1;
        assert_ok(future_get(future, &result, i - 1));
        assert_int_equal(result, 49);
        assert_ok(future_wait(future, i - 1));
    }
    struct pool_failure failure = {.error = 12345};
    assert_ok(future_failure(future, &failure));
    assert_ok(failure.error);
    future_free(future);
    pool_destroy(pool);
}

static int one_task(const void *in, void *out) {
    (void)in;
    *(long *)out = 1;
    return 0;
}

TEST_CASE(results_may_be_got_in_any_order_and_after_many_other_tasks) {
    struct pool *pool = pool_of(2);
    enum { TASKS = 2000 };
    struct future *futures[TASKS];
    submit_squares(pool, futures, TASKS);
    for (int i = 0; i < 5000; i++) { /* tasks that reuse slots must not touch the results of earlier ones */
        long one = 0;
        assert_ok(finish(submit(pool, one_task, NULL, 0, sizeof one), &one));
        assert_int_equal(one, 1);
    }
    for (long k = 0; k < TASKS; k++) {
        long i = k * 1999 % TASKS, result = -1;
        assert_ok(finish(futures[i], &result));
        assert_int_equal(result, i * i);
    }
    pool_destroy(pool);
}

TEST_CASE(a_cancelled_task_never_runs) {
    counted = shared(sizeof *counted);
    struct blocked b = block();
    struct future *futures[200];
    for (int i = 0; i < 200; i++) futures[i] = submit(b.pool, count_task, NULL, 0, 0);
    for (int i = 0; i < 200; i += 2) {
        assert_ok(future_cancel(futures[i]));
        assert_true(future_done(futures[i]));
        assert_false(future_running(futures[i]));
        assert_code(future_get(futures[i], NULL, 0), POOL_ECANCELLED);
        assert_ok(future_wait(futures[i], 0));
        struct pool_failure failure;
        assert_ok(future_failure(futures[i], &failure));
        assert_code(failure.error, POOL_ECANCELLED);
        assert_true(failure.message[0] != 0);
        assert_int_equal(failure.worker, 0);
        assert_code(future_cancel(futures[i]), POOL_EBUSY);
        assert_code(future_kill(futures[i]), POOL_EBUSY);
    }
    release(b);
    for (int i = 0; i < 200; i++) assert_code(finish(futures[i], NULL), i % 2 ? 0 : POOL_ECANCELLED);
    assert_ok(pool_shutdown(b.pool, 0, PATIENCE));
    assert_int_equal(*counted, 100);
    pool_destroy(b.pool);
}

TEST_CASE(cancel_has_no_effect_on_a_running_or_finished_task) {
    struct blocked b = block();
    assert_code(future_cancel(b.running), POOL_EBUSY);
    assert_false(future_done(b.running));
    assert_true(future_running(b.running));
    gate_open(b.gate);
    assert_ok(future_get(b.running, NULL, PATIENCE));
    assert_code(future_cancel(b.running), POOL_EBUSY);
    assert_code(future_kill(b.running), POOL_EBUSY);
    assert_ok(future_get(b.running, NULL, 0));
    future_free(b.running);
    pool_destroy(b.pool);
}

static int say_pid_and_stay_task(const void *in, void *out) {
    (void)out;
    atomic_int *pid = *(atomic_int *const *)in;
    atomic_store(pid, getpid());
    return forever_task(NULL, NULL);
}

TEST_CASE(kill_ends_a_running_task_and_the_pool_goes_on) {
    atomic_int *pid = shared(sizeof *pid);
    struct pool *pool = pool_of(2);
    for (int round = 0; round < 10; round++) {
        *pid = 0;
        struct future *victim = submit(pool, say_pid_and_stay_task, &pid, sizeof pid, 0);
        assert_true(becomes(pid, 1));
        pid_t worker = *pid;
        assert_ok(future_kill(victim));
        assert_code(future_get(victim, NULL, PATIENCE), POOL_ECANCELLED);
        assert_true(gone_within(worker, PATIENCE));
        assert_code(future_kill(victim), POOL_EBUSY);
        struct pool_failure failure;
        assert_ok(future_failure(victim, &failure));
        assert_code(failure.error, POOL_ECANCELLED);
        assert_true(failure.message[0] != 0);
        future_free(victim);
        assert_squares_in_turn(pool, 20);
    }
    pool_destroy(pool);
}

TEST_CASE(kill_ends_a_waiting_task_as_cancel_does) {
    counted = shared(sizeof *counted);
    struct blocked b = block();
    struct future *pending = submit(b.pool, count_task, NULL, 0, 0);
    assert_ok(future_kill(pending));
    assert_code(future_get(pending, NULL, PATIENCE), POOL_ECANCELLED);
    release(b);
    assert_ok(pool_shutdown(b.pool, 0, PATIENCE));
    assert_int_equal(*counted, 0);
    future_free(pending);
    pool_destroy(b.pool);
}

struct gated_squares {
    struct gate gate;
    atomic_bool done[100];
};

static int gate_or_square_task(const void *in, void *out) {
    struct gated_squares *squares = *(struct gated_squares *const *)in;
    size_t i = task_index();
    if (i >= 60 && i < 64) return gate_pass(&squares->gate);
    *(long *)out = (long)(i * i);
    atomic_store(&squares->done[i], true);
    return 0;
}

TEST_CASE(a_killed_job_keeps_the_results_of_its_finished_items) {
    struct gated_squares *squares = shared(sizeof *squares), *in[100];
    struct pool *pool = pool_of(2);
    long out[100];
    int status[100];
    size_t lowest = 100;
    for (int i = 0; i < 100; i++) {
        in[i] = squares;
        out[i] = -1;
        status[i] = 12345;
    }
    struct pool_failure failure;
    struct pool_job job = {.fn = gate_or_square_task, POOL_IN(in), POOL_OUT(out), .count = 100, .chunk = 1,
                           .status = status, .failure = &failure};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(&squares->gate, 2)); /* both workers block; their earlier items are done */
    assert_true(future_running(future));
    assert_code(future_cancel(future), POOL_EBUSY);
    assert_ok(future_kill(future));
    assert_code(future_get(future, NULL, PATIENCE), POOL_ECANCELLED);
    for (size_t i = 100; i-- > 0;) {
        bool done = squares->done[i];
        assert_code(status[i], done ? 0 : POOL_ECANCELLED);
        assert_int_equal(out[i], done ? (long)(i * i) : -1);
        if (!done) lowest = i;
    }
    assert_true(lowest <= 60 && (squares->done[0] || squares->done[99]));
    assert_code(failure.error, POOL_ECANCELLED);
    assert_int_equal(failure.index, lowest);
    future_free(future);
    assert_square(submit_square(pool, 4), 4);
    pool_destroy(pool);
}

TEST_CASE(a_waiting_job_can_be_cancelled) {
    counted = shared(sizeof *counted);
    struct blocked b = block();
    int status[50];
    struct pool_failure failure;
    struct pool_job job = {.fn = count_task, .count = 50, .status = status, .failure = &failure};
    struct future *future;
    assert_ok(pool_map_async(b.pool, &job, &future));
    assert_false(future_running(future));
    assert_ok(future_cancel(future));
    assert_true(future_done(future));
    assert_code(future_get(future, NULL, 0), POOL_ECANCELLED);
    for (int i = 0; i < 50; i++) assert_code(status[i], POOL_ECANCELLED);
    assert_code(failure.error, POOL_ECANCELLED);
    assert_int_equal(failure.index, 0);
    release(b);
    future_free(future);
    assert_ok(pool_shutdown(b.pool, 0, PATIENCE));
    assert_int_equal(*counted, 0);
    pool_destroy(b.pool);
}

TEST_CASE(a_task_goes_on_when_its_future_is_freed) {
    counted = shared(sizeof *counted);
    struct blocked b = block();
    future_free(b.running);
    for (int i = 0; i < 1000; i++) future_free(submit(b.pool, count_task, NULL, 0, i % 2 ? 100000 : 8));
    long in[100], out[100];
    int status[100];
    for (long i = 0; i < 100; i++) in[i] = i, out[i] = -1, status[i] = 1;
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 100, .status = status};
    struct future *future;
    assert_ok(pool_map_async(b.pool, &job, &future));
    future_free(future);
    gate_open(b.gate);
    assert_ok(pool_shutdown(b.pool, 0, PATIENCE));
    assert_int_equal(*counted, 1000);
    /* A job that was given up writes nothing to the caller's memory: the caller could not know when. */
    for (long i = 0; i < 100; i++) {
        assert_int_equal(out[i], -1);
        assert_int_equal(status[i], 1);
    }
    pool_destroy(b.pool);
}

TEST_CASE(many_tasks_that_were_given_up_leave_room_for_more) {
    counted = shared(sizeof *counted);
    struct pool *pool = pool_of(2);
    int tasks = (int)scaled(100000);
    for (int i = 0; i < tasks; i++) future_free(submit(pool, count_task, NULL, 0, 0));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_int_equal(*counted, tasks);
    pool_destroy(pool);
}

static int large_task(const void *in, void *out) {
    fill(out, 1 << 20, *(const uint64_t *)in);
    return 0;
}

static int fail_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return task_fail(17, "the reason is %d", 71);
}

TEST_CASE(a_future_outlives_its_pool_with_its_result) {
    counted = shared(sizeof *counted);
    struct pool *pool = pool_of(2);
    struct future *small[100], *large[8], *failed = submit(pool, fail_task, NULL, 0, 0);
    submit_squares(pool, small, 100);
    for (uint64_t i = 0; i < 8; i++) large[i] = submit(pool, large_task, &i, sizeof i, 1 << 20);
    struct pool_job job = {.fn = count_task, .count = 10};
    struct future *job_future;
    assert_ok(pool_map_async(pool, &job, &job_future));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
    for (long i = 0; i < 100; i++) {
        long result = -1;
        assert_true(future_done(small[i]));
        assert_false(future_running(small[i]));
        assert_code(future_cancel(small[i]), POOL_EBUSY);
        assert_code(future_kill(small[i]), POOL_EBUSY);
        assert_ok(future_wait(small[i], 0));
        assert_ok(finish(small[i], &result));
        assert_int_equal(result, i * i);
    }
    char *data = malloc(1 << 20);
    for (uint64_t i = 0; i < 8; i++) {
        assert_ok(finish(large[i], data));
        assert_true(filled(data, 1 << 20, i));
    }
    free(data);
    struct pool_failure failure;
    assert_ok(future_failure(failed, &failure));
    assert_code(failure.error, POOL_EFAILED);
    assert_int_equal(failure.code, 17);
    assert_contains(failure.message, "the reason is 71");
    assert_code(finish(failed, NULL), POOL_EFAILED);
    assert_ok(finish(job_future, NULL));
    assert_int_equal(*counted, 10);
}

TEST_CASE(a_result_can_be_read_where_it_lies) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    size_t size = 7;
    struct future *waits = block_worker(pool, gate), *failed = submit(pool, fail_task, NULL, 0, 8);
    assert_null(future_data(waits, &size));
    assert_null(future_data(NULL, &size));
    gate_open(gate);
    assert_ok(future_wait(waits, PATIENCE));
    assert_null(future_data(waits, &size)); /* it has none */
    assert_ok(future_wait(failed, PATIENCE));
    assert_null(future_data(failed, &size));
    uint64_t seed = 3;
    struct future *small = submit_square(pool, 12), *large = submit(pool, large_task, &seed, sizeof seed, 1 << 20);
    assert_ok(future_wait(large, PATIENCE));
    assert_true(*(const long *)future_data(small, &size) == 144 && size == sizeof(long));
    const char *data = future_data(large, &size);
    assert_true(size == 1 << 20 && filled(data, size, seed));
    pool_destroy(pool);
    assert_true(*(const long *)future_data(small, NULL) == 144);
    assert_true(filled(future_data(large, NULL), size, seed));
    for (int i = 0; i < 4; i++) future_free((struct future *[]){waits, failed, small, large}[i]);
}

TEST_CASE(a_future_knows_the_argument_of_its_task_that_is_the_programs) {
    struct pool *pool = pool_of(1);
    struct future *future, *job;
    struct pool_task task = {.fn = fail_task, .arg = &task};
    assert_ok(pool_submit(pool, &task, &future));
    assert_true(future_arg(future) == &task);
    assert_ok(future_wait(future, PATIENCE));
    assert_true(future_arg(future) == &task);
    future_free(future);
    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = fail_task, .count = 3}, &job));
    assert_null(future_arg(job));
    assert_null(future_arg(NULL));
    assert_code(finish(job, NULL), POOL_EFAILED);
    pool_destroy(pool);
}

TEST_CASE(unfinished_tasks_are_cancelled_when_their_pool_is_destroyed) {
    counted = shared(sizeof *counted);
    struct blocked b = block();
    struct future *tasks[100], *job_future;
    int status[10];
    for (int i = 0; i < 100; i++) tasks[i] = submit(b.pool, count_task, NULL, 0, i % 2 ? 200000 : 0);
    struct pool_job job = {.fn = count_task, .count = 10, .status = status};
    assert_ok(pool_map_async(b.pool, &job, &job_future));
    int64_t start = now_ms();
    pool_destroy(b.pool);
    assert_took(start, 0, 20000);
    for (int i = 0; i < 100; i++) assert_code(finish(tasks[i], NULL), POOL_ECANCELLED);
    for (int i = 0; i < 10; i++) assert_code(status[i], POOL_ECANCELLED);
    assert_code(finish(job_future, NULL), POOL_ECANCELLED);
    assert_code(finish(b.running, NULL), POOL_ECANCELLED);
    assert_int_equal(*counted, 0);
}

struct waiter {
    struct future *future;
    pthread_t thread;
    int error;
    long result;
};

static void *wait_for_it(void *argument) {
    struct waiter *waiter = argument;
    waiter->error = future_get(waiter->future, &waiter->result, PATIENCE);
    return NULL;
}

static int gate_result_task(const void *in, void *out) {
    *(long *)out = 4711;
    return gate_pass(*(struct gate *const *)in);
}

TEST_CASE(threads_may_wait_for_the_same_future_and_for_different_ones) {
    struct gate *gates[2] = {shared(sizeof(struct gate)), shared(sizeof(struct gate))};
    struct pool *pool = pool_of(2);
    struct future *futures[2];
    for (int i = 0; i < 2; i++) futures[i] = submit(pool, gate_result_task, &gates[i], sizeof gates[i], sizeof(long));
    struct waiter waiters[8];
    for (int i = 0; i < 8; i++) {
        waiters[i] = (struct waiter){.future = futures[i % 2], .error = 1, .result = -1};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_it, &waiters[i]), 0);
    }
    assert_true(gate_reached(gates[0], 1));
    assert_true(gate_reached(gates[1], 1));
    sleep_ms(20);
    gate_open(gates[1]); /* the threads that wait for this task are woken while the other task runs */
    for (int i = 1; i < 8; i += 2) {
        pthread_join(waiters[i].thread, NULL);
        assert_ok(waiters[i].error);
        assert_int_equal(waiters[i].result, 4711);
    }
    assert_false(future_done(futures[0]));
    gate_open(gates[0]);
    for (int i = 0; i < 8; i += 2) {
        pthread_join(waiters[i].thread, NULL);
        assert_ok(waiters[i].error);
        assert_int_equal(waiters[i].result, 4711);
    }
    future_free(futures[0]);
    future_free(futures[1]);
    pool_destroy(pool);
}

/* Returns the milliseconds until a waiting thread learns of a cancel. */
static int64_t cancel_under_a_waiting_thread(struct pool *pool) {
    struct future *pending = submit(pool, count_task, NULL, 0, 0);
    struct waiter waiter = {.future = pending, .error = 1};
    assert_int_equal(pthread_create(&waiter.thread, NULL, wait_for_it, &waiter), 0);
    sleep_ms(20);
    int64_t start = now_ms();
    assert_ok(future_cancel(pending));
    pthread_join(waiter.thread, NULL);
    assert_code(waiter.error, POOL_ECANCELLED);
    future_free(pending);
    return now_ms() - start;
}

TEST_CASE(a_waiting_thread_is_woken_by_the_cancel_of_another) {
    counted = shared(sizeof *counted);
    struct blocked b = block();
    int64_t least = PATIENCE;
    for (int i = 0; i < 10; i++) {
        int64_t took = cancel_under_a_waiting_thread(b.pool);
        if (took < least) least = took;
    }
    assert_true(least < 50); /* without a wake-up, the sleep would last another 80 ms */
    release(b);
    pool_destroy(b.pool);
}

TEST_CASE(future_free_of_null_does_nothing) {
    future_free(NULL);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_task_is_pending_then_running_then_done),
        TEST(future_done_becomes_true_without_a_wait),
        TEST(a_wait_ends_with_its_time_out_and_the_task_goes_on),
        TEST(a_result_may_be_got_several_times_or_never),
        TEST(results_may_be_got_in_any_order_and_after_many_other_tasks),
        TEST(a_cancelled_task_never_runs),
        TEST(cancel_has_no_effect_on_a_running_or_finished_task),
        TEST(kill_ends_a_running_task_and_the_pool_goes_on),
        TEST(kill_ends_a_waiting_task_as_cancel_does),
        TEST(a_killed_job_keeps_the_results_of_its_finished_items),
        TEST(a_waiting_job_can_be_cancelled),
        TEST(a_task_goes_on_when_its_future_is_freed),
        TEST(many_tasks_that_were_given_up_leave_room_for_more),
        TEST(a_future_outlives_its_pool_with_its_result),
        TEST(a_result_can_be_read_where_it_lies),
        TEST(a_future_knows_the_argument_of_its_task_that_is_the_programs),
        TEST(unfinished_tasks_are_cancelled_when_their_pool_is_destroyed),
        TEST(threads_may_wait_for_the_same_future_and_for_different_ones),
        TEST(a_waiting_thread_is_woken_by_the_cancel_of_another),
        TEST(future_free_of_null_does_nothing),
    };
    return run_group("future", tests, COUNT(tests), argc, argv);
}
