/* future_get() and its kin: what a program asks of a future. */
#include <string.h>

#include "base/sys.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/callback.h"
#include "pool/cancel.h"
#include "pool/future_alloc.h"
#include "pool/job.h"
#include "pool/observer.h"
#include "pool/pool.h"
#include "pool/wait.h"
#include "shared/state.h"

static bool is_done(const struct future *future) {
    /* Acquire: pairs with the release in pp_future_finish(). What it orders is constant from then on: no lock. */
    return atomic_load_explicit(&future->done, memory_order_acquire);
}

static int check(const struct future *future) {
    if (!future) return POOL_EINVAL;
    return pp_is_foreign(future->pool) ? POOL_EFOREIGN : 0;
}

static bool is_detached(const struct future *future) {
    /* Acquire: pairs with the release in pp_detach(). */
    return atomic_load_explicit(&future->done, memory_order_acquire) == PP_DETACHED;
}

/* Takes the lock, and pins the future: a callback may free it. let_go() undoes both. */
static void hold(struct future *future) {
    pp_lock(future->pool);
    pp_pin(future);
}

/* The same, and waits. */
static int wait_for(struct future *future, int timeout) {
    uint64_t deadline = pp_deadline(timeout);
    hold(future);
    return pp_wait(future->pool, future, 0, deadline);
}

static void let_go(struct future *future) {
    struct pool *pool = future->pool;
    pp_unpin(future);
    pp_unlock_last(pool);
}

int future_wait(struct future *future, int timeout) {
    int error = timeout < -1 ? POOL_EINVAL : check(future);
    if (error || is_done(future)) return error;
    error = wait_for(future, timeout);
    let_go(future);
    return error;
}

static int take(const struct future *future, void *out) {
    if (future->outcome == 0 && out && future->result && !future->is_job)
        memcpy(out, future->result, future->out_size);
    return future->outcome;
}

int future_get(struct future *future, void *out, int timeout) {
    int error = timeout < -1 ? POOL_EINVAL : check(future);
    if (error) return error;
    if (is_detached(future)) { /* and so its result lies in itself, where the pool's end lets it be */
        pp_future_prefetch_beside(future);
        return take(future, out);
    }
    if (is_done(future)) hold(future);
    else error = wait_for(future, timeout);
    if (!error) {
        /* Before callbacks run; and without the lock where it may take long. */
        bool large = future->result && future->result != future->small;
        if (large) pp_step_out(future->pool);
        error = take(future, out);
        if (large) pp_step_in(future->pool);
    }
    let_go(future);
    return error;
}

/* The struct is const to its caller, for whom nothing of it changes; that the pool moves on is no part of it. */
static struct future *unconst(const struct future *future) {
    return (struct future *)(uintptr_t)future;
}

bool future_done(const struct future *future) {
    if (check(future)) return false;
    return is_done(future) || future_wait(unconst(future), 0) == 0;
}

static uint64_t state_of(const struct future *future) {
    return atomic_load_explicit(&future->pool->shared.outcomes[future->slot].state, memory_order_acquire);
}

bool future_running(const struct future *future) {
    if (check(future) || is_done(future)) return false;
    struct pool *pool = future->pool;
    pp_lock(pool);
    pp_advance(pool);
    bool running = false;
    if (!is_done(future) && future->is_job) {
        running = pp_job_running(pool, future->job);
    } else if (!is_done(future) && future->slot != PP_NO_SLOT) {
        enum pp_phase phase = pp_phase_of(state_of(future));
        running = phase == PP_RUNNING || phase == PP_KILLED || phase == PP_OVERDUE;
    }
    pp_unlock(pool);
    return running;
}

size_t future_size(const struct future *future) {
    if (check(future) || future->is_job) return 0;
    if (is_done(future)) return future->outcome ? 0 : future->out_size;
    struct future *f = unconst(future);
    size_t size = wait_for(f, 0) || f->outcome ? 0 : f->out_size;
    let_go(f);
    return size;
}

int future_cancel(struct future *future) {
    int error = check(future);
    if (error) return error;
    struct pool *pool = future->pool;
    pp_lock(pool);
    pp_advance(pool);
    if (is_done(future)) error = POOL_EBUSY;
    else error = future->is_job ? pp_job_cancel(pool, future->job) : pp_task_cancel(pool, future);
    pp_wake_waiting(pool);
    pp_unlock(pool);
    return error;
}

int future_kill(struct future *future) {
    int error = check(future);
    if (error) return error;
    struct pool *pool = future->pool;
    pp_lock(pool);
    pp_advance(pool);
    if (is_done(future)) error = POOL_EBUSY;
    else if (future->is_job) pp_job_stop(pool, future->job, true);
    else if (pp_task_cancel(pool, future)) pp_task_kill(pool, future);
    pp_wake_waiting(pool);
    pp_unlock(pool);
    return error;
}

static void tell(const struct future *future, struct pool_failure *failure) {
    memset(failure, 0, sizeof *failure);
    failure->error = future->outcome;
    if (future->failure) *failure = *future->failure;
    else if (future->outcome) strcpy(failure->message, pool_strerror(future->outcome)); /* no memory for more */
}

int future_failure(struct future *future, struct pool_failure *failure) {
    int error = failure ? check(future) : POOL_EINVAL;
    if (error) return error;
    if (is_done(future)) {
        tell(future, failure);
        return 0;
    }
    if (wait_for(future, 0)) error = POOL_EBUSY;
    else tell(future, failure);
    let_go(future);
    return error;
}

void future_free(struct future *future) {
    if (!future || pp_is_foreign(future->pool)) return;
    struct pool *pool = future->pool;
    if (is_detached(future) && pp_future_give_back(future)) return;
    pp_lock(pool);
    if (!pp_list_is_empty(&future->observers)) pp_observers_notify(future, PP_OBSERVED_FREED);
    if (is_done(future) && future->pins == 0) pp_future_recycle(future);
    else pp_give_up(future);
    pp_unlock_last(pool);
}

int future_on_done(struct future *future, void (*callback)(struct future *future, void *arg), void *arg) {
    int error = callback ? check(future) : POOL_EINVAL;
    if (error) return error;
    struct pool *pool = future->pool;
    struct pp_callback *entry = pp_zalloc(1, sizeof *entry);
    if (!entry) return POOL_ENOMEM;
    *entry = (struct pp_callback){.future = future, .run = callback, .arg = arg};
    pp_lock(pool);
    pp_advance(pool);
    if (!pp_callback_add(pool, future, entry)) {
        error = POOL_ENOMEM;
        pp_release(entry);
    }
    pp_unlock(pool);
    return error;
}
