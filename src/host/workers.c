#include "host/workers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "host/birth.h"
#include "remote/carrier.h"
#include "shared/activity.h"
#include "shared/carried.h"
#include "shared/worker_life.h"
#include "worker/child.h"

void pp_workers_ring(struct pp_workers *workers) {
    pp_ring(workers->setup->bell);
}

/* ---- begin of a life */

static noreturn void give_birth(struct pp_workers *workers, uint32_t number, uint32_t life, pid_t supervisor) {
    pp_birth(&(struct pp_birth){.setup = workers->setup, .signals = &workers->signals, .capture = workers->capture,
                                .caller_pidfd = workers->caller_pidfd, .nudge = workers->nudge, .number = number,
                                .life = life, .follows_corpse = workers->corpses.had[number],
                                .supervisor = supervisor});
}

static bool start_worker(struct pp_workers *workers, uint32_t number) {
    struct pp_control *control = workers->shared->control;
    uint32_t life = pp_life_begin(workers->shared, number);
    if (workers->capture) pp_capture_prepare(workers->capture, number);
    pid_t self = getpid(), pid = pp_fork();
    if (pid < 0) return false;
    if (pid == 0) give_birth(workers, number, life, self);
    setpgid(pid, pid); /* the child does it as well; one of the two is first */
    workers->pids[number] = pid;
    workers->killed[number] = 0;
    pp_question_close(&workers->questions, number);
    workers->init_overdue[number] = false;
    atomic_store_explicit(&control->pids[number], (uint32_t)pid, memory_order_release);
    return true;
}

void pp_workers_start_missing(struct pp_workers *workers) {
    uint64_t now = pp_now();
    for (uint32_t w = 0; w < workers->staff.wanted; w++) {
        if (!pp_staff_is_due(&workers->staff, w, now)) continue;
        if (start_worker(workers, w)) pp_staff_started(&workers->staff, w);
        else pp_staff_refused(&workers->staff, errno);
    }
    pp_staff_tell_shortage(&workers->staff);
}

void pp_workers_let_go_on(const struct pp_workers *workers, uint32_t first) {
    for (uint32_t w = first; w < workers->staff.workers; w++)
        if (workers->staff.states[w] == PP_ALIVE) kill(-workers->pids[w], SIGCONT);
}

/* ---- death of a worker */

/* What a worker's tasks have started, and left in its group, ends with it. */
static void kill_group(const struct pp_workers *workers, pid_t worker) {
    if (!workers->setup->options->keep_children) kill(-worker, SIGKILL);
}

void pp_workers_kill(struct pp_workers *workers, uint32_t worker) {
    pp_question_close(&workers->questions, worker);
    if (workers->staff.states[worker] != PP_ALIVE) return;
    kill_group(workers, workers->pids[worker]);
    /* Also if it does not lead its group yet. A process that may not be killed, since a task has changed its user, is
     * no corpse: it runs on. */
    bool killed = kill(workers->pids[worker], SIGKILL) == 0;
    if (killed && workers->killed[worker] == 0) workers->killed[worker] = pp_now();
}

void pp_workers_ask_and_kill(struct pp_workers *workers, uint32_t worker, enum pp_trace_why why) {
    if (workers->staff.states[worker] != PP_ALIVE || workers->killed[worker] != 0) return;
    pp_tracer_kill(&workers->tracer, worker, why);
    if (!pp_question_ask(&workers->questions, worker, workers->pids[worker])) pp_workers_kill(workers, worker);
}

void pp_workers_kill_overdue(struct pp_workers *workers, uint32_t worker) {
    workers->init_overdue[worker] = !atomic_load_explicit(&workers->shared->starts[worker].ready, memory_order_relaxed);
    pp_workers_ask_and_kill(workers, worker, PP_TRACE_OVERDUE);
}

void pp_workers_kill_silent(struct pp_workers *workers) {
    for (uint32_t w = 0; w < workers->staff.workers && pp_question_next(&workers->questions) <= pp_now(); w++)
        if (pp_question_is_over(&workers->questions, w, workers->pids[w], pp_now())) pp_workers_kill(workers, w);
}

/* Tells the caller of a death, and ends the life. The worker stays DEAD while there is no room for the notice. */
static void tell_death(struct pp_workers *workers, uint32_t w) {
    int status = workers->statuses[w];
    struct pp_notice death = pp_life_describe(workers->shared, w, workers->pids[w], status);
    pp_timer_amend(&workers->timer, &death);
    if (workers->capture) memcpy(death.said, workers->capture->said[w], sizeof death.said);
    death.reset = workers->staff.paused && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    death.init_overdue = workers->init_overdue[w];
    death.lingers = workers->lingers[w];
    bool futile = pp_staff_is_futile(&workers->staff, &death);
    if (!pp_life_end(workers->shared, w, &death)) return;
    /* Tasks can write `retired`; a worker that rests without reason would not be asked for. */
    bool rests = death.left.retired == PP_RETIRED_IDLE && workers->setup->options->idle_timeout;
    pp_staff_buried(&workers->staff, &death, futile, rests);
    bool is_hopeless = WIFEXITED(status) && WEXITSTATUS(status) == PP_CARRIER_HOPELESS;
    if (pp_birth_is_of_carrier(workers->setup, w) && is_hopeless) pp_staff_give_up(&workers->staff, w);
    pp_workers_ring(workers);
}

/* Traces the end, and passes on what the worker has printed. */
static void bury(struct pp_workers *workers, uint32_t w, uint32_t status) {
    if (!workers->capture && !workers->shared->trace.base) return;
    struct pp_activity at = pp_activity_of(workers->shared, w);
    pp_tracer_death(&workers->tracer, w, &at, status);
    if (workers->capture) pp_capture_bury(workers->capture, w, at.fn, at.item);
}

/* The worker has ended, or will never run again. */
static void note_death(struct pp_workers *workers, uint32_t w, int status, bool lingers) {
    workers->staff.states[w] = PP_DEAD;
    pp_question_close(&workers->questions, w);
    workers->statuses[w] = status;
    workers->lingers[w] = lingers;
    bury(workers, w, (uint32_t)status);
}

/* ---- corpses: see worker_life.h */

static uint64_t corpse_due(const struct pp_workers *workers, uint32_t w) {
    return workers->staff.states[w] == PP_ALIVE ? pp_corpses_due(&workers->corpses, workers->killed[w]) : UINT64_MAX;
}

uint64_t pp_workers_next_corpse(const struct pp_workers *workers) {
    uint64_t next = UINT64_MAX;
    for (uint32_t w = 0; w < workers->staff.workers; w++)
        if (corpse_due(workers, w) < next) next = corpse_due(workers, w);
    return next;
}

void pp_workers_leave_corpses(struct pp_workers *workers) {
    uint64_t now = pp_now();
    for (uint32_t w = 0; pp_workers_next_corpse(workers) <= now; w++) {
        if (corpse_due(workers, w) > now) continue;
        pp_corpses_add(&workers->corpses, w, workers->pids[w]);
        note_death(workers, w, SIGKILL, true); /* the status that such a death has */
        atomic_store_explicit(&workers->shared->control->pids[w], 0, memory_order_relaxed);
    }
}

void pp_workers_tell_deaths(struct pp_workers *workers) {
    for (uint32_t w = 0; w < workers->staff.workers; w++)
        if (workers->staff.states[w] == PP_DEAD) tell_death(workers, w);
    /* A corpse comes before it goes. */
    bool all_told = pp_staff_count(&workers->staff, PP_DEAD, workers->staff.workers) == 0;
    if (all_told && pp_corpses_tell(&workers->corpses, workers->shared)) pp_workers_ring(workers);
}

static uint32_t worker_of(const struct pp_workers *workers, pid_t pid) {
    uint32_t w = 0;
    while (w < workers->staff.workers && !(workers->staff.states[w] == PP_ALIVE && workers->pids[w] == pid)) w++;
    return w;
}

/* The carrier has died, and its launchers are children of this process now, where the system gives orphans to it. What
 * they have started ends with them. pid 0: all of them. */
static void kill_launchers(struct pp_workers *workers, pid_t pid) {
    for (uint32_t h = 0; h < workers->shared->hosts; h++) {
        struct pp_carried *carried = workers->shared->carried;
        pid_t launcher = (pid_t)atomic_load_explicit(&carried->hosts[h].launcher, memory_order_acquire);
        if (launcher <= 1 || (pid != 0 && launcher != pid)) continue;
        if (worker_of(workers, launcher) < workers->staff.workers || !pp_is_child(launcher)) continue;
        kill(-launcher, SIGKILL);
        pp_groups_add(&workers->groups, launcher);
    }
}

void pp_workers_reap(struct pp_workers *workers) {
    for (;;) {
        siginfo_t info;
        info.si_pid = 0;
        /* WNOWAIT: until the leader is reaped, no other process or group has its number, so its group can be killed. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0) return;
        if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
            pp_let_go(info.si_pid); /* a task has asked to be traced, which makes its parent the tracer */
            continue;
        }
        uint32_t w = worker_of(workers, info.si_pid);
        bool is_corpse = pp_corpses_has(&workers->corpses, info.si_pid);
        bool is_worker = w < workers->staff.workers || is_corpse;
        if (is_worker) kill_group(workers, info.si_pid);
        else kill_launchers(workers, info.si_pid);
        int status = 0;
        pp_wait_child(info.si_pid, &status);
        if (!is_worker) continue;
        pp_groups_note(&workers->groups, info.si_pid);
        if (is_corpse) {
            pp_corpses_gone(&workers->corpses, info.si_pid);
            continue;
        }
        if (pp_birth_is_of_carrier(workers->setup, w)) kill_launchers(workers, 0);
        note_death(workers, w, status, false);
        atomic_store_explicit(&workers->shared->control->pids[w], 0, memory_order_relaxed);
    }
}

/* Waits for a worker that was killed, but not for a corpse. SIGCHLD wakes the wait. */
static void await_end(struct pp_workers *workers, pid_t pid, uint64_t deadline) {
    struct pollfd children = {.fd = workers->signals.pipe[0], .events = POLLIN};
    while (!pp_has_ended(pid) && pp_now() < deadline) {
        pp_poll(&children, 1, deadline);
        pp_signals_take(&workers->signals);
    }
    if (pp_has_ended(pid)) pp_wait_child(pid, NULL);
}

void pp_workers_end(struct pp_workers *workers, uint64_t deadline) {
    for (uint32_t w = 0; w < workers->staff.workers; w++) pp_workers_kill(workers, w);
    for (uint32_t w = 0; w < workers->staff.workers; w++) {
        if (workers->staff.states[w] == PP_ALIVE) {
            await_end(workers, workers->pids[w], deadline);
            pp_groups_note(&workers->groups, workers->pids[w]);
            bury(workers, w, PP_TRACE_AT_END);
            if (pp_birth_is_of_carrier(workers->setup, w)) kill_launchers(workers, 0);
        }
        /* Once the supervisor has gone, the caller kills the processes that this table names. */
        atomic_store_explicit(&workers->shared->control->pids[w], 0, memory_order_relaxed);
    }
}
