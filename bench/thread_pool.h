/* thread_pool: a rival: the pool of threads that a C programmer writes in an afternoon.
 *
 * It has one queue, one mutex, one condition variable for the workers and one for waiters. The caller owns the tasks,
 * so nothing is allocated. It uses the usual tricks: workers are signalled only if one waits, and waiters only for
 * tasks that are waited for, both after the unlock, so that a woken thread finds the lock free; a worker ends a task
 * without a waiter and takes the next under one lock. */
#ifndef PARPOOL_BENCH_THREAD_POOL_H
#define PARPOOL_BENCH_THREAD_POOL_H

#include "bench.h"

#include <parpool.h>

struct thread_task {
    pool_fn *fn;
    const void *in;
    void *out;
    bool done, wanted;        /* under the pool's lock; wanted: a thread waits for it */
    struct thread_task *next; /* under the pool's lock */
};

struct thread_pool *thread_pool_create(int count);
void thread_pool_destroy(struct thread_pool *pool); /* NULL: does nothing */

/* The caller keeps the task's memory until thread_pool_wait() has returned. */
void thread_pool_submit(struct thread_pool *pool, struct thread_task *task);
void thread_pool_wait(struct thread_pool *pool, struct thread_task *task);

#endif
