/* How a call of the program begins and ends: the lock, and what a call does before it returns.
 *
 * A call takes the lock with pp_lock() and gives it back with pp_unlock(). In between it may step out to do something
 * that takes long, or runs code of the program; the pool's end waits until it has stepped in again.
 *
 * Invariant: pp_unlock() may run tasks and callbacks, and one of these may end the pool. So a call that uses the pool
 * afterwards must keep it: by a handle, or by pp_unlock_last(). */
#ifndef PP_CALL_H
#define PP_CALL_H

#include <unistd.h>

#include "pool/future_alloc.h"
#include "worker/task.h"

/* Whether this is another process than the pool's. Needs no lock. */
static inline bool pp_is_foreign(const struct pool *pool) {
    if (pool->mark ? *pool->mark == 0 : getpid() != pool->owner) return true;
    /* A task is foreign wherever it runs: it would wait for tasks that only its own return lets start. */
    return pool->in_here && pp_call_is_within(&pool->shared);
}

/* Why nothing can be submitted, or 0. */
static inline int pp_refusal(const struct pool *pool) {
    return pool->closed ? POOL_ECLOSED : pool->broken;
}

static inline void pp_lock(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
}

/* The call goes on without the lock for a while. The pool's end waits for it to step in. */
static inline void pp_step_out(struct pool *pool) {
    pool->outside++;
    pthread_mutex_unlock(&pool->lock);
}

/* The call has the lock again. */
static inline void pp_stepped_in(struct pool *pool) {
    if (--pool->outside == 0 && pool->ended) pthread_cond_broadcast(&pool->changed);
}

static inline void pp_step_in(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pp_stepped_in(pool);
}

/* Runs what waits in a pool whose tasks run in the program's own calls. */
void pp_drive(struct pool *pool);
/* Keeps the promise of pool_fd(), where it was made; in wait.c. */
void pp_rearm(struct pool *pool);
/* Runs the callbacks that wait, then unlocks. */
void pp_unlock_and_call(struct pool *pool);

/* Whether there are callbacks for this call to run. */
static inline bool pp_callbacks_wait(const struct pool *pool) {
    return !pp_list_is_empty(&pool->callbacks) && !pool->calling;
}

/* The end of every call. */
static inline void pp_unlock(struct pool *pool) {
    if (pool->driven) pp_drive(pool);
    if (pool->event_fd >= 0) pp_rearm(pool);
    if (pp_callbacks_wait(pool)) pp_unlock_and_call(pool);
    else pthread_mutex_unlock(&pool->lock);
}

/* The end of a call that may be the last to use the pool: unlocks, and frees the pool with its last reference. */
static inline void pp_unlock_last(struct pool *pool) {
    bool last = pool->references == 0;
    pp_unlock(pool);
    if (last) pp_pool_free(pool);
}

#endif
