/* pool_map() and pool_map_async(): from the program's struct pool_job to a job under way; see job.h. And the same for a
 * node, whose job is a part of another host's. */
#ifndef PP_MAP_H
#define PP_MAP_H

#include "pool/pool.h"

struct pp_job_result;

struct pp_map_setup {
    /* Arguments and context lie where workers see them, and stay there until the job has ended. */
    bool inherited;
    const uint64_t *names; /* likewise: what task_index() is in each item; NULL: they are neighbours, from */
    uint64_t first_name;   /* this one on */
    size_t marks_most;     /* so many marks at most, unless it is retries; 0: as many as usual */
    bool fresh; /* its items are retries, each to be run by a worker that has run nothing */
    struct pp_job_result *result_to; /* receives the job's result, which then is to be freed; NULL: it is not kept */
};

/* Under the lock, of a job that was checked: makes it, and a future for it. Returns 0, POOL_ENOMEM, or why the pool
 * refuses. */
int pp_map_begin(struct pool *pool, const struct pool_job *job, const struct pp_map_setup *setup,
                 struct future **future);

#endif
