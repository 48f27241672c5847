#include "pool/resize.h"

#include "pool/backend.h"
#include "shared/command.h"
#include "pool/job.h"
#include "shared/placement.h"

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
