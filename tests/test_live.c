/* The live view that SIGUSR1 to the supervisor writes, and the names of processes. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { ROOM = 65536 };

static int kept_stderr;

/* From now on, what is written to stderr goes to a pipe. Returns the end to read. */
static int catch_stderr(void) {
    int ends[2];
    kept_stderr = dup(STDERR_FILENO);
    assert_true(kept_stderr >= 0 && pipe(ends) == 0);
    assert_true(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
    return ends[0];
}

static void release_stderr(void) {
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
}

/* Asks the pool what it does, and reads until a line has the text. */
static bool answers(pid_t supervisor, int from, const char *part, char text[ROOM]) {
    size_t length = 0;
    memset(text, 0, ROOM);
    fcntl(from, F_SETFL, O_NONBLOCK);
    if (kill(supervisor, SIGUSR1)) return false;
    for (int64_t begin = now_ms(); now_ms() - begin < PATIENCE; sleep_ms(1)) {
        ssize_t got = read(from, text + length, ROOM - 1 - length);
        if (got > 0) length += (size_t)got;
        const char *at = strstr(text, part);
        if (at && strchr(at, '\n')) return true;
    }
    return false;
}

static int wait_at_seven(const void *in, void *out) {
    struct gate *gate;
    (void)out;
    memcpy(&gate, in, sizeof gate);
    return task_index() == 7 ? gate_pass(gate) : 0;
}

/* Whether the text has this; and, where functions have names, with this one. */
static bool has(const char *text, const char *what, const char *function) {
    char both[100];
    snprintf(both, sizeof both, "%s of %s", what, LINUX ? function : "0x");
    return strstr(text, both) != NULL;
}

TEST_CASE(a_signal_to_the_supervisor_shows_jobs_workers_and_items) {
    struct gate *gate = shared(sizeof *gate), *in[10];
    for (int i = 0; i < 10; i++) in[i] = gate;
    char *text = malloc(ROOM), line[64];
    int from = catch_stderr();
    struct pool *pool = pool_of(2);
    pid_t supervisor = supervisor_of(pool);
    struct future *future, *task;
    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = wait_at_seven, POOL_IN(in), .count = 10, .chunk = 1},
                             &future));
    assert_true(gate_reached(gate, 1));
    struct pool_stats stats = {0};
    for (int64_t begin = now_ms(); (stats.done < 10 || stats.idle < 1) && now_ms() - begin < PATIENCE; sleep_ms(1))
        assert_ok(pool_stats(pool, &stats));
    bool shown = answers(supervisor, from, "worker 1", text);
    snprintf(line, sizeof line, "pool of process %ld: 2 workers, 0 tasks", (long)getpid());
    bool has_pool = strstr(text, line), has_count = strstr(text, ": 9 of 10 items done (90.0 %), 0 failed");
    bool has_job = has(text, "job", "wait_at_seven"), has_item = has(text, "at item 7", "wait_at_seven");
    bool has_idle = strstr(text, "idle");
    task = block_worker(pool, gate);
    struct future *waits = submit_gated(pool, gate);
    bool shown_again = answers(supervisor, from, "worker 1", text);
    bool has_task = has(text, "at a task", "gate_task"), has_waiting = strstr(text, "1 tasks sent and not started");
    gate_open(gate);
    assert_ok(finish(future, NULL));
    assert_ok(finish(task, NULL));
    assert_ok(finish(waits, NULL));
    pool_destroy(pool);
    release_stderr();
    close(from);
    if (!has_task || !has_waiting) print_error("%s", text);
    free(text);
    assert_true(shown && has_pool && has_count && has_job && has_item && has_idle);
    assert_true(shown_again && has_task && has_waiting);
}

static int busy_task(const void *in, void *out) {
    (void)in, (void)out;
    for (volatile int going = 1; going;) continue;
    return 0;
}

TEST_CASE(a_pool_in_a_sandbox_is_shown_as_any_other) {
    struct gate *gate = shared(sizeof *gate);
    struct pool_options options = test_options(1);
    options.sandbox = POOL_SANDBOX_COMPUTE;
    int from = catch_stderr();
    struct pool *pool;
    int created = pool_create(&options, &pool);
    if (created) {
        release_stderr();
        close(from);
        assert_code(created, POOL_ENOTSUP);
        skip();
    }
    char *text = malloc(ROOM);
    pid_t supervisor = supervisor_of(pool);
    struct future *task;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = busy_task}, &task));
    for (int64_t begin = now_ms(); !future_running(task) && now_ms() - begin < PATIENCE;) sleep_ms(1);
    bool shown = answers(supervisor, from, "worker 0", text);
    bool has_task = has(text, "at a task", "busy_task"), has_since = strstr(text, " for ");
    assert_ok(future_kill(task));
    int outcome = finish(task, NULL);
    pool_destroy(pool);
    release_stderr();
    close(from);
    if (!shown || !has_task || !has_since) print_error("%s", text);
    free(text);
    assert_code(outcome, POOL_ECANCELLED);
    assert_true(shown && has_task && has_since);
}

TEST_CASE(a_view_that_nobody_reads_holds_nothing_up) {
    char *filling = calloc(1, ROOM);
    int from = catch_stderr();
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, filling, ROOM) > 0) continue;
    fcntl(STDERR_FILENO, F_SETFL, 0);
    struct pool *pool = pool_of(1);
    assert_ok(kill(supervisor_of(pool), SIGUSR1));
    struct future *future;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = forever_task, .timeout = 50}, &future));
    int outcome = finish(future, NULL);
    pool_destroy(pool);
    release_stderr();
    close(from);
    free(filling);
    assert_code(outcome, POOL_EDEADLINE);
}

static int usr1_of(const void *in, void *out) {
    struct sigaction action;
    sigset_t blocked;
    (void)in;
    sigaction(SIGUSR1, NULL, &action);
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    *(int *)out = sigismember(&blocked, SIGUSR1)   ? 3
                  : action.sa_handler == SIG_DFL ? 0
                  : action.sa_handler == SIG_IGN ? 1
                                                 : 2;
    return 0;
}

static void handle(int signal) {
    (void)signal;
}

TEST_CASE(a_task_finds_sigusr1_as_without_the_live_view) {
    void (*const handlers[])(int) = {SIG_DFL, SIG_IGN, handle};
    const int expected[] = {0, 1, 0};
    for (size_t i = 0; i < COUNT(handlers); i++) {
        signal(SIGUSR1, handlers[i]);
        struct pool *pool = pool_of(1);
        int found = -1;
        assert_ok(finish(submit(pool, usr1_of, NULL, 0, sizeof(int)), &found));
        assert_int_equal(found, expected[i]);
        pool_destroy(pool);
    }
    signal(SIGUSR1, SIG_DFL);
}

#if LINUX

static void name_of(pid_t pid, char name[32]) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(name, 32, file)) name[0] = '\0';
    if (file) fclose(file);
    name[strcspn(name, "\n")] = '\0';
}

TEST_CASE(processes_are_named_after_the_program_and_what_they_are) {
    char own[32], name[32], expected[32];
    struct pool *pool = pool_of(12);
    struct pool_worker_stats list[12];
    struct pool_stats stats = {.list = list, .room = 12};
    name_of(getpid(), own);
    for (int64_t begin = now_ms(); stats.idle < 12 && now_ms() - begin < PATIENCE; sleep_ms(1))
        assert_ok(pool_stats(pool, &stats));
    name_of(supervisor_of(pool), name);
    snprintf(expected, sizeof expected, "%.10s/pool", own);
    assert_int_equal(strcmp(name, expected), 0);
    for (int w = 0; w < 12; w++) {
        name_of(list[w].pid, name);
        snprintf(expected, sizeof expected, "%.*s/w%d", w < 10 ? 12 : 11, own, w);
        for (int64_t begin = now_ms(); strcmp(name, expected) != 0 && now_ms() - begin < PATIENCE; sleep_ms(1))
            name_of(list[w].pid, name);
        assert_int_equal(strcmp(name, expected), 0);
    }
    pool_destroy(pool);
    name_of(getpid(), name);
    assert_int_equal(strcmp(name, own), 0);
}

#endif

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_signal_to_the_supervisor_shows_jobs_workers_and_items),
        TEST(a_pool_in_a_sandbox_is_shown_as_any_other),
        TEST(a_view_that_nobody_reads_holds_nothing_up),
        TEST(a_task_finds_sigusr1_as_without_the_live_view),
#if LINUX
        TEST(processes_are_named_after_the_program_and_what_they_are),
#endif
    };
    return run_group("live", tests, COUNT(tests), argc, argv);
}
