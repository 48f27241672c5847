#include "host/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "host/birth.h"
#include "host/corpses.h"
#include "host/groups.h"
#include "host/live.h"
#include "host/pulse.h"
#include "host/question.h"
#include "host/signals.h"
#include "host/staff.h"
#include "host/tracer.h"
#include "remote/carrier.h"
#include "shared/activity.h"
#include "shared/carried.h"
#include "shared/command.h"
#include "shared/limit.h"
#include "shared/notice.h"
#include "shared/timer.h"
#include "shared/trace_file.h"
#include "shared/worker_life.h"
#include "worker/capture.h"
#include "worker/child.h"
#include "worker/crash.h"
#include "worker/frame.h"

#define LOOK_NS 1000000000U /* how often the supervisor looks for the caller where the system has no pidfd */
#define LEAVE_NS 1000000000U /* how long the supervisor waits in the end for all that it has killed */

struct supervisor {
    struct pp_shared *shared;
    const struct pp_supervisor_setup *setup;
    struct pp_signals signals;
    int caller_pidfd;
    int nudge[2]; /* by which the carrier is told that something of what it has was killed; -1: there is none */
    struct pp_pulse pulse, callers_pulse; /* the first is the carrier's */
    bool elsewhere; /* in another pid namespace than the caller */
    struct pp_staff staff;
    pid_t pids[PP_WORKERS];
    int statuses[PP_WORKERS];
    struct pp_groups groups;
    bool init_overdue[PP_WORKERS];    /* it was killed because its initializer did not end */
    uint64_t killed[PP_WORKERS];      /* ns; when it was first sent SIGKILL; 0: it was not */
    struct pp_questions questions;
    bool lingers[PP_WORKERS];         /* DEAD, but a corpse */
    struct pp_corpses corpses;
    struct pp_timer timer;
    struct pp_capture *capture; /* NULL: output of workers is not caught */
    struct pp_tracer tracer;
    uint64_t next_check;
    struct pp_limit_watch limits;
    bool broken;   /* the caller was told so */
    bool all_died; /* likewise, since PP_RESET; from then to PP_RESUME the staff is paused */
};

/* The caller reads the notice when it finds the supervisor gone. */
static noreturn void give_up(struct pp_shared *shared, int code) {
    pp_notice_write(shared, &(struct pp_notice){.kind = PP_POOL_BROKEN, .code = code});
    pp_child_exit(1);
}

/* The command pipe tells of the caller's end, unless a child of the caller holds its write end. A pidfd always tells;
 * where the system has none, the supervisor looks for its parent now and then. */
static bool caller_has_gone(const struct supervisor *s) {
    if (s->caller_pidfd >= 0 || s->elsewhere) return false; /* poll() tells */
    return getppid() != s->setup->caller;
}

/* After unshare(CLONE_NEWPID) the caller's children live in another namespace, where it has no number: it was the
 * caller that opened the pidfd. The numbers of workers then mean nothing, or other processes, to the caller. */
static void watch_caller(struct supervisor *s) {
    s->caller_pidfd = s->setup->caller_pidfd;
    s->elsewhere = getppid() == 0;
    atomic_store_explicit(&s->shared->control->elsewhere, s->elsewhere, memory_order_release);
    if (caller_has_gone(s)) pp_child_exit(0);
}

static void ring_for_caller(struct supervisor *s) {
    pp_write(s->setup->bell, "", 1); /* a full pipe is readable as well */
}

/* ---- life of a worker */

static noreturn void give_birth(struct supervisor *s, uint32_t number, uint32_t life, pid_t supervisor) {
    pp_birth(&(struct pp_birth){.setup = s->setup, .signals = &s->signals, .capture = s->capture,
                                .caller_pidfd = s->caller_pidfd, .nudge = s->nudge, .number = number, .life = life,
                                .follows_corpse = s->corpses.had[number], .supervisor = supervisor});
}

static bool start_worker(struct supervisor *s, uint32_t number) {
    struct pp_control *control = s->shared->control;
    uint32_t life = pp_life_begin(s->shared, number);
    if (s->capture) pp_capture_prepare(s->capture, number);
    pid_t self = getpid(), pid = pp_fork();
    if (pid < 0) return false;
    if (pid == 0) give_birth(s, number, life, self);
    setpgid(pid, pid); /* the child does it as well; one of the two is first */
    s->pids[number] = pid;
    s->killed[number] = 0;
    pp_question_close(&s->questions, number);
    s->init_overdue[number] = false;
    atomic_store_explicit(&control->pids[number], (uint32_t)pid, memory_order_release);
    return true;
}

/* Starts those that are due. */
static void start_missing(struct supervisor *s) {
    uint64_t now = pp_now();
    for (uint32_t w = 0; w < s->staff.wanted; w++) {
        if (!pp_staff_is_due(&s->staff, w, now)) continue;
        if (start_worker(s, w)) pp_staff_started(&s->staff, w);
        else pp_staff_refused(&s->staff, errno);
    }
    pp_staff_tell_shortage(&s->staff);
}

/* Tells the caller if the pool can do no more work, so that the caller does not wait for ever. */
static void tell_if_broken(struct supervisor *s) {
    struct pp_notice notice;
    bool has_initializer = s->setup->options->initializer != NULL;
    if (s->broken || !pp_staff_is_lost(&s->staff, has_initializer, &notice)) return;
    s->broken = pp_notice_write(s->shared, &notice);
    if (s->broken) ring_for_caller(s);
}

/* Workers of this number and higher ones are to end by themselves, and a signal may have stopped them. */
static void let_workers_go_on(const struct supervisor *s, uint32_t first) {
    for (uint32_t w = first; w < s->staff.workers; w++)
        if (s->staff.states[w] == PP_ALIVE) kill(-s->pids[w], SIGCONT);
}

/* ---- death of a worker */

/* What a worker's tasks have started, and left in its group, ends with it. */
static void kill_group(const struct supervisor *s, pid_t worker) {
    if (!s->setup->options->keep_children) kill(-worker, SIGKILL);
}

static void kill_worker(struct supervisor *s, uint32_t worker) {
    pp_question_close(&s->questions, worker);
    if (s->staff.states[worker] != PP_ALIVE) return;
    kill_group(s, s->pids[worker]);
    /* Also if it does not lead its group yet. A process that may not be killed, since a task has changed its user, is
     * no corpse: it runs on. */
    bool killed = kill(s->pids[worker], SIGKILL) == 0;
    if (killed && s->killed[worker] == 0) s->killed[worker] = pp_now();
}

/* It may say where it is, and ends itself, or is killed soon. */
static void ask_and_kill(struct supervisor *s, uint32_t worker, enum pp_trace_why why) {
    if (s->staff.states[worker] != PP_ALIVE || s->killed[worker] != 0) return;
    pp_tracer_kill(&s->tracer, worker, why);
    if (!pp_question_ask(&s->questions, worker, s->pids[worker])) kill_worker(s, worker);
}

/* Its task, its initializer or its finalizer is overdue. */
static void kill_overdue(void *context, uint32_t worker) {
    struct supervisor *s = context;
    s->init_overdue[worker] = !atomic_load_explicit(&s->shared->starts[worker].ready, memory_order_relaxed);
    ask_and_kill(s, worker, PP_TRACE_OVERDUE);
}

static void kill_silent(struct supervisor *s) {
    for (uint32_t w = 0; w < s->staff.workers && pp_question_next(&s->questions) <= pp_now(); w++)
        if (pp_question_is_over(&s->questions, w, s->pids[w], pp_now())) kill_worker(s, w);
}

/* Tells the caller of a death, and ends the life. The worker stays DEAD while there is no room for the notice. */
static void finish_reap(struct supervisor *s, uint32_t w) {
    int status = s->statuses[w];
    struct pp_notice death = pp_life_describe(s->shared, w, s->pids[w], status);
    pp_timer_amend(&s->timer, &death);
    if (s->capture) memcpy(death.said, s->capture->said[w], sizeof death.said);
    death.reset = s->staff.paused && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    death.init_overdue = s->init_overdue[w];
    death.lingers = s->lingers[w];
    bool futile = pp_staff_is_futile(&s->staff, &death);
    if (!pp_life_end(s->shared, w, &death)) return;
    /* Tasks can write `retired`; a worker that rests without reason would not be asked for. */
    bool rests = death.left.retired == PP_RETIRED_IDLE && s->setup->options->idle_timeout;
    pp_staff_buried(&s->staff, &death, futile, rests);
    bool is_hopeless = WIFEXITED(status) && WEXITSTATUS(status) == PP_CARRIER_HOPELESS;
    if (pp_birth_is_of_carrier(s->setup, w) && is_hopeless) pp_staff_give_up(&s->staff, w);
    ring_for_caller(s);
}

/* Traces the end, and passes on what the worker has printed. */
static void bury(struct supervisor *s, uint32_t w, uint32_t status) {
    if (!s->capture && !s->shared->trace.base) return;
    struct pp_activity at = pp_activity_of(s->shared, w);
    pp_tracer_death(&s->tracer, w, &at, status);
    if (s->capture) pp_capture_bury(s->capture, w, at.fn, at.item);
}

/* The worker has ended, or will never run again. */
static void note_death(struct supervisor *s, uint32_t w, int status, bool lingers) {
    s->staff.states[w] = PP_DEAD;
    pp_question_close(&s->questions, w);
    s->statuses[w] = status;
    s->lingers[w] = lingers;
    bury(s, w, (uint32_t)status);
}

/* ---- corpses: see worker_life.h */

static uint64_t corpse_due(const struct supervisor *s, uint32_t w) {
    return s->staff.states[w] == PP_ALIVE ? pp_corpses_due(&s->corpses, s->killed[w]) : UINT64_MAX;
}

/* When the next worker is a corpse; UINT64_MAX: none will be. */
static uint64_t next_corpse(const struct supervisor *s) {
    uint64_t next = UINT64_MAX;
    for (uint32_t w = 0; w < s->staff.workers; w++)
        if (corpse_due(s, w) < next) next = corpse_due(s, w);
    return next;
}

/* Workers that were killed and have not ended in time count as dead from now on. */
static void leave_corpses(struct supervisor *s) {
    uint64_t now = pp_now();
    for (uint32_t w = 0; next_corpse(s) <= now; w++) {
        if (corpse_due(s, w) > now) continue;
        pp_corpses_add(&s->corpses, w, s->pids[w]);
        note_death(s, w, SIGKILL, true); /* the status that such a death has */
        atomic_store_explicit(&s->shared->control->pids[w], 0, memory_order_relaxed);
    }
}

static void finish_reaped(struct supervisor *s) {
    for (uint32_t w = 0; w < s->staff.workers; w++)
        if (s->staff.states[w] == PP_DEAD) finish_reap(s, w);
    /* A corpse comes before it goes. */
    bool all_told = pp_staff_count(&s->staff, PP_DEAD, s->staff.workers) == 0;
    if (all_told && pp_corpses_tell(&s->corpses, s->shared)) ring_for_caller(s);
}

/* ---- a reset: see reset.h */

static void begin_reset(struct supervisor *s) {
    s->staff.paused = true;
    for (uint32_t w = 0; w < s->staff.workers; w++) {
        if (s->staff.states[w] == PP_ALIVE) pp_tracer_kill(&s->tracer, w, PP_TRACE_RESET);
        kill_worker(s, w);
    }
}

static void tell_if_all_died(struct supervisor *s) {
    const struct pp_staff *staff = &s->staff;
    if (!staff->paused || s->all_died) return;
    if (pp_staff_count(staff, PP_ALIVE, staff->workers) + pp_staff_count(staff, PP_DEAD, staff->workers) > 0) return;
    s->all_died = pp_notice_write(s->shared, &(struct pp_notice){.kind = PP_ALL_DIED});
    if (s->all_died) ring_for_caller(s);
}

static uint32_t worker_of(const struct supervisor *s, pid_t pid) {
    uint32_t w = 0;
    while (w < s->staff.workers && !(s->staff.states[w] == PP_ALIVE && s->pids[w] == pid)) w++;
    return w;
}

/* The carrier has died, and its launchers are children of this process now, where the system gives orphans to it. What
 * they have started ends with them. pid 0: all of them. */
static void kill_launchers(struct supervisor *s, pid_t pid) {
    for (uint32_t h = 0; h < s->shared->hosts; h++) {
        pid_t launcher = (pid_t)atomic_load_explicit(&s->shared->carried->hosts[h].launcher, memory_order_acquire);
        if (launcher <= 1 || (pid != 0 && launcher != pid)) continue;
        if (worker_of(s, launcher) < s->staff.workers || !pp_is_child(launcher)) continue;
        kill(-launcher, SIGKILL);
        pp_groups_add(&s->groups, launcher);
    }
}

static noreturn void leave(struct supervisor *s, uint64_t deadline) {
    pp_groups_await(&s->groups, deadline);
    pp_child_exit(0);
}

static void reap(struct supervisor *s) {
    for (;;) {
        siginfo_t info;
        info.si_pid = 0;
        /* WNOWAIT: until the leader is reaped, no other process or group has its number, so its group can be killed. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0) return;
        if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
            pp_let_go(info.si_pid); /* a task has asked to be traced, which makes its parent the tracer */
            continue;
        }
        uint32_t w = worker_of(s, info.si_pid);
        bool is_corpse = pp_corpses_has(&s->corpses, info.si_pid), is_worker = w < s->staff.workers || is_corpse;
        if (is_worker) kill_group(s, info.si_pid);
        else kill_launchers(s, info.si_pid);
        int status = 0;
        pp_wait_child(info.si_pid, &status);
        if (!is_worker) continue;
        pp_groups_note(&s->groups, info.si_pid);
        if (is_corpse) {
            pp_corpses_gone(&s->corpses, info.si_pid);
            continue;
        }
        if (pp_birth_is_of_carrier(s->setup, w)) kill_launchers(s, 0);
        note_death(s, w, status, false);
        atomic_store_explicit(&s->shared->control->pids[w], 0, memory_order_relaxed);
    }
}

/* Waits for a worker that was killed, but not for a corpse. SIGCHLD wakes the wait. */
static void await_end(struct supervisor *s, pid_t pid, uint64_t deadline) {
    struct pollfd children = {.fd = s->signals.pipe[0], .events = POLLIN};
    while (!pp_has_ended(pid) && pp_now() < deadline) {
        pp_poll(&children, 1, deadline);
        pp_signals_take(&s->signals);
    }
    if (pp_has_ended(pid)) pp_wait_child(pid, NULL);
}

/* orphaned: the caller has gone, and cannot write the trace. */
static noreturn void end_all(struct supervisor *s, bool orphaned) {
    uint64_t deadline = pp_now() + LEAVE_NS;
    for (uint32_t w = 0; w < s->staff.workers; w++) kill_worker(s, w);
    for (uint32_t w = 0; w < s->staff.workers; w++) {
        if (s->staff.states[w] == PP_ALIVE) {
            await_end(s, s->pids[w], deadline);
            pp_groups_note(&s->groups, s->pids[w]);
            bury(s, w, PP_TRACE_AT_END);
            if (pp_birth_is_of_carrier(s->setup, w)) kill_launchers(s, 0);
        }
        /* Once the supervisor has gone, the caller kills the processes that this table names. */
        atomic_store_explicit(&s->shared->control->pids[w], 0, memory_order_relaxed);
    }
    if (orphaned && s->shared->trace.base) pp_trace_file_write(&s->shared->trace, s->setup->caller);
    leave(s, deadline);
}

/* ---- the loop */

static void kill_life(struct supervisor *s, const struct pp_command *command) {
    uint32_t w = command->worker;
    if (w >= s->staff.workers) return;
    if (command->life != atomic_load_explicit(&s->shared->control->lives[w], memory_order_relaxed)) return;
    bool moved = command->value && command->value != pp_record_trace(s->shared, w);
    if (pp_birth_is_of_carrier(s->setup, w)) {
        pp_write(s->nudge[1], "", 1); /* a full pipe nudges as well */
    } else if (moved) {
        return;
    } else if (s->setup->options->ask_killed && command->value == 0) {
        ask_and_kill(s, w, PP_TRACE_REQUEST);
    } else {
        pp_tracer_kill(&s->tracer, w, PP_TRACE_REQUEST);
        kill_worker(s, w);
    }
}

static uint64_t cpu_time(void *context, uint32_t worker) {
    const struct supervisor *s = context;
    return s->staff.states[worker] == PP_ALIVE ? pp_cpu_time_of(s->pids[worker]) : 0;
}

static uint64_t check_timer(struct supervisor *s) {
    const struct pp_timer_hands hands = {.kill = kill_overdue, .cpu_time = cpu_time, .context = s};
    return pp_timer_check(s->shared, pp_now(), &s->timer, &hands);
}

static void obey(struct supervisor *s, const struct pp_command *command) {
    switch (command->kind) {
    case PP_KILL: kill_life(s, command); break;
    case PP_RESET: begin_reset(s); break;
    case PP_RESUME: s->staff.paused = s->all_died = false; break;
    case PP_TIMER:
        if (s->timer.shortest == 0 || command->value < s->timer.shortest) s->timer.shortest = command->value;
        s->next_check = 0;
        break;
    case PP_RESIZE:
        pp_staff_resize(&s->staff);
        let_workers_go_on(s, s->staff.wanted);
        break;
    case PP_START:
        /* The caller takes workers that rest less starts that were asked for and not taken for those that it may still
         * ask for. So the starts count as taken before the workers cease to rest: between the two stores the caller
         * asks for one worker too many. In the other order it would count one start twice, and its task would wait
         * until another is done. Release here and in pp_staff_call(): pairs with the acquires in
         * pp_ask_for_workers(). */
        atomic_fetch_add_explicit(&s->shared->control->starts_taken, command->value, memory_order_release);
        PP_POINT("starts taken");
        pp_staff_call(&s->staff, command->value);
        break;
    case PP_CLOSE: let_workers_go_on(s, 0); break; /* and the loop looks at `closing` again */
    case PP_END: end_all(s, false);
    default: break; /* PP_ROOM: the loop looks at notices of the dead again */
    }
}

static void take_commands(struct supervisor *s) {
    struct pp_command command;
    int got;
    while ((got = pp_command_receive(s->setup->command_pipe, &command)) > 0) obey(s, &command);
    if (got < 0) end_all(s, true);
}

/* For the workers. Returns when to look again; UINT64_MAX: there is no limit. */
static uint64_t look_at_limits(struct supervisor *s) {
    if (!pp_limit_is_set(s->setup->options)) return UINT64_MAX;
    bool over = pp_limit_is_exceeded(s->setup->options, &s->limits);
    atomic_store_explicit(&s->shared->control->over_limit, over, memory_order_relaxed);
    return s->limits.look_again;
}

/* Returns when to look at the carrier again. */
static uint64_t watch_carrier(struct supervisor *s) {
    if (!s->setup->carrier || s->staff.states[PP_CARRIER] != PP_ALIVE) return UINT64_MAX;
    uint64_t now = pp_now();
    uint64_t beat = atomic_load_explicit(&s->shared->carried->beat, memory_order_relaxed);
    enum pp_pulse_found found =
        pp_pulse_look(&s->pulse, beat, s->staff.started[PP_CARRIER], now, PP_PULSE_MOST);
    if (found == PP_PULSE_NONE) kill_worker(s, PP_CARRIER);
    else if (found == PP_PULSE_STOPPED) kill(-s->pids[PP_CARRIER], SIGCONT);
    return now + PP_PULSE_NS;
}

static void wait_for_events(struct supervisor *s) {
    const uint64_t others[] = {pp_staff_next(&s->staff), next_corpse(s), pp_question_next(&s->questions),
                               look_at_limits(s), watch_carrier(s), s->tracer.next,
                               pp_pulse_watch_caller(&s->callers_pulse, s->shared, s->setup->caller)};
    uint64_t deadline = s->next_check;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] < deadline) deadline = others[i];
    struct pollfd fds[] = {{.fd = s->setup->command_pipe, .events = POLLIN},
                           {.fd = s->signals.pipe[0], .events = POLLIN},
                           {.fd = s->caller_pidfd, .events = POLLIN}};
    uint64_t look = s->caller_pidfd < 0 ? pp_now() + LOOK_NS : UINT64_MAX;
    int found = pp_poll(fds, 3, look < deadline ? look : deadline);
    if (caller_has_gone(s)) end_all(s, true);
    if (found <= 0) return;
    if (fds[1].revents) pp_signals_take(&s->signals);
    if (fds[0].revents) take_commands(s);
    if (fds[2].revents) end_all(s, true);
}

static void supervise(void *supervisor) {
    struct supervisor *s = supervisor;
    for (;;) {
        pp_tracer_count(&s->tracer);
        if (pp_signals_asked()) pp_live_write(STDERR_FILENO, s->setup, &s->staff, s->pids);
        reap(s);
        kill_silent(s);
        leave_corpses(s);
        finish_reaped(s);
        tell_if_all_died(s);
        start_missing(s);
        tell_if_broken(s);
        if (s->staff.wanted == 0 && pp_staff_count(&s->staff, PP_ALIVE, s->staff.workers) == 0) /* all have retired */
            leave(s, pp_now() + LEAVE_NS);
        if (pp_now() >= s->next_check || s->next_check == 0) s->next_check = check_timer(s);
        wait_for_events(s);
    }
}

/* Its pages are there once they are touched: a pool of few workers needs few of them. */
static struct supervisor *make_supervisor(const struct pp_supervisor_setup *setup) {
    struct supervisor *s = pp_map_private(sizeof *s);
    if (!s) give_up(setup->shared, POOL_ENOMEM);
    s->shared = setup->shared;
    s->setup = setup;
    s->next_check = UINT64_MAX;
    s->groups.stay = setup->options->keep_children;
    pp_tracer_begin(&s->tracer, setup->shared);
    if (setup->options->capture && !(s->capture = pp_capture_new())) give_up(setup->shared, POOL_ENOMEM);
    return s;
}

void pp_supervisor_run(const struct pp_supervisor_setup *setup) {
    pp_child_begin();
    pp_crash_begin();
    struct supervisor *s = make_supervisor(setup);
    pp_staff_begin(&s->staff, setup->shared, setup->options->lazy);
    s->nudge[0] = s->nudge[1] = -1;
    bool has_nudge = !setup->carrier || pp_pipe(s->nudge) == 0;
    if (!has_nudge || !pp_signals_begin(&s->signals)) give_up(setup->shared, POOL_EAGAIN);
    watch_caller(s);
    look_at_limits(s); /* before the first worker starts */
    pp_frame_run(supervise, s);
}
