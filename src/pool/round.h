/* A round of a job, from its beginning to its settling; its plan is made before: round_plan.h.
 *
 * A round is over when everything has been claimed and no worker is in the job: the job's ticket is in no worker's
 * record. Only then does the caller read and reuse the memory of the plan.
 *
 * Invariant: each item is settled once, by its block's mark in the round that finished it, or as the victim of a
 * death. */
#ifndef PP_ROUND_H
#define PP_ROUND_H

#include "pool/job.h"

struct pp_notice;

/* The ticket of the slot that the job has. */
uint64_t pp_round_ticket(const struct pool *pool, const struct pp_job *job);
/* Publishes the round. The generation of the slot is new, so a worker that still has the ticket of an older round finds
 * nothing. */
void pp_round_begin(struct pool *pool, struct pp_job *job);
/* Returns whether the round is over. If nothing is left to claim, closes it to workers that come late. */
bool pp_round_is_over(struct pool *pool, struct pp_job *job);
/* Puts the outcomes that the marks tell into the job's result. */
void pp_round_settle(struct pp_job *job);
/* A worker has died, perhaps in this round. */
void pp_round_died(struct pool *pool, struct pp_job *job, const struct pp_notice *notice);
/* Whether the job's word lets workers in, and nothing is left to claim of a job that was stopped. */
bool pp_round_is_intact(const struct pool *pool, const struct pp_job *job);
/* No worker lives: leaves what was not claimed for the next round, and closes this one, which then is to be settled. */
void pp_round_recall(struct pool *pool, struct pp_job *job);
/* Kills every item that runs, and every worker that runs its finalizer with a rest of the job in its hands. */
void pp_round_kill(struct pool *pool, struct pp_job *job);
/* Counts the positions that are done by the marks and records, and how many of them have failed. */
void pp_round_count(const struct pool *pool, const struct pp_job *job, uint64_t *done, uint64_t *failed);

#endif
