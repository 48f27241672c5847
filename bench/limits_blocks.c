#include "limits_blocks.h"
#include "contestants.h"
#include "judge.h"
#include "kernels.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Loops over arrays ------------------------------------------------------------------------------------------- */

/* A loop once more as a function for an item and as one for a block. */
struct loop {
    pool_fn *fn;
    pool_block_fn *block;
    void (*loop)(const void *in, void *out, size_t count); /* which OpenMP's threads run, each over its own part */
    size_t size, count;                                    /* bytes of an argument and of a result; items */
    void (*fill)(void *in, size_t count);
    bool (*right)(const void *out, size_t first, size_t count);
};

static size_t many(size_t count) {
    return limits.options->quick ? count / 100 : count;
}

enum { BLOCKS, BLOCKS_TIMED, ITEMS, ITEMS_TIMED, OPENMP, LOOPS };

/* All contestants work on the same pages, in the arena. Compares them; the first row that is judged says how fast
 * blocks are beside OpenMP, the second what a time-out costs them. */
static void compare_loops(const struct loop *loop, struct bench_contestant contestants[LOOPS], const char *name,
                          const char *timed_name) {
    struct pool *pool = bench_pool(limits.workers);
    void *in = arena_alloc(pool, loop->size * loop->count), *out = arena_alloc(pool, loop->size * loop->count);
    loop->fill(in, loop->count);
    struct workload items = {.fn = loop->fn, .in = in, .in_size = loop->size, .out = out, .out_size = loop->size,
                             .count = loop->count, .loop = loop->loop, .right = loop->right,
                             .workers = limits.workers, .pool = pool};
    struct workload items_timed = items, blocks = items, blocks_timed;
    items_timed.timeout = 1000;
    blocks.block = loop->block;
    blocks_timed = blocks;
    blocks_timed.timeout = 1000;
    contestants[BLOCKS] = contestant("blocks", run_pool_map, &blocks);
    contestants[BLOCKS_TIMED] = contestant("blocks, time-out 1 s", run_pool_map, &blocks_timed);
    contestants[ITEMS] = contestant("items", run_pool_map, &items);
    contestants[ITEMS_TIMED] = contestant("items, time-out 1 s", run_pool_map, &items_timed);
    size_t count = OPENMP;
#ifdef _OPENMP
    contestants[OPENMP] = contestant("OpenMP static simd, inlined", run_openmp_loop, &items);
    count = LOOPS;
#endif
    bench_run(contestants, count);
#ifdef _OPENMP
    judge(name, "speed, OpenMP static simd inlined = 1", RATIO,
          bench_speedup(&contestants[OPENMP], &contestants[BLOCKS]), AT_LEAST, 0.95);
    record(name, loop->count, limits.workers, &contestants[BLOCKS], &contestants[OPENMP]);
#endif
    judge(timed_name, "speed with a time-out, without = 1", RATIO,
          bench_speedup(&contestants[BLOCKS], &contestants[BLOCKS_TIMED]), AT_LEAST, 0.95);
    print_beside(contestants, count, 1);
    pool_destroy(pool);
}

static void squares_loop(const void *in, void *out, size_t count) {
    const long *restrict x = in;
    long *restrict y = out;
    for (size_t i = 0; i < count; i++) y[i] = x[i] * x[i];
}

static int squares_block(const void *in, void *out, size_t count) {
    squares_loop(in, out, count);
    return 0;
}

void limit_blocks_squares(void) {
    struct loop squares = {square, squares_block, squares_loop, sizeof(long), many(20000000), square_fill,
                           square_right};
    struct bench_contestant contestants[LOOPS];
    compare_loops(&squares, contestants, "blocks-squares", "blocks-squares-timeout");
    judge("items-timeout", "speed with a time-out, without = 1", RATIO,
          bench_speedup(&contestants[ITEMS], &contestants[ITEMS_TIMED]), AT_LEAST, 0.8);
}

/* z = a x + y. y is made before the pool. */
static const float *saxpy_x, *saxpy_y;
static const float saxpy_a = 2.5f;

static void saxpy_loop(const void *in, void *out, size_t count) {
    const float *restrict x = in, *restrict y = saxpy_y + ((const float *)in - saxpy_x);
    float *restrict z = out;
    for (size_t i = 0; i < count; i++) z[i] = saxpy_a * x[i] + y[i];
}

static int saxpy_block(const void *in, void *out, size_t count) {
    const float *restrict x = in, *restrict y = saxpy_y + task_index();
    float *restrict z = out;
    for (size_t i = 0; i < count; i++) z[i] = saxpy_a * x[i] + y[i];
    return 0;
}

static int saxpy_item(const void *in, void *out) {
    *(float *)out = saxpy_a * *(const float *)in + saxpy_y[task_index()];
    return 0;
}

static void saxpy_fill(void *in, size_t count) {
    float *x = in;
    for (size_t i = 0; i < count; i++) x[i] = (float)(i & 1023);
    saxpy_x = x;
}

static bool saxpy_right(const void *out, size_t first, size_t count) {
    const float *z = out;
    for (size_t i = first; i < first + count; i++)
        if (z[i] != saxpy_a * (float)(i & 1023) + (float)(i & 511)) return false;
    return true;
}

void limit_blocks_saxpy(void) {
    struct loop saxpy = {saxpy_item, saxpy_block, saxpy_loop, sizeof(float), many(20000000), saxpy_fill, saxpy_right};
    float *y = shared_alloc(saxpy.count * sizeof *y);
    for (size_t i = 0; i < saxpy.count; i++) y[i] = (float)(i & 511);
    saxpy_y = y;
    struct bench_contestant contestants[LOOPS];
    compare_loops(&saxpy, contestants, "blocks-saxpy", "blocks-saxpy-timeout");
}

static void upper_loop(const void *in, void *out, size_t count) {
    const unsigned char *restrict x = in;
    unsigned char *restrict y = out;
    for (size_t i = 0; i < count; i++) y[i] = (unsigned char)((unsigned char)(x[i] - 'a') < 26 ? x[i] - 32 : x[i]);
}

static int upper_block(const void *in, void *out, size_t count) {
    upper_loop(in, out, count);
    return 0;
}

static int upper_item(const void *in, void *out) {
    upper_loop(in, out, 1);
    return 0;
}

static void upper_fill(void *in, size_t count) {
    unsigned char *x = in;
    for (size_t i = 0; i < count; i++) x[i] = (unsigned char)(i * 7);
}

static bool upper_right(const void *out, size_t first, size_t count) {
    const unsigned char *y = out;
    for (size_t i = first; i < first + count; i++) {
        unsigned char x = (unsigned char)(i * 7);
        if (y[i] != (x >= 'a' && x <= 'z' ? x - 32 : x)) return false;
    }
    return true;
}

void limit_blocks_toupper(void) {
    struct loop upper = {upper_item, upper_block, upper_loop, 1, many(200000000), upper_fill, upper_right};
    struct bench_contestant contestants[LOOPS];
    compare_loops(&upper, contestants, "blocks-toupper", "blocks-toupper-timeout");
}

/* ---- A sum ------------------------------------------------------------------------------------------------------- */

/* In lanes, which a compiler may add side by side: it may not change the order of a sum by itself. */
static double sum_of(const float *x, size_t count) {
    enum { LANES = 16 };
    double lanes[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t k = 0; k < LANES; k++) lanes[k] += (double)x[i + k];
    for (size_t k = 0; k < LANES; k++) sum += lanes[k];
    for (; i < count; i++) sum += (double)x[i];
    return sum;
}

static int sum_item(const void *in, void *out) {
    *(double *)out = (double)*(const float *)in;
    return 0;
}

static int sum_block(const void *in, size_t count, void *part) {
    *(double *)part = sum_of(in, count);
    return 0;
}

static int add(void *result, const void *right) {
    *(double *)result += *(const double *)right;
    return 0;
}

static void run_reduce(void *context) {
    struct workload *work = context;
    bench_must(pool_reduce(work->pool, &(struct pool_reduction){.fn = work->block ? NULL : work->fn,
                                                                .block = work->block ? sum_block : NULL,
                                                                .combine = add, .in = work->in,
                                                                .in_size = work->in_size, .count = work->probe,
                                                                .out = work->out, .out_size = work->out_size,
                                                                .timeout = work->timeout}),
               "pool_reduce");
}

#ifdef _OPENMP
static void run_openmp_sum(void *context) {
    struct workload *work = context;
    const float *x = work->in;
    size_t count = work->probe, threads = (size_t)work->workers;
    double sum = 0;
#pragma omp parallel for schedule(static) num_threads(work->workers) reduction(+ : sum)
    for (size_t t = 0; t < threads; t++) {
        size_t from = count * t / threads, to = count * (t + 1) / threads;
        sum += sum_of(x + from, to - from);
    }
    *(double *)work->out = sum;
}
#endif

/* The result is one item; `probe` has the number of those that are added up. */
static struct bench_contestant sum_contestant(const char *name, void (*run)(void *context), struct workload *work) {
    struct bench_contestant sum = contestant(name, run, work);
    sum.spoil_item = NULL;
    sum.item_right = NULL;
    return sum;
}

void limit_blocks_sum(void) {
    struct pool *pool = bench_pool(limits.workers);
    size_t count = many(20000000);
    float *x = arena_alloc(pool, count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = (float)(i & 1023);
    double out, expected = sum_of(x, count);
    struct workload items = {.fn = sum_item, .in = x, .in_size = sizeof *x, .out = &out, .out_size = sizeof out,
                             .count = 1, .probe = count, .expected = &expected, .workers = limits.workers,
                             .pool = pool};
    struct workload blocks = items, timed;
    blocks.block = squares_block; /* not NULL: run_reduce() takes its own */
    timed = blocks;
    timed.timeout = 1000;
    struct bench_contestant contestants[] = {
        sum_contestant("pool_reduce, blocks", run_reduce, &blocks),
        sum_contestant("pool_reduce, blocks, time-out 1 s", run_reduce, &timed),
        sum_contestant("pool_reduce, items", run_reduce, &items),
#ifdef _OPENMP
        sum_contestant("OpenMP static simd, inlined", run_openmp_sum, &items),
#endif
    };
    bench_run(contestants, sizeof contestants / sizeof *contestants);
#ifdef _OPENMP
    judge("blocks-sum", "speed, OpenMP static simd inlined = 1", RATIO,
          bench_speedup(&contestants[3], &contestants[0]), AT_LEAST, 0.95);
    record("blocks-sum", count, limits.workers, &contestants[0], &contestants[3]);
#endif
    judge("blocks-sum-timeout", "speed with a time-out, without = 1", RATIO,
          bench_speedup(&contestants[0], &contestants[1]), AT_LEAST, 0.95);
    print_beside(contestants, sizeof contestants / sizeof *contestants, 1);
    pool_destroy(pool);
}

/* ---- Culprits ---------------------------------------------------------------------------------------------------- */

/* Squares; -1 crashes, -2 hangs. */
static int culprit_item(const void *in, void *out) {
    long x = *(const long *)in;
    if (x == -1) raise(SIGKILL);
    while (x == -2) pause();
    *(long *)out = x * x;
    return 0;
}

static int culprit_block(const void *in, void *out, size_t count) {
    const long *restrict x = in;
    long *restrict y = out, signs = 0;
    for (size_t i = 0; i < count; i++) {
        y[i] = x[i] * x[i];
        signs |= x[i];
    }
    for (size_t i = 0; signs < 0 && i < count; i++) culprit_item(&x[i], &y[i]);
    return 0;
}

struct culprits {
    struct workload work;
    int *status;
};

/* The status of each item must tell exactly of those that are to blame. */
static void run_culprits(void *context) {
    struct culprits *culprits = context;
    struct workload *work = &culprits->work;
    pool_map(work->pool, &(struct pool_job){.fn = work->block ? NULL : work->fn, .block = work->block, .in = work->in,
                                            .in_size = work->in_size, .out = work->out, .out_size = work->out_size,
                                            .count = work->count, .timeout = work->timeout,
                                            .status = culprits->status});
}

static bool culprits_found(void *context) {
    const struct culprits *culprits = context;
    const long *in = culprits->work.in, *out = culprits->work.out;
    int reason = culprits->work.timeout ? POOL_EDEADLINE : POOL_EDIED;
    for (size_t i = 0; i < culprits->work.count; i++)
        if (culprits->status[i] != (in[i] < 0 ? reason : 0) || (in[i] >= 0 && out[i] != in[i] * in[i])) return false;
    return true;
}

static void limit_culprits(const char *name, size_t count, size_t bad, long kind, int timeout, double most) {
    struct pool *pool = bench_pool(limits.workers);
    long *in = arena_alloc(pool, count * sizeof *in), *out = arena_alloc(pool, count * sizeof *out);
    square_fill(in, count);
    if (bad > count / 3) bad = count / 3;
    for (size_t i = 0; i < bad; i++) in[count / 3 + i] = kind;
    struct culprits items = {.work = {.fn = culprit_item, .in = in, .in_size = sizeof *in, .out = out,
                                      .out_size = sizeof *out, .count = count, .pool = pool, .timeout = timeout},
                             .status = bench_alloc(count * sizeof(int))};
    struct culprits blocks = items;
    blocks.work.block = culprit_block;
    struct bench_contestant contestants[] = {
        {.name = "blocks", .context = &blocks, .run = run_culprits, .check = culprits_found},
        {.name = "items", .context = &items, .run = run_culprits, .check = culprits_found},
    };
    bench_run(contestants, 2);
    judge(name, "time of the map", SECONDS, contestants[0].stats, AT_MOST, most);
    print_beside(contestants, 2, 1);
    record(name, count, limits.workers, &contestants[0], &contestants[1]);
    free(items.status);
    pool_destroy(pool);
}

void limit_blocks_crash(void) {
    limit_culprits("blocks-crash", 65536, 1, -1, 0, 1.5e-3);
}

void limit_blocks_crashes(void) {
    limit_culprits("blocks-crashes", many(20000000), limits.options->quick ? 10 : 1000, -1, 0, 300e-3);
}

void limit_blocks_hang(void) {
    limit_culprits("blocks-hang", 65536, 1, -2, 100, 210e-3);
}
