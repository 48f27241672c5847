#include "host/supervisor.h"

#include <signal.h>
#include <unistd.h>

#include "base/sys.h"
#include "host/birth.h"
#include "host/live.h"
#include "host/pulse.h"
#include "host/workers.h"
#include "shared/carried.h"
#include "shared/command.h"
#include "shared/limit.h"
#include "shared/notice.h"
#include "shared/trace_file.h"
#include "worker/child.h"
#include "worker/crash.h"
#include "worker/frame.h"

#define LOOK_NS 1000000000U  /* how often the supervisor looks for the caller where the system has no pidfd */
#define LEAVE_NS 1000000000U /* how long the supervisor waits in the end for all that it has killed */

struct supervisor {
    struct pp_shared *shared;
    const struct pp_supervisor_setup *setup;
    struct pp_workers workers;
    struct pp_pulse pulse, callers_pulse; /* the first is the carrier's */
    bool elsewhere; /* in another pid namespace than the caller */
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
    if (s->workers.caller_pidfd >= 0 || s->elsewhere) return false; /* poll() tells */
    return getppid() != s->setup->caller;
}

/* After unshare(CLONE_NEWPID) the caller's children live in another namespace, where it has no number: it was the
 * caller that opened the pidfd. The numbers of workers then mean nothing, or other processes, to the caller. */
static void watch_caller(struct supervisor *s) {
    s->workers.caller_pidfd = s->setup->caller_pidfd;
    s->elsewhere = getppid() == 0;
    atomic_store_explicit(&s->shared->control->elsewhere, s->elsewhere, memory_order_release);
    if (caller_has_gone(s)) pp_child_exit(0);
}

/* Tells the caller if the pool can do no more work, so that the caller does not wait for ever. */
static void tell_if_broken(struct supervisor *s) {
    struct pp_notice notice;
    bool has_initializer = s->setup->options->initializer != NULL;
    if (s->broken || !pp_staff_is_lost(&s->workers.staff, has_initializer, &notice)) return;
    s->broken = pp_notice_write(s->shared, &notice);
    if (s->broken) pp_workers_ring(&s->workers);
}

/* ---- a reset: see reset.h */

static void begin_reset(struct supervisor *s) {
    s->workers.staff.paused = true;
    for (uint32_t w = 0; w < s->workers.staff.workers; w++) {
        if (s->workers.staff.states[w] == PP_ALIVE) pp_tracer_kill(&s->workers.tracer, w, PP_TRACE_RESET);
        pp_workers_kill(&s->workers, w);
    }
}

static void tell_if_all_died(struct supervisor *s) {
    const struct pp_staff *staff = &s->workers.staff;
    if (!staff->paused || s->all_died) return;
    if (pp_staff_count(staff, PP_ALIVE, staff->workers) + pp_staff_count(staff, PP_DEAD, staff->workers) > 0) return;
    s->all_died = pp_notice_write(s->shared, &(struct pp_notice){.kind = PP_ALL_DIED});
    if (s->all_died) pp_workers_ring(&s->workers);
}

static noreturn void leave(struct supervisor *s, uint64_t deadline) {
    pp_groups_await(&s->workers.groups, deadline);
    pp_child_exit(0);
}

/* orphaned: the caller has gone, and cannot write the trace. */
static noreturn void end_all(struct supervisor *s, bool orphaned) {
    uint64_t deadline = pp_now() + LEAVE_NS;
    pp_workers_end(&s->workers, deadline);
    if (orphaned && s->shared->trace.base)
        pp_trace_file_write(&s->shared->trace, s->workers.staff.workers, s->setup->caller);
    leave(s, deadline);
}

/* ---- the loop */

static void kill_life(struct supervisor *s, const struct pp_command *command) {
    uint32_t w = command->worker;
    if (w >= s->workers.staff.workers) return;
    if (command->life != atomic_load_explicit(&s->shared->control->lives[w], memory_order_relaxed)) return;
    bool moved = command->value && command->value != pp_record_trace(s->shared, w);
    if (pp_birth_is_of_carrier(s->setup, w)) {
        pp_write(s->workers.nudge[1], "", 1); /* a full pipe nudges as well */
    } else if (moved) {
        return;
    } else if (s->setup->options->ask_killed && command->value == 0) {
        pp_workers_ask_and_kill(&s->workers, w, PP_TRACE_REQUEST);
    } else {
        pp_tracer_kill(&s->workers.tracer, w, PP_TRACE_REQUEST);
        pp_workers_kill(&s->workers, w);
    }
}

static void kill_overdue(void *supervisor, uint32_t worker) {
    struct supervisor *s = supervisor;
    pp_workers_kill_overdue(&s->workers, worker);
}

static uint64_t cpu_time(void *context, uint32_t worker) {
    const struct supervisor *s = context;
    return s->workers.staff.states[worker] == PP_ALIVE ? pp_cpu_time_of(s->workers.pids[worker]) : 0;
}

static uint64_t check_timer(struct supervisor *s) {
    const struct pp_timer_hands hands = {.kill = kill_overdue, .cpu_time = cpu_time, .context = s};
    return pp_timer_check(s->shared, pp_now(), &s->workers.timer, &hands);
}

/* Something has a time-out of `limit` now. */
static void hasten_timer(struct supervisor *s, uint32_t limit) {
    uint32_t *shortest = &s->workers.timer.shortest;
    if (*shortest == 0 || limit < *shortest) *shortest = limit;
    s->next_check = 0;
}

static void obey(struct supervisor *s, const struct pp_command *command) {
    switch (command->kind) {
    case PP_KILL: kill_life(s, command); break;
    case PP_RESET: begin_reset(s); break;
    case PP_RESUME: s->workers.staff.paused = s->all_died = false; break;
    case PP_TIMER: hasten_timer(s, command->value); break;
    case PP_RESIZE:
        pp_staff_resize(&s->workers.staff);
        pp_workers_let_go_on(&s->workers, s->workers.staff.wanted);
        break;
    case PP_START:
        /* The caller may still ask for as many workers as rest, less the starts that were asked for and not taken.
         * So the starts count as taken before the workers cease to rest: between the two stores the caller
         * asks for one worker too many. In the other order it would count one start twice, and its task would wait
         * until another is done. Release here and in pp_staff_call(): pairs with the acquires in
         * pp_ask_for_workers(). */
        atomic_fetch_add_explicit(&s->shared->control->starts_taken, command->value, memory_order_release);
        PP_POINT("starts taken");
        pp_staff_call(&s->workers.staff, command->value);
        break;
    case PP_CLOSE: pp_workers_let_go_on(&s->workers, 0); break; /* and the loop looks at `closing` again */
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
    if (!s->setup->carrier || s->workers.staff.states[PP_CARRIER] != PP_ALIVE) return UINT64_MAX;
    uint64_t now = pp_now();
    uint64_t beat = atomic_load_explicit(&s->shared->carried->beat, memory_order_relaxed);
    enum pp_pulse_found found =
        pp_pulse_look(&s->pulse, beat, s->workers.staff.started[PP_CARRIER], now, PP_PULSE_MOST);
    if (found == PP_PULSE_NONE) pp_workers_kill(&s->workers, PP_CARRIER);
    else if (found == PP_PULSE_STOPPED) kill(-s->workers.pids[PP_CARRIER], SIGCONT);
    return now + PP_PULSE_NS;
}

static void wait_for_events(struct supervisor *s) {
    const uint64_t others[] = {pp_staff_next(&s->workers.staff), pp_workers_next_corpse(&s->workers),
                               pp_question_next(&s->workers.questions), s->workers.tracer.next,
                               look_at_limits(s), watch_carrier(s),
                               pp_pulse_watch_caller(&s->callers_pulse, s->shared, s->setup->caller)};
    uint64_t deadline = s->next_check;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] < deadline) deadline = others[i];
    struct pollfd fds[] = {{.fd = s->setup->command_pipe, .events = POLLIN},
                           {.fd = s->workers.signals.pipe[0], .events = POLLIN},
                           {.fd = s->workers.caller_pidfd, .events = POLLIN}};
    uint64_t look = s->workers.caller_pidfd < 0 ? pp_now() + LOOK_NS : UINT64_MAX;
    int found = pp_poll(fds, 3, look < deadline ? look : deadline);
    if (caller_has_gone(s)) end_all(s, true);
    if (found <= 0) return;
    if (fds[1].revents) pp_signals_take(&s->workers.signals);
    if (fds[0].revents) take_commands(s);
    if (fds[2].revents) end_all(s, true);
}

static bool all_have_retired(const struct pp_staff *staff) {
    return staff->wanted == 0 && pp_staff_count(staff, PP_ALIVE, staff->workers) == 0;
}

static void supervise(void *supervisor) {
    struct supervisor *s = supervisor;
    for (;;) {
        pp_tracer_count(&s->workers.tracer);
        if (pp_signals_asked()) pp_live_write(STDERR_FILENO, s->setup, &s->workers.staff, s->workers.pids);
        pp_workers_reap(&s->workers);
        pp_workers_kill_silent(&s->workers);
        pp_workers_leave_corpses(&s->workers);
        pp_workers_tell_deaths(&s->workers);
        tell_if_all_died(s);
        pp_workers_start_missing(&s->workers);
        tell_if_broken(s);
        if (all_have_retired(&s->workers.staff)) leave(s, pp_now() + LEAVE_NS);
        if (pp_now() >= s->next_check || s->next_check == 0) s->next_check = check_timer(s);
        wait_for_events(s);
    }
}

/* Its pages are there once they are touched: a pool of few workers needs few of them. */
static struct supervisor *make_supervisor(const struct pp_supervisor_setup *setup) {
    struct supervisor *s = pp_map_private(sizeof *s);
    if (!s) give_up(setup->shared, POOL_ENOMEM);
    s->shared = s->workers.shared = setup->shared;
    s->setup = s->workers.setup = setup;
    s->next_check = UINT64_MAX;
    s->workers.groups.stay = setup->options->keep_children;
    pp_tracer_begin(&s->workers.tracer, setup->shared);
    if (setup->options->capture && !(s->workers.capture = pp_capture_new())) give_up(setup->shared, POOL_ENOMEM);
    return s;
}

void pp_supervisor_run(const struct pp_supervisor_setup *setup) {
    pp_child_begin();
    pp_crash_begin();
    struct supervisor *s = make_supervisor(setup);
    pp_staff_begin(&s->workers.staff, setup->shared, setup->options->lazy);
    s->workers.nudge[0] = s->workers.nudge[1] = -1;
    bool has_nudge = !setup->carrier || pp_pipe(s->workers.nudge) == 0;
    if (!has_nudge || !pp_signals_begin(&s->workers.signals)) give_up(setup->shared, POOL_EAGAIN);
    watch_caller(s);
    look_at_limits(s); /* before the first worker starts */
    pp_frame_run(supervise, s);
}
