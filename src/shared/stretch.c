#include "shared/stretch.h"

#include "base/sys.h"
#include "shared/pieces.h"
#include "shared/plan.h"

struct pp_prospect pp_stretch_look(const struct pp_shared *shared, uint32_t worker) {
    const struct pp_record *record = &shared->records[worker];
    struct pp_prospect seen = {.job = pp_record_job(record)};
    if (seen.job == 0) return seen;
    uint64_t bound = atomic_load_explicit(&record->bound, memory_order_acquire);
    seen.may_claim = pp_bound_state(bound) == PP_BOUND_NONE;
    if (pp_bound_state(bound) != PP_BOUND_OPEN && pp_bound_state(bound) != PP_BOUND_HALTED) return seen;
    uint64_t shift = pp_record_shift(record, bound);
    uint64_t progress = atomic_load_explicit(&record->progress, memory_order_acquire);
    uint64_t begun = pp_begun(progress, atomic_load_explicit(&record->until, memory_order_acquire));
    uint64_t end = pp_bound_position(pp_bound_number(bound), shift);
    if (progress < end) {
        seen.number = pp_bound_number(bound) - (end - progress);
        seen.left = begun < end ? end - begun : 0;
        seen.several = begun - progress > 1;
    }
    return seen;
}

/* The fence between the store of HALTED and the look at `progress`; it stands for the worker's, too. */
static bool let_barrier_pass(uint64_t bound, bool within) {
    atomic_thread_fence(memory_order_seq_cst);
    if (bound & PP_BOUND_FENCED) return true;
    return (!within || pp_barrier_allow()) && pp_barrier();
}

/* Returns the bound of the worker, halted, or 0. A worker that was halted before and has not gone on since is as good
 * as one that is halted now. */
static uint64_t halt(struct pp_record *record) {
    uint64_t bound = atomic_load_explicit(&record->bound, memory_order_acquire);
    uint64_t halted = pp_bound_with(bound, PP_BOUND_HALTED);
    bool is_halted = pp_bound_state(bound) == PP_BOUND_HALTED;
    return is_halted || (pp_bound_state(bound) == PP_BOUND_OPEN && pp_swap(&record->bound, bound, halted)) ? halted : 0;
}

bool pp_stretch_take(struct pp_shared *shared, uint32_t worker, uint64_t job, const struct pp_job_plan *plan,
                     uint64_t most, bool within, struct pp_chunk *chunk) {
    struct pp_record *record = &shared->records[worker];
    uint64_t halted = halt(record);
    if (!halted || !let_barrier_pass(halted, within)) return false;
    struct pp_snapshot seen = pp_record_snapshot(shared, worker);
    struct pp_chunk theirs;
    if (seen.bound != halted || seen.job != job || !pp_snapshot_chunk(&seen, plan, &theirs)) return false;
    uint64_t begun = pp_begun(seen.progress, seen.until);
    if (begun >= theirs.end) return false;
    uint64_t take = (theirs.end - begun + 1) / 2;
    uint64_t at = pp_pieces_cut(plan, begun, theirs.end, take < most ? take : most);
    if (at == theirs.end) return false;
    /* Before the swap: see the head of stretch.h. */
    atomic_fetch_add_explicit(&shared->status->thefts, 1, memory_order_seq_cst);
    PP_POINT("halted");
    uint64_t cut = pp_bound_with(halted, PP_BOUND_OPEN) - ((theirs.end - at) << PP_BOUND_BITS);
    if (!pp_swap(&record->bound, halted, cut)) return false;
    PP_POINT("taken over");
    *chunk = (struct pp_chunk){.first = at / plan->block, .last = theirs.last, .begin = at, .end = theirs.end};
    return true;
}

bool pp_stretch_stop(struct pp_shared *shared, uint32_t worker, uint64_t number) {
    struct pp_record *record = &shared->records[worker];
    uint64_t halted = halt(record);
    if (!halted || !let_barrier_pass(halted, false)) return false;
    PP_POINT("looking again");
    return pp_stretch_look(shared, worker).number == number &&
           pp_swap(&record->bound, halted, pp_bound_with(halted, PP_BOUND_CLOSED));
}

void pp_stretch_close(struct pp_shared *shared, uint32_t worker) {
    _Atomic uint64_t *word = &shared->records[worker].bound;
    uint64_t bound = atomic_load_explicit(word, memory_order_acquire);
    for (int tries = 0; pp_bound_state(bound) == PP_BOUND_OPEN || pp_bound_state(bound) == PP_BOUND_HALTED; tries++) {
        uint64_t closed = pp_bound_with(bound, PP_BOUND_CLOSED);
        if (tries == PP_TRIES) atomic_store_explicit(word, closed, memory_order_release); /* it is no thief */
        if (tries == PP_TRIES || pp_swap(word, bound, closed)) return;
        bound = atomic_load_explicit(word, memory_order_acquire);
    }
}
