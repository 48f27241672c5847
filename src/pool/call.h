/* How a call of the program begins and ends, and what it does before it returns.
 *
 * A call takes the lock with pp_lock() and gives it back with pp_unlock().
 *
 * What follows from an outcome is not done where the outcome is taken in: it is queued on the pool, and a bit of
 * pool->due says so. It is done here, before the call goes to sleep or returns. So submitting, collecting and finishing
 * never call back into each other, and nothing recurses, however long a chain of tasks.
 *
 * Invariant: pp_unlock() may run tasks and callbacks, and one of these may end the pool. So a call that uses the pool
 * afterwards must keep it: by a handle, or by pp_unlock_last(). One may also throw an exception: whatever a call has
 * taken by then, it must have a guard for (undo.h). While guards are undone, the lock is held from the innermost to
 * that of the call. */
#ifndef PP_CALL_H
#define PP_CALL_H

#include <unistd.h>

#include "base/undo.h"
#include "pool/backend.h"
#include "pool/collect.h"
#include "pool/future_alloc.h"
#include "pool/lock.h"
#include "worker/child.h"
#include "worker/task.h"

/* Whether all handles are those of another process, so that nothing of them may be looked at. */
static inline bool pp_all_are_foreign(void) {
    return atomic_load_explicit(&pp_child_pools, memory_order_relaxed) == 0;
}

/* Whether this is another process than the pool's. Needs no lock. */
static inline bool pp_is_other_process(const struct pool *pool) {
    return pp_all_are_foreign() || (pool->mark ? *pool->mark == 0 : getpid() != pool->owner);
}

static inline bool pp_is_foreign(const struct pool *pool) {
    if (pp_is_other_process(pool)) return true;
    /* A task is foreign wherever it runs: it would wait for tasks that only its own return lets start. */
    return pool->in_here && pp_call_is_within(&pool->shared);
}

static inline bool pp_is_foreign_future(const struct future *future) {
    return pp_all_are_foreign() || pp_is_foreign(future->pool);
}

/* Why nothing can be submitted, or 0. */
static inline int pp_refusal(const struct pool *pool) {
    return pool->closed ? POOL_ECLOSED : pool->broken;
}

/* ---- what a call does with the pool */

/* Takes in everything that was published, and does what follows from it. */
void pp_advance(struct pool *pool);
/* Does what follows from futures that are done: tells their dependents and callbacks, as long as there are any. */
void pp_settle(struct pool *pool);

#define PP_DUE_NOW (PP_DUE_RELATIONS | PP_DUE_LOOK)

/* As pp_advance(), and takes in the outcome of this future as soon as it is there: pp_collect_for(). */
static inline void pp_advance_for(struct pool *pool, const struct future *future) {
    pp_collect_for(pool, future);
    if (pool->due & PP_DUE_NOW) pp_settle(pool);
}

/* Runs the tasks of a pool without workers of its own. */
static inline void pp_drive(struct pool *pool) {
    if ((pool->due & PP_DUE_DRIVE) && !pp_is_undoing()) pool->backend->drive(pool);
}

/* Whether there are callbacks for this call to run. */
static inline bool pp_callbacks_wait(const struct pool *pool) {
    return (pool->due & PP_DUE_CALLBACKS) && !pool->calling && !pp_is_undoing();
}

/* ---- the end of a call */

/* Does everything that is due, and unlocks. */
void pp_unlock_due(struct pool *pool);

static inline void pp_unlock(struct pool *pool) {
    if (pool->due) pp_unlock_due(pool);
    else pthread_mutex_unlock(&pool->lock);
}

/* The end of a call that may be the last to use the pool: unlocks, and frees the pool with its last reference. While
 * something is due, as callbacks are after one has thrown an exception, pp_unlock_due() does both. */
static inline void pp_unlock_last(struct pool *pool) {
    bool last = pool->references == 0 && !pool->due;
    pp_unlock(pool);
    if (last) pp_pool_free(pool);
}

/* For a call that a callback might outlive: the pool stays until the call's end. */
static inline void pp_lock_and_keep(struct pool *pool) {
    pp_lock(pool);
    pool->references++;
}

static inline void pp_unlock_and_let_go(void *pool) {
    ((struct pool *)pool)->references--;
    pp_unlock_last(pool);
}

#endif
