/* A pass of a job: its plan (plan.h) from making to settling.
 *
 * A pass is over when every claim has been made and nobody is in the job (its ticket is in no worker's record); only
 * then is its memory looked at and reused.
 *
 * Invariant: each item's outcome is settled once: by its block's mark in the pass that finished it, or as a victim.
 * Called by: job, map (the first plan). */
#ifndef PP_ROUND_H
#define PP_ROUND_H

#include "pool/job.h"

struct pp_notice;

/* Copies the arguments of the job to where workers can read them. Returns false if there is no memory. */
bool pp_job_copy_in(struct pool *pool, struct pp_job *job);
/* The plan of a pass with all items, or with what is left over of the one before. False: no memory; in a next pass what
 * was to be run may have failed for it. */
bool pp_round_make_first(struct pool *pool, struct pp_job *job);
bool pp_round_make_next(struct pool *pool, struct pp_job *job);
void pp_round_free(struct pool *pool, struct pp_job *job);

/* The ticket of the slot that the job has. */
uint64_t pp_round_ticket(const struct pool *pool, const struct pp_job *job);
/* Publishes the pass. The slot's generation is new, so whoever still thinks of an older pass finds nothing. */
void pp_round_begin(struct pool *pool, struct pp_job *job);
/* Whether it is over; if nothing is left to claim, it is closed to workers that come late. */
bool pp_round_is_over(struct pool *pool, struct pp_job *job);
/* Puts what its marks tell into the tally. */
void pp_round_settle(struct pp_job *job);
/* A worker died, perhaps in this pass. */
void pp_round_died(struct pool *pool, struct pp_job *job, const struct pp_notice *notice);
/* Whether the job's word lets workers in, and nothing is left to claim of a job that was stopped. */
bool pp_round_is_intact(const struct pool *pool, const struct pp_job *job);
/* No worker lives: leaves what was not claimed for the next round, and closes this one, which then is to be settled. */
void pp_round_recall(struct pool *pool, struct pp_job *job);
/* Every item that runs is killed. */
void pp_round_kill(struct pool *pool, struct pp_job *job);
/* What the marks and records tell of it: positions done, and of those, failed. */
void pp_round_count(const struct pool *pool, const struct pp_job *job, uint64_t *done, uint64_t *failed);

#endif
