/* A worker's jobs: chunks of items, and a turn in each job of the table; see work.h. */
#include <unistd.h>

#include "base/sys.h"
#include "shared/ring.h"
#include "worker/work.h"

#define SLICE_NS 1000000U /* how long a job is worked on before others get their turn */

/* ---- items */

/* What few items do: they return in a child that a task has forked, leave another floating point environment, or
 * fail. */
static void end_unusual_item(struct worker *w, const struct pp_job_plan *plan, uint64_t position, int code) {
    pp_work_end_if_forked(w);
    pp_leavings_set_float_back(&w->leavings);
    if (code == 0) return;
    pp_work_note_failure(w);
    struct pp_result result = {.code = code, .pid = (int32_t)getpid(), .message = pp_work_message(w)};
    pp_fail_item(&w->claimer, plan, position, &result);
}

/* Another worker looks at what this one has not begun. Returns where the part ends that was to end at `end`. */
static uint64_t heed(struct worker *w, uint64_t position, uint64_t end) {
    uint64_t last = pp_heed(&w->claimer, position);
    if (last == PP_CLOSED) pp_work_await_kill(w);
    return last < end ? last : end;
}

/* ---- calls of a block function */

#define TOGETHER 64U /* items: so many results fill cache lines, whatever their size */

/* task_fail_item(): the item has failed, and its call goes on. */
static void fail_item(void *worker, size_t i, int code, const char *message) {
    struct worker *w = worker;
    struct pp_result result = {.code = code, .pid = (int32_t)getpid(), .message = message};
    pp_work_note_failure(w);
    pp_fail_item(&w->claimer, w->jobs.plan, w->jobs.call + i, &result);
}

/* How many of the positions from p on, `left` at most, the next call may have: as many as the clock says, so that it is
 * soon found which of them is to blame, and others may have the rest. */
static uint64_t size_of_call(const struct worker *w, const struct pp_job_plan *plan, uint64_t p, uint64_t left) {
    uint64_t size = w->jobs.pace.items / plan->calls_each;
    if (size > plan->call_most) size = plan->call_most;
    if (w->bounds.has_quota && size > w->bounds.quota) size = w->bounds.quota;
    if (size > TOGETHER) size -= size % TOGETHER;
    if (size > left) size = left;
    if (size <= 1) return 1;
    if (!plan->index || plan->index[p + size - 1] == plan->index[p] + size - 1) return size;
    for (size = 1; plan->index[p + size] == plan->index[p] + size;) size++; /* neighbouring items */
    return size;
}

/* Calls the function for the positions from p to `next`. Returns false if the call has failed: then each of them must
 * be run alone. */
static bool run_call(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t p, uint64_t next) {
    uint64_t item = plan->index ? plan->index[p] : p;
    const void *in = plan->in ? plan->in + item * plan->in_size : NULL;
    void *out = plan->out ? plan->out + item * plan->out_size : scratch;
    w->jobs.call = p;
    w->call->count = (size_t)(next - p);
    char here;
    w->base = (uintptr_t)&here;
    int code = plan->block_fn(in, out, (size_t)(next - p));
    if (code | pp_child_forked | pp_leavings_has_float(w->leavings.x87)) {
        bool blames_none = code && next - p > 1;
        end_unusual_item(w, plan, p, blames_none ? 0 : code);
        if (blames_none) {
            w->call->has_message = false;
            pp_unfail_items(&w->claimer, plan, p, next);
            return false;
        }
    }
    if (w->captured || (w->claimer.timed && pp_child_has_output())) pp_work_flush(w);
    PP_POINT("item ran");
    pp_finish_item(w->claimer.record, next - 1);
    return true;
}

static void look_at_clock(struct worker *w, uint64_t items);

/* So many items of the chunk are finished; `more`: not the last ones. Looks at the clock if that is due: not behind the
 * last ones, nor behind a call of as many as there may be, which is short unless the system's clock has ticked. */
static void pace_call(struct worker *w, const struct pp_job_plan *plan, uint64_t items, bool more) {
    struct pp_pace *pace = &w->jobs.pace;
    uint64_t tick = pp_last_tick();
    pp_pace_add(pace, items);
    bool may_be_due = more && (items < plan->call_most || tick != pace->ticked);
    if (may_be_due && pp_pace_is_due(pace, tick)) look_at_clock(w, pace->finished);
}

/* Runs the chunk, or what others leave of it, call by call; returns where it ends. */
static uint64_t run_calls(struct worker *w, const struct pp_job_plan *plan, char *scratch,
                          const struct pp_chunk *chunk) {
    struct pp_record *record = w->claimer.record;
    uint64_t end = chunk->end, alone = chunk->begin; /* up to there each item has a call of its own */
    for (uint64_t p = chunk->begin, next; p < end;) {
        next = p < alone ? p + 1 : p + size_of_call(w, plan, p, end - p);
        pp_begin_call(record, next);
        if (!pp_may_begin(record, w->claimer.stretch.expected) && (end = heed(w, p, end)) < next) continue;
        if (!run_call(w, plan, scratch, p, next)) {
            alone = next;
            continue;
        }
        pace_call(w, plan, next - p, next < end);
        p = next;
    }
    return end;
}

/* ---- parts */

/* Items whose arguments lie side by side, and their results: those of a chunk, or one of them. */
struct part {
    uint64_t begin, end; /* positions */
    const char *in;      /* the first argument; NULL: there are none */
    char *out;           /* the first result; or where the last one's is written over */
    size_t out_step;
};

/* Runs the part, or what others leave of it; returns where it ends. Little else is done for each item than the call:
 * bench_limits, "squares". */
static uint64_t run_items(struct worker *w, const struct pp_job_plan *plan, const struct part *part) {
    pool_fn *fn = plan->fn;
    uintptr_t in = (uintptr_t)part->in, out = (uintptr_t)part->out; /* 0 if there are none */
    size_t in_step = in ? plan->in_size : 0, out_step = part->out_step;
    uint64_t end = part->end, expected = w->claimer.stretch.expected;
    struct pp_record *record = w->claimer.record;
    uint16_t x87 = w->leavings.x87;
    bool eager = w->claimer.timed || w->captured;
    struct pp_child_output output = w->output;
    const struct pp_captured *captured = w->captured;
    char here;
    w->base = (uintptr_t)&here;
    for (uint64_t p = part->begin; p < end; p++) {
        if (!pp_may_begin(record, expected)) {
            end = heed(w, p, end);
            expected = w->claimer.stretch.expected;
            if (p >= end) break;
        }
        int code = fn((const void *)in, (void *)out);
        if (code | pp_child_forked | pp_leavings_has_float(x87)) end_unusual_item(w, plan, p, code);
        /* The time-out counts until it is written, and a line that is caught has its item's number. */
        if (eager && (*output.place != *output.begin || (captured && pp_captured_any(captured)))) pp_work_flush(w);
        PP_POINT("item ran");
        pp_finish_item(record, p);
        in += in_step;
        out += out_step;
    }
    return end;
}

/* A round that lists its items has one item a chunk, unless they are those of a block function. */
static struct part part_of(const struct pp_job_plan *plan, char *scratch, const struct pp_chunk *chunk) {
    struct part part = {.begin = chunk->begin, .end = chunk->end, .out = scratch};
    uint64_t item = plan->index ? plan->index[part.begin] : part.begin;
    if (plan->in) part.in = plan->in + item * plan->in_size;
    if (plan->out) {
        part.out = plan->out + item * plan->out_size;
        part.out_step = plan->out_size;
    }
    return part;
}

/* A part that is finished although the visit was killed meanwhile. A process dies with it, and nothing was lost. A
 * thread cannot be killed; there the last item of the part is the victim, so that a kill always has an effect. */
static noreturn void outlive_kill(struct worker *w, uint64_t end) {
    if (w->ends) pp_unfinish_item(&w->claimer, end - 1);
    pp_work_await_kill(w);
}

/* What the items of a chunk have printed is written in one go, as if by the last of them: so a worker that dies of
 * that, or is killed while a full pipe keeps it waiting, has a victim. */
static void write_output(struct worker *w, uint64_t last) {
    if (w->ends || !pp_child_has_output()) return;
    pp_unfinish_item(&w->claimer, last);
    PP_POINT("writing");
    pp_work_flush(w);
    pp_finish_item(w->claimer.record, last);
}

static uint64_t run_one_by_one(struct worker *w, const struct pp_job_plan *plan, char *scratch,
                               const struct pp_chunk *chunk) {
    struct part part = part_of(plan, scratch, chunk);
    pp_begin_part(&w->claimer);
    return run_items(w, plan, &part);
}

/* A kill is of the whole visit, and its victim is the item that runs then; so no swap is needed for each chunk. Returns
 * where the chunk has ended. */
static uint64_t run_in_visit(struct worker *w, const struct pp_job_plan *plan, char *scratch,
                             const struct pp_chunk *chunk, uint64_t visit) {
    struct pp_claimer *c = &w->claimer;
    if (pp_visit_was_killed(c, visit)) pp_work_await_kill(w);
    uint64_t end = plan->block_fn ? run_calls(w, plan, scratch, chunk) : run_one_by_one(w, plan, scratch, chunk);
    /* The supervisor may have stopped this worker at what it has run last: else the kill would hit the next chunk. */
    if (c->timed && !pp_may_begin(c->record, c->stretch.expected)) heed(w, end, end);
    write_output(w, end - 1);
    PP_POINT("finished");
    if (pp_visit_was_killed(c, visit)) outlive_kill(w, end);
    return end;
}

/* The item was begun in the record and must not be started, nor anything after it. The rest of the chunk is in the
 * record, so the caller ends it as cancelled. */
static noreturn void stop_before_item(struct worker *w, uint64_t running) {
    if (!pp_end_item(&w->claimer, running)) pp_work_await_kill(w);
    pp_work_retire(w, PP_RETIRED);
}

/* Runs the item, or makes a call. Returns false as run_call() does. */
static bool run_carefully(struct worker *w, const struct pp_job_plan *plan, char *scratch, struct part *item,
                          uint64_t next) {
    if (plan->block_fn) return run_call(w, plan, scratch, item->begin, next);
    item->end = next;
    run_items(w, plan, item);
    if (item->in) item->in += plan->in_size;
    if (item->out) item->out += item->out_step;
    return true;
}

/* One swap an item or call, since the supervisor's clock may kill it where it has no barrier, or counts CPU time; and a
 * look after each, since the worker may have to retire. Returns where the chunk has ended. */
static uint64_t run_with_words(struct worker *w, const struct pp_job_plan *plan, char *scratch,
                               const struct pp_chunk *chunk) {
    struct pp_claimer *c = &w->claimer;
    struct part item = part_of(plan, scratch, chunk);
    uint64_t next, alone = plan->block_fn ? chunk->begin : chunk->end;
    for (uint64_t p = item.begin; p < c->stretch.end; p = item.begin) {
        next = p < alone ? p + 1 : p + size_of_call(w, plan, p, c->stretch.end - p);
        /* The rest of the chunk is in the record: other workers get it, as after any death, but without a victim. Not
         * before the first item: a worker that ends with a chunk of which it has done nothing looks like one that hides
         * what it ran; see settle_chunk(). */
        if (p != chunk->begin) pp_work_retire_if_due(w);
        if (plan->block_fn) pp_begin_call(c->record, next);
        if (!pp_may_begin(c->record, c->stretch.expected) && heed(w, p, chunk->end) < next) continue;
        uint64_t now = pp_now();
        pp_leavings_look(&w->leavings, now);
        pp_work_note_start(w, now, plan->cpu_timeout);
        uint64_t running = pp_begin_item(c, p, now);
        if (pp_job_must_stop(plan)) stop_before_item(w, running);
        bool finished = run_carefully(w, plan, scratch, &item, next);
        pp_work_flush(w); /* while its word says that the item runs: the time-out counts, and a kill finds it */
        pp_work_check_limits(w, pp_item_word(c), running, (struct pp_limits){plan->timeout, plan->cpu_timeout});
        if (!pp_end_item(c, running)) pp_work_await_kill(w);
        if (!finished) {
            alone = next;
            continue;
        }
        if (w->bounds.has_quota) w->bounds.quota -= next - p;
        if (plan->block_fn) pace_call(w, plan, next - p, next < c->stretch.end);
        item.begin = next;
    }
    return item.begin;
}

/* ---- chunks */

/* Shortens the chunk if others take some of it. */
static void run_chunk(struct worker *w, const struct pp_job_plan *plan, char *scratch, struct pp_chunk *chunk,
                      uint64_t visit) {
    w->bounds.has_run = true;
    uint64_t end = visit ? run_in_visit(w, plan, scratch, chunk, visit) : run_with_words(w, plan, scratch, chunk);
    if (end != chunk->end) {
        chunk->end = end;
        chunk->last = (end + plan->block - 1) / plan->block;
    }
    pp_finish_chunk(&w->claimer, plan, chunk);
}

/* Whether this worker should look at other work before the next chunk. looked: at the clock, just now. If it did not,
 * chunks are short, and the next look is near. */
static bool turn_is_over(struct worker *w, uint64_t turn_began, bool looked) {
    if (w->bounds.has_quota && w->bounds.quota == 0) return true;
    return looked && (!pp_ring_is_empty(w->claimer.shared) || w->jobs.pace.began - turn_began > SLICE_NS);
}

/* items: that were finished since the last look. */
static void look_at_clock(struct worker *w, uint64_t items) {
    uint64_t now = pp_now();
    if (w->trace && items > 0) pp_work_trace_items(w, now, items);
    pp_count_time(&w->claimer, now - w->jobs.pace.began, now);
    pp_pace_measure(&w->jobs.pace, now);
    pp_leavings_look(&w->leavings, now);
}

/* Chunk after chunk until the turn is over. Returns whether nothing is left to claim. visit: the word of the visit; 0:
 * each item has a word of its own. */
static bool take_chunks(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t visit) {
    struct pp_pace *pace = &w->jobs.pace;
    uint64_t turn_began = pace->began;
    struct pp_chunk chunk;
    bool looked;
    do {
        /* Its finalizer runs once it has left the job: nothing waits for that. */
        if (!visit && pp_work_must_retire(w)) break;
        uint64_t most = w->bounds.has_quota ? w->bounds.quota : UINT64_MAX;
        if (!pp_claim_chunk(&w->claimer, plan, pace, most, &chunk)) return true;
        run_chunk(w, plan, scratch, &chunk, visit);
        pp_work_count(w, chunk.end - chunk.begin);
        if (!plan->block_fn) pp_pace_add(pace, chunk.end - chunk.begin); /* each call was added */
        looked = pp_pace_is_due(pace, pp_last_tick());
        if (looked) look_at_clock(w, pace->finished);
    } while (!plan->fresh && !turn_is_over(w, turn_began, looked));
    return pp_plan_is_used_up(plan);
}

/* The same of what another worker has claimed and not begun. */
static bool take_over(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t visit) {
    const struct pp_worker_jobs *jobs = &w->jobs;
    struct pp_chunk chunk;
    if (!visit && pp_work_must_retire(w)) return true;
    uint64_t most = w->bounds.has_quota ? w->bounds.quota : UINT64_MAX;
    if (pp_take_over(&w->claimer, jobs->relieved, jobs->paced, plan, most, w->ends != NULL, &chunk)) {
        run_chunk(w, plan, scratch, &chunk, visit);
        pp_work_count(w, chunk.end - chunk.begin);
        look_at_clock(w, plan->block_fn ? jobs->pace.finished : chunk.end - chunk.begin);
    }
    return pp_plan_is_used_up(plan);
}

static bool take_some(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t visit) {
    return w->jobs.relieves ? take_over(w, plan, scratch, visit) : take_chunks(w, plan, scratch, visit);
}

static bool visit_job(struct worker *w, const struct pp_job_plan *plan, char *scratch) {
    uint64_t visit = pp_begin_visit(&w->claimer);
    bool nothing_left = pp_job_must_stop(plan) || take_some(w, plan, scratch, visit);
    if (!pp_end_visit(&w->claimer, visit)) pp_work_await_kill(w);
    return nothing_left;
}

static bool work_through(struct worker *w, const struct pp_job_plan *plan, char *scratch) {
    bool has_clock = !w->ends && w->claimer.has_barrier; /* which looks at where the worker is, not at its words */
    bool careful = (plan->timeout && !has_clock) || plan->cpu_timeout || w->bounds.has_quota || w->bounds.soft_limit ||
                   w->options->fresh_after_failure;
    return careful ? take_some(w, plan, scratch, 0) : visit_job(w, plan, scratch);
}

/* ---- jobs */

/* Where results go that are not wanted; NULL: there is no memory. A job has no part for workers that came after it, nor
 * for those that came after a corpse, which may still write there. */
static char *scratch_for(struct worker *w, const struct pp_job_plan *plan) {
    bool has_part = w->claimer.number < plan->scratch_parts && !w->follows_corpse;
    return has_part ? plan->scratch + w->claimer.number * plan->scratch_size : pp_work_scratch(w, plan->scratch_size);
}

static void leave_job(struct worker *w, uint64_t ticket, uint32_t entry, enum pp_leaving found) {
    w->jobs.plan = NULL;
    if (pp_leave_job(&w->claimer, ticket, entry, found)) pp_work_ring(w);
}

/* What the items may ask for: see task.h. */
static void describe_call(struct worker *w, const struct pp_job_plan *plan) {
    w->call->seed = plan->seed;
    w->call->position = pp_position_of(&w->claimer);
    w->call->items = plan->index;
    w->call->names = plan->names;
    w->call->first_name = plan->first_name;
    w->call->context = plan->context;
    w->call->in_size = plan->in ? plan->in_size : 0;
    w->call->out_size = plan->out_size;
    w->call->sizes = plan->sizes;
    w->call->fail_item = fail_item;
    w->call->owner = w;
}

static void begin_pace(struct worker *w, uint64_t ticket) {
    if (w->jobs.paced != ticket) w->jobs.pace = (struct pp_pace){0};
    w->jobs.paced = ticket;
    w->jobs.pace.began = pp_now();
    pp_set_busy_since(&w->claimer, w->jobs.pace.began);
}

/* Returns whether nothing is left that this worker may claim. */
static bool work_on_job(struct worker *w, uint64_t ticket, uint32_t entry) {
    const struct pp_job_plan *plan = w->jobs.plan = pp_claim_job(&w->claimer, ticket);
    char *scratch = plan && plan->scratch ? scratch_for(w, plan) : NULL;
    if (!plan || (plan->scratch && !scratch)) {
        leave_job(w, ticket, entry, PP_NOT_ENTERED);
        return true;
    }
    if (plan->fresh && pp_work_passes_on_job(w, ticket, plan)) {
        leave_job(w, ticket, entry, PP_SOMETHING_LEFT);
        return !w->bounds.bequeaths;
    }
    describe_call(w, plan);
    begin_pace(w, ticket);
    bool nothing_left = work_through(w, plan, scratch);
    if (pp_pace_is_behind(&w->jobs.pace)) look_at_clock(w, w->jobs.pace.finished);
    w->call->context = NULL;
    w->call->count = 0;
    pp_set_busy_since(&w->claimer, 0);
    leave_job(w, ticket, entry, nothing_left ? PP_NOTHING_LEFT : PP_SOMETHING_LEFT);
    return nothing_left;
}

/* The next entry of the job table in which something may be left; PP_JOB_TABLE: there is none. */
static uint32_t find_job(const struct worker *w, uint64_t *ticket) {
    const struct pp_shared *shared = w->claimer.shared;
    uint32_t end = atomic_load_explicit(&shared->control->job_table_end, memory_order_acquire);
    if (end > PP_JOB_TABLE) end = PP_JOB_TABLE;
    for (uint32_t i = 0; i < end; i++) {
        uint32_t entry = (w->jobs.next + i) % end;
        *ticket = atomic_load_explicit(&shared->job_table[entry], memory_order_acquire);
        if (*ticket != 0 && *ticket != w->jobs.used_up[entry]) return entry;
    }
    return PP_JOB_TABLE;
}

/* The entry of the job table with this ticket; PP_JOB_TABLE: there is none. */
static uint32_t entry_of(const struct worker *w, uint64_t ticket) {
    uint32_t entry = 0;
    while (entry < PP_JOB_TABLE &&
           atomic_load_explicit(&w->claimer.shared->job_table[entry], memory_order_acquire) != ticket)
        entry++;
    return entry;
}

void pp_work_on_job(struct worker *w, uint64_t ticket) {
    uint32_t entry = entry_of(w, ticket);
    if (entry < PP_JOB_TABLE && work_on_job(w, ticket, entry)) w->jobs.used_up[entry] = ticket;
    pp_drop_bequest(&w->claimer);
}

bool pp_work_sees_job(const struct worker *w) {
    uint64_t ticket;
    return find_job(w, &ticket) != PP_JOB_TABLE;
}

bool pp_work_on_jobs(struct worker *w) {
    uint64_t ticket;
    uint32_t entry = find_job(w, &ticket);
    if (entry == PP_JOB_TABLE) return false;
    w->jobs.next = entry + 1;
    if (work_on_job(w, ticket, entry)) w->jobs.used_up[entry] = ticket;
    return true;
}

bool pp_work_take_over(struct worker *w, uint32_t from, uint64_t ticket) {
    uint64_t ran = pp_record_counts(w->claimer.record).tasks;
    uint32_t entry = entry_of(w, ticket);
    if (entry == PP_JOB_TABLE) return false;
    w->jobs.relieves = true;
    w->jobs.relieved = from;
    work_on_job(w, ticket, entry);
    w->jobs.relieves = false;
    return pp_record_counts(w->claimer.record).tasks != ran;
}
