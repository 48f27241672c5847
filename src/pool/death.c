#include "pool/death.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "pool/audit.h"
#include "pool/dispatch.h"
#include "pool/finish.h"
#include "pool/outcome.h"
#include "pool/slots.h"
#include "shared/notice.h"
#include "shared/state.h"

/* ---- describing */

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
        bool fault = notice->left.faulted && WIFSIGNALED(notice->status);
        describe_status(failure, notice->status, fault, notice->left.fault);
    }
}

void pp_describe_break(struct pool_failure *failure, const struct pp_notice *notice) {
    char *text = failure->message;
    size_t room = sizeof failure->message;
    memset(failure, 0, sizeof *failure);
    failure->error = notice->code;
    if (notice->code == POOL_EINIT && notice->init_code != 0) {
        failure->code = notice->init_code;
        snprintf(text, room, "the initializer returned %d", failure->code);
    } else if (notice->code == POOL_EAGAIN) {
        snprintf(text, room, "no worker process could be started");
    } else {
        describe_status(failure, notice->status, false, 0);
        char how[200];
        snprintf(how, sizeof how, "%.199s", text);
        snprintf(text, room, "no worker lives to begin a task: %s", how);
    }
}

/* ---- what becomes of its tasks */

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

void pp_task_died(struct pool *pool, const struct pp_notice *notice) {
    struct future *future = pp_slot_future(pool, notice->left.current);
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

void pp_claims_died(struct pool *pool, const struct pp_notice *notice) {
    for (int i = 0; i < PP_CLAIMED_MOST && notice->left.claimed[i] != 0; i++) {
        struct future *future = pp_slot_future(pool, notice->left.claimed[i]);
        if (!future || future->is_job) continue;
        uint64_t state = atomic_load_explicit(&pool->shared.outcomes[future->slot].state, memory_order_acquire);
        if (pp_phase_of(state) == PP_PENDING) pp_ticket_again(pool, future->slot);
    }
}
