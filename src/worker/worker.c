#include "worker/worker.h"

#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/symbol.h"
#include "base/sys.h"
#include "shared/park.h"
#include "shared/placement.h"
#include "shared/ring.h"
#include "shared/ticket.h"
#include "worker/crash.h"
#include "worker/sandbox.h"
#include "worker/work.h"

#define NS_PER_MS 1000000U
#define PAUSE_NS 50000000U /* how long a worker that may not start anything waits until it looks again */
#define LOOK_NS 50000U /* how long an idle worker looks before it sleeps: bench_limits, "pi-100us", "round-awake" */

/* ---- rest */

static bool sees_work(const struct worker *w) {
    return w->bounds.inherited || !pp_ring_is_empty(w->claimer.shared) || pp_work_sees_job(w);
}

/* Looks for work for a while before it sleeps, since waking a process costs more time than most callers need to submit
 * again. Between looks the worker offers its CPU to other processes. If the pool has no CPU to spare, those are workers
 * of this pool, which soon sleep. Returns whether there is work. */
static bool look_around(struct worker *w) {
    struct pp_shared *shared = w->claimer.shared;
    uint64_t now = pp_now(), until = now + LOOK_NS;
    do {
        if (now < w->idle.looks.until && pp_placement_can_spare(shared)) return false;
        for (int i = 0; i < PP_LOOKS; i++, pp_look_again())
            if (sees_work(w)) return true;
        if (!w->ends && now >= w->idle.looks.until)
            pp_placement_apart(shared, w->claimer.number, &w->idle.moves, now);
        now = pp_backoff_yield(&w->idle.looks);
    } while (now < until);
    return false;
}

/* A process is ended by its supervisor; a worker in a thread ends itself. */
static void end_if_asked(struct worker *w) {
    /* Acquire: pairs with the release of the thread that then wakes all workers. */
    if (w->ends && atomic_load_explicit(&w->claimer.shared->control->ending, memory_order_acquire)) pp_work_die(w, 0);
}

/* When the worker has been idle for too long. A wake-up that brings no work does not make it busy. */
static uint64_t idle_deadline(struct worker *w) {
    if (w->options->idle_timeout == 0) return UINT64_MAX;
    if (w->idle.since == 0) w->idle.since = pp_now();
    return w->idle.since + (uint64_t)w->options->idle_timeout * NS_PER_MS;
}

/* Sleeps until it is woken, or until it must look whether another worker is slow. A task may have overwritten cursors,
 * so what the worker has noted of jobs may be wrong after a long sleep. */
static enum pp_parked sleep_until_woken(struct worker *w, uint32_t seen) {
    struct pp_claimer *c = &w->claimer;
    pp_work_retire_if_lost(w, w->pipes.bell, w->pipes.bell_file);
    pp_work_retire_if_lost(w, w->pipes.task_pipe, w->pipes.task_pipe_file);
    pp_placement_forget(c->shared, c->number);
    uint64_t idle = idle_deadline(w), relief = pp_work_relief_due(w, pp_now());
    enum pp_parked how = pp_park(c->shared, c->number, w->pipes.task_pipe, seen, relief < idle ? relief : idle);
    if (how == PP_OVERSLEPT && relief < idle) return PP_WOKEN;
    memset(w->jobs.used_up, 0, sizeof w->jobs.used_up);
    return how;
}

/* Looks for work, then announces that it sleeps, then looks once more, and sleeps. The last look comes after the
 * announcement, so that the caller, which publishes work and then looks for sleepers, and this worker cannot both miss
 * the other. */
static void rest(struct worker *w) {
    if (w->relief.pause == 0 && look_around(w)) return;
    uint32_t seen = pp_park_begin(w->claimer.shared, w->claimer.number);
    PP_POINT("dozing");
    end_if_asked(w);
    enum pp_parked how = PP_WOKEN;
    bool leave = false;
    if (!sees_work(w)) {
        leave = pp_work_steal(w) || pp_work_must_retire(w);
        if (!leave) how = sleep_until_woken(w, seen);
    }
    pp_park_end(w->claimer.shared, w->claimer.number);
    if (how == PP_ORPHANED) pp_work_die(w, 0);
    if (how == PP_OVERSLEPT) pp_work_retire(w, PP_RETIRED_IDLE);
    if (how == PP_SLEEPLESS) pp_work_retire(w, PP_RETIRED);
    /* A worker that was woken looks for work before it ends: the wake-up may have been meant for one that stays. */
    if (leave) pp_work_retire_if_due(w);
}

/* Whether the worker may not start anything now. If so it has waited. */
static bool held_back(struct worker *w) {
    if (pp_work_may_start(w)) return false;
    end_if_asked(w);
    if (!sees_work(w)) return false; /* and so it sleeps */
    pp_poll(NULL, 0, pp_now() + PAUSE_NS);
    return true;
}

/* ---- a life */

void pp_worker_begin(struct worker *w, const struct pp_worker_setup *setup) {
    const struct pool_options *options = setup->options;
    *w = (struct worker){.options = options, .ends = setup->ends, .follows_corpse = setup->follows_corpse,
                         .captured = setup->captured, .open = setup->open,
                         .trace = setup->shared->trace.base ? &setup->shared->trace : NULL};
    pp_claimer_begin(&w->claimer, setup->shared, setup->number, setup->life);
    w->output = pp_child_output();
    w->claimer.has_barrier = setup->ends ? pp_barrier_exists() : pp_barrier_allow() && pp_barrier();
    w->pipes = (struct pp_worker_pipes){.task_pipe = setup->task_pipe, .bell = setup->bell};
    w->bounds.quota = options->max_tasks_per_worker;
    w->bounds.has_quota = options->max_tasks_per_worker > 0;
    w->leavings.next = UINT64_MAX;
    w->bounds.inherited = pp_record_bequest(w->claimer.record);
    w->batch.size = 1;
}

void pp_worker_enter(struct worker *w) {
    w->call = pp_call_here();
    w->call->shared = w->claimer.shared;
    w->call->running = true;
    pp_leavings_note_float(&w->leavings);
}

/* For the supervisor's clock; see timer.h. */
static void note_initializer(struct pp_start *start) {
    uint64_t began = atomic_load_explicit(&start->began, memory_order_relaxed);
    if (began != 0) atomic_store_explicit(&start->took, pp_now() - began, memory_order_relaxed);
}

static void enter_sandbox(struct worker *w, struct pp_start *start) {
    int code = pp_sandbox_enter(w->open);
    if (!code) return;
    atomic_store_explicit(&start->sandbox_code, code, memory_order_relaxed);
    pp_work_die(w, 1);
}

void pp_worker_initialize(struct worker *w) {
    const struct pool_options *options = w->options;
    w->call->running = false;
    struct pp_start *start = &w->claimer.shared->starts_to_write[w->claimer.number];
    if (options->initializer) atomic_store_explicit(&start->began, pp_now(), memory_order_relaxed);
    int code = options->initializer ? options->initializer(options->initializer_arg) : 0;
    pp_work_end_if_forked(w);
    pp_work_flush(w);
    if (code != 0) {
        atomic_store_explicit(&start->init_code, code, memory_order_relaxed);
        pp_work_die(w, 1);
    }
    w->call->running = true;
    note_initializer(start);
    pp_leavings_note_float(&w->leavings);
    if (!w->ends) pp_leavings_begin(&w->leavings, options->initializer != NULL, pp_now());
    if (options->sandbox) enter_sandbox(w, start);
    atomic_store_explicit(&start->ready, 1, memory_order_relaxed); /* read after the worker's end */
    if (!w->ends && !pp_shared_protect_starts(w->claimer.shared)) pp_work_die(w, 1);
}

/* Takes over what another worker has not begun, if that is slow. */
static bool relieve(struct worker *w) {
    uint32_t from;
    uint64_t job;
    return pp_work_find_slow(w, &from, &job) && pp_work_take_over(w, from, job);
}

/* Runs what the worker has inherited; see bequest.c. */
static void run_bequest(struct worker *w) {
    uint64_t ticket = w->bounds.inherited;
    uint32_t slot = pp_ticket_slot(ticket);
    w->bounds.inherited = 0;
    if (slot >= PP_SLOTS) pp_drop_bequest(&w->claimer);
    else if (w->claimer.shared->descs[slot].timeout == PP_IS_JOB) pp_work_on_job(w, ticket);
    else pp_work_on_ticket(w, ticket);
    pp_work_retire_if_due(w);
}

bool pp_worker_step(struct worker *w) {
    if (w->bounds.inherited) run_bequest(w);
    bool worked = pp_work_on_tickets(w);
    if (worked) pp_work_retire_if_due(w);
    /* Tickets and jobs in turn: neither keeps the other waiting. */
    if (!pp_work_on_jobs(w) && (worked || (!pp_work_steal(w) && !relieve(w)))) return worked;
    pp_work_retire_if_due(w);
    return true;
}

bool pp_worker_retire(struct worker *w) {
    pp_work_retire(w, PP_RETIRED);
}

struct worker *pp_worker_new(void) {
    return pp_zalloc(1, sizeof(struct worker));
}

void pp_worker_run(const struct pp_worker_setup *setup) {
    const struct pool_options *options = setup->options;
    struct worker w;
    pp_worker_begin(&w, setup);
    if (options->pin) pp_cpu_pin(w.claimer.number);
    if (options->sandbox && options->memory_soft_limit) pp_memory_keep_open();
    if (options->sandbox && w.captured) pp_symbol_keep_open();
    if (!w.ends && options->memory_soft_limit) w.bounds.soft_limit = pp_memory_used() + options->memory_soft_limit;
    if (!w.ends && options->memory_limit) pp_memory_limit(options->memory_limit);
    memset(pp_call_here(), 0, sizeof(struct pp_call)); /* this may be the pool of a task */
    pp_worker_enter(&w);
    if (!w.ends) pp_crash_watch(&w.base);
    pp_worker_initialize(&w);
    w.pipes.bell_file = pp_file_of(w.pipes.bell);
    w.pipes.task_pipe_file = pp_file_of(w.pipes.task_pipe);
    for (;;) {
        pp_work_batch_delay(&w);
        if (!held_back(&w) && !pp_worker_step(&w)) rest(&w);
    }
}
