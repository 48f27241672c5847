/* Reports of how far a job is, to the callback that the program gave.
 *
 * Nothing is counted for reports: they are read from the marks of blocks, when a report is due and some thread is in a
 * call that waits or looks. The lock is released around the callback. A job whose items are all done ends only after
 * its last report. Until then its future is not done, so no thread that waits for it returns before its callback has.
 *
 * Invariant: a report is in pool->jobs.reports from the job's submission to its end, or to the first look after the
 * future was given up. While `calling`, its job is not freed. */
#ifndef PP_PROGRESS_H
#define PP_PROGRESS_H

#include "pool/report.h"

/* job: it has a callback, and stays where it is. */
void pp_report_begin(struct pool *pool, struct pp_report *report, struct future *future, const struct pool_job *job);
/* There are no further calls for this job. */
void pp_report_drop(struct pool *pool, struct pp_report *report);
/* Calls every callback that is due. Unlocks meanwhile. */
void pp_reports_run(struct pool *pool);
/* The items of all jobs are done: ends the jobs without a last report. */
void pp_reports_forget(struct pool *pool);
/* When the next report is due; UINT64_MAX: there is none. */
uint64_t pp_reports_due(const struct pool *pool);
/* Whether this thread is in the callback of a report. */
bool pp_in_report(const struct pool *pool);

#endif
