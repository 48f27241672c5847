/* A worker: whatever claims slots and publishes outcomes. It takes tickets and chunks of jobs, runs them, and sleeps.
 *
 * Invariant: what it holds and runs is in its record before it can be claimed by nobody else, and an outcome is in its slot
 * before it is announced; so it may die at any instruction, and caller and supervisor know what it leaves.
 * Called by: supervisor, in the process that is to be the worker. */
#ifndef PP_WORKER_H
#define PP_WORKER_H

#include <stdnoreturn.h>

#include "shared.h"

struct pp_worker_options {
    int (*initializer)(void *arg);
    void *initializer_arg;
    unsigned max_tasks;
    size_t memory_limit, memory_soft_limit;
    void (*finalizer)(void *arg);
    void *finalizer_arg;
    int idle_timeout; /* ms; 0: none */
};

/* task_pipe: read end, on which it sleeps. bell: write end of the caller's. */
noreturn void pp_worker_run(struct pp_shared *shared, const struct pp_worker_options *options, uint32_t number,
                            uint32_t life, int task_pipe, int bell);

#endif
