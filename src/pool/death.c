#include "pool/death.h"

#include "pool/audit.h"
#include "pool/describe.h"
#include "pool/dispatch.h"
#include "pool/finish.h"
#include "pool/outcome.h"
#include "pool/slots.h"
#include "shared/notice.h"
#include "shared/state.h"

/* Ends the task that a worker has died under, or has it run again. */
static void end_victim(struct pool *pool, struct future *future, enum pp_phase ended, const struct pp_notice *notice) {
    if (ended == PP_RUNNING && future->task.tries < future->task.retries) {
        future->task.tries++;
        pool->totals.retried++;
        pp_submit_again(pool, future);
        return;
    }
    struct pool_failure failure;
    pp_describe_death(&failure, notice, ended, future->task.timeout);
    pp_slot_free(pool, future->slot);
    pp_future_finish(future, failure.error, &failure);
}

void pp_task_died(struct pool *pool, const struct pp_notice *notice) {
    struct future *future = pp_slot_future(pool, notice->left.current);
    if (!future || future->is_job) return;
    uint32_t slot = future->slot;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
    if (pp_generation_of(state) != pool->slots[slot].generation) return;
    if (pp_phase_of(state) == PP_PENDING) {
        pp_audit_bear_loss(pool, slot, state);
        return;
    }
    if (!pp_is_held_by(state, notice->worker, notice->life)) return;
    if (pp_phase_of(state) == PP_KILLED && pool->slots[slot].doubted) {
        pool->slots[slot].doubted = false;
        if (!pp_audit_bear_loss(pool, slot, state)) return;
        pp_state_submit(&pool->shared.outcomes[slot].state, pp_generation_of(state)); /* whoever held it is dead */
        pp_ticket_again(pool, slot);
        return;
    }
    switch (pp_phase_of(state)) {
    case PP_DONE: pp_collect_slot(pool, slot, state); break; /* it died before it could announce it */
    case PP_RUNNING:
    case PP_KILLED:
    case PP_OVERDUE: end_victim(pool, future, pp_phase_of(state), notice); break;
    default: break;
    }
}

void pp_claims_died(struct pool *pool, const struct pp_notice *notice) {
    for (int i = 0; i < PP_CLAIMED_MOST && notice->left.claimed[i] != 0; i++) {
        struct future *future = pp_slot_future(pool, notice->left.claimed[i]);
        if (!future || future->is_job) continue;
        uint64_t state = atomic_load_explicit(&pool->shared.outcomes[future->slot].state, memory_order_acquire);
        if (pp_phase_of(state) == PP_PENDING) pp_ticket_again(pool, future->slot);
    }
}
