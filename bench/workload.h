/* workload: the work of a benchmark: one function over an array of items.
 *
 * A program fills in the function, the arrays and their sizes, and makes the pool, threads or processes that its
 * contestants need. contestant() makes a contestant of a workload and a way to compute it. Functions that a contestant
 * calls for each item, within the measured time, are inline. */
#ifndef PARPOOL_BENCH_WORKLOAD_H
#define PARPOOL_BENCH_WORKLOAD_H

#include "bench.h"

#include <parpool.h>
#include <stdatomic.h>

struct workload {
    pool_fn *fn;
    const void *in; /* NULL: none, and in_size 0 */
    size_t in_size;
    void *out; /* NULL: none, and out_size 0 */
    size_t out_size;
    size_t count;
    void (*loop)(const void *in, void *out, size_t count); /* over items, with or without a call for each; or NULL */
    const void *expected; /* the right results; NULL: right() or calls tell */
    bool (*right)(const void *out, size_t first, size_t count); /* whether these items of out are right; or NULL */
    size_t probe;                                               /* the item that was spoilt before this run */
    atomic_size_t *calls; /* for a function without results: the count of its calls in all processes; or NULL */

    /* For the contestants; a member may be missing if its contestant does not take part. */
    int workers;
    struct pool *pool;
    size_t chunk;            /* for pool_map, and these: */
    pool_block_fn *block;    /* instead of fn; or NULL */
    int timeout;             /* ms; 0: none */
    size_t window;           /* futures in flight at most; 0: all */
    struct future **futures; /* count of them */
    struct thread_pool *threads;
    struct thread_task *tasks;        /* count of them */
    struct pipe_worker *pipe_workers; /* one for each worker */
    unsigned char *shared;            /* room for all results, where children can write */

    /* Sum and number of all runs, where only a median of them is reported. */
    double seconds;
    size_t runs;
};

static inline const void *workload_in(const struct workload *work, size_t item) {
    return work->in ? (const unsigned char *)work->in + item * work->in_size : NULL;
}

static inline void *workload_out(const struct workload *work, size_t item) {
    return work->out ? (unsigned char *)work->out + item * work->out_size : NULL;
}

/* The members that a loop over a workload needs: a copy, which stays in registers whatever the function writes. */
struct items {
    pool_fn *fn;
    const unsigned char *in;
    size_t in_size;
    unsigned char *out;
    size_t out_size;
};

static inline struct items workload_items(const struct workload *work) {
    return (struct items){work->fn, work->in, work->in_size, work->out, work->out_size};
}

static inline void item_run(struct items items, size_t item) {
    (void)items.fn(items.in ? items.in + item * items.in_size : NULL,
                   items.out ? items.out + item * items.out_size : NULL);
}

/* Ends the program if `error`, a code of the library, is not 0. */
void bench_must(int error, const char *what);

/* A contestant that computes a workload: its results are spoilt before each turn, an item before each run, and then
 * checked. */
struct bench_contestant contestant(const char *name, void (*run)(void *context), struct workload *work);

/* Spoils all results of the workload `context`, or sets its calls back to 0, as before each turn. */
void workload_spoil(void *context);

/* ---- Making and ending: a failure ends the program --------------------------------------------------------------- */

void *bench_alloc(size_t size);

/* Memory that forked children share with their parent. */
void *shared_alloc(size_t size);

struct pool *bench_pool(int workers);

void *arena_alloc(struct pool *pool, size_t size);

/* Allocates and frees a future and a thread's task for each item. */
void workload_prepare_submits(struct workload *work);
void workload_free_submits(struct workload *work);

#endif
