#include "shared/backlog.h"

#include <string.h>

#include "shared/plan.h"
#include "shared/ring.h"
#include "shared/ticket.h"

/* Whether the job at this index of the table has blocks that no worker has claimed. The caller may end the job and
 * reuse its memory at any time: what was read of its plan counts only if the ticket was still there afterwards. */
static bool job_waits(const struct pp_shared *shared, uint32_t index) {
    uint64_t ticket = atomic_load_explicit(&shared->job_table[index], memory_order_acquire);
    if (ticket == 0 || pp_ticket_slot(ticket) >= PP_SLOTS) return false;
    const struct pp_desc *desc = &shared->descs[pp_ticket_slot(ticket)];
    uintptr_t at = (uintptr_t)desc->in, inputs = (uintptr_t)shared->inputs;
    if (at < inputs || at - inputs > shared->inputs_size - sizeof(struct pp_job_plan)) return false;
    struct pp_job_plan plan;
    memcpy(&plan, (const void *)at, sizeof plan);
    /* Orders the copy before the second look at the ticket. Pairs with the caller's stores of 0 to the table (round.c,
     * job.c), which come before it reuses the memory. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&shared->job_table[index], memory_order_relaxed) != ticket) return false;
    return !pp_plan_is_used_up(&plan);
}

uint32_t pp_backlog_workers(const struct pp_shared *shared) {
    uint32_t end = atomic_load_explicit(&shared->control->job_table_end, memory_order_acquire);
    for (uint32_t index = 0; index < end && index < PP_JOB_TABLE; index++)
        if (job_waits(shared, index)) return PP_WORKERS;
    uint64_t length = pp_ring_length(shared);
    if (length > PP_TICKETS) return 0; /* a worker has scribbled; the caller repairs it */
    return length < PP_WORKERS ? (uint32_t)length : PP_WORKERS;
}
