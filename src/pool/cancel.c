#include "pool/cancel.h"

#include "pool/finish.h"
#include "pool/outcome.h"
#include "pool/tell.h"
#include "shared/state.h"

void pp_kill_worker(struct pool *pool, uint64_t running) {
    uint32_t life = (uint32_t)(running >> 16) & 0xffffU;
    pp_tell(pool, (struct pp_command){.kind = PP_KILL, .worker = pp_worker_of(running), .life = life});
}

void pp_kill_stray(struct pool *pool, uint32_t worker, uint32_t trace) {
    uint32_t life = atomic_load_explicit(&pool->shared.control->lives[worker], memory_order_relaxed);
    pp_tell(pool, (struct pp_command){.kind = PP_KILL, .worker = worker, .life = life, .value = trace});
}

int pp_task_cancel(struct pool *pool, struct future *future) {
    uint32_t slot = future->slot;
    if (slot == PP_NO_SLOT) {
        pp_future_finish(future, POOL_ECANCELLED, NULL);
        return 0;
    }
    uint32_t generation = pool->slots.table[slot].generation;
    if (!pp_state_cancel(&pool->shared.outcomes[slot].state, generation)) return POOL_EBUSY;
    pp_outcome_end(pool, slot, pp_state(generation, PP_CANCELLED, 0, 0));
    return 0;
}

void pp_task_kill(struct pool *pool, struct future *future) {
    if (future->slot == PP_NO_SLOT) return;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[future->slot].state, memory_order_acquire);
    if (pp_generation_of(state) != pool->slots.table[future->slot].generation) return;
    if (pp_state_kill(&pool->shared.outcomes[future->slot].state, state, PP_KILLED)) pp_kill_worker(pool, state);
}
