#include "worker/claim.h"

#include <errno.h>

#include "shared/item_errors.h"

void pp_claimer_begin(struct pp_claimer *c, struct pp_shared *shared, uint32_t number, uint32_t life) {
    *c = (struct pp_claimer){.shared = shared, .record = &shared->records[number], .number = number, .life = life};
    c->announced = pp_record_announced(c->record);
    pp_item_none(&c->record->item, number, life);
}

bool pp_ring_bell(int bell) {
    return pp_write(bell, "", 1) == 1 || errno == EAGAIN;
}

/* ---- tasks */

void pp_check_clock(const struct pp_claimer *c, _Atomic uint64_t *word, uint64_t running, uint64_t most,
                    uint64_t now) {
    uint64_t took = now - atomic_load_explicit(&c->record->started, memory_order_relaxed);
    if (took >= most) pp_state_kill(word, running, PP_OVERDUE);
}

/* ---- jobs */

const struct pp_job_plan *pp_claim_job(struct pp_claimer *c, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket), generation = pp_ticket_generation(ticket);
    if (slot >= PP_SLOTS) return NULL;
    _Atomic uint64_t *state = &c->shared->outcomes[slot].state;
    atomic_store_explicit(&c->record->end, 0, memory_order_relaxed);
    atomic_store_explicit(&c->record->job, ticket, memory_order_seq_cst);
    PP_POINT("entered");
    /* Pairs with pp_round_is_over(), where the caller ends the job's state and then looks which workers are in it. The
     * plan may be read only if the state says RUNNING after the record named the job. */
    pp_state_begin(state, generation, c->number, c->life);
    uint64_t seen = atomic_load_explicit(state, memory_order_seq_cst);
    if (pp_generation_of(seen) != generation || pp_phase_of(seen) != PP_RUNNING) return NULL;
    return c->shared->descs[slot].in;
}

/* Each claimer stores that it is out, then looks at the others, both with sequential consistency: so one of them sees
 * all others out. That may be one that left something to claim. Meanwhile others may have claimed it, have seen this
 * claimer in, and have kept silent. So it looks at the cursors once more, after its look at the others: a claimer that
 * it saw out had moved them before. By then nothing keeps the plan in place, so the look needs a copy. If the caller
 * has reused the memory of the cursors, they are of another generation, and the claimer announces what the caller
 * knows. */
bool pp_leave_job(struct pp_claimer *c, uint64_t ticket, const struct pp_job_plan *unfinished) {
    struct pp_job_plan regions;
    if (unfinished) regions = pp_plan_regions_of(unfinished);
    PP_POINT(unfinished ? "turn over" : "leaving");
    atomic_store_explicit(&c->record->job, 0, memory_order_seq_cst);
    PP_POINT("left");
    if (pp_record_anybody_in(c->shared, ticket)) return false;
    return (!unfinished || pp_plan_is_used_up(&regions)) && pp_announce(c, ticket);
}

uint64_t pp_begin_visit(struct pp_claimer *c) {
    atomic_store_explicit(&c->record->single, PP_WHOLE_VISIT, memory_order_relaxed); /* before its word */
    return pp_item_begin(&c->record->item, ++c->words, c->number, c->life);
}

uint64_t pp_begin_item(struct pp_claimer *c, uint64_t position, uint64_t now) {
    c->has_start = true;
    atomic_store_explicit(&c->record->started, now, memory_order_relaxed);
    atomic_store_explicit(&c->record->single, position, memory_order_relaxed); /* both before the word */
    return pp_item_begin(&c->record->item, ++c->words, c->number, c->life);
}

/* The first failure of a chunk clears `failed` of all its items, which holds anything until then. The chunk's bounds
 * come from the record, which a task may have overwritten, so the plan's own bound counts, too. */
void pp_fail_item(struct pp_claimer *c, const struct pp_job_plan *plan, uint64_t position,
                  const struct pp_result *result) {
    struct pp_record *record = c->record;
    if (!atomic_load_explicit(&record->has_errors, memory_order_relaxed)) {
        uint64_t p = atomic_load_explicit(&record->begin, memory_order_relaxed);
        uint64_t end = pp_plan_seal(plan, p, atomic_load_explicit(&record->end, memory_order_relaxed));
        for (; p < end && p < plan->count; p++) atomic_store_explicit(&plan->failed[p], 0, memory_order_relaxed);
        atomic_store_explicit(&record->has_errors, 1, memory_order_release);
    }
    atomic_store_explicit(&plan->failed[position], 1, memory_order_relaxed);
    if (plan->codes) atomic_store_explicit(&plan->codes[position], result->code, memory_order_relaxed);
    pp_item_errors_note(plan->errors, plan->errors_room, position, result->code, result->pid, result->message);
}
