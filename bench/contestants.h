/* contestants: the ways to compute a workload that the benchmarks compare; children.h has those that fork processes
 * themselves.
 *
 * Each run_… computes all of a workload once and is timed by bench_run(); a pool or threads that it needs are made
 * before and lie in the workload. All but the workload's own loop call the function through a pointer, as programs must
 * that do not know it at compile time. */
#ifndef PARPOOL_BENCH_CONTESTANTS_H
#define PARPOOL_BENCH_CONTESTANTS_H

#include "workload.h"

/* The workload's loop, or else a call for each item, one after another. */
void run_sequential(void *workload);

void run_pool_map(void *workload);

/* One task and one future for each item. */
void run_pool_submit(void *workload);

void run_thread_pool(void *workload);

#ifdef _OPENMP
void run_openmp_static(void *workload);
void run_openmp_dynamic(void *workload);
void run_openmp_guided(void *workload);

/* The workload's own loop, into which its function may be inlined, in each thread over its share, as under
 * schedule(static). */
void run_openmp_loop(void *workload);

/* One thread makes the tasks, as a caller of pool_submit() would. */
void run_openmp_task(void *workload);
#endif

#endif
