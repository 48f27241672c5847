/* Claiming: what makes a worker a worker, without running anything.
 *
 * A claimer takes tasks and chunks of jobs out of the shared memory and puts their outcomes back. It calls no function
 * of the program, sleeps nowhere and has no clock: what it has claimed is run by its owner, in this process or
 * elsewhere. A process may own several claimers, each with a worker's number and record of its own; one claimer holds
 * at most one task and one chunk at a time.
 *
 *     tickets  pp_claim_tickets()   pp_drop_tickets()
 *     a task   pp_claim_task()      run   pp_finish_task()
 *     a job    pp_claim_job()       chunks   pp_leave_job()
 *     chunks   pp_begin_visit()     pp_claim_chunk()   parts   pp_finish_chunk()   …   pp_end_visit()
 *        or                         pp_claim_chunk()   items   pp_finish_chunk()   …
 *        also, instead of pp_claim_chunk(), pp_take_over()
 *     a part   pp_begin_part()      pp_may_begin(), run, pp_finish_item()   …
 *     a call   pp_begin_call()      pp_may_begin(), run, pp_finish_item()
 *     an item  pp_may_begin()       pp_begin_item(), run, pp_finish_item()   pp_end_item()
 *
 * Invariant: each step is in the record before it is taken, so a claimer may be lost at any instruction: see record.h.
 * Where a function says "killed", the caller or the supervisor has swapped the state word of what this claimer ran, and
 * will kill the claimer's process: the claimer must touch nothing more, and its life ends. */
#ifndef PP_CLAIM_H
#define PP_CLAIM_H

#include <string.h>

#include "base/sys.h"
#include "shared/plan.h"
#include "shared/record.h"
#include "shared/ring.h"
#include "shared/shared.h"
#include "shared/state.h"
#include "shared/stretch.h"

#define PP_FENCED_MOST 200U /* items that fit in PP_CHUNK_NS, at most, for a fence not to matter */

/* The stretch that the claimer goes through; see stretch.h. */
struct pp_stretch {
    uint64_t bound;    /* as the claimer knows it */
    uint64_t expected; /* the same, or 0 if each item needs a fence: if the record has another, pp_heed() must look */
    uint64_t begin, end, shift;
    bool whole;        /* no worker has taken anything of it, and it was claimed */
};

struct pp_claimer {
    struct pp_shared *shared;
    struct pp_record *record;
    uint32_t number, life;
    uint32_t words;     /* visits and items that were begun: the generation of the record's word */
    bool has_barrier;   /* whether other claimers can let a barrier pass through this one; see stretch.h */
    bool timed;         /* whether the items of its job have a time-out */
    bool divides;       /* whether other workers may look at the chunks of its job, and take items */
    bool has_start;     /* whether the record's `started` may be other than 0 */
    uint64_t numbers;   /* the next number for a bound */
    struct pp_stretch stretch;
    uint64_t announced; /* entries written to the done ring */
    uint64_t rung;      /* the caller's wait for which this claimer has rung the bell */
};

/* Begins the claimer of this life of this worker. */
void pp_claimer_begin(struct pp_claimer *claimer, struct pp_shared *shared, uint32_t number, uint32_t life);

/* ---- Telling the caller. */

/* Whether the caller sleeps for what the ticket stands for, and this claimer has not been told to ring for that yet. */
static inline bool pp_would_ring(const struct pp_claimer *c, uint64_t ticket) {
    uint64_t waits = atomic_load_explicit(&c->shared->control->waits, memory_order_relaxed);
    return waits != 0 && waits != c->rung &&
           ((uint32_t)waits == PP_WAITS_ANY || (uint32_t)waits == pp_ticket_slot(ticket));
}

/* Announces that what the ticket stands for is to be looked at. Returns true if the owner must ring the caller's
 * bell. */
static inline bool pp_announce(struct pp_claimer *c, uint64_t ticket) {
    atomic_store_explicit(pp_done_entry(c->shared, c->number, c->announced), ticket, memory_order_relaxed);
    /* Release: pairs with the acquire in pp_record_announced(). */
    atomic_store_explicit(&c->record->done_tail, ++c->announced, memory_order_release);
    /* Orders the outcome before the look at `waits`. Pairs with the fence between the caller's store of `waits` and its
     * last look at outcomes: one of the two sides sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    PP_POINT("announced");
    if (!pp_would_ring(c, ticket)) return false;
    c->rung = atomic_load_explicit(&c->shared->control->waits, memory_order_relaxed);
    return true;
}

/* Rings the bell whose write end this is. Returns false if it cannot be rung: a full pipe has been rung. */
bool pp_ring_bell(int bell);

/* ---- Tasks. */

/* Takes up to `most` tickets from the ring, but leaves others their share. Returns how many. They are hints: each task
 * must still be claimed. pp_drop_tickets() once all were tried: a worker that for long is at a task, by its record, but
 * does not run it, is killed; see pp_examine(). */
static inline unsigned pp_claim_tickets(struct pp_claimer *c, unsigned most, uint64_t tickets[PP_CLAIMED_MOST]) {
    return pp_ring_take(c->shared, c->record, most, tickets);
}
static inline void pp_drop_tickets(struct pp_claimer *c) {
    atomic_store_explicit(&c->record->claimed[0], 0, memory_order_relaxed);
    atomic_store_explicit(&c->record->current, 0, memory_order_relaxed);
}

/* Leaves the ticket to the successor, before pp_drop_tickets(). The fence orders the two: see record.h. */
static inline void pp_bequeath(struct pp_claimer *c, uint64_t ticket) {
    atomic_store_explicit(&c->record->bequest, ticket, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}
/* What was inherited has been tried. */
static inline void pp_drop_bequest(struct pp_claimer *c) {
    atomic_store_explicit(&c->record->bequest, 0, memory_order_release);
}

/* The state word of a task that this claimer runs. */
static inline uint64_t pp_running_word(const struct pp_claimer *c, uint64_t ticket) {
    return pp_state(pp_ticket_generation(ticket), PP_RUNNING, c->number, c->life);
}

/* Whether no worker has started the task. A worker that comes to a ticket by way of another worker looks at the state
 * before it claims: most of the tasks whose tickets other workers hold are running, and each attempt takes the state's
 * line from the worker that runs it: bench_limits, "round-awake". */
static inline bool pp_task_is_not_started(const struct pp_claimer *c, uint64_t ticket) {
    return pp_ticket_word(c->shared, ticket) == pp_state(pp_ticket_generation(ticket), PP_PENDING, 0, 0);
}

/* Claims the task. Returns false if another claimer has it, or it is cancelled or finished. */
static inline bool pp_claim_task(struct pp_claimer *c, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket);
    if (slot >= PP_SLOTS) return false;
    if (c->has_start) {
        atomic_store_explicit(&c->record->started, 0, memory_order_relaxed);
        c->has_start = false;
    }
    /* Before the swap, which releases it: a death right after the swap must find which task was running. */
    atomic_store_explicit(&c->record->current, ticket, memory_order_relaxed);
    PP_POINT("about to begin");
    return pp_state_begin(&c->shared->outcomes[slot].state, pp_ticket_generation(ticket), c->number, c->life);
}

/* The task that was claimed has a time-out, and starts now. */
static inline void pp_start_clock(struct pp_claimer *c, uint64_t now) {
    c->has_start = true;
    /* Release: the supervisor, which has seen RUNNING, sees 0 or this. */
    atomic_store_explicit(&c->record->started, now, memory_order_release);
}
/* When the task or item that has a limit was started. */
static inline uint64_t pp_started(const struct pp_claimer *c) {
    return atomic_load_explicit(&c->record->started, memory_order_relaxed);
}
/* For a claimer that no supervisor watches: swaps what it runs to OVERDUE if it has run for so many ns since its start.
 * word: the state word of the task or item; running: what it says. */
void pp_check_clock(const struct pp_claimer *claimer, _Atomic uint64_t *word, uint64_t running, uint64_t most,
                    uint64_t now);

/* What came of a task or item. Its result is where the task's description or the plan says. */
struct pp_result {
    int code;
    int32_t pid;          /* code is not 0: of the process that ran it */
    const char *message;  /* likewise: PP_MESSAGE bytes with an end, perhaps empty */
    const uint64_t *size; /* a task, code is 0: of the result if that is less than its room; NULL: it is not */
    const void *data;     /* likewise: what goes behind the size: a short result in generous room, see PP_SHORT_RESULT,
                             or where in `extents` the result is; else NULL */
    size_t data_size;
};

enum pp_finished { PP_FINISHED, PP_FINISHED_RING /* the owner must ring the bell */, PP_FINISHED_KILLED };

/* Publishes the outcome of a claimed task and announces it. */
static inline enum pp_finished pp_finish_task(struct pp_claimer *c, uint64_t ticket, const struct pp_result *result) {
    uint32_t slot = pp_ticket_slot(ticket);
    struct pp_outcome *outcome = &c->shared->outcomes[slot];
    outcome->code = result->code;
    if (result->code != 0) {
        outcome->pid = result->pid;
        memcpy(c->shared->messages[slot], result->message, PP_MESSAGE);
    } else {
        outcome->resized = result->size != NULL;
        if (result->size) memcpy(c->shared->messages[slot], result->size, sizeof *result->size);
        if (result->data) memcpy(c->shared->messages[slot] + sizeof *result->size, result->data, result->data_size);
    }
    PP_POINT("ran");
    /* The swap releases the outcome to the caller, which reads DONE. */
    if (!pp_state_end(&outcome->state, pp_running_word(c, ticket))) return PP_FINISHED_KILLED;
    PP_POINT("published");
    return pp_announce(c, ticket) ? PP_FINISHED_RING : PP_FINISHED;
}

/* ---- Jobs. */

/* Enters the job, whose memory stays until pp_leave_job(). Returns NULL if it is over: then it must be left at once. */
const struct pp_job_plan *pp_claim_job(struct pp_claimer *claimer, uint64_t ticket);
/* What a claimer has found when it leaves a job: that it was over, or could not be worked on; that nothing is left to
 * claim; that something was left when it looked last. */
enum pp_leaving { PP_NOT_ENTERED, PP_NOTHING_LEFT, PP_SOMETHING_LEFT };
/* Leaves the job, which has or had that entry of the job table. The last claimer out of a job in which nothing is left
 * announces that. Returns true if the owner must ring the bell. */
bool pp_leave_job(struct pp_claimer *claimer, uint64_t ticket, uint32_t entry, enum pp_leaving found);

/* Whether the job is being killed, so that nothing more of it may be started. After pp_begin_visit(), pp_begin_item()
 * or pp_set_retired(). Pairs with pp_round_kill(), which sets `stop` and then looks at the records: it sees what was
 * begun, or the claimer sees that it is to stop. */
static inline bool pp_job_must_stop(const struct pp_job_plan *plan) {
    return atomic_load_explicit(&plan->stop, memory_order_seq_cst) != 0;
}

/* A visit: one word for all that is run of the job until pp_end_visit(). One swap serves many chunks: a caller that
 * kills a job does not care which of its items it hits. Returns the word. */
uint64_t pp_begin_visit(struct pp_claimer *claimer);
/* Returns false if the visit was killed. */
static inline bool pp_end_visit(struct pp_claimer *c, uint64_t visit) {
    return pp_item_end(&c->record->item, visit);
}
/* Relaxed: nothing else is read that the caller wrote before its swap. */
static inline bool pp_visit_was_killed(const struct pp_claimer *c, uint64_t visit) {
    return atomic_load_explicit(&c->record->item, memory_order_relaxed) != visit;
}

/* Instead of a visit, a word for each item: where the supervisor's clock may kill what runs, or the claimer may end
 * between two items. `now` is when the item is started. Returns the word. */
uint64_t pp_begin_item(struct pp_claimer *claimer, uint64_t position, uint64_t now);
/* Returns false if the item was killed, even if it has been run to its end. */
static inline bool pp_end_item(struct pp_claimer *c, uint64_t running) {
    return pp_item_end(&c->record->item, running);
}
/* The state word of the item that the claimer runs, for pp_check_clock(). */
static inline _Atomic uint64_t *pp_item_word(const struct pp_claimer *c) {
    return &c->record->item;
}

/* Lets others take what will not have begun of the chunk. sealed: its end. */
void pp_open_stretch(struct pp_claimer *claimer, uint64_t sealed, bool paced);

/* Puts the chunk into the record. paced: the pace tells that its items may be short. */
static inline void pp_record_chunk(struct pp_claimer *c, const struct pp_job_plan *plan, const struct pp_chunk *chunk,
                                   bool paced) {
    struct pp_record *record = c->record;
    struct pp_stretch *stretch = &c->stretch;
    uint64_t end = pp_plan_seal(plan, chunk->begin, chunk->end);
    /* A death between these stores must find an empty chunk: the claim is then found by its missing marks. */
    atomic_store_explicit(&record->end, 0, memory_order_release);
    atomic_store_explicit(&record->begin, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->progress, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->until, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->judged, 0, memory_order_release);
    atomic_store_explicit(&record->end, end, memory_order_release);
    stretch->begin = chunk->begin;
    stretch->end = chunk->end;
    if (c->divides) pp_open_stretch(c, end, paced);
    PP_POINT("recorded");
}

/* Before a claim, which releases it: a thief that sees that nothing is left to claim sees this claim coming. The last
 * chunk, which is finished, goes first: without its bound it would count with all that others have taken of it. */
static inline void pp_forget_chunk(struct pp_claimer *c) {
    atomic_store_explicit(&c->record->end, 0, memory_order_relaxed);
    atomic_store_explicit(&c->record->bound, PP_BOUND_NONE, memory_order_release);
}

/* Claims the next chunk, of at most `most` positions unless a single block is more. Returns false if nothing is
 * left. */
static inline bool pp_claim_chunk(struct pp_claimer *c, const struct pp_job_plan *plan, struct pp_pace *pace,
                                  uint64_t most, struct pp_chunk *chunk) {
    if (c->divides) pp_forget_chunk(c);
    if (!pp_plan_claim(plan, c->number, pace, most, chunk)) return false;
    PP_POINT("claimed");
    pp_record_chunk(c, plan, chunk, pace->items > PP_FENCED_MOST);
    return true;
}
/* Takes over what another worker has claimed of this job and not begun. Returns false if there is nothing. within: see
 * pp_stretch_take(). */
bool pp_take_over(struct pp_claimer *claimer, uint32_t from, uint64_t job, const struct pp_job_plan *plan,
                  uint64_t most, bool within, struct pp_chunk *chunk);

/* Before each item: whether nothing stands against it in the record; else pp_heed() must look. After pp_record_chunk()
 * or pp_finish_item(), which have stored the position. expected: of the claimer's stretch. */
static inline bool pp_may_begin(const struct pp_record *record, uint64_t expected) {
    /* The compiler must keep the order of the position and the look at the bound. For the processor, the barrier does:
     * see stretch.h. */
    atomic_signal_fence(memory_order_seq_cst);
    return atomic_load_explicit(&record->bound, memory_order_relaxed) == expected;
}
/* A thief looks at the claimer, which is at `position`, or has cut its stretch; or each item needs a fence. Returns the
 * end of the stretch: the claimer may go on while it is below it. PP_CLOSED: the last item is overdue, and the claimer
 * killed. */
#define PP_CLOSED UINT64_MAX
uint64_t pp_heed(struct pp_claimer *claimer, uint64_t position);

/* In a visit: from now on items are run, one after another. */
static inline void pp_begin_part(struct pp_claimer *c) {
    atomic_store_explicit(&c->record->until, PP_ONE_BY_ONE, memory_order_release);
}
/* The positions from the last that was finished to `end` are to be run in one call. If pp_heed() then says that the
 * stretch ends before, the call must be shorter, and begun anew. */
static inline void pp_begin_call(struct pp_record *record, uint64_t end) {
    atomic_store_explicit(&record->until, end, memory_order_release);
}
/* The item at `position` is finished, as are all before it in the chunk. Takes the record, so that a loop of short
 * items need not fetch its address again after each call of the program's function: bench_limits, "items". */
static inline void pp_finish_item(struct pp_record *record, uint64_t position) {
    atomic_store_explicit(&record->progress, position + 1, memory_order_release);
}
/* The item at `position`, the last that was finished, counts as running again. */
static inline void pp_unfinish_item(struct pp_claimer *c, uint64_t position) {
    atomic_store_explicit(&c->record->progress, position, memory_order_release);
}
/* Before pp_finish_item(): the item has failed. In any order within a call. */
void pp_fail_item(struct pp_claimer *claimer, const struct pp_job_plan *plan, uint64_t position,
                  const struct pp_result *result);
/* What was said of failed items of [begin, end) counts for nothing: they are run again. */
void pp_unfail_items(struct pp_claimer *claimer, const struct pp_job_plan *plan, uint64_t begin, uint64_t end);
/* The same as pp_finish_chunk(), for few chunks. */
void pp_finish_flawed_chunk(struct pp_claimer *claimer, const struct pp_job_plan *plan, const struct pp_chunk *chunk);
/* All items of the chunk, up to its end, which may have been cut, are finished. */
static inline void pp_finish_chunk(struct pp_claimer *c, const struct pp_job_plan *plan,
                                   const struct pp_chunk *chunk) {
    bool flawless = c->stretch.whole && atomic_load_explicit(&c->record->judged, memory_order_relaxed) == 0;
    if (flawless) pp_plan_mark(plan, chunk->first, chunk->last, false);
    else pp_finish_flawed_chunk(c, plan, chunk);
    PP_POINT("marked");
}
/* Where the position of the item that runs is kept. */
static inline const _Atomic uint64_t *pp_position_of(const struct pp_claimer *c) {
    return &c->record->progress;
}

/* ---- What the claimer tells of itself. */

/* For pool_stats(): so many tasks or items were run. */
static inline void pp_count_run(struct pp_claimer *c, uint64_t tasks) {
    uint64_t all = atomic_load_explicit(&c->record->tasks, memory_order_relaxed);
    atomic_store_explicit(&c->record->tasks, all + tasks, memory_order_relaxed);
}
/* The same: the claimer is busy since then; 0: it is idle. */
static inline void pp_set_busy_since(struct pp_claimer *c, uint64_t since) {
    atomic_store_explicit(&c->record->busy_since, since, memory_order_relaxed);
}
static inline bool pp_is_busy(const struct pp_claimer *c) {
    return atomic_load_explicit(&c->record->busy_since, memory_order_relaxed) != 0;
}
/* The same: it was busy for so many ns, and is now since then; 0: it is idle. */
static inline void pp_count_time(struct pp_claimer *c, uint64_t ns, uint64_t since) {
    uint64_t busy = atomic_load_explicit(&c->record->busy, memory_order_relaxed);
    atomic_store_explicit(&c->record->busy, busy + ns, memory_order_relaxed);
    /* Release: pairs with the acquire in pp_record_counts(), which then sees both. */
    atomic_store_explicit(&c->record->busy_since, since, memory_order_release);
}
/* From now on it ends its life by itself. why: PP_RETIRED… Pairs with pp_round_kill() as pp_job_must_stop() does. */
static inline void pp_set_retired(struct pp_claimer *c, uint32_t why, uint64_t now) {
    pp_start_clock(c, now);
    atomic_store_explicit(&c->record->retired, why, memory_order_seq_cst);
}

#endif
