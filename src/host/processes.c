/* Workers that are processes, and the supervisor, a process as well, that starts and watches them.
 *
 * The caller forks the supervisor and sends it commands. It notices the supervisor's end by the lifeline: a pidfd where
 * the system has it, else the end of a pipe.
 *
 * Invariant: a process is signalled only while its number is certainly its own: the supervisor while it is an unreaped
 * child, a worker while it leads its group.
 * Called by: the caller's layer, through struct pp_backend. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/sys.h"
#include "host/backends.h"
#include "host/supervisor.h"
#include "pool/lock.h"
#include "pool/tell.h"
#include "shared/carried.h"
#include "shared/park.h"
#include "shared/placement.h"

#define LOOK_NS 100000000U /* how often the caller looks for the supervisor where the system has no pidfd */
#define PAUSE_NS 1000000U  /* between two looks whether a child has ended */
#define END_NS 2000000000U /* how long the supervisor may take to end everything before it is killed itself */
#define LEFT_NS 1000000000U /* how long the system may take to end what the caller itself has killed */

/* ---- start */

/* The last tells the caller of the supervisor's end where the system has no pidfd. */
enum { TASKS, BELL, COMMANDS, LIFE, PIPES };

static void close_pipes(int pipes[PIPES][2]) {
    for (int i = 0; i < 2 * PIPES; i++) pp_close(&pipes[i / 2][i % 2]);
}

static bool open_pipes(int pipes[PIPES][2]) {
    for (int i = 0; i < PIPES; i++) pipes[i][0] = pipes[i][1] = -1;
    for (int i = 0; i < PIPES; i++) {
        if (pp_pipe(pipes[i]) == 0) continue; /* workers, too, wait in the pipe until a deadline */
        close_pipes(pipes);
        return false;
    }
    return true;
}

static noreturn void be_supervisor(struct pool *pool, const struct pp_stack *stack, int p[PIPES][2], pid_t caller,
                                   int caller_pidfd) {
    pp_close(&p[TASKS][1]);
    pp_close(&p[BELL][0]);
    pp_close(&p[COMMANDS][1]);
    pp_close(&p[LIFE][0]);
    pp_supervisor_run(&(struct pp_supervisor_setup){
        .shared = &pool->shared, .options = &pool->options, .stack = *stack, .task_pipe = p[TASKS][0],
        .bell = p[BELL][1], .command_pipe = p[COMMANDS][0], .lifeline = p[LIFE][1], .caller_pidfd = caller_pidfd,
        .caller = caller, .carrier = pool->carrier});
}

static void keep_ends(struct pool *pool, int p[PIPES][2], pid_t supervisor) {
    pool->supervisor = supervisor;
    /* The caller keeps read ends as well: a write must never raise SIGPIPE. */
    pool->fds.task_pipe = p[TASKS][1];
    pool->fds.task_pipe_end = p[TASKS][0];
    pool->fds.bell = p[BELL][0];
    pool->fds.bell_end = p[BELL][1];
    pool->fds.command_pipe = p[COMMANDS][1];
    pool->fds.command_pipe_end = p[COMMANDS][0];
    pp_close(&p[LIFE][1]);
    pool->fds.lifeline = pp_watch_process(supervisor);
    pool->fds.lifeline_is_pipe = pool->fds.lifeline < 0;
    if (pool->fds.lifeline_is_pipe) pool->fds.lifeline = p[LIFE][0];
    else pp_close(&p[LIFE][0]);
}

static int start_processes(struct pool *pool) {
    int p[PIPES][2];
    int error = POOL_EAGAIN;
    uint32_t workers = pool->workers - pp_carriers(&pool->shared);
    char **environment = pp_env_make(pp_placement_cpus(&pool->shared) / (int)workers);
    if (!environment) return POOL_ENOMEM;
    struct pp_stack stack = {.base = NULL};
    /* Mapped here, so that a size for which there is no memory is told at once. */
    if (pool->options.stack_size > 0 && !pp_stack_map(&stack, pool->options.stack_size)) {
        error = POOL_ENOMEM;
        goto no_stack;
    }
    if (!open_pipes(p)) goto no_pipes;
    pid_t caller = getpid();
    int caller_pidfd = pp_watch_process(caller);
    pid_t pid = pp_fork();
    if (pid == 0) {
        pp_env_use(environment);
        be_supervisor(pool, &stack, p, caller, caller_pidfd);
    }
    pp_close(&caller_pidfd);
    pp_close(&pool->shared.reader);
    if (pid > 0) {
        keep_ends(pool, p, pid);
        error = 0;
    } else {
        close_pipes(p);
    }
no_pipes:
    pp_stack_unmap(&stack);
no_stack:
    pp_release(environment);
    return error;
}

/* ---- end */

/* Waits until the supervisor has gone, or until the deadline. Needs no lock.
 *
 * A pipe tells of the supervisor's end, unless a child that another thread forked while the pool was made holds the
 * other end. A pidfd always tells; where the system has none, the caller looks for its child now and then. */
static bool supervisor_has_gone(const struct pool *pool, uint64_t deadline) {
    struct pollfd lifeline = {.fd = pool->fds.lifeline, .events = POLLIN};
    bool is_certain = !pool->fds.lifeline_is_pipe;
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

/* SIGCONT does nothing to a process that runs. The program may have waited for the supervisor: then the number is no
 * child's. */
static void let_go_on(const struct pool *pool) {
    if (pool->supervisor > 0 && !pp_has_ended(pool->supervisor)) kill(pool->supervisor, SIGCONT);
}

/* They are children of this process if it adopts orphans. */
static void kill_orphans(struct pool *pool) {
    uint64_t deadline = pp_now() + LEFT_NS;
    if (pool->supervisor > 0 && waitpid(pool->supervisor, NULL, WNOHANG) != 0) pool->supervisor = 0;
    bool strange = atomic_load_explicit(&pool->shared.control->elsewhere, memory_order_acquire) != 0;
    for (uint32_t w = 0; w < pool->workers; w++) {
        pid_t pid = (pid_t)atomic_exchange_explicit(&pool->shared.control->pids[w], 0, memory_order_relaxed);
        if (strange || pid <= 0 || getpgid(pid) != pid) continue;
        kill(pool->options.keep_children ? pid : -pid, SIGKILL);
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
    pp_tell(pool, (struct pp_command){.kind = PP_END});
    let_go_on(pool);
    await_supervisor(pool, supervisor_has_gone(pool, pp_now() + END_NS));
    kill_orphans(pool);
}

/* ---- the number of workers */

static void resize_processes(struct pool *pool) {
    pp_tell(pool, (struct pp_command){.kind = PP_RESIZE});
}

/* The supervisor exits when the last worker has gone. What has to reach it or the workers for that is sent again at
 * each look, should the system have refused it. */
static int retire_processes(struct pool *pool, uint64_t deadline) {
    bool gone = false;
    for (uint64_t now = 0; !gone && now < deadline; now = pp_now()) {
        uint64_t look = pp_now() + LOOK_NS;
        pp_tell_again(pool);
        pp_wake_all(&pool->shared, pool->fds.task_pipe);
        let_go_on(pool);
        pp_step_out(pool);
        gone = supervisor_has_gone(pool, look < deadline ? look : deadline);
        pp_step_in(pool);
    }
    return gone || is_lost(pool) ? 0 : POOL_ETIMEDOUT;
}

const struct pp_backend pp_processes = {
    .start = start_processes, .end = end_processes, .resize = resize_processes, .retire = retire_processes,
    .is_lost = is_lost, .go_on = let_go_on, .kill_orphans = kill_orphans};
