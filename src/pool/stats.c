/* pool_stats(): what a pool does and has done.
 *
 * The caller counts what is done. For what runs it reads the marks of jobs and the workers' records. Workers count in
 * lines of their own that they write anyway.
 *
 * Invariant: whatever a record says, no figure exceeds what the caller knows to be possible. */
#include "base/memory.h"
#include "base/sys.h"
#include "pool/call.h"
#include "pool/describe.h"
#include "pool/hosted.h"
#include "pool/job.h"
#include "shared/activity.h"
#include "shared/record.h"

static uint64_t at_most(uint64_t value, uint64_t most) {
    return value < most ? value : most;
}

/* given: tasks and items that the pool ever had, with retries. */
static struct pool_worker_stats look_at(const struct pool *pool, uint32_t w, uint64_t now, uint64_t given) {
    struct pool_worker_stats worker = {.host = ""};
    worker.pid = (pid_t)atomic_load_explicit(&pool->shared.control->pids[w], memory_order_acquire);
    if (worker.pid == 0 || pool->ended) return (struct pool_worker_stats){.host = ""};
    struct pp_record_counts counts = pp_record_counts(&pool->shared.records[w]);
    uint64_t since = counts.busy_since, busy = counts.busy;
    worker.busy = since != 0;
    worker.tasks = at_most(counts.tasks, given);
    uint64_t current = since != 0 && since < now ? now - since : 0;
    worker.busy_ns = at_most(busy > UINT64_MAX - current ? UINT64_MAX : busy + current, now - pool->made);
    struct pp_activity at = pp_activity_of(&pool->shared, w);
    worker.fn = at.fn;
    worker.item = at.fn ? (size_t)at.item : 0;
    worker.item_ns = at.fn && at.since != 0 && at.since < now ? at_most(now - at.since, now - pool->made) : 0;
    return worker;
}

static void count_work(const struct pool *pool, struct pool_stats *stats, uint64_t *given) {
    uint64_t items, done, failed;
    pp_jobs_count(pool, &items, &done, &failed);
    done = at_most(done, items);
    stats->done = pool->finished - pool->totals.jobs_finished + pool->totals.items_done + done;
    stats->failed = pool->totals.tasks_failed + pool->totals.items_failed + at_most(failed, done);
    stats->queued = pool->open - pool->open_jobs + items - done; /* with what runs */
    stats->retried = pool->totals.retried;
    stats->died = pool->totals.died;
    *given = stats->done + stats->queued + stats->retried;
}

static void count_workers(const struct pool *pool, struct pool_stats *stats, uint64_t given) {
    uint64_t now = pp_now();
    bool elsewhere = atomic_load_explicit(&pool->shared.control->elsewhere, memory_order_acquire) != 0;
    stats->workers = (int)pp_local_workers(pool, pool->wanted);
    stats->busy = stats->idle = stats->listed = 0;
    for (uint32_t w = pp_carriers(&pool->shared); w < pool->workers; w++) {
        struct pool_worker_stats worker = look_at(pool, w, now, given);
        if (worker.pid != 0) *(worker.busy ? &stats->busy : &stats->idle) += 1;
        if (stats->listed >= stats->room || (worker.pid == 0 && w >= pool->wanted)) continue;
        if (worker.pid != 0 && !elsewhere) worker.peak_memory = pp_memory_peak(worker.pid);
        stats->list[stats->listed++] = worker;
    }
    pp_hosted_list(pool, stats, given);
}

int pool_stats(struct pool *pool, struct pool_stats *stats) {
    if (!pool || !stats || stats->room < 0 || (!stats->list && stats->room > 0)) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    uint64_t given;
    pp_lock(pool);
    pp_advance(pool);
    count_work(pool, stats, &given);
    count_workers(pool, stats, given);
    uint64_t shortage = atomic_load_explicit(&pool->shared.control->shortage, memory_order_acquire);
    uint64_t away = pp_hosted_running(pool);
    pp_unlock(pool);
    pp_describe_shortage(&stats->shortage, shortage);
    stats->running = at_most((uint64_t)stats->busy + away, stats->queued);
    stats->queued -= stats->running;
    return 0;
}
