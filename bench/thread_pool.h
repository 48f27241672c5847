/* thread_pool: the rival: the pool of threads that a C programmer writes in an afternoon.
 *
 * One queue, one mutex, one condition variable for the workers and one for whoever waits. Tasks are the submitter's, so
 * nothing is allocated. No trick is left out that is plain at this level: workers are signalled only when one waits,
 * waiters only for the task that they wait for, both after the unlock, so that whoever wakes finds the lock free; and a
 * worker ends a task that nobody waits for and takes the next under one lock. */
#ifndef PARPOOL_BENCH_THREAD_POOL_H
#define PARPOOL_BENCH_THREAD_POOL_H

#include "bench.h"

#include <parpool.h>

struct thread_task {
    pool_fn *fn;
    const void *in;
    void *out;
    bool done, wanted;        /* under the pool's lock; wanted: somebody waits for it */
    struct thread_task *next; /* the same */
};

struct thread_pool *thread_pool_create(int count);
void thread_pool_destroy(struct thread_pool *pool); /* NULL: nothing */

/* The task stays the caller's memory, until it has waited for it. */
void thread_pool_submit(struct thread_pool *pool, struct thread_task *task);
void thread_pool_wait(struct thread_pool *pool, struct thread_task *task);

#endif
