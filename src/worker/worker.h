/* A worker: whatever claims slots and publishes outcomes. It takes tickets and chunks of jobs, runs them, and sleeps.
 *
 * Invariant: what it holds and runs is in its record before it can be claimed by nobody else, and an outcome is in its
 * slot before it is announced; so it may die at any instruction, and caller and supervisor know what it leaves. Called
 * by: supervisor, in the process that is to be the worker; threads, in the thread that is to be it; inline, in the
 * program's own thread, task by task. */
#ifndef PP_WORKER_H
#define PP_WORKER_H

#include <setjmp.h>
#include <stdnoreturn.h>

#include "shared/limit.h"
#include "shared/shared.h"

struct pp_worker_options {
    int (*initializer)(void *arg);
    void *initializer_arg;
    unsigned max_tasks;
    size_t memory_limit, memory_soft_limit;
    bool pin;
    struct pp_limit limit;
    void (*finalizer)(void *arg);
    void *finalizer_arg;
    int idle_timeout; /* ms; 0: none */
};

/* Who the worker is, and what it has. */
struct pp_worker_setup {
    struct pp_shared *shared;
    const struct pp_worker_options *options;
    uint32_t number, life;
    int task_pipe; /* read end, on which it sleeps */
    int bell;      /* write end of the caller's */
    /* NULL: a process of its own, which exits where its life ends, and which a supervisor kills. Else nobody can kill
     * it: it observers its own time-outs, stops when control->ending says so, and its life ends by a longjmp() to here,
     * never from within a task. What it leaves is what a death at that point leaves. */
    jmp_buf *ends;
};

noreturn void pp_worker_run(const struct pp_worker_setup *setup);

/* The same step by step, for whoever has something else to do between tasks. NULL: no memory. Freed by pp_release(). */
struct worker *pp_worker_new(void);
void pp_worker_begin(struct worker *worker, const struct pp_worker_setup *setup);
/* Before the first step, and again when another thread or another task's call has used this thread meanwhile. */
void pp_worker_enter(struct worker *worker);
void pp_worker_initialize(struct worker *worker);
/* Runs what is there to be run next. False: nothing is. */
bool pp_worker_step(struct worker *worker);
/* Ends its life by its own will, as if it had had all its tasks; never returns. */
bool pp_worker_retire(struct worker *worker);

#endif
