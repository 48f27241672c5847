/* A worker as its own files see it: worker.c (its life), work_tasks.c and work_jobs.c (what it runs), bequest.c and
 * relief.c (what it leaves to others, and takes over from them), work.c (what all of them call).
 *
 * The claimer (claim.h) does what other processes can see. The rest of the struct is the worker's own: what it runs
 * with, and when.
 *
 * Invariant: that of worker.h. Only the worker itself reads or writes its struct. */
#ifndef PP_WORK_H
#define PP_WORK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "base/backoff.h"
#include "base/sys.h"
#include "shared/limit.h"
#include "shared/plan.h"
#include "shared/shared.h"
#include "worker/capture.h"
#include "worker/child.h"
#include "worker/claim.h"
#include "worker/leavings.h"
#include "worker/task.h"
#include "worker/worker.h"

/* What the worker sleeps on and rings. The files are what the descriptors led to before the first task. */
struct pp_worker_pipes {
    int task_pipe, bell;
    struct pp_file task_pipe_file, bell_file;
};

/* What the worker may still do before it ends or waits. */
struct pp_worker_bounds {
    bool has_quota;
    uint64_t quota;    /* tasks left before it retires */
    size_t soft_limit; /* bytes of memory with which it retires; 0: none */
    bool has_run;      /* a task or item: its memory may be spoilt */
    uint64_t inherited; /* what it runs first; 0: nothing */
    bool bequeaths;     /* it ends, and leaves a ticket to its successor */
    bool has_failed;    /* it ends, since a task or item has */
    struct pp_limit_watch watch;
};

/* How it takes tickets. */
struct pp_worker_batch {
    unsigned size; /* tickets to take at a time */
    uint64_t took; /* ns when it last took some */
    bool took_all; /* as many as it might have */
    pool_fn *ran;  /* function of the last task that it has run */
};

/* How it waits for work. */
struct pp_worker_idle {
    uint64_t since;           /* ns; 0: it has worked since it last slept */
    struct pp_backoff looks;  /* when it may look around again before it sleeps */
    struct pp_backoff moves;  /* when it may move to another CPU again */
};

/* Its view of the job table. */
struct pp_worker_jobs {
    const struct pp_job_plan *plan; /* of the job that it is in; NULL: none */
    uint32_t next;                  /* the entry to look at next */
    uint64_t used_up[PP_JOB_TABLE]; /* ticket in each entry of which nothing was left to claim */
    uint64_t paced;                 /* ticket of the job that the pace is of */
    struct pp_pace pace;
    uint64_t call;     /* the first position of the call of a block function */
    bool relieves;     /* it takes over what `relieved` has not begun, instead of claiming */
    uint32_t relieved;
};

#define PP_RELIEF_SEEN 8

/* What it has seen of workers whose items may be slow; see relief.c. */
struct pp_worker_relief {
    struct pp_relief_seen {
        uint64_t number, at; /* of the position where the worker was, and when (ns); 0: nothing was seen */
        uint32_t worker;
        bool again; /* it was seen at the present look */
    } seen[PP_RELIEF_SEEN];
    uint64_t pause; /* ns until the next look; 0: there is nothing to expect, or the worker has just worked */
};

/* When it last looked at its thread's CPU time, and what that was, ns. */
struct pp_worker_cpu {
    uint64_t at, used;
};

/* Memory of its own, for jobs that have no part of their scratch for it, and for tasks with generous room. */
struct pp_worker_scratch {
    char *base;
    size_t size;
    bool short_results; /* the last result in generous room was short */
};

struct worker {
    struct pp_claimer claimer;
    struct pp_call *call;
    const struct pool_options *options;
    jmp_buf *ends; /* this and the next: see struct pp_worker_setup */
    bool follows_corpse;
    struct pp_worker_pipes pipes;
    struct pp_worker_bounds bounds;
    struct pp_worker_batch batch;
    struct pp_worker_idle idle;
    struct pp_worker_jobs jobs;
    struct pp_worker_relief relief;
    struct pp_child_output output;
    const struct pp_sandbox_open *open;
    struct pp_captured *captured; /* NULL: what tasks print is not caught */
    const struct pp_trace *trace; /* NULL: there is none */
    struct pp_worker_cpu cpu;
    struct pp_worker_scratch scratch;
    struct pp_leavings leavings;
    uintptr_t base; /* see pp_crash_watch() */
};

/* Whether the machine leaves room for what the worker would start now; see limit.h. */
static inline bool pp_work_may_start(struct worker *w) {
    if (!pp_limit_is_set(w->options)) return true;
    struct pp_shared *shared = w->claimer.shared;
    bool over = w->ends ? pp_limit_is_exceeded(w->options, &w->bounds.watch)
                        : atomic_load_explicit(&shared->control->over_limit, memory_order_relaxed) != 0;
    return !over || pp_limit_lets_go_on(shared, w->claimer.number);
}

/* ---- work.c */

/* Ends the process, or in a backend without processes the life. */
noreturn void pp_work_die(struct worker *w, int status);
/* The caller or the supervisor has swapped the state word of what this worker runs, and is about to kill the worker:
 * it must touch nothing more. */
noreturn void pp_work_await_kill(struct worker *w);
/* A worker that cannot be killed notes when a task or item starts that may use so many ms of CPU time, and checks its
 * limits in ms once it has returned, as the supervisor would have done. word: its state word; running: what that says.
 *
 * CPU time is looked at by a system call, so not for each of many short items: one that takes less time than it may use
 * of CPU time has not used it up, and if the last look was before its start, all that was used between the two is at
 * most the time between them. */
void pp_work_note_start(struct worker *w, uint64_t now, int32_t cpu_timeout);
void pp_work_check_limits(const struct worker *w, _Atomic uint64_t *word, uint64_t running,
                          struct pp_limits limits);
/* Passes on what the task or item has printed, if that is caught. */
void pp_work_pass_on(struct worker *w);
/* Writes the output of a task before its process may die. */
static inline void pp_work_flush(struct worker *w) {
    if (w->ends) return;
    pp_child_flush();
    if (w->captured && pp_captured_any(w->captured)) pp_work_pass_on(w);
}
/* Ends its life by itself. why: PP_RETIRED… */
noreturn void pp_work_retire(struct worker *w, uint32_t why);
void pp_work_retire_if_due(struct worker *w);
bool pp_work_must_retire(const struct worker *w);
/* Retires if the descriptor does not lead to this file any more. */
void pp_work_retire_if_lost(struct worker *w, int pipe, struct pp_file file);
/* Rings the caller's bell. A worker that cannot retires, which rings the bell, too. */
void pp_work_ring(struct worker *w);
/* For pool_stats(): so many tasks or items were run. */
void pp_work_count(struct worker *w, uint64_t tasks);
/* For the trace, if there is one: it ran so many items of the job that it is in, since the clock was last looked at; so
 * many tasks since it took them. */
void pp_work_trace_items(const struct worker *w, uint64_t now, uint64_t items);
void pp_work_trace_tasks(const struct worker *w, uint64_t began, uint64_t now, uint64_t tasks);
/* The message that the task or item that has just failed has left, or "". */
const char *pp_work_message(struct worker *w);
noreturn void pp_work_end_forked(void);
/* A child that a task has forked, and that returns as the task does, must not go on as the worker that it was made
 * from. */
static inline void pp_work_end_if_forked(const struct worker *w) {
    if (pp_child_forked && !w->ends) pp_work_end_forked();
}

/* The worker's own scratch memory, of undefined content; NULL: there is no memory. */
char *pp_work_scratch(struct worker *w, size_t size);

/* A task or item has failed. */
static inline void pp_work_note_failure(struct worker *w) {
    w->bounds.has_failed = w->options->fresh_after_failure;
}

/* ---- bequest.c */

/* Whether a worker that has run nothing yet must run the task, and this one is none. Then its successor is to run it,
 * if it has not started. */
bool pp_work_passes_on_task(struct worker *w, uint64_t ticket);
/* The same for a job that the worker is in. */
bool pp_work_passes_on_job(struct worker *w, uint64_t ticket, const struct pp_job_plan *plan);

/* ---- work_tasks.c */

/* Runs the task of this ticket, if that has not started. */
void pp_work_on_ticket(struct worker *w, uint64_t ticket);

/* Takes tickets from the ring and runs their tasks. Returns false if there were none. */
bool pp_work_on_tickets(struct worker *w);
/* Waits a moment where tasks come so fast that several can be taken together. */
void pp_work_batch_delay(const struct worker *w);
/* Runs a task whose ticket another worker has taken and not started. Returns false if there is none. */
bool pp_work_steal(struct worker *w);

/* ---- work_jobs.c */

/* Has a turn in the job of this ticket, if that is in the table. */
void pp_work_on_job(struct worker *w, uint64_t ticket);
/* Has a turn in the next job of the table in which something may be left. Returns false if there is none. */
bool pp_work_on_jobs(struct worker *w);
/* Whether there is such a job. */
bool pp_work_sees_job(const struct worker *w);
/* Takes over and runs what another worker has claimed of this job and not begun. Returns false if there was nothing. */
bool pp_work_take_over(struct worker *w, uint32_t from, uint64_t ticket);

/* ---- relief.c */

/* Finds a worker that is slow and has something left of this job. Returns false if there is none. */
bool pp_work_find_slow(struct worker *w, uint32_t *from, uint64_t *job);
/* For a worker that is about to sleep, after it has announced that: when it must look again whether another is slow
 * (ns); UINT64_MAX: not until it is woken. */
uint64_t pp_work_relief_due(struct worker *w, uint64_t now);

#endif
