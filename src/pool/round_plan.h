/* The plan of a round (shared/plan.h), and the memory that the round needs: how many items are claimed at a time, in
 * blocks of how many they are marked, and where workers write marks, failures and codes. Made for job.c.
 *
 * Invariant: the memory is the job's from here to pp_round_free(), which comes once the round is over. */
#ifndef PP_ROUND_PLAN_H
#define PP_ROUND_PLAN_H

#include "pool/job.h"

/* Make the plan of the first round, with all items, or of the next, with the items that are left. Return false if there
 * is no memory; then items of a next round may have been failed with POOL_ENOMEM. */
bool pp_round_make_first(struct pool *pool, struct pp_job *job);
bool pp_round_make_next(struct pool *pool, struct pp_job *job);
void pp_round_free(struct pool *pool, struct pp_job *job);

#endif
