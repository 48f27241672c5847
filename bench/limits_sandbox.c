#include "limits_sandbox.h"
#include "children.h"
#include "contestants.h"
#include "judge.h"
#include "kernels.h"

#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

extern char **environ;

/* Returns NULL, and says so, where the system cannot. */
static struct pool *sandboxed_pool(const char *row, int workers) {
    struct pool *pool = NULL;
    int error = pool_create(&(struct pool_options){.workers = workers, .sandbox = POOL_SANDBOX_COMPUTE}, &pool);
    if (error == POOL_ENOTSUP) printf("%-24s -       this system has no sandbox\n", row);
    else bench_must(error, "pool_create");
    return error ? NULL : pool;
}

/* ---- A pool with a sandbox beside one without -------------------------------------------------------------------- */

/* Both compute `count` squares in the same way. */
static void compare(const char *row, struct workload *with, struct workload *without, void (*run)(void *context),
                    double (*measure)(const struct bench_contestant *contestant)) {
    struct bench_contestant contestants[] = {
        measured("in a sandbox", run, with, measure),
        measured("without", run, without, measure),
    };
    bench_run(contestants, 2);
    judge(row, "time, pool without a sandbox = 1", RATIO, multiple_of(&contestants[0], &contestants[1], 1), AT_MOST,
          1.02);
    print_beside(contestants, 2, (double)with->count);
    record(row, with->count, with->workers, &contestants[0], &contestants[1]);
}

static void compare_submits(const char *row, size_t count, int workers,
                            double (*measure)(const struct bench_contestant *contestant)) {
    struct pool *pool = sandboxed_pool(row, workers);
    if (!pool) return;
    struct squares with, without;
    squares_begin(&with, count, workers);
    squares_begin(&without, count, workers);
    with.work.pool = pool;
    without.work.pool = bench_pool(workers);
    compare(row, &with.work, &without.work, run_pool_submit, measure);
    pool_destroy(without.work.pool);
    pool_destroy(pool);
    squares_end(&without);
    squares_end(&with);
}

void limit_sandbox_submit(void) {
    compare_submits("sandbox-submit", limits.options->quick ? 2000 : 100000, limits.workers, NULL);
}

void limit_sandbox_round(void) {
    compare_submits("sandbox-round", 1, 1, awake_and_run);
}

static struct workload items_of(struct pool *pool, size_t count) {
    long *in = arena_alloc(pool, count * sizeof *in);
    square_fill(in, count);
    return (struct workload){.fn = square, .in = in, .in_size = sizeof *in, .out_size = sizeof *in, .count = count,
                             .out = arena_alloc(pool, count * sizeof *in), .right = square_right, .pool = pool,
                             .workers = limits.workers};
}

void limit_sandbox_items(void) {
    size_t count = limits.options->quick ? 20000 : 1000000;
    struct pool *pool = sandboxed_pool("sandbox-items", limits.workers);
    if (!pool) return;
    struct workload with = items_of(pool, count), without = items_of(bench_pool(limits.workers), count);
    compare("sandbox-items", &with, &without, run_pool_map, NULL);
    pool_destroy(without.pool);
    pool_destroy(pool);
}

/* ---- A process and a sandbox a call ------------------------------------------------------------------------------ */

/* In a process that was forked for it: the least filter that there is, then the square. */
static int square_in_filter(const void *in, void *out) {
#ifdef __linux__
    /* linux/filter.h and linux/seccomp.h, which are not there for every C library: one instruction, which allows. */
    struct {
        uint16_t code;
        uint8_t if_true, if_false;
        uint32_t value;
    } allow = {.code = 0x06, .value = 0x7fff0000};
    struct {
        unsigned short length;
        void *instructions;
    } filter = {1, &allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, 2, &filter) != 0) return 1;
#endif
    return square(in, out);
}

/* Starts a program that does nothing by bubblewrap, in namespaces of its own: the least that a loader process an image
 * can cost. Returns whether that works here. */
static bool bubblewrap_works(void) {
    static char *const command[] = {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    bool works = posix_spawnp(&child, command[0], &actions, NULL, command, environ) == 0 && wait_for(child) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return works;
}

static void run_bubblewrap(void *context) {
    (void)context;
    if (!bubblewrap_works()) bench_fail("bwrap has failed");
}

void limit_sandbox_call(void) {
    size_t count = limits.options->quick ? 2000 : 100000, forks = limits.options->quick ? 10 : 200;
    struct pool *pool = sandboxed_pool("sandbox-call", limits.workers);
    if (!pool) return;
    bool has_bubblewrap = bubblewrap_works();
    struct squares calls, filtered;
    squares_begin(&calls, count, limits.workers);
    squares_begin(&filtered, forks, limits.workers);
    calls.work.pool = pool;
    filtered.work.fn = square_in_filter;
    filtered.work.shared = shared_alloc(forks * sizeof(long));
    struct bench_contestant contestants[] = {
        contestant("a task in a sandboxed pool", run_pool_submit, &calls.work),
        contestant("a fork a call, with a filter", run_fork, &filtered.work),
        {.name = "bubblewrap, a program a call", .run = run_bubblewrap},
    };
    bench_run(contestants, has_bubblewrap ? 3 : 2);
    judge("sandbox-call", "calls a second, all in flight", RATE, rate_of(&contestants[0], (double)count), AT_LEAST,
          5e6);
    printf("    a call: %s; in a process forked for it, with a filter: %s; bubblewrap: %s\n",
           bench_seconds(contestants[0].stats.median / (double)count).text,
           bench_seconds(contestants[1].stats.median / (double)forks).text,
           has_bubblewrap ? bench_seconds(contestants[2].stats.median).text : "not here");
    record("sandbox-call", count, limits.workers, &contestants[0], NULL);
    pool_destroy(pool);
    squares_end(&filtered);
    squares_end(&calls);
}
