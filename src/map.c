/* pool_map() and pool_map_async(): the caller's side of jobs.
 *
 * A job runs in passes. The first has all items; a worker that dies leaves gaps: its victim, where that is to be tried
 * again, and what it had claimed and not begun. They are the items of the next pass. A pass is over when every claim has
 * been made and nobody is in the job (its ticket is in no worker's record); only then is its memory looked at and reused.
 *
 * Invariant: each item's outcome is settled once: by its block's mark in the pass that finished it, or as a victim. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flaws.h"
#include "notice.h"
#include "pool.h"
#include "progress.h"
#include "size.h"
#include "state.h"
#include "sys.h"
#include "timer.h"

#define MOST_BLOCKS 65536U   /* of a job whose chunks are measured: a block is what a mark is kept for */
#define MOST_AGAIN 65536U    /* items of a later pass; what is over waits for one more */
#define COUNT_MOST ((uint64_t)1 << 40) /* a cursor has room for so many blocks */

struct range {
    uint64_t first, count;
};

/* For pool_job.failures: failed items, by index. */
struct told {
    struct pool_failure *list;
    size_t count, room, most; /* most: no more are wanted */
};

struct pp_job {
    struct future *future;
    struct pool_job job;
    uint32_t place;                     /* on the board */
    struct pp_job_plan *plan;           /* of this pass */
    uint64_t *index;
    char *work; /* cursors, marks, codes of this pass */
    char *in, *out, *scratch, *context; /* copies; NULL: none */
    unsigned char *outcomes;            /* [count] -POOL_E…, 0: success, or not known yet */
    uint32_t *tries;                    /* [count], made when the first victim is tried again */
    uint64_t failed;
    struct pool_failure lowest; /* error 0: none */
    struct told told;
    struct range *gaps;
    size_t gap_count, gap_room;
    unsigned deaths; /* in this pass */
    struct pp_report report;
    bool stopped;    /* what has not begun is cancelled */
    struct pp_job *next, **link; /* in the list it is on */
};

/* ---- outcomes of items */

static bool is_lowest(const struct pp_job *j, uint64_t item) {
    return j->lowest.error == 0 || item <= j->lowest.index;
}

/* Whether the program wants to be told why this one failed. */
static bool is_told(const struct pp_job *j, uint64_t item) {
    const struct told *told = &j->told;
    return is_lowest(j, item) || told->count < told->most || (told->count > 0 && item <= told->list[told->count - 1].index);
}

/* Where the list has the item, or would have it. Most come in their order. */
static size_t find_told(const struct told *told, size_t item) {
    size_t low = 0, high = told->count;
    if (high > 0 && told->list[high - 1].index < item) return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (told->list[middle].index < item) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool grow_told(struct told *told) {
    size_t room = told->room ? 2 * told->room : 16;
    if (room > told->most) room = told->most;
    struct pool_failure *list = room > told->room ? pp_realloc(told->list, room * sizeof *list) : NULL;
    if (!list) return false;
    told->list = list;
    told->room = room;
    return true;
}

/* Where there is no room, the highest has to go. */
static void tell_of(struct told *told, const struct pool_failure *failure) {
    size_t at = find_told(told, failure->index);
    if (at == told->count || told->list[at].index != failure->index) {
        if (told->count == told->room && !grow_told(told)) {
            if (at == told->count) return;
            told->count--;
        }
        memmove(told->list + at + 1, told->list + at, (told->count - at) * sizeof *told->list);
        told->count++;
    }
    told->list[at] = *failure;
}

static void settle_failed(struct pp_job *j, uint64_t item, const struct pool_failure *failure) {
    if (j->outcomes[item] == 0) j->failed++;
    j->outcomes[item] = (unsigned char)-failure->error;
    if (!is_told(j, item)) return;
    struct pool_failure why = *failure;
    why.index = (size_t)item;
    if (!why.message[0]) snprintf(why.message, sizeof why.message, "%s", pool_strerror(failure->error));
    if (is_lowest(j, item)) j->lowest = why;
    tell_of(&j->told, &why);
}

static void settle_as(struct pp_job *j, uint64_t item, int error) {
    struct pool_failure failure;
    memset(&failure, 0, sizeof failure);
    failure.error = error;
    settle_failed(j, item, &failure);
}

static void add_gap(struct pp_job *j, uint64_t first, uint64_t count) {
    if (count == 0) return;
    struct range *last = j->gap_count ? &j->gaps[j->gap_count - 1] : NULL;
    if (last && last->first + last->count == first) {
        last->count += count;
        return;
    }
    if (j->gap_count == j->gap_room) {
        size_t room = j->gap_room ? 2 * j->gap_room : 16;
        struct range *gaps = pp_realloc(j->gaps, room * sizeof *gaps);
        if (!gaps) {
            for (uint64_t i = 0; i < count; i++) settle_as(j, first + i, POOL_ENOMEM);
            return;
        }
        j->gaps = gaps;
        j->gap_room = room;
    }
    j->gaps[j->gap_count++] = (struct range){first, count};
}

static uint64_t item_at(const struct pp_job *j, uint64_t position) {
    return j->index ? j->index[position] : position;
}

static void add_gap_of_positions(struct pp_job *j, uint64_t begin, uint64_t end) {
    if (!j->index) add_gap(j, begin, end - begin);
    else
        for (uint64_t p = begin; p < end; p++) add_gap(j, j->index[p], 1);
}

/* ---- memory of a pass */

static size_t aligned(size_t size) {
    return (size + PP_LINE - 1) & ~(size_t)(PP_LINE - 1);
}

/* The plan for `count` positions in blocks of `block`. False: no memory. */
static bool make_plan(struct pool *pool, struct pp_job *j, uint64_t count, uint64_t block, uint64_t chunk_blocks) {
    uint64_t blocks = (count + block - 1) / block;
    uint32_t regions = pool->workers;
    size_t cursors_at = 0, marks_at = aligned(regions * sizeof(struct pp_cursor));
    size_t flaws_at = marks_at + aligned((size_t)blocks);
    uint32_t flaws_room = pp_flaws_room(j->told.most < count ? j->told.most : (size_t)count);
    size_t codes_at = flaws_at + aligned(pp_flaws_size(flaws_room));
    if (count > SIZE_MAX / 8) return false;
    j->work = pp_heap_alloc(&pool->work, codes_at + (size_t)count * sizeof(int32_t), false);
    if (!j->work) return false;
    memset(j->work, 0, flaws_at);
    pp_flaws_begin((void *)(j->work + flaws_at), flaws_room);

    struct pp_job_plan *plan = j->plan;
    const struct pool_job *job = &j->job;
    memset(plan, 0, sizeof *plan);
    plan->fn = job->fn;
    plan->in = j->in ? j->in : job->in;
    plan->in_size = job->in_size;
    plan->out = j->out ? j->out : job->out;
    plan->out_size = job->out_size;
    plan->scratch = j->scratch;
    plan->scratch_size = aligned(job->out_size);
    plan->context = j->context ? j->context : job->context;
    plan->index = j->index;
    plan->count = count;
    plan->block = block;
    plan->blocks = blocks;
    plan->chunk_blocks = chunk_blocks;
    plan->regions = regions;
    plan->timeout = job->timeout;
    plan->seed = job->seed;
    plan->cursors = (void *)(j->work + cursors_at);
    plan->marks = (void *)(j->work + marks_at);
    plan->codes = (void *)(j->work + codes_at);
    plan->flaws = (void *)(j->work + flaws_at);
    plan->flaws_room = flaws_room;
    return true;
}

static bool make_first_plan(struct pool *pool, struct pp_job *j) {
    uint64_t count = j->job.count, chunk = j->job.chunk;
    uint64_t block = chunk ? chunk : (count + MOST_BLOCKS - 1) / MOST_BLOCKS;
    if (block > count) block = count;
    return make_plan(pool, j, count, block, chunk ? 1 : 0);
}

static int by_first(const void *a, const void *b) {
    uint64_t left = ((const struct range *)a)->first, right = ((const struct range *)b)->first;
    return (left > right) - (left < right);
}

/* The gaps, or the first of them, as the items of another pass. In their order: those with the lowest positions keep their
 * messages, which are to be those of the lowest items. */
static bool make_next_plan(struct pool *pool, struct pp_job *j) {
    uint64_t count = 0;
    qsort(j->gaps, j->gap_count, sizeof *j->gaps, by_first);
    for (size_t i = 0; i < j->gap_count && count < MOST_AGAIN; i++) count += j->gaps[i].count;
    if (count > MOST_AGAIN) count = MOST_AGAIN;
    uint64_t *index = pp_heap_alloc(&pool->inputs, (size_t)count * sizeof *index, false);
    if (!index) return false;
    uint64_t filled = 0;
    size_t used = 0;
    while (filled < count) {
        struct range *gap = &j->gaps[used];
        for (; gap->count > 0 && filled < count; gap->count--) index[filled++] = gap->first++;
        if (gap->count == 0) used++;
    }
    j->gap_count -= used;
    memmove(j->gaps, j->gaps + used, j->gap_count * sizeof *j->gaps);
    j->index = index;
    if (make_plan(pool, j, count, 1, 1)) return true;
    for (uint64_t i = 0; i < count; i++) settle_as(j, index[i], POOL_ENOMEM); /* they are in no gap any more */
    return false;
}

static void free_pass(struct pool *pool, struct pp_job *j) {
    pp_heap_free(&pool->work, j->work);
    pp_heap_free(&pool->inputs, j->index);
    j->work = NULL;
    j->index = NULL;
}

/* ---- lists and the board */

static void unlink_job(struct pool *pool, struct pp_job *j) {
    *j->link = j->next;
    if (j->next) j->next->link = j->link;
    else if (pool->waiting_jobs_end == &j->next) pool->waiting_jobs_end = j->link;
    j->link = NULL;
    if (pool->placed[j->place] == j) pool->placed[j->place] = NULL;
}

static void link_active(struct pool *pool, struct pp_job *j) {
    j->next = pool->jobs;
    j->link = &pool->jobs;
    if (j->next) j->next->link = &j->next;
    pool->jobs = j;
}

static void link_waiting(struct pool *pool, struct pp_job *j) {
    j->next = NULL;
    j->link = pool->waiting_jobs_end;
    *pool->waiting_jobs_end = j;
    pool->waiting_jobs_end = &j->next;
}

static uint32_t free_place(struct pool *pool) {
    uint32_t place = 0;
    while (place < PP_BOARD && pool->placed[place]) place++;
    return place;
}

static uint64_t ticket_of(const struct pool *pool, const struct pp_job *j) {
    return pp_ticket(j->future->slot, pool->slots[j->future->slot].generation);
}

/* Publishes the pass. The slot's generation is new, so whoever still thinks of an older pass finds nothing. */
static void begin_pass(struct pool *pool, struct pp_job *j) {
    uint32_t slot = j->future->slot, generation = pool->slots[slot].generation;
    struct pp_desc *desc = &pool->shared.descs[slot];
    j->deaths = 0;
    j->plan->generation = generation;
    pp_plan_begin(j->plan);
    memset(desc, 0, sizeof *desc);
    desc->in = j->plan;
    desc->timeout = PP_IS_JOB;
    pp_state_submit(&pool->shared.outcomes[slot].state, generation);
    struct pp_front *front = pool->shared.front;
    if (j->place >= atomic_load_explicit(&front->board_end, memory_order_relaxed))
        atomic_store_explicit(&front->board_end, j->place + 1, memory_order_release);
    atomic_store_explicit(&pool->shared.board[j->place], ticket_of(pool, j), memory_order_release);
    uint64_t chunks = j->plan->blocks;
    pp_call_workers(pool, chunks < PP_WORKERS ? (uint32_t)chunks : PP_WORKERS);
}

/* Gives the job a slot and a place on the board. False: there is none. */
static bool start_job(struct pool *pool, struct pp_job *j) {
    uint32_t place = free_place(pool);
    if (place == PP_BOARD || pp_slot_take(pool, j->future) == PP_NO_SLOT) return false;
    j->place = place;
    pool->placed[place] = j;
    link_active(pool, j);
    begin_pass(pool, j);
    return true;
}

static void start_waiting(struct pool *pool) {
    while (pool->waiting_jobs) {
        struct pp_job *j = pool->waiting_jobs;
        unlink_job(pool, j);
        if (start_job(pool, j)) continue;
        /* Back to where it was: first in line. */
        j->next = pool->waiting_jobs;
        j->link = &pool->waiting_jobs;
        if (j->next) j->next->link = &j->next;
        else pool->waiting_jobs_end = &j->next;
        pool->waiting_jobs = j;
        return;
    }
}

/* ---- the end of a job */

static void copy_results(const struct pp_job *j) {
    const struct pool_job *job = &j->job;
    if (!j->out) return;
    size_t size = job->out_size;
    if (j->failed == 0) {
        memcpy(job->out, j->out, job->count * size);
        return;
    }
    for (size_t i = 0; i < job->count; i++)
        if (j->outcomes[i] == 0) memcpy((char *)job->out + i * size, j->out + i * size, size);
}

static void tell_failures(const struct pool_job *job, const struct pool_failure *lowest, const struct told *told,
                          uint64_t failed) {
    if (job->failure) *job->failure = *lowest;
    if (job->failed) *job->failed = (size_t)failed;
    if (!job->failures) return;
    if (told->count) memcpy(job->failures, told->list, told->count * sizeof *job->failures);
    memset(job->failures + told->count, 0, (job->failures_room - told->count) * sizeof *job->failures);
}

static void tell_outcomes(const struct pp_job *j) {
    if (j->job.status)
        for (size_t i = 0; i < j->job.count; i++) j->job.status[i] = -(int)j->outcomes[i];
    tell_failures(&j->job, &j->lowest, &j->told, j->failed);
}

/* A job without items. */
static void tell_nothing(const struct pool_job *job) {
    static const struct pool_failure none;
    tell_failures(job, &none, &(struct told){.count = 0}, 0);
}

static void free_job(struct pool *pool, struct pp_job *j) {
    free_pass(pool, j);
    pp_heap_free(&pool->inputs, j->plan);
    pp_heap_free(&pool->inputs, j->in);
    pp_heap_free(&pool->inputs, j->context);
    pp_heap_free(&pool->results, j->out);
    pp_heap_free(&pool->work, j->scratch);
    pp_release(j->outcomes);
    pp_release(j->told.list);
    pp_release(j->tries);
    pp_release(j->gaps);
    pp_release(j);
}

void pp_job_finish(struct pool *pool, struct pp_job *j) {
    struct future *future = j->future;
    if (!future->given_up) {
        copy_results(j);
        tell_outcomes(j);
    }
    struct pool_failure lowest = j->lowest;
    if (j->job.timeout) pp_timer_end(&pool->shared);
    free_job(pool, j);
    future->job = NULL;
    pp_future_finish(future, lowest.error, lowest.error ? &lowest : NULL);
}

static void end_job(struct pool *pool, struct pp_job *j) {
    pool->items_done += j->job.count;
    pool->items_failed += j->failed;
    if (!j->job.progress || !pp_report_end(pool, &j->report)) pp_job_finish(pool, j);
}

/* ---- the end of a pass */

static void settle_flawed_item(struct pp_job *j, uint64_t position, int code) {
    struct pool_failure failure;
    memset(&failure, 0, sizeof failure);
    failure.error = POOL_EFAILED;
    failure.code = code;
    bool told = is_told(j, item_at(j, position));
    const struct pp_flaw *flaw = told ? pp_flaws_find(j->plan->flaws, j->plan->flaws_room, position) : NULL;
    if (flaw) {
        failure.worker = flaw->pid;
        memcpy(failure.message, flaw->message, sizeof failure.message);
        failure.message[sizeof failure.message - 1] = '\0';
    }
    if (told && !failure.message[0]) snprintf(failure.message, sizeof failure.message, "the task returned %d", code);
    settle_failed(j, item_at(j, position), &failure);
}

static void settle_block(struct pp_job *j, uint64_t block) {
    const struct pp_job_plan *plan = j->plan;
    uint64_t begin = block * plan->block;
    uint64_t end = begin + plan->block < plan->count ? begin + plan->block : plan->count;
    switch (atomic_load_explicit(&plan->marks[block], memory_order_relaxed)) {
    case PP_MARK_DONE: return;
    case PP_MARK_FLAWED:
        for (uint64_t p = begin; p < end; p++) {
            int code = atomic_load_explicit(&plan->codes[p], memory_order_relaxed);
            if (code != 0) settle_flawed_item(j, p, code);
        }
        return;
    case PP_UNMARKED:
        if (j->deaths > 0 || j->stopped) {
            add_gap_of_positions(j, begin, end);
            return;
        }
        break; /* nobody died and yet it was not run */
    default: break;
    }
    for (uint64_t p = begin; p < end; p++) settle_as(j, item_at(j, p), POOL_ECORRUPT);
}

static void settle_gaps_as(struct pp_job *j, int error) {
    for (size_t i = 0; i < j->gap_count; i++)
        for (uint64_t k = 0; k < j->gaps[i].count; k++) settle_as(j, j->gaps[i].first + k, error);
    j->gap_count = 0;
}

static void end_pass(struct pool *pool, struct pp_job *j) {
    for (uint64_t b = 0; b < j->plan->blocks; b++)
        if (atomic_load_explicit(&j->plan->marks[b], memory_order_relaxed) != PP_MARK_DONE) settle_block(j, b);
    free_pass(pool, j);
    if (j->stopped) settle_gaps_as(j, POOL_ECANCELLED);
    if (j->gap_count > 0 && !make_next_plan(pool, j)) settle_gaps_as(j, POOL_ENOMEM);
    pp_slot_free(pool, j->future->slot);
    if (j->work) { /* there is a next pass; the slot that was just freed is there for it, with a new generation */
        pp_slot_take(pool, j->future);
        begin_pass(pool, j);
        return;
    }
    unlink_job(pool, j);
    end_job(pool, j);
}

static bool anybody_in(const struct pool *pool, uint64_t ticket) {
    for (uint32_t w = 0; w < pool->workers; w++)
        if (atomic_load_explicit(&pool->shared.records[w].job, memory_order_seq_cst) == ticket) return true;
    return false;
}

/* Closes the pass to workers that come late. Pairs with enter_job(), worker.c: it sees the state ended, or we see it. */
static void close_pass(struct pool *pool, struct pp_job *j) {
    atomic_store_explicit(&pool->shared.board[j->place], 0, memory_order_seq_cst);
    _Atomic uint64_t *state = &pool->shared.outcomes[j->future->slot].state;
    uint32_t generation = pool->slots[j->future->slot].generation;
    uint64_t seen = atomic_load_explicit(state, memory_order_seq_cst);
    while (pp_phase_of(seen) != PP_DONE && pp_phase_of(seen) != PP_CANCELLED) {
        if (pp_generation_of(seen) != generation) return; /* scribbled upon: nobody can enter */
        if (!pp_state_end(state, seen)) pp_state_cancel(state, generation);
        seen = atomic_load_explicit(state, memory_order_seq_cst);
    }
}

void pp_job_look(struct pool *pool, struct pp_job *j) {
    uint64_t ticket = ticket_of(pool, j);
    if (!pp_plan_is_used_up(j->plan) || anybody_in(pool, ticket)) return;
    close_pass(pool, j);
    /* A death whose notice is not read yet may have left more than the marks tell; reading it leads here again. */
    if (anybody_in(pool, ticket) || pp_notice_waits(&pool->shared)) return;
    end_pass(pool, j);
}

void pp_jobs_look(struct pool *pool) {
    for (struct pp_job *j = pool->jobs, *next; j; j = next) {
        next = j->next;
        pp_job_look(pool, j);
    }
    start_waiting(pool);
}

/* A pass whose state word lets nobody in: what is left of it goes to the next. */
static void audit_job(struct pool *pool, struct pp_job *j) {
    uint32_t slot = j->future->slot;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
    uint32_t generation = pool->slots[slot].generation;
    if (state == pp_state(generation, PP_PENDING, 0, 0)) return;
    if (pp_phase_of(state) == PP_RUNNING && pp_generation_of(state) == generation) return;
    j->deaths++; /* as after a death, what has no mark was lost */
    pp_plan_use_up(j->plan);
}

void pp_jobs_audit(struct pool *pool) {
    for (struct pp_job *j = pool->jobs; j; j = j->next) audit_job(pool, j);
    pp_jobs_look(pool);
}

/* What the worker has done of a chunk that it has not finished; what its record says is untrusted. */
static uint64_t count_begun(const struct pool *pool, const struct pp_job *j, uint32_t worker) {
    const struct pp_record *record = &pool->shared.records[worker];
    const struct pp_job_plan *plan = j->plan;
    if (atomic_load_explicit(&record->job, memory_order_acquire) != ticket_of(pool, j)) return 0;
    uint64_t at = atomic_load_explicit(&record->progress, memory_order_acquire);
    uint64_t begin = atomic_load_explicit(&record->begin, memory_order_acquire);
    uint64_t end = atomic_load_explicit(&record->end, memory_order_acquire);
    if (begin >= end || end > plan->count || at < begin || at > end) return 0;
    bool marked = atomic_load_explicit(&plan->marks[begin / plan->block], memory_order_acquire) != PP_UNMARKED;
    return marked ? 0 : at - begin;
}

/* What was settled in earlier passes, and what the marks tell of this one. */
void pp_job_count(const struct pp_job *j, uint64_t *done, uint64_t *failed) {
    *done = j->report.ended ? j->job.count : 0;
    *failed = j->failed;
    if (j->future->slot == PP_NO_SLOT) return; /* it waits, or has ended */
    const struct pool *pool = j->future->pool;
    pp_plan_count(j->plan, done, failed);
    /* After the marks: a chunk that was marked before is not looked at here, so nothing counts twice. */
    for (uint32_t w = 0; w < pool->workers; w++) *done += count_begun(pool, j, w);
    if (*done > j->plan->count) *done = j->plan->count;
    uint64_t left = j->plan->count - *done;
    for (size_t i = 0; i < j->gap_count; i++) left += j->gaps[i].count;
    *done = j->job.count > left ? j->job.count - left : 0;
    *failed += j->failed;
}

void pp_jobs_count(const struct pool *pool, uint64_t *items, uint64_t *done, uint64_t *failed) {
    *items = *done = *failed = 0;
    const struct pp_job *lists[] = {pool->jobs, pool->waiting_jobs};
    for (int i = 0; i < 2; i++)
        for (const struct pp_job *j = lists[i]; j; j = j->next) {
            uint64_t job_done, job_failed;
            pp_job_count(j, &job_done, &job_failed);
            *items += j->job.count;
            *done += job_done;
            *failed += job_failed;
        }
}

uint64_t pp_jobs_blocks(const struct pool *pool) {
    uint64_t blocks = 0;
    for (const struct pp_job *j = pool->jobs; j; j = j->next) blocks += j->plan->blocks;
    return blocks;
}

/* ---- deaths */

/* Whether the victim has a try left; counts it. */
static bool try_again(struct pp_job *j, uint64_t item) {
    if (j->job.retries == 0) return false;
    if (!j->tries) j->tries = pp_zalloc(j->job.count, sizeof *j->tries);
    return j->tries && j->tries[item]++ < j->job.retries;
}

static void settle_victim(struct pp_job *j, const struct pp_notice *notice, uint64_t position) {
    enum pp_phase phase = pp_phase_of(notice->item);
    uint64_t item = item_at(j, position);
    if (phase == PP_RUNNING && !j->stopped && try_again(j, item)) {
        j->future->pool->retried++;
        add_gap(j, item, 1);
        return;
    }
    struct pool_failure failure;
    pp_describe_death(&failure, notice, phase, j->job.timeout);
    settle_failed(j, item, &failure);
}

/* What a dead worker's record says of the chunk it had: untrusted, so it counts only where it is within the plan. */
static void settle_chunk(struct pp_job *j, const struct pp_notice *notice) {
    const struct pp_job_plan *plan = j->plan;
    uint64_t begin = notice->begin, end = notice->end, at = notice->progress;
    if (begin >= end || end > plan->count || at < begin || at > end || begin % plan->block != 0) return;
    uint64_t first = begin / plan->block, last = (end + plan->block - 1) / plan->block;
    /* Whoever finished the chunk has marked it, unless it died right before; nobody else marks these blocks. */
    pp_plan_mark(plan, first, last, notice->flawed != 0);
    bool held = pp_is_held_by(notice->item, notice->worker, notice->life);
    enum pp_phase phase = pp_phase_of(notice->item);
    if (held && (phase == PP_RUNNING || phase == PP_KILLED || phase == PP_OVERDUE)) {
        /* A single item may have been lost after it was counted as finished and before its word was swapped. */
        uint64_t victim = notice->single == UINT64_MAX ? at : notice->single;
        if (victim < end && (victim == at || victim + 1 == at)) {
            settle_victim(j, notice, victim);
            at = victim + 1;
        }
    }
    add_gap_of_positions(j, at, end);
}

void pp_job_died(struct pool *pool, const struct pp_notice *notice) {
    /* Which job it was in is what its record says; a claim that is in no record may be of any job. */
    for (struct pp_job *j = pool->jobs; j; j = j->next) {
        j->deaths++;
        if (ticket_of(pool, j) == notice->job) settle_chunk(j, notice);
    }
}

/* ---- cancelling */

bool pp_job_running(const struct pool *pool, const struct pp_job *j) {
    uint32_t slot = j->future->slot;
    if (slot == PP_NO_SLOT) return false;
    return j->index || pp_phase_of(atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire)) == PP_RUNNING;
}

/* Ends a job of which nothing has begun and nothing will. */
static void end_unbegun(struct pool *pool, struct pp_job *j) {
    add_gap(j, 0, j->job.count);
    settle_gaps_as(j, POOL_ECANCELLED);
    unlink_job(pool, j);
    end_job(pool, j);
}

int pp_job_cancel(struct pool *pool, struct pp_job *j) {
    if (j->report.ended) return POOL_EBUSY;
    if (j->future->slot == PP_NO_SLOT) {
        end_unbegun(pool, j);
        return 0;
    }
    uint32_t slot = j->future->slot;
    if (j->index) return POOL_EBUSY; /* its first pass is over */
    /* The first worker to come swaps the job to RUNNING; until then nobody has looked at anything but the state. */
    if (!pp_state_cancel(&pool->shared.outcomes[slot].state, pool->slots[slot].generation)) return POOL_EBUSY;
    atomic_store_explicit(&pool->shared.board[j->place], 0, memory_order_seq_cst);
    pp_slot_free(pool, slot);
    end_unbegun(pool, j);
    return 0;
}

/* Every item that runs is killed; pairs with run_chunk_timed(), which looks at `stop` after it has published its item. */
static void kill_items(struct pool *pool, struct pp_job *j) {
    for (uint32_t w = 0; w < pool->workers; w++) {
        struct pp_record *record = &pool->shared.records[w];
        if (atomic_load_explicit(&record->job, memory_order_seq_cst) != ticket_of(pool, j)) continue;
        uint64_t running = atomic_load_explicit(&record->item, memory_order_seq_cst);
        while (pp_phase_of(running) == PP_RUNNING) {
            if (pp_state_kill(&record->item, running, PP_KILLED)) {
                /* The word names its worker, but a worker may have scribbled upon it. */
                uint32_t life = atomic_load_explicit(&pool->shared.front->lives[w], memory_order_relaxed);
                pp_kill_worker(pool, pp_state(0, PP_KILLED, w, life));
                break;
            }
            running = atomic_load_explicit(&record->item, memory_order_seq_cst);
        }
    }
}

void pp_job_stop(struct pool *pool, struct pp_job *j, bool kill) {
    if (j->report.ended) return;
    if (j->future->slot == PP_NO_SLOT) {
        end_unbegun(pool, j);
        return;
    }
    j->stopped = true;
    pp_plan_use_up(j->plan);
    if (kill) {
        atomic_store_explicit(&j->plan->stop, 1, memory_order_seq_cst);
        kill_items(pool, j);
    }
    pp_job_look(pool, j);
}

void pp_jobs_stop(struct pool *pool, bool kill) {
    while (pool->waiting_jobs) pp_job_stop(pool, pool->waiting_jobs, kill);
    for (struct pp_job *j = pool->jobs, *next; j; j = next) {
        next = j->next;
        pp_job_stop(pool, j, kill);
    }
}

void pp_jobs_kill(struct pool *pool) {
    for (struct pp_job *j = pool->jobs; j; j = j->next) kill_items(pool, j);
}

void pp_job_abort(struct pool *pool, struct pp_job *j, const struct pool_failure *why) {
    bool begun = j->future->slot != PP_NO_SLOT;
    if (begun) {
        j->stopped = true; /* what is not marked becomes a gap */
        for (uint64_t b = 0; b < j->plan->blocks; b++) settle_block(j, b);
        atomic_store_explicit(&pool->shared.board[j->place], 0, memory_order_seq_cst);
        pp_slot_free(pool, j->future->slot);
    } else {
        add_gap(j, 0, j->job.count);
    }
    for (size_t i = 0; i < j->gap_count; i++)
        for (uint64_t k = 0; k < j->gaps[i].count; k++) settle_failed(j, j->gaps[i].first + k, why);
    j->gap_count = 0;
    unlink_job(pool, j);
    end_job(pool, j);
}

/* ---- the calls */

static int check_job(const struct pool_job *job) {
    if (!job->fn || job->timeout < 0 || job->progress_interval < 0) return POOL_EINVAL;
    if ((job->in && job->in_size == 0) || (job->out && job->out_size == 0)) return POOL_EINVAL;
    if (job->context_size && !job->context) return POOL_EINVAL;
    if (!job->failures != !job->failures_room) return POOL_EINVAL;
    if (job->failures_room > SIZE_MAX / sizeof *job->failures) return POOL_EINVAL;
    if (job->count >= COUNT_MOST) return POOL_EINVAL;
    if (job->in_size && job->count > SIZE_MAX / job->in_size) return POOL_EINVAL;
    if (job->out_size && job->count > SIZE_MAX / job->out_size) return POOL_EINVAL;
    return 0;
}

/* Copies in what lies elsewhere, and finds room for what comes out. */
static int place_data(struct pool *pool, struct pp_job *j, bool in_is_inherited) {
    const struct pool_job *job = &j->job;
    size_t in_bytes = job->count * job->in_size, out_bytes = job->count * job->out_size;
    if (job->in && !in_is_inherited && !pp_heap_holds(&pool->arena, job->in, in_bytes)) {
        j->in = pp_heap_alloc(&pool->inputs, in_bytes, false);
        if (!j->in) return POOL_ENOMEM;
        memcpy(j->in, job->in, in_bytes);
    }
    if (job->context_size && !in_is_inherited && !pp_heap_holds(&pool->arena, job->context, job->context_size)) {
        j->context = pp_heap_alloc(&pool->inputs, job->context_size, false);
        if (!j->context) return POOL_ENOMEM;
        memcpy(j->context, job->context, job->context_size);
    }
    if (job->out && !pp_heap_holds(&pool->arena, job->out, out_bytes)) {
        j->out = pp_heap_alloc(&pool->results, out_bytes, false);
        if (!j->out) return POOL_ENOMEM;
    } else if (!job->out && job->out_size) {
        size_t part = aligned(job->out_size);
        if (part > SIZE_MAX / pool->workers) return POOL_ENOMEM;
        j->scratch = pp_heap_alloc(&pool->work, part * pool->workers, false);
        if (!j->scratch) return POOL_ENOMEM;
    }
    return 0;
}

static int make_job(struct pool *pool, const struct pool_job *job, bool in_is_inherited, struct pp_job **made) {
    struct pp_job *j = pp_zalloc(1, sizeof *j);
    if (!j) return POOL_ENOMEM;
    j->job = *job;
    j->told.most = job->failures_room;
    j->outcomes = pp_zalloc(job->count, 1);
    j->plan = pp_heap_alloc(&pool->inputs, sizeof *j->plan, false);
    if (!j->outcomes || !j->plan || place_data(pool, j, in_is_inherited) || !make_first_plan(pool, j)) {
        free_job(pool, j);
        return POOL_ENOMEM;
    }
    *made = j;
    return 0;
}

/* A future that is done at once: there is nothing to do. */
static void end_empty(struct future *future, const struct pool_job *job) {
    tell_nothing(job);
    pp_future_finish(future, 0, NULL);
}

static int map_async(struct pool *pool, const struct pool_job *job, bool in_is_inherited, struct future **future) {
    int error = pp_refusal(pool);
    if (error) return error;
    struct pp_job *j = NULL;
    if (job->count > 0) error = make_job(pool, job, in_is_inherited, &j);
    if (error) return error;
    struct future *f = pp_future_new(pool);
    if (!f) {
        if (j) free_job(pool, j);
        return POOL_ENOMEM;
    }
    f->is_job = true;
    f->job = j;
    pool->open++;
    pool->open_jobs++;
    *future = f;
    if (!j) {
        end_empty(f, job);
        return 0;
    }
    j->future = f;
    if (job->progress) pp_report_begin(pool, &j->report, f, &j->job);
    if (job->timeout) pp_timer_begin(&pool->shared, pool->control, &pool->shortest_timeout, job->timeout);
    if (pool->waiting_jobs || !start_job(pool, j)) link_waiting(pool, j);
    return 0;
}

int pool_map_async(struct pool *pool, const struct pool_job *job, struct future **future) {
    if (!pool || !job || !future) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    int error = check_job(job);
    if (error) return error;
    pp_lock(pool);
    error = map_async(pool, job, false, future);
    pp_unlock(pool);
    return error;
}

static int map_and_wait(struct pool *pool, const struct pool_job *job, bool in_is_inherited) {
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    struct future *future;
    int error = check_job(job);
    if (error) return error;
    pp_lock(pool);
    /* Who may not wait must not begin either: items would be at the caller's data after the call has returned. */
    error = pp_in_report(pool) ? POOL_ETIMEDOUT : map_async(pool, job, in_is_inherited, &future);
    pp_unlock(pool);
    if (error) return error;
    error = future_get(future, NULL, -1);
    future_free(future);
    return error;
}

/* A pool for this call: its workers inherit all inputs, and there are no more of them than items. */
static int map_alone(const struct pool_job *job) {
    int error = check_job(job);
    if (error || job->count == 0) {
        if (!error) tell_nothing(job);
        return error;
    }
    int workers = pp_worker_count(job->workers);
    if (workers < 0) return workers;
    struct pool_options options = {.workers = (size_t)workers < job->count ? workers : (int)job->count};
    struct pool *pool;
    error = pool_create(&options, &pool);
    if (error) return error;
    error = map_and_wait(pool, job, true);
    pool_destroy(pool);
    return error;
}

int pool_map(struct pool *pool, const struct pool_job *job) {
    if (!job) return POOL_EINVAL;
    return pool ? map_and_wait(pool, job, false) : map_alone(job);
}
