/* The life of a pool: its making, its end, and the memory that it lends. */
#include "pool/lifetime.h"

#include <time.h>
#include <unistd.h>

#include "base/sys.h"
#include "pool/alloc.h"
#include "pool/backend.h"
#include "pool/bell.h"
#include "pool/break.h"
#include "pool/call.h"
#include "pool/cancel.h"
#include "pool/interrupt.h"
#include "pool/corpse.h"
#include "pool/future_alloc.h"
#include "pool/hosted.h"
#include "pool/job.h"
#include "pool/progress.h"
#include "pool/resize.h"
#include "pool/tell.h"
#include "pool/tracing.h"
#include "pool/wait.h"
#include "shared/pages.h"
#include "shared/placement.h"
#include "shared/record.h"
#include "worker/sandbox.h"

#define FINALIZERS_NS 1000000000U /* how long finalizers may take where what runs is to be killed */
#define SLOTS_SIZE (PP_SLOTS * sizeof(struct pp_slot))
#define FREE_SLOTS_SIZE (PP_SLOTS * sizeof(uint32_t))

/* ---- making */

static bool make_lock(struct pool *pool) {
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&pool->lock, NULL)) return false;
    if (pthread_condattr_init(&attributes)) goto no_attributes;
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&pool->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (made) return true;
no_attributes:
    pthread_mutex_destroy(&pool->lock);
    return false;
}

/* The caller's own tables and the shared memory. */
static int make_memory(struct pool *pool) {
    uint32_t hosts = pp_hosted_count(pool->carrier);
    int error = pool->options.sandbox ? pp_shared_make_small(&pool->shared, pool->options.arena_size, hosts)
                                      : pp_shared_make(&pool->shared, pool->options.arena_size, hosts);
    if (!error && !pool->in_here) error = pp_shared_divide(&pool->shared);
    if (!error && pool->options.sandbox && pool->shared.reader < 0) error = POOL_ENOTSUP;
    if (!error) error = pp_tracing_begin(pool);
    if (error) return error;
    /* Mapped, not allocated: a recycled block would be cleared, and then be copied by every fork. */
    pool->slots.table = pp_map_private(SLOTS_SIZE);
    pool->slots.free = pp_map_private(FREE_SLOTS_SIZE);
    if (!pool->slots.table || !pool->slots.free) return POOL_ENOMEM;
    struct pp_shared *shared = &pool->shared;
    pool->memory.arena_left = shared->arena_size;
    pp_heap_begin(&pool->memory.inputs, shared->inputs, shared->inputs_size, &pool->memory.arena_left);
    pp_heap_begin(&pool->memory.results, shared->results, shared->arena_size, &pool->memory.arena_left);
    pp_heap_begin(&pool->memory.arena, shared->arena, shared->arena_size, &pool->memory.arena_left);
    pp_heap_begin(&pool->memory.work, shared->work, shared->work_size, NULL);
    pool->memory.inputs.keeps = pool->memory.results.keeps = true;
    pool->memory.inputs.holds_back = pool->memory.results.holds_back = &pool->memory.holds_back;
    pool->memory.arena.holds_back = pool->memory.work.holds_back = &pool->memory.holds_back;
    return 0;
}

static void unmake_memory(struct pool *pool) {
    pp_withheld_end(pool);
    pp_heap_end(&pool->memory.inputs);
    pp_heap_end(&pool->memory.results);
    pp_heap_end(&pool->memory.work);
    pp_heap_end(&pool->memory.arena);
    pp_queue_end(&pool->queue);
    pp_queue_end(&pool->short_of_room);
    pp_unmap(pool->slots.table, SLOTS_SIZE);
    pp_unmap(pool->slots.free, FREE_SLOTS_SIZE);
    pool->slots.table = NULL;
    pool->slots.free = NULL;
    pp_trace_unmake(&pool->shared.trace);
    pp_shared_unmake(&pool->shared);
}

static bool are_valid(const struct pool_options *options) {
    return pp_backend_of(options->backend) && options->max_load >= 0 && options->idle_timeout >= 0 &&
           options->stack_size <= SIZE_MAX / 8 && options->sandbox >= POOL_SANDBOX_NONE &&
           options->sandbox <= POOL_SANDBOX_COMPUTE;
}

static bool can_be_sandboxed(const struct pool_options *options) {
    return options->backend == POOL_PROCESSES && pp_sandbox_exists();
}

static void set_up_pool(struct pool *pool, const struct pool_options *options, int workers,
                        struct pp_carrier_setup *carrier) {
    pool->options = *options;
    pool->carrier = carrier;
    if (options->backend != POOL_PROCESSES) { /* a thread that sleeps costs little */
        pool->options.lazy = false;
        pool->options.idle_timeout = 0;
    }
    pool->workers = pool->wanted = (uint32_t)workers + (carrier ? 1 : 0);
    if (carrier && options->host_event) pool->due |= PP_DUE_HOSTS;
    pool->elastic = pool->options.lazy || pool->options.idle_timeout > 0;
    pool->owner = getpid();
    pool->made = pp_now();
    pool->fds = (struct pp_fds){.task_pipe = -1, .task_pipe_end = -1, .bell = -1, .bell_end = -1,
                                .command_pipe = -1, .command_pipe_end = -1, .lifeline = -1, .event = -1};
    pool->backend = pp_backend_of(options->backend);
    pool->in_here = pool->backend->in_here;
    pool->references = 1;
}

/* What workers find when they start. */
static void set_up_control(struct pool *pool) {
    struct pp_control *control = pool->shared.control;
    atomic_store_explicit(&control->workers, pool->workers, memory_order_relaxed);
    atomic_store_explicit(&control->wanted, pool->wanted, memory_order_relaxed);
    if (pool->options.lazy)
        atomic_store_explicit(&control->resting, pp_local_workers(pool, pool->wanted), memory_order_relaxed);
    pp_placement_set_cpus(&pool->shared, pool_cpu_count());
}

static void close_descriptors(struct pool *pool) {
    if (pool->fds.event != pool->fds.bell) pp_close(&pool->fds.event);
    pool->fds.event = -1;
    pool->due &= ~(unsigned)(PP_DUE_BELL | PP_DUE_HOSTS);
    pp_close(&pool->fds.task_pipe);
    pp_close(&pool->fds.task_pipe_end);
    pp_close(&pool->fds.bell);
    pp_close(&pool->fds.bell_end);
    pp_close(&pool->fds.lifeline);
    pp_close(&pool->fds.command_pipe);
    pp_close(&pool->fds.command_pipe_end);
}

static void unmake_pool(void *of) {
    struct pool *pool = of;
    close_descriptors(pool);
    unmake_memory(pool);
    pp_hosted_end(pool->carrier);
    pp_pool_free(pool);
}

/* With POOL_INLINE the initializer runs here, and may throw an exception. */
static int start_workers(struct pool *pool) {
    PP_GUARD(guard, unmake_pool, pool);
    int error = pool->backend->start(pool);
    pp_release_guard(&guard);
    return error;
}

static int make_pool(const struct pool_options *options, int workers, struct pp_carrier_setup *carrier,
                     struct pool **made) {
    struct pool *pool = pp_zalloc(1, sizeof *pool);
    int error = POOL_ENOMEM;
    if (pool) set_up_pool(pool, options, workers, carrier);
    if (!pool || !make_lock(pool)) {
        pp_hosted_end(carrier);
        pp_release(pool);
        return error;
    }
    atomic_fetch_add_explicit(&pp_child_pools, 1, memory_order_relaxed);
    error = make_memory(pool);
    if (error) goto fail;
    pool->mark = pp_map_unforked();
    if (pool->mark) *pool->mark = 1;
    set_up_control(pool);
    error = start_workers(pool);
    if (error) goto fail;
    if (carrier && !pp_hosted_await(pool)) {
        pool_destroy(pool);
        return POOL_EAGAIN;
    }
    *made = pool;
    return 0;
fail:
    unmake_pool(pool);
    return error;
}

int pool_create(const struct pool_options *options, struct pool **pool) {
    static const struct pool_options defaults;
    if (!pool) return POOL_EINVAL;
    if (!options) options = &defaults;
    if (!are_valid(options)) return POOL_EINVAL;
    if (options->sandbox && !can_be_sandboxed(options)) return POOL_ENOTSUP;
    int workers = pp_worker_count(options->workers);
    if (workers > 0 && options->backend == POOL_INLINE) workers = 1;
    struct pp_carrier_setup *carrier = NULL;
    int error = workers < 0 ? workers : pp_hosted_begin(options, &carrier);
    if (!error && carrier && workers == PP_WORKERS) workers--; /* its number is one of as many */
    return error ? error : make_pool(options, workers, carrier, pool);
}

/* ---- ending */

/* Finalizers too, which keep what waits from a new worker. */
static void kill_running(struct pool *pool) {
    pp_kill_running(pool);
    for (uint32_t w = 0; w < pool->workers; w++) {
        uint32_t life;
        if (!pp_record_may_kill_ending(&pool->shared, w, 0, &life)) continue;
        pp_kill_worker(pool, pp_state(0, PP_KILLED, w, life));
    }
}

/* Workers in the program's own process cannot be killed. They end when the tasks that they run have returned. Other
 * threads may use the pool meanwhile, and one that ends it as well waits here. */
static void end_workers(struct pool *pool) {
    while (pool->ending && !pool->ended) pthread_cond_wait(&pool->changed, &pool->lock);
    if (pool->ended) return;
    pool->ending = true;
    if (pool->in_here) {
        pp_cancel_pending(pool);
        kill_running(pool);
        pp_wake_waiting(pool);
    }
    pool->backend->end(pool);
    pp_advance(pool);
    pool->ended = true;
    pp_tracing_write(pool);
    pthread_cond_broadcast(&pool->changed);
}

/* Has the workers run their finalizers; after POOL_KILL_RUNNING only for a while. */
static int retire_all(struct pool *pool, int flags, uint64_t deadline) {
    if (!(flags & POOL_KILL_RUNNING) || pool->in_here) return pp_retire_all(pool, deadline);
    uint64_t end = pp_now() + FINALIZERS_NS;
    int error = pp_retire_all(pool, end < deadline ? end : deadline);
    return pp_now() < deadline ? 0 : error;
}

int pool_shutdown(struct pool *pool, int flags, int timeout) {
    if (!pool || timeout < -1 || (flags & ~(POOL_CANCEL_PENDING | POOL_KILL_RUNNING))) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    uint64_t deadline = pp_deadline(timeout);
    pp_lock_and_keep(pool);
    PP_GUARD(guard, pp_unlock_and_let_go, pool);
    pool->closed = true;
    if (!pool->ended) {
        pp_advance(pool);
        if (flags & POOL_CANCEL_PENDING) pp_cancel_pending(pool);
        if (flags & POOL_KILL_RUNNING) kill_running(pool);
        pp_wake_waiting(pool);
        atomic_store_explicit(&pool->shared.control->closing, 1, memory_order_release);
        pp_tell(pool, (struct pp_command){.kind = PP_CLOSE});
    }
    int error = 0;
    while (!error && pool->open > 0) error = pp_wait(pool, &(struct pp_goal){.baseline = pp_news(pool)}, deadline);
    if (!error && pool->options.finalizer) error = retire_all(pool, flags, deadline);
    if (!error) end_workers(pool);
    pp_release_guard(&guard);
    pp_unlock_and_let_go(pool);
    return error;
}

/* The last steps of pool_destroy(): no worker lives, and no call of another thread is outside. */
static void free_parts(void *of) {
    struct pool *pool = of;
    pp_reports_forget(pool); /* there are some if a last report has thrown an exception */
    pp_settle(pool);
    pp_futures_close(pool);
    pp_futures_keep_results(pool);
    pool->destroyed = true;
    close_descriptors(pool);
    unmake_memory(pool);
    pp_hosted_end(pool->carrier);
    pool->carrier = NULL;
    pp_unlock_and_let_go(pool);
}

void pool_destroy(struct pool *pool) {
    if (!pool || pp_is_foreign(pool)) return;
    pp_lock(pool);
    if (pool->destroyed) { /* this is a callback that pool_destroy() runs */
        pp_unlock(pool);
        return;
    }
    pool->closed = true;
    end_workers(pool);
    pp_break(pool, &(struct pool_failure){.error = POOL_ECANCELLED, .message = "the pool was ended"});
    pp_settle(pool);
    pp_await_others(pool);
    PP_GUARD(guard, free_parts, pool);
    pp_reports_run(pool);
    pp_release_guard(&guard);
    free_parts(pool);
}

/* ---- memory that it lends */

void *pool_alloc(struct pool *pool, size_t size) {
    if (!pool || pp_is_foreign(pool)) return NULL;
    pp_lock(pool);
    struct pp_huge_pages take;
    void *data = pp_alloc_fresh(&pool->memory.arena, size, true, &take);
    if (!data) { /* outcomes may be there whose tasks hold room */
        pp_advance(pool);
        data = pp_alloc_fresh(&pool->memory.arena, size, true, &take);
    }
    pp_unlock(pool);
    /* The kernel clears the pages; other threads need not wait for that. */
    bool used = size <= PP_SURELY_USED || size >= PP_HUGE_PAGE;
    if (used) pp_pages_take(&pool->memory.no_huge_pages, take);
    return data;
}

void pool_free(struct pool *pool, void *data) {
    if (!pool || !data || pp_is_foreign(pool)) return;
    pp_lock(pool);
    pp_heap_free(&pool->memory.arena, data);
    pp_unlock(pool);
}
