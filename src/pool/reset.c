#include "pool/reset.h"

#include <string.h>

#include "pool/death.h"
#include "pool/dispatch.h"
#include "pool/job.h"
#include "pool/outcome.h"
#include "pool/tell.h"
#include "shared/ring.h"

#define MOST_IN_VAIN 3 /* resets from one to the next of which nothing was completed */

uint64_t pp_count_completed(const struct pool *pool) {
    uint64_t items, done, failed;
    pp_jobs_count(pool, &items, &done, &failed);
    return pool->finished + pool->totals.items_done + done;
}

void pp_reset_begin(struct pool *pool) {
    /* The end of the last one comes first. */
    if (!pp_tell_again(pool) || !pp_tell(pool, (struct pp_command){.kind = PP_RESET})) return;
    pool->reset.under_way = true;
    if (pp_count_completed(pool) != pool->reset.completed) pool->reset.in_vain = 0;
    pool->reset.in_vain++;
}

/* As when the pool was made, but the ring has all tickets that it has room for, as if no worker had taken any. */
static void set_memory_back(struct pool *pool) {
    struct pp_shared *shared = &pool->shared;
    memset(shared->status, 0, sizeof *shared->status);
    memset(shared->records, 0, pool->workers * sizeof *shared->records);
    memset(pool->done_heads, 0, sizeof pool->done_heads);
    memset(pool->looks.strays, 0, sizeof pool->looks.strays);
    memset(pool->looks.in_vain, 0, sizeof pool->looks.in_vain);
    pool->wakes = (struct pp_wakes){0};
    pp_ring_set_back(shared);
}

static bool is_hopeless(const struct pool *pool) {
    return pool->reset.in_vain > MOST_IN_VAIN;
}

/* Ends the task in the slot, or queues it again. If its word says KILLED or OVERDUE, no notice has confirmed it, so a
 * task may have written the word. */
static void settle_task(struct pool *pool, uint32_t slot) {
    struct future *future = pool->slots.table[slot].future;
    uint64_t word = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_relaxed);
    uint32_t generation = pool->slots.table[slot].generation;
    if (pp_outcome_take(pool, slot)) return;
    bool has_not_started = future->queued || word == pp_state(generation, PP_PENDING, 0, 0);
    bool ran = pp_generation_of(word) == generation && pp_phase_of(word) == PP_RUNNING;
    bool goes_on = !is_hopeless(pool) && (has_not_started || (ran && pp_task_try_again(pool, future)));
    if (goes_on) pp_queue_again(pool, future);
    else pp_task_fail(pool, slot, POOL_ECORRUPT);
}

void pp_reset_finish(struct pool *pool) {
    if (!pool->reset.under_way || pool->broken || pool->ended) return;
    set_memory_back(pool);
    pp_jobs_recover(pool, is_hopeless(pool));
    pp_recall_tickets(pool);
    for (uint32_t slot = 0; slot < pool->slots.fresh; slot++)
        if (pool->slots.table[slot].future && !pool->slots.table[slot].future->is_job) settle_task(pool, slot);
    if (is_hopeless(pool)) pool->reset.in_vain = 0;
    pool->reset.under_way = false;
    pool->reset.completed = pp_count_completed(pool);
    pp_tell(pool, (struct pp_command){.kind = PP_RESUME});
    pp_dispatch(pool);
}
