#include "limits_maps.h"
#include "children.h"
#include "contestants.h"
#include "judge.h"
#include "kernels.h"
#include "thread_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- Pi: jobs of some milliseconds in 16 items ------------------------------------------------------------------- */

enum { PI_ITEMS = 16, SKEWED_ITEMS = 64 };

/* A job of pi with its memory and its right results. */
struct pi_job {
    struct workload work;
    long terms[SKEWED_ITEMS];
    double out[SKEWED_ITEMS], expected[SKEWED_ITEMS];
};

/* The terms must be filled in. */
static void pi_job_begin(struct pi_job *job, size_t count) {
    job->work = bbp_workload(job->terms, job->out, job->expected, count, limits.workers);
    job->work.pool = bench_pool(limits.workers);
    job->work.threads = thread_pool_create(limits.workers);
    workload_prepare_submits(&job->work);
}

static void pi_job_end(struct pi_job *job) {
    workload_free_submits(&job->work);
    thread_pool_destroy(job->work.threads);
    pool_destroy(job->work.pool);
}

static void pi_job_even(struct pi_job *job, double seconds) {
    long terms = bbp_terms(seconds / PI_ITEMS);
    for (size_t i = 0; i < PI_ITEMS; i++) job->terms[i] = terms;
    pi_job_begin(job, PI_ITEMS);
}

static void limit_pi(const char *name, double seconds, double target) {
    struct pi_job job;
    pi_job_even(&job, seconds);
    struct bench_contestant contestants[] = {
        contestant("pool_map", run_pool_map, &job.work),
        contestant("sequential", run_sequential, &job.work),
        contestant("thread pool", run_thread_pool, &job.work),
#ifdef _OPENMP
        contestant("OpenMP dynamic", run_openmp_dynamic, &job.work),
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run(contestants, count);
    judge(name, "speed-up against sequential", RATIO, bench_speedup(&contestants[1], &contestants[0]), AT_LEAST,
          target);
    print_beside(contestants, count, 1);
    record(name, PI_ITEMS, limits.workers, &contestants[0], &contestants[1]);
    pi_job_end(&job);
}

void limit_pi_8ms(void) {
    limit_pi("pi-8ms", 8e-3, 1.93);
}

void limit_pi_1ms(void) {
    limit_pi("pi-1ms", 1e-3, 1.7);
}

void limit_pi_100us(void) {
    limit_pi("pi-100us", 100e-6, 1);
}

static double nap_and_run_job(const struct bench_contestant *contestant) {
    return nap_and_run(contestant, 2e-3, 2e-3, limits.options->quick ? 2 : 9);
}

/* The same after the caller, and with it the workers, has slept for 2 ms. The rivals include forked children, each of
 * which gets its share of the job through a pipe and answers. */
static void limit_pi_asleep(const char *name, double seconds) {
    struct pi_job job, shares;
    pi_job_even(&job, seconds);
    int children = limits.workers < SKEWED_ITEMS ? limits.workers : SKEWED_ITEMS;
    for (int i = 0; i < children; i++) shares.terms[i] = job.terms[0] * PI_ITEMS / children;
    shares.work = bbp_workload(shares.terms, shares.out, shares.expected, (size_t)children, children);
    pipe_workers_start(&shares.work);
    struct bench_contestant contestants[] = {
        measured("pool_map", run_pool_map, &job.work, nap_and_run_job),
        measured("sequential", run_sequential, &job.work, nap_and_run_job),
        measured("raw pipes, to each child its share", run_pipes, &shares.work, nap_and_run_job),
        measured("thread pool", run_thread_pool, &job.work, nap_and_run_job),
#ifdef _OPENMP
        measured("OpenMP dynamic (still spins)", run_openmp_dynamic, &job.work, nap_and_run_job),
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run(contestants, count);
    double share = 1.0 / limits.workers;
    judge(name, "above ideal (sequential / workers)", SECONDS, excess_of(&contestants[0], &contestants[1], share),
          AT_MOST, 100e-6);
    print_beside(contestants, count, 1);
    for (size_t i = 2; i < count; i++) {
        printf("    %s: %s above ideal\n", contestants[i].name,
               bench_seconds(excess_of(&contestants[i], &contestants[1], share).median).text);
    }
    record(name, PI_ITEMS, limits.workers, &contestants[0], &contestants[1]);
    pipe_workers_stop(&shares.work);
    pi_job_end(&job);
}

void limit_pi_8ms_asleep(void) {
    limit_pi_asleep("pi-8ms-asleep", 8e-3);
}

void limit_pi_1ms_asleep(void) {
    limit_pi_asleep("pi-1ms-asleep", 1e-3);
}

void limit_pi_100us_asleep(void) {
    limit_pi_asleep("pi-100us-asleep", 100e-6);
}

/* ---- Skewed work ------------------------------------------------------------------------------------------------- */

/* The makespan, as a share of all work, if each worker that becomes free takes the next item, in order, at no cost.
 * Another order may be shorter or longer, but can be chosen only if the times of the items are known before. */
static double in_order_share(const long *costs, size_t count, int workers) {
    double busy[BENCH_MAX_WORKERS] = {0}, sum = 0, longest = 0;
    for (size_t i = 0; i < count; i++) {
        int first = 0;
        for (int j = 1; j < workers; j++) {
            if (busy[j] < busy[first]) first = j;
        }
        busy[first] += (double)costs[i];
        sum += (double)costs[i];
        if (busy[first] > longest) longest = busy[first];
    }
    return longest / sum;
}

/* The least makespan of any order, as a share of all work: an item is not divided, nor are there more workers. */
static double least_share(const long *costs, size_t count, int workers) {
    double sum = 0, longest = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)costs[i];
        if ((double)costs[i] > longest) longest = (double)costs[i];
    }
    return longest > sum / workers ? longest / sum : 1.0 / workers;
}

static void limit_skewed(const char *name, struct pi_job *job) {
    pi_job_begin(job, SKEWED_ITEMS);
    struct bench_contestant contestants[] = {
        contestant("pool_map", run_pool_map, &job->work),
        contestant("sequential", run_sequential, &job->work),
        contestant("thread pool", run_thread_pool, &job->work),
#ifdef _OPENMP
        contestant("OpenMP dynamic", run_openmp_dynamic, &job->work),
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run(contestants, count);
    double in_order = in_order_share(job->terms, SKEWED_ITEMS, limits.workers);
    double least = least_share(job->terms, SKEWED_ITEMS, limits.workers), sequential = contestants[1].stats.median;
    judge(name, "makespan, items in order to free workers = 1", RATIO,
          multiple_of(&contestants[0], &contestants[1], in_order), AT_MOST, 1.08);
    print_beside(contestants, count, 1);
    printf("    items in order to free workers: %s; in the best order not less than %s\n",
           bench_seconds(sequential * in_order).text, bench_seconds(sequential * least).text);
    record(name, SKEWED_ITEMS, limits.workers, &contestants[0], &contestants[1]);
    pi_job_end(job);
}

/* One of the items is half of all work. */
static void limit_skewed_half(const char *name, size_t which) {
    struct pi_job job;
    long all = bbp_terms(limits.options->quick ? 1e-3 : 20e-3);
    for (size_t i = 0; i < SKEWED_ITEMS; i++) job.terms[i] = all / 2 / (SKEWED_ITEMS - 1);
    job.terms[which] = all / 2;
    limit_skewed(name, &job);
}

void limit_skewed_first(void) {
    limit_skewed_half("skewed-first", 0);
}

void limit_skewed_middle(void) {
    limit_skewed_half("skewed-middle", SKEWED_ITEMS / 2);
}

/* The last item of the first worker, if each is given as many neighbours: it would start when the others have finished
 * their own. */
void limit_skewed_region(void) {
    size_t region = limits.workers < SKEWED_ITEMS ? SKEWED_ITEMS / (size_t)limits.workers : 1;
    limit_skewed_half("skewed-region", region - 1);
}

void limit_skewed_last(void) {
    limit_skewed_half("skewed-last", SKEWED_ITEMS - 1);
}

/* Item i costs i. */
void limit_skewed_rising(void) {
    struct pi_job job;
    long step = bbp_terms(limits.options->quick ? 1e-3 : 20e-3) * 2 / (SKEWED_ITEMS * SKEWED_ITEMS);
    for (size_t i = 0; i < SKEWED_ITEMS; i++) job.terms[i] = step * (long)i;
    limit_skewed("skewed-rising", &job);
}

/* ---- Squares of more longs than a cache holds -------------------------------------------------------------------- */

static size_t many_longs(void) {
    return limits.options->quick ? 200000 : 20000000;
}

static struct workload square_workload(size_t count) {
    return (struct workload){.fn = square,
                             .in_size = sizeof(long),
                             .out_size = sizeof(long),
                             .count = count,
                             .loop = square_plain,
                             .right = square_right,
                             .workers = limits.workers};
}

/* OpenMP calls a function for each item, as a pool must. Beside it stands the loop that the compiler inlines, a bound
 * that no call can reach. */
void limit_squares(void) {
    size_t bytes = many_longs() * sizeof(long);
    long *in = bench_alloc(bytes);
    struct workload inlined = square_workload(many_longs()), called, arena;
    struct pool *pool = bench_pool(limits.workers);
    square_fill(in, inlined.count);
    inlined.in = in;
    inlined.out = bench_alloc(bytes);
    inlined.pool = pool;
    arena = called = inlined;
    called.loop = square_called;
    arena.in = memcpy(arena_alloc(pool, bytes), in, bytes);
    arena.out = arena_alloc(pool, bytes);
    struct bench_contestant contestants[] = {
        contestant("pool_map, arena", run_pool_map, &arena),
        contestant("pool_map, malloc'ed", run_pool_map, &inlined),
        contestant("sequential, a call an item", run_sequential, &called),
        contestant("sequential, inlined", run_sequential, &inlined),
#ifdef _OPENMP
        contestant("OpenMP static, a call an item", run_openmp_loop, &called),
        contestant("OpenMP static, inlined", run_openmp_loop, &inlined),
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run(contestants, count);
#ifdef _OPENMP
    judge("squares-arena", "speed, OpenMP static calling it = 1", RATIO,
          bench_speedup(&contestants[4], &contestants[0]), AT_LEAST, 0.95);
    judge("squares-arena-inlined", "speed, OpenMP static inlined = 1", RATIO,
          bench_speedup(&contestants[5], &contestants[0]), AT_LEAST, 0.95);
#endif
    judge("squares-malloc", "speed, sequential calling it = 1", RATIO, bench_speedup(&contestants[2], &contestants[1]),
          AT_LEAST, 0.6);
    judge("squares-malloc-inlined", "speed, sequential inlined = 1", RATIO,
          bench_speedup(&contestants[3], &contestants[1]), AT_LEAST, 0.6);
    print_beside(contestants, count, 1);
    record("squares", inlined.count, limits.workers, &contestants[0], &contestants[3]);
    record("squares", inlined.count, limits.workers, &contestants[1], &contestants[3]);
    free(inlined.out);
    free(in);
    pool_destroy(pool);
}

/* The same on memory that no worker has touched, and of which the caller has written only the input. The time includes
 * the allocation of the results, which may allocate their pages. */
struct first_touch {
    struct workload work;
    void (*run)(void *context);
    bool is_shared; /* in memory that processes can share, whose pages cost the kernel more: the floor of a pool */
};

static void *fresh_memory(size_t bytes, bool is_shared) {
    int flags = MAP_ANONYMOUS | (is_shared ? MAP_SHARED : MAP_PRIVATE);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) bench_fail("no memory");
    return memory;
}

static double first_touch_pool(const struct bench_contestant *contestant) {
    struct workload work = ((const struct first_touch *)contestant->context)->work;
    size_t bytes = work.count * sizeof(long);
    struct pool *pool = work.pool = bench_pool(work.workers);
    void *in = arena_alloc(pool, bytes);
    square_fill(in, work.count);
    work.in = in;
    struct workload few = {.fn = empty, .count = 64, .pool = pool};
    for (int i = 0; i < 3; i++) run_pool_map(&few); /* so that the workers have started */
    double start = bench_now();
    work.out = arena_alloc(pool, bytes);
    run_pool_map(&work);
    double seconds = bench_now() - start;
    if (!square_right(work.out, 0, work.count)) bench_fail("pool_map, first touch: its result is wrong");
    pool_destroy(pool);
    return seconds;
}

static double first_touch_alone(const struct bench_contestant *contestant) {
    const struct first_touch *touch = contestant->context;
    struct workload work = touch->work;
    size_t bytes = work.count * sizeof(long);
    void *in = fresh_memory(bytes, touch->is_shared);
    square_fill(in, work.count);
    work.in = in;
    double start = bench_now();
    work.out = fresh_memory(bytes, touch->is_shared);
    touch->run(&work);
    double seconds = bench_now() - start;
    if (!square_right(work.out, 0, work.count)) bench_fail("first touch: a result is wrong");
    munmap(in, bytes);
    munmap(work.out, bytes);
    return seconds;
}

void limit_squares_first(void) {
    struct first_touch inlined = {square_workload(many_longs()), run_sequential, false};
    struct first_touch called = inlined;
    called.work.loop = square_called;
    struct bench_contestant contestants[] = {
        {.name = "pool_map, arena", .context = &inlined, .measure = first_touch_pool},
        {.name = "sequential, a call an item", .context = &called, .measure = first_touch_alone},
        {.name = "sequential, inlined", .context = &inlined, .measure = first_touch_alone},
#ifdef _OPENMP
        {.name = "OpenMP static, a call an item",
         .context = &(struct first_touch){called.work, run_openmp_loop, false},
         .measure = first_touch_alone},
        {.name = "OpenMP static, inlined",
         .context = &(struct first_touch){inlined.work, run_openmp_loop, false},
         .measure = first_touch_alone},
        {.name = "OpenMP static, a call an item, shared memory",
         .context = &(struct first_touch){called.work, run_openmp_loop, true},
         .measure = first_touch_alone},
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run_rounds(contestants, count, limits.options->quick ? 2 : 7);
#ifdef _OPENMP
    judge("squares-first", "speed, OpenMP static calling it = 1", RATIO,
          bench_speedup(&contestants[3], &contestants[0]), AT_LEAST, 0.6);
    judge("squares-first-inlined", "speed, OpenMP static inlined = 1", RATIO,
          bench_speedup(&contestants[4], &contestants[0]), AT_LEAST, 0.6);
#endif
    print_beside(contestants, count, 1);
    record("squares-first", inlined.work.count, limits.workers, &contestants[0], &contestants[2]);
}

/* ---- Trivial items ----------------------------------------------------------------------------------------------- */

void limit_items(void) {
    size_t items = limits.options->quick ? 20000 : 1000000;
    struct pool *pool = bench_pool(limits.workers);
    void *in = arena_alloc(pool, items * sizeof(long));
    square_fill(in, items);
    struct workload work = square_workload(items), single, called;
    work.in = in;
    work.out = arena_alloc(pool, items * sizeof(long));
    work.pool = pool;
    single = called = work;
    single.chunk = 1;
    called.loop = square_called;
    struct bench_contestant contestants[] = {
        contestant("pool_map, arena", run_pool_map, &work),
        contestant("pool_map, arena, chunk 1", run_pool_map, &single),
        contestant("sequential, a call an item", run_sequential, &called),
#ifdef _OPENMP
        contestant("OpenMP static, a call an item", run_openmp_loop, &called),
        contestant("OpenMP dynamic", run_openmp_dynamic, &work),
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run(contestants, count);
    judge("items", "items a second, arena", RATE, rate_of(&contestants[0], (double)items), AT_LEAST, 100e6);
    judge("items-chunk1", "items a second, chunk 1", RATE, rate_of(&contestants[1], (double)items), AT_LEAST, 20e6);
    print_beside(contestants, count, (double)items);
    record("items", items, limits.workers, &contestants[0], &contestants[2]);
    record("items", items, limits.workers, &contestants[1], &contestants[2]);
    pool_destroy(pool);
}

/* ---- The mean of a random matrix --------------------------------------------------------------------------------- */

void limit_random_mean(void) {
    size_t chunks = limits.options->quick ? 4 : 100;
    uint64_t seeds[100];
    double out[100], expected[100];
    for (size_t i = 0; i < chunks; i++) seeds[i] = i;
    struct workload work = {.fn = random_chunk,
                            .in = seeds,
                            .in_size = sizeof *seeds,
                            .out = out,
                            .out_size = sizeof *out,
                            .count = chunks,
                            .expected = expected,
                            .workers = limits.workers};
    run_sequential(&work);
    memcpy(expected, out, chunks * sizeof *out);
    work.pool = bench_pool(limits.workers);
    struct bench_contestant contestants[] = {
        contestant("pool_map", run_pool_map, &work),
        contestant("sequential", run_sequential, &work),
#ifdef _OPENMP
        contestant("OpenMP dynamic", run_openmp_dynamic, &work),
#endif
    };
    size_t count = sizeof contestants / sizeof *contestants;
    bench_run(contestants, count);
    judge("random-mean", "mean of a 10000 x 10000 matrix", SECONDS, contestants[0].stats, AT_MOST, 0.12);
    print_beside(contestants, count, 1);
    record("random-mean", chunks, limits.workers, &contestants[0], &contestants[1]);
    pool_destroy(work.pool);
}
