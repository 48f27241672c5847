#include "pool/finish.h"

#include <stdio.h>

#include "base/sys.h"
#include "pool/future_alloc.h"
#include "pool/graph.h"
#include "pool/observer.h"
#include "shared/timer.h"

static void keep_failure(struct future *future, int outcome, const struct pool_failure *failure) {
    if (!outcome || (future->given_up && !future->relations)) return;
    future->failure = pp_zalloc(1, sizeof *future->failure);
    if (!future->failure) return;
    if (failure) *future->failure = *failure;
    future->failure->error = outcome;
    if (!future->failure->message[0])
        snprintf(future->failure->message, sizeof future->failure->message, "%s", pool_strerror(outcome));
}

void pp_future_finish(struct future *future, int outcome, const struct pool_failure *failure) {
    struct pool *pool = future->pool;
    if (future->queued) pp_queue_remove(&pool->queue, future);
    if (!future->is_job) {
        if (future->task.timeout) pp_timer_end(&pool->shared);
        if (future->task.in != future->small) pp_heap_free(&pool->inputs, (void *)(uintptr_t)future->task.in);
        pool->tasks_failed += outcome != 0;
        if (outcome && future->result) {
            pp_heap_free(&pool->results, future->result);
            future->result = NULL;
        }
    } else {
        pool->open_jobs--;
        pool->jobs_finished++;
    }
    keep_failure(future, outcome, failure);
    future->outcome = outcome;
    pool->open--;
    pool->finished++;
    pool->given_up -= future->given_up;
    if (future->given_up && !future->relations && future->pins == 0) {
        pp_future_recycle(future);
        return;
    }
    /* Release: pairs with the acquire of future_done() and its like, which take no lock. */
    atomic_store_explicit(&future->done, PP_ENDED, memory_order_release);
    if (!pp_list_is_empty(&future->observers)) pp_observers_notify(future, PP_OBSERVED_DONE);
    if (future->relations) pp_graph_finish(pool, future);
    else pp_detach(future);
}
