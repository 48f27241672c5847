/* Processes around a pool: which of them the kernel ends when memory runs out, whose children they are, stops, and
 * namespaces in which they have other numbers. */
#include "support.h"

#if LINUX
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SKIPPED = 77 }; /* what a child exits with where the system does not let it try */

static void assert_passed_or_skipped(struct ending ending) {
    assert_false(ending.timed_out);
    assert_int_equal(ending.signal, 0);
    assert_true(ending.code == 0 || ending.code == SKIPPED);
}

static int spin(void) {
    for (;;) sleep_ms(1000);
    return 0;
}

/* ---- memory */

/* out: the worker's oom_score_adj. */
static int score_task(const void *in, void *out) {
    (void)in;
    FILE *file = fopen("/proc/self/oom_score_adj", "r");
    int read = file ? fscanf(file, "%d", (int *)out) : 0;
    if (file) fclose(file);
    return read != 1;
}

static int own_score(void) {
    int score = -1;
    assert_int_equal(score_task(NULL, &score), 0);
    return score;
}

TEST_CASE(a_worker_is_ended_before_the_program_where_memory_runs_out) {
    int before = own_score(), score = 0;
    struct pool_options options = test_options(1);
    struct pool *pool = pool_from(&options);
    assert_ok(finish(submit(pool, score_task, NULL, 0, sizeof score), &score));
    assert_int_equal(score, 1000);
    assert_int_equal(own_score(), before);
    pool_destroy(pool);

    options.keep_oom_score = true;
    pool = pool_from(&options);
    assert_ok(finish(submit(pool, score_task, NULL, 0, sizeof score), &score));
    assert_int_equal(score, before);
    pool_destroy(pool);
}

/* Leaves a child behind, and returns its number. */
static int leave_child(const void *in, void *out) {
    (void)in;
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    *(pid_t *)out = child;
    return child < 0;
}

TEST_CASE(children_of_tasks_outlive_worker_and_pool_only_if_the_program_wants_it) {
    for (int keep = 0; keep < 2; keep++) {
        struct pool_options options = test_options(1);
        options.keep_children = keep;
        options.max_tasks_per_worker = 1;
        struct pool *pool = pool_from(&options);
        pid_t first = 0, second = 0, worker = 0;
        assert_ok(finish(submit(pool, leave_child, NULL, 0, sizeof first), &first));
        assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof worker), &worker)); /* in another worker */
        assert_ok(finish(submit(pool, leave_child, NULL, 0, sizeof second), &second));
        assert_int_equal(kill(first, 0), keep ? 0 : -1);
        pool_destroy(pool);
        assert_int_equal(kill(first, 0), keep ? 0 : -1);
        assert_int_equal(kill(second, 0), keep ? 0 : -1);
        if (keep) assert_true(kill(first, SIGKILL) == 0 && kill(second, SIGKILL) == 0);
    }
}

static int write_to(const char *directory, const char *name, const char *text) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    return written < 0 ? -1 : 0;
}

#define MEBIBYTE ((size_t)1 << 20)

static int touch(size_t size) {
    volatile char *data = malloc(size);
    for (size_t i = 0; data && i < size; i += 4096) data[i] = 1;
    return data == NULL;
}

static int greedy_task(const void *in, void *out) {
    (void)in, (void)out;
    for (int i = 0; i < 400; i++)
        if (touch(MEBIBYTE)) return 1;
    return 2;
}

/* argument: a control group of 256 MiB, of which the program takes more than a worker can. */
static int outlives_greedy_task(void *argument) {
    char self[32];
    snprintf(self, sizeof self, "%ld", (long)getpid());
    if (write_to(argument, "cgroup.procs", self)) return SKIPPED;
    struct pool *pool;
    struct pool_options options = test_options(2);
    EXPECT(pool_create(&options, &pool) == 0);
    EXPECT(touch(180 * MEBIBYTE) == 0);
    struct pool_task task = {.fn = greedy_task};
    struct future *future;
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(future_get(future, NULL, PATIENCE / 2) == POOL_EDIED);
    future_free(future);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(the_kernel_ends_the_worker_and_not_the_program_that_holds_more) {
    if (instrumented()) return;
    static const struct {
        const char *parent, *limit, *swap;
    } kinds[] = {{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"},
                 {"/sys/fs/cgroup", "memory.max", "memory.swap.max"}};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char group[100];
        snprintf(group, sizeof group, "%s/parpool-test-%ld", kinds[i].parent, (long)getpid());
        if (mkdir(group, 0755)) continue;
        bool limited = write_to(group, kinds[i].limit, "268435456") == 0;
        if (limited && write_to(group, kinds[i].swap, i == 0 ? "268435456" : "0")) print_error("swap is not limited\n");
        struct ending ending = {.code = SKIPPED};
        if (limited) ending = run_child(outlives_greedy_task, group, PATIENCE);
        for (int tries = 0; rmdir(group) && errno == EBUSY && tries < 100; tries++) sleep_ms(20);
        assert_passed_or_skipped(ending);
        return;
    }
}

/* ---- children */

/* in: whether the task runs into its time-out. */
static int leave_child_task(const void *in, void *out) {
    (void)out;
    pid_t child = fork();
    if (child == 0) spin();
    if (child < 0) return 1;
    return *(const bool *)in ? spin() : 0;
}

static int children_of(pid_t parent) {
    int count = 0;
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[300], line[512] = "", *rest;
        long of = 0;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (!file) continue;
        if (fgets(line, sizeof line, file) && (rest = strrchr(line, ')')) && sscanf(rest + 1, " %*c %ld", &of) == 1)
            count += of == parent;
        fclose(file);
    }
    if (directory) closedir(directory);
    return count;
}

/* argument: how the pool ends, false: by pool_destroy() alone. */
static int adopts_nothing(void *argument) {
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); /* as the first process of a container is by itself */
    struct pool *pool;
    struct pool_options options = test_options(2);
    options.max_tasks_per_worker = 4;
    EXPECT(pool_create(&options, &pool) == 0);
    bool hangs[20];
    for (size_t i = 0; i < COUNT(hangs); i++) hangs[i] = i % 4 == 0;
    struct pool_job job = {.fn = leave_child_task, POOL_IN(hangs), .count = COUNT(hangs), .timeout = 50, .chunk = 1};
    EXPECT(pool_map(pool, &job) == POOL_EDEADLINE);
    EXPECT(children_of(getpid()) == 1); /* the supervisor */
    if (*(bool *)argument) EXPECT(pool_shutdown(pool, 0, PATIENCE) == 0);
    pool_destroy(pool);
    EXPECT(children_of(getpid()) == 0);
    return 0;
}

TEST_CASE(children_that_tasks_leave_do_not_become_the_programs) {
    for (int shuts = 0; shuts < 2; shuts++)
        for (size_t i = 0; i < scaled(10); i++) assert_child_passes(adopts_nothing, &(bool){shuts});
}

static int reaps_orphaned_workers(void *unused) {
    (void)unused;
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    struct pool *pool;
    struct pool_options options = test_options(3);
    EXPECT(pool_create(&options, &pool) == 0);
    pid_t supervisor = 0;
    struct pool_task task = {.fn = parent_task, .out_size = sizeof supervisor};
    struct future *future;
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(future_get(future, &supervisor, PATIENCE) == 0);
    future_free(future);
    kill(supervisor, SIGKILL);
    task = (struct pool_task){.fn = forever_task};
    int code = pool_submit(pool, &task, &future);
    if (code == 0) {
        code = future_get(future, NULL, PATIENCE);
        future_free(future);
    }
    EXPECT(code == POOL_EDIED);
    pool_destroy(pool);
    EXPECT(children_of(getpid()) == 0);
    return 0;
}

TEST_CASE(workers_whose_supervisor_was_killed_do_not_stay_zombies_of_the_program) {
    assert_child_passes(reaps_orphaned_workers, NULL);
}

/* ---- stops */

enum traced { CRASHES, HANGS, IS_SIGNALLED, RUNS_CHILD, STOPS, TRACED };

static volatile int *volatile nowhere;

static int traced_task(const void *in, void *out) {
    (void)out;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) return 1;
    switch (*(const enum traced *)in) {
    case CRASHES: *nowhere = 1; return 2;
    case HANGS: return spin();
    case IS_SIGNALLED: return raise(SIGUSR1);
    case RUNS_CHILD: { /* SIGCHLD stops it */
        pid_t child = fork();
        if (child == 0) _exit(0);
        return waitpid(child, NULL, 0) != child;
    }
    case STOPS: return raise(SIGSTOP); /* until its time-out */
    default: return 3;
    }
}

TEST_CASE(a_task_that_asks_to_be_traced_ends_as_any_other) {
    static const int codes[TRACED] = {POOL_EDIED, POOL_EDEADLINE, POOL_EDIED, 0, POOL_EDEADLINE};
    static const int signals[TRACED] = {SIGSEGV, 0, SIGUSR1, 0, 0};
    struct pool *pool = pool_of(2);
    for (int round = 0; round < 3; round++) {
        enum traced kinds[TRACED];
        int status[TRACED];
        struct pool_failure failures[TRACED] = {{0}};
        for (int i = 0; i < TRACED; i++) kinds[i] = (enum traced)i;
        struct pool_job job = {.fn = traced_task, POOL_IN(kinds), .count = TRACED, .chunk = 1, .timeout = 1500};
        job.status = status;
        job.failures = failures;
        job.failures_room = TRACED;
        assert_code(pool_map(pool, &job), POOL_EDIED);
        for (int i = 0; i < TRACED; i++) assert_code(status[i], codes[i]);
        for (int i = 0; i < TRACED && failures[i].error; i++)
            assert_int_equal(failures[i].signal, signals[failures[i].index]);
        assert_squares_in_turn(pool, 20);
    }
    pool_destroy(pool);
}

/* ---- namespaces */

static int works_in_new_namespace(void *unused) {
    (void)unused;
    if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID)) return SKIPPED;
    struct pool *pool;
    struct pool_options options = test_options(2);
    EXPECT(pool_create(&options, &pool) == 0);
    int status[TRACED];
    enum traced kinds[TRACED];
    for (int i = 0; i < TRACED; i++) kinds[i] = (enum traced)i;
    struct pool_job job = {.fn = traced_task, POOL_IN(kinds), .count = TRACED, .chunk = 1, .timeout = 1500};
    job.status = status;
    EXPECT(pool_map(pool, &job) == POOL_EDIED);
    EXPECT(status[CRASHES] == POOL_EDIED && status[HANGS] == POOL_EDEADLINE && status[RUNS_CHILD] == 0);
    struct pool_worker_stats workers[2];
    struct pool_stats stats = {.list = workers, .room = 2};
    EXPECT(pool_stats(pool, &stats) == 0 && stats.listed == 2);
    EXPECT(workers[0].peak_memory == 0); /* the process of that number is another one here */
    pool_destroy(pool);
    EXPECT(children_of(getpid()) == 0);
    /* exit() runs LeakSanitizer, which needs a process; the namespace makes no more, since its first has ended. */
    _exit(0);
}

TEST_CASE(a_pool_works_where_its_processes_live_in_another_namespace) {
    assert_passed_or_skipped(run_child(works_in_new_namespace, NULL, PATIENCE));
}

/* argument: a gate. */
static int is_killed_with_pool(void *argument) {
    if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID)) return SKIPPED;
    struct pool *pool;
    struct pool_options options = test_options(1);
    EXPECT(pool_create(&options, &pool) == 0);
    struct pool_task task = {.fn = gate_task, POOL_IN((struct gate **)&argument)};
    struct future *future;
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(gate_reached(argument, 1));
    raise(SIGKILL);
    return 1;
}

TEST_CASE(a_pool_in_another_namespace_ends_with_its_program) {
    struct gate *gate = shared(sizeof *gate);
    int ends[2]; /* the child and all of its pool's processes have the write end */
    assert_int_equal(pipe(ends), 0);
    struct ending ending = run_child(is_killed_with_pool, gate, PATIENCE);
    close(ends[1]);
    assert_true(ending.signal == SIGKILL || ending.code == SKIPPED);
    struct pollfd all_gone = {.fd = ends[0]};
    assert_int_equal(poll(&all_gone, 1, PATIENCE / 2), 1);
    close(ends[0]);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_worker_is_ended_before_the_program_where_memory_runs_out),
        TEST(the_kernel_ends_the_worker_and_not_the_program_that_holds_more),
        TEST(children_of_tasks_outlive_worker_and_pool_only_if_the_program_wants_it),
        TEST(children_that_tasks_leave_do_not_become_the_programs),
        TEST(workers_whose_supervisor_was_killed_do_not_stay_zombies_of_the_program),
        TEST(a_task_that_asks_to_be_traced_ends_as_any_other),
        TEST(a_pool_works_where_its_processes_live_in_another_namespace),
        TEST(a_pool_in_another_namespace_ends_with_its_program),
    };
    return run_group("process", tests, COUNT(tests), argc, argv);
}

#else
int main(void) {
    return 0; /* none of this exists on this system */
}
#endif
