#include "pool/death.h"

#include "pool/cancel.h"
#include "pool/corpse.h"
#include "pool/describe.h"
#include "pool/dispatch.h"
#include "pool/finish.h"
#include "pool/outcome.h"
#include "pool/slots.h"
#include "shared/carried.h"
#include "shared/notice.h"
#include "shared/record.h"
#include "shared/state.h"

#define MOST_LOSSES 3

/* Kills workers that seem to run what has ended: they would hang in it. One that only tries to start it goes on. */
static void free_workers_at(struct pool *pool, uint64_t ticket) {
    for (uint32_t w = 0; w < pool->workers; w++) {
        if (pp_record_current(&pool->shared.records[w]) != ticket) continue;
        pp_kill_stray(pool, w, pp_record_trace(&pool->shared, w));
    }
}

bool pp_task_lost(struct pool *pool, uint32_t slot) {
    uint64_t ticket = pp_slot_ticket(pool, slot);
    if (++pool->slots.table[slot].future->losses < MOST_LOSSES) return false;
    /* Not if a worker starts it just now. */
    if (!pp_state_cancel(&pool->shared.outcomes[slot].state, pool->slots.table[slot].generation)) return false;
    free_workers_at(pool, ticket);
    pp_task_fail(pool, slot, POOL_ECORRUPT);
    return true;
}

/* Ends the task that a worker has died under, or has it run again; but not in the room that a corpse may write to. */
static void end_victim(struct pool *pool, struct future *future, enum pp_phase ended, const struct pp_notice *notice) {
    if (ended == PP_RUNNING && !notice->lingers && pp_task_try_again(pool, future)) {
        pp_submit_again(pool, future);
        return;
    }
    struct pool_failure failure;
    pp_describe_death(&failure, notice, ended,
                      (struct pp_limits){future->task.timeout, future->task.cpu_timeout});
    if (notice->lingers) pp_withhold_task(pool, future);
    else pp_slot_free(pool, future->slot);
    pp_future_finish(future, failure.error, &failure);
}

/* What the dead worker had at hand, by its record or as the carrier. */
static void died_at(struct pool *pool, struct future *future, const struct pp_notice *notice) {
    uint32_t slot = future->slot;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
    if (pp_generation_of(state) != pool->slots.table[slot].generation) return;
    if (!pp_is_held_by(state, notice->worker, notice->life)) return;
    switch (pp_phase_of(state)) {
    case PP_DONE: pp_outcome_end(pool, slot, state); break; /* it died before it could announce it */
    case PP_RUNNING:
    case PP_KILLED:
    case PP_OVERDUE:
    case PP_SPENT: end_victim(pool, future, pp_phase_of(state), notice); break;
    default: break;
    }
}

void pp_task_died(struct pool *pool, const struct pp_notice *notice) {
    struct future *future = pp_slot_future(pool, notice->left.current);
    if (!future || future->is_job) return;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[future->slot].state, memory_order_acquire);
    if (state != pp_state(pool->slots.table[future->slot].generation, PP_PENDING, 0, 0)) died_at(pool, future, notice);
    else if (!pp_task_lost(pool, future->slot)) pp_ticket_again(pool, future->slot);
}

/* The carrier says of no task in its record that it has it, since it has many: see carried.h. What was not given to a
 * host goes on as if nothing had happened. */
void pp_carrier_died(struct pool *pool, const struct pp_notice *notice) {
    for (uint32_t slot = 0; slot < pool->slots.fresh; slot++) {
        struct future *future = pool->slots.table[slot].future;
        if (!future || future->is_job) continue;
        bool carried = pp_is_carried(&pool->shared, pp_slot_ticket(pool, slot), notice->life);
        uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
        if (carried) pp_uncarry(&pool->shared, slot);
        if (pp_phase_of(state) != PP_PENDING) died_at(pool, future, notice);
        else if (carried) pp_ticket_again(pool, slot);
    }
}

static void send_again_if_pending(struct pool *pool, uint64_t ticket) {
    struct future *future = pp_slot_future(pool, ticket);
    if (!future || future->is_job) return;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[future->slot].state, memory_order_acquire);
    if (pp_phase_of(state) == PP_PENDING) pp_ticket_again(pool, future->slot);
}

/* A successor that died, or will not come, must not keep others from what was left to it: a task's ticket is sent
 * again, and a job's no longer counts. */
static void release_bequest(struct pool *pool, uint32_t worker, uint64_t ticket) {
    const struct future *future = pp_slot_future(pool, ticket);
    if (future && future->is_job) pp_swap(&pool->shared.records[worker].bequest, ticket, 0);
    send_again_if_pending(pool, ticket);
}

void pp_bequests_release(struct pool *pool) {
    for (uint32_t w = pool->wanted; w < pool->workers; w++)
        release_bequest(pool, w, pp_record_bequest(&pool->shared.records[w]));
}

void pp_claims_died(struct pool *pool, const struct pp_notice *notice) {
    bool has_successor = notice->left.retired && notice->worker < pool->wanted;
    uint64_t bequest = notice->left.bequest;
    for (int i = 0; i < PP_CLAIMED_MOST && notice->left.claimed[i] != 0; i++)
        if (notice->left.claimed[i] != bequest) send_again_if_pending(pool, notice->left.claimed[i]);
    if (bequest != 0 && !has_successor) release_bequest(pool, notice->worker, bequest);
}
