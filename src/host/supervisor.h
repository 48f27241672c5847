/* The supervisor: a process of one thread between the caller and the workers. It holds the program's memory as it was
 * at pool_create(). It forks the workers, replaces those that end, tells the caller of deaths, enforces time-outs, and
 * ends everything when the caller has gone.
 *
 * Invariant: the supervisor trusts nothing that a worker can write, blocks only in its own poll(), and runs no code of
 * the program. It includes nothing of the caller's layer (tests/layers.sh).
 * Called by: processes, in the process that becomes the supervisor. */
#ifndef PP_SUPERVISOR_H
#define PP_SUPERVISOR_H

#include <stdnoreturn.h>

#include "base/sys.h"
#include "shared/shared.h"

struct pp_carrier_setup;

struct pp_supervisor_setup {
    struct pp_shared *shared;
    const struct pool_options *options;
    struct pp_stack stack; /* for the workers; base NULL: they have none of their own */
    int task_pipe;       /* read end, for the workers */
    int bell;            /* write end, for the workers, and for notices */
    int command_pipe;    /* read end */
    int lifeline;        /* write end of a pipe that tells the caller of the supervisor's end; no worker has it */
    int caller_pidfd;    /* readable once the caller has ended; -1: the system has none */
    const struct pp_carrier_setup *carrier; /* NULL: the pool has none */
    pid_t caller;        /* as the caller knows itself; the supervisor may be in another pid namespace */
};

/* Becomes the supervisor. All signals are blocked. */
noreturn void pp_supervisor_run(const struct pp_supervisor_setup *setup);

#endif
