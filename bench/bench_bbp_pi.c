/* bench_bbp_pi: pure computing in 16 tasks, of some dozen nanoseconds to some milliseconds each: it shows from which
 * size on pool_map and pool_submit pay. */
#include "bench.h"
#include "contestants.h"
#include "kernels.h"

#include <stdio.h>

enum { TASKS = 16 };

static void report(const struct workload *work, long terms, const struct bench_contestant *sequential,
                   const struct bench_contestant *other) {
    struct bench_stats speedup = bench_speedup(sequential, other);
    double sequential_task = sequential->stats.median / TASKS;
    printf("%10ld %8d  %-12s %9s %9s %9s  [%9s %9s] %9.3g %9s\n", terms, work->workers, other->name,
           bench_seconds(sequential_task).text, bench_seconds(sequential->stats.median).text,
           bench_seconds(other->stats.median).text, bench_seconds(other->stats.q1).text,
           bench_seconds(other->stats.q3).text, speedup.median, bench_seconds(other->stats.median / TASKS).text);
    bench_record(&(struct bench_measurement){"bbp_pi", other->name, (size_t)terms, work->workers, other->stats.median,
                                             sequential->stats.median, speedup.median, sequential_task,
                                             "sequential time of a task"});
}

static void measure(struct pool *pool, int workers, long terms) {
    long in[TASKS];
    double out[TASKS], expected[TASKS];
    for (int i = 0; i < TASKS; i++) in[i] = terms;
    struct workload work = bbp_workload(in, out, expected, TASKS, workers);
    work.pool = pool;
    struct bench_contestant contestants[] = {
        contestant("sequential", run_sequential, &work),
        contestant("pool_map", run_pool_map, &work),
        contestant("pool_submit", run_pool_submit, &work),
    };
    workload_prepare_submits(&work);
    bench_run(contestants, 3);
    report(&work, terms, &contestants[0], &contestants[1]);
    report(&work, terms, &contestants[0], &contestants[2]);
    workload_free_submits(&work);
}

int main(int argc, char **argv) {
    static const struct bench_program program = {
        .about = "16 tasks, each pi by the formula of Bailey, Borwein and Plouffe: by a loop, pool_map and\n"
                 "pool_submit, from 1 term a task to 1000000.",
        .has_plot = true};
    const struct bench_options *options = bench_begin(argc, argv, &program);
    int counts[] = {1, 2, 4};
    printf("%10s %8s  %-12s %9s %9s %9s  %-21s %9s %9s\n", "terms", "workers", "how", "seq. task", "sequential", "pool",
           "[quartiles]", "speed-up", "a task");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (options->workers && i > 0) break;
        int workers = options->workers ? options->workers : counts[i];
        struct pool *pool = bench_pool(workers);
        for (long terms = 1; terms <= (options->quick ? 10000 : 1000000); terms *= 10) measure(pool, workers, terms);
        pool_destroy(pool);
    }
    return bench_end();
}
