#include "contestants.h"
#include "thread_pool.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- One after another ------------------------------------------------------------------------------------------- */

void run_sequential(void *context) {
    struct workload *work = context;
    if (work->loop) {
        work->loop(work->in, work->out, work->count);
        return;
    }
    struct items items = workload_items(work);
    size_t count = work->count;
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

/* ---- This library ------------------------------------------------------------------------------------------------ */

void run_pool_map(void *context) {
    struct workload *work = context;
    bench_must(pool_map(work->pool, &(struct pool_job){.fn = work->block ? NULL : work->fn,
                                                       .block = work->block,
                                                       .timeout = work->timeout,
                                                       .in = work->in,
                                                       .in_size = work->in_size,
                                                       .out = work->out,
                                                       .out_size = work->out_size,
                                                       .count = work->count,
                                                       .chunk = work->chunk}),
               "pool_map");
}

static void workload_collect(struct workload *work, size_t item) {
    bench_must(future_get(work->futures[item], workload_out(work, item), -1), "future_get");
    future_free(work->futures[item]);
}

void run_pool_submit(void *context) {
    struct workload *work = context;
    size_t window = work->window ? work->window : work->count;
    for (size_t i = 0; i < work->count; i++) {
        if (i >= window) workload_collect(work, i - window);
        bench_must(pool_submit(work->pool,
                               &(struct pool_task){.fn = work->fn,
                                                   .in = workload_in(work, i),
                                                   .in_size = work->in_size,
                                                   .out_size = work->out_size},
                               &work->futures[i]),
                   "pool_submit");
    }
    for (size_t i = work->count > window ? work->count - window : 0; i < work->count; i++) workload_collect(work, i);
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

void run_thread_pool(void *context) {
    struct workload *work = context;
    for (size_t i = 0; i < work->count; i++) {
        struct thread_task *task = &work->tasks[i];
        task->fn = work->fn;
        task->in = workload_in(work, i);
        task->out = workload_out(work, i);
        thread_pool_submit(work->threads, task);
    }
    for (size_t i = 0; i < work->count; i++) thread_pool_wait(work->threads, &work->tasks[i]);
}

#ifdef _OPENMP
void run_openmp_static(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel for schedule(static) num_threads(work->workers) firstprivate(items)
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

void run_openmp_dynamic(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel for schedule(dynamic) num_threads(work->workers) firstprivate(items)
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

void run_openmp_guided(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel for schedule(guided) num_threads(work->workers) firstprivate(items)
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

void run_openmp_loop(void *context) {
    struct workload *work = context;
#pragma omp parallel num_threads(work->workers)
    {
        size_t threads = (size_t)omp_get_num_threads(), own = (size_t)omp_get_thread_num();
        size_t from = work->count * own / threads, to = work->count * (own + 1) / threads;
        work->loop(workload_in(work, from), workload_out(work, from), to - from);
    }
}

void run_openmp_task(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel num_threads(work->workers) firstprivate(items)
#pragma omp single
    {
        for (size_t i = 0; i < count; i++) {
#pragma omp task firstprivate(i, items)
            item_run(items, i);
        }
#pragma omp taskwait
    }
}
#endif
