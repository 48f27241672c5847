#include "pool/audit.h"

#include "pool/cancel.h"
#include "pool/collect.h"
#include "pool/dispatch.h"
#include "pool/job.h"
#include "pool/outcome.h"
#include "pool/slots.h"
#include "shared/notice.h"
#include "shared/park.h"
#include "shared/ring.h"
#include "shared/state.h"

#define MOST_LOSSES 8

static uint64_t pending(const struct pool *pool, uint32_t slot) {
    return pp_state(pool->slots[slot].generation, PP_PENDING, 0, 0);
}

/* What a worker that lives says that it is about to begin, or runs, and its life; 0: there is none. */
static uint64_t current_of(const struct pool *pool, uint32_t worker, uint32_t *life) {
    /* First the life: of a later one a kill is not. */
    *life = atomic_load_explicit(&pool->shared.control->lives[worker], memory_order_acquire);
    bool lives = atomic_load_explicit(&pool->shared.control->pids[worker], memory_order_relaxed) != 0;
    return lives ? pp_record_current(&pool->shared.records[worker]) : 0;
}

/* Has a worker killed that says it is about to begin this task, and most likely runs it, though its word, `seen`, says
 * that nobody does: nothing else would end that. If it does not run it, it finds the word swapped, and stops before it
 * begins anything. False: there is none, or the word has changed. */
static bool doubt_beginner(struct pool *pool, uint32_t slot, uint64_t seen) {
    uint32_t w = 0, life;
    while (w < pool->workers && current_of(pool, w, &life) != pp_slot_ticket(pool, slot)) w++;
    uint32_t generation = pool->slots[slot].generation;
    if (w == pool->workers) return false;
    if (!pp_state_doubt(&pool->shared.outcomes[slot].state, seen, generation, w, life)) return false;
    pool->slots[slot].doubted = true;
    pp_kill_worker(pool, pp_state(generation, PP_KILLED, w, life));
    return true;
}

bool pp_audit_bear_loss(struct pool *pool, uint32_t slot, uint64_t seen) {
    if (++pool->slots[slot].losses <= MOST_LOSSES) return true;
    if (doubt_beginner(pool, slot, seen)) return false;
    /* Not if a worker begins it just now. */
    if (seen != pending(pool, slot) || pp_state_cancel(&pool->shared.outcomes[slot].state, pp_generation_of(seen)))
        pp_task_fail(pool, slot, POOL_ECORRUPT);
    return false;
}

/* Whether an earlier audit has found the same of this slot, or something like it: at one look workers may be in between
 * two steps. */
static bool is_found_again(struct pool *pool, uint32_t slot) {
    uint8_t *suspected = &pool->slots[slot].suspected;
    if (*suspected == 0) *suspected = pool->audit;
    return *suspected != pool->audit;
}

/* Whether the life of the worker that holds `state` is over, and its death was read. The system's word comes before the
 * notice. */
static bool holder_is_gone(struct pool *pool, uint32_t slot, uint64_t state) {
    uint32_t worker = pp_worker_of(state);
    if (worker >= pool->workers) return true;
    uint32_t life = atomic_load_explicit(&pool->shared.control->lives[worker], memory_order_acquire);
    bool lives = atomic_load_explicit(&pool->shared.control->pids[worker], memory_order_acquire) != 0;
    if (pp_notice_is_due(&pool->shared)) return false;
    return !pp_is_held_by(state, worker, life) || (!lives && is_found_again(pool, slot));
}

/* Whether the worker that `state` names says that it is at this slot's task: it does so before its swap, and until it
 * begins another or rests. */
static bool holder_agrees(struct pool *pool, uint32_t slot, uint64_t state) {
    uint64_t current = pp_record_current(&pool->shared.records[pp_worker_of(state)]);
    return current == pp_slot_ticket(pool, slot) ||
           atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire) != state; /* it went on */
}

/* Whether nobody has begun the task in the slot, or could, as far as its word says. */
static bool seems_unbegun(const struct pool *pool, uint32_t slot, uint64_t state) {
    if (pp_generation_of(state) != pool->slots[slot].generation) return true;
    switch (pp_phase_of(state)) {
    case PP_RUNNING:
    case PP_KILLED:
    case PP_OVERDUE:
    case PP_DONE: return false;
    default: return true;
    }
}

/* Whether by its word nobody who lives runs the task in the slot. */
static bool seems_not_to_run(struct pool *pool, uint32_t slot, uint64_t state) {
    if (seems_unbegun(pool, slot, state)) return true;
    return pp_phase_of(state) != PP_DONE && holder_is_gone(pool, slot, state);
}

/* Who has been about to begin, at two looks, what seems not to run, most likely runs it. What may have run, and was not
 * just lost, is not run again. */
static bool audit_beginners(struct pool *pool) {
    bool mended = false;
    for (uint32_t w = 0; w < pool->workers; w++) {
        uint32_t life;
        uint64_t ticket = current_of(pool, w, &life);
        const struct future *future = pp_slot_future(pool, ticket);
        if (!future || future->is_job) continue;
        uint32_t slot = pp_ticket_slot(ticket);
        uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
        if (!seems_not_to_run(pool, slot, state) || !is_found_again(pool, slot)) continue;
        if (state == pending(pool, slot)) pool->slots[slot].losses++;
        else pool->slots[slot].losses = MOST_LOSSES;
        mended |= doubt_beginner(pool, slot, state);
    }
    return mended;
}

enum having { NOBODY, HOLDS, BEGINS };

/* What workers' records say of the slot's ticket, which is not in the ring. */
static enum having who_has(const struct pool *pool, uint32_t slot) {
    uint64_t ticket = pp_slot_ticket(pool, slot);
    enum having having = NOBODY;
    for (uint32_t w = 0; w < pool->workers; w++) {
        uint32_t life;
        if (current_of(pool, w, &life) == ticket) return BEGINS;
        if (pp_record_holds(&pool->shared.records[w], ticket)) having = HOLDS;
    }
    return having;
}

/* The ring has no ticket, and this task is not begun. */
static bool audit_pending(struct pool *pool, uint32_t slot) {
    enum having having = who_has(pool, slot);
    if (having == HOLDS || (having == NOBODY && pp_audit_bear_loss(pool, slot, pending(pool, slot))))
        pp_ticket_again(pool, slot);
    return having == NOBODY;
}

static int why_lost(const struct pp_slot *slot, enum pp_phase phase) {
    switch (phase) {
    case PP_KILLED: return slot->doubted ? POOL_ECORRUPT : POOL_ECANCELLED;
    case PP_OVERDUE: return POOL_EDEADLINE;
    default: return POOL_EDIED;
    }
}

/* The word names a worker that lives. A kill that was lost is sent again; and where word and worker do not agree,
 * neither would ever end the other. */
static void audit_holder(struct pool *pool, uint32_t slot, uint64_t state) {
    if (pp_phase_of(state) == PP_KILLED || !holder_agrees(pool, slot, state)) pp_kill_worker(pool, state);
}

/* Whether it was mended, and may want mending again. */
static bool audit_slot(struct pool *pool, uint32_t slot, bool ring_is_empty) {
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
    if (state == pending(pool, slot)) return ring_is_empty && audit_pending(pool, slot);
    if (pp_is_done(state, pool->slots[slot].generation)) {
        pp_collect_slot(pool, slot, state);
    } else if (!seems_not_to_run(pool, slot, state)) {
        audit_holder(pool, slot, state);
    } else if (who_has(pool, slot) != BEGINS) { /* else audit_beginners() sees to it */
        bool unbegun = seems_unbegun(pool, slot, state);
        pp_task_fail(pool, slot, unbegun ? POOL_ECORRUPT : why_lost(&pool->slots[slot], pp_phase_of(state)));
    }
    return false;
}

bool pp_audit(struct pool *pool) {
    if (pool->broken || pool->ended) return false;
    pp_collect(pool);
    if (++pool->audit == 0) pool->audit = 1;
    if (!pp_ring_is_sound(&pool->shared)) pp_ring_repair(&pool->shared);
    bool ring_is_empty = pp_ring_is_empty(&pool->shared);
    bool mended = audit_beginners(pool);
    for (uint32_t slot = 0; slot < pool->fresh_slot; slot++) {
        struct future *future = pool->slots[slot].future;
        if (future && !future->is_job && !future->queued) mended |= audit_slot(pool, slot, ring_is_empty);
    }
    mended |= pp_jobs_audit(pool);
    pp_dispatch(pool);
    /* The bits of who sleeps may be wrong: everybody looks once. */
    if (pool->open) pp_wake_all(&pool->shared, pool->fds.task_pipe);
    return mended;
}
