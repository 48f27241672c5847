#include "pool/collect.h"

#include "pool/alloc.h"
#include "pool/break.h"
#include "pool/corpse.h"
#include "pool/death.h"
#include "pool/describe.h"
#include "pool/dispatch.h"
#include "pool/job.h"
#include "pool/outcome.h"
#include "pool/reset.h"
#include "pool/slots.h"
#include "pool/tell.h"
#include "pool/vain.h"
#include "shared/carried.h"
#include "shared/notice.h"
#include "shared/park.h"

/* ---- the done rings */

static void collect_ticket(struct pool *pool, uint64_t ticket) {
    const struct future *future = pp_slot_future(pool, ticket);
    if (!future) return;
    if (future->is_job) pp_job_look(pool, future->job);
    else pp_outcome_take(pool, pp_ticket_slot(ticket));
}

#define AHEAD 8 /* outcomes that are prefetched before they are taken in */

static void prefetch_outcome(const struct pool *pool, uint32_t slot) {
    const struct future *future = pool->slots.table[slot].future;
    if (!future) return;
    pp_prefetch(&pool->shared.outcomes[slot]);
    pp_prefetch(future);
    pp_prefetch(&future->observers);
    pp_prefetch(future->small);
    if (!pool->memory.has_generous) return;
    pp_prefetch(pool->shared.messages[slot]); /* which may have a short result */
    pp_prefetch(pool->shared.messages[slot] + PP_LINE);
}

/* Finds what a ring that ran over announced. */
static void collect_all_slots(struct pool *pool) {
    for (uint32_t slot = 0; slot < pool->slots.fresh; slot++) {
        if (slot + AHEAD < pool->slots.fresh) prefetch_outcome(pool, slot + AHEAD);
        pp_outcome_take(pool, slot);
    }
    pp_jobs_look(pool);
}

/* Returns false if its ring ran over; then collect_all_slots() must find what it announced. */
static bool collect_worker(struct pool *pool, uint32_t worker) {
    const struct pp_record *record = &pool->shared.records[worker];
    const struct pp_shared *shared = &pool->shared;
    uint64_t head = pool->done_heads[worker], room = (uint64_t)1 << shared->done_bits;
    uint64_t tail = pp_record_announced(record);
    if (tail == head) return true;
    pool->done_heads[worker] = tail;
    if (tail - head > room / 2) return false;
    for (uint64_t i = head; i != tail; i++) {
        uint64_t ahead = atomic_load_explicit(pp_done_entry(shared, worker, i + AHEAD), memory_order_relaxed);
        if (tail - i > AHEAD) prefetch_outcome(pool, pp_ticket_slot(ahead) % PP_SLOTS);
        collect_ticket(pool, atomic_load_explicit(pp_done_entry(shared, worker, i), memory_order_relaxed));
    }
    /* If the worker has written over entries while they were read, it ran over as well. */
    return pp_record_announced(record) - head <= room;
}

static void collect_workers(struct pool *pool) {
    bool all = true;
    for (uint32_t w = 0; w < pool->workers; w++) all &= collect_worker(pool, w);
    if (all) return;
    collect_all_slots(pool);
    pp_note_vain(pool, PP_VAIN_SEARCH);
}

/* ---- notices */

static void worker_died(struct pool *pool, const struct pp_notice *notice) {
    if (notice->worker >= PP_WORKERS) return;
    pool->totals.died += notice->left.retired == 0;
    pool->ended_lives[notice->worker] = notice->life;
    if (notice->lingers) pp_corpse_came(pool);
    /* First of all, since a look at a job may find its round over: the dead worker is in it no more, and only the
     * notice says what it left. */
    pp_job_died(pool, notice);
    if (!collect_worker(pool, notice->worker)) collect_all_slots(pool);
    pp_task_died(pool, notice);
    if (pp_carriers(&pool->shared) && notice->worker == PP_CARRIER) pp_carrier_died(pool, notice);
    pp_claims_died(pool, notice);
    pp_sweep_extents(pool);
    pp_wake_another(&pool->shared, pool->fds.task_pipe, &pool->wakes);
}

static void pool_broke(struct pool *pool, const struct pp_notice *notice) {
    struct pool_failure why;
    pp_describe_break(&why, notice);
    pp_break(pool, &why);
}

static void read_notices(struct pool *pool) {
    struct pp_notice notice;
    bool supervisor_waits;
    while (pp_notice_read(&pool->shared, &notice, &supervisor_waits)) {
        if (supervisor_waits) pp_tell(pool, (struct pp_command){.kind = PP_ROOM});
        if (notice.kind == PP_WORKER_DIED) worker_died(pool, &notice);
        else if (notice.kind == PP_CORPSE_GONE) pp_corpse_gone(pool);
        else if (notice.kind == PP_ALL_DIED) pp_reset_finish(pool);
        else pool_broke(pool, &notice);
        if (!pp_notice_waits(&pool->shared)) pp_jobs_look(pool);
    }
}

/* ---- taking in */

void pp_collect(struct pool *pool) {
    if (pool->ended) return;
    collect_workers(pool);
    if (pp_notice_waits(&pool->shared)) read_notices(pool);
    if (pool->queue.count || pool->short_of_room.count) pp_dispatch(pool);
    if (!pp_list_is_empty(&pool->jobs.waiting)) pp_jobs_look(pool);
    if (pool->memory.holds_back) pp_memory_settle(pool);
}

/* The worker writes the state word before it announces the outcome, and a caller that waits awake looks at the word. */
void pp_collect_for(struct pool *pool, const struct future *future) {
    if (pool->ended) return;
    pp_collect(pool);
    if (future->slot != PP_NO_SLOT) pp_outcome_take(pool, future->slot);
}
