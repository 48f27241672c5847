/* The outcomes of a job's items so far: which failed and why, which were tried again, and which are left to be run in
 * another round.
 *
 * Invariant: an item that failed counts once. The failures that are kept are those of the lowest items, by index. */
#ifndef PP_JOB_RESULT_H
#define PP_JOB_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parpool.h"

struct pp_range {
    uint64_t first, count;
};

struct pp_ranges {
    struct pp_range *ranges;
    size_t count, room;
};

/* How items are run in another round. A round has one kind, in this order. */
enum pp_again {
    PP_AGAIN_IN_CALLS, /* several in a call of a block function */
    PP_AGAIN_ALONE,
    PP_RETRIES,        /* alone, each by a worker that has run nothing */
    PP_AGAIN_KINDS
};

struct pp_job_result {
    uint64_t count, failed;
    unsigned char *outcomes; /* [count] -POOL_E…; 0: it succeeded, or is not done */
    uint32_t *tries;         /* [count], made when the first victim is tried again */
    unsigned char *losses;   /* [count], made when the first item is lost */
    struct pool_failure lowest;    /* error 0: none failed */
    struct pool_failure *failures; /* of the lowest items that failed, by index */
    size_t failure_count, failure_room, failures_wanted; /* entries; room for entries; at most so many are kept */
    struct pp_ranges left[PP_AGAIN_KINDS]; /* items to be run in another round */
};

/* For the items of that job. Returns false if there is no memory; then nothing is left behind. */
bool pp_job_result_make(struct pp_job_result *result, const struct pool_job *job);
void pp_job_result_free(struct pp_job_result *result);

/* Whether the program wants to know why this item failed. */
bool pp_job_result_wants(const struct pp_job_result *result, uint64_t item);
void pp_job_result_fail(struct pp_job_result *result, uint64_t item, const struct pool_failure *failure);
void pp_job_result_fail_as(struct pp_job_result *result, uint64_t item, int error);

/* Counts a try. Returns whether the item has one more. */
bool pp_job_result_try_again(struct pp_job_result *result, uint64_t item, unsigned retries);

/* Counts that the item was lost before it was started: that takes a death between two instructions, that of a carrier,
 * or scribbling, its own if it happens again and again. Returns whether the item is run all the same, at no retry. */
bool pp_job_result_lose(struct pp_job_result *result, uint64_t item);

/* These items are left for another round; those that were tried are retries. */
void pp_job_result_leave(struct pp_job_result *result, enum pp_again kind, uint64_t first, uint64_t count);
uint64_t pp_job_result_count_left(const struct pp_job_result *result);
/* How many of them the next round may have, and of which kind. Before pp_job_result_take(). */
uint64_t pp_job_result_count_next(struct pp_job_result *result, enum pp_again *kind);
/* Takes the `count` lowest items of that kind, in their order. At least so many are left. */
void pp_job_result_take(struct pp_job_result *result, uint64_t *items, uint64_t count, enum pp_again kind);
/* The items that are left will not be run, for this reason. */
void pp_job_result_fail_left(struct pp_job_result *result, const struct pool_failure *failure);

/* Writes to the job's status, failure, failures and failed. */
void pp_job_result_write(const struct pp_job_result *result, const struct pool_job *job);

#endif
