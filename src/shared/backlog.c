#include "shared/backlog.h"

#include "shared/plan.h"
#include "shared/ring.h"

/* Whether the job at this index of the table has blocks that no worker has claimed. */
static bool job_waits(const struct pp_shared *shared, uint32_t index) {
    struct pp_job_plan plan;
    return pp_plan_copy(shared, index, &plan) != 0 && !pp_plan_is_used_up(&plan);
}

uint32_t pp_backlog_workers(const struct pp_shared *shared) {
    uint32_t end = atomic_load_explicit(&shared->control->job_table_end, memory_order_acquire);
    for (uint32_t index = 0; index < end && index < PP_JOB_TABLE; index++)
        if (job_waits(shared, index)) return PP_WORKERS;
    uint64_t length = pp_ring_length(shared);
    if (length > PP_TICKETS) return 0; /* a worker has scribbled; the caller repairs it */
    return length < PP_WORKERS ? (uint32_t)length : PP_WORKERS;
}
