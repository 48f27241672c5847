/* bench_square: the cost of handing out trivial work: squares of longs, by pool_map and by pool_submit.
 *
 * The sequential program is the plain loop, so pool_map can win only where memory is the limit, and pool_submit shows
 * its cost for a task. */
#include "bench.h"
#include "contestants.h"
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SUBMITTED = 1000000 };

static void report(const struct workload *work, const struct bench_contestant *sequential,
                   const struct bench_contestant *other) {
    struct bench_stats speedup = bench_speedup(sequential, other);
    printf("%10zu %8d  %-18s %9s %9s  [%9s %9s] %9.3g %9s\n", work->count, work->workers, other->name,
           bench_seconds(sequential->stats.median).text, bench_seconds(other->stats.median).text,
           bench_seconds(other->stats.q1).text, bench_seconds(other->stats.q3).text, speedup.median,
           bench_seconds(other->stats.median / (double)work->count).text);
    bench_record(&(struct bench_measurement){"square", other->name, work->count, work->workers, other->stats.median,
                                             sequential->stats.median, speedup.median, (double)work->count, "items"});
}

static void measure(size_t count, int workers) {
    size_t bytes = count * sizeof(long);
    struct pool *pool = bench_pool(workers);
    struct workload own = {.fn = square, .in_size = sizeof(long), .out_size = sizeof(long), .count = count};
    long *in = bench_alloc(bytes), *out = bench_alloc(bytes), *expected = bench_alloc(bytes);
    own.workers = workers;
    own.pool = pool;
    square_fill(in, count);
    square_plain(in, expected, count);
    own.in = in;
    own.out = out;
    own.loop = square_plain;
    own.expected = expected;
    struct workload arena = own;
    arena.in = memcpy(arena_alloc(pool, bytes), in, bytes);
    arena.out = arena_alloc(pool, bytes);

    struct bench_contestant contestants[] = {
        contestant("sequential", run_sequential, &own),
        contestant("pool_map", run_pool_map, &own),
        contestant("pool_map, arena", run_pool_map, &arena),
        contestant("pool_submit", run_pool_submit, &own),
    };
    size_t taking_part = count <= MOST_SUBMITTED ? 4 : 3;
    workload_prepare_submits(&own);
    bench_run(contestants, taking_part);
    for (size_t i = 1; i < taking_part; i++) report(&own, &contestants[0], &contestants[i]);
    workload_free_submits(&own);
    pool_destroy(pool);
    free(in);
    free(out);
    free(expected);
}

int main(int argc, char **argv) {
    static const struct bench_program program = {
        .about = "Squares of longs: the plain loop beside pool_map, on arrays from malloc() and in the arena, and "
                 "pool_submit.",
        .has_plot = true};
    const struct bench_options *options = bench_begin(argc, argv, &program);
    int counts[] = {1, 2, 4};
    size_t largest = options->quick ? 10000 : 10000000;
    printf("%10s %8s  %-18s %9s %9s  %-21s %9s %9s\n", "items", "workers", "how", "sequential", "pool", "[quartiles]",
           "speed-up", "a task");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (options->workers && i > 0) break;
        for (size_t count = 1000; count <= largest; count *= 10) {
            measure(count, options->workers ? options->workers : counts[i]);
        }
    }
    return bench_end();
}
