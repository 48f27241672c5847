/* A pool whose tasks run in the program's own calls: a submitted task has run before the call returns. For debuggers,
 * profilers, and programs that must be able to run without any concurrency.
 *
 * There is one worker. The calling thread takes the steps of its loop (worker.c) one by one: at the end of each call
 * that has published work, and in each call that would wait. Between two steps it runs the progress callbacks that are
 * due.
 *
 * Invariant: one thread at a time drives the worker, without the pool's lock. A task cannot use this pool
 * (POOL_EFOREIGN), so a thread never drives it twice.
 * Called by: lifetime and wait, through struct pp_backend, and every call through pp_settle(). */
#include <unistd.h>

#include "base/sys.h"
#include "base/undo.h"
#include "host/backends.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/interrupt.h"
#include "pool/pool.h"
#include "pool/progress.h"
#include "shared/notice.h"
#include "shared/ring.h"
#include "shared/worker_life.h"
#include "worker/task.h"
#include "worker/worker.h"

struct inline_worker {
    struct worker *worker;
    jmp_buf ends;
    unsigned init_failures;
    bool lives;   /* the worker's life has begun */
    bool driving; /* under the pool's lock */
    uint64_t due; /* ns; when a progress callback is due; UINT64_MAX: never */
    bool retired;
};

/* Lets the worker act. Returns false if that has ended the worker's life. */
static bool survives(struct inline_worker *w, bool (*act)(struct worker *worker), bool *result) {
    if (setjmp(w->ends)) return false;
    *result = act(w->worker);
    return true;
}

static bool initialize(struct worker *worker) {
    pp_worker_initialize(worker);
    return true;
}

/* Begins a life. If the initializer keeps failing, the pool is broken. */
static void begin_life(struct pool *pool) {
    struct inline_worker *w = pool->backend_state;
    struct pp_shared *shared = &pool->shared;
    while (!w->lives) {
        struct pp_worker_setup setup = {.shared = shared, .options = &pool->options, .life = pp_life_begin(shared, 0),
                                 .task_pipe = -1, .bell = pool->fds.bell_end, .ends = &w->ends};
        bool began;
        atomic_store_explicit(&shared->control->pids[0], (uint32_t)getpid(),
                              memory_order_relaxed); /* for pool_stats() */
        pp_worker_begin(w->worker, &setup);
        pp_worker_enter(w->worker);
        w->lives = survives(w, initialize, &began);
        if (w->lives) return;
        struct pp_notice notice = pp_life_describe(shared, 0, getpid(), 0);
        pp_life_forget(shared, 0);
        if (pp_life_deserves_another(shared, 0, &w->init_failures)) continue;
        atomic_store_explicit(&shared->control->pids[0], 0, memory_order_relaxed);
        notice.kind = PP_POOL_BROKEN;
        notice.code = POOL_EINIT;
        pp_notice_write(shared, &notice);
        return;
    }
}

/* Ends the life, or what has begun of it. */
static void end_life(struct pool *pool) {
    struct inline_worker *w = pool->backend_state;
    if (!w->lives) {
        pp_life_forget(&pool->shared, 0);
        return;
    }
    struct pp_notice notice = pp_life_describe(&pool->shared, 0, getpid(), 0);
    pp_life_end(&pool->shared, 0, &notice); /* there is room: each is collected before the next is written */
    w->init_failures = 0;
    w->lives = false;
}

/* Runs work until there is none, a progress callback is due, the program has interrupted the pool, or the worker's life
 * ends, since its death must then be collected first. Returns whether it did anything. */
static bool work(struct pool *pool) {
    struct inline_worker *w = pool->backend_state;
    bool worked = false, more;
    begin_life(pool);
    if (!w->lives) return true;
    pp_worker_enter(w->worker);
    while (survives(w, pp_worker_step, &more)) {
        if (!more) return worked;
        worked = true;
        if (w->due != UINT64_MAX && pp_now() >= w->due) return true;
        if (atomic_load_explicit(&pool->interrupted, memory_order_relaxed)) return true;
    }
    end_life(pool);
    begin_life(pool);
    return true;
}

static void put_back(void *outer) {
    *pp_call_here() = *(struct pp_call *)outer;
}

/* Lets the worker act with a struct pp_call of its own. The thread may be in a task of another pool, whose struct
 * pp_call is put back afterwards. */
static bool act_in_own_call(struct pool *pool, bool (*act)(struct pool *pool)) {
    struct pp_call *call = pp_call_here(), outer = *call;
    PP_GUARD(guard, put_back, &outer);
    call->shared = &pool->shared;
    call->outer = &outer;
    bool worked = act(pool);
    pp_release_guard(&guard);
    *call = outer;
    return worked;
}

static bool has_work(const struct pool *pool) {
    return !pool->ended && !pool->broken && (!pp_list_is_empty(&pool->jobs.active) || !pp_ring_is_empty(&pool->shared));
}

static void stop_driving(struct pool *pool) {
    struct inline_worker *w = pool->backend_state;
    pp_leave_program(pool);
    w->driving = false;
    pthread_cond_broadcast(&pool->changed);
}

/* A task, initializer or finalizer has thrown an exception: the worker has died of it. */
static void end_thrown(void *of) {
    struct pool *pool = of;
    stop_driving(pool);
    end_life(pool);
    pp_wake_waiting(pool);
}

/* Lets the worker act, without the lock. */
static bool drive(struct pool *pool, bool (*act)(struct pool *pool)) {
    struct inline_worker *w = pool->backend_state;
    w->driving = true;
    PP_GUARD(guard, end_thrown, pool);
    pp_enter_program(pool);
    bool worked = act_in_own_call(pool, act);
    pp_release_guard(&guard);
    stop_driving(pool);
    return worked;
}

/* A thread that finds another one driving leaves all work to that one, and if it waits, sleeps. The thread that has
 * driven wakes it, since there may be work that was published after the last look. */
static void drive_inline(struct pool *pool) {
    struct inline_worker *w = pool->backend_state;
    bool worked = true;
    if (!pp_list_is_empty(&pool->jobs.reports) && pp_in_report(pool)) return; /* a progress callback never waits */
    if (pp_notice_waits(&pool->shared)) pp_advance(pool); /* the initializer has failed for good */
    while (worked && has_work(pool) && !w->driving) {
        w->due = pp_reports_due(pool);
        worked = drive(pool, work);
        pp_obey_interrupt(pool);
        pp_advance(pool);
        if (!pp_list_is_empty(&pool->jobs.reports)) pp_reports_run(pool);
        pp_settle(pool);
    }
    if (!pool->ended) pp_wake_waiting(pool);
}

static bool begin_first_life(struct pool *pool) {
    begin_life(pool);
    return true;
}

static void unmake(void *of) {
    struct pool *pool = of;
    struct inline_worker *w = pool->backend_state;
    pp_release(w->worker);
    pp_release(w);
}

static int start_inline(struct pool *pool) {
    struct inline_worker *w = pp_zalloc(1, sizeof *w);
    if (!w) return POOL_ENOMEM;
    w->worker = pp_worker_new();
    if (!w->worker || !pp_bell_make(pool)) {
        int error = w->worker ? POOL_EAGAIN : POOL_ENOMEM;
        pp_release(w->worker);
        pp_release(w);
        return error;
    }
    pool->backend_state = w;
    PP_GUARD(guard, unmake, pool);
    act_in_own_call(pool, begin_first_life);
    pp_release_guard(&guard);
    pool->due |= PP_DUE_DRIVE;
    return 0;
}

static bool finalize(struct pool *pool) {
    struct inline_worker *w = pool->backend_state;
    bool never;
    pp_worker_enter(w->worker);
    return survives(w, pp_worker_retire, &never);
}

static int retire_inline(struct pool *pool, uint64_t deadline) {
    struct inline_worker *w = pool->backend_state;
    (void)deadline; /* a finalizer that runs in this call cannot be interrupted */
    while (w->driving) pthread_cond_wait(&pool->changed, &pool->lock);
    if (w->retired || !w->lives) return 0;
    w->retired = true;
    drive(pool, finalize);
    return 0;
}

static void end_inline(struct pool *pool) {
    struct inline_worker *w = pool->backend_state;
    while (w->driving) pthread_cond_wait(&pool->changed, &pool->lock);
    pool->due &= ~(unsigned)PP_DUE_DRIVE;
    pp_release(w->worker);
    pp_release(w);
    pool->backend_state = NULL;
}

const struct pp_backend pp_inline = {
    .start = start_inline, .end = end_inline, .drive = drive_inline, .retire = retire_inline, .in_here = true};
