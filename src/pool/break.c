#include "pool/break.h"

#include "pool/finish.h"
#include "pool/job.h"
#include "pool/outcome.h"
#include "pool/slots.h"

void pp_break(struct pool *pool, const struct pool_failure *why) {
    if (pool->broken) return;
    int code = pool->broken = why->error;
    pool->broken_failure = *why;
    for (uint32_t slot = 0; slot < pool->slots.fresh; slot++) {
        struct future *future = pool->slots.table[slot].future;
        if (!future || future->is_job || pp_outcome_take(pool, slot)) continue;
        pp_slot_free(pool, slot);
        pp_future_finish(future, code, why);
    }
    struct future *future;
    while ((future = pp_queue_first(&pool->queue)) != NULL) pp_future_finish(future, code, why);
    while ((future = pp_queue_first(&pool->short_of_room)) != NULL) pp_future_finish(future, code, why);
    while ((future = PP_LIST_FIRST(&pool->held, struct future, link)) != NULL) pp_future_finish(future, code, why);
    struct pp_job *job;
    while ((job = PP_LIST_FIRST(&pool->jobs.active, struct pp_job, link)) != NULL) pp_job_abort(pool, job, why);
    while ((job = PP_LIST_FIRST(&pool->jobs.waiting, struct pp_job, link)) != NULL) pp_job_abort(pool, job, why);
}
