#include "worker/claim.h"

#include "base/sys.h"
#include "shared/item_errors.h"

void pp_claimer_begin(struct pp_claimer *c, struct pp_shared *shared, uint32_t number, uint32_t life) {
    *c = (struct pp_claimer){.shared = shared, .record = &shared->records[number], .number = number, .life = life};
    c->announced = pp_record_announced(c->record);
    c->numbers = (uint64_t)(life & 0xffffU) << 43;
    atomic_store_explicit(&c->record->bound, PP_BOUND_NONE, memory_order_relaxed);
    pp_item_none(&c->record->item, number, life);
}

bool pp_ring_bell(int bell) {
    return pp_ring(bell) >= 0;
}

/* ---- tasks */

void pp_check_clock(const struct pp_claimer *c, _Atomic uint64_t *word, uint64_t running, uint64_t most,
                    uint64_t now) {
    uint64_t took = now - atomic_load_explicit(&c->record->started, memory_order_relaxed);
    if (took >= most) pp_state_kill(word, running, PP_OVERDUE);
}

/* ---- stretches */

static void expect(struct pp_stretch *stretch, uint64_t bound) {
    stretch->bound = bound;
    stretch->expected = bound & PP_BOUND_FENCED ? 0 : bound;
}

/* The stretch cannot be cut. */
static void fix_stretch(struct pp_claimer *c) {
    c->stretch.bound = c->stretch.expected = PP_BOUND_FIXED;
    atomic_store_explicit(&c->record->bound, PP_BOUND_FIXED, memory_order_release);
}

void pp_open_stretch(struct pp_claimer *c, uint64_t sealed, bool paced) {
    struct pp_stretch *stretch = &c->stretch;
    stretch->whole = true;
    if ((stretch->end - stretch->begin < 2 && !c->timed) || (!c->has_barrier && paced)) {
        fix_stretch(c);
        return;
    }
    stretch->shift = c->numbers - stretch->begin;
    c->numbers += stretch->end - stretch->begin + 1;
    atomic_store_explicit(&c->record->shift[0], stretch->shift ^ sealed, memory_order_release);
    expect(stretch, (c->numbers - 1) << PP_BOUND_BITS | (c->has_barrier ? 0 : PP_BOUND_FENCED) | PP_BOUND_OPEN);
    /* Release: pairs with the acquire of a thief, which reads the rest of the record after it. */
    atomic_store_explicit(&c->record->bound, stretch->bound, memory_order_release);
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
    const struct pp_job_plan *plan = c->shared->descs[slot].in;
    c->timed = plan->timeout != 0;
    c->divides = plan->block > 1 || plan->chunk_blocks != 1 || c->timed;
    c->stretch.whole = true;
    if (!c->divides) fix_stretch(c);
    return plan;
}

/* Each claimer stores that it is out, then looks at the others, both with sequential consistency: so one of them sees
 * all others out. That may be one that left something to claim. Meanwhile others may have claimed it, have seen this
 * claimer in, and have kept silent. The one that claimed the last of it says so, in the entry's word, before it is out;
 * so this claimer finds it there, after its look at the others. It does not look at the cursors: by then nothing keeps
 * the plan in place. The word stays while the job does: no claimer of another job can write it. */
bool pp_leave_job(struct pp_claimer *c, uint64_t ticket, uint32_t entry, enum pp_leaving found) {
    _Atomic uint64_t *used_up = &c->shared->status->used_up[entry];
    /* Relaxed, both: a claimer that sees this one out by `job` sees it. */
    if (found == PP_NOTHING_LEFT) atomic_store_explicit(used_up, ticket, memory_order_relaxed);
    PP_POINT(found == PP_SOMETHING_LEFT ? "turn over" : "leaving");
    atomic_store_explicit(&c->record->job, 0, memory_order_seq_cst);
    PP_POINT("left");
    if (pp_record_anybody_in(c->shared, ticket)) return false;
    if (found == PP_SOMETHING_LEFT && atomic_load_explicit(used_up, memory_order_relaxed) != ticket) return false;
    return pp_announce(c, ticket);
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

bool pp_take_over(struct pp_claimer *c, uint32_t from, uint64_t job, const struct pp_job_plan *plan,
                  uint64_t most, bool within, struct pp_chunk *chunk) {
    pp_forget_chunk(c);
    if (!pp_stretch_take(c->shared, from, job, plan, most, within, chunk)) return false;
    pp_record_chunk(c, plan, chunk, false);
    c->stretch.whole = false;
    return true;
}

/* The bound is no word that another would write: a task has overwritten it. The claimer keeps to the end that it
 * knows. */
static uint64_t mend_bound(struct pp_claimer *c) {
    fix_stretch(c);
    return c->stretch.end;
}

/* The same end under new numbers, so that what others have seen of the stretch is worth nothing. */
static bool renew_bound(struct pp_claimer *c, uint64_t halted, uint64_t position, uint64_t end) {
    struct pp_stretch *stretch = &c->stretch;
    uint64_t shift = c->numbers - position;
    uint64_t next = (c->numbers + (end - position)) << PP_BOUND_BITS |
                    ((halted & (PP_BOUND_FENCED | PP_BOUND_SHIFT)) ^ PP_BOUND_SHIFT) | PP_BOUND_OPEN;
    c->numbers += end - position + 1;
    uint64_t sealed = atomic_load_explicit(&c->record->end, memory_order_relaxed);
    atomic_store_explicit(&c->record->shift[next & PP_BOUND_SHIFT ? 1 : 0], shift ^ sealed, memory_order_release);
    if (!pp_swap(&c->record->bound, halted, next)) return false;
    expect(stretch, next);
    stretch->shift = shift;
    return true;
}

uint64_t pp_heed(struct pp_claimer *c, uint64_t position) {
    struct pp_stretch *stretch = &c->stretch;
    /* Orders the position before the look at the bound; pairs with the fence in let_barrier_pass(), stretch.c. */
    if (stretch->expected == 0) atomic_thread_fence(memory_order_seq_cst);
    for (;;) {
        uint64_t bound = atomic_load_explicit(&c->record->bound, memory_order_acquire);
        if (bound == stretch->bound) return stretch->end;
        uint64_t end = pp_bound_position(pp_bound_number(bound), stretch->shift);
        bool halted = pp_bound_state(bound) == PP_BOUND_HALTED;
        bool is_one = halted || pp_bound_state(bound) == PP_BOUND_OPEN;
        bool was_one = pp_bound_state(stretch->bound) == PP_BOUND_OPEN;
        bool closed = pp_bound_state(bound) == PP_BOUND_CLOSED;
        if ((!is_one && !closed) || !was_one || end < position || end > stretch->end) return mend_bound(c);
        if (closed) return PP_CLOSED;
        if (halted && !renew_bound(c, bound, position, end)) continue;
        if (!halted) expect(stretch, bound);
        if (end != stretch->end) stretch->whole = false;
        return stretch->end = end;
    }
}

/* Clears `failed` of the items of the chunk for which it is not valid yet, up to `end`: it holds anything until then.
 * What lies behind may be another worker's. */
static void clear_failed(const struct pp_claimer *c, const struct pp_job_plan *plan, uint64_t end) {
    uint64_t p = atomic_load_explicit(&c->record->judged, memory_order_relaxed);
    if (p < c->stretch.begin) p = c->stretch.begin;
    for (; p < end; p++) atomic_store_explicit(&plan->failed[p], 0, memory_order_relaxed);
}

void pp_fail_item(struct pp_claimer *c, const struct pp_job_plan *plan, uint64_t position,
                  const struct pp_result *result) {
    clear_failed(c, plan, position);
    atomic_store_explicit(&plan->failed[position], 1, memory_order_relaxed);
    if (plan->codes) atomic_store_explicit(&plan->codes[position], result->code, memory_order_relaxed);
    pp_item_errors_note(plan->errors, plan->errors_room, position, result->code, result->pid, result->message);
    if (position >= atomic_load_explicit(&c->record->judged, memory_order_relaxed))
        atomic_store_explicit(&c->record->judged, position + 1, memory_order_release);
}

void pp_unfail_items(struct pp_claimer *c, const struct pp_job_plan *plan, uint64_t begin, uint64_t end) {
    uint64_t judged = atomic_load_explicit(&c->record->judged, memory_order_relaxed);
    for (uint64_t p = begin; p < end && p < judged; p++)
        atomic_store_explicit(&plan->failed[p], 0, memory_order_relaxed);
}

void pp_finish_flawed_chunk(struct pp_claimer *c, const struct pp_job_plan *plan, const struct pp_chunk *chunk) {
    bool has_errors = atomic_load_explicit(&c->record->judged, memory_order_relaxed) != 0;
    if (has_errors) clear_failed(c, plan, chunk->end);
    pp_plan_finish(plan, chunk, has_errors);
}
