#include "pool/progress.h"

#include "base/sys.h"
#include "base/undo.h"
#include "pool/bell.h"
#include "pool/job.h"
#include "pool/lock.h"

#define NS_PER_MS 1000000U
#define DEFAULT_INTERVAL 100
#define COST_SHARE 20 /* reading the marks takes at most one part in so many of the time */

/* Time between two calls, in ns. */
static uint64_t pause_of(const struct pool_job *job) {
    return (uint64_t)(job->progress_interval ? job->progress_interval : DEFAULT_INTERVAL) * NS_PER_MS;
}

void pp_report_begin(struct pool *pool, struct pp_report *report, struct future *future, const struct pool_job *job) {
    report->future = future;
    report->job = job;
    report->began = pp_now();
    report->due = report->began + pause_of(job);
    pp_list_add_front(&pool->jobs.reports, &report->link);
}

bool pp_in_report(const struct pool *pool) {
    PP_LIST_EACH(r, &pool->jobs.reports, const struct pp_report, link)
        if (r->calling && pthread_equal(r->thread, pthread_self())) return true;
    return false;
}

uint64_t pp_reports_due(const struct pool *pool) {
    uint64_t due = UINT64_MAX;
    PP_LIST_EACH(r, &pool->jobs.reports, const struct pp_report, link)
        if (!r->calling && r->due < due) due = r->due;
    return due;
}

static struct pool_progress progress_of(const struct pp_report *report, uint64_t now) {
    uint64_t done, failed;
    pp_job_count(report->future->job, &done, &failed);
    size_t count = report->job->count;
    /* Only the last call says that all items are done. */
    if (report->ended) done = count;
    else if (done >= count) done = count - 1;
    if (done < report->last_done) done = report->last_done;
    struct pool_progress p = {.done = (size_t)done, .failed = (size_t)(failed < done ? failed : done), .count = count,
                              .last_done = report->last_done, .last_seconds = report->last_seconds};
    p.seconds = (double)(now - report->began) * 1e-9;
    p.rate = p.seconds > 0 ? (double)done / p.seconds : 0;
    p.seconds_left = p.rate > 0 ? (double)(count - done) / p.rate : -1;
    return p;
}

static void finish(struct pool *pool, struct pp_report *report) {
    pp_list_remove(&pool->jobs.reports, &report->link);
    pool->jobs.reports_ended--;
    pp_job_finish(pool, report->future->job);
    pp_wake_waiting(pool);
}

void pp_report_drop(struct pool *pool, struct pp_report *report) {
    report->dropped = true;
    if (report->calling || !pp_link_is_on(&report->link)) return;
    if (report->ended) finish(pool, report);
    else pp_list_remove(&pool->jobs.reports, &report->link);
}

struct calling {
    struct pool *pool;
    struct pp_report *report;
    uint64_t pause; /* ns until the next call */
    bool last;
};

/* The callback has returned, or thrown an exception. */
static void end_call(void *of) {
    const struct calling *calling = of;
    struct pp_report *report = calling->report;
    pp_step_in(calling->pool);
    report->calling = false;
    report->due = pp_now() + calling->pause;
    if (calling->last) finish(calling->pool, report);
    else if (report->dropped) pp_report_drop(calling->pool, report);
}

/* Calls the callback once. */
static void call(struct pool *pool, struct pp_report *report) {
    uint64_t now = pp_now();
    struct pool_progress progress = progress_of(report, now);
    uint64_t pause = pause_of(report->job), least = (pp_now() - now) * COST_SHARE;
    struct calling calling = {pool, report, pause > least ? pause : least, report->ended};
    report->last_done = progress.done;
    report->last_seconds = progress.seconds;
    report->calling = true;
    report->thread = pthread_self();
    PP_GUARD(guard, end_call, &calling);
    pp_step_out(pool); /* the pool's end waits: the report is the job's, whose results are in the pool's memory */
    report->job->progress(&progress, report->job->progress_arg);
    pp_release_guard(&guard);
    end_call(&calling);
}

/* The first report for which something is to be done. */
static struct pp_report *first_due(const struct pool *pool) {
    uint64_t now = pp_now();
    PP_LIST_EACH(r, &pool->jobs.reports, struct pp_report, link)
        if (!r->calling && (r->future->given_up || (!pp_is_undoing() && (r->ended || now >= r->due)))) return r;
    return NULL;
}

void pp_reports_run(struct pool *pool) {
    if (pp_in_report(pool)) return;
    struct pp_report *report;
    while ((report = first_due(pool)) != NULL) {
        if (report->future->given_up) pp_report_drop(pool, report);
        else call(pool, report);
    }
}

void pp_reports_forget(struct pool *pool) {
    struct pp_report *report;
    while ((report = PP_LIST_FIRST(&pool->jobs.reports, struct pp_report, link)) != NULL) finish(pool, report);
}
