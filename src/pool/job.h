/* A job in the caller: struct pp_job, from its entry in the job table to its end.
 *
 * A job runs in rounds (round.h). The first has all items. A worker that dies leaves some over: its victim, if that may
 * be tried again, and the items that it had claimed and not started. They are the items of the next round. What came of
 * each item is kept in the job's result (job_result.h).
 *
 * Invariant: a job that is not done is on one of the lists of struct pp_jobs: `active`, with an entry of the job table
 * and a slot, or `waiting`, for want of them; or all its items are done and its last report (progress.h) is due. */
#ifndef PP_JOB_H
#define PP_JOB_H

#include "pool/job_result.h"
#include "pool/pool.h"
#include "pool/report.h"

/* What looks have seen of the job; see stall.h. */
struct pp_stall {
    uint64_t stopped; /* ns, when it was first seen to be killed; 0: it was not */
    uint64_t since;   /* ns, since when the rest is so */
    uint64_t ticket;  /* of the round */
    uint64_t most;    /* positions that were done at a look */
    unsigned deaths;
    uint64_t *cpu;    /* [PP_WORKERS] what each worker in it had used then; NULL: not known, or not limited */
};

struct pp_job {
    struct future *future;
    struct pool_job job;
    uint32_t entry;                     /* of the job table */
    char *in, *out, *scratch, *context; /* copies; NULL if there is none */
    size_t *sizes;                      /* as in its plan; NULL: not wanted */
    const uint64_t *names;              /* as in its plan; the maker's */
    uint64_t first_name;                /* likewise */
    uint64_t marks_most;                /* as in struct pp_map_setup */
    uint32_t scratch_parts;             /* number of workers when the job was made */
    uint64_t call_most;                 /* items of a call of its block function, for which a part has room */
    struct pp_job_result result;
    struct pp_job_result *result_to;    /* receives the result at the end; NULL: it is not kept */
    struct pp_report report;
    bool fresh;          /* all of its items are retries already */
    bool stopped;        /* items that have not started are cancelled */
    bool met_corpse;     /* a worker in it has become one: corpse.h */
    struct pp_link link; /* of `active` or `waiting` */

    /* Of the present round: round_plan.c. */
    struct pp_job_plan *plan;
    uint64_t *index; /* the item at each position; NULL if the position is the item */
    char *work;      /* cursors, marks, errors, codes, failed */
    unsigned deaths;
    struct pp_stall stall;
};

struct pp_notice;

/* Gives the job an entry of the job table, or lets it wait for one. Its first plan has been made. */
void pp_job_begin(struct pool *pool, struct pp_job *job);
/* Ends the job, once its last report has been made. */
void pp_job_finish(struct pool *pool, struct pp_job *job);
void pp_job_free(struct pool *pool, struct pp_job *job);

/* Ends the job's round, if that is over. */
void pp_job_look(struct pool *pool, struct pp_job *job);
/* The same for all jobs, and begins those that wait. */
void pp_jobs_look(struct pool *pool);
/* Whether the words of all jobs agree with what the caller has made of them. */
bool pp_jobs_are_intact(const struct pool *pool);
/* No worker lives, and no word of theirs is to be relied on: ends the round of each job. With give_up none has a next
 * round, and what is left ends as POOL_ECORRUPT. */
void pp_jobs_recover(struct pool *pool, bool give_up);
/* A worker has died, perhaps in a job. */
void pp_job_died(struct pool *pool, const struct pp_notice *notice);

bool pp_job_running(const struct pool *pool, const struct pp_job *job);
/* Returns 0, or POOL_EBUSY if the job has started. */
int pp_job_cancel(struct pool *pool, struct pp_job *job);
/* Cancels the items that have not started and, with `kill`, kills those that run. */
void pp_job_stop(struct pool *pool, struct pp_job *job, bool kill);
void pp_jobs_stop(struct pool *pool, bool kill);
/* Kills the items that run. Those that have not started go on, unless their job was stopped. */
void pp_jobs_kill(struct pool *pool);
/* Ends the job: nothing of it will be run any more, for this reason. */
void pp_job_abort(struct pool *pool, struct pp_job *job, const struct pool_failure *why);

/* Counts the items that have their outcome, and how many of them have failed. */
void pp_job_count(const struct pp_job *job, uint64_t *done, uint64_t *failed);
/* The same for all jobs that are not done. */
void pp_jobs_count(const struct pool *pool, uint64_t *items, uint64_t *done, uint64_t *failed);

#endif
