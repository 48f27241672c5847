/* bench_compare: this library beside the other means that a C program could use, on the same work in the same run.
 *
 * A stage is a kernel at one size. Its workload is made twice, on memory from malloc() and in the arena. A contestant
 * takes part if it can do the work in reasonable time: a fork for each of a million items would take minutes. */
#include "bench.h"
#include "children.h"
#include "contestants.h"
#include "kernels.h"
#include "thread_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ENOUGH_TO_PAGE: bytes from which on it matters in which memory a workload lies. */
enum { ENOUGH_TO_PAGE = 1 << 20 };
enum { MOST_CONTESTANTS = 16, MOST_SUBMITTED = 1000000, MOST_PIPED = 10000, MOST_FORKED = 128 };

static const struct bench_options *options;
static int workers;
static struct pool *pool;
static struct thread_pool *threads;

struct stage {
    const char *kernel;
    struct workload work; /* the caller fills fn, sizes, count, loop and in */
    struct workload arena;
    double x; /* for the plot; 0: the sequential time of an item */
    const char *x_name;
    size_t size;     /* for the JSON file */
    bool loops_only; /* too many items for contestants that handle them one by one */
    struct bench_contestant contestants[MOST_CONTESTANTS];
    size_t count;
};

/* ---- Contestants of a stage -------------------------------------------------------------------------------------- */

static void enter(struct stage *stage, const char *name, void (*run)(void *context), struct workload *work) {
    if (stage->count == MOST_CONTESTANTS) bench_fail("too many contestants");
    stage->contestants[stage->count++] = contestant(name, run, work);
}

static void enter_openmp(struct stage *stage) {
#ifdef _OPENMP
    enter(stage, "OpenMP static", run_openmp_static, &stage->work);
    if (!stage->loops_only) enter(stage, "OpenMP dynamic", run_openmp_dynamic, &stage->work);
    enter(stage, "OpenMP guided", run_openmp_guided, &stage->work);
    if (stage->work.loop) enter(stage, "OpenMP static, inlined", run_openmp_loop, &stage->work);
    if (!stage->loops_only) enter(stage, "OpenMP task", run_openmp_task, &stage->work);
#else
    (void)stage;
#endif
}

static void enter_all(struct stage *stage) {
    struct workload *work = &stage->work;
    enter(stage, "sequential", run_sequential, work);
    enter(stage, "pool_map", run_pool_map, work);
    if (work->in || work->out) enter(stage, "pool_map, arena", run_pool_map, &stage->arena);
    if (work->count * (work->in_size + work->out_size) >= ENOUGH_TO_PAGE) {
        enter(stage, "sequential, arena", run_sequential, &stage->arena);
    }
    if (!stage->loops_only && work->count <= MOST_SUBMITTED) enter(stage, "pool_submit", run_pool_submit, work);
    enter_openmp(stage);
    if (stage->loops_only) return;
    if (work->count <= MOST_SUBMITTED) enter(stage, "thread pool", run_thread_pool, work);
    if (work->count <= MOST_PIPED) enter(stage, "raw pipes", run_pipes, work);
    if (work->count <= MOST_FORKED) enter(stage, "fork for each", run_fork, work);
}

/* ---- A stage ----------------------------------------------------------------------------------------------------- */

static void compute_expected(struct stage *stage) {
    struct workload *work = &stage->work;
    if (!work->out_size) return;
    work->out = bench_alloc(work->count * work->out_size);
    run_sequential(work);
    void *expected = bench_alloc(work->count * work->out_size);
    work->expected = memcpy(expected, work->out, work->count * work->out_size);
}

static void set_up(struct stage *stage) {
    struct workload *work = &stage->work;
    work->workers = workers;
    work->pool = pool;
    work->threads = threads;
    compute_expected(stage);
    stage->arena = *work;
    if (work->in)
        stage->arena.in = memcpy(arena_alloc(pool, work->count * work->in_size), work->in, work->count * work->in_size);
    if (work->out) stage->arena.out = arena_alloc(pool, work->count * work->out_size);
    if (work->out && work->count <= MOST_FORKED) work->shared = shared_alloc(work->count * work->out_size);
    if (!stage->loops_only) {
        workload_prepare_submits(work);
        pipe_workers_start(work);
    }
}

static void tear_down(struct stage *stage) {
    struct workload *work = &stage->work;
    pipe_workers_stop(work);
    workload_free_submits(work);
    if (work->shared) munmap(work->shared, work->count * work->out_size);
    if (stage->arena.in) pool_free(pool, (void *)(size_t)stage->arena.in);
    pool_free(pool, stage->arena.out);
    free((void *)(size_t)work->expected);
    free(work->out);
}

/* A median above the number of CPUs has a reason that is not the number of CPUs. */
static void report_excess(const struct stage *stage) {
    double cpus = pool_cpu_count() < workers ? pool_cpu_count() : workers, most = 0;
    for (size_t i = 1; i < stage->count; i++) {
        double speedup = bench_speedup(&stage->contestants[0], &stage->contestants[i]).median;
        if (speedup > most) most = speedup;
    }
    if (most < cpus * 1.05) return;
    printf("  Above %.0f, the number of CPUs: each CPU has a cache of its own, and the arena has larger pages than "
           "malloc().\n  Compare with \"sequential, arena\".\n",
           cpus);
}

static void report(const struct stage *stage) {
    const struct workload *work = &stage->work;
    const struct bench_contestant *sequential = &stage->contestants[0];
    double item = sequential->stats.median / (double)work->count, x = stage->x > 0 ? stage->x : item;
    printf("\n%s: %zu items of %zu bytes in, %zu out; %s each; %d workers\n", stage->kernel, work->count, work->in_size,
           work->out_size, bench_seconds(item).text, workers);
    printf("  %-24s %9s  %-21s %9s  %-19s %9s\n", "", "median", "[quartiles]", "speed-up", "[quartiles]", "a task");
    for (size_t i = 0; i < stage->count; i++) {
        const struct bench_contestant *other = &stage->contestants[i];
        struct bench_stats speedup = bench_speedup(sequential, other);
        printf("  %-24s %9s  [%9s %9s] %9.3g  [%8.3g %8.3g] %9s\n", other->name,
               bench_seconds(other->stats.median).text, bench_seconds(other->stats.q1).text,
               bench_seconds(other->stats.q3).text, speedup.median, speedup.q1, speedup.q3,
               bench_seconds(other->stats.median / (double)work->count).text);
        bool alone = strncmp(other->name, "sequential", strlen("sequential")) == 0;
        bench_record(&(struct bench_measurement){stage->kernel, other->name, stage->size, alone ? 1 : workers,
                                                 other->stats.median, sequential->stats.median, speedup.median,
                                                 alone ? 0 : x, stage->x_name});
    }
    report_excess(stage);
}

static void run_stage(struct stage *stage) {
    set_up(stage);
    enter_all(stage);
    bench_run(stage->contestants, stage->count);
    report(stage);
    tear_down(stage);
}

/* Only checks that all contestants compute in each run. */
static void check_stage(struct stage *stage) {
    set_up(stage);
    enter_all(stage);
    for (size_t i = 0; i < stage->count; i++) (void)bench_time(&stage->contestants[i], 3);
    tear_down(stage);
}

/* ---- The kernels ------------------------------------------------------------------------------------------------- */

static void compare_square(void) {
    for (size_t count = 1000; count <= (options->quick ? 1000 : 1000000); count *= 10) {
        struct stage stage = {.kernel = "square", .x = (double)count, .x_name = "items", .size = count};
        void *in = bench_alloc(count * sizeof(long));
        square_fill(in, count);
        stage.work = (struct workload){.fn = square,
                                       .in = in,
                                       .in_size = sizeof(long),
                                       .out_size = sizeof(long),
                                       .count = count,
                                       .loop = square_plain};
        run_stage(&stage);
        free(in);
    }
}

/* More data than any cache holds, so that memory is the limit. */
static void compare_memory(void) {
    static const size_t counts[] = {100000, 1000000, 20000000};
    for (size_t i = 0; i < (options->quick ? 1 : 3); i++) {
        size_t count = counts[i];
        struct stage stage = {.kernel = "memory", .x = (double)count, .x_name = "longs", .size = count};
        void *in = bench_alloc(count * sizeof(long));
        square_fill(in, count);
        stage.loops_only = true;
        stage.work = (struct workload){.fn = square,
                                       .in = in,
                                       .in_size = sizeof(long),
                                       .out_size = sizeof(long),
                                       .count = count,
                                       .loop = square_plain};
        run_stage(&stage);
        free(in);
    }
}

/* An empty task has no result to check; so the same contestants first run a function that counts its calls. */
static void compare_empty(void) {
    for (size_t count = 1000; count <= (options->quick ? 1000 : 100000); count *= 10) {
        struct stage check = {.work = {.fn = counted, .count = count, .calls = counted_calls}};
        check_stage(&check);
        struct stage stage = {.kernel = "empty", .x = (double)count, .x_name = "items", .size = count};
        stage.work = (struct workload){.fn = empty, .count = count};
        run_stage(&stage);
    }
}

/* Pi, with a number of terms for each item. */
static void compare_pi(const char *kernel, long *terms, size_t count, long mean) {
    struct stage stage = {.kernel = kernel, .x_name = "sequential time of a task", .size = (size_t)mean};
    stage.work = (struct workload){
        .fn = bbp_pi, .in = terms, .in_size = sizeof *terms, .out_size = sizeof(double), .count = count};
    run_stage(&stage);
}

enum { PI_ITEMS = 64 };

static void compare_bbp_pi(void) {
    long terms[PI_ITEMS];
    for (long mean = 1; mean <= (options->quick ? 100 : 100000); mean *= 10) {
        for (int i = 0; i < PI_ITEMS; i++) terms[i] = mean;
        compare_pi("bbp_pi", terms, PI_ITEMS, mean);
    }
}

/* One item, the first, is half of the work. */
static void compare_half(void) {
    long terms[PI_ITEMS];
    for (long mean = 10; mean <= (options->quick ? 100 : 100000); mean *= 10) {
        terms[0] = mean * PI_ITEMS / 2;
        for (int i = 1; i < PI_ITEMS; i++) terms[i] = mean / 2;
        compare_pi("skewed, one is half", terms, PI_ITEMS, mean);
    }
}

/* Item i costs i. */
static void compare_rising(void) {
    long terms[PI_ITEMS];
    for (long mean = 10; mean <= (options->quick ? 100 : 100000); mean *= 10) {
        for (int i = 0; i < PI_ITEMS; i++) terms[i] = mean * 2 * i / (PI_ITEMS - 1);
        compare_pi("skewed, item i costs i", terms, PI_ITEMS, mean);
    }
}

static void compare_large(void) {
    enum { ITEMS = 32 };
    for (size_t size = 4096; size <= (options->quick ? 65536 : 1 << 20); size *= 16) {
        struct stage stage = {.kernel = "large items", .x = (double)size, .x_name = "bytes an item", .size = size};
        unsigned char *in = bench_alloc(ITEMS * size);
        for (size_t i = 0; i < ITEMS; i++) echo_fill(in + i * size, size);
        stage.work = (struct workload){.fn = echo, .in = in, .in_size = size, .out_size = size, .count = ITEMS};
        stage.work.window = 2 * (size_t)workers;
        run_stage(&stage);
        free(in);
    }
}

static const struct {
    const char *name;
    void (*compare)(void);
} kernels[] = {
    /* The stages with the most tasks come last, since they leave the program large. A child that is forked from then on
     * has the program copy each page that it writes to: an empty task took 210 ns instead of 75 while the children of
     * "raw pipes" lived that were forked after a million squares had been in flight. */
    {"bbp_pi", compare_bbp_pi}, {"half", compare_half},     {"rising", compare_rising}, {"large", compare_large},
    {"empty", compare_empty},   {"square", compare_square}, {"memory", compare_memory},
};

int main(int argc, char **argv) {
    const char *names[sizeof kernels / sizeof *kernels + 1] = {NULL};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) names[i] = kernels[i].name;
    options = bench_begin(
        argc, argv,
        &(struct bench_program){.about = "pool_map and pool_submit beside the sequential program, OpenMP (where it was "
                                         "compiled in), a plain thread\npool, raw pipes and a fork for each item.",
                                .names = names,
                                .has_plot = true});
    workers = options->workers ? options->workers : pool_cpu_count();
    counted_calls = shared_alloc(sizeof *counted_calls);
    pool = bench_pool(workers); /* made before the threads, so that no worker inherits their stacks */
    threads = thread_pool_create(workers);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (bench_wanted(kernels[i].name)) kernels[i].compare();
    }
    thread_pool_destroy(threads);
    pool_destroy(pool);
    return bench_end();
}
