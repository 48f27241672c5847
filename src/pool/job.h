/* A job in the caller: struct pp_job, and what happens to it from the board to its end.
 *
 * A job runs in passes (pass.h). The first has all items; a worker that dies leaves some over: its victim, where that
 * is to be tried again, and what it had claimed and not begun. They are the items of the next pass. What came of each
 * is kept in a tally (tally.h).
 *
 * Invariant: a job that is not done is on one of the pool's lists: `jobs`, with a place on the board and a slot, or
 * `waiting_jobs`, for want of them; or all its items are done and its last report (progress.h) is not.
 * Called by: map (begin), collect (look, died, abort), future and pool (cancel, stop), progress, stats, size. */
#ifndef PP_JOB_H
#define PP_JOB_H

#include "pool/job_result.h"
#include "pool/pool.h"
#include "pool/progress.h"

struct pp_job {
    struct future *future;
    struct pool_job job;
    uint32_t place;                     /* on the board */
    char *in, *out, *scratch, *context; /* copies; NULL: none */
    pid_t in_process;                   /* as in struct pp_job_plan, where there is no copy */
    uint32_t scratch_parts;             /* workers there were when it was made */
    struct pp_job_result result;
    struct pp_report report;
    bool stopped;                /* what has not begun is cancelled */
    struct pp_link link; /* on the list of the pool that it is on */

    /* This pass: pass.c. */
    struct pp_job_plan *plan;
    uint64_t *index; /* the item at each position; NULL: the position is the item */
    char *work;      /* cursors, marks, flaws, codes */
    unsigned deaths;
};

struct pp_notice;

/* Puts it on the board, or in line for a place there. It has a first pass. */
void pp_job_begin(struct pool *pool, struct pp_job *job);
/* What was put off until its last report. */
void pp_job_finish(struct pool *pool, struct pp_job *job);
void pp_job_free(struct pool *pool, struct pp_job *job);

/* Ends the job's pass, if that is over. */
void pp_job_look(struct pool *pool, struct pp_job *job);
/* The same for all, and starts those that wait. */
void pp_jobs_look(struct pool *pool);
/* Whether the words of all jobs agree with what the caller has made of them. */
bool pp_jobs_are_intact(const struct pool *pool);
/* No worker lives, and no word of theirs is to be relied on: ends the round of each job. With give_up none has a next
 * round, and what is left ends as POOL_ECORRUPT. */
void pp_jobs_recover(struct pool *pool, bool give_up);
/* A worker died that may have been in a job. */
void pp_job_died(struct pool *pool, const struct pp_notice *notice);

bool pp_job_running(const struct pool *pool, const struct pp_job *job);
/* 0 or POOL_EBUSY: it has begun. */
int pp_job_cancel(struct pool *pool, struct pp_job *job);
/* What has not begun is cancelled, and with `kill` what runs is killed. */
void pp_job_stop(struct pool *pool, struct pp_job *job, bool kill);
void pp_jobs_stop(struct pool *pool, bool kill);
/* What runs is killed, and only that: what was not begun goes on, unless its job was stopped. */
void pp_jobs_kill(struct pool *pool);
/* Nothing of it will be run any more, and this is why. */
void pp_job_abort(struct pool *pool, struct pp_job *job, const struct pool_failure *why);

/* Items that have their outcome, and of those, what failed. */
void pp_job_count(const struct pp_job *job, uint64_t *done, uint64_t *failed);
/* The same for all jobs that are not done. */
void pp_jobs_count(const struct pool *pool, uint64_t *items, uint64_t *done, uint64_t *failed);

#endif
