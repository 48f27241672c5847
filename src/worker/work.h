/* What a worker is made of, and what its tasks (work_tasks.c) and its jobs (work_jobs.c) have in common: how its life
 * goes on and ends, and how the caller learns of it.
 *
 * Invariant: that of worker.h. Only the worker itself reads or writes its struct.
 * Called by: worker, work_tasks, work_jobs. */
#ifndef PP_WORK_H
#define PP_WORK_H

#include "worker/child.h"
#include "base/backoff.h"
#include "base/sys.h"
#include "shared/fetch.h"
#include "shared/pages.h"
#include "shared/plan.h"
#include "worker/task.h"
#include "worker/worker.h"

struct worker {
    struct pp_shared *shared;
    struct pp_record *record;
    struct pp_call *call;
    uint32_t number, life;
    int task_pipe, bell;
    struct pp_file task_pipe_file, bell_file; /* what they led to before the first task */
    jmp_buf *ends;       /* see struct pp_worker_setup */
    const struct pp_worker_options *options;
    struct pp_limit_watch watch;
    uint64_t rung;       /* the caller's wait for which the bell was rung */
    uint64_t announced;  /* entries written to the done ring */
    uint32_t items;      /* generation of the item word */
    bool started_set;
    unsigned batch;      /* tickets to take at a time */
    uint64_t took;       /* ns when it last took some */
    bool took_all;       /* as many as it might have */
    bool has_run;        /* a task, or an item that may be its last */
    bool has_quota;
    uint64_t quota;      /* tasks left before it retires */
    size_t soft_limit;
    uint64_t idle_since; /* ns; 0: it has worked since it last slept */
    struct pp_backoff backoff, moves; /* when it looks around again; when it may go to another CPU by itself */
    struct pp_pages pages;
    struct pp_fetched fetched;
    char *spare;         /* scratch of its own, for jobs that have none for it */
    size_t spare_size;
    uint32_t job_table_next;
    uint64_t pace_job;
    struct pp_pace pace;
    uint64_t used_up[PP_JOB_TABLE]; /* jobs of the board in which nothing was left to claim */
};

/* ---- worker.c */

/* Ends the process, or in a backend without processes the life. */
noreturn void pp_work_die(struct worker *w, int status);
/* Somebody has swapped our state to KILLED or OVERDUE and is about to kill us: nothing may be touched any more. */
noreturn void pp_work_await_kill(struct worker *w);
/* Who cannot be killed does to itself, once the task has returned, what the supervisor would have done. */
void pp_work_check_deadline(struct worker *w, _Atomic uint64_t *state, uint64_t running, int32_t timeout);
/* Writes what a task printed before its process may die. */
void pp_work_flush(const struct worker *w);
/* Ends its life by its own will. why: PP_RETIRED… */
noreturn void pp_work_retire(struct worker *w, uint32_t why);
void pp_work_retire_if_due(struct worker *w);
/* For pool_stats(): so many tasks or items were run. */
void pp_work_count(struct worker *w, uint64_t tasks);
/* The same: the worker was at them from `began` to `now`, and is busy since `since`; 0: it is not. */
void pp_work_count_time(struct worker *w, uint64_t began, uint64_t now, uint64_t since);
/* Whether the caller sleeps for what the ticket stands for, and this worker has not rung for that yet. */
bool pp_work_would_ring(const struct worker *w, uint64_t ticket);
/* Tells the caller that what the ticket stands for is to be looked at. */
void pp_work_announce(struct worker *w, uint64_t ticket);
/* What the task or item that has just failed has said, maybe nothing. */
const char *pp_work_message(struct worker *w);
noreturn void pp_work_end_forked(void);
/* A child that a task has forked, and that returns as the task does, must not go on as the worker that it was made
 * from. */
static inline void pp_work_end_if_forked(const struct worker *w) {
    if (pp_child_forked && !w->ends) pp_work_end_forked();
}

/* ---- work_tasks.c */

/* Takes tickets from the ring, and runs their tasks. False: there was none. */
bool pp_work_on_tickets(struct worker *w);
/* Waits a moment where tasks come so fast that several can be taken together. */
void pp_work_batch_delay(const struct worker *w);
/* Takes what another worker holds and has not begun. */
bool pp_work_steal(struct worker *w);

/* ---- work_jobs.c */

/* Has a turn in the next job of the board in which something may be left. False: there is none. */
bool pp_work_on_jobs(struct worker *w);
/* Whether there is such a job. */
bool pp_work_sees_job(const struct worker *w);

#endif
