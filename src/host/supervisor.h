/* The supervisor: a process of one thread between the caller and the workers. It holds the program's memory as it was
 * at pool_create(), forks the workers, replaces those that end, tells the caller of their deaths, enforces time-outs,
 * and ends everything when the caller has gone.
 *
 * Invariant: it trusts nothing that a worker can write, blocks in nothing but its own poll, and runs no code of the
 * program.
 * Called by: pool_create(), in the process that is to be the supervisor. */
#ifndef PP_SUPERVISOR_H
#define PP_SUPERVISOR_H

#include <stdnoreturn.h>

#include "shared/shared.h"
#include "worker/worker.h"

struct pp_supervisor_options {
    struct pp_worker_options worker;
    bool lazy;     /* workers are started when there is work */
    int task_pipe; /* read end, for the workers */
    int bell;      /* write end, for the workers, and for notices */
    int command_socket;   /* its end */
    pid_t caller;
};

noreturn void pp_supervisor_run(struct pp_shared *shared, const struct pp_supervisor_options *options);

#endif
