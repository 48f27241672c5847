/* A worker's jobs: chunks of items, and a turn in each job of the table; see work.h. */
#include <string.h>

#include "shared/item_errors.h"
#include "shared/ring.h"
#include "shared/placement.h"
#include "shared/state.h"
#include "base/sys.h"
#include "worker/work.h"

#define SMALL_RESULT 4096 /* larger ones may be written only in part */
#define MAPPED_AHEAD 1048576 /* bytes of results at most: a chunk may be as large as the user likes, and fail early */
#define LINGER_NS 50000U /* as much as lingering may gain */
#define SLICE_NS 1000000U /* how long a job is worked on before others get their turn */

static void note_flaw(struct worker *w, const struct pp_job_plan *plan, uint64_t position, int code) {
    if (!atomic_load_explicit(&w->record->has_errors, memory_order_relaxed)) {
        uint64_t end = atomic_load_explicit(&w->record->end, memory_order_relaxed);
        uint64_t p = atomic_load_explicit(&w->record->begin, memory_order_relaxed);
        for (; p < end && p < plan->count; p++) atomic_store_explicit(&plan->codes[p], 0, memory_order_relaxed);
        atomic_store_explicit(&w->record->has_errors, 1, memory_order_release);
    }
    atomic_store_explicit(&plan->codes[position], code, memory_order_relaxed);
    pp_item_errors_note(plan->errors, plan->errors_room, position, pp_work_message(w));
}

/* What few items do: their process is a child that a task has forked, or they fail. */
static void end_unusual_item(struct worker *w, const struct pp_job_plan *plan, uint64_t position, int code) {
    pp_work_end_if_forked(w);
    if (code != 0) note_flaw(w, plan, position, code);
}

/* Items whose arguments lie side by side, and their results: as many of a chunk as are made ready at a time. */
struct part {
    uint64_t begin, end; /* positions */
    const char *in;      /* the first argument; NULL: there are none */
    char *out;           /* the first result; or where the last one's is written over */
    size_t out_step;
};

/* Little else is done for each item than the call: bench_limits, "squares". */
static void run_items(struct worker *w, const struct pp_job_plan *plan, const struct part *part) {
    pool_fn *fn = plan->fn;
    const char *in = part->in;
    char *out = part->out;
    size_t in_step = plan->in_size, out_step = part->out_step;
    uint64_t end = part->end;
    _Atomic uint64_t *progress = &w->record->progress;
    for (uint64_t p = part->begin; p < end; p++) {
        int code = fn(in, out);
        if (code | pp_child_forked) end_unusual_item(w, plan, p, code);
        atomic_store_explicit(progress, p + 1, memory_order_release);
        if (in) in += in_step;
        if (out) out += out_step;
    }
}

/* The arguments from `item` on. Nothing runs meanwhile: whoever dies of it, or has to end for it, leaves no victim. */
static const char *fetch(struct worker *w, const struct pp_job_plan *plan, uint64_t item, uint64_t count) {
    /* Acquire: pairs with the release in pass.c, after the copying. */
    const char *copy = atomic_load_explicit(&plan->copy, memory_order_acquire);
    if (copy) return copy + item * plan->in_size;
    atomic_store_explicit(&w->record->fetching, 1, memory_order_relaxed);
    PP_POINT("fetching");
    const char *from = plan->in + item * plan->in_size;
    const char *in = pp_fetch(&w->fetched, plan->in_process, from, count * plan->in_size);
    if (!in) pp_work_retire(w, PP_RETIRED);
    atomic_store_explicit(&w->record->fetching, 0, memory_order_relaxed);
    return in;
}

/* Leaves it as many items of `size` bytes as make no more than `most`, but one at least. */
static void shorten(struct part *part, size_t size, size_t most) {
    uint64_t count = part->end - part->begin;
    if (count > 1 && count * size > most) part->end = part->begin + (size < most ? most / size : 1);
}

/* The part of the chunk that begins here. Pages of results are mapped if none is larger than a page: then all of them
 * will be written. */
static struct part make_ready(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t begin,
                              uint64_t end) {
    struct part part = {.begin = begin, .end = plan->index ? begin + 1 : end, .out = scratch};
    uint64_t item = plan->index ? plan->index[begin] : begin;
    size_t size = plan->out_size;
    bool maps = plan->out && size <= SMALL_RESULT && !plan->index;
    if (plan->in_process) shorten(&part, plan->in_size, PP_FETCH);
    if (maps) shorten(&part, size, MAPPED_AHEAD);
    if (plan->in) part.in = plan->in_process ? fetch(w, plan, item, part.end - begin) : plan->in + item * plan->in_size;
    if (!plan->out) return part;
    part.out = plan->out + item * size;
    part.out_step = size;
    char *end_of_part = part.out + (part.end - begin) * size, *end_of_all = plan->out + plan->count * size;
    if (maps) pp_pages_map(&w->pages, part.out, end_of_part, plan->out, end_of_all);
    return part;
}

/* Whether the caller has ended our stay in the job. Relaxed: nothing else is read that it wrote before. */
static bool was_killed(const struct worker *w, uint64_t stay) {
    return atomic_load_explicit(&w->record->item, memory_order_relaxed) != stay;
}

/* A part that is finished though our stay was ended meanwhile. A process dies with it: nothing was lost. Of what runs
 * in a thread, which cannot be killed, the last item is the victim, so that a kill is never without effect. */
static noreturn void outlive_kill(struct worker *w, uint64_t end) {
    if (w->ends) atomic_store_explicit(&w->record->progress, end - 1, memory_order_release);
    pp_work_await_kill(w);
}

/* No swap for each part: a kill is of the whole stay, and its victim is what runs then. The store of `until` says that
 * this part does. */
static void run_part(struct worker *w, const struct pp_job_plan *plan, const struct part *part, uint64_t stay) {
    if (was_killed(w, stay)) pp_work_await_kill(w);
    atomic_store_explicit(&w->record->until, part->end, memory_order_release);
    run_items(w, plan, part);
    pp_work_flush(w);
    PP_POINT("finished");
    if (was_killed(w, stay)) outlive_kill(w, part->end);
}

/* Pairs with pp_round_kill(): it sees running what we have just published, or we see that we are to stop. */
static bool must_stop(const struct pp_job_plan *plan) {
    return atomic_load_explicit(&plan->stop, memory_order_seq_cst) != 0;
}

/* What was published is not begun, nor anything further: what is left of the chunk is in the record, and is told to be
 * cancelled. */
static noreturn void stop_unbegun(struct worker *w, uint64_t running) {
    if (!pp_item_end(&w->record->item, running)) pp_work_await_kill(w);
    pp_work_retire(w, PP_RETIRED);
}

/* One swap an item, for what the supervisor's clock may kill; and a look after each, for a worker that may have to
 * go. */
static void run_part_carefully(struct worker *w, const struct pp_job_plan *plan, const struct part *part) {
    w->started_set = true;
    struct part item = *part;
    for (; item.begin < part->end; item.begin++) {
        item.end = item.begin + 1;
        /* What is left of the chunk is in the record: it goes to others, as after any death, but without a victim. */
        pp_work_retire_if_due(w);
        atomic_store_explicit(&w->record->started, pp_now(), memory_order_relaxed);
        atomic_store_explicit(&w->record->single, item.begin,
                              memory_order_relaxed); /* before the word that it belongs to */
        uint64_t running = pp_item_begin(&w->record->item, ++w->items, w->number, w->life);
        if (must_stop(plan)) stop_unbegun(w, running);
        run_items(w, plan, &item);
        w->has_run = true;
        PP_POINT("item ran");
        pp_work_check_deadline(w, &w->record->item, running, plan->timeout);
        if (!pp_item_end(&w->record->item, running)) pp_work_await_kill(w);
        if (w->has_quota) w->quota--;
        pp_work_flush(w);
        if (item.in) item.in += plan->in_size;
        if (item.out) item.out += item.out_step;
    }
}

static void run_chunk(struct worker *w, const struct pp_job_plan *plan, char *scratch, const struct pp_chunk *chunk,
                      uint64_t stay) {
    for (uint64_t begin = chunk->begin; begin < chunk->end;) {
        struct part part = make_ready(w, plan, scratch, begin, chunk->end);
        if (stay) run_part(w, plan, &part, stay);
        else run_part_carefully(w, plan, &part);
        begin = part.end;
    }
    pp_plan_mark(plan, chunk->first, chunk->last, atomic_load_explicit(&w->record->has_errors, memory_order_relaxed));
    PP_POINT("marked");
}

static void record_chunk(struct pp_record *record, const struct pp_chunk *chunk) {
    /* A death between these stores must find an empty chunk: the claim is then found by its missing marks. */
    atomic_store_explicit(&record->end, 0, memory_order_release);
    atomic_store_explicit(&record->begin, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->progress, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->until, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->has_errors, 0, memory_order_release);
    atomic_store_explicit(&record->end, chunk->end, memory_order_release);
}

/* Sets the record's job, which keeps the job's memory in place, if the slot is still that job's. */
static const struct pp_job_plan *enter_job(struct worker *w, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket), generation = pp_ticket_generation(ticket);
    if (slot >= PP_SLOTS) return NULL;
    _Atomic uint64_t *state = &w->shared->outcomes[slot].state;
    atomic_store_explicit(&w->record->end, 0, memory_order_relaxed);
    /* No more at any task: who seems to be at one that hangs may be killed. */
    atomic_store_explicit(&w->record->current, 0, memory_order_relaxed);
    atomic_store_explicit(&w->record->job, ticket, memory_order_seq_cst);
    PP_POINT("entered");
    /* Pairs with pp_round_is_over(): the caller ends the job's state, then looks who is in it. */
    pp_state_begin(state, generation, w->number, w->life);
    uint64_t seen = atomic_load_explicit(state, memory_order_seq_cst);
    if (pp_generation_of(seen) != generation || pp_phase_of(seen) != PP_RUNNING) return NULL;
    return w->shared->descs[slot].in;
}

/* Who else is in a job: nobody, those alone who wait for the others to leave, or somebody who is at it. */
enum company { NOBODY, LINGERERS, WORKERS };

static enum company company_in(const struct worker *w, uint64_t ticket) {
    uint32_t workers = atomic_load_explicit(&w->shared->control->workers, memory_order_relaxed);
    enum company company = NOBODY;
    for (uint32_t v = 0; v < workers; v++) {
        const struct pp_record *other = &w->shared->records[v];
        if (v == w->number || atomic_load_explicit(&other->job, memory_order_seq_cst) != ticket) continue;
        if (!atomic_load_explicit(&other->lingers, memory_order_relaxed)) return WORKERS;
        company = LINGERERS;
    }
    return company;
}

/* To wake the caller takes 12 us from the CPU where it sleeps, and 64 from another (bench_limits, "flat-map"). So a
 * worker that is there stays in a job in which nothing is left until those who are at it are out, if it is not for
 * long. */
static void linger(struct worker *w, uint64_t ticket) {
    if (!pp_placement_is_with_caller(w->shared) || company_in(w, ticket) != WORKERS) return;
    uint64_t now = pp_now(), until = now + LINGER_NS;
    if (now < w->backoff.until) return;
    atomic_store_explicit(&w->record->lingers, 1, memory_order_relaxed);
    PP_POINT("lingering");
    for (int i = 1; pp_work_would_ring(w, ticket) && company_in(w, ticket) == WORKERS; i++) {
        if (!pp_ring_is_empty(w->shared) || pp_work_sees_job(w)) break;
        if (i % PP_LOOKS == 0 && pp_backoff_yield(&w->backoff) >= until) break;
    }
    atomic_store_explicit(&w->record->lingers, 0, memory_order_relaxed);
}

/* Leaves the job. unfinished: the plan, if something was left to claim when the worker's turn was over; else NULL.
 *
 * The last worker out of a job in which nothing is left announces the job: all workers store that they are out, then
 * look at the others, both seq_cst, so one of them sees all others out. That may be a worker whose turn was over, and
 * meanwhile others may have claimed what was left, have seen this worker in, and have kept silent. So it looks at the
 * cursors once more, after its look at the others: a worker that it saw out had moved them before. Nothing keeps the
 * plan in place by then, so the look needs a copy; where the caller has reused the memory of the cursors, they are of
 * another generation, and the worker announces what the caller knows. */
static void leave_job(struct worker *w, uint64_t ticket, const struct pp_job_plan *unfinished) {
    struct pp_job_plan plan;
    if (unfinished) memcpy(&plan, unfinished, sizeof plan);
    PP_POINT(unfinished ? "turn over" : "leaving");
    atomic_store_explicit(&w->record->job, 0, memory_order_seq_cst);
    PP_POINT("left");
    if (company_in(w, ticket) != NOBODY) return;
    if (!unfinished || pp_plan_is_used_up(&plan)) pp_work_announce(w, ticket);
}

/* Whether this worker should look at other work before the next chunk. looked: at the clock, just now; where it did not
 * chunks are short, and the next look is near. */
static bool turn_is_over(struct worker *w, uint64_t turn_began, bool looked) {
    if (w->has_quota && w->quota == 0) return true;
    return looked && (!pp_ring_is_empty(w->shared) || w->pace.began - turn_began > SLICE_NS);
}

/* Where results go that are not wanted; NULL: there is no memory. A job has no part for those who came after it. */
static char *scratch_for(struct worker *w, const struct pp_job_plan *plan) {
    if (w->number < plan->scratch_parts) return plan->scratch + w->number * plan->scratch_size;
    if (w->spare_size < plan->scratch_size) {
        pp_unmap(w->spare, w->spare_size);
        w->spare = pp_map_private(plan->scratch_size);
        w->spare_size = w->spare ? plan->scratch_size : 0;
    }
    return w->spare;
}

static void look_at_clock(struct worker *w) {
    uint64_t now = pp_now();
    pp_work_count_time(w, w->pace.began, now, now);
    pp_pace_measure(&w->pace, now);
}

/* Chunk after chunk until the turn is over. Returns whether nothing is left to claim. stay: the item word while it
 * lasts; 0: each item has its own. */
static bool take_chunks(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t stay) {
    uint64_t turn_began = w->pace.began;
    struct pp_chunk chunk;
    bool looked;
    do {
        if (!pp_plan_claim(plan, w->number, &w->pace, w->has_quota ? w->quota : UINT64_MAX, &chunk)) return true;
        PP_POINT("claimed");
        record_chunk(w->record, &chunk);
        PP_POINT("recorded");
        run_chunk(w, plan, scratch, &chunk, stay);
        pp_work_count(w, chunk.end - chunk.begin);
        looked = pp_pace_is_due(&w->pace, &chunk, pp_last_tick());
        if (looked) look_at_clock(w);
    } while (!turn_is_over(w, turn_began, looked));
    return pp_plan_is_used_up(plan);
}

/* One swap for the whole stay: to whoever kills what this job runs, it does not matter which of its items that is. */
static bool visit_job(struct worker *w, const struct pp_job_plan *plan, char *scratch) {
    atomic_store_explicit(&w->record->single, UINT64_MAX,
                          memory_order_relaxed); /* before the word that it belongs to */
    uint64_t stay = pp_item_begin(&w->record->item, ++w->items, w->number, w->life);
    bool nothing_left = must_stop(plan) || take_chunks(w, plan, scratch, stay);
    if (!pp_item_end(&w->record->item, stay)) pp_work_await_kill(w);
    return nothing_left;
}

static bool work_through(struct worker *w, const struct pp_job_plan *plan, char *scratch) {
    bool careful = plan->timeout || w->has_quota || w->soft_limit;
    return careful ? take_chunks(w, plan, scratch, 0) : visit_job(w, plan, scratch);
}

static void work_on_job(struct worker *w, uint32_t entry, uint64_t ticket) {
    const struct pp_job_plan *plan = enter_job(w, ticket);
    char *scratch = plan && plan->scratch ? scratch_for(w, plan) : NULL;
    if (!plan || (plan->scratch && !scratch)) {
        w->used_up[entry] = ticket;
        leave_job(w, ticket, NULL);
        return;
    }
    w->call->seed = plan->seed;
    w->call->position = &w->record->progress;
    w->call->items = plan->index;
    w->call->context = plan->context;
    if (w->pace_job != ticket) w->pace = (struct pp_pace){0};
    w->pace_job = ticket;
    w->pace.began = pp_now();
    atomic_store_explicit(&w->record->busy_since, w->pace.began, memory_order_relaxed);
    bool nothing_left = work_through(w, plan, scratch);
    if (pp_pace_is_behind(&w->pace)) look_at_clock(w);
    w->call->context = NULL;
    atomic_store_explicit(&w->record->busy_since, 0, memory_order_relaxed);
    if (nothing_left) {
        w->used_up[entry] = ticket;
        linger(w, ticket);
    }
    leave_job(w, ticket, nothing_left ? NULL : plan);
}

/* The entry of a job of the table in which something may be left, from `job_table_next` on; PP_JOB_TABLE: none. */
static uint32_t find_job(const struct worker *w, uint64_t *ticket) {
    uint32_t end = atomic_load_explicit(&w->shared->control->job_table_end, memory_order_acquire);
    if (end > PP_JOB_TABLE) end = PP_JOB_TABLE;
    for (uint32_t i = 0; i < end; i++) {
        uint32_t entry = (w->job_table_next + i) % end;
        *ticket = atomic_load_explicit(&w->shared->job_table[entry], memory_order_acquire);
        if (*ticket != 0 && *ticket != w->used_up[entry]) return entry;
    }
    return PP_JOB_TABLE;
}

bool pp_work_sees_job(const struct worker *w) {
    uint64_t ticket;
    return find_job(w, &ticket) != PP_JOB_TABLE;
}

bool pp_work_on_jobs(struct worker *w) {
    uint64_t ticket;
    uint32_t entry = find_job(w, &ticket);
    if (entry == PP_JOB_TABLE) return false;
    w->job_table_next = entry + 1;
    work_on_job(w, entry, ticket);
    return true;
}
