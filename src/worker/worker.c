#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "shared/park.h"
#include "base/memory.h"
#include "shared/ring.h"
#include "shared/placement.h"
#include "shared/state.h"
#include "base/sys.h"
#include "worker/work.h"

#define NS_PER_MS 1000000U
#define PAUSE_NS 50000000U /* how long a worker that may not begin anything waits until it looks again */
#define LOOK_NS 50000U   /* how long an idle worker looks before it sleeps: bench_limits, "pi-100us", "round-awake" */

/* ---- the end of a life */

noreturn void pp_work_die(struct worker *w, int status) {
    if (w->ends) {
        pp_unmap(w->spare, w->spare_size);
        longjmp(*w->ends, 1);
    }
    pp_child_exit(status);
}

/* Should the kill not come, the word was scribbled upon; then this worker ends itself, to be replaced. */
noreturn void pp_work_await_kill(struct worker *w) {
    uint64_t until = pp_now() + 1000000000U;
    while (!w->ends && pp_now() < until) pp_poll(NULL, 0, until);
    pp_work_die(w, 1);
}

void pp_work_check_deadline(struct worker *w, _Atomic uint64_t *state, uint64_t running, int32_t timeout) {
    if (!w->ends || timeout <= 0) return;
    uint64_t took = pp_now() - atomic_load_explicit(&w->record->started, memory_order_relaxed);
    if (took >= (uint64_t)timeout * NS_PER_MS) pp_state_kill(state, running, PP_OVERDUE);
}

void pp_work_flush(const struct worker *w) {
    if (!w->ends) pp_child_flush();
}

void pp_work_end_forked(void) {
    pp_child_flush();
    pp_child_exit(0);
}

noreturn void pp_work_retire(struct worker *w, uint32_t why) {
    atomic_store_explicit(&w->record->retired, why, memory_order_relaxed);
    w->call->running = false;
    if (w->options->finalizer) w->options->finalizer(w->options->finalizer_arg);
    pp_work_flush(w);
    pp_work_die(w, 0);
}

/* Whether the pool has become too small for this worker. */
static bool is_surplus(const struct worker *w) {
    return w->number >= atomic_load_explicit(&w->shared->control->wanted, memory_order_relaxed);
}

void pp_work_retire_if_due(struct worker *w) {
    /* Not before it has run something, or none that follows would: it may be the initializer that needs more. */
    bool is_large = w->soft_limit && w->has_run && pp_memory_used() > w->soft_limit;
    if ((w->has_quota && w->quota == 0) || is_large || is_surplus(w)) pp_work_retire(w, PP_RETIRED);
}

static bool is_same(struct pp_file a, struct pp_file b) {
    return a.device == b.device && a.number == b.number;
}

/* A task may have closed one of its pipes, and opened something else in its place: who sleeps or rings there is not
 * woken and not heard, and another takes its place. A process alone can lose them: threads share theirs with the
 * program. */
static void retire_if_lost(struct worker *w, int pipe, struct pp_file file) {
    if (w->ends || is_same(pp_file_of(pipe), file)) return;
    pp_work_retire(w, PP_RETIRED);
}

/* ---- telling */

void pp_work_count(struct worker *w, uint64_t tasks) {
    uint64_t all = atomic_load_explicit(&w->record->tasks, memory_order_relaxed);
    w->idle_since = 0;
    atomic_store_explicit(&w->record->tasks, all + tasks, memory_order_relaxed);
}

void pp_work_count_time(struct worker *w, uint64_t began, uint64_t now, uint64_t since) {
    uint64_t busy = atomic_load_explicit(&w->record->busy, memory_order_relaxed);
    atomic_store_explicit(&w->record->busy, busy + (now - began), memory_order_relaxed);
    atomic_store_explicit(&w->record->busy_since, since, memory_order_release); /* who sees it sees both: stats.c */
}

bool pp_work_would_ring(const struct worker *w, uint64_t ticket) {
    uint64_t waits = atomic_load_explicit(&w->shared->control->waits, memory_order_relaxed);
    return waits != 0 && waits != w->rung &&
           ((uint32_t)waits == PP_WAITS_ANY || (uint32_t)waits == pp_ticket_slot(ticket));
}

/* Who cannot, because a task has closed the pipe or given up rights, ends: that rings the bell, too. */
static void ring_bell(struct worker *w) {
    retire_if_lost(w, w->bell, w->bell_file);
    bool rung = pp_write(w->bell, "", 1) == 1 || errno == EAGAIN; /* a full pipe is readable all the same */
    if (!rung && !w->ends) pp_work_retire(w, PP_RETIRED);
}

void pp_work_announce(struct worker *w, uint64_t ticket) {
    atomic_store_explicit(&w->shared->done[w->number][w->announced % PP_DONE_RING], ticket, memory_order_relaxed);
    /* Release: pairs with the caller's acquire of the tail in collect.c. */
    atomic_store_explicit(&w->record->done_tail, ++w->announced, memory_order_release);
    /* Orders the outcome before the look at `waits`; pairs with the fence between the caller's store of `waits` and its
     * last look at outcomes: one of the two sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    PP_POINT("announced");
    if (!pp_work_would_ring(w, ticket)) return;
    w->rung = atomic_load_explicit(&w->shared->control->waits, memory_order_relaxed);
    ring_bell(w);
}

const char *pp_work_message(struct worker *w) {
    if (!w->call->has_message || w->call->message_index != task_index()) w->call->message[0] = '\0';
    w->call->has_message = false;
    return w->call->message;
}

/* ---- rest */

static bool sees_work(const struct worker *w) {
    return !pp_ring_is_empty(w->shared) || pp_work_sees_job(w);
}

/* Looks for work for a while: waking a sleeping process costs more than what most callers take to submit again. Whoever
 * else wants the CPU gets it between looks. Where there is no CPU to spare, those are workers of this pool, and soon at
 * rest. */
static bool look_around(struct worker *w) {
    uint64_t now = pp_now(), until = now + LOOK_NS;
    do {
        if (now < w->backoff.until && pp_placement_can_spare(w->shared)) return false;
        for (int i = 0; i < PP_LOOKS; i++)
            if (sees_work(w)) return true;
        if (!w->ends && now >= w->backoff.until) pp_placement_apart(w->shared, w->number, &w->moves, now);
        now = pp_backoff_yield(&w->backoff);
    } while (now < until);
    return false;
}

/* What this worker sleeps with was scribbled upon, perhaps: its record must not say that it is at something, since the
 * caller would wait for it, and what it has noted of jobs may hold no more. */
static void forget_all(struct worker *w) {
    struct pp_record *record = w->record;
    atomic_store_explicit(&record->claimed[0], 0, memory_order_relaxed);
    atomic_store_explicit(&record->current, 0, memory_order_relaxed);
    pp_item_none(&record->item, w->number, w->life);
    atomic_store_explicit(&record->busy_since, 0, memory_order_relaxed);
    atomic_store_explicit(&record->job, 0, memory_order_seq_cst);
}

/* A process is ended by its supervisor. */
static void end_if_asked(struct worker *w) {
    /* Acquire: pairs with the release of whoever then wakes all. */
    if (w->ends && atomic_load_explicit(&w->shared->control->ending, memory_order_acquire)) pp_work_die(w, 0);
}

/* When the worker has been idle for too long; fruitless wake-ups do not make it busy. */
static uint64_t idle_deadline(struct worker *w) {
    if (w->options->idle_timeout == 0) return UINT64_MAX;
    if (w->idle_since == 0) w->idle_since = pp_now();
    return w->idle_since + (uint64_t)w->options->idle_timeout * 1000000U;
}

static void rest(struct worker *w) {
    if (look_around(w)) return;
    uint32_t seen = pp_park_begin(w->shared, w->number);
    PP_POINT("dozing");
    end_if_asked(w);
    enum pp_parked how = PP_WOKEN;
    bool leave = false;
    if (!sees_work(w)) {
        leave = pp_work_steal(w) || is_surplus(w);
        if (!leave) {
            retire_if_lost(w, w->bell, w->bell_file);
            retire_if_lost(w, w->task_pipe, w->task_pipe_file);
            forget_all(w);
            pp_placement_forget(w->shared, w->number);
            how = pp_park(w->shared, w->number, w->task_pipe, seen, idle_deadline(w));
            memset(w->used_up, 0, sizeof w->used_up);
        }
    }
    pp_park_end(w->shared, w->number);
    if (how == PP_ORPHANED) pp_work_die(w, 0);
    if (how == PP_OVERSLEPT) pp_work_retire(w, PP_RETIRED_IDLE);
    if (how == PP_SLEEPLESS) pp_work_retire(w, PP_RETIRED);
    /* Who was woken looks for work before it goes: the wake-up may have been meant for somebody who stays. */
    if (leave) pp_work_retire_if_due(w);
}

/* Whether it may not begin anything now; see limit.h. If so it has waited, or slept until there was work. */
static bool held_back(struct worker *w) {
    if (!pp_limit_is_set(&w->options->limit) || pp_limit_allows(&w->options->limit, &w->watch, w->shared, w->number))
        return false;
    end_if_asked(w);
    if (!sees_work(w)) return false; /* and so it sleeps */
    pp_poll(NULL, 0, pp_now() + PAUSE_NS);
    return true;
}

void pp_worker_begin(struct worker *w, const struct pp_worker_setup *setup) {
    const struct pp_worker_options *options = setup->options;
    *w = (struct worker){.shared = setup->shared, .record = &setup->shared->records[setup->number],
                         .number = setup->number, .life = setup->life, .task_pipe = setup->task_pipe,
                         .bell = setup->bell, .ends = setup->ends, .options = options, .batch = 1,
                         /* Threads share theirs; and what a task may allocate is not to be less for the marks. */
                         .pages = {.shared = setup->shared, .useless = setup->ends || options->memory_limit > 0},
                         .has_quota = options->max_tasks > 0, .quota = options->max_tasks};
    w->announced = atomic_load_explicit(&w->record->done_tail, memory_order_relaxed);
    pp_item_none(&w->record->item, w->number, w->life);
}

void pp_worker_enter(struct worker *w) {
    w->call = pp_call_here();
    w->call->shared = w->shared;
    w->call->running = true;
}

void pp_worker_initialize(struct worker *w) {
    const struct pp_worker_options *options = w->options;
    w->call->running = false;
    int code = options->initializer ? options->initializer(options->initializer_arg) : 0;
    pp_work_end_if_forked(w);
    pp_work_flush(w);
    struct pp_start *start = &w->shared->starts[w->number];
    if (code != 0) {
        atomic_store_explicit(&start->init_code, code, memory_order_relaxed);
        pp_work_die(w, 1);
    }
    w->call->running = true;
    atomic_store_explicit(&start->ready, 1, memory_order_relaxed); /* who reads it has waited for the worker's end */
    if (!w->ends) pp_shared_protect_starts(w->shared);
}

bool pp_worker_step(struct worker *w) {
    bool worked = pp_work_on_tickets(w);
    if (worked) pp_work_retire_if_due(w);
    /* Tickets and jobs in turn: neither keeps the other waiting. */
    if (!pp_work_on_jobs(w) && (worked || !pp_work_steal(w))) return worked;
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
    const struct pp_worker_options *options = setup->options;
    struct worker w;
    pp_worker_begin(&w, setup);
    if (options->pin) pp_cpu_pin(w.number);
    if (!w.ends && options->memory_soft_limit) w.soft_limit = pp_memory_used() + options->memory_soft_limit;
    if (!w.ends && options->memory_limit) pp_memory_limit(options->memory_limit);
    memset(pp_call_here(), 0, sizeof(struct pp_call)); /* this may be the pool of a task */
    pp_worker_enter(&w);
    pp_worker_initialize(&w);
    w.bell_file = pp_file_of(w.bell);
    w.task_pipe_file = pp_file_of(w.task_pipe);
    for (;;) {
        pp_work_batch_delay(&w);
        if (!held_back(&w) && !pp_worker_step(&w)) rest(&w);
    }
}
