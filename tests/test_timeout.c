/* Time-outs of items and tasks, and kills on request, of tasks that resist. */
#include "support.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static struct future *submit_with_timeout(struct pool *pool, pool_fn *fn, const void *in, size_t in_size, int timeout) {
    struct pool_task task = {.fn = fn, .in = in, .in_size = in_size, .out_size = sizeof(long), .timeout = timeout};
    struct future *future = NULL;
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

/* Notes of a task that hangs. */
struct hang {
    atomic_int pid, child;
    atomic_llong began, last; /* ms: when it started; when it was last alive */
};

static void note_time(struct hang *hang) {
    atomic_store(&hang->last, now_ms());
}

static struct hang *start_hang(const void *in) {
    struct hang *hang = *(struct hang *const *)in;
    atomic_store(&hang->began, now_ms());
    note_time(hang);
    atomic_store(&hang->pid, getpid());
    return hang;
}

static int hang_task(const void *in, void *out) {
    (void)out;
    struct hang *hang = start_hang(in);
    while (atomic_load(&hang->began)) note_time(hang);
    return 0;
}

TEST_CASE(a_task_past_its_time_out_is_killed) {
    struct hang *hang = shared(sizeof *hang);
    struct pool *pool = pool_of(2);
    for (int timeout = 400; timeout <= 1000; timeout += 300) {
        memset((void *)hang, 0, sizeof *hang);
        struct future *future = submit_with_timeout(pool, hang_task, &hang, sizeof(struct hang *), timeout);
        long result = -1;
        assert_code(future_get(future, &result, PATIENCE), POOL_EDEADLINE);
        assert_int_equal(result, -1);
        struct pool_failure failure;
        assert_ok(future_failure(future, &failure));
        assert_code(failure.error, POOL_EDEADLINE);
        assert_int_equal(failure.worker, hang->pid);
        assert_contains(failure.message, "it ran longer than");
        assert_true(gone_within(hang->pid, PATIENCE));
        /* The task must not end before its time-out. `last` does not tell: it may have waited for a CPU before. */
        assert_true(now_ms() - hang->began >= timeout - 5);
        assert_true(hang->last - hang->began < timeout + 10000);
        future_free(future);
        assert_square(submit_square(pool, 8), 8);
    }
    pool_destroy(pool);
}

TEST_CASE(a_task_is_killed_in_time_while_the_caller_sleeps) {
    struct hang *hang = shared(sizeof *hang);
    struct pool *pool = pool_of(1);
    struct future *future = submit_with_timeout(pool, hang_task, &hang, sizeof(struct hang *), 1000);
    assert_true(becomes(&hang->pid, 1));
    assert_true(gone_within(hang->pid, PATIENCE)); /* without a call of the library */
    assert_true(hang->last - hang->began < 10000);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDEADLINE);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_task_is_killed_in_time_while_the_caller_computes) {
    struct hang *hang = shared(sizeof *hang);
    struct pool *pool = pool_of(1);
    struct pool_job job = {.fn = hang_task, POOL_IN(&hang), .count = 1, .timeout = 1000};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(becomes(&hang->pid, 1));
    for (int64_t start = now_ms(); alive(hang->pid) && now_ms() - start < PATIENCE;)
        for (int64_t look = now_ms() + 10; now_ms() < look;) continue;
    assert_false(alive(hang->pid));
    assert_true(hang->last - hang->began < 10000);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDEADLINE);
    future_free(future);
    pool_destroy(pool);
}

static int hang_at_13_task(const void *in, void *out) {
    (void)in;
    *(long *)out = (long)task_index() + 1;
    return task_index() % 50 == 13 ? forever_task(NULL, NULL) : 0;
}

TEST_CASE(a_time_out_in_a_job_costs_only_the_item_that_hangs) {
    struct pool *pool = pool_of(2);
    static const size_t chunks[] = {0, 1, 10, 1000};
    for (size_t c = 0; c < COUNT(chunks); c++) {
        long out[100];
        int status[100];
        memset(out, 0, sizeof out);
        struct pool_failure failure;
        struct pool_job job = {.fn = hang_at_13_task, POOL_OUT(out), .count = 100, .chunk = chunks[c], .timeout = 1000,
                               .status = status, .failure = &failure};
        assert_code(pool_map(pool, &job), POOL_EDEADLINE);
        assert_int_equal(failure.index, 13);
        assert_code(failure.error, POOL_EDEADLINE);
        for (long i = 0; i < 100; i++) {
            assert_code(status[i], i % 50 == 13 ? POOL_EDEADLINE : 0);
            assert_int_equal(out[i], i % 50 == 13 ? 0 : i + 1);
        }
    }
    pool_destroy(pool);
}

static int nap_task(const void *in, void *out) {
    (void)in;
    (void)out;
    sleep_ms(50);
    return 0;
}

TEST_CASE(the_time_of_each_item_counts_from_its_own_start) {
    struct pool *pool = pool_of(1);
    int64_t start = now_ms();
    assert_ok(pool_map(pool, &(struct pool_job){.fn = nap_task, .count = 24, .chunk = 24, .timeout = 1100}));
    assert_took(start, 1200, PATIENCE);
    pool_destroy(pool);
}

TEST_CASE(the_time_in_the_queue_does_not_count) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *first = submit_gated(pool, gate), *tasks[5];
    long value = 3;
    for (int i = 0; i < 5; i++) tasks[i] = submit_with_timeout(pool, square_task, &value, sizeof value, 500);
    sleep_ms(600);
    gate_open(gate);
    assert_ok(finish(first, NULL));
    for (int i = 0; i < 5; i++) assert_ok(finish(tasks[i], NULL));
    pool_destroy(pool);
}

TEST_CASE(a_farther_deadline_does_not_hide_a_nearer_one) {
    struct hang *hangs = shared(3 * sizeof *hangs);
    struct hang *far = &hangs[0], *near = &hangs[1], *none = &hangs[2];
    struct pool *pool = pool_of(3);
    for (int order = 0; order < 2; order++) {
        memset((void *)hangs, 0, 3 * sizeof *hangs);
        struct future *far_future = NULL, *near_future = NULL;
        struct future *none_future = submit_with_timeout(pool, hang_task, &none, sizeof(struct hang *), 0);
        if (order == 0) {
            far_future = submit_with_timeout(pool, hang_task, &far, sizeof(struct hang *), 100 * PATIENCE);
            assert_true(becomes(&far->pid, 1));
        }
        near_future = submit_with_timeout(pool, hang_task, &near, sizeof(struct hang *), 1000);
        assert_true(becomes(&near->pid, 1));
        if (order == 1) {
            far_future = submit_with_timeout(pool, hang_task, &far, sizeof(struct hang *), 100 * PATIENCE);
            assert_true(becomes(&far->pid, 1));
        }
        assert_code(finish(near_future, NULL), POOL_EDEADLINE);
        assert_true(near->last - near->began < 10000);
        assert_false(future_done(far_future));
        assert_false(future_done(none_future));
        assert_ok(future_kill(far_future));
        assert_ok(future_kill(none_future));
        assert_code(finish(far_future, NULL), POOL_ECANCELLED);
        assert_code(finish(none_future, NULL), POOL_ECANCELLED);
    }
    pool_destroy(pool);
}

static atomic_int *started;

/* Takes a bit longer or a bit less than its time-out. */
static int about_task(const void *in, void *out) {
    long place = *(const long *)in;
    atomic_fetch_add(&started[place], 1);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    long wanted = 2000 + (long)(scramble((uint64_t)place) % 10000), passed; /* µs; the limit is 5 ms */
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = (now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000;
    } while (passed < wanted);
    *(long *)out = place;
    return 0;
}

static int without_limit_task(const void *in, void *out) {
    long place = *(const long *)in;
    atomic_fetch_add(&started[place], 1);
    for (volatile int i = 0; i < 30000; i++) {
    }
    *(long *)out = place;
    return 0;
}

/* Each second task has a limit. */
static void run_about(struct pool *pool, long tasks, int *late, int *fine) {
    struct future **futures = calloc((size_t)tasks, sizeof *futures);
    assert_non_null(futures);
    memset((void *)started, 0, (size_t)tasks * sizeof *started);
    for (long i = 0; i < tasks; i++)
        futures[i] = submit_with_timeout(pool, i % 2 ? without_limit_task : about_task, &i, sizeof i, i % 2 ? 0 : 5);
    for (long i = 0; i < tasks; i++) {
        long result = -1;
        int error = finish(futures[i], &result);
        if (i % 2) assert_ok(error);
        else assert_any_of(error, 0, POOL_EDEADLINE);
        assert_int_equal(result, error ? -1 : i);
        /* The time counts from the claim: its worker may be too slow to call the task before it is overdue. */
        if (!error) assert_int_equal(started[i], 1);
        else assert_any_of(started[i], 0, 1);
        *late += error != 0;
        *fine += i % 2 == 0 && error == 0;
    }
    free(futures);
}

TEST_CASE(the_kill_of_an_overdue_task_never_hits_the_next) {
    enum { TASKS = 700 };
    started = shared(TASKS * sizeof *started);
    struct pool *pool = pool_of(2);
    int late = 0, fine = 0; /* of the tasks with a limit; more rounds where a busy machine has none of one kind */
    for (int64_t start = now_ms(); (late == 0 || fine == 0) && now_ms() - start < PATIENCE;)
        run_about(pool, TASKS, &late, &fine);
    assert_true(late > 0 && fine > 0);
    pool_destroy(pool);
}

static int ignore_and_hang_task(const void *in, void *out) {
    (void)out;
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE};
    for (size_t i = 0; i < COUNT(ignored); i++) signal(ignored[i], SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    return hang_task(in, NULL);
}

static int stop_task(const void *in, void *out) {
    (void)out;
    start_hang(in);
    return raise(SIGSTOP);
}

static int sleep_task(const void *in, void *out) {
    (void)out;
    struct hang *hang = start_hang(in);
    while (atomic_load(&hang->began)) pause();
    return 0;
}

static int spawn_task(const void *in, void *out) {
    struct hang *hang = *(struct hang *const *)in;
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    atomic_store(&hang->child, child);
    return ignore_and_hang_task(in, out);
}

static pool_fn *const stubborn[] = {hang_task, ignore_and_hang_task, stop_task, sleep_task, spawn_task};

TEST_CASE(a_time_out_ends_any_task_and_its_children) {
    struct hang *hang = shared(sizeof *hang);
    struct pool *pool = pool_of(1);
    for (size_t i = 0; i < COUNT(stubborn); i++) {
        memset((void *)hang, 0, sizeof *hang);
        struct future *future = submit_with_timeout(pool, stubborn[i], &hang, sizeof(struct hang *), 600);
        assert_code(finish(future, NULL), POOL_EDEADLINE);
        assert_true(gone_within(hang->pid, PATIENCE));
        if (hang->child) assert_true(gone_within(hang->child, PATIENCE));
    }
    assert_true(hang->child != 0);
    pool_destroy(pool);
}

TEST_CASE(a_kill_ends_any_task_and_its_children) {
    struct hang *hang = shared(sizeof *hang);
    struct pool *pool = pool_of(1);
    for (size_t i = 0; i < COUNT(stubborn); i++) {
        memset((void *)hang, 0, sizeof *hang);
        struct future *future = submit_with_timeout(pool, stubborn[i], &hang, sizeof(struct hang *), 0);
        assert_true(becomes(&hang->pid, 1));
        assert_ok(future_kill(future));
        assert_code(finish(future, NULL), POOL_ECANCELLED);
        assert_true(gone_within(hang->pid, PATIENCE));
        if (hang->child) assert_true(gone_within(hang->child, PATIENCE));
    }
    pool_destroy(pool);
}

TEST_CASE(pool_destroy_ends_any_task_and_its_children) {
    struct hang *hang = shared(sizeof *hang);
    for (size_t i = 0; i < COUNT(stubborn); i++) {
        memset((void *)hang, 0, sizeof *hang);
        struct pool *pool = pool_of(1);
        struct future *future = submit_with_timeout(pool, stubborn[i], &hang, sizeof(struct hang *), 0);
        assert_true(becomes(&hang->pid, 1));
        int64_t start = now_ms();
        pool_destroy(pool);
        assert_took(start, 0, 20000);
        assert_false(alive(hang->pid));
        if (hang->child) assert_true(gone_within(hang->child, PATIENCE));
        assert_code(finish(future, NULL), POOL_ECANCELLED);
    }
}

static int leave_child_task(const void *in, void *out) {
    struct hang *hang = *(struct hang *const *)in;
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    atomic_store(&hang->child, child);
    *(long *)out = child;
    return 0;
}

static int leave_child_and_die_task(const void *in, void *out) {
    leave_child_task(in, out);
    abort();
}

TEST_CASE(children_left_by_a_task_end_with_their_worker) {
    struct hang *hang = shared(sizeof *hang);
    struct pool *pool = pool_of(1);
    assert_ok(finish(submit_with_timeout(pool, leave_child_task, &hang, sizeof(struct hang *), 0), NULL));
    pid_t first = hang->child;
    assert_true(alive(first));
    assert_code(finish(submit_with_timeout(pool, leave_child_and_die_task, &hang, sizeof(struct hang *), 0), NULL),
                POOL_EDIED);
    assert_true(gone_within(first, PATIENCE));
    assert_true(gone_within(hang->child, PATIENCE));
    assert_ok(finish(submit_with_timeout(pool, leave_child_task, &hang, sizeof(struct hang *), 0), NULL));
    pool_destroy(pool);
    assert_true(gone_within(hang->child, PATIENCE));
}

TEST_CASE(the_end_of_a_wait_does_not_end_the_task) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *future = submit_gated(pool, gate);
    for (int i = 0; i < 5; i++) assert_code(future_get(future, NULL, 20), POOL_ETIMEDOUT);
    gate_open(gate);
    assert_ok(finish(future, NULL));
    pool_destroy(pool);
}

TEST_CASE(many_deadlines_at_the_same_time_are_all_met) {
    struct pool *pool = pool_of(8);
    struct future *futures[64];
    for (int i = 0; i < 64; i++) futures[i] = submit_with_timeout(pool, forever_task, NULL, 0, 20 + i);
    for (int i = 0; i < 64; i++) assert_code(finish(futures[i], NULL), POOL_EDEADLINE);
    int status[64];
    struct pool_job job = {.fn = forever_task, .count = 64, .timeout = 30, .status = status};
    assert_code(pool_map(pool, &job), POOL_EDEADLINE);
    for (int i = 0; i < 64; i++) assert_code(status[i], POOL_EDEADLINE);
    pool_destroy(pool);
}

/* ---- CPU time ---------------------------------------------------------------------------------------------------- */

static int64_t cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Uses so many ms of CPU time, and notes in *used how many it has. */
static void use_cpu(int ms, atomic_int *used) {
    int64_t start = cpu_ms(), now = start;
    for (; now - start < ms; now = cpu_ms()) atomic_store(used, (int)(now - start));
    atomic_store(used, (int)(now - start));
}

enum { ALL_THE_TIME = 100000, LIMIT = 80 };

static atomic_int *used_cpu; /* [item] */
static int much;

/* Items whose number ends with 3 use much more than LIMIT, those with 5 sleep longer, and the others use a little. */
static int uneven_task(const void *in, void *out) {
    size_t item = in ? *(const size_t *)in : task_index();
    if (item % 10 == 5) sleep_ms(3 * LIMIT);
    use_cpu(item % 10 == 3 ? much : 2, &used_cpu[item]);
    if (out) *(size_t *)out = item;
    return 0;
}

static struct pool *pool_in(int backend) {
    struct pool_options options = test_options(2);
    much = backend == POOL_PROCESSES ? ALL_THE_TIME : 2 * LIMIT; /* threads are not killed */
    options.backend = backend;
    return pool_from(&options);
}

static void check_spent(const struct pool_failure *failure, size_t item) {
    assert_code(failure->error, POOL_EDEADLINE);
    assert_int_equal(failure->index, item);
    assert_contains(failure->message, "it used more than 80 ms of CPU time");
    assert_true(used_cpu[item] >= LIMIT);
}

TEST_CASE(a_task_that_uses_more_cpu_time_than_it_may_is_killed_in_each_backend) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        used_cpu = shared(10 * sizeof *used_cpu);
        struct pool *pool = pool_in(backend);
        struct future *futures[10];
        for (size_t i = 0; i < 10; i++) {
            struct pool_task task = {.fn = uneven_task, POOL_IN(&i), .out_size = sizeof i, .cpu_timeout = LIMIT};
            assert_ok(pool_submit(pool, &task, &futures[i]));
        }
        for (size_t i = 0; i < 10; i++) {
            size_t result = 100;
            struct pool_failure failure;
            assert_code(future_get(futures[i], &result, PATIENCE), i == 3 ? POOL_EDEADLINE : 0);
            assert_int_equal(result, i == 3 ? 100 : i);
            assert_ok(future_failure(futures[i], &failure));
            failure.index = i;
            if (i == 3) check_spent(&failure, i);
            future_free(futures[i]);
        }
        pool_destroy(pool);
    }
}

TEST_CASE(items_that_use_more_cpu_time_than_they_may_are_killed_in_each_backend) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        used_cpu = shared(20 * sizeof *used_cpu);
        struct pool *pool = pool_in(backend);
        for (size_t chunk = 0; chunk <= 20; chunk += 10) {
            int status[20];
            struct pool_failure failures[3];
            struct pool_job job = {.fn = uneven_task, .count = 20, .chunk = chunk, .cpu_timeout = LIMIT,
                                   .status = status, .failures = failures, .failures_room = 3};
            assert_code(pool_map(pool, &job), POOL_EDEADLINE);
            for (int i = 0; i < 20; i++) assert_code(status[i], i % 10 == 3 ? POOL_EDEADLINE : 0);
            check_spent(&failures[0], 3);
            check_spent(&failures[1], 13);
            assert_code(failures[2].error, 0);
        }
        pool_destroy(pool);
    }
}

static int add_sizes(void *result, const void *right) {
    *(size_t *)result += *(const size_t *)right;
    return 0;
}

TEST_CASE(streams_and_reductions_have_limits_of_cpu_time) {
    used_cpu = shared(20 * sizeof *used_cpu);
    struct pool *pool = pool_in(POOL_PROCESSES);
    struct stream *stream;
    struct pool_failure failure;
    assert_ok(pool_imap(pool, &(struct pool_stream){.fn = uneven_task, .count = 20, .out_size = sizeof(size_t),
                                                    .cpu_timeout = LIMIT}, &stream));
    for (size_t i = 0; i < 20; i++) {
        assert_code(stream_next(stream, NULL, PATIENCE), i % 10 == 3 ? POOL_EDEADLINE : 0);
        assert_ok(stream_failure(stream, &failure));
        if (i % 10 == 3) check_spent(&failure, i);
    }
    assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
    stream_free(stream);
    size_t sum = 0;
    struct pool_reduction reduction = {.fn = uneven_task, .combine = add_sizes, .count = 20, .chunk = 1,
                                       .cpu_timeout = LIMIT, POOL_OUT(&sum), .failure = &failure};
    assert_code(pool_reduce(pool, &reduction), POOL_EDEADLINE);
    check_spent(&failure, 3);
    reduction.count = 3;
    assert_ok(pool_reduce(pool, &reduction));
    assert_int_equal(sum, 3);
    pool_destroy(pool);
}

static int use_20_ms_task(const void *in, void *out) {
    (void)in, (void)out;
    use_cpu(20, &used_cpu[task_index()]);
    return 0;
}

/* All workers share one CPU, so that each item takes much longer than it uses. */
TEST_CASE(waiting_for_a_cpu_costs_no_item_its_cpu_time) {
    enum { ITEMS = 64 };
    used_cpu = shared(ITEMS * sizeof *used_cpu);
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct pool *pool = pool_of(32);
    size_t failed = 1;
    struct pool_job job = {.fn = use_20_ms_task, .count = ITEMS, .chunk = 2, .cpu_timeout = 200, .failed = &failed};
    assert_ok(pool_map(pool, &job));
    assert_int_equal(failed, 0);
    pool_destroy(pool);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

TEST_CASE(the_message_says_which_limit_was_passed) {
    used_cpu = shared(sizeof *used_cpu);
    struct pool *pool = pool_of(2);
    for (int i = 0; i < 2; i++) {
        struct pool_task task = {.fn = forever_task, .timeout = i ? 100 : ALL_THE_TIME,
                                 .cpu_timeout = i ? ALL_THE_TIME : 100};
        struct future *future;
        struct pool_failure failure;
        assert_ok(pool_submit(pool, &task, &future));
        assert_code(future_get(future, NULL, PATIENCE), POOL_EDEADLINE);
        assert_ok(future_failure(future, &failure));
        assert_contains(failure.message, i ? "it ran longer than 100 ms" : "it used more than 100 ms of CPU time");
        future_free(future);
    }
    pool_destroy(pool);
}

TEST_CASE(a_limit_of_cpu_time_below_zero_is_refused) {
    struct pool *pool = pool_of(1);
    struct future *future;
    struct stream *stream;
    long sum;
    assert_code(pool_submit(pool, &(struct pool_task){.fn = nap_task, .cpu_timeout = -1}, &future), POOL_EINVAL);
    assert_code(pool_map(pool, &(struct pool_job){.fn = nap_task, .count = 1, .cpu_timeout = -1}), POOL_EINVAL);
    assert_code(pool_imap(pool, &(struct pool_stream){.fn = nap_task, .count = 1, .cpu_timeout = -1}, &stream),
                POOL_EINVAL);
    assert_code(pool_reduce(pool, &(struct pool_reduction){.fn = nap_task, .combine = add_sizes, .count = 1,
                                                           POOL_OUT(&sum), .cpu_timeout = -1}), POOL_EINVAL);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_task_past_its_time_out_is_killed),
        TEST(a_task_is_killed_in_time_while_the_caller_sleeps),
        TEST(a_task_is_killed_in_time_while_the_caller_computes),
        TEST(a_time_out_in_a_job_costs_only_the_item_that_hangs),
        TEST(the_time_of_each_item_counts_from_its_own_start),
        TEST(the_time_in_the_queue_does_not_count),
        TEST(a_farther_deadline_does_not_hide_a_nearer_one),
        TEST(the_kill_of_an_overdue_task_never_hits_the_next),
        TEST(a_time_out_ends_any_task_and_its_children),
        TEST(a_kill_ends_any_task_and_its_children),
        TEST(pool_destroy_ends_any_task_and_its_children),
        TEST(children_left_by_a_task_end_with_their_worker),
        TEST(the_end_of_a_wait_does_not_end_the_task),
        TEST(many_deadlines_at_the_same_time_are_all_met),
        TEST(a_task_that_uses_more_cpu_time_than_it_may_is_killed_in_each_backend),
        TEST(items_that_use_more_cpu_time_than_they_may_are_killed_in_each_backend),
        TEST(streams_and_reductions_have_limits_of_cpu_time),
        TEST(waiting_for_a_cpu_costs_no_item_its_cpu_time),
        TEST(the_message_says_which_limit_was_passed),
        TEST(a_limit_of_cpu_time_below_zero_is_refused),
    };
    return run_group("timeout", tests, COUNT(tests), argc, argv);
}
