#include "limits_tasks.h"
#include "children.h"
#include "contestants.h"
#include "judge.h"
#include "kernels.h"
#include "thread_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __linux__
#include <sched.h>
#endif

/* ---- Throughput -------------------------------------------------------------------------------------------------- */

void limit_submit(void) {
    struct squares squares;
    size_t tasks = limits.options->quick ? 2000 : 100000;
    squares_begin(&squares, tasks, limits.workers);
    squares.work.pool = bench_pool(limits.workers);
    squares.work.threads = thread_pool_create(limits.workers);
    struct bench_contestant contestants[] = {
        contestant("pool_submit + future_get", run_pool_submit, &squares.work),
        contestant("thread pool", run_thread_pool, &squares.work),
#ifdef _OPENMP
        contestant("OpenMP task", run_openmp_task, &squares.work),
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run(contestants, count);
    judge("submit", "tasks a second, all in flight", RATE, rate_of(&contestants[0], (double)tasks), AT_LEAST, 10e6);
#ifdef _OPENMP
    judge("submit-openmp", "speed, OpenMP task = 1", RATIO, bench_speedup(&contestants[2], &contestants[0]), AT_LEAST,
          1);
#endif
    print_beside(contestants, count, (double)tasks);
    record("submit", tasks, limits.workers, &contestants[0], &contestants[1]);
    thread_pool_destroy(squares.work.threads);
    pool_destroy(squares.work.pool);
    squares_end(&squares);
}

/* ---- One at a time ----------------------------------------------------------------------------------------------- */

/* One worker, so that one of two CPUs is free and the library may wait awake. */
void limit_round_awake(void) {
    struct squares squares;
    squares_begin(&squares, 1, 1);
    squares.work.pool = bench_pool(1);
    pipe_workers_start(&squares.work);
    squares.work.threads = thread_pool_create(1);
    struct bench_contestant contestants[] = {
        measured("submit, get; 1 worker", run_pool_submit, &squares.work, awake_and_run),
        measured("thread pool, 1 thread", run_thread_pool, &squares.work, awake_and_run),
        measured("raw pipe, there and back", run_pipes, &squares.work, awake_and_run),
    };
    bench_run(contestants, 3);
    judge("round-awake", "submit to get, thread pool = 1", RATIO, multiple_of(&contestants[0], &contestants[1], 1),
          AT_MOST, 0.3);
    print_beside(contestants, 3, 1);
    record("round-awake", 1, 1, &contestants[0], &contestants[1]);
    pipe_workers_stop(&squares.work);
    thread_pool_destroy(squares.work.threads);
    pool_destroy(squares.work.pool);
    squares_end(&squares);
}

static double nap_and_run_task(const struct bench_contestant *contestant) {
    return nap_and_run(contestant, 2e-3, 5e-3, limits.options->quick ? 2 : 15);
}

#ifdef __linux__
static void pin(pid_t process, size_t cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(process, sizeof set, &set);
}

/* The caller runs on the first of its CPUs, the pipe worker on the last: the floor is a wake-up across cores. */
static double nap_pinned(const struct bench_contestant *contestant) {
    pid_t worker = ((const struct workload *)contestant->context)->pipe_workers[0].pid;
    cpu_set_t all;
    if (sched_getaffinity(0, sizeof all, &all) != 0) return nap_and_run_task(contestant);
    size_t first = CPU_SETSIZE, last = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        if (first == CPU_SETSIZE) first = cpu;
        last = cpu;
    }
    pin(0, first);
    pin(worker, last);
    double seconds = nap_and_run_task(contestant);
    (void)sched_setaffinity(worker, sizeof all, &all);
    (void)sched_setaffinity(0, sizeof all, &all);
    return seconds;
}
#else
static double nap_pinned(const struct bench_contestant *contestant) {
    return nap_and_run_task(contestant);
}
#endif

void limit_round_asleep(void) {
    struct squares one, all;
    squares_begin(&one, 1, 1);
    squares_begin(&all, 1, limits.workers);
    one.work.pool = bench_pool(1);
    all.work.pool = bench_pool(limits.workers);
    pipe_workers_start(&one.work);
    one.work.threads = thread_pool_create(1);
    struct bench_contestant contestants[] = {
        measured("submit, get; 1 worker", run_pool_submit, &one.work, nap_and_run_task),
        measured("submit, get; all workers", run_pool_submit, &all.work, nap_and_run_task),
        measured("raw pipe, pinned to another core", run_pipes, &one.work, nap_pinned),
        measured("raw pipe, wherever", run_pipes, &one.work, nap_and_run_task),
        measured("thread pool, 1 thread", run_thread_pool, &one.work, nap_and_run_task),
    };
    bench_run(contestants, 5);
    judge("round-asleep", "submit to get, pipe to other core = 1", RATIO,
          multiple_of(&contestants[0], &contestants[2], 1), AT_MOST, 1.1);
    judge("round-asleep-all", "the same, all workers asleep", RATIO, multiple_of(&contestants[1], &contestants[2], 1),
          AT_MOST, 1.1);
    print_beside(contestants, 5, 1);
    record("round-asleep", 1, 1, &contestants[0], &contestants[2]);
    record("round-asleep", 1, limits.workers, &contestants[1], &contestants[2]);
    pipe_workers_stop(&one.work);
    thread_pool_destroy(one.work.threads);
    pool_destroy(all.work.pool);
    pool_destroy(one.work.pool);
    squares_end(&all);
    squares_end(&one);
}

/* ---- Generous room ----------------------------------------------------------------------------------------------- */

/* Short results, all in flight, in room of so many bytes. */
struct rooms {
    struct pool *pool;
    size_t room, tasks;
    struct future **futures;
    bool right;
};

enum { SHORT = 100 };

static int short_task(const void *in, void *out) {
    (void)in;
    memset(out, 1, SHORT);
    return task_resize(SHORT);
}

static void run_rooms(void *context) {
    struct rooms *rooms = context;
    struct pool_task task = {.fn = short_task, .out_size = rooms->room};
    char result[SHORT];
    rooms->right = true;
    for (size_t i = 0; i < rooms->tasks; i++) rooms->right &= pool_submit(rooms->pool, &task, &rooms->futures[i]) == 0;
    for (size_t i = 0; rooms->right && i < rooms->tasks; i++) {
        result[SHORT - 1] = 0;
        rooms->right = future_get(rooms->futures[i], result, -1) == 0 && result[SHORT - 1] == 1;
        future_free(rooms->futures[i]);
    }
}

static bool rooms_right(void *context) {
    return ((const struct rooms *)context)->right;
}

void limit_generous(void) {
    struct rooms generous = {.room = (size_t)1 << 20, .tasks = limits.options->quick ? 200 : 4000}, fitting;
    generous.pool = bench_pool(limits.workers);
    generous.futures = bench_alloc(generous.tasks * sizeof *generous.futures);
    fitting = generous;
    fitting.room = 128;
    struct bench_contestant contestants[] = {
        {.name = "room of 1 MiB", .context = &generous, .run = run_rooms, .check = rooms_right},
        {.name = "room of 128 bytes", .context = &fitting, .run = run_rooms, .check = rooms_right},
    };
    bench_run(contestants, 2);
    judge("generous", "a result of 100 bytes, room of 128 = 1", RATIO, multiple_of(&contestants[0], &contestants[1], 1),
          AT_MOST, 1.2);
    print_beside(contestants, 2, (double)generous.tasks);
    free(generous.futures);
    pool_destroy(generous.pool);
}

/* ---- Large arguments --------------------------------------------------------------------------------------------- */

/* The floor for any pool that copies an argument in and a result out. */
static void run_two_copies(void *context) {
    const struct workload *work = context;
    memcpy(work->shared, work->in, work->in_size);
    memcpy(work->out, work->shared, work->out_size);
}

void limit_echo(void) {
    size_t size = limits.options->quick ? 1 << 16 : 1 << 20;
    void *in = bench_alloc(size), *out = bench_alloc(size);
    echo_fill(in, size);
    struct workload work = {
        .fn = echo, .in = in, .in_size = size, .out = out, .out_size = size, .count = 1, .expected = in};
    work.workers = 1;
    work.pool = bench_pool(limits.workers);
    pipe_workers_start(&work);
    work.threads = thread_pool_create(limits.workers);
    work.shared = shared_alloc(size);
    workload_prepare_submits(&work);
    struct bench_contestant contestants[] = {
        contestant("submit, get", run_pool_submit, &work),
        contestant("raw pipe, there and back", run_pipes, &work),
        contestant("two copies, one process", run_two_copies, &work),
        contestant("thread pool", run_thread_pool, &work),
    };
    bench_run(contestants, 4);
    judge("echo", "submit to get, 1 MiB there and back", SECONDS, contestants[0].stats, AT_MOST, 0.7e-3);
    print_beside(contestants, 4, 1);
    record("echo", size, limits.workers, &contestants[0], &contestants[1]);
    pipe_workers_stop(&work);
    workload_free_submits(&work);
    munmap(work.shared, size);
    thread_pool_destroy(work.threads);
    pool_destroy(work.pool);
    free(in);
    free(out);
}

/* ---- Scale ------------------------------------------------------------------------------------------------------- */

enum { SCALES = 7 };

/* Returns the median of the runs of 50 ms: a single run of some milliseconds is now and then half as long again when
 * the machine does something else, and one of seven scales would have such a run in most rounds. */
static double median_run(const struct bench_contestant *contestant) {
    struct workload *work = contestant->context;
    double seconds[BENCH_MAX_ROUNDS], until = bench_now() + (limits.options->quick ? 1e-3 : 50e-3);
    size_t runs = 0;
    do {
        seconds[runs] = bench_time(contestant, 1);
        work->seconds += seconds[runs++];
        work->runs++;
    } while (runs < BENCH_MAX_ROUNDS && bench_now() < until);
    return bench_statistics(seconds, runs).median;
}

/* Judges whether the cost of a task is the same in all scales; scale i does tasks[i] tasks. Measures in the same rounds
 * as many equal contestants, whose spread comes from machine and library alone; and the time to wake so many processes
 * through a pipe each and have their answers, which is the system's part of the cost of many workers. */
static void judge_flat(const char *name, const char *what, const struct bench_contestant *scales, size_t count,
                       const double *tasks, const struct bench_contestant *alike, int processes, int rounds) {
    struct bench_contestant contestants[2 * SCALES + 1];
    double ones[SCALES];
    struct squares waking;
    memcpy(contestants, scales, count * sizeof *scales);
    for (size_t i = 0; i < count; i++) contestants[count + i] = alike[i], ones[i] = 1;
    squares_begin(&waking, (size_t)processes, processes);
    pipe_workers_start(&waking.work);
    contestants[2 * count] = contestant("processes woken through raw pipes", run_pipes, &waking.work);
    bench_run_rounds(contestants, 2 * count + 1, rounds);
    judge(name, what, RATIO, spread_of(contestants, count, tasks), AT_MOST, 1.2);
    for (size_t i = 0; i < count; i++) {
        const struct workload *work = contestants[i].context;
        printf("    %-40s %9s a task; the mean of all runs: %s\n", contestants[i].name,
               bench_seconds(contestants[i].stats.median / tasks[i]).text,
               bench_seconds(work->seconds / (double)work->runs / tasks[i]).text);
        record(name, (size_t)tasks[i], work->workers, &contestants[i], NULL);
    }
    printf("    as many alike, %s: %.3g\n", alike[0].name, spread_of(&contestants[count], count, ones).median);
    printf("    to wake %d processes, and to be answered: %s\n", processes,
           bench_seconds(contestants[2 * count].stats.median).text);
    pipe_workers_stop(&waking.work);
    squares_end(&waking);
}

/* From a thousand tasks to ten million. window: the most tasks in flight; 0: all. */
static void limit_flat_tasks(const char *name, const char *what, size_t window) {
    static const char *const names[] = {"1000 tasks", "10000 tasks", "100000 tasks", "1000000 tasks", "10000000 tasks"};
    size_t scales = limits.options->quick ? 2 : 5;
    struct squares squares[5];
    struct bench_contestant contestants[5], alike[5];
    double tasks[5];
    struct pool *pool = bench_pool(limits.workers);
    size_t count = 1000;
    for (size_t i = 0; i < scales; i++, count *= 10) {
        squares_begin(&squares[i], count, limits.workers);
        squares[i].work.pool = pool;
        squares[i].work.window = window;
        contestants[i] = measured(names[i], run_pool_submit, &squares[i].work, median_run);
        tasks[i] = (double)count;
    }
    for (size_t i = 0; i < scales; i++) alike[i] = contestants[scales / 2];
    judge_flat(name, what, contestants, scales, tasks, alike, limits.workers, limits.options->quick ? 2 : 5);
    for (size_t i = 0; i < scales; i++) squares_end(&squares[i]);
    pool_destroy(pool);
}

void limit_flat_in_flight(void) {
    limit_flat_tasks("flat-in-flight", "dearest / cheapest task, 1e3 to 1e7 at once", 0);
}

void limit_flat_submit(void) {
    limit_flat_tasks("flat-submit", "the same, 10000 in flight", 10000);
}

/* The same for one job, of items of about 100 ns: with shorter ones the wake-up of some microseconds would dominate. */
void limit_flat_map(void) {
    static const char *const names[] = {"1000 items", "10000 items", "100000 items", "1000000 items", "10000000 items"};
    size_t scales = limits.options->quick ? 2 : 5, most = limits.options->quick ? 10000 : 10000000, count = 1000;
    struct pool *pool = bench_pool(limits.workers);
    struct workload works[5];
    struct bench_contestant contestants[5], alike[5];
    double tasks[5];
    long *terms = arena_alloc(pool, most * sizeof *terms), each = bbp_terms(100e-9);
    double *out = arena_alloc(pool, most * sizeof *out), *expected = bench_alloc(most * sizeof *expected);
    for (size_t i = 0; i < most; i++) terms[i] = each;
    for (size_t i = 0; i < scales; i++, count *= 10) {
        works[i] = bbp_workload(terms, out, expected, count, limits.workers);
        works[i].pool = pool;
        contestants[i] = measured(names[i], run_pool_map, &works[i], median_run);
        tasks[i] = (double)count;
    }
    for (size_t i = 0; i < scales; i++) alike[i] = contestants[scales / 2];
    judge_flat("flat-map", "the same, items of one job", contestants, scales, tasks, alike, limits.workers,
               limits.options->quick ? 2 : 5);
    free(expected);
    pool_destroy(pool);
}

static const char *const worker_names[] = {"1 worker",   "2 workers",  "4 workers", "8 workers",
                                           "16 workers", "32 workers", "64 workers"};
static const char *const as_cpus = "pools with a worker for each CPU";

/* From 1 worker to 64, whatever the number of CPUs. */
void limit_flat_workers(void) {
    struct squares squares;
    struct workload works[2 * SCALES];
    struct bench_contestant contestants[2 * SCALES];
    double tasks[2 * SCALES];
    size_t scales = limits.options->quick ? 3 : SCALES, count = limits.options->quick ? 1000 : 100000;
    squares_begin(&squares, count, 1);
    for (size_t i = 0; i < 2 * scales; i++) {
        bool is_alike = i >= scales;
        works[i] = squares.work;
        works[i].workers = is_alike ? limits.workers : 1 << i;
        works[i].pool = bench_pool(works[i].workers);
        contestants[i] = measured(is_alike ? as_cpus : worker_names[i], run_pool_submit, &works[i], median_run);
        tasks[i] = (double)count;
    }
    judge_flat("flat-workers-submit", "dearest / cheapest task, 1 to 64 workers", contestants, scales, tasks,
               &contestants[scales], 1 << (SCALES - 1), limits.options->rounds);
    for (size_t i = 0; i < 2 * scales; i++) pool_destroy(works[i].pool);
    squares_end(&squares);
}

/* A job of 10 ms in 1000 items, from as many workers as there are CPUs to 64: fewer would be slower anyway. */
void limit_flat_workers_map(void) {
    enum { ITEMS = 1000 };
    long terms[ITEMS], each = bbp_terms(10e-6);
    double out[ITEMS], expected[ITEMS], tasks[2 * SCALES];
    struct workload works[2 * SCALES];
    struct bench_contestant contestants[2 * SCALES];
    size_t first = 0, scales = limits.options->quick ? 3 : SCALES;
    while (first < scales - 1 && 1 << first < limits.workers) first++;
    scales -= first;
    for (size_t i = 0; i < ITEMS; i++) terms[i] = each;
    for (size_t i = 0; i < 2 * scales; i++) {
        bool is_alike = i >= scales;
        int workers = is_alike ? limits.workers : 1 << (first + i);
        works[i] = bbp_workload(terms, out, expected, ITEMS, workers);
        works[i].pool = bench_pool(workers);
        contestants[i] = measured(is_alike ? as_cpus : worker_names[first + i], run_pool_map, &works[i], median_run);
        tasks[i] = ITEMS;
    }
    judge_flat("flat-workers-map", "the same, items of 10 us in one job", contestants, scales, tasks,
               &contestants[scales], 1 << (SCALES - 1), limits.options->rounds);
    for (size_t i = 0; i < 2 * scales; i++) pool_destroy(works[i].pool);
}
