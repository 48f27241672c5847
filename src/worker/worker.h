/* A worker: it claims tickets and chunks of jobs, runs them, and sleeps while there are none. How it claims is in
 * claim.h.
 *
 * Invariant: a worker writes what it is about to claim into its record before the claim can succeed, and an outcome
 * into its slot before it announces it. So it may die at any instruction, and caller and supervisor know what it
 * leaves.
 * Called by: birth, in the process that becomes the worker; threads, in the thread that becomes it; inline, in the
 * program's own thread, step by step. */
#ifndef PP_WORKER_H
#define PP_WORKER_H

#include <setjmp.h>
#include <stdnoreturn.h>

#include "shared/shared.h"

struct pp_captured;

/* What a worker is started with. */
struct pp_worker_setup {
    struct pp_shared *shared;
    const struct pool_options *options;
    uint32_t number, life;
    int task_pipe; /* read end, on which it sleeps */
    int bell;      /* write end of the caller's */
    bool follows_corpse; /* a worker of this number is, or was, a corpse: see worker_life.h */
    const struct pp_sandbox_open *open; /* of a worker in a sandbox */
    struct pp_captured *captured; /* where what it prints goes; NULL: where the program's output goes */
    /* NULL: the worker is a process. Its supervisor kills it, and it exits when its life ends. Else nothing can kill
     * it: it checks its own time-outs and ends when control->ending says so. Its life ends by a longjmp() to here,
     * never from within a task; what it leaves in shared memory is what a death at that point would leave. */
    jmp_buf *ends;
};

noreturn void pp_worker_run(const struct pp_worker_setup *setup);

/* The same step by step, for a thread that has something else to do between steps. */

/* Returns NULL if there is no memory. Freed by pp_release(). */
struct worker *pp_worker_new(void);
void pp_worker_begin(struct worker *worker, const struct pp_worker_setup *setup);
/* Before the first step, and again if another thread, or another task's call in this thread, has run a step
 * meanwhile. */
void pp_worker_enter(struct worker *worker);
void pp_worker_initialize(struct worker *worker);
/* Runs the next tickets, or has a turn in a job. Returns false if there is no work. */
bool pp_worker_step(struct worker *worker);
/* Ends the worker's life as if it had run all the tasks that it may run. Never returns. */
bool pp_worker_retire(struct worker *worker);

#endif
