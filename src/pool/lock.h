/* The pool's lock, and how a call gives it up for a while.
 *
 * A call that does something long, such as sleeping, copying a large result, or running a function of the program that
 * may not end the pool, steps out; the pool's end waits until it has stepped in again. A call that runs a callback,
 * which may even end the pool, or a task enters the program: the pool's end does not wait. Neither does anything that
 * is due: only pp_unlock() does, in call.h.
 *
 * Invariant: the lock is never held while a thread sleeps or runs code of the program. */
#ifndef PP_LOCK_H
#define PP_LOCK_H

#include "pool/pool.h"

static inline void pp_lock(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
}

static inline void pp_step_out(struct pool *pool) {
    pool->outside++;
    pthread_mutex_unlock(&pool->lock);
}

/* For a call that has the lock again. */
static inline void pp_stepped_in(struct pool *pool) {
    if (--pool->outside == 0 && pool->ended) pthread_cond_broadcast(&pool->changed);
}

static inline void pp_step_in(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pp_stepped_in(pool);
}

static inline void pp_enter_program(struct pool *pool) {
    pthread_mutex_unlock(&pool->lock);
}

static inline void pp_leave_program(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
}

#endif
