/* What is kept of a job's reports; see progress.h. It is a part of the job, which ends after its last report. */
#ifndef PP_REPORT_H
#define PP_REPORT_H

#include "pool/pool.h"

struct pp_report {
    struct future *future;
    const struct pool_job *job;
    uint64_t began, due; /* ns */
    size_t last_done;
    double last_seconds;
    bool calling;
    bool dropped;    /* the program wants no further call */
    bool ended;       /* all items are done; the job ends after the last call */
    pthread_t thread; /* the one that calls */
    struct pp_link link;
};

/* All items of the job are done. Returns true if pp_job_finish() will be called after the last report, or false if the
 * program wants none. */
static inline bool pp_report_end(struct pool *pool, struct pp_report *report) {
    if (!pp_link_is_on(&report->link)) return false;
    if (report->future->given_up && !report->calling) {
        pp_list_remove(&pool->jobs.reports, &report->link);
        return false;
    }
    report->ended = true;
    pool->jobs.reports_ended++;
    return true;
}

#endif
