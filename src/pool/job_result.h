/* What has come of a job's items so far: which have failed and why, which were tried again, and which are left over and
 * have to be run in another pass.
 *
 * Invariant: an item that failed counts once; what is kept of reasons are those of the lowest items, in their order.
 * Called by: pass, job (fail, leave, take), map (make, tell). */
#ifndef PP_JOB_RESULT_H
#define PP_JOB_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parpool.h"

struct pp_range {
    uint64_t first, count;
};

struct pp_tally {
    uint64_t count, failed;
    unsigned char *outcomes; /* [count] -POOL_E…, 0: success, or not known yet */
    uint32_t *tries;         /* [count], made when the first victim is tried again */
    struct pool_failure lowest; /* error 0: none */
    struct pool_failure *told;  /* failed items, by index */
    size_t told_count, told_room, told_most; /* most: no more are wanted */
    struct pp_range *left;      /* items to be run in another pass */
    size_t left_count, left_room;
};

/* For that job's items. False: no memory; nothing is left behind. */
bool pp_tally_make(struct pp_tally *tally, const struct pool_job *job);
void pp_tally_free(struct pp_tally *tally);

/* Whether the program wants to be told why this one failed. */
bool pp_tally_wants(const struct pp_tally *tally, uint64_t item);
void pp_tally_fail(struct pp_tally *tally, uint64_t item, const struct pool_failure *failure);
void pp_tally_fail_as(struct pp_tally *tally, uint64_t item, int error);

/* Counts a try. Whether there is one more for this item. */
bool pp_tally_try_again(struct pp_tally *tally, uint64_t item, unsigned retries);

/* These items are left over. */
void pp_tally_leave(struct pp_tally *tally, uint64_t first, uint64_t count);
uint64_t pp_tally_count_left(const struct pp_tally *tally);
/* Takes the `count` lowest of them, in their order. There are so many. */
void pp_tally_take(struct pp_tally *tally, uint64_t *items, uint64_t count);
/* All that are left will not be run. */
void pp_tally_fail_left(struct pp_tally *tally, const struct pool_failure *failure);

/* Writes what the job's status, failure, failures and failed are to be. */
void pp_tally_tell(const struct pp_tally *tally, const struct pool_job *job);

#endif
