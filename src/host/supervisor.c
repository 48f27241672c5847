#include "host/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/child.h"
#include "worker/crash.h"
#include "worker/frame.h"
#include "shared/command.h"
#include "shared/worker_life.h"
#include "shared/notice.h"
#include "shared/plan.h"
#include "shared/backlog.h"
#include "base/sys.h"
#include "shared/state.h"
#include "shared/ticket.h"
#include "shared/timer.h"

#define FUTILE_TRIES 12          /* times in a row that a worker may die with nothing in its hands */
#define FUTILE_AT_ONCE 2         /* of those, after how many the next is started without a pause */
#define LONG_LIFE_NS 1000000000U /* a worker that has lived for so long would have begun what waits */
#define FORK_TRIES 5             /* times that the system may refuse a process before that counts as a shortage */
#define PAUSE_LEAST 10000000U    /* ns after the first refusal or futile death; doubled with each */
#define PAUSE_MOST 5000000000U
#define LOOK_NS 1000000000U /* how often the supervisor looks for the caller where the system has no pidfd */
#define CORPSE_NS 1000000000U /* how long a killed worker may take to end before it is a corpse */

#define GROUPS PP_WORKERS   /* so that in the end each worker may have left children */
#define LEAVE_NS 1000000000U /* how long the supervisor waits in the end for all that it has killed */

/* A worker number has no worker, and gets one if the pool is large enough (EMPTY); has one (ALIVE); had one whose death
 * the caller must still be told (DEAD); gets none any more, since its workers die before they are ready (GIVEN_UP); or
 * gets one when there is work (RESTING). */
enum worker_state { EMPTY, ALIVE, DEAD, GIVEN_UP, RESTING };

struct supervisor {
    struct pp_shared *shared;
    const struct pp_supervisor_options *options;
    int signal_pipe[2], caller_pidfd;
    bool elsewhere; /* in another pid namespace than the caller */
    uint32_t workers, wanted; /* copies of those in struct pp_control */
    enum worker_state states[PP_WORKERS];
    pid_t pids[PP_WORKERS];
    int statuses[PP_WORKERS];
    pid_t groups[GROUPS]; /* of the last workers that left children, which were killed; 0: none */
    uint32_t groups_left;
    unsigned init_failures[PP_WORKERS], futile_deaths[PP_WORKERS];
    uint64_t started[PP_WORKERS];     /* ns */
    uint64_t killed[PP_WORKERS];      /* ns; when it was first sent SIGKILL; 0: it was not */
    bool lingers[PP_WORKERS];         /* DEAD, but a corpse */
    /* Corpses: see worker_life.h. 0: none; negative: it has gone, and the caller must still be told. */
    pid_t corpses[PP_WORKERS];
    uint32_t corpse_count;
    uint64_t start_again[PP_WORKERS]; /* ns; when to start the next after a futile death */
    uint64_t successes;  /* tasks that workers had run as of the last futile death */
    bool had_worker;     /* or is to have some only once there is work */
    unsigned fork_failures;
    int fork_error;      /* of the last refusal */
    uint64_t fork_again; /* ns; when to try again after a refused fork */
    uint32_t shortest;   /* see pp_timer_check() */
    uint64_t next_check;
    bool broken;
    bool resetting, all_died; /* since PP_RESET; the caller was told that all have died since */
    struct pp_notice last_futile; /* the last futile death */
    bool last_was_ready;
};

/* The write end of the pipe by which SIGCHLD wakes poll(). */
static int signal_pipe_end;

static void on_child(int signal) {
    (void)signal;
    int code = errno;
    ssize_t n = write(signal_pipe_end, "", 1);
    (void)n; /* a full pipe wakes poll() all the same */
    errno = code;
}

static void watch_children(struct supervisor *s) {
    if (pp_pipe(s->signal_pipe, -1)) {
        /* The caller reads the notice when it finds the supervisor gone. */
        pp_notice_write(s->shared, &(struct pp_notice){.kind = PP_POOL_BROKEN, .code = POOL_EAGAIN});
        pp_child_exit(1);
    }
    signal_pipe_end = s->signal_pipe[1];
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_child;
    action.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &action, NULL);
    sigset_t all_but_child;
    sigfillset(&all_but_child);
    sigdelset(&all_but_child, SIGCHLD);
    sigprocmask(SIG_SETMASK, &all_but_child, NULL);
}

/* The command pipe tells of the caller's end, unless a child of the caller holds its write end. A pidfd always tells;
 * where the system has none, the supervisor looks for its parent now and then. */
static bool caller_has_gone(const struct supervisor *s) {
    if (s->caller_pidfd >= 0 || s->elsewhere) return false; /* poll() tells */
    return getppid() != s->options->caller;
}

/* After unshare(CLONE_NEWPID) the caller's children live in another namespace, where it has no number: it was the
 * caller that opened the pidfd. The numbers of workers then mean nothing, or other processes, to the caller. */
static void watch_caller(struct supervisor *s) {
    s->caller_pidfd = s->options->caller_pidfd;
    s->elsewhere = getppid() == 0;
    atomic_store_explicit(&s->shared->control->elsewhere, s->elsewhere, memory_order_release);
    if (caller_has_gone(s)) pp_child_exit(0);
}

static void ring_for_caller(struct supervisor *s) {
    pp_write(s->options->bell, "", 1); /* a full pipe is readable as well */
}

/* ---- life of a worker */

static noreturn void be_worker(struct supervisor *s, uint32_t number, uint32_t life, pid_t supervisor) {
    /* The supervisor stores it, too, but may be killed before: then the caller must know which process to kill. */
    atomic_store_explicit(&s->shared->control->pids[number], (uint32_t)getpid(), memory_order_release);
    pp_child_begin_worker(supervisor, s->options->keep_oom_score);
    pp_crash_begin_worker(s->shared, number);
    int command_pipe = s->options->command_pipe, lifeline = s->options->lifeline;
    pp_close(&command_pipe);
    pp_close(&lifeline);
    pp_close(&s->signal_pipe[0]);
    pp_close(&s->signal_pipe[1]);
    pp_close(&s->caller_pidfd);
    pp_shared_protect(s->shared);
    pp_worker_run(&(struct pp_worker_setup){.shared = s->shared, .options = &s->options->worker, .number = number,
                                     .life = life, .task_pipe = s->options->task_pipe, .bell = s->options->bell});
}

static bool start_worker(struct supervisor *s, uint32_t number) {
    struct pp_control *control = s->shared->control;
    uint32_t life = pp_life_begin(s->shared, number);
    pid_t self = getpid(), pid = pp_fork();
    if (pid < 0) return false;
    if (pid == 0) be_worker(s, number, life, self);
    setpgid(pid, pid); /* the child does it as well; one of the two is first */
    s->pids[number] = pid;
    s->states[number] = ALIVE;
    s->started[number] = pp_now();
    s->killed[number] = 0;
    s->had_worker = true;
    atomic_store_explicit(&control->pids[number], (uint32_t)pid, memory_order_release);
    return true;
}

static uint32_t count_states(const struct supervisor *s, enum worker_state kind, uint32_t end) {
    uint32_t count = 0;
    for (uint32_t w = 0; w < end; w++) count += s->states[w] == kind;
    return count;
}

/* For pool_stats(): why workers are missing. */
static void tell_shortage(struct supervisor *s, uint64_t now) {
    uint64_t why = 0;
    if (s->fork_failures > 0 && count_states(s, EMPTY, s->wanted) > 0) {
        why = pp_shortage(POOL_EAGAIN, s->fork_error);
    } else {
        for (uint32_t w = 0; w < s->wanted && !why; w++)
            if (s->states[w] == GIVEN_UP || (s->states[w] == EMPTY && now < s->start_again[w]))
                why = pp_shortage(POOL_EDIED, s->last_futile.status);
    }
    atomic_store_explicit(&s->shared->control->shortage, why, memory_order_release);
}

/* Tells the caller if the pool has no worker and will get none, so that the caller does not wait for ever. A shortage
 * of processes passes: then what was submitted waits, unless the pool never had a worker or is being shut down. */
static void tell_if_broken(struct supervisor *s) {
    bool closing = atomic_load_explicit(&s->shared->control->closing, memory_order_acquire) != 0;
    bool may_end = (!s->had_worker || closing) && s->fork_failures > FORK_TRIES;
    bool none_lives = count_states(s, EMPTY, s->wanted) > 0 && count_states(s, ALIVE, s->workers) == 0;
    bool no_process = may_end && none_lives;
    bool none_is_fit = s->wanted > 0 && count_states(s, GIVEN_UP, s->wanted) == s->wanted;
    if (s->broken || (!no_process && !none_is_fit)) return;
    bool unfit = s->options->worker.initializer && !s->last_was_ready;
    int32_t code = no_process ? POOL_EAGAIN : unfit ? POOL_EINIT : POOL_EDIED;
    struct pp_notice notice = s->last_futile;
    notice.kind = PP_POOL_BROKEN;
    notice.code = code;
    if (no_process) notice.status = s->fork_error;
    s->broken = pp_notice_write(s->shared, &notice);
    if (s->broken) ring_for_caller(s);
}

/* The pause after so many failures in a row. */
static uint64_t pause_after(unsigned failures) {
    uint64_t pause = PAUSE_LEAST;
    while (failures-- > 1 && pause < PAUSE_MOST) pause *= 2;
    return pause < PAUSE_MOST ? pause : PAUSE_MOST;
}

static void start_missing(struct supervisor *s) {
    uint64_t now = pp_now();
    for (uint32_t w = 0; w < s->wanted && !s->resetting; w++) {
        if (s->states[w] != EMPTY || now < s->fork_again || now < s->start_again[w]) continue;
        if (start_worker(s, w)) {
            s->fork_failures = 0;
            continue;
        }
        s->fork_error = errno;
        s->fork_again = now + pause_after(++s->fork_failures);
    }
    tell_shortage(s, now);
}

/* When start_missing() must be called again, though nothing has happened. */
static uint64_t next_start(const struct supervisor *s) {
    uint64_t next = UINT64_MAX;
    for (uint32_t w = 0; w < s->wanted && !s->resetting; w++) {
        if (s->states[w] != EMPTY) continue;
        uint64_t at = s->start_again[w] > s->fork_again ? s->start_again[w] : s->fork_again;
        if (at < next) next = at;
    }
    return next;
}

/* ---- the number of workers */

static void tell_resting(struct supervisor *s) {
    atomic_store_explicit(&s->shared->control->resting, count_states(s, RESTING, s->wanted), memory_order_release);
}

/* Lets at most `count` of those that rest be started. */
static void start_resting(struct supervisor *s, uint32_t count) {
    for (uint32_t w = 0; w < s->wanted && count > 0; w++) {
        if (s->states[w] != RESTING) continue;
        s->states[w] = EMPTY;
        count--;
    }
    tell_resting(s);
}

/* After some have come to rest. The caller publishes work, then looks for them: either it sees them or the supervisor
 * sees the work. */
static void start_resting_for_work(struct supervisor *s) {
    tell_resting(s);
    /* Orders the count before the look at the work; pairs with the fence in pp_wake(). */
    atomic_thread_fence(memory_order_seq_cst);
    start_resting(s, pp_backlog_workers(s->shared));
}

/* Workers of this number and higher ones are to end by themselves, and somebody may have stopped them. */
static void let_workers_go_on(const struct supervisor *s, uint32_t first) {
    for (uint32_t w = first; w < s->workers; w++)
        if (s->states[w] == ALIVE) kill(-s->pids[w], SIGCONT);
}

/* The caller has changed the size of the pool. Those that had given up are tried again. */
static void read_size(struct supervisor *s) {
    uint32_t before = s->wanted;
    s->wanted = atomic_load_explicit(&s->shared->control->wanted, memory_order_acquire);
    s->workers = atomic_load_explicit(&s->shared->control->workers, memory_order_acquire);
    s->fork_again = 0;
    for (uint32_t w = 0; w < s->workers; w++) {
        s->init_failures[w] = s->futile_deaths[w] = 0;
        s->start_again[w] = 0;
        if (s->states[w] == GIVEN_UP || (s->states[w] == RESTING && w >= s->wanted)) s->states[w] = EMPTY;
        if (s->states[w] == EMPTY && w >= before && w < s->wanted && s->options->lazy) s->states[w] = RESTING;
    }
    let_workers_go_on(s, s->wanted);
    start_resting_for_work(s);
}

/* ---- death of a worker */

static void kill_worker(void *context, uint32_t worker) {
    struct supervisor *s = context;
    if (s->states[worker] != ALIVE) return;
    kill(-s->pids[worker], SIGKILL);
    /* Also if it does not lead its group yet. A process that may not be killed, since a task has changed its user, is
     * no corpse: it runs on. */
    bool killed = kill(s->pids[worker], SIGKILL) == 0;
    if (killed && s->killed[worker] == 0) s->killed[worker] = pp_now();
}

/* Whether any worker has run anything since the last futile death. */
static bool has_succeeded(struct supervisor *s) {
    uint64_t successes = 0;
    for (uint32_t w = 0; w < s->workers; w++) successes += pp_record_counts(&s->shared->records[w]).tasks;
    bool any = successes != s->successes; /* fewer: a worker that had run some has ended */
    s->successes = successes;
    return any;
}

/* Whether the task that the dead worker tried to claim, or ran, was its own. */
static bool held_task(const struct supervisor *s, const struct pp_notice *notice) {
    uint32_t slot = pp_ticket_slot(notice->left.current);
    if (notice->left.current == 0 || slot >= PP_SLOTS) return false;
    uint64_t state = atomic_load_explicit(&s->shared->outcomes[slot].state, memory_order_acquire);
    return pp_is_held_by(state, notice->worker, notice->life);
}

/* Whether this worker has died for nothing: not by its own will, with nothing in its hands, and soon after its start
 * though it had run nothing. */
static bool is_futile(const struct supervisor *s, uint32_t w, const struct pp_notice *notice) {
    const struct pp_snapshot *left = &notice->left;
    if (!atomic_load_explicit(&s->shared->starts[w].ready, memory_order_relaxed)) return true;
    if (left->retired || pp_record_counts(&s->shared->records[w]).tasks > 0) return false;
    struct pp_chunk chunk = {.begin = left->begin, .end = left->end};
    bool ran_item = left->job != 0 && pp_snapshot_victim(left, &chunk) != PP_NO_VICTIM;
    return !ran_item && !held_task(s, notice) && pp_now() - s->started[w] < LONG_LIFE_NS;
}

/* Of a worker that was not ready: whether its initializer returned a failure, or an exception or pthread_exit() left
 * it. */
static bool initializer_failed(const struct pp_notice *notice) {
    enum pp_last last = notice->last.kind;
    return notice->init_code != 0 || last == PP_LAST_TERMINATE || last == PP_LAST_THREAD_EXIT;
}

/* Whether this worker, which has died, must be started once more; after a pause if it keeps dying for nothing. */
static bool deserves_another(struct supervisor *s, uint32_t w, bool futile, const struct pp_notice *notice) {
    bool ready = atomic_load_explicit(&s->shared->starts[w].ready, memory_order_relaxed) != 0;
    if (ready || s->resetting) s->init_failures[w] = 0;
    if (!futile || s->resetting) {
        s->futile_deaths[w] = 0;
        return true;
    }
    if (has_succeeded(s)) memset(s->futile_deaths, 0, sizeof s->futile_deaths);
    s->last_was_ready = ready;
    s->last_futile = *notice;
    if (!ready && initializer_failed(notice)) s->init_failures[w]++;
    unsigned deaths = ++s->futile_deaths[w];
    if (deaths > FUTILE_AT_ONCE) s->start_again[w] = pp_now() + pause_after(deaths - FUTILE_AT_ONCE);
    return s->init_failures[w] < PP_INIT_TRIES && deaths < FUTILE_TRIES;
}

/* Tells the caller of a death and ends the life: DEAD → EMPTY, RESTING or GIVEN_UP. The state stays DEAD while there is
 * no room for the notice. */
static void finish_reap(struct supervisor *s, uint32_t w) {
    struct pp_notice notice = pp_life_describe(s->shared, w, s->pids[w], s->statuses[w]);
    notice.reset = s->resetting && WIFSIGNALED(s->statuses[w]) && WTERMSIG(s->statuses[w]) == SIGKILL;
    notice.lingers = s->lingers[w];
    bool futile = is_futile(s, w, &notice); /* before the caller can use its slot again */
    if (!pp_life_end(s->shared, w, &notice)) return;
    /* Tasks can write `retired`; a worker that rests without reason would not be asked for. */
    bool rests = notice.left.retired == PP_RETIRED_IDLE && s->options->worker.idle_timeout;
    bool fit = deserves_another(s, w, futile, &notice);
    s->states[w] = w >= s->wanted ? EMPTY : !fit ? GIVEN_UP : rests ? RESTING : EMPTY;
    if (s->states[w] == RESTING) start_resting_for_work(s);
    if (s->states[w] == GIVEN_UP) start_resting(s, 1); /* another in its place */
    /* There is one process less: the system may grant another. */
    s->fork_failures = 0;
    s->fork_again = 0;
    ring_for_caller(s);
}

/* The worker has ended, or will never run again. */
static void note_death(struct supervisor *s, uint32_t w, int status, bool lingers) {
    s->states[w] = DEAD;
    s->statuses[w] = status;
    s->lingers[w] = lingers;
}

/* ---- corpses: see worker_life.h */

/* The place of this process among the corpses; PP_WORKERS: it has none. pid 0: a free place. */
static uint32_t place_of(const struct supervisor *s, pid_t pid) {
    uint32_t place = 0;
    while (place < PP_WORKERS && s->corpses[place] != pid) place++;
    return place;
}

/* When the next worker is a corpse; UINT64_MAX: none was killed, or there is no room for a corpse more. */
static uint64_t next_corpse(const struct supervisor *s) {
    uint64_t next = UINT64_MAX;
    for (uint32_t w = 0; w < s->workers && s->corpse_count < PP_WORKERS; w++)
        if (s->states[w] == ALIVE && s->killed[w] != 0 && s->killed[w] + CORPSE_NS < next)
            next = s->killed[w] + CORPSE_NS;
    return next;
}

/* Workers that were killed and have not ended in time count as dead from now on. */
static void leave_corpses(struct supervisor *s) {
    uint64_t now = pp_now();
    for (uint32_t w = 0; next_corpse(s) <= now; w++) {
        if (s->states[w] != ALIVE || s->killed[w] == 0 || now < s->killed[w] + CORPSE_NS) continue;
        s->corpses[place_of(s, 0)] = s->pids[w];
        s->corpse_count++;
        note_death(s, w, SIGKILL, true); /* the status that such a death has */
        atomic_store_explicit(&s->shared->control->pids[w], 0, memory_order_relaxed);
    }
}

static void tell_of_gone_corpses(struct supervisor *s) {
    for (uint32_t place = 0; place < PP_WORKERS && s->corpse_count > 0; place++) {
        if (s->corpses[place] >= 0) continue;
        if (!pp_notice_write(s->shared, &(struct pp_notice){.kind = PP_CORPSE_GONE})) return;
        s->corpses[place] = 0;
        s->corpse_count--;
        ring_for_caller(s);
    }
}

static void finish_reaped(struct supervisor *s) {
    for (uint32_t w = 0; w < s->workers; w++)
        if (s->states[w] == DEAD) finish_reap(s, w);
    tell_of_gone_corpses(s);
}

/* ---- a reset: see reset.h */

static void begin_reset(struct supervisor *s) {
    s->resetting = true;
    for (uint32_t w = 0; w < s->workers; w++) kill_worker(s, w);
}

static void end_reset(struct supervisor *s) {
    s->resetting = s->all_died = false;
}

static void tell_if_all_died(struct supervisor *s) {
    if (!s->resetting || s->all_died) return;
    if (count_states(s, ALIVE, s->workers) > 0 || count_states(s, DEAD, s->workers) > 0) return;
    s->all_died = pp_notice_write(s->shared, &(struct pp_notice){.kind = PP_ALL_DIED});
    if (s->all_died) ring_for_caller(s);
}

static uint32_t worker_of(const struct supervisor *s, pid_t pid) {
    uint32_t w = 0;
    while (w < s->workers && !(s->states[w] == ALIVE && s->pids[w] == pid)) w++;
    return w;
}

/* A worker has ended, and its group was killed. Its children, if it left any, are now the supervisor's. */
static void note_group(struct supervisor *s, pid_t group) {
    if (kill(-group, 0) == 0) s->groups[s->groups_left++ % GROUPS] = group;
}

/* Exits. Killed children of tasks are waited for: they would become zombies of a program that adopts orphans itself. A
 * process that has left its worker's group, or cannot be killed, is left to itself. */
static noreturn void leave(struct supervisor *s, uint64_t deadline) {
    for (uint32_t i = 0; i < GROUPS; i++)
        if (s->groups[i] != 0) pp_wait_group(s->groups[i], deadline);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
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
        uint32_t corpse = s->corpse_count > 0 ? place_of(s, info.si_pid) : PP_WORKERS;
        bool is_worker = w < s->workers || corpse < PP_WORKERS;
        if (is_worker) kill(-info.si_pid, SIGKILL);
        int status = 0;
        pp_wait_child(info.si_pid, &status);
        if (!is_worker) continue;
        note_group(s, info.si_pid);
        if (corpse < PP_WORKERS) {
            s->corpses[corpse] = -info.si_pid;
            continue;
        }
        note_death(s, w, status, false);
        atomic_store_explicit(&s->shared->control->pids[w], 0, memory_order_relaxed);
    }
}

/* Waits for a worker that was killed, but not for a corpse. SIGCHLD wakes the wait. */
static void await_end(struct supervisor *s, pid_t pid, uint64_t deadline) {
    struct pollfd children = {.fd = s->signal_pipe[0], .events = POLLIN};
    char bytes[256];
    while (!pp_has_ended(pid) && pp_now() < deadline) {
        pp_poll(&children, 1, deadline);
        while (pp_read(s->signal_pipe[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) continue;
    }
    if (pp_has_ended(pid)) pp_wait_child(pid, NULL);
}

static noreturn void end_all(struct supervisor *s) {
    uint64_t deadline = pp_now() + LEAVE_NS;
    for (uint32_t w = 0; w < s->workers; w++) kill_worker(s, w);
    for (uint32_t w = 0; w < s->workers; w++) {
        if (s->states[w] == ALIVE) {
            await_end(s, s->pids[w], deadline);
            note_group(s, s->pids[w]);
        }
        /* Once the supervisor has gone, the caller kills the processes that this table names. */
        atomic_store_explicit(&s->shared->control->pids[w], 0, memory_order_relaxed);
    }
    leave(s, deadline);
}

/* ---- the loop */

static void kill_life(struct supervisor *s, const struct pp_command *command) {
    uint32_t w = command->worker;
    if (w >= s->workers) return;
    if (command->life != atomic_load_explicit(&s->shared->control->lives[w], memory_order_relaxed)) return;
    bool moved = command->value && command->value != pp_record_trace(s->shared, w);
    if (!moved) kill_worker(s, w);
}

static void obey(struct supervisor *s, const struct pp_command *command) {
    switch (command->kind) {
    case PP_KILL: kill_life(s, command); break;
    case PP_RESET: begin_reset(s); break;
    case PP_RESUME: end_reset(s); break;
    case PP_TIMER:
        if (s->shortest == 0 || command->value < s->shortest) s->shortest = command->value;
        s->next_check = 0;
        break;
    case PP_RESIZE: read_size(s); break;
    case PP_START:
        /* The caller takes workers that rest less starts that were asked for and not taken for those that it may still
         * ask for. So the starts count as taken before the workers cease to rest: between the two stores the caller
         * asks for one worker too many. In the other order it would count one start twice, and its task would wait
         * until another is done. Release here and in tell_resting(): pairs with the acquires in
         * pp_ask_for_workers(). */
        atomic_fetch_add_explicit(&s->shared->control->starts_taken, command->value, memory_order_release);
        PP_POINT("starts taken");
        start_resting(s, command->value);
        break;
    case PP_CLOSE: let_workers_go_on(s, 0); break; /* and the loop looks at `closing` again */
    case PP_END: end_all(s);
    default: break; /* PP_ROOM: the loop looks at notices of the dead again */
    }
}

static void take_commands(struct supervisor *s) {
    struct pp_command command;
    int got;
    while ((got = pp_command_receive(s->options->command_pipe, &command)) > 0) obey(s, &command);
    if (got < 0) end_all(s);
}

static void wait_for_events(struct supervisor *s) {
    const uint64_t others[] = {next_start(s), next_corpse(s)};
    uint64_t deadline = s->next_check;
    for (int i = 0; i < 2; i++)
        if (others[i] < deadline) deadline = others[i];
    struct pollfd fds[] = {{.fd = s->options->command_pipe, .events = POLLIN},
                           {.fd = s->signal_pipe[0], .events = POLLIN},
                           {.fd = s->caller_pidfd, .events = POLLIN}};
    uint64_t look = s->caller_pidfd < 0 ? pp_now() + LOOK_NS : UINT64_MAX;
    int found = pp_poll(fds, 3, look < deadline ? look : deadline);
    if (caller_has_gone(s)) end_all(s);
    if (found <= 0) return;
    char bytes[256];
    if (fds[1].revents) while (pp_read(s->signal_pipe[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) continue;
    if (fds[0].revents) take_commands(s);
    if (fds[2].revents) end_all(s);
}

static void supervise(void *supervisor) {
    struct supervisor *s = supervisor;
    for (;;) {
        reap(s);
        leave_corpses(s);
        finish_reaped(s);
        tell_if_all_died(s);
        start_missing(s);
        tell_if_broken(s);
        if (s->wanted == 0 && count_states(s, ALIVE, s->workers) == 0) /* the pool has retired */
            leave(s, pp_now() + LEAVE_NS);
        if (pp_now() >= s->next_check || s->next_check == 0)
            s->next_check = pp_timer_check(s->shared, pp_now(), &s->shortest, kill_worker, s);
        wait_for_events(s);
    }
}

void pp_supervisor_run(struct pp_shared *shared, const struct pp_supervisor_options *options) {
    static struct supervisor s; /* too large for a stack of unknown size */
    memset(&s, 0, sizeof s);
    s.shared = shared;
    s.options = options;
    s.next_check = UINT64_MAX;
    s.workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    s.wanted = s.workers;
    for (uint32_t w = 0; w < s.wanted && options->lazy; w++) s.states[w] = RESTING;
    s.had_worker = options->lazy;
    pp_child_begin();
    pp_crash_begin();
    watch_children(&s);
    watch_caller(&s);
    pp_frame_run(supervise, &s);
}
