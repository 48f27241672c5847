/* Taking in what workers and supervisor have published: outcomes, deaths, and the end of the supervisor.
 *
 * Workers' memory is evidence, not truth: a ticket counts only if the caller's own table has that generation in that
 * slot, and a task is ended only by what its state word says. */
#include <stdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "pool/audit.h"
#include "shared/command.h"
#include "shared/park.h"
#include "pool/future_alloc.h"
#include "pool/job.h"
#include "shared/notice.h"
#include "pool/pool.h"
#include "shared/ring.h"
#include "pool/slots.h"
#include "shared/state.h"
#include "base/sys.h"
#include "shared/timer.h"
#include "pool/observer.h"

/* ---- the end of a future */

static void keep_failure(struct future *future, int outcome, const struct pool_failure *failure) {
    if (!outcome || (future->given_up && !future->ties)) return;
    future->failure = pp_zalloc(1, sizeof *future->failure);
    if (!future->failure) return;
    if (failure) *future->failure = *failure;
    future->failure->error = outcome;
    if (!future->failure->message[0])
        snprintf(future->failure->message, sizeof future->failure->message, "%s", pool_strerror(outcome));
}

void pp_future_finish(struct future *future, int outcome, const struct pool_failure *failure) {
    struct pool *pool = future->pool;
    if (future->queued) pp_queue_remove(&pool->queue, future);
    if (!future->is_job) {
        if (future->task.timeout) pp_timer_end(&pool->shared);
        if (future->task.in != future->small) pp_heap_free(&pool->inputs, (void *)(uintptr_t)future->task.in);
        pool->tasks_failed += outcome != 0;
        if (outcome && future->result) {
            pp_heap_free(&pool->results, future->result);
            future->result = NULL;
        }
    } else {
        pool->open_jobs--;
        pool->jobs_finished++;
    }
    keep_failure(future, outcome, failure);
    future->outcome = outcome;
    pool->open--;
    pool->finished++;
    pool->given_up -= future->given_up;
    if (future->given_up && !future->ties && future->pins == 0) {
        pp_future_recycle(future);
        return;
    }
    /* Release: pairs with the acquire of future_done() and its like, which take no lock. */
    atomic_store_explicit(&future->done, PP_ENDED, memory_order_release);
    if (future->observers) pp_observers_notify(future, PP_OBSERVED_DONE);
    if (future->ties) pp_ties_finish(pool, future);
    else pp_detach(future);
}

/* ---- tasks */

static void describe_code(struct pool *pool, uint32_t slot, struct pool_failure *failure) {
    const struct pp_outcome *outcome = &pool->shared.outcomes[slot];
    failure->code = outcome->code;
    failure->worker = outcome->pid;
    memcpy(failure->message, pool->shared.messages[slot], PP_MESSAGE);
    failure->message[PP_MESSAGE - 1] = '\0';
    if (!failure->message[0])
        snprintf(failure->message, sizeof failure->message, "the task returned %d", failure->code);
}

/* Takes in the size that the task gave its result, and gives the rest of its room back. False: it makes no sense. */
static bool resize(struct pool *pool, uint32_t slot, struct future *future) {
    uint64_t size;
    memcpy(&size, pool->shared.messages[slot], sizeof size);
    if (size > future->out_size) return false;
    future->out_size = (size_t)size;
    pp_heap_shrink(&pool->results, future->result, (size_t)size);
    return true;
}

/* Returns why the task has failed, or 0 with its result in the future. */
static int take_outcome(struct pool *pool, uint32_t slot, uint64_t state) {
    struct future *future = pool->slots[slot].future;
    const struct pp_outcome *outcome = &pool->shared.outcomes[slot];
    if (pp_phase_of(state) == PP_CANCELLED) return POOL_ECANCELLED;
    if (outcome->code != 0) return POOL_EFAILED;
    if (outcome->resized && !resize(pool, slot, future)) return POOL_ECORRUPT;
    if (!future->result && future->out_size) {
        /* The argument that may lie there is needed no more: workers have a copy in the slot. */
        memcpy(future->small, outcome->out, PP_INLINE_OUT);
        if (future->task.in == future->small) future->task.in = NULL;
        future->result = future->small;
    }
    return 0;
}

void pp_task_fail(struct pool *pool, uint32_t slot, int error) {
    struct future *future = pool->slots[slot].future;
    struct pool_failure failure;
    memset(&failure, 0, sizeof failure);
    if (error == POOL_EFAILED) describe_code(pool, slot, &failure);
    pp_slot_free(pool, slot);
    pp_future_finish(future, error, &failure);
}

void pp_collect_slot(struct pool *pool, uint32_t slot, uint64_t state) {
    struct future *future = pool->slots[slot].future;
    int error = take_outcome(pool, slot, state);
    if (error) {
        pp_task_fail(pool, slot, error);
        return;
    }
    pp_slot_free(pool, slot);
    pp_future_finish(future, 0, NULL);
}

/* ---- the done rings */

/* Whether there was a task's outcome in the slot, which is taken in now. */
static bool collect_done(struct pool *pool, uint32_t slot) {
    const struct future *future = pool->slots[slot].future;
    if (!future || future->is_job) return false;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
    if (!pp_is_done(state, pool->slots[slot].generation)) return false;
    pp_collect_slot(pool, slot, state);
    return true;
}

static void collect_ticket(struct pool *pool, uint64_t ticket) {
    const struct future *future = pp_slot_future(pool, ticket);
    if (!future) return;
    if (future->is_job) pp_job_look(pool, future->job);
    else collect_done(pool, pp_ticket_slot(ticket));
}

#define AHEAD 8 /* outcomes that are fetched before they are taken in */
#define NEAR 32 /* slots on each side of the one that is asked for */

static void prefetch(const struct pool *pool, uint32_t slot) {
    const struct future *future = pool->slots[slot].future;
    if (!future) return;
    pp_prefetch(&pool->shared.outcomes[slot]);
    pp_prefetch(future);
    pp_prefetch(&future->observers);
    pp_prefetch(future->small);
}

/* A ring that ran over: what it announced is found in the slots. */
static void collect_all_slots(struct pool *pool) {
    for (uint32_t slot = 0; slot < pool->fresh_slot; slot++) {
        if (slot + AHEAD < pool->fresh_slot) prefetch(pool, slot + AHEAD);
        collect_done(pool, slot);
    }
    pp_jobs_look(pool);
}

/* False: its ring ran over, and collect_all_slots() is to find what it announced. */
static bool collect_worker(struct pool *pool, uint32_t worker) {
    const struct pp_record *record = &pool->shared.records[worker];
    const _Atomic uint64_t *done = pool->shared.done[worker];
    uint64_t head = pool->done_heads[worker];
    /* Acquire: pairs with the release in pp_work_announce(). */
    uint64_t tail = atomic_load_explicit(&record->done_tail, memory_order_acquire);
    if (tail == head) return true;
    pool->done_heads[worker] = tail;
    if (tail - head > PP_DONE_RING / 2) return false;
    for (uint64_t i = head; i != tail; i++) {
        uint64_t ahead = atomic_load_explicit(&done[(i + AHEAD) % PP_DONE_RING], memory_order_relaxed);
        if (tail - i > AHEAD) prefetch(pool, pp_ticket_slot(ahead) % PP_SLOTS);
        collect_ticket(pool, atomic_load_explicit(&done[i % PP_DONE_RING], memory_order_relaxed));
    }
    /* Written over while it was read? */
    return atomic_load_explicit(&record->done_tail, memory_order_acquire) - head <= PP_DONE_RING;
}

static void collect_workers(struct pool *pool) {
    bool all = true;
    for (uint32_t w = 0; w < pool->workers; w++) all &= collect_worker(pool, w);
    if (!all) collect_all_slots(pool);
}

/* ---- deaths */

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGABRT, "SIGABRT"}, {SIGALRM, "SIGALRM"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
               {SIGHUP, "SIGHUP"},   {SIGILL, "SIGILL"},   {SIGINT, "SIGINT"},   {SIGKILL, "SIGKILL"},
               {SIGPIPE, "SIGPIPE"}, {SIGQUIT, "SIGQUIT"}, {SIGSEGV, "SIGSEGV"}, {SIGTERM, "SIGTERM"},
               {SIGTRAP, "SIGTRAP"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"},
               {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},   {SIGVTALRM, "SIGVTALRM"}};

static void describe_status(struct pool_failure *failure, int status, bool faulted, uint64_t fault) {
    char *text = failure->message;
    size_t room = sizeof failure->message;
    if (WIFEXITED(status)) {
        failure->code = WEXITSTATUS(status);
        snprintf(text, room, "the worker exited with status %d", failure->code);
        return;
    }
    failure->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    char number[32];
    snprintf(number, sizeof number, "signal %d", failure->signal);
    const char *name = number;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].number == failure->signal) name = signals[i].name;
    if (faulted) snprintf(text, room, "killed by %s (address 0x%llx)", name, (unsigned long long)fault);
    else snprintf(text, room, "killed by %s", name);
}

void pp_describe_death(struct pool_failure *failure, const struct pp_notice *notice, enum pp_phase ended, int timeout) {
    memset(failure, 0, sizeof *failure);
    failure->worker = notice->pid;
    switch (ended) {
    case PP_KILLED:
        failure->error = POOL_ECANCELLED;
        snprintf(failure->message, sizeof failure->message, "killed while it ran");
        break;
    case PP_OVERDUE:
        failure->error = POOL_EDEADLINE;
        snprintf(failure->message, sizeof failure->message, "it ran longer than %d ms", timeout);
        break;
    default:
        failure->error = POOL_EDIED;
        bool fault = notice->faulted && WIFSIGNALED(notice->status);
        describe_status(failure, notice->status, fault, notice->fault);
    }
}

/* Ends the task that a worker has died under, or has it run again. */
static void end_victim(struct pool *pool, struct future *future, enum pp_phase ended, const struct pp_notice *notice) {
    if (ended == PP_RUNNING && future->task.tries < future->task.retries) {
        future->task.tries++;
        pool->retried++;
        pp_submit_again(pool, future);
        return;
    }
    struct pool_failure failure;
    pp_describe_death(&failure, notice, ended, future->task.timeout);
    pp_slot_free(pool, future->slot);
    pp_future_finish(future, failure.error, &failure);
}

static void task_died(struct pool *pool, const struct pp_notice *notice) {
    struct future *future = pp_slot_future(pool, notice->current);
    if (!future || future->is_job) return;
    uint32_t slot = future->slot;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
    if (pp_generation_of(state) != pool->slots[slot].generation) return;
    if (pp_phase_of(state) == PP_PENDING) {
        pp_audit_bear_loss(pool, slot, state);
        return;
    }
    if (!pp_is_held_by(state, notice->worker, notice->life)) return;
    if (pp_phase_of(state) == PP_KILLED && pool->slots[slot].doubted) {
        pool->slots[slot].doubted = false;
        if (!pp_audit_bear_loss(pool, slot, state)) return;
        pp_state_submit(&pool->shared.outcomes[slot].state, pp_generation_of(state)); /* whoever held it is dead */
        pp_ticket_again(pool, slot);
        return;
    }
    switch (pp_phase_of(state)) {
    case PP_DONE: pp_collect_slot(pool, slot, state); break; /* it died before it could announce it */
    case PP_RUNNING:
    case PP_KILLED:
    case PP_OVERDUE: end_victim(pool, future, pp_phase_of(state), notice); break;
    default: break;
    }
}

static void worker_died(struct pool *pool, const struct pp_notice *notice) {
    if (notice->worker >= PP_WORKERS) return;
    pool->died += notice->retired == 0;
    /* Before anything that may look whether a pass is over: the dead is in it no more, and what it left is here
     * only. */
    pp_job_died(pool, notice);
    if (!collect_worker(pool, notice->worker)) collect_all_slots(pool);
    task_died(pool, notice);
    for (int i = 0; i < PP_CLAIMED_MOST && notice->claimed[i] != 0; i++) {
        struct future *future = pp_slot_future(pool, notice->claimed[i]);
        if (!future || future->is_job) continue;
        uint64_t state = atomic_load_explicit(&pool->shared.outcomes[future->slot].state, memory_order_acquire);
        if (pp_phase_of(state) == PP_PENDING) pp_ticket_again(pool, future->slot);
    }
    pp_wake_another(&pool->shared, pool->task_pipe, &pool->wakes);
}

static void pool_broke(struct pool *pool, const struct pp_notice *notice) {
    struct pool_failure why;
    memset(&why, 0, sizeof why);
    why.error = notice->code;
    if (notice->code == POOL_EINIT && notice->init_code != 0) {
        why.code = notice->init_code;
        snprintf(why.message, sizeof why.message, "the initializer returned %d", why.code);
    } else if (notice->code == POOL_EAGAIN) {
        snprintf(why.message, sizeof why.message, "no worker process could be started");
    } else {
        describe_status(&why, notice->status, false, 0);
        char how[200];
        snprintf(how, sizeof how, "%.199s", why.message);
        snprintf(why.message, sizeof why.message, "no worker lives to begin a task: %s", how);
    }
    pp_break(pool, notice->code, &why);
}

static void read_notices(struct pool *pool) {
    struct pp_notice notice;
    bool supervisor_waits;
    while (pp_notice_read(&pool->shared, &notice, &supervisor_waits)) {
        if (supervisor_waits) pp_command_send(pool->command_socket, &(struct pp_command){.kind = PP_ROOM});
        if (notice.kind == PP_WORKER_DIED) worker_died(pool, &notice);
        else pool_broke(pool, &notice);
        if (!pp_notice_waits(&pool->shared)) pp_jobs_look(pool);
    }
}

void pp_kill_worker(struct pool *pool, uint64_t running) {
    pp_command_send(pool->command_socket, &(struct pp_command){.kind = PP_KILL, .worker = pp_worker_of(running),
                                                        .life = (uint32_t)(running >> 16) & 0xffffU});
}

void pp_collect(struct pool *pool) {
    if (pool->ended) return;
    collect_workers(pool);
    if (pp_notice_waits(&pool->shared)) read_notices(pool);
    if (pool->queue.count) pp_dispatch(pool);
    if (pool->waiting_jobs) pp_jobs_look(pool);
}

/* Whether more is to be done about other outcomes than to take them in when somebody asks for them: something comes
 * after them, nobody will ask, a job may have to go on, a death to be told, or the supervisor's clock to stop; or tasks
 * wait for slots, of which those near would be too few to keep workers at work until the next call. */
static bool others_matter(const struct pool *pool) {
    bool few_slots = pool->queue.count > 0 && pp_ring_length(&pool->shared) < PP_SLOTS / 2;
    return few_slots || pool->held || pool->watched || pool->given_up || pool->open_jobs ||
           pp_notice_waits(&pool->shared) || pp_timer_runs(&pool->shared);
}

/* Takes in the outcome of this future, if it is there, and what is done in the slots beside it. Whether it did. Futures
 * are mostly asked for in the order in which they were submitted, which is that of their slots, one way or the other;
 * where many are done, to take in all of them first would move each through the CPU's caches twice: bench_limits,
 * "submit". */
static bool collect_near(struct pool *pool, const struct future *future) {
    uint32_t first = future->slot;
    if (first == PP_NO_SLOT || !collect_done(pool, first)) return false;
    for (uint32_t slot = first + 1; slot < pool->fresh_slot && slot - first < NEAR && collect_done(pool, slot); slot++)
        prefetch(pool, (slot + AHEAD) % PP_SLOTS);
    for (uint32_t slot = first; slot-- > 0 && first - slot < NEAR && collect_done(pool, slot);)
        prefetch(pool, (slot - AHEAD) % PP_SLOTS);
    if (pool->queue.count) pp_dispatch(pool);
    return true;
}

void pp_collect_for(struct pool *pool, const struct future *future) {
    if (pool->ended) return;
    bool all = others_matter(pool);
    if (!all && collect_near(pool, future)) return;
    pp_collect(pool);
    if (all && future->slot != PP_NO_SLOT) collect_done(pool, future->slot); /* perhaps it is not announced yet */
}

void pp_break(struct pool *pool, int code, const struct pool_failure *why) {
    if (pool->broken) return;
    pool->broken = code;
    pool->broken_failure = *why;
    for (uint32_t slot = 0; slot < pool->fresh_slot; slot++) {
        struct future *future = pool->slots[slot].future;
        if (!future || future->is_job || collect_done(pool, slot)) continue;
        pp_slot_free(pool, slot);
        pp_future_finish(future, code, why);
    }
    struct future *future;
    while ((future = pp_queue_first(&pool->queue)) != NULL) pp_future_finish(future, code, why);
    while (pool->held) pp_future_finish(pool->held, code, why);
    while (pool->jobs) pp_job_abort(pool, pool->jobs, why);
    while (pool->waiting_jobs) pp_job_abort(pool, pool->waiting_jobs, why);
}
