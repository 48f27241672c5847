#include "pool/demand.h"

#include "pool/hosted.h"
#include "pool/job.h"
#include "pool/tell.h"

/* Blocks of all jobs in the job table: as many workers could be of use to them. */
static uint64_t count_blocks(const struct pool *pool) {
    uint64_t blocks = 0;
    PP_LIST_EACH(j, &pool->jobs.active, const struct pp_job, link) blocks += j->plan->blocks;
    return blocks;
}

void pp_ask_for_workers(struct pool *pool) {
    struct pp_control *control = pool->shared.control;
    /* The supervisor counts starts as taken, then tells that fewer workers rest. Read in the opposite order, the two
     * never count a start twice; a start that the supervisor carries out in between counts as not asked for. */
    uint32_t resting = atomic_load_explicit(&control->resting, memory_order_acquire);
    uint32_t asked = pool->starts_sent - atomic_load_explicit(&control->starts_taken, memory_order_acquire);
    if (resting <= asked) return;
    /* Relaxed: the supervisor itself starts a worker in the place of each that it gives up. */
    uint32_t idle = resting + atomic_load_explicit(&control->given_up, memory_order_relaxed);
    uint32_t local = pp_local_workers(pool, pool->wanted);
    uint64_t live = local > idle ? local - idle : 0;
    uint64_t useful = pool->open - pool->open_jobs + count_blocks(pool);
    if (useful <= live + asked) return;
    uint64_t more = useful - live - asked;
    uint32_t count = more < resting - asked ? (uint32_t)more : resting - asked;
    if (pp_tell(pool, (struct pp_command){.kind = PP_START, .value = count}))
        pool->starts_sent += count;
}
