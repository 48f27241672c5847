/* What a program asks of a future: future_get(), future_cancel(), future_free() and the like. */
#include <string.h>

#include "base/copy.h"
#include "base/sys.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/callback.h"
#include "pool/cancel.h"
#include "pool/events.h"
#include "pool/future_alloc.h"
#include "pool/job.h"
#include "pool/observer.h"
#include "pool/pool.h"
#include "pool/tell.h"
#include "pool/wait.h"
#include "shared/state.h"

static bool is_done(const struct future *future) {
    /* Acquire: pairs with the release in pp_future_finish(). What it orders is constant from then on, so no lock is
     * needed to read it. */
    return atomic_load_explicit(&future->done, memory_order_acquire);
}

static int check_future(const struct future *future) {
    if (!future) return POOL_EINVAL;
    return pp_is_foreign_future(future) ? POOL_EFOREIGN : 0;
}

static bool is_detached(const struct future *future) {
    /* Acquire: pairs with the release in pp_detach(). */
    return atomic_load_explicit(&future->done, memory_order_acquire) == PP_DETACHED;
}

/* Takes the lock, and pins the future, since a callback may free it. leave() undoes both. */
static void enter(struct future *future) {
    pp_lock(future->pool);
    pp_pin(future);
}

static void leave(void *of) {
    struct future *future = of;
    struct pool *pool = future->pool;
    pp_unpin(future);
    pp_unlock_last(pool);
}

static int enter_and_wait(struct future *future, int timeout) {
    uint64_t deadline = pp_deadline(timeout);
    enter(future);
    PP_GUARD(guard, leave, future);
    int error = pp_wait(future->pool, &(struct pp_goal){.future = future}, deadline);
    pp_release_guard(&guard);
    return error;
}

int future_wait(struct future *future, int timeout) {
    int error = timeout < -1 ? POOL_EINVAL : check_future(future);
    if (error || is_done(future)) return error;
    error = enter_and_wait(future, timeout);
    leave(future);
    return error;
}

/* Returns the outcome, with the result in *out if it is 0. */
static int take_result(const struct future *future, void *out) {
    if (future->outcome == 0 && out && future->result && !future->is_job)
        pp_copy(out, future->result, future->out_size);
    return future->outcome;
}

int future_get(struct future *future, void *out, int timeout) {
    int error = timeout < -1 ? POOL_EINVAL : check_future(future);
    if (error) return error;
    if (is_detached(future)) { /* so its result lies in itself, and stays there when the pool ends */
        pp_future_prefetch_beside(future);
        return take_result(future, out);
    }
    if (is_done(future)) enter(future);
    else error = enter_and_wait(future, timeout);
    if (!error) {
        /* Before callbacks run; and without the lock if it may take long. */
        bool large = future->result && future->result != future->small;
        if (large) pp_step_out(future->pool);
        error = take_result(future, out);
        if (large) pp_step_in(future->pool);
    }
    leave(future);
    return error;
}

/* The program passes a const future, since nothing that it can see changes; but the call moves the pool on. */
static struct future *unconst(const struct future *future) {
    return (struct future *)(uintptr_t)future;
}

bool future_done(const struct future *future) {
    if (check_future(future)) return false;
    return is_done(future) || future_wait(unconst(future), 0) == 0;
}

bool future_running(const struct future *future) {
    if (check_future(future) || is_done(future)) return false;
    struct pool *pool = future->pool;
    pp_lock(pool);
    pp_advance(pool);
    bool running = false;
    if (!is_done(future) && future->is_job) {
        running = pp_job_running(pool, future->job);
    } else if (!is_done(future) && future->slot != PP_NO_SLOT) {
        const _Atomic uint64_t *state = &pool->shared.outcomes[future->slot].state;
        enum pp_phase phase = pp_phase_of(atomic_load_explicit(state, memory_order_acquire));
        running = pp_is_at_work(phase);
    }
    pp_unlock(pool);
    return running;
}

size_t future_size(const struct future *future) {
    if (check_future(future) || future->is_job) return 0;
    if (is_done(future)) return future->outcome ? 0 : future->out_size;
    struct future *f = unconst(future);
    size_t size = enter_and_wait(f, 0) || f->outcome ? 0 : f->out_size;
    leave(f);
    return size;
}

const void *future_data(struct future *future, size_t *size) {
    if (size) *size = 0;
    if (check_future(future) || future->is_job || future_wait(future, 0) || future->outcome) return NULL;
    if (size) *size = future->out_size;
    return future->result;
}

void *future_arg(const struct future *future) {
    return check_future(future) || future->is_job ? NULL : future->arg;
}

int future_cancel(struct future *future) {
    int error = check_future(future);
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
    int error = check_future(future);
    if (error) return error;
    struct pool *pool = future->pool;
    pp_lock(pool);
    pp_advance(pool);
    pp_tell_again(pool);
    if (is_done(future)) error = POOL_EBUSY;
    else if (future->is_job) pp_job_stop(pool, future->job, true);
    else pp_task_stop(pool, future);
    if (!error && pp_is_untold(pool, PP_KILL)) error = POOL_EAGAIN;
    pp_wake_waiting(pool);
    pp_unlock(pool);
    return error;
}

static void copy_failure(const struct future *future, struct pool_failure *failure) {
    memset(failure, 0, sizeof *failure);
    failure->error = future->outcome;
    if (future->failure) *failure = *future->failure;
    else if (future->outcome) strcpy(failure->message, pool_strerror(future->outcome)); /* no memory for more */
}

int future_failure(struct future *future, struct pool_failure *failure) {
    int error = failure ? check_future(future) : POOL_EINVAL;
    if (error) return error;
    if (is_done(future)) {
        copy_failure(future, failure);
        return 0;
    }
    if (enter_and_wait(future, 0)) error = POOL_EBUSY;
    else copy_failure(future, failure);
    leave(future);
    return error;
}

/* The task is not handed out. If it was the last that was expected, a thread that waits for the next one has none to
 * wait for. */
static void leave_notified(struct future *future) {
    struct pool *pool = future->pool;
    pp_notify_end(future);
    if (pool->events.expected > 0) return;
    pool->events.wakes++;
    pp_wake_waiting(pool);
}

void future_free(struct future *future) {
    if (!future || pp_is_foreign_future(future)) return;
    struct pool *pool = future->pool;
    if (is_detached(future) && pp_future_give_back(future)) return;
    pp_lock(pool);
    if (!pp_list_is_empty(&future->observers)) {
        pp_observers_notify(future, PP_OBSERVED_FREED);
        pp_wake_waiting(pool); /* it may have been the last that a set of futures waits for */
    }
    if (future->notify) leave_notified(future);
    if (is_done(future) && future->pins == 0) pp_future_recycle(future);
    else future->given_up = true;
    pp_unlock_last(pool);
}

int future_on_done(struct future *future, void (*callback)(struct future *future, void *arg), void *arg) {
    int error = callback ? check_future(future) : POOL_EINVAL;
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
