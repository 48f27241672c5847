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

struct pp_job_result {
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
bool pp_job_result_make(struct pp_job_result *tally, const struct pool_job *job);
void pp_job_result_free(struct pp_job_result *tally);

/* Whether the program wants to be told why this one failed. */
bool pp_job_result_wants(const struct pp_job_result *tally, uint64_t item);
void pp_job_result_fail(struct pp_job_result *tally, uint64_t item, const struct pool_failure *failure);
void pp_job_result_fail_as(struct pp_job_result *tally, uint64_t item, int error);

/* Counts a try. Whether there is one more for this item. */
bool pp_job_result_try_again(struct pp_job_result *tally, uint64_t item, unsigned retries);

/* These items are left over. */
void pp_job_result_leave(struct pp_job_result *tally, uint64_t first, uint64_t count);
uint64_t pp_job_result_count_left(const struct pp_job_result *tally);
/* Takes the `count` lowest of them, in their order. There are so many. */
void pp_job_result_take(struct pp_job_result *tally, uint64_t *items, uint64_t count);
/* All that are left will not be run. */
void pp_job_result_fail_left(struct pp_job_result *tally, const struct pool_failure *failure);

/* Writes what the job's status, failure, failures and failed are to be. */
void pp_job_result_write(const struct pp_job_result *tally, const struct pool_job *job);

#endif
