/* Workers that are processes, and the supervisor, a process as well, that starts and watches them.
 *
 * The caller forks the supervisor and sends it commands. It notices the supervisor's end by the lifeline: a pidfd where
 * the system has it, else the command socket.
 *
 * Invariant: a process is signalled only while its number is certainly its own: the supervisor while it is an unreaped
 * child, a worker while it leads its group.
 * Called by: pool, through struct pp_backend. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/sys.h"
#include "host/backends.h"
#include "host/supervisor.h"
#include "pool/lock.h"
#include "shared/command.h"
#include "shared/placement.h"

#define LOOK_NS 100000000U /* how often the caller looks for the supervisor where the system has no pidfd */
#define PAUSE_NS 1000000U  /* between two looks whether a child has ended */
#define END_NS 2000000000U /* how long the supervisor may take to end everything before it is killed itself */
#define LEFT_NS 1000000000U /* how long the system may take to end what the caller itself has killed */

/* ---- start */

struct pipes {
    int tasks[2], bell[2], commands[2];
};

static bool open_pipes(struct pipes *p, bool timed) {
    /* A worker that waits until a deadline must not block in the pipe. */
    if (pp_pipe(p->tasks, timed ? -1 : 1)) return false;
    if (pp_pipe(p->bell, -1)) goto no_bell;
    if (pp_socketpair(p->commands)) goto no_commands;
    return true;

no_commands:
    pp_close(&p->bell[0]);
    pp_close(&p->bell[1]);
no_bell:
    pp_close(&p->tasks[0]);
    pp_close(&p->tasks[1]);
    return false;
}

static void close_pipes(struct pipes *p) {
    for (int end = 0; end < 2; end++) {
        pp_close(&p->tasks[end]);
        pp_close(&p->bell[end]);
        pp_close(&p->commands[end]);
    }
}

static noreturn void be_supervisor(struct pool *pool, struct pipes *p, pid_t caller, int caller_pidfd) {
    pp_close(&p->tasks[1]);
    pp_close(&p->bell[0]);
    pp_close(&p->commands[0]);
    struct pp_supervisor_options options = {
        .worker = pp_worker_options_of(pool), .lazy = pool->options.lazy,
        .keep_oom_score = pool->options.keep_oom_score, .caller_pidfd = caller_pidfd,
        .task_pipe = p->tasks[0], .bell = p->bell[1], .command_socket = p->commands[1], .caller = caller};
    pp_supervisor_run(&pool->shared, &options);
}

static void keep_ends(struct pool *pool, struct pipes *p, pid_t supervisor) {
    pool->supervisor = supervisor;
    /* The caller keeps the read end of the task pipe as well: a write must never raise SIGPIPE. */
    pool->fds.task_pipe = p->tasks[1];
    pool->fds.task_pipe_end = p->tasks[0];
    pool->fds.bell = p->bell[0];
    pool->fds.bell_end = p->bell[1];
    pool->fds.command_socket = p->commands[0];
    pp_close(&p->commands[1]);
    pool->fds.lifeline = pp_watch_process(supervisor);
    if (pool->fds.lifeline < 0) pool->fds.lifeline = pool->fds.command_socket;
}

static int start_processes(struct pool *pool) {
    struct pipes p;
    int error = POOL_EAGAIN;
    char **environment = pp_env_make(pp_placement_cpus(&pool->shared) / (int)pool->workers);
    if (!environment) return POOL_ENOMEM;
    if (!open_pipes(&p, pool->options.idle_timeout > 0)) goto no_pipes;
    pid_t caller = getpid();
    int caller_pidfd = pp_watch_process(caller);
    pid_t pid = pp_fork();
    if (pid == 0) {
        pp_env_use(environment);
        be_supervisor(pool, &p, caller, caller_pidfd);
    }
    pp_close(&caller_pidfd);
    if (pid > 0) {
        keep_ends(pool, &p, pid);
        error = 0;
    } else {
        close_pipes(&p);
    }
no_pipes:
    pp_release(environment);
    return error;
}

/* ---- end */

/* Waits until the supervisor has gone, or until the deadline. Needs no lock.
 *
 * The socket tells of the supervisor's end, unless a child that another thread forked while the pool was made holds the
 * other end. A pidfd always tells; where the system has none, the caller looks for its child now and then. */
static bool supervisor_has_gone(const struct pool *pool, uint64_t deadline) {
    struct pollfd lifeline = {.fd = pool->fds.lifeline, .events = POLLIN};
    bool is_certain = pool->fds.lifeline != pool->fds.command_socket;
    for (;;) {
        if (!is_certain && (pool->supervisor == 0 || pp_has_ended(pool->supervisor))) return true;
        uint64_t look = is_certain ? UINT64_MAX : pp_now() + LOOK_NS;
        if (pp_poll(&lifeline, 1, look < deadline ? look : deadline) > 0) return true;
        if (pp_now() >= deadline) return false;
    }
}

static bool is_lost(const struct pool *pool) {
    return supervisor_has_gone(pool, 0);
}

/* They are children of this process if it adopts orphans. */
static void kill_orphans(struct pool *pool) {
    uint64_t deadline = pp_now() + LEFT_NS;
    if (pool->supervisor > 0 && waitpid(pool->supervisor, NULL, WNOHANG) != 0) pool->supervisor = 0;
    bool strange = atomic_load_explicit(&pool->shared.control->elsewhere, memory_order_acquire) != 0;
    for (uint32_t w = 0; w < pool->workers; w++) {
        pid_t pid = (pid_t)atomic_exchange_explicit(&pool->shared.control->pids[w], 0, memory_order_relaxed);
        if (strange || pid <= 0 || getpgid(pid) != pid) continue;
        kill(-pid, SIGKILL);
        pp_wait_group(pid, deadline);
    }
}

/* The supervisor has gone, or is about to, or is killed. One that the system does not end becomes a zombie of the
 * program. */
static void await_supervisor(struct pool *pool, bool gone) {
    if (pool->supervisor <= 0) return;
    if (!gone && !pp_has_ended(pool->supervisor)) kill(pool->supervisor, SIGKILL);
    uint64_t deadline = pp_now() + LEFT_NS;
    if (!gone) supervisor_has_gone(pool, deadline);
    while (!pp_has_ended(pool->supervisor) && pp_now() < deadline) pp_poll(NULL, 0, pp_now() + PAUSE_NS);
    if (pp_has_ended(pool->supervisor)) pp_wait_child(pool->supervisor, NULL);
    pool->supervisor = 0;
}

/* The supervisor kills and reaps the workers, then exits. */
static void end_processes(struct pool *pool) {
    pp_command_send(pool->fds.command_socket, &(struct pp_command){.kind = PP_END});
    await_supervisor(pool, supervisor_has_gone(pool, pp_now() + END_NS));
    kill_orphans(pool);
}

/* ---- the number of workers */

static void resize_processes(struct pool *pool) {
    pp_command_send(pool->fds.command_socket, &(struct pp_command){.kind = PP_RESIZE});
}

/* The supervisor exits when the last worker has gone. */
static int retire_processes(struct pool *pool, uint64_t deadline) {
    pp_step_out(pool);
    bool gone = supervisor_has_gone(pool, deadline);
    pp_step_in(pool);
    return gone ? 0 : POOL_ETIMEDOUT;
}

const struct pp_backend pp_processes = {
    .start = start_processes, .end = end_processes, .resize = resize_processes, .retire = retire_processes,
    .is_lost = is_lost, .kill_orphans = kill_orphans};
