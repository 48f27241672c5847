/* Progress of jobs: when the callback is called, its argument, what it may do, and the progress bar of the library. */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

struct told {
    struct pool *pool;
    struct future *future;
    int calls, last_calls, backward;
    struct pool_progress last;
    int (*act)(struct told *told);
    int code;
};

static void note(const struct pool_progress *progress, void *arg) {
    struct told *told = arg;
    told->backward += progress->done < told->last.done || progress->last_done != told->last.done ||
                      progress->failed > progress->done || progress->done > progress->count;
    told->last = *progress;
    told->last_calls += progress->done == progress->count;
    told->calls++;
    if (told->act) told->code = told->act(told);
}

static int slow_odd_fails(const void *in, void *out) {
    (void)in, (void)out;
    usleep(2000);
    return (int)(task_index() % 2);
}

static atomic_int *reported; /* NULL: items do not wait */

/* From its middle on each item waits until there was another report. */
static int slow_until_reported(const void *in, void *out) {
    size_t half = *(const size_t *)task_context() / 2;
    if (task_index() >= half && !becomes(reported, task_index() > half ? 2 : 1)) return 2;
    return slow_odd_fails(in, out);
}

static int count_report(struct told *told) {
    atomic_store(reported, told->calls);
    return 0;
}

static int slow(const void *in, void *out) {
    (void)in, (void)out;
    usleep(2000);
    return 0;
}

static struct pool_job slow_job(struct told *told, size_t count) {
    return (struct pool_job){.fn = slow_odd_fails, .count = count, .progress = note, .progress_arg = told,
                             .progress_interval = 5};
}

TEST_CASE(a_map_reports_its_progress) {
    struct told told = {.act = count_report};
    reported = shared(sizeof *reported);
    struct pool *pool = pool_of(2);
    struct pool_job job = slow_job(&told, 100);
    job.fn = slow_until_reported;
    job.context = &job.count;
    job.context_size = sizeof job.count;
    assert_code(pool_map(pool, &job), POOL_EFAILED);
    assert_true(told.calls > 2);
    assert_int_equal(told.last_calls, 1);
    assert_int_equal(told.backward, 0);
    assert_int_equal(told.last.done, 100);
    assert_int_equal(told.last.failed, 50);
    assert_true(told.last.seconds > 0 && told.last.rate > 0 && !(told.last.seconds_left > 0));
    pool_destroy(pool);
}

TEST_CASE(reports_are_not_more_frequent_than_asked_for) {
    struct told told = {0};
    struct pool *pool = pool_of(1);
    struct pool_job job = slow_job(&told, 50);
    job.progress_interval = 1000000;
    assert_code(pool_map(pool, &job), POOL_EFAILED);
    assert_int_equal(told.calls, 1); /* the last report */
    told = (struct told){0};
    job.count = 0;
    assert_ok(pool_map(pool, &job));
    assert_int_equal(told.calls, 0);
    job.progress_interval = -1;
    assert_code(pool_map(pool, &job), POOL_EINVAL);
    pool_destroy(pool);
}

TEST_CASE(a_map_without_a_pool_reports_its_progress) {
    struct told told = {0};
    struct pool_job job = slow_job(&told, 40);
    job.workers = 2;
    assert_code(pool_map(NULL, &job), POOL_EFAILED);
    assert_int_equal(told.last_calls, 1);
}

TEST_CASE(future_done_is_enough_for_reports) {
    struct told told = {0};
    struct pool *pool = pool_of(2);
    struct pool_job job = slow_job(&told, 60);
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_int_equal(told.calls, 0);
    while (!future_done(future)) {
        assert_int_equal(told.last_calls, 0);
        sleep_ms(1);
    }
    assert_int_equal(told.last_calls, 1);
    future_free(future);
    pool_destroy(pool);
}

static int die(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() == 3) raise(SIGKILL);
    return 0;
}

TEST_CASE(reports_count_deaths_and_retries) {
    struct told told = {0};
    struct pool *pool = pool_of(2);
    struct pool_job job = {.fn = die, .count = 50, .chunk = 10, .retries = 2, .progress = note, .progress_arg = &told,
                           .progress_interval = 1};
    assert_code(pool_map(pool, &job), POOL_EDIED);
    assert_int_equal(told.last_calls, 1);
    assert_int_equal(told.backward, 0);
    assert_int_equal(told.last.failed, 1);
    pool_destroy(pool);
}

static int cancel(struct told *told) {
    return future_kill(told->future);
}

TEST_CASE(a_callback_may_end_its_job) {
    struct told told = {.act = cancel};
    struct pool *pool = pool_of(2);
    struct pool_job job = slow_job(&told, 100000);
    assert_ok(pool_map_async(pool, &job, &told.future));
    assert_any_of(future_get(told.future, NULL, PATIENCE), POOL_ECANCELLED, POOL_EFAILED);
    assert_true(told.last.failed > 90000);
    assert_int_equal(told.last_calls, 1);
    future_free(told.future);
    pool_destroy(pool);
}

static int wait_for_itself(struct told *told) {
    if (told->code) return told->code;
    int code = future_get(told->future, NULL, -1);
    if (pool_poll(told->pool, -1) != 0) return -1000;
    if (pool_shutdown(told->pool, 0, -1) != POOL_ETIMEDOUT) return -1001;
    return code;
}

TEST_CASE(calls_in_a_callback_do_not_wait) {
    struct told told = {.act = wait_for_itself, .pool = pool_of(1)};
    struct pool_job job = slow_job(&told, 20);
    assert_ok(pool_map_async(told.pool, &job, &told.future));
    assert_code(finish(told.future, NULL), POOL_EFAILED);
    assert_code(told.code, POOL_ETIMEDOUT);
    pool_destroy(told.pool);
}

static int add(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

/* A map in the callback of its own pool could not wait for its items, which would use the caller's data after it has
 * returned: so it does not start. */
static int map_and_reduce(struct told *told) {
    long in[10] = {0}, sum;
    if (told->code) return told->code;
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(in), .count = COUNT(in)};
    struct pool_reduction reduction = {.combine = add, POOL_IN(in), .count = COUNT(in), POOL_OUT(&sum)};
    struct pool_stats before = {0}, after = {0};
    if (pool_stats(told->pool, &before)) return -1000;
    if (pool_map(told->pool, &job) != POOL_ETIMEDOUT) return -1001;
    if (pool_reduce(told->pool, &reduction) != POOL_ETIMEDOUT) return -1002;
    if (pool_stats(told->pool, &after)) return -1003;
    bool begun = after.queued + after.running + after.done != before.queued + before.running + before.done;
    return begun ? -1004 : POOL_ETIMEDOUT;
}

TEST_CASE(a_callback_cannot_start_a_map_or_a_reduction) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool_options options = test_options(1);
        options.backend = backend;
        struct told told = {.act = map_and_reduce};
        assert_ok(pool_create(&options, &told.pool));
        struct pool_job job = slow_job(&told, 20);
        assert_code(pool_map(told.pool, &job), POOL_EFAILED);
        assert_code(told.code, POOL_ETIMEDOUT);
        pool_destroy(told.pool);
    }
}

static int give_up(struct told *told) {
    future_free(told->future);
    return 0;
}

static struct pool *inline_pool(void) {
    struct pool_options options = test_options(1);
    options.backend = POOL_INLINE;
    return pool_from(&options);
}

TEST_CASE(a_call_that_runs_the_job_itself_reports_its_progress) {
    struct told told = {0};
    struct pool *pool = inline_pool();
    struct pool_job job = slow_job(&told, 100);
    job.progress_interval = 1;
    job.chunk = 1;
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_int_equal(told.last_calls, 1); /* the job is done */
    assert_true(told.calls > 10);
    assert_int_equal(told.backward, 0);
    assert_int_equal(told.last.failed, 50);
    assert_code(finish(future, NULL), POOL_EFAILED);
    pool_destroy(pool);

    struct told ended = {.act = cancel}, waiting = {.act = wait_for_itself, .pool = inline_pool()};
    job = slow_job(&ended, 100000);
    assert_ok(pool_map_async(waiting.pool, &job, &ended.future));
    assert_any_of(finish(ended.future, NULL), POOL_ECANCELLED, POOL_EFAILED);
    assert_true(ended.last.failed > 90000);
    assert_int_equal(pool_poll(waiting.pool, 0), 1);
    job = slow_job(&waiting, 20);
    assert_ok(pool_map_async(waiting.pool, &job, &waiting.future));
    assert_code(finish(waiting.future, NULL), POOL_EFAILED);
    assert_code(waiting.code, POOL_ETIMEDOUT);
    pool_destroy(waiting.pool);
}

TEST_CASE(a_job_that_its_callback_gives_up_reports_no_more) {
    struct told told = {.act = give_up};
    struct pool *pool = pool_of(2);
    struct pool_job job = slow_job(&told, 50);
    assert_ok(pool_map_async(pool, &job, &told.future));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_int_equal(told.calls, 1);
    pool_destroy(pool);
}

TEST_CASE(the_last_report_comes_before_the_pool_is_destroyed) {
    struct told told = {0};
    struct pool *pool = pool_of(1);
    struct pool_job job = slow_job(&told, 100000);
    job.fn = slow; /* else an item may fail before the pool ends, and the job have its code */
    assert_ok(pool_map_async(pool, &job, &told.future));
    pool_destroy(pool);
    assert_int_equal(told.last_calls, 1);
    assert_code(finish(told.future, NULL), POOL_ECANCELLED);
}

struct waiter {
    struct future *future;
    struct told *told;
    int code, last_calls;
};

static void *wait_in_thread(void *arg) {
    struct waiter *waiter = arg;
    waiter->code = future_get(waiter->future, NULL, PATIENCE);
    waiter->last_calls = waiter->told->last_calls; /* the last call has returned */
    return NULL;
}

TEST_CASE(no_waiter_returns_before_the_last_report) {
    struct pool *pool = pool_of(2);
    for (int round = 0; round < 20; round++) {
        struct told told = {0};
        struct pool_job job = slow_job(&told, 10);
        assert_ok(pool_map_async(pool, &job, &told.future));
        struct waiter waiters[4];
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) {
            waiters[i] = (struct waiter){.future = told.future, .told = &told};
            assert_int_equal(pthread_create(&threads[i], NULL, wait_in_thread, &waiters[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_code(waiters[i].code, POOL_EFAILED);
            assert_int_equal(waiters[i].last_calls, 1);
        }
        future_free(told.future);
    }
    pool_destroy(pool);
}

/* ---- The progress bar */

static char *bar_in_file(const struct pool_progress *progress, size_t count) {
    FILE *file = tmpfile();
    for (size_t i = 0; i < count; i++) pool_progress_bar(&progress[i], file);
    static char text[4096];
    text[pread(fileno(file), text, sizeof text - 1, 0)] = '\0';
    fclose(file);
    return text;
}

TEST_CASE(a_log_file_gets_a_line_now_and_then) {
    struct pool_progress p[101];
    for (size_t i = 0; i <= 100; i++)
        p[i] = (struct pool_progress){.done = i, .count = 100, .seconds = (double)i * 0.01, .rate = 100,
                                      .seconds_left = 1 - (double)i * 0.01, .last_done = i ? i - 1 : 0};
    char *text = bar_in_file(p, 101);
    int lines = 0;
    for (char *c = text; *c; c++) {
        assert_true(*c == '\n' || ((unsigned char)*c >= ' ' && *c != 127));
        lines += *c == '\n';
    }
    assert_int_equal(lines, 10);
    assert_contains(text, " 50 %  50/100  100/s  0:01 left\n"); /* half a second, rounded */
    assert_contains(text, "100 %  100/100  100/s  in 0:01\n");
}

TEST_CASE(a_log_file_gets_a_line_after_some_time_without_progress) {
    struct pool_progress p[] = {
        {.done = 1, .count = 1000, .seconds = 9, .last_seconds = 8, .last_done = 1, .seconds_left = 3600, .rate = 0.1},
        {.done = 1, .count = 1000, .seconds = 11, .last_seconds = 9, .last_done = 1, .seconds_left = 36000,
         .failed = 1},
        {.done = 0, .count = 1000, .seconds = 21, .last_seconds = 11, .seconds_left = -1}};
    char *text = bar_in_file(p, 3);
    assert_contains(text, "  0 %  1/1000  0.0/s  10:00:00 left  1 failed\n");
    assert_contains(text, "  0 %  0/1000  0.0/s  ? left\n");
    assert_true(strstr(text, "0.1/s") == NULL);
}

static int bar_to_nowhere(void *arg) {
    (void)arg;
    struct pool_progress p = {.done = 10, .count = 10};
    int fds[2];
    EXPECT(pipe(fds) == 0);
    EXPECT(dup2(fds[1], STDERR_FILENO) >= 0);
    close(fds[1]);
    close(fds[0]);
    pool_progress_bar(&p, NULL); /* into a pipe without a reader */
    sigset_t pending;
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE)) return 2;
    close(STDERR_FILENO);
    pool_progress_bar(&p, NULL);
    return 0;
}

TEST_CASE(a_bar_written_to_a_closed_pipe_raises_no_signal) {
    struct ending ending = run_child(bar_to_nowhere, NULL, PATIENCE);
    assert_int_equal(ending.signal, 0);
    assert_int_equal(ending.code, 0);
}

static int bar_on_terminal(void *arg) {
    (void)arg;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    EXPECT(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    setenv("TERM", "xterm", 1);
    signal(SIGHUP, SIG_IGN); /* the kernel sends it when the session ends */
    setsid();
    FILE *terminal = fopen(ptsname(master), "r+"); /* becomes the controlling terminal */
    EXPECT(terminal != NULL);
    struct pool_progress half = {.done = 5, .count = 10, .seconds = 1, .rate = 5, .seconds_left = 1};
    struct pool_progress end = {.done = 10, .count = 10, .seconds = 2, .rate = 5};
    pool_progress_bar(&half, terminal);
    pool_progress_bar(&end, terminal);
    char text[1024];
    ssize_t n = read(master, text, sizeof text - 1);
    EXPECT(n > 0);
    text[n] = '\0';
    EXPECT(text[0] == '\r');
    EXPECT(strstr(text, " 50 %  [###############...............]  5/10  5.0/s  0:01 left ") != NULL);
    EXPECT(strchr(text, '\033') == NULL);
    fclose(terminal);
    close(master);
    return 0;
}

TEST_CASE(a_terminal_gets_a_bar) {
    assert_child_passes(bar_on_terminal, NULL);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_map_reports_its_progress),
        TEST(reports_are_not_more_frequent_than_asked_for),
        TEST(a_map_without_a_pool_reports_its_progress),
        TEST(future_done_is_enough_for_reports),
        TEST(reports_count_deaths_and_retries),
        TEST(a_callback_may_end_its_job),
        TEST(calls_in_a_callback_do_not_wait),
        TEST(a_callback_cannot_start_a_map_or_a_reduction),
        TEST(a_call_that_runs_the_job_itself_reports_its_progress),
        TEST(a_job_that_its_callback_gives_up_reports_no_more),
        TEST(the_last_report_comes_before_the_pool_is_destroyed),
        TEST(no_waiter_returns_before_the_last_report),
        TEST(a_log_file_gets_a_line_now_and_then),
        TEST(a_log_file_gets_a_line_after_some_time_without_progress),
        TEST(a_bar_written_to_a_closed_pipe_raises_no_signal),
        TEST(a_terminal_gets_a_bar),
    };
    return run_group("progress", tests, COUNT(tests), argc, argv);
}
