/* The record of a worker: what it holds and what it does, in shared memory that the worker itself writes.
 *
 * A worker may die at any instruction, so it writes each step into its record before it takes the step. The caller and
 * the supervisor read the record of a worker that lives field by field, by the functions below, and the record of a
 * dead worker once, as a snapshot (struct pp_snapshot), which the notice of the death carries.
 *
 * Invariant: no ticket, task or chunk is in a worker's hands unless the worker's record says so, save for a chunk
 * between its claim and its record: that chunk is found by its missing marks.
 * Every value is untrusted: a task may have overwritten the record. The caller checks each against its own tables.
 * Fields are read by record.c and the functions below, and written by the worker's own files and ring.c (`claimed`). */
#ifndef PP_RECORD_H
#define PP_RECORD_H

#include "shared/bound.h"
#include "shared/shared.h"
#include "shared/state.h"
#include "shared/ticket.h"

#define PP_CLAIMED_MOST 8 /* tickets a worker may take at a time */

struct pp_chunk;
struct pp_job_plan;

enum { PP_RETIRED = 1, PP_RETIRED_IDLE };

#define PP_ONE_BY_ONE UINT64_MAX /* no position */

#define PP_WHOLE_VISIT UINT64_MAX /* no position: `item` is the word of a visit */

/* The worker alone writes a field, where no other writer is named. The supervisor (in a backend without processes the
 * worker's own thread, between two lives) clears the fields when a life begins and after it has ended. Each line's
 * comment says what the order of the writes means to a reader. */
struct pp_record {
    /* Tickets that the worker has taken from the ring and perhaps not started; the first 0 ends them. Written before
     * the swap that moves the ring's head past them (release), so that a reader that sees the head moved sees them.
     * Read by idle workers, which steal from it, and by the caller. */
    _Alignas(PP_LINE) _Atomic uint64_t claimed[PP_CLAIMED_MOST];

    /* Ticket of the task that the worker tries to claim, or runs. Written before the swap of the task's state word
     * (release); so a state word that names this worker implies this ticket. Read by the caller and the supervisor. */
    _Alignas(PP_LINE) _Atomic uint64_t current;
    /* Ticket of the job that the worker is in; 0: none. While it is set, the caller keeps the job's memory. Written and
     * read with sequential consistency: the worker sets it and then looks at the job's state word, the caller ends the
     * state word and then looks at this. Read by the caller, the supervisor and other workers. */
    _Atomic uint64_t job;
    /* State word of the worker's visit to the job, or of the item that it runs there; see state.h. The caller swaps it
     * to KILLED, the supervisor to OVERDUE. */
    _Atomic uint64_t item;
    /* When the task or item that has a time-out, or the finalizer, was started, ns; 0: not known. Set to 0 before the
     * task's state says RUNNING; the supervisor swaps what makes no sense for the time of its look. */
    _Atomic uint64_t started;
    /* The chunk is the positions [begin, end), where `end` is sealed: see pp_plan_seal(). It is 0 while the others are
     * written, so that a death in between leaves an empty chunk. Read by the caller and by thieves. */
    _Atomic uint64_t begin, end;
    /* The first position of the chunk that is not finished. Written after the item's result (release). Read by the
     * caller, by thieves, and by task_index() in the worker. */
    _Atomic uint64_t progress;
    /* The position of the item that `item` is the word of, or PP_WHOLE_VISIT. Written before `item`. */
    _Atomic uint64_t single;
    /* The end of what the worker has started: it runs the positions [progress, until), in one call of a block function.
     * PP_ONE_BY_ONE: each position has a call of its own, and the worker has started the one at `progress`. Where items
     * have words of their own, only calls of a block function are noted here. Written before the first of the positions
     * is started, and before the look at `bound`. Read by the caller, by thieves and by the supervisor. */
    _Atomic uint64_t until;
    /* The end of what the worker runs of the chunk, in two words: see stretch.h. Thieves swap `bound`, too, and the
     * supervisor after the worker's death. `shift` is written before the bound that has it (release), and sealed with
     * `end`, by a xor. */
    _Atomic uint64_t bound, shift[2];
    /* If one of the finished items of the chunk has failed, the position up to which the plan's `failed` is valid; else
     * 0. Written after it was (release). */
    _Atomic uint64_t judged;

    /* Whether the worker has left last words: enum pp_last; see last_words.h. Written after them (release), read after
     * the worker's death. */
    _Alignas(PP_LINE) _Atomic uint32_t last;
    /* Why the worker ends its life by itself: PP_RETIRED…; 0: it does not. Written after `started`, which then is when
     * it began to end, and with sequential consistency: the worker sets it and then looks whether its job must stop,
     * the caller tells the job to stop and then looks at this. Read by the caller and the supervisor. */
    _Atomic uint32_t retired;
    /* The bequest: ticket of a task or job that the worker leaves to its successor, the next life of its number, which
     * drops it once it has tried it; 0: none. It outlives the worker. Written before what the worker has claimed is
     * dropped (release), so that a reader that finds the ticket nowhere else finds it here. Read by the caller, and by
     * other workers. The caller may swap it to 0. */
    _Atomic uint64_t bequest;
    /* For pool_stats(): tasks and items that this life has run, ns that it was at them, and since when it is at the
     * present one (0: idle). `busy_since` is written last (release). Read by the caller. */
    _Atomic uint64_t tasks, busy, busy_since;

    /* Outcomes announced in the worker's done ring. Written after the entry (release). Read by the caller. */
    _Alignas(PP_LINE) _Atomic uint64_t done_tail;
};

/* The end of what a worker may have started. */
static inline uint64_t pp_begun(uint64_t progress, uint64_t until) {
    return until > progress && until != PP_ONE_BY_ONE ? until : progress + 1;
}

/* ---- A worker that lives: one field each. */

/* Ticket of the task that it tries to claim, or runs. */
static inline uint64_t pp_record_current(const struct pp_record *record) {
    return atomic_load_explicit(&record->current, memory_order_acquire);
}
/* Ticket of the job that it is in; 0: none. */
static inline uint64_t pp_record_job(const struct pp_record *record) {
    return atomic_load_explicit(&record->job, memory_order_seq_cst);
}
/* Whether it ends its life by itself. */
static inline bool pp_record_retires(const struct pp_record *record) {
    return atomic_load_explicit(&record->retired, memory_order_relaxed) != 0;
}
/* The state word of its visit to the job, or of the item that it runs there. */
static inline _Atomic uint64_t *pp_record_word(struct pp_record *record) {
    return &record->item;
}
/* The i-th of the tickets that it has taken and perhaps not started; 0 ends them. */
static inline uint64_t pp_record_claimed(const struct pp_record *record, int i) {
    return atomic_load_explicit(&record->claimed[i], memory_order_acquire);
}
/* The ticket that it leaves to its successor, or that it has inherited and not tried yet; 0: none. */
static inline uint64_t pp_record_bequest(const struct pp_record *record) {
    return atomic_load_explicit(&record->bequest, memory_order_acquire);
}
/* How many workers of the pool leave this ticket to their successors, which have not come yet. */
uint64_t pp_record_count_heirs(const struct pp_shared *shared, uint64_t ticket);
/* Whether it ends by itself. Its finalizer may run; it will start nothing more. */
static inline bool pp_record_is_ending(const struct pp_record *record) {
    return atomic_load_explicit(&record->retired, memory_order_seq_cst) != 0;
}
/* What a bound of its stretch is relative to. Acquire: if a swap of this bound succeeds later, the shift that was
 * read is its own. */
static inline uint64_t pp_record_shift(const struct pp_record *record, uint64_t bound) {
    const _Atomic uint64_t *shift = &record->shift[(bound & PP_BOUND_SHIFT) != 0];
    return atomic_load_explicit(shift, memory_order_acquire) ^ atomic_load_explicit(&record->end, memory_order_acquire);
}
/* Outcomes that it has announced, ever: the tail of its done ring. Acquire: the entries below it can be read. */
static inline uint64_t pp_record_announced(const struct pp_record *record) {
    return atomic_load_explicit(&record->done_tail, memory_order_acquire);
}

/* The state word of the use of a slot that the ticket names; 0: there is no such slot, or it is in another use. The
 * ticket may come from a record. */
static inline uint64_t pp_ticket_word(const struct pp_shared *shared, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket);
    if (slot >= PP_SLOTS) return 0;
    uint64_t word = atomic_load_explicit(&shared->outcomes[slot].state, memory_order_acquire);
    return pp_generation_of(word) == pp_ticket_generation(ticket) ? word : 0;
}

/* Returns a number, not 0, that changes whenever the worker takes a step: when it starts or ends a task, item or chunk,
 * or enters or leaves a job. Two looks that find the same number have most likely seen no step in between. */
uint32_t pp_record_trace(const struct pp_shared *shared, uint32_t worker);

/* For pool_stats(). */
struct pp_record_counts {
    uint64_t tasks, busy, busy_since; /* as in the record */
};
struct pp_record_counts pp_record_counts(const struct pp_record *record);

/* Whether any worker is in the job. */
bool pp_record_anybody_in(const struct pp_shared *shared, uint64_t job);
/* Supervisor: when what the worker runs was started. If the record does not say so in a way that makes sense, that is
 * `now`, and is so at the next look, too. */
uint64_t pp_record_started(struct pp_record *record, uint64_t now);
/* Caller: swaps the worker's visit to this job, or the item that it runs there, to KILLED. Returns false if the worker
 * runs nothing there; else the worker, whose life is *life, must be killed. */
bool pp_record_kill(struct pp_shared *shared, uint32_t worker, uint64_t job, uint32_t *life);
/* Caller: whether the worker ends by itself, with a rest of this job in its hands; job 0: or of none. Then the worker,
 * whose life is *life, may be killed. */
bool pp_record_may_kill_ending(const struct pp_shared *shared, uint32_t worker, uint64_t job, uint32_t *life);

/* ---- A snapshot: the record as one reader saw it. */

struct pp_snapshot {
    uint64_t claimed[PP_CLAIMED_MOST]; /* ends at the first 0 */
    uint64_t bequest;
    uint64_t current, job;             /* tickets */
    /* How the word of its visit or item stood; PP_FREE: it ran nothing in a job, or the word is not this life's. */
    enum pp_phase phase;
    enum pp_scope { PP_SCOPE_VISIT, PP_SCOPE_ITEM } scope; /* which of the two the word was of */
    uint64_t position;                                     /* of the item; nothing of a visit */
    uint64_t begin, end, progress, until, bound, judged;    /* as in the record */
    uint64_t reach; /* the end of what it runs of the chunk; UINT64_MAX: all */
    uint32_t retired;
};

/* Of the worker's present life, or of the one that has just ended. If the worker lives, the fields may be of different
 * moments. */
struct pp_snapshot pp_record_snapshot(const struct pp_shared *shared, uint32_t worker);

/* The chunk that the worker had, without what others have taken of it, if a worker can claim such a chunk of the plan
 * and `progress` lies within it. Returns false if not: there was none, or the record was overwritten. */
bool pp_snapshot_chunk(const struct pp_snapshot *snapshot, const struct pp_job_plan *plan, struct pp_chunk *chunk);

/* The position in its chunk that the dead worker ran, or PP_NO_VICTIM: it ran none. *end: where the call ends that the
 * worker ran it in, and in which any position may be the victim; NULL: not wanted. Before: pp_snapshot_chunk(). */
#define PP_NO_VICTIM UINT64_MAX
uint64_t pp_snapshot_victim(const struct pp_snapshot *snapshot, const struct pp_chunk *chunk, uint64_t *end);

/* ---- A life: the supervisor, or the worker's thread between two lives. */

/* Forgets what the last life said of itself. */
void pp_record_begin_life(struct pp_record *record);
/* The dead worker holds nothing more. */
void pp_record_end_life(struct pp_record *record);

#endif
