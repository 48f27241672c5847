/* What the supervisor adds to a trace: deaths, with what the victim was at, kills, and every 10 ms how much work waits
 * and how many workers are busy, if that has changed.
 *
 * Called by: supervisor, workers. */
#ifndef PP_TRACER_H
#define PP_TRACER_H

#include "shared/activity.h"
#include "shared/trace.h"

struct pp_tracer {
    const struct pp_shared *shared;
    uint64_t next;          /* ns; when to count again; UINT64_MAX: there is no trace */
    uint32_t waiting, busy; /* what was counted last */
};

void pp_tracer_begin(struct pp_tracer *tracer, const struct pp_shared *shared);
/* Counts, if it is time. */
void pp_tracer_count(struct pp_tracer *tracer);
/* A worker has ended. at: what it was at. status: as of waitpid(), or PP_TRACE_AT_END. */
void pp_tracer_death(const struct pp_tracer *tracer, uint32_t worker, const struct pp_activity *at, uint32_t status);
void pp_tracer_kill(const struct pp_tracer *tracer, uint32_t worker, enum pp_trace_why why);

#endif
