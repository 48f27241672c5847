/* Futures as memory: how they are allocated and given back, and when the pool's own memory goes.
 *
 * A program may still have futures when the pool has ended. So the struct pool is freed with the last reference:
 * futures that were handed out and not given back, the pool itself until pool_destroy(), and calls that a callback
 * might outlive.
 *
 * Most futures are freed when nothing but the program's handle leads to them: they are detached. A detached future is
 * given back without the lock, onto a stack that a later submit takes as a whole; it counts as a reference until it is
 * handed out again, or the pool ends, which closes the stack. No thread takes a single future from the stack, so none
 * can come back between a look and a swap.
 *
 * Invariant: pool->references counts the references, under the lock; a future on the free list has no pool. A detached
 * future is not pinned, has no observers, no relations and nothing outside itself. Code that changes that attaches the
 * future first, under the lock; the program does not free it at the same time, since freeing is the last that it does
 * with a future. */
#ifndef PP_FUTURE_ALLOC_H
#define PP_FUTURE_ALLOC_H

#include "pool/pool.h"

/* Puts more futures on the free list. Returns false if there is no memory. */
bool pp_futures_add(struct pool *pool);

/* Futures lie side by side, and are mostly handed out, asked for and freed in that order, upwards or downwards. So what
 * calls will soon need is prefetched. There may be no future at such an address, which does no harm. */

/* Prefetches what the fourth call from now will write, if the step from this future to the next goes on.
 * bench_limits, "submit" */
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

/* A future that was given back without the lock, and still counts as a reference; NULL: none. */
static inline struct future *pp_future_reuse(struct pool *pool) {
    if (!pool->futures.reusable && !pool->futures.free)
        pool->futures.reusable = atomic_exchange_explicit(&pool->futures.freed, NULL, memory_order_acquire);
    struct future *future = pool->futures.reusable;
    if (future) pool->futures.reusable = future->next;
    return future;
}

/* Hands out a future, which is one reference more; NULL: no memory. */
static inline struct future *pp_future_new(struct pool *pool) {
    struct future *future = pp_future_reuse(pool);
    if (!future) {
        if (!pool->futures.free && !pp_futures_add(pool)) return NULL;
        future = pool->futures.free;
        pool->futures.free = future->next;
        pool->references++;
    }
    pp_future_prefetch_ahead(future);
    future->pool = pool;
    atomic_store_explicit(&future->done, PP_OPEN, memory_order_relaxed);
    future->is_job = future->given_up = future->queued = future->short_of_room = false;
    future->notify = PP_NOT_NOTIFIED;
    future->outcome = 0;
    future->losses = 0;
    future->slot = PP_NO_SLOT;
    future->pins = 0;
    future->relations = NULL;
    future->result = NULL;
    future->failure = NULL;
    future->observers.first = NULL;
    return future;
}

/* Frees what the future has outside itself. */
void pp_future_empty(struct future *future);

/* Puts the future on the free list, and frees what it owns. */
static inline void pp_future_recycle(struct future *future) {
    struct pool *pool = future->pool;
    if (future->failure || (future->result && future->result != future->small)) pp_future_empty(future);
    future->pool = NULL;
    future->next = pool->futures.free;
    pool->futures.free = future;
    pool->references--;
}

/* ---- detached futures */

/* The future is done: detaches it if nothing else leads to it. The pool must not touch it afterwards. */
static inline void pp_detach(struct future *future) {
    /* A future with relations is pinned until they have been told. */
    if (future->pins || !pp_list_is_empty(&future->observers) || future->failure || future->notify) return;
    if (future->result && future->result != future->small) return;
    /* Release: pairs with the acquire of future_free(), which then changes it without the lock. */
    atomic_store_explicit(&future->done, PP_DETACHED, memory_order_release);
}

static inline void pp_attach(struct future *future) {
    if (atomic_load_explicit(&future->done, memory_order_relaxed) == PP_DETACHED)
        /* Release: a thread that then finds it done without the lock has not seen how it was detached. */
        atomic_store_explicit(&future->done, PP_ENDED, memory_order_release);
}

static inline void pp_pin(struct future *future) {
    pp_attach(future);
    future->pins++;
}

/* Undoes pp_pin(). One that was given up may be gone afterwards. */
static inline void pp_unpin(struct future *future) {
    if (--future->pins > 0 || !pp_future_is_done(future)) return;
    if (future->given_up) pp_future_recycle(future);
    else pp_detach(future);
}

/* Gives a detached future back, without the lock. Returns false if the pool has ended: then the lock is needed. */
bool pp_future_give_back(struct future *future);

/* ---- the pool's end */

/* Closes the stack: from now on futures are given back with the lock, and those on it are no references any more. */
void pp_futures_close(struct pool *pool);

/* At the pool's end: copies each result that lies in shared memory to malloc'ed memory. Where there is none, its future
 * fails. */
void pp_futures_keep_results(struct pool *pool);

/* The pool's own memory, with that of its futures. */
void pp_pool_free(struct pool *pool);

#endif
