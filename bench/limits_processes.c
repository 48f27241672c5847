#include "limits_processes.h"
#include "children.h"
#include "contestants.h"
#include "judge.h"
#include "kernels.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- A meeting of all workers ------------------------------------------------------------------------------------ */

/* In the arena. No task ends before all have started, so each has a worker of its own. */
struct meeting {
    atomic_int come;
    int expected;
};

struct attendance {
    pid_t worker, supervisor;
};

static int attend(const void *in, void *out) {
    struct meeting *meeting = *(struct meeting *const *)in;
    struct attendance *own = out;
    *own = (struct attendance){getpid(), getppid()};
    double arrived = bench_now();
    atomic_fetch_add(&meeting->come, 1);
    while (atomic_load(&meeting->come) < meeting->expected) {
        if (bench_now() - arrived > 10) return task_fail(1, "a worker does not come");
        if (meeting->expected <= 2)
            sched_yield();
        else
            bench_sleep(1e-3);
    }
    return 0;
}

/* Waits until all workers of a pool have run a task. */
static void meet(struct pool *pool, int workers, struct attendance *present) {
    struct meeting *meeting = arena_alloc(pool, sizeof *meeting);
    struct future *futures[BENCH_MAX_WORKERS];
    meeting->expected = workers;
    for (int i = 0; i < workers; i++) {
        bench_must(
            pool_submit(pool,
                        &(struct pool_task){
                            .fn = attend, .in = &meeting, .in_size = sizeof meeting, .out_size = sizeof *present},
                        &futures[i]),
            "pool_submit");
    }
    for (int i = 0; i < workers; i++) {
        bench_must(future_get(futures[i], &present[i], -1), "the meeting of all workers");
        future_free(futures[i]);
    }
    pool_free(pool, meeting);
}

/* ---- Making a pool ----------------------------------------------------------------------------------------------- */

static double measure_create(const struct bench_contestant *contestant) {
    double start = bench_now();
    struct pool *pool = bench_pool(*(const int *)contestant->context);
    double seconds = bench_now() - start;
    pool_destroy(pool);
    return seconds;
}

static void run_create_destroy(void *context) {
    pool_destroy(bench_pool(*(int *)context));
}

/* Start times, which workers write themselves into memory that the caller can read. */
struct beginnings {
    atomic_int count;
    double seconds[BENCH_MAX_WORKERS];
};

static int say_when(void *arg) {
    struct beginnings *beginnings = arg;
    double now = bench_now(); /* all processes have the same clock */
    beginnings->seconds[atomic_fetch_add(&beginnings->count, 1)] = now;
    return 0;
}

static double measure_ready(const struct bench_contestant *contestant) {
    int workers = *(const int *)contestant->context;
    struct beginnings *beginnings = shared_alloc(sizeof *beginnings);
    memset(beginnings, 0, sizeof *beginnings);
    struct pool_options pool_options = {.workers = workers, .initializer = say_when, .initializer_arg = beginnings};
    struct pool *pool;
    double start = bench_now(), last = 0;
    bench_must(pool_create(&pool_options, &pool), "pool_create");
    while (atomic_load(&beginnings->count) < workers) {
        if (bench_now() - start > 60) bench_fail("a worker does not begin");
        bench_sleep(200e-6);
    }
    pool_destroy(pool); /* after which all have written their time */
    for (int i = 0; i < workers; i++)
        if (beginnings->seconds[i] > last) last = beginnings->seconds[i];
    munmap(beginnings, sizeof *beginnings);
    return last - start;
}

/* The floor: as many plain forks, until each child has written a byte. */
static double measure_forks(const struct bench_contestant *contestant) {
    pid_t children[BENCH_MAX_WORKERS];
    int workers = *(const int *)contestant->context, ends[2];
    char bytes[BENCH_MAX_WORKERS];
    if (pipe(ends) != 0) bench_fail("pipe: %s", strerror(errno));
    double start = bench_now();
    for (int i = 0; i < workers; i++) {
        children[i] = fork();
        if (children[i] < 0) bench_fail("fork: %s", strerror(errno));
        if (children[i] == 0) {
            pipe_write(ends[1], bytes, 1);
            _exit(0);
        }
    }
    pipe_read(ends[0], bytes, (size_t)workers);
    double seconds = bench_now() - start;
    for (int i = 0; i < workers; i++) wait_for(children[i]);
    close(ends[0]);
    close(ends[1]);
    return seconds;
}

/* The call of fork() alone; the child ends at once. */
static double measure_fork(const struct bench_contestant *contestant) {
    (void)contestant;
    double start = bench_now();
    pid_t child = fork();
    if (child == 0) _exit(0);
    double seconds = bench_now() - start;
    if (child < 0) bench_fail("fork: %s", strerror(errno));
    wait_for(child);
    return seconds;
}

static void limit_create(const char *name, int workers, double target, const char *ready_name) {
    struct bench_contestant contestants[] = {
        {.name = "pool_create", .context = &workers, .measure = measure_create},
        {.name = "pool_create, until all workers began", .context = &workers, .measure = measure_ready},
        {.name = "forks by hand, until all began", .context = &workers, .measure = measure_forks},
        {.name = "one fork", .context = &workers, .measure = measure_fork},
        {.name = "pool_create + pool_destroy", .context = &workers, .run = run_create_destroy},
    };
    bench_run(contestants, 5);
    judge(name, "pool_create, its return", SECONDS, contestants[0].stats, AT_MOST, target);
    judge(ready_name, "pool_create, until all workers began", SECONDS, contestants[1].stats, AT_MOST, target);
    if (workers == 2) {
        judge("create-destroy", "pool_create + pool_destroy", SECONDS, contestants[4].stats, AT_MOST, 3e-3);
    }
    print_beside(contestants, 5, 1);
    record(name, 1, workers, &contestants[0], &contestants[3]);
    record(ready_name, 1, workers, &contestants[1], &contestants[2]);
}

void limit_create_2(void) {
    limit_create("create-2", 2, 1.5e-3, "create-2-ready");
}

void limit_create_64(void) {
    limit_create("create-64", 64, 30e-3, "create-64-ready");
}

/* In a program with a gigabyte of memory, whose page tables each fork copies. */
void limit_create_large(void) {
    size_t size = limits.options->quick ? 1 << 24 : 1 << 30;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) bench_fail("no memory for %zu bytes", size);
    memset(memory, 1, size);
    int workers = 2;
    struct bench_contestant contestants[] = {
        {.name = "pool_create", .context = &workers, .measure = measure_create},
        {.name = "one fork", .context = &workers, .measure = measure_fork},
        {.name = "pool_create, until all workers began", .context = &workers, .measure = measure_ready},
        {.name = "forks by hand, until all began", .context = &workers, .measure = measure_forks},
    };
    bench_run(contestants, 4);
    judge("create-1GiB", "pool_create, one fork = 1", RATIO, multiple_of(&contestants[0], &contestants[1], 1), AT_MOST,
          1.1);
    print_beside(contestants, 4, 1);
    record("create-1GiB", size, workers, &contestants[0], &contestants[1]);
    munmap(memory, size);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Returns the number after a word in a file of /proc; -1 if there is none. */
static double proc_number(pid_t process, const char *file_name, const char *word) {
    char path[64], line[256];
    double value = -1;
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)process, file_name);
    FILE *file = fopen(path, "r");
    while (file && value < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, word, strlen(word)) == 0) value = strtod(line + strlen(word), NULL);
    }
    if (file) fclose(file);
    return value;
}

/* Returns the memory of a child that does nothing, as any forked process has it. */
static double bare_child_size(void) {
    pid_t child = fork();
    if (child < 0) bench_fail("fork: %s", strerror(errno));
    while (child == 0) pause();
    bench_sleep(20e-3);
    double size = proc_number(child, "smaps_rollup", "Pss:");
    kill(child, SIGKILL);
    wait_for(child);
    return size;
}

void limit_memory(void) {
    enum { ROUNDS = 5 }; /* each with a new pool: memory that earlier ones left in the caller counts for later ones */
    double sizes[ROUNDS], supervisor = 0, bare = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct attendance present[BENCH_MAX_WORKERS];
        struct pool *pool = bench_pool(limits.workers);
        meet(pool, limits.workers, present);
        bench_sleep(20e-3);
        sizes[round] = 0;
        for (int i = 0; i < limits.workers; i++) {
            double size = proc_number(present[i].worker, "smaps_rollup", "Pss:");
            if (size > sizes[round] || size < 0) sizes[round] = size;
        }
        supervisor = proc_number(present[0].supervisor, "smaps_rollup", "Pss:");
        bare = bare_child_size();
        pool_destroy(pool);
        if (sizes[round] < 0) {
            printf("%-24s -       this system does not tell\n", "memory");
            return;
        }
    }
    judge("memory", "PSS of the largest idle worker", KIBIBYTES, bench_statistics(sizes, ROUNDS), AT_MOST, 300);
    printf("    of the first pool: %.0f KiB, of the fifth: %.0f KiB, its supervisor: %.0f KiB; a bare forked child "
           "beside it: "
           "%.0f KiB\n",
           sizes[0], sizes[ROUNDS - 1], supervisor, bare);
}

/* ---- Idleness ---------------------------------------------------------------------------------------------------- */

struct activity {
    double seconds;  /* of CPU */
    double switches; /* times that it gave up the CPU by itself, each followed by a wake-up */
};

static struct activity activity_of(pid_t process) {
    double on_cpu = proc_number(process, "schedstat", ""); /* the first number of the file */
    return (struct activity){on_cpu < 0 ? -1 : on_cpu / 1e9,
                             proc_number(process, "status", "voluntary_ctxt_switches:")};
}

/* The activity of the supervisor and all workers so far. */
static struct activity activity_of_pool(const struct attendance *present, int workers) {
    struct activity sum = activity_of(present[0].supervisor);
    for (int i = 0; i < workers && sum.seconds >= 0; i++) {
        struct activity one = activity_of(present[i].worker);
        sum.seconds = one.seconds < 0 ? -1 : sum.seconds + one.seconds;
        sum.switches += one.switches;
    }
    return sum;
}

static double caller_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 + (double)usage.ru_stime.tv_sec +
           (double)usage.ru_stime.tv_usec / 1e6;
}

void limit_idle(void) {
    enum { ROUNDS = 3 };
    double seconds[ROUNDS], switches = 0, caller = 0, length = limits.options->quick ? 0.1 : 1;
    struct attendance present[BENCH_MAX_WORKERS];
    struct pool *pool = bench_pool(limits.workers);
    struct workload some = {.fn = empty, .count = 1000, .pool = pool};
    run_pool_map(&some);
    meet(pool, limits.workers, present);
    bench_sleep(0.2);
    for (int round = 0; round < ROUNDS; round++) {
        struct activity before = activity_of_pool(present, limits.workers);
        double caller_before = caller_seconds();
        bench_sleep(length);
        caller += caller_seconds() - caller_before;
        struct activity after = activity_of_pool(present, limits.workers);
        if (before.seconds < 0 || after.seconds < 0) {
            printf("%-24s -       this system does not tell\n", "idle");
            pool_destroy(pool);
            return;
        }
        seconds[round] = (after.seconds - before.seconds) / length;
        switches += after.switches - before.switches;
    }
    judge("idle", "CPU time of an idle pool in a second", SECONDS, bench_statistics(seconds, ROUNDS), AT_MOST, 0);
    printf("    %.0f wakings in %d times %g s; the caller, which slept: %s\n", switches, ROUNDS, length,
           bench_seconds(caller).text);
    pool_destroy(pool);
}
