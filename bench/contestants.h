/* contestants: the ways to compute a workload that the benchmarks put beside each other; children.h has those that are
 * forked processes.
 *
 * Each run_… computes all of a workload once, and is what bench_run() times; what it needs (a pool, threads) is made
 * before and lies in the workload. All but the workload's own loop call the function through a pointer, as they must
 * where the function is not known in advance. */
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

/* The workload's own loop, in each thread over its share, as under schedule(static): its function may be inlined. */
void run_openmp_loop(void *workload);

/* One thread makes the tasks, as a caller of pool_submit() would. */
void run_openmp_task(void *workload);
#endif

#endif
