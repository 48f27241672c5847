/* A worker's tasks: tickets from the ring, or from other workers that have taken them; see work.h. */
#include <string.h>
#include <unistd.h>

#include "base/cacheline.h"
#include "base/sys.h"
#include "shared/extents.h"
#include "shared/ticket.h"
#include "worker/work.h"

#define OWN_ROOM_MOST ((uint32_t)1 << 20) /* bytes of generous room that a worker may have memory of its own for */
#define GATHER_NS 1000U /* from one take of tickets to the next, unless there are many */
#define SHORT_NS 2000U  /* tasks shorter than this are taken several at a time: bench_compare, "empty" */

/* ---- one task */

/* The task may call task_result(). */
static void *begin_any_size(struct worker *w, uint64_t ticket) {
    w->call->ticket = ticket;
    w->call->extent = NULL;
    w->call->extent_size = 0;
    w->call->size = 0;
    return NULL;
}

/* Where the task is to write its result. Where results turn out to be short, generous room would be touched page after
 * page, each for a few bytes. So a worker whose last such result was short has the next one written to memory of its
 * own, which stays in the cache: bench_limits, "generous". */
static void *room_for(struct worker *w, const struct pp_desc *desc, uint64_t ticket) {
    uint32_t size = desc->shape.out_size;
    if (size <= PP_RESULT_PAGE) return desc->out;
    if (pp_desc_has_any_size(desc)) return begin_any_size(w, ticket);
    if (size > OWN_ROOM_MOST || !w->scratch.short_results) return desc->out;
    char *own = pp_work_scratch(w, size);
    return own ? own : desc->out;
}

/* The result of a task of POOL_ANY_SIZE: it goes behind its size if it is short, else its offset does. From then on the
 * room is the caller's. */
static void place_any_size(struct pp_call *call, const struct pp_shared *shared, struct pp_result *result) {
    size_t size = (size_t)call->size;
    uint64_t offset = call->extent ? (uint64_t)(call->extent - shared->extents) : 0;
    bool is_short = size <= PP_SHORT_RESULT;
    result->size = &call->size;
    result->data = call->message;
    result->data_size = is_short ? size : sizeof offset;
    if (call->extent) memcpy(call->message, is_short ? (const void *)call->extent : &offset, result->data_size);
    pp_call_drop_extent(is_short ? 0 : size);
    call->extent = NULL;
}

/* The task has succeeded: its result gets where it belongs. */
static void place_result(struct worker *w, const struct pp_desc *desc, const void *out, struct pp_result *result) {
    if (w->call->resized) result->size = &w->call->size;
    if (desc->shape.out_size <= PP_RESULT_PAGE) return;
    if (pp_desc_has_any_size(desc)) {
        place_any_size(w->call, w->claimer.shared, result);
        return;
    }
    w->scratch.short_results = result->size && *result->size <= PP_SHORT_RESULT;
    if (w->scratch.short_results) result->data = out, result->data_size = (size_t)*result->size;
    else if (out != desc->out) memcpy(desc->out, out, result->size ? (size_t)*result->size : desc->shape.out_size);
}

/* Calls the task's function. Returns its code. */
static int call_task(struct worker *w, const struct pp_desc *desc, void *out) {
    struct pp_call *call = w->call;
    call->position = NULL;
    call->index = (size_t)(desc->item >> PP_IN_SIZE_BITS);
    call->seed = desc->seed;
    call->desc = desc;
    call->has_message = call->resized = false;
    const void *in = desc->in;
    if (desc->shape.has_extra) {
        call->extra = in;
        call->context = call->extra->context;
        in = call->extra->in;
    }
    char here;
    w->base = (uintptr_t)&here;
    pool_fn *fn = w->batch.ran = desc->fn;
    int code = fn(in, out);
    if (pp_leavings_has_float(w->leavings.x87)) pp_leavings_set_float_back(&w->leavings);
    pp_work_end_if_forked(w);
    return code;
}

static struct pp_limits limits_of(const struct worker *w, uint32_t slot) {
    int32_t timeout = w->claimer.shared->descs[slot].timeout;
    return timeout == PP_HAS_LIMITS ? w->claimer.shared->limits[slot] : (struct pp_limits){.timeout = timeout};
}

static void start_clock(struct worker *w, int32_t cpu_timeout) {
    uint64_t now = pp_now();
    pp_work_note_start(w, now, cpu_timeout);
    pp_start_clock(&w->claimer, now);
}

static void run_claimed(struct worker *w, uint64_t ticket) {
    struct pp_claimer *c = &w->claimer;
    uint32_t slot = pp_ticket_slot(ticket);
    const struct pp_desc *desc = &c->shared->descs[slot];
    if (desc->timeout) start_clock(w, limits_of(w, slot).cpu_timeout);
    void *out = room_for(w, desc, ticket);
    struct pp_result result = {.code = call_task(w, desc, out)};
    if (result.code != 0) {
        pp_work_note_failure(w);
        if (pp_desc_has_any_size(desc)) pp_call_drop_extent(0);
        result.message = pp_work_message(w);
        result.pid = (int32_t)getpid();
    } else {
        place_result(w, desc, out, &result);
    }
    if (desc->shape.has_extra) w->call->context = w->call->extra = NULL;
    pp_work_flush(w);
    if (desc->timeout)
        pp_work_check_limits(w, &c->shared->outcomes[slot].state, pp_running_word(c, ticket), limits_of(w, slot));
    switch (pp_finish_task(c, ticket, &result)) {
    case PP_FINISHED: return;
    case PP_FINISHED_RING: pp_work_ring(w); return;
    case PP_FINISHED_KILLED: pp_work_await_kill(w);
    }
}

/* Returns false if the task is not to be run, or another worker runs it. `began`: since when the worker is busy, if it
 * was idle: a worker that only tries is not busy. */
static bool run_task(struct worker *w, uint64_t ticket, uint64_t began) {
    struct pp_claimer *c = &w->claimer;
    if (pp_work_passes_on_task(w, ticket) || !pp_claim_task(c, ticket)) return false;
    PP_POINT("begun");
    if (!pp_is_busy(c)) pp_set_busy_since(c, began);
    run_claimed(w, ticket);
    w->bounds.has_run = true;
    if (w->bounds.has_quota) w->bounds.quota--;
    return true;
}

/* ---- tickets */

static void prefetch(const struct worker *w, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket) % PP_SLOTS;
    pp_prefetch(&w->claimer.shared->descs[slot]);
    pp_prefetch_write(&w->claimer.shared->outcomes[slot]);
}

/* If a worker takes each short task as soon as it is there, the caller's lines go to and fro between the two, and both
 * are slow. So where tasks come that fast, the worker lets some gather: bench_limits, "flat-submit". It does not where
 * the caller waits for each task before it submits the next: "round-awake". */
void pp_work_batch_delay(const struct worker *w) {
    if (w->batch.size == 1 || w->batch.took_all) return;
    const _Atomic uint32_t *one_by_one = &w->claimer.shared->control->one_by_one;
    while (!atomic_load_explicit(one_by_one, memory_order_relaxed) && pp_now() - w->batch.took < GATHER_NS) continue;
}

static void count_tasks(struct worker *w, uint64_t tasks, uint64_t began, uint64_t now) {
    if (w->trace) pp_work_trace_tasks(w, began, now, tasks);
    pp_work_count(w, tasks);
    pp_count_time(&w->claimer, now - began, 0);
}

/* Several tickets at a time pay where tasks are short: one swap of a contended word serves them all. */
bool pp_work_on_tickets(struct worker *w) {
    uint64_t tickets[PP_CLAIMED_MOST];
    struct pp_worker_batch *batch = &w->batch;
    bool few_left = w->bounds.has_quota && w->bounds.quota < batch->size;
    unsigned most = few_left ? (unsigned)w->bounds.quota : w->options->fresh_after_failure ? 1 : batch->size;
    unsigned count = pp_claim_tickets(&w->claimer, most, tickets);
    if (count == 0) return false;
    PP_POINT("taken");
    for (unsigned i = 0; i < count; i++) prefetch(w, tickets[i]);
    uint64_t began = pp_now(), ran = 0;
    batch->took = began;
    pp_leavings_look(&w->leavings, began);
    batch->took_all = count == most;
    for (unsigned i = 0; i < count; i++) ran += run_task(w, tickets[i], began);
    if (!w->bounds.bequeaths) pp_drop_tickets(&w->claimer); /* else some may still be retries; they are sent again */
    uint64_t now = pp_now();
    if (ran) count_tasks(w, ran, began, now);
    batch->size = (now - began) / count > SHORT_NS ? 1 : PP_CLAIMED_MOST;
    return true;
}

void pp_work_on_ticket(struct worker *w, uint64_t ticket) {
    uint64_t began = pp_now();
    bool ran = run_task(w, ticket, began);
    pp_drop_bequest(&w->claimer);
    pp_drop_tickets(&w->claimer);
    if (ran) count_tasks(w, 1, began, pp_now());
}

/* Runs one of the tasks whose tickets this worker has taken and not started. */
static bool steal_from(struct worker *w, const struct pp_record *other) {
    for (int i = 0; i < PP_CLAIMED_MOST; i++) {
        uint64_t ticket = pp_record_claimed(other, i);
        if (ticket == 0) break;
        if (!pp_task_is_not_started(&w->claimer, ticket)) continue;
        uint64_t began = pp_now();
        bool ran = run_task(w, ticket, began);
        pp_drop_tickets(&w->claimer);
        if (!ran) continue;
        count_tasks(w, 1, began, pp_now());
        return true;
    }
    return false;
}

bool pp_work_steal(struct worker *w) {
    if (w->bounds.watch.is_over) return false; /* and the workers that hold tickets are at work */
    struct pp_shared *shared = w->claimer.shared;
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    for (uint32_t v = 0; v < workers; v++)
        if (v != w->claimer.number && steal_from(w, &shared->records[v])) return true;
    return false;
}
