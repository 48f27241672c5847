#include "pool/resize.h"

#include <string.h>

#include "pool/backend.h"
#include "shared/command.h"
#include "pool/job.h"
#include "shared/plan.h"
#include "shared/ring.h"
#include "shared/placement.h"
#include "base/sys.h"

/* ---- the supervisor's part */

/* Blocks that nobody has claimed of the job at this place of the table. The caller may end the job and reuse its memory
 * at any time: what was read of its plan counts only if it was still there afterwards. */
static bool job_waits(const struct pp_shared *shared, uint32_t place) {
    uint64_t ticket = atomic_load_explicit(&shared->job_table[place], memory_order_acquire);
    if (ticket == 0 || pp_ticket_slot(ticket) >= PP_SLOTS) return false;
    const struct pp_desc *desc = &shared->descs[pp_ticket_slot(ticket)];
    uintptr_t at = (uintptr_t)desc->in, inputs = (uintptr_t)shared->inputs;
    if (at < inputs || at - inputs > shared->inputs_size - sizeof(struct pp_job_plan)) return false;
    struct pp_job_plan plan;
    memcpy(&plan, (const void *)at, sizeof plan);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&shared->job_table[place], memory_order_relaxed) != ticket) return false;
    return !pp_plan_is_used_up(&plan);
}

uint32_t pp_work_waiting(const struct pp_shared *shared) {
    uint32_t end = atomic_load_explicit(&shared->control->job_table_end, memory_order_acquire);
    for (uint32_t place = 0; place < end && place < PP_JOB_TABLE; place++)
        if (job_waits(shared, place)) return PP_WORKERS;
    uint64_t length = pp_ring_length(shared);
    if (length > PP_TICKETS) return 0; /* scribbled upon: the audit's */
    return length < PP_WORKERS ? (uint32_t)length : PP_WORKERS;
}

/* ---- the caller's */

void pp_ask_for_workers(struct pool *pool) {
    struct pp_control *control = pool->shared.control;
    /* In this order: a start that is seen to meanwhile is then counted as not asked for, not twice. */
    uint32_t resting = atomic_load_explicit(&control->resting, memory_order_acquire);
    uint32_t asked = pool->starts_sent - atomic_load_explicit(&control->starts_taken, memory_order_acquire);
    if (resting <= asked) return;
    uint64_t live = pool->wanted > resting ? pool->wanted - resting : 0;
    uint64_t useful = pool->open - pool->open_jobs + pp_jobs_blocks(pool);
    if (useful <= live + asked) return;
    uint64_t more = useful - live - asked;
    uint32_t count = more < resting - asked ? (uint32_t)more : resting - asked;
    if (pp_command_send(pool->command_socket, &(struct pp_command){.kind = PP_START, .value = count}))
        pool->starts_sent += count;
}

void pp_processes_resize(struct pool *pool) {
    pp_command_send(pool->command_socket, &(struct pp_command){.kind = PP_RESIZE});
}

/* Tells workers, and who starts them. */
static void set_size(struct pool *pool, uint32_t wanted) {
    struct pp_control *control = pool->shared.control;
    bool fewer = wanted < pool->wanted;
    pool->wanted = wanted;
    if (wanted > pool->workers) pool->workers = wanted;
    /* Release: pairs with the acquire in the supervisor's resize(). */
    atomic_store_explicit(&control->workers, pool->workers, memory_order_release);
    atomic_store_explicit(&control->wanted, wanted, memory_order_release);
    pool->backend->resize(pool);
    if (fewer) pp_wake_all(&pool->shared, pool->task_pipe);
}

int pool_resize(struct pool *pool, int workers) {
    if (!pool) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    int wanted = pp_worker_count(workers);
    if (wanted < 0) return wanted;
    int cpus = pool_cpu_count();
    pp_lock(pool);
    int error = pp_refusal(pool);
    if (!error && pool->backend->resize) {
        pp_placement_set_cpus(&pool->shared, cpus);
        set_size(pool, (uint32_t)wanted);
    }
    pp_unlock(pool);
    return error;
}

int pp_retire_all(struct pool *pool, uint64_t deadline) {
    if (pool->ended || pool->broken) return 0;
    if (!pool->retiring && pool->backend->resize) set_size(pool, 0);
    pool->retiring = true;
    return pool->backend->retire(pool, deadline);
}

int pp_processes_retire(struct pool *pool, uint64_t deadline) {
    /* The supervisor goes when the last worker has gone. */
    pp_step_out(pool);
    bool gone = pp_supervisor_has_gone(pool, deadline);
    pp_step_in(pool);
    return gone ? 0 : POOL_ETIMEDOUT;
}
