/* A pool without workers: what is submitted is run by whoever submits it, before the call returns. For debuggers,
 * profilers, and programs that are to run the same way without any concurrency.
 *
 * There is one worker, the loop of worker.c taken step by step by the calling thread. Whatever call leaves work behind
 * runs it when it gives up the pool's lock; and so does one that would wait. Between two steps it makes the reports
 * that are due.
 *
 * Invariant: one thread at a time drives; it holds no lock while it is in a task; tasks cannot use this pool
 * (POOL_EFOREIGN), so it never meets itself.
 * Called by: pool, wait, and through pp_unlock() every call. */
#include <unistd.h>

#include "base/sys.h"
#include "host/backends.h"
#include "pool/call.h"
#include "pool/pool.h"
#include "pool/progress.h"
#include "shared/notice.h"
#include "shared/ring.h"
#include "shared/worker_life.h"
#include "worker/task.h"
#include "worker/worker.h"

struct crew {
    struct pp_worker_options options;
    struct worker *worker;
    jmp_buf ends;
    unsigned init_failures;
    bool driving; /* under the pool's lock */
    uint64_t due; /* when the work is to be interrupted for a report */
    bool retired;
};

/* Whether the worker's life goes on after the act. */
static bool survives(struct crew *crew, bool (*act)(struct worker *worker), bool *result) {
    if (setjmp(crew->ends)) return false;
    *result = act(crew->worker);
    return true;
}

static bool initialize(struct worker *worker) {
    pp_worker_initialize(worker);
    return true;
}

/* Ends the life that was and begins another; where that keeps failing, the pool is broken. */
static void begin_life(struct pool *pool) {
    struct crew *crew = pool->crew;
    struct pp_shared *shared = &pool->shared;
    for (;;) {
        struct pp_worker_setup setup = {.shared = shared, .options = &crew->options, .life = pp_life_begin(shared, 0),
                                 .task_pipe = -1, .bell = pool->bell_end, .ends = &crew->ends};
        bool began;
        atomic_store_explicit(&shared->control->pids[0], (uint32_t)getpid(),
                              memory_order_relaxed); /* for pool_stats() */
        pp_worker_begin(crew->worker, &setup);
        pp_worker_enter(crew->worker);
        if (survives(crew, initialize, &began)) return;
        struct pp_notice notice = pp_life_describe(shared, 0, getpid(), 0);
        pp_life_end(shared, 0);
        if (pp_life_deserves_another(shared, 0, &crew->init_failures)) continue;
        atomic_store_explicit(&shared->control->pids[0], 0, memory_order_relaxed);
        notice.kind = PP_POOL_BROKEN;
        notice.code = POOL_EINIT;
        pp_notice_write(shared, &notice);
        return;
    }
}

/* Until there is nothing to do, or a report is due, or until a death, which has to be collected first. Whether it did
 * anything. */
static bool work(struct pool *pool) {
    struct crew *crew = pool->crew;
    bool worked = false, more;
    pp_worker_enter(crew->worker);
    while (survives(crew, pp_worker_step, &more)) {
        if (!more) return worked;
        worked = true;
        if (crew->due != UINT64_MAX && pp_now() >= crew->due) return true;
    }
    struct pp_notice notice = pp_life_describe(&pool->shared, 0, getpid(), 0);
    pp_notice_write(&pool->shared, &notice); /* there is room: each is collected before the next */
    pp_life_end(&pool->shared, 0);
    crew->init_failures = 0;
    begin_life(pool);
    return true;
}

/* What the thread's call says is another's, where a task of another pool has called us. */
static bool work_aside(struct pool *pool, bool (*act)(struct pool *pool)) {
    struct pp_call *call = pp_call_here(), outer = *call;
    call->shared = &pool->shared;
    call->outer = &outer;
    bool worked = act(pool);
    *call = outer;
    return worked;
}

static bool has_work(const struct pool *pool) {
    return !pool->ended && !pool->broken && (!pp_list_is_empty(&pool->jobs) || !pp_ring_is_empty(&pool->shared));
}

static void drive(struct pool *pool) {
    struct crew *crew = pool->crew;
    bool worked = true;
    if (!pp_list_is_empty(&pool->reports) && pp_in_report(pool)) return; /* which does not wait */
    if (pp_notice_waits(&pool->shared)) pp_advance(pool); /* of an initializer that has failed for good */
    while (worked && has_work(pool)) {
        if (crew->driving) {
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        crew->driving = true;
        crew->due = pp_reports_due(pool);
        pthread_mutex_unlock(&pool->lock);
        worked = work_aside(pool, work);
        pthread_mutex_lock(&pool->lock);
        crew->driving = false;
        pthread_cond_broadcast(&pool->changed);
        pp_advance(pool);
        if (!pp_list_is_empty(&pool->reports)) pp_reports_run(pool);
        pp_settle(pool);
    }
}

static bool begin(struct pool *pool) {
    begin_life(pool);
    return true;
}

static int start(struct pool *pool) {
    struct crew *crew = pp_zalloc(1, sizeof *crew);
    if (!crew) return POOL_ENOMEM;
    crew->worker = pp_worker_new();
    if (!crew->worker || !pp_make_bell(pool)) {
        int error = crew->worker ? POOL_EAGAIN : POOL_ENOMEM;
        pp_release(crew->worker);
        pp_release(crew);
        return error;
    }
    crew->options = pp_worker_options_of(pool);
    pool->crew = crew;
    work_aside(pool, begin);
    return 0;
}

static bool finalize(struct pool *pool) {
    struct crew *crew = pool->crew;
    bool never;
    pp_worker_enter(crew->worker);
    return survives(crew, pp_worker_retire, &never);
}

static int retire(struct pool *pool, uint64_t deadline) {
    struct crew *crew = pool->crew;
    (void)deadline; /* what is run here takes as long as it takes */
    while (crew->driving) pthread_cond_wait(&pool->changed, &pool->lock);
    if (crew->retired) return 0;
    crew->retired = crew->driving = true;
    pthread_mutex_unlock(&pool->lock);
    work_aside(pool, finalize);
    pthread_mutex_lock(&pool->lock);
    crew->driving = false;
    pthread_cond_broadcast(&pool->changed);
    return 0;
}

static void end(struct pool *pool) {
    struct crew *crew = pool->crew;
    while (crew->driving) pthread_cond_wait(&pool->changed, &pool->lock);
    pool->due &= ~(unsigned)PP_DUE_DRIVE;
    pp_release(crew->worker);
    pp_release(crew);
    pool->crew = NULL;
}

const struct pp_backend pp_inline = {.start = start, .end = end, .drive = drive, .retire = retire, .in_here = true};
