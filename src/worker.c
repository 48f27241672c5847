#include "worker.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "cpu.h"
#include "doze.h"
#include "memory.h"
#include "plan.h"
#include "ring.h"
#include "state.h"
#include "sys.h"
#include "task.h"

#define NS_PER_MS 1000000U
#define PAUSE_NS 50000000U /* how long a worker that may not begin anything waits until it looks again */
#define SLICE_NS 1000000U /* how long a job is worked on before others get their turn */
#define LOOK_NS 50000U   /* how long an idle worker looks before it sleeps: bench_limits, "pi-100us", "round-awake" */
#define SHORT_NS 2000U    /* tasks shorter than this are taken several at a time: bench_compare, "empty" */

struct worker {
    struct pp_shared *shared;
    struct pp_record *record;
    struct pp_call *call;
    uint32_t number, life;
    int task_pipe, bell;
    struct pp_file task_pipe_file, bell_file; /* what they led to before the first task */
    jmp_buf *ends;       /* see struct pp_place */
    const struct pp_worker_options *options;
    struct pp_limit_watch watch;
    uint64_t rung;       /* the caller's wait for which the bell was rung */
    uint64_t announced;  /* entries written to the done ring */
    uint64_t woken;
    uint32_t items;      /* generation of the item word */
    bool started_set;
    unsigned batch;      /* tickets to take at a time */
    bool has_quota;
    uint64_t quota;      /* tasks left before it retires */
    size_t soft_limit;
    uint64_t idle_since; /* ns; 0: it has worked since it last slept */
    char *spare;         /* scratch of its own, for jobs that have none for it */
    size_t spare_size;
    uint32_t board_next;
    uint64_t pace_job;
    struct pp_pace pace;
    uint64_t used_up[PP_BOARD]; /* jobs of the board in which nothing was left to claim */
};

static noreturn void end_life(struct worker *w, int status) {
    if (w->ends) longjmp(*w->ends, 1);
    pp_child_exit(status);
}

/* Somebody has swapped our state to KILLED or OVERDUE and is about to kill us: nothing may be touched any more. Should
 * the kill not come, the word was scribbled upon; then this worker ends itself, to be replaced. */
static noreturn void await_kill(struct worker *w) {
    uint64_t until = pp_now() + 1000000000U;
    while (!w->ends && pp_now() < until) pp_poll(NULL, 0, until);
    end_life(w, 1);
}

/* Who cannot be killed does to itself, once the task has returned, what the supervisor would have done. */
static void heed_time_out(struct worker *w, _Atomic uint64_t *state, uint64_t running, int32_t timeout) {
    if (!w->ends || timeout <= 0) return;
    uint64_t took = pp_now() - atomic_load_explicit(&w->record->started, memory_order_relaxed);
    if (took >= (uint64_t)timeout * NS_PER_MS) pp_state_kill(state, running, PP_OVERDUE);
}

/* What a task printed is written before its process may die. */
static void flush_output(const struct worker *w) {
    if (!w->ends) pp_child_flush();
}

/* A child that a task has forked, and that returns as the task does, must not go on as the worker it was made from. */
static void end_if_forked(const struct worker *w) {
    if (!pp_child_forked || w->ends) return;
    pp_child_flush();
    pp_child_exit(0);
}

static noreturn void retire(struct worker *w, uint32_t why) {
    atomic_store_explicit(&w->record->retired, why, memory_order_relaxed);
    w->call->running = false;
    if (w->options->finalizer) w->options->finalizer(w->options->finalizer_arg);
    flush_output(w);
    end_life(w, 0);
}

/* Whether the pool has become too small for this worker. */
static bool is_surplus(const struct worker *w) {
    return w->number >= atomic_load_explicit(&w->shared->front->wanted, memory_order_relaxed);
}

static void retire_if_due(struct worker *w) {
    if ((w->has_quota && w->quota == 0) || (w->soft_limit && pp_memory_used() > w->soft_limit) || is_surplus(w))
        retire(w, PP_RETIRED);
}

/* For pool_stats(): `tasks` were run from `began` to `now`, and the worker is busy since `since`; 0: it is not. */
static void count_work(struct worker *w, uint64_t began, uint64_t now, uint64_t tasks, uint64_t since) {
    struct pp_record *r = w->record;
    uint64_t all = atomic_load_explicit(&r->tasks, memory_order_relaxed);
    uint64_t busy = atomic_load_explicit(&r->busy, memory_order_relaxed);
    if (tasks) w->idle_since = 0;
    atomic_store_explicit(&r->tasks, all + tasks, memory_order_relaxed);
    atomic_store_explicit(&r->busy, busy + (now - began), memory_order_relaxed);
    atomic_store_explicit(&r->busy_since, since, memory_order_release); /* who sees it sees the counts: stats.c */
}

static bool is_same(struct pp_file a, struct pp_file b) {
    return a.device == b.device && a.number == b.number;
}

/* A task may have closed its pipes, and opened something else in their place: who sleeps or rings there is not woken and
 * not heard, and another takes its place. A process alone can lose them: threads share theirs with the program. */
static void retire_if_cut_off(struct worker *w) {
    if (w->ends) return;
    if (is_same(pp_file_of(w->bell), w->bell_file) && is_same(pp_file_of(w->task_pipe), w->task_pipe_file)) return;
    retire(w, PP_RETIRED);
}

static void announce(struct worker *w, uint64_t ticket) {
    struct pp_record *record = w->record;
    atomic_store_explicit(&record->done[w->announced % PP_DONE_RING], ticket, memory_order_relaxed);
    /* Release: pairs with the caller's acquire of the tail in collect.c. */
    atomic_store_explicit(&record->done_tail, ++w->announced, memory_order_release);
    /* Orders the outcome before the look at `waits`; pairs with the fence between the caller's store of `waits` and its
     * last look at outcomes: one of the two sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    PP_POINT("announced");
    uint64_t waits = atomic_load_explicit(&w->shared->front->waits, memory_order_relaxed);
    if (waits == 0 || waits == w->rung) return;
    if ((uint32_t)waits != PP_WAITS_ANY && (uint32_t)waits != pp_ticket_slot(ticket)) return;
    w->rung = waits;
    retire_if_cut_off(w); /* its end rings the bell, too */
    pp_write(w->bell, "", 1); /* a full pipe is readable all the same */
}

/* What the task or item that has just failed has said, maybe nothing. */
static const char *message_of(struct worker *w) {
    if (!w->call->has_message || w->call->message_index != task_index()) w->call->message[0] = '\0';
    w->call->has_message = false;
    return w->call->message;
}

/* ---- tasks */

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
    if (desc->has_extra) {
        w->call->extra = in;
        w->call->context = w->call->extra->context;
        in = w->call->extra->in;
    }
    int code = desc->fn(in, desc->out);
    end_if_forked(w);
    if (code != 0) {
        memcpy(w->shared->messages[slot], message_of(w), PP_MESSAGE);
        outcome->pid = (int32_t)getpid();
    } else {
        outcome->resized = w->call->resized;
        if (w->call->resized) memcpy(w->shared->messages[slot], &w->call->size, sizeof w->call->size);
    }
    if (desc->has_extra) w->call->context = w->call->extra = NULL;
    flush_output(w);
    outcome->code = code;
    PP_POINT("ran");
    if (desc->timeout) heed_time_out(w, &outcome->state, running, desc->timeout);
    if (!pp_state_end(&outcome->state, running)) await_kill(w);
    PP_POINT("published");
    announce(w, ticket);
}

/* False: it is no longer to be run, or somebody else runs it. */
static bool run_task(struct worker *w, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket);
    if (slot >= PP_SLOTS) return false;
    if (w->started_set) {
        atomic_store_explicit(&w->record->started, 0, memory_order_relaxed);
        w->started_set = false;
    }
    /* Before the swap: a death right after it must find what was running. */
    atomic_store_explicit(&w->record->current, ticket, memory_order_relaxed);
    if (!pp_state_begin(&w->shared->outcomes[slot].state, pp_ticket_generation(ticket), w->number, w->life))
        return false;
    PP_POINT("begun");
    run_claimed(w, slot, ticket);
    if (w->has_quota) w->quota--;
    return true;
}

static void prefetch(const struct worker *w, uint64_t ticket) {
#if defined(__GNUC__)
    uint32_t slot = pp_ticket_slot(ticket) % PP_SLOTS;
    __builtin_prefetch(&w->shared->descs[slot], 0);
    __builtin_prefetch(&w->shared->outcomes[slot], 1);
#else
    (void)w, (void)ticket;
#endif
}

/* Several tickets at a time pay where tasks are short: one swap of a contended word serves them all. */
static bool run_tickets(struct worker *w) {
    uint64_t tickets[PP_HOLD];
    unsigned most = w->has_quota && w->quota < w->batch ? (unsigned)w->quota : w->batch;
    unsigned count = pp_ring_take(w->shared, w->record, most, tickets);
    if (count == 0) return false;
    PP_POINT("taken");
    for (unsigned i = 0; i < count; i++) prefetch(w, tickets[i]);
    uint64_t began = pp_now(), ran = 0;
    atomic_store_explicit(&w->record->busy_since, began, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) ran += run_task(w, tickets[i]);
    atomic_store_explicit(&w->record->hold[0], 0, memory_order_relaxed);
    uint64_t now = pp_now();
    count_work(w, began, now, ran, 0);
    w->batch = (now - began) / count > SHORT_NS ? 1 : PP_HOLD;
    return true;
}

/* Takes what another worker holds and has not begun. */
static bool steal(struct worker *w) {
    if (w->watch.is_over) return false; /* and whoever holds it is at work */
    uint32_t workers = atomic_load_explicit(&w->shared->front->workers, memory_order_relaxed);
    for (uint32_t v = 0; v < workers; v++) {
        if (v == w->number) continue;
        struct pp_record *record = &w->shared->records[v];
        for (int i = 0; i < PP_HOLD; i++) {
            uint64_t ticket = atomic_load_explicit(&record->hold[i], memory_order_acquire);
            if (ticket == 0) break;
            uint64_t began = pp_now();
            atomic_store_explicit(&w->record->busy_since, began, memory_order_relaxed);
            bool ran = run_task(w, ticket);
            count_work(w, began, pp_now(), ran, 0);
            if (ran) return true;
        }
    }
    return false;
}

/* ---- jobs */

static void note_flaw(struct worker *w, const struct pp_job_plan *plan, uint64_t position, int code) {
    if (!atomic_load_explicit(&w->record->flawed, memory_order_relaxed)) {
        uint64_t end = atomic_load_explicit(&w->record->end, memory_order_relaxed);
        uint64_t p = atomic_load_explicit(&w->record->begin, memory_order_relaxed);
        for (; p < end && p < plan->count; p++) atomic_store_explicit(&plan->codes[p], 0, memory_order_relaxed);
        atomic_store_explicit(&w->record->flawed, 1, memory_order_release);
    }
    atomic_store_explicit(&plan->codes[position], code, memory_order_relaxed);
    const char *message = message_of(w);
    struct pp_flaw *flaw = &plan->flaws[w->number];
    uint64_t lowest = atomic_load_explicit(&flaw->position, memory_order_relaxed);
    if (lowest != 0 && lowest <= position + 1) return;
    atomic_store_explicit(&flaw->position, 0, memory_order_relaxed);
    flaw->code = code;
    flaw->pid = (int32_t)getpid();
    memcpy(flaw->message, message, PP_MESSAGE);
    atomic_store_explicit(&flaw->position, position + 1, memory_order_release);
}

static void end_item(struct worker *w, const struct pp_job_plan *plan, uint64_t position, int code) {
    end_if_forked(w);
    if (code != 0) note_flaw(w, plan, position, code);
    atomic_store_explicit(&w->record->progress, position + 1, memory_order_release);
}

static void run_item(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t position) {
    uint64_t item = plan->index ? plan->index[position] : position;
    end_item(w, plan, position, plan->fn(plan->in ? plan->in + item * plan->in_size : NULL,
                                         plan->out ? plan->out + item * plan->out_size : scratch));
}

/* The items from `begin` to `end`, one behind the other. Little else is done for each than the call: bench_limits, "squares". */
static void run_row(struct worker *w, const struct pp_job_plan *plan, char *scratch, uint64_t begin, uint64_t end) {
    pool_fn *fn = plan->fn;
    const char *in = plan->in ? plan->in + begin * plan->in_size : NULL;
    char *out = plan->out ? plan->out + begin * plan->out_size : scratch;
    size_t in_step = plan->in_size, out_step = plan->out ? plan->out_size : 0;
    for (uint64_t p = begin; p < end; p++) {
        end_item(w, plan, p, fn(in, out));
        if (in) in += in_step;
        if (out) out += out_step;
    }
}

/* A chunk that was swapped to KILLED and is finished all the same. A process dies with it: nothing was lost. Of what runs in a
 * thread, which cannot be killed, the last item is the victim, so that a kill is never without effect. */
static noreturn void outlive_kill(struct worker *w, const struct pp_chunk *chunk) {
    if (w->ends) atomic_store_explicit(&w->record->progress, chunk->end - 1, memory_order_release);
    await_kill(w);
}

/* One swap for the whole chunk: whatever is to be killed is all of it. */
static void run_chunk(struct worker *w, const struct pp_job_plan *plan, char *scratch, const struct pp_chunk *chunk) {
    atomic_store_explicit(&w->record->single, UINT64_MAX, memory_order_relaxed);
    uint64_t running = pp_item_begin(&w->record->item, ++w->items, w->number, w->life);
    if (!plan->index) run_row(w, plan, scratch, chunk->begin, chunk->end);
    else
        for (uint64_t p = chunk->begin; p < chunk->end; p++) run_item(w, plan, scratch, p);
    flush_output(w);
    PP_POINT("finished");
    pp_plan_mark(plan, chunk->first, chunk->last, atomic_load_explicit(&w->record->flawed, memory_order_relaxed));
    PP_POINT("marked");
    if (!pp_item_end(&w->record->item, running)) outlive_kill(w, chunk);
}

/* One swap an item, for what the supervisor's clock may kill; and a look after each, for a worker that may have to go. */
static void run_chunk_carefully(struct worker *w, const struct pp_job_plan *plan, char *scratch,
                                const struct pp_chunk *chunk) {
    w->started_set = true;
    for (uint64_t p = chunk->begin; p < chunk->end; p++) {
        /* What is left of the chunk is in the record: it goes to others, as after any death, but without a victim. */
        retire_if_due(w);
        atomic_store_explicit(&w->record->started, pp_now(), memory_order_relaxed);
        atomic_store_explicit(&w->record->single, p, memory_order_relaxed); /* before the word that it belongs to */
        uint64_t running = pp_item_begin(&w->record->item, ++w->items, w->number, w->life);
        /* Pairs with kill_items() in map.c: it sees this item running, or we see that we are to stop. */
        bool stop = atomic_load_explicit(&plan->stop, memory_order_seq_cst) != 0;
        if (!stop) run_item(w, plan, scratch, p);
        PP_POINT("item ran");
        heed_time_out(w, &w->record->item, running, plan->timeout);
        if (!pp_item_end(&w->record->item, running)) await_kill(w);
        /* Nothing further: what is left of the chunk is in the record, and is told to be cancelled. */
        if (stop) retire(w, PP_RETIRED);
        if (w->has_quota) w->quota--;
        flush_output(w);
    }
    pp_plan_mark(plan, chunk->first, chunk->last, atomic_load_explicit(&w->record->flawed, memory_order_relaxed));
}

static void record_chunk(struct pp_record *record, const struct pp_chunk *chunk) {
    /* A death between these stores must find an empty chunk: the claim is then found by its missing marks. */
    atomic_store_explicit(&record->end, 0, memory_order_release);
    atomic_store_explicit(&record->begin, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->progress, chunk->begin, memory_order_release);
    atomic_store_explicit(&record->flawed, 0, memory_order_release);
    atomic_store_explicit(&record->end, chunk->end, memory_order_release);
}

/* Sets the record's job, which keeps the job's memory in place, if the slot is still that job's. */
static const struct pp_job_plan *enter_job(struct worker *w, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket), generation = pp_ticket_generation(ticket);
    if (slot >= PP_SLOTS) return NULL;
    _Atomic uint64_t *state = &w->shared->outcomes[slot].state;
    atomic_store_explicit(&w->record->end, 0, memory_order_relaxed);
    atomic_store_explicit(&w->record->job, ticket, memory_order_seq_cst);
    PP_POINT("entered");
    /* Pairs with map.c: the caller ends the job's state, then looks who is in it. */
    pp_state_begin(state, generation, w->number, w->life);
    uint64_t seen = atomic_load_explicit(state, memory_order_seq_cst);
    if (pp_generation_of(seen) != generation || pp_phase_of(seen) != PP_RUNNING) return NULL;
    return w->shared->descs[slot].in;
}

/* The last one out of a job in which nothing is left says so. */
static void leave_job(struct worker *w, uint64_t ticket, bool nothing_left) {
    atomic_store_explicit(&w->record->job, 0, memory_order_seq_cst);
    PP_POINT("left");
    if (!nothing_left) return;
    uint32_t workers = atomic_load_explicit(&w->shared->front->workers, memory_order_relaxed);
    for (uint32_t v = 0; v < workers; v++)
        if (atomic_load_explicit(&w->shared->records[v].job, memory_order_seq_cst) == ticket) return;
    announce(w, ticket);
}

/* Whether this worker should look at other work before the next chunk. */
static bool turn_is_over(struct worker *w, uint64_t now, uint64_t turn_began) {
    if (w->has_quota && w->quota == 0) return true;
    return !pp_ring_is_empty(w->shared) || now - turn_began > SLICE_NS;
}

/* Where results go that are not wanted; NULL: there is no memory. A job has no part for those who came after it. */
static char *scratch_for(struct worker *w, const struct pp_job_plan *plan) {
    if (w->number < plan->regions) return plan->scratch + w->number * plan->scratch_size;
    if (w->spare_size < plan->scratch_size) {
        pp_unmap(w->spare, w->spare_size);
        w->spare = pp_map_private(plan->scratch_size);
        w->spare_size = w->spare ? plan->scratch_size : 0;
    }
    return w->spare;
}

static bool work_on_job(struct worker *w, uint32_t place, uint64_t ticket) {
    const struct pp_job_plan *plan = enter_job(w, ticket);
    char *scratch = plan && plan->scratch ? scratch_for(w, plan) : NULL;
    if (!plan || (plan->scratch && !scratch)) {
        w->used_up[place] = ticket;
        leave_job(w, ticket, true);
        return false;
    }
    if (w->pace_job != ticket) {
        w->pace_job = ticket;
        w->pace.blocks = 0;
    }
    w->call->seed = plan->seed;
    w->call->position = &w->record->progress;
    w->call->items = plan->index;
    w->call->context = plan->context;
    uint64_t turn_began = w->pace.began = pp_now();
    atomic_store_explicit(&w->record->busy_since, turn_began, memory_order_relaxed);
    bool worked = false, nothing_left = false;
    struct pp_chunk chunk;
    do {
        if (!pp_plan_claim(plan, w->number, &w->pace, w->has_quota ? w->quota : UINT64_MAX, &chunk)) {
            nothing_left = true;
            w->used_up[place] = ticket;
            break;
        }
        worked = true;
        PP_POINT("claimed");
        record_chunk(w->record, &chunk);
        PP_POINT("recorded");
        bool careful = plan->timeout || w->has_quota || w->soft_limit;
        (careful ? run_chunk_carefully : run_chunk)(w, plan, scratch, &chunk);
        uint64_t now = pp_now();
        count_work(w, w->pace.began, now, chunk.end - chunk.begin, now);
        pp_pace_measure(&w->pace, &chunk, now);
    } while (!turn_is_over(w, w->pace.began, turn_began));
    w->call->context = NULL;
    atomic_store_explicit(&w->record->busy_since, 0, memory_order_relaxed);
    leave_job(w, ticket, nothing_left || pp_plan_is_used_up(plan));
    return worked;
}

/* The place of a job of the board in which something may be left, from `board_next` on; PP_BOARD: none. */
static uint32_t find_job(const struct worker *w, uint64_t *ticket) {
    uint32_t end = atomic_load_explicit(&w->shared->front->board_end, memory_order_acquire);
    if (end > PP_BOARD) end = PP_BOARD;
    for (uint32_t i = 0; i < end; i++) {
        uint32_t place = (w->board_next + i) % end;
        *ticket = atomic_load_explicit(&w->shared->board[place], memory_order_acquire);
        if (*ticket != 0 && *ticket != w->used_up[place]) return place;
    }
    return PP_BOARD;
}

static bool run_jobs(struct worker *w) {
    uint64_t ticket;
    uint32_t place = find_job(w, &ticket);
    if (place == PP_BOARD) return false;
    w->board_next = place + 1;
    work_on_job(w, place, ticket);
    return true;
}

/* ---- rest */

static bool sees_work(const struct worker *w) {
    uint64_t ticket;
    return !pp_ring_is_empty(w->shared) || find_job(w, &ticket) != PP_BOARD;
}

/* Looks for work for a while: waking a sleeping process costs more than what most callers take to submit again. Whoever
 * else wants the CPU gets it between looks. */
static bool look_around(const struct worker *w) {
    uint64_t until = pp_now() + LOOK_NS;
    do {
        for (int i = 0; i < 16; i++)
            if (sees_work(w)) return true;
        sched_yield();
    } while (pp_now() < until);
    return false;
}

/* What this worker sleeps with was scribbled upon, perhaps: its record must not say that it is at something, since the
 * caller would wait for it, and what it has noted of jobs may hold no more. */
static void forget_all(struct worker *w) {
    struct pp_record *record = w->record;
    atomic_store_explicit(&record->hold[0], 0, memory_order_relaxed);
    atomic_store_explicit(&record->current, 0, memory_order_relaxed);
    atomic_store_explicit(&record->item, 0, memory_order_relaxed);
    atomic_store_explicit(&record->busy_since, 0, memory_order_relaxed);
    atomic_store_explicit(&record->job, 0, memory_order_seq_cst);
}

/* A process is ended by its supervisor. */
static void end_if_asked(struct worker *w) {
    /* Acquire: pairs with the release of whoever then wakes all. */
    if (w->ends && atomic_load_explicit(&w->shared->front->ending, memory_order_acquire)) end_life(w, 0);
}

/* When the worker has been idle for too long; fruitless wake-ups do not make it busy. */
static uint64_t idle_deadline(struct worker *w) {
    if (w->options->idle_timeout == 0) return UINT64_MAX;
    if (w->idle_since == 0) w->idle_since = pp_now();
    return w->idle_since + (uint64_t)w->options->idle_timeout * 1000000U;
}

static void rest(struct worker *w) {
    if (look_around(w)) return;
    uint32_t seen = pp_doze_begin(w->shared, w->number);
    PP_POINT("dozing");
    end_if_asked(w);
    enum pp_dozed how = PP_WOKEN;
    bool leave = false;
    if (!sees_work(w)) {
        leave = steal(w) || is_surplus(w);
        if (!leave) {
            retire_if_cut_off(w);
            forget_all(w);
            how = pp_doze(w->shared, w->task_pipe, seen, idle_deadline(w), &w->woken, w->record);
            memset(w->used_up, 0, sizeof w->used_up);
        }
    }
    pp_doze_end(w->shared, w->number);
    if (how == PP_ORPHANED) end_life(w, 0);
    if (how == PP_OVERSLEPT) retire(w, PP_RETIRED_IDLE);
    /* Who was woken looks for work before it goes: the wake-up may have been meant for somebody who stays. */
    if (leave) retire_if_due(w);
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

void pp_worker_begin(struct worker *w, const struct pp_place *place) {
    const struct pp_worker_options *options = place->options;
    *w = (struct worker){.shared = place->shared, .record = &place->shared->records[place->number],
                         .number = place->number, .life = place->life, .task_pipe = place->task_pipe,
                         .bell = place->bell, .ends = place->ends, .options = options, .batch = 1,
                         .has_quota = options->max_tasks > 0, .quota = options->max_tasks};
    w->announced = atomic_load_explicit(&w->record->done_tail, memory_order_relaxed);
    w->woken = atomic_load_explicit(&w->record->woken, memory_order_relaxed);
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
    end_if_forked(w);
    flush_output(w);
    if (code != 0) {
        atomic_store_explicit(&w->record->init_code, code, memory_order_relaxed);
        end_life(w, 1);
    }
    w->call->running = true;
    atomic_store_explicit(&w->record->ready, 1, memory_order_release);
}

bool pp_worker_step(struct worker *w) {
    bool worked = run_tickets(w);
    if (worked) retire_if_due(w);
    /* Tickets and jobs in turn: neither keeps the other waiting. */
    if (!run_jobs(w) && (worked || !steal(w))) return worked;
    retire_if_due(w);
    return true;
}

struct worker *pp_worker_new(void) {
    return pp_zalloc(1, sizeof(struct worker));
}

void pp_worker_run(const struct pp_place *place) {
    const struct pp_worker_options *options = place->options;
    struct worker w;
    pp_worker_begin(&w, place);
    if (options->pin) pp_cpu_pin(w.number);
    if (!w.ends && options->memory_soft_limit) w.soft_limit = pp_memory_used() + options->memory_soft_limit;
    if (!w.ends && options->memory_limit) pp_memory_limit(options->memory_limit);
    memset(pp_call_here(), 0, sizeof(struct pp_call)); /* this may be the pool of a task */
    pp_worker_enter(&w);
    pp_worker_initialize(&w);
    w.bell_file = pp_file_of(w.bell);
    w.task_pipe_file = pp_file_of(w.task_pipe);
    for (;;)
        if (!held_back(&w) && !pp_worker_step(&w)) rest(&w);
}
