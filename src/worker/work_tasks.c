/* A worker's tasks: tickets from the ring, or from others who hold them; see work.h. */
#include <string.h>
#include <unistd.h>

#include "shared/ring.h"
#include "shared/state.h"
#include "base/sys.h"
#include "worker/work.h"

#define FIRST_PAGE 64U  /* slots */
#define GATHER_NS 1000U /* from one take of tickets to the next, unless there are many */
#define SHORT_NS 2000U  /* tasks shorter than this are taken several at a time: bench_compare, "empty" */

static void run_claimed(struct worker *w, uint32_t slot, uint64_t ticket) {
    struct pp_outcome *outcome = &w->shared->outcomes[slot];
    const struct pp_desc *desc = &w->shared->descs[slot];
    uint64_t running = pp_state(pp_ticket_generation(ticket), PP_RUNNING, w->number, w->life);

    if (desc->timeout) {
        w->started_set = true;
        /* Release: the supervisor, which has seen RUNNING, sees 0 or this. */
        atomic_store_explicit(&w->record->started, pp_now(), memory_order_release);
    }
    w->call->position = NULL;
    w->call->index = (size_t)desc->index;
    w->call->seed = desc->seed;
    w->call->desc = desc;
    w->call->has_message = w->call->resized = false;
    const void *in = desc->in;
    if (desc->shape.has_extra) {
        w->call->extra = in;
        w->call->context = w->call->extra->context;
        in = w->call->extra->in;
    }
    int code = desc->fn(in, desc->out);
    pp_work_end_if_forked(w);
    if (code != 0) {
        memcpy(w->shared->messages[slot], pp_work_message(w), PP_MESSAGE);
        outcome->pid = (int32_t)getpid();
    } else {
        outcome->resized = w->call->resized;
        if (w->call->resized) memcpy(w->shared->messages[slot], &w->call->size, sizeof w->call->size);
    }
    if (desc->shape.has_extra) w->call->context = w->call->extra = NULL;
    pp_work_flush(w);
    outcome->code = code;
    PP_POINT("ran");
    if (desc->timeout) pp_work_check_deadline(w, &outcome->state, running, desc->timeout);
    if (!pp_state_end(&outcome->state, running)) pp_work_await_kill(w);
    PP_POINT("published");
    pp_work_announce(w, ticket);
}

/* Whether the caller took us to be running this when we were about to begin it, and is about to kill us: not what would
 * come next. */
static bool is_doubted(const struct worker *w, uint64_t ticket, const _Atomic uint64_t *state) {
    return atomic_load_explicit(state, memory_order_acquire) ==
           pp_state(pp_ticket_generation(ticket), PP_KILLED, w->number, w->life);
}

/* False: it is no longer to be run, or somebody else runs it. Else the worker is busy, since `began` if it was not: who
 * only tries is not. */
static bool run_task(struct worker *w, uint64_t ticket, uint64_t began) {
    uint32_t slot = pp_ticket_slot(ticket);
    if (slot >= PP_SLOTS) return false;
    if (w->started_set) {
        atomic_store_explicit(&w->record->started, 0, memory_order_relaxed);
        w->started_set = false;
    }
    /* Before the swap: a death right after it must find what was running. */
    atomic_store_explicit(&w->record->current, ticket, memory_order_relaxed);
    PP_POINT("about to begin");
    _Atomic uint64_t *state = &w->shared->outcomes[slot].state;
    if (!pp_state_begin(state, pp_ticket_generation(ticket), w->number, w->life)) {
        if (is_doubted(w, ticket, state)) pp_work_await_kill(w);
        return false;
    }
    PP_POINT("begun");
    if (atomic_load_explicit(&w->record->busy_since, memory_order_relaxed) == 0)
        atomic_store_explicit(&w->record->busy_since, began, memory_order_relaxed);
    run_claimed(w, slot, ticket);
    w->has_run = true;
    if (w->has_quota) w->quota--;
    return true;
}

/* A pool with little to do needs no more than the first page of outcomes; the others are mapped many at a time:
 * bench_limits, "flat-workers-submit". */
static void map_outcome(struct worker *w, uint32_t slot) {
    if (slot < FIRST_PAGE) return;
    struct pp_outcome *outcomes = w->shared->outcomes;
    pp_pages_map(&w->pages, (char *)&outcomes[slot], (char *)&outcomes[slot + 1], (char *)&outcomes[FIRST_PAGE],
                 (char *)&outcomes[PP_SLOTS]);
}

static void prefetch(struct worker *w, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket) % PP_SLOTS;
    map_outcome(w, slot);
    pp_prefetch(&w->shared->descs[slot]);
    pp_prefetch_write(&w->shared->outcomes[slot]);
}

/* A worker that takes each short task as soon as it is there keeps the caller's lines going to and fro, and both slow:
 * where they come that fast, some are let come together. bench_limits, "flat-submit". Not where the caller waits for
 * each: "round-awake" */
void pp_work_batch_delay(const struct worker *w) {
    if (w->batch == 1 || w->took_all) return;
    const _Atomic uint32_t *one_by_one = &w->shared->control->one_by_one;
    while (!atomic_load_explicit(one_by_one, memory_order_relaxed) && pp_now() - w->took < GATHER_NS) continue;
}

static void count_tasks(struct worker *w, uint64_t tasks, uint64_t began, uint64_t now) {
    pp_work_count(w, tasks);
    pp_work_count_time(w, began, now, 0);
}

/* Several tickets at a time pay where tasks are short: one swap of a contended word serves them all. */
bool pp_work_on_tickets(struct worker *w) {
    uint64_t tickets[PP_CLAIMED_MOST];
    unsigned most = w->has_quota && w->quota < w->batch ? (unsigned)w->quota : w->batch;
    unsigned count = pp_ring_take(w->shared, w->record, most, tickets);
    if (count == 0) return false;
    PP_POINT("taken");
    for (unsigned i = 0; i < count; i++) prefetch(w, tickets[i]);
    uint64_t began = pp_now(), ran = 0;
    w->took = began;
    w->took_all = count == most;
    for (unsigned i = 0; i < count; i++) ran += run_task(w, tickets[i], began);
    atomic_store_explicit(&w->record->claimed[0], 0, memory_order_relaxed);
    uint64_t now = pp_now();
    if (ran) count_tasks(w, ran, began, now);
    w->batch = (now - began) / count > SHORT_NS ? 1 : PP_CLAIMED_MOST;
    return true;
}

/* Looked at before it is tried: most of what others hold they are at, and each try takes its line from them:
 * bench_limits, "round-awake". */
static bool is_unbegun(const struct worker *w, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket);
    return slot < PP_SLOTS && atomic_load_explicit(&w->shared->outcomes[slot].state, memory_order_relaxed) ==
                                  pp_state(pp_ticket_generation(ticket), PP_PENDING, 0, 0);
}

bool pp_work_steal(struct worker *w) {
    if (w->watch.is_over) return false; /* and whoever holds it is at work */
    uint32_t workers = atomic_load_explicit(&w->shared->control->workers, memory_order_relaxed);
    for (uint32_t v = 0; v < workers; v++) {
        if (v == w->number) continue;
        struct pp_record *record = &w->shared->records[v];
        for (int i = 0; i < PP_CLAIMED_MOST; i++) {
            uint64_t ticket = atomic_load_explicit(&record->claimed[i], memory_order_acquire);
            if (ticket == 0) break;
            if (!is_unbegun(w, ticket)) continue;
            uint64_t began = pp_now();
            if (!run_task(w, ticket, began)) continue;
            count_tasks(w, 1, began, pp_now());
            return true;
        }
    }
    return false;
}
