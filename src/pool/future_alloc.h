/* Futures as memory: given to who submits, taken back when they are freed; and who keeps the pool's own.
 *
 * A program may have futures when the pool has ended. So the struct pool goes with the last handle: the futures that
 * were given and not taken back, the pool itself until pool_destroy(), and calls that a callback might outlive.
 *
 * Most futures are freed when nothing leads to them but the program's handle: they are at rest. Those are given back
 * without the lock, onto a stack that submits take as a whole, and are counted as handles until they are given again or
 * the pool ends, which closes the stack. (Nobody takes a single one from it, so none can come back between look and
 * swap.)
 *
 * Invariant: pool->references counts them, under the lock; a future on the free list has no pool. At rest a future is
 * not pinned, not watched, has no ties and nothing outside itself; whoever changes that, under the lock, ends its rest
 * first, and the program does not free it at the same time, since freeing is the last that it does with a future.
 * Called by: submit and map (new); whoever is done with a future, or with a call that was a handle. */
#ifndef PP_FUTURE_ALLOC_H
#define PP_FUTURE_ALLOC_H

#include "pool/pool.h"

/* More on the free list. False: no memory. */
bool pp_futures_add(struct pool *pool);

/* Futures lie side by side, and are mostly given, asked for and freed in that order, one way or the other: what calls
 * soon need is fetched meanwhile. There may be nothing where it is looked for, which does no harm. */

/* What the fourth call from now will write, if they go on as from this future to the next. bench_limits, "submit" */
static inline void pp_future_prefetch_ahead(const struct future *future) {
    uintptr_t next = (uintptr_t)future->next, fourth = next + 3 * (next - (uintptr_t)future);
    for (size_t offset = 0; offset < sizeof *future; offset += PP_LINE)
        pp_prefetch_write((const void *)(fourth + offset));
}

/* bench_limits, "flat-in-flight" */
static inline void pp_future_prefetch_beside(const struct future *future) {
    uintptr_t before = (uintptr_t)future - 4 * sizeof *future, after = (uintptr_t)future + 4 * sizeof *future;
    pp_prefetch_write((const void *)before);
    pp_prefetch_write((const void *)after);
    pp_prefetch_write((const void *)(before + offsetof(struct future, small)));
    pp_prefetch_write((const void *)(after + offsetof(struct future, small)));
}

/* One that was given back without the lock, and is counted still; NULL: none. */
static inline struct future *pp_future_reuse(struct pool *pool) {
    if (!pool->reusable && !pool->free_futures)
        pool->reusable = atomic_exchange_explicit(&pool->freed, NULL, memory_order_acquire);
    struct future *future = pool->reusable;
    if (future) pool->reusable = future->next;
    return future;
}

/* A future that is one handle more; NULL: no memory. */
static inline struct future *pp_future_new(struct pool *pool) {
    struct future *future = pp_future_reuse(pool);
    if (!future) {
        if (!pool->free_futures && !pp_futures_add(pool)) return NULL;
        future = pool->free_futures;
        pool->free_futures = future->next;
        pool->references++;
    }
    pp_future_prefetch_ahead(future);
    future->pool = pool;
    atomic_store_explicit(&future->done, PP_OPEN, memory_order_relaxed);
    future->is_job = future->given_up = future->queued = false;
    future->outcome = 0;
    future->slot = PP_NO_SLOT;
    future->pins = 0;
    future->ties = NULL;
    future->result = NULL;
    future->failure = NULL;
    future->observers = NULL;
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
    pool->references--;
}

/* ---- being at rest */

/* It is done: it is at rest now if nothing else leads to it. The last that the caller does with it. */
static inline void pp_detach(struct future *future) {
    if (future->pins || future->observers || future->failure) return; /* what has ties is pinned until they are told */
    if (future->result && future->result != future->small) return;
    /* Release: pairs with the acquire of future_free(), which then changes it without the lock. */
    atomic_store_explicit(&future->done, PP_DETACHED, memory_order_release);
}

static inline void pp_attach(struct future *future) {
    if (atomic_load_explicit(&future->done, memory_order_relaxed) == PP_DETACHED)
        /* Release: who then finds it done without the lock has not seen how it came to rest. */
        atomic_store_explicit(&future->done, PP_ENDED, memory_order_release);
}

static inline void pp_pin(struct future *future) {
    pp_attach(future);
    future->pins++;
}

/* Undoes pp_pin(). One that was given up may be gone afterwards. */
static inline void pp_unpin(struct future *future) {
    if (--future->pins > 0 || atomic_load_explicit(&future->done, memory_order_relaxed) == PP_OPEN) return;
    if (future->given_up) pp_future_recycle(future);
    else pp_detach(future);
}

/* The program has done its last with a future that cannot be taken back yet. */
static inline void pp_give_up(struct future *future) {
    future->given_up = true;
    if (atomic_load_explicit(&future->done, memory_order_relaxed) == PP_OPEN) future->pool->given_up++;
}

/* Gives a future that is at rest back, without the lock. False: the pool has ended, and takes it only with the lock. */
bool pp_future_give_back(struct future *future);

/* ---- the pool's end */

/* From now on futures are given back with the lock; those that were are no handles any more. */
void pp_futures_close(struct pool *pool);

/* At the pool's end: a result that lies in shared memory is copied to memory of its own; where there is none, its
 * future fails. */
void pp_futures_keep_results(struct pool *pool);

/* The pool's own memory, with that of its futures. */
void pp_pool_free(struct pool *pool);

#endif
