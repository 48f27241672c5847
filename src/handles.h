/* Futures as memory: given to who submits, taken back when they are freed; and who keeps the pool's own.
 *
 * A program may have futures when the pool has ended. So the struct pool goes with the last handle: the futures that were
 * given and not taken back, the pool itself until pool_destroy(), and calls that a callback might outlive.
 *
 * Invariant: pool->handles counts them, under the lock; a future on the free list has no pool.
 * Called by: submit and map (new); whoever is done with a future, or with a call that was a handle. */
#ifndef PP_HANDLES_H
#define PP_HANDLES_H

#include "pool.h"

/* More on the free list. False: no memory. */
bool pp_futures_add(struct pool *pool);

/* The next call will write all of its lines. bench_limits, "submit" */
static inline void pp_future_prefetch(const struct future *future) {
    for (size_t offset = 0; offset < sizeof *future; offset += PP_LINE) pp_prefetch_write((const char *)future + offset);
}

/* A future that is one handle more; NULL: no memory. */
static inline struct future *pp_future_new(struct pool *pool) {
    if (!pool->free_futures && !pp_futures_add(pool)) return NULL;
    struct future *future = pool->free_futures;
    pool->free_futures = future->next;
    if (future->next) pp_future_prefetch(future->next);
    future->pool = pool;
    atomic_store_explicit(&future->done, false, memory_order_relaxed);
    future->is_job = future->given_up = future->queued = false;
    future->outcome = 0;
    future->slot = PP_NO_SLOT;
    future->pins = 0;
    future->ties = NULL;
    future->result = NULL;
    future->failure = NULL;
    future->watches = NULL;
    pool->handles++;
    return future;
}

/* Frees what the future has outside itself. */
void pp_future_empty(struct future *future);

/* Takes the future and what it owns back. */
static inline void pp_future_recycle(struct future *future) {
    struct pool *pool = future->pool;
    if (future->failure || (future->result && future->result != future->small)) pp_future_empty(future);
    future->pool = NULL;
    future->next = pool->free_futures;
    pool->free_futures = future;
    pool->handles--;
}

/* Undoes pins++. One that was given up may be gone afterwards. */
static inline void pp_unpin(struct future *future) {
    if (--future->pins == 0 && future->given_up && atomic_load_explicit(&future->done, memory_order_relaxed))
        pp_future_recycle(future);
}

/* At the pool's end: a result that lies in shared memory is copied to memory of its own; where there is none, its future
 * fails. */
void pp_futures_keep_results(struct pool *pool);

/* The pool's own memory, with that of its futures. */
void pp_pool_free(struct pool *pool);

/* Unlocks, and frees the pool with the last handle. */
static inline void pp_unlock_last(struct pool *pool) {
    bool last = pool->handles == 0;
    pp_unlock(pool);
    if (last) pp_pool_free(pool);
}

#endif
