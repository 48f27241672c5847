/* Event loops: pool_fd() and pool_poll(). */
#include "support.h"

#include <poll.h>
#include <signal.h>

static bool readable_within(int fd, int ms) {
    struct pollfd event = {.fd = fd, .events = POLLIN};
    return poll(&event, 1, ms) == 1 && (event.revents & POLLIN);
}

/* Loops until so many tasks are done. Returns the number, or a negative value if something went wrong. */
static int loop_until(struct pool *pool, int fd, int wanted) {
    int done = 0;
    while (done < wanted) {
        if (!readable_within(fd, PATIENCE)) return -100;
        int more = pool_poll(pool, 0);
        if (more < 0) return more;
        done += more;
    }
    return done;
}

TEST_CASE(the_descriptor_is_readable_when_a_task_has_ended) {
    struct pool *pool = pool_of(1);
    int fd = pool_fd(pool);
    assert_true(fd >= 0);
    assert_int_equal(pool_fd(pool), fd);
    for (long i = 0; i < 200; i++) {
        struct future *future = submit_square(pool, i);
        assert_int_equal(loop_until(pool, fd, 1), 1);
        assert_true(future_done(future));
        long result = -1;
        assert_ok(future_get(future, &result, 0));
        assert_int_equal(result, i * i);
        future_free(future);
    }
    pool_destroy(pool);
}

TEST_CASE(a_loop_that_looks_late_misses_no_task) {
    counted = shared(sizeof *counted);
    struct pool *pool = pool_of(2);
    int fd = pool_fd(pool);
    struct future *futures[5000];
    for (int round = 0; round < 3; round++) {
        *counted = 0;
        for (int i = 0; i < 5000; i++) futures[i] = submit(pool, count_task, NULL, 0, 0);
        assert_true(becomes(counted, 5000));
        sleep_ms(50);
        assert_int_equal(loop_until(pool, fd, 5000), 5000);
        for (int i = 0; i < 5000; i++) assert_true(future_done(futures[i]));
        for (int i = 0; i < 5000; i++) assert_ok(finish(futures[i], NULL));
        assert_int_equal(pool_poll(pool, 0), 0);
    }
    pool_destroy(pool);
}

TEST_CASE(a_loop_with_a_window_counts_each_task_once) {
    enum { TASKS = 20000, WINDOW = 100 };
    struct pool *pool = pool_of(2);
    int fd = pool_fd(pool), submitted = 0, done = 0;
    static struct future *futures[TASKS];
    while (done < TASKS) {
        for (long i = submitted; i < TASKS && i < done + WINDOW; i++, submitted++)
            futures[i] = submit_square(pool, i);
        int more = loop_until(pool, fd, 1);
        assert_true(more >= 1);
        done += more;
        assert_true(done <= submitted);
    }
    assert_squares(futures, TASKS);
    assert_int_equal(pool_poll(pool, 0), 0);
    pool_destroy(pool);
}

TEST_CASE(pool_poll_counts_a_job_once) {
    struct pool *pool = pool_of(2);
    int fd = pool_fd(pool);
    long in[1000], out[5][1000];
    struct future *futures[5];
    for (long i = 0; i < 1000; i++) in[i] = i;
    for (size_t j = 0; j < 5; j++) {
        struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out[j]), .count = 1000, .chunk = j};
        assert_ok(pool_map_async(pool, &job, &futures[j]));
    }
    assert_int_equal(loop_until(pool, fd, 5), 5);
    for (int j = 0; j < 5; j++) {
        assert_true(future_done(futures[j]));
        assert_ok(finish(futures[j], NULL));
        for (long i = 0; i < 1000; i++) assert_int_equal(out[j][i], i * i);
    }
    pool_destroy(pool);
}

TEST_CASE(pool_poll_waits_until_a_task_ends) {
    struct pool *pool = pool_of(2);
    for (long i = 0; i < 500; i++) {
        struct future *future = submit_square(pool, i);
        assert_int_equal(pool_poll(pool, i % 2 ? -1 : PATIENCE), 1);
        assert_true(future_done(future));
        future_free(future);
    }
    pool_destroy(pool);
}

TEST_CASE(pool_poll_ends_with_its_time_out) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *future = block_worker(pool, gate);
    assert_int_equal(pool_poll(pool, 0), 0);
    int64_t start = now_ms();
    assert_int_equal(pool_poll(pool, 60), 0);
    assert_took(start, 60, PATIENCE);
    gate_open(gate);
    assert_int_equal(pool_poll(pool, PATIENCE), 1);
    assert_ok(finish(future, NULL));
    pool_destroy(pool);
}

TEST_CASE(pool_poll_does_not_wait_without_tasks_in_flight) {
    struct pool *pool = pool_of(1);
    assert_int_equal(pool_poll(pool, -1), 0);
    struct future *future = submit(pool, count_task, NULL, 0, 0);
    (void)future_wait(future, PATIENCE);
    (void)pool_poll(pool, 0); /* counts the task, which ended since the last call */
    assert_int_equal(pool_poll(pool, -1), 0);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(the_descriptor_of_an_idle_pool_stops_being_readable) {
    struct pool *pool = pool_of(2);
    int fd = pool_fd(pool);
    struct future *futures[100];
    submit_squares(pool, futures, 100);
    assert_int_equal(loop_until(pool, fd, 100), 100);
    int rounds = 0;
    while (readable_within(fd, 100) && rounds < 200) {
        assert_int_equal(pool_poll(pool, 0), 0);
        rounds++;
    }
    assert_true(rounds < 200);
    for (int i = 0; i < 100; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

static int die_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return raise(SIGKILL);
}

static int refuse_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return task_fail(3, "no");
}

static struct future *submit_notified(struct pool *pool, pool_fn *fn, void *arg) {
    struct future *future = NULL;
    struct pool_task task = {.fn = fn, .arg = arg, .notify = true};
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

TEST_CASE(tasks_with_notify_are_handed_out_once_each) {
    enum { TASKS = 1000 };
    counted = shared(sizeof *counted);
    struct pool *pool = pool_of(2);
    static bool seen[TASKS];
    struct future *future, *silent = submit(pool, count_task, NULL, 0, 0);
    assert_code(pool_next_done(pool, &future, PATIENCE), POOL_END);
    for (int i = 0; i < TASKS; i++) submit_notified(pool, count_task, &seen[i]);
    for (int i = 0; i < TASKS; i++) {
        assert_ok(pool_next_done(pool, &future, PATIENCE));
        bool *mine = future_arg(future);
        assert_true(mine >= seen && mine < seen + TASKS && !*mine);
        *mine = true;
        assert_true(future_done(future));
        assert_ok(finish(future, NULL));
    }
    assert_code(pool_next_done(pool, &future, PATIENCE), POOL_END);
    assert_ok(finish(silent, NULL));
    pool_destroy(pool);
}

TEST_CASE(tasks_that_failed_or_were_cancelled_are_handed_out_and_freed_ones_are_not) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *blocker = block_worker(pool, gate), *future;
    struct future *freed = submit_notified(pool, pid_task, NULL), *cancelled = submit_notified(pool, pid_task, NULL);
    assert_code(pool_next_done(pool, &future, 0), POOL_ETIMEDOUT);
    future_free(freed);
    assert_ok(future_cancel(cancelled));
    assert_ok(pool_next_done(pool, &future, PATIENCE));
    assert_true(future == cancelled);
    assert_code(finish(future, NULL), POOL_ECANCELLED);
    assert_code(pool_next_done(pool, &future, PATIENCE), POOL_END);
    struct future *failed = submit_notified(pool, refuse_task, NULL);
    gate_open(gate);
    assert_ok(future_wait(failed, PATIENCE));
    future_free(failed); /* it is done, and was not handed out */
    assert_code(pool_next_done(pool, &future, PATIENCE), POOL_END);
    /* One that depends on a failure is done when it is submitted. */
    struct future *root = submit(pool, refuse_task, NULL, 0, 0), *late;
    assert_ok(future_wait(root, PATIENCE));
    struct pool_task task = {.fn = pid_task, .after = &root, .after_count = 1, .notify = true};
    assert_ok(pool_submit(pool, &task, &late));
    assert_ok(pool_next_done(pool, &future, 0));
    assert_true(future == late);
    assert_code(finish(late, NULL), POOL_EDEPENDENCY);
    future_free(root);
    assert_ok(finish(blocker, NULL));
    submit_notified(pool, refuse_task, NULL);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_ok(pool_next_done(pool, &future, 0));
    assert_code(finish(future, NULL), POOL_EFAILED);
    assert_code(pool_next_done(pool, &future, 0), POOL_END);
    assert_code(pool_next_done(NULL, &future, 0), POOL_EINVAL);
    assert_code(pool_next_done(pool, NULL, 0), POOL_EINVAL);
    pool_destroy(pool);
}

TEST_CASE(the_descriptor_is_readable_until_each_done_task_was_handed_out) {
    struct pool *pool = pool_of(2);
    struct future *future;
    int fd = pool_fd(pool);
    for (int i = 0; i < 3; i++) submit_notified(pool, refuse_task, NULL);
    for (int i = 0; i < 3; i++) {
        int error;
        do assert_true(readable_within(fd, PATIENCE));
        while ((error = pool_next_done(pool, &future, 0)) == POOL_ETIMEDOUT);
        assert_ok(error);
        assert_code(finish(future, NULL), POOL_EFAILED);
    }
    /* A worker may ring late for a task whose outcome was seen before. */
    int rounds = 0;
    for (; readable_within(fd, 100) && rounds < 20; rounds++)
        assert_code(pool_next_done(pool, &future, 0), POOL_END);
    assert_true(rounds < 20);
    pool_destroy(pool);
}

static atomic_int woken;

/* Two threads wait, and the third wakes until both have returned: a wake-up is for one wait. */
static size_t wait_or_wake(struct pool *pool, uint64_t number) {
    struct future *future;
    size_t failed = 0;
    if (number == 0) failed = pool_next_done(pool, &future, PATIENCE) != POOL_ETIMEDOUT;
    if (number == 1) failed = pool_poll(pool, PATIENCE) != POOL_ETIMEDOUT;
    if (number < 2) atomic_fetch_add(&woken, 1);
    while (number == 2 && atomic_load(&woken) < 2) {
        sleep_ms(50);
        failed += pool_wake(pool) != 0;
    }
    return failed;
}

TEST_CASE(pool_wake_ends_the_wait_of_another_thread_or_the_next_one) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *blocker = block_worker(pool, gate), *future = submit_notified(pool, refuse_task, NULL), *done;
    int64_t begin = now_ms();
    int fd = pool_fd(pool);
    atomic_store(&woken, 0);
    assert_no_errors_in_threads(3, wait_or_wake, pool);
    assert_ok(pool_wake(pool)); /* before the call that it ends */
    assert_true(readable_within(fd, PATIENCE));
    assert_code(pool_next_done(pool, &done, PATIENCE), POOL_ETIMEDOUT);
    assert_took(begin, 0, PATIENCE / 2);
    assert_code(pool_next_done(pool, &done, 10), POOL_ETIMEDOUT);
    assert_false(readable_within(fd, 50));
    gate_open(gate);
    assert_ok(finish(blocker, NULL));
    assert_ok(pool_next_done(pool, &done, PATIENCE));
    assert_true(done == future);
    assert_code(finish(done, NULL), POOL_EFAILED);
    assert_code(pool_wake(NULL), POOL_EINVAL);
    pool_destroy(pool);
}

static struct gate *called;

static void call_at_gate(struct future *future, void *arg) {
    (void)future;
    gate_pass(arg);
}

/* The first thread takes the outcome in, and is in its callback; the second must not count it before. */
static size_t call_or_count(struct pool *pool, uint64_t number) {
    if (number == 0) return pool_poll(pool, PATIENCE) != 1;
    if (!gate_reached(called, 1)) return 1;
    size_t wrong = pool_poll(pool, 50) != 0;
    gate_open(called);
    return wrong;
}

TEST_CASE(pool_poll_counts_a_future_once_its_callbacks_have_run) {
    called = shared(sizeof *called);
    struct gate *gate = shared(sizeof *gate), *held = shared(sizeof *held);
    struct pool *pool = pool_of(2);
    struct future *blocker = block_worker(pool, gate), *future = submit_square(pool, 3);
    while (!future_done(future)) sleep_ms(1);
    assert_int_equal(pool_poll(pool, 0), 1);
    future_free(future);
    future = submit_gated(pool, held);
    assert_ok(future_on_done(future, call_at_gate, called));
    gate_open(held);
    assert_no_errors_in_threads(2, call_or_count, pool);
    assert_int_equal(pool_poll(pool, 0), 0);
    gate_open(gate);
    assert_ok(finish(future, NULL));
    assert_ok(finish(blocker, NULL));
    pool_destroy(pool);
}

TEST_CASE(deaths_and_deadlines_wake_the_loop) {
    struct pool *pool = pool_of(2);
    int fd = pool_fd(pool);
    for (int i = 0; i < 10; i++) {
        struct future *dying = submit(pool, die_task, NULL, 0, 0), *late = NULL;
        struct pool_task task = {.fn = forever_task, .timeout = 20};
        assert_ok(pool_submit(pool, &task, &late));
        assert_int_equal(loop_until(pool, fd, 2), 2);
        assert_code(future_get(dying, NULL, 0), POOL_EDIED);
        assert_code(future_get(late, NULL, 0), POOL_EDEADLINE);
        future_free(dying);
        future_free(late);
    }
    pool_destroy(pool);
}

/* Writes a byte into a pipe, whose other end the loop watches beside the pool's descriptor. */
static int write_task(const void *in, void *out) {
    (void)out;
    return write(*(const int *)in, "x", 1) == 1 ? 0 : 1;
}

TEST_CASE(a_loop_may_wait_for_other_descriptors_as_well) {
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    struct pool *pool = pool_of(2);
    enum { TASKS = 300 };
    struct future *futures[TASKS];
    for (int i = 0; i < TASKS; i++) futures[i] = submit(pool, write_task, &pipe_ends[1], sizeof(int), 0);
    int done = 0, bytes = 0;
    int64_t start = now_ms();
    while ((done < TASKS || bytes < TASKS) && now_ms() - start < PATIENCE) {
        struct pollfd events[2] = {{.fd = pool_fd(pool), .events = POLLIN}, {.fd = pipe_ends[0], .events = POLLIN}};
        assert_true(poll(events, 2, PATIENCE) > 0);
        char text[64];
        if (events[1].revents) bytes += (int)read(pipe_ends[0], text, sizeof text);
        if (events[0].revents) done += pool_poll(pool, 0);
    }
    assert_int_equal(done, TASKS);
    assert_int_equal(bytes, TASKS);
    for (int i = 0; i < TASKS; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void wait_at_gate(void *gate) {
    (void)gate_pass(gate);
}

/* The workers are to end, and do so only later. */
TEST_CASE(the_descriptor_stops_being_readable_after_a_shutdown_that_took_too_long) {
    struct gate *gate = shared(sizeof *gate);
    struct pool_options options = test_options(2);
    options.finalizer = wait_at_gate;
    options.finalizer_arg = gate;
    struct pool *pool = pool_from(&options);
    int fd = pool_fd(pool);
    assert_squares_at_once(pool, 10);
    assert_code(pool_shutdown(pool, 0, 100), POOL_ETIMEDOUT);
    gate_open(gate);
    int rounds = 0;
    for (int64_t start = now_ms(); now_ms() - start < 2000; sleep_ms(1)) {
        if (!readable_within(fd, 0)) continue;
        assert_true(pool_poll(pool, 0) >= 0);
        rounds++;
    }
    assert_true(rounds < 200);
    assert_false(readable_within(fd, 100));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_descriptor_is_readable_when_a_task_has_ended),
        TEST(a_loop_that_looks_late_misses_no_task),
        TEST(a_loop_with_a_window_counts_each_task_once),
        TEST(pool_poll_counts_a_job_once),
        TEST(pool_poll_waits_until_a_task_ends),
        TEST(pool_poll_ends_with_its_time_out),
        TEST(pool_poll_does_not_wait_without_tasks_in_flight),
        TEST(the_descriptor_of_an_idle_pool_stops_being_readable),
        TEST(tasks_with_notify_are_handed_out_once_each),
        TEST(tasks_that_failed_or_were_cancelled_are_handed_out_and_freed_ones_are_not),
        TEST(the_descriptor_is_readable_until_each_done_task_was_handed_out),
        TEST(pool_wake_ends_the_wait_of_another_thread_or_the_next_one),
        TEST(pool_poll_counts_a_future_once_its_callbacks_have_run),
        TEST(deaths_and_deadlines_wake_the_loop),
        TEST(the_descriptor_stops_being_readable_after_a_shutdown_that_took_too_long),
        TEST(a_loop_may_wait_for_other_descriptors_as_well),
    };
    return run_group("poll", tests, COUNT(tests), argc, argv);
}
