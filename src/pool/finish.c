#include "pool/finish.h"

#include <stdio.h>

#include "base/sys.h"
#include "pool/events.h"
#include "pool/future_alloc.h"
#include "pool/observer.h"
#include "pool/relations.h"
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

/* Its dependents and its callbacks are told before the call returns: call.h. */
static void queue_relations(struct pool *pool, struct future *future) {
    pp_pin(future);
    if (!pp_list_is_empty(&future->relations->callbacks)) pool->events.uncalled++;
    pp_list_add_back(&pool->settling, &future->relations->settling);
    pool->due |= PP_DUE_RELATIONS;
}

/* Takes the future out of the line in which it waits, if it does. */
static void leave_line(struct pool *pool, struct future *future) {
    if (future->queued) pp_queue_remove(future->short_of_room ? &pool->short_of_room : &pool->queue, future);
    else if (future->relations && future->relations->pending > 0) pp_held_remove(pool, future);
}

static void finish_task(struct pool *pool, struct future *future, int outcome) {
    if (pp_is_timed(&future->task)) pp_timer_end(&pool->shared);
    /* An argument in the program's own memory is no block of the heap, and stays: pp_heap_free() ignores it. */
    if (future->task.in != future->small) pp_heap_free(&pool->memory.inputs, (void *)(uintptr_t)future->task.in);
    if (outcome && future->result) {
        pp_heap_free(&pool->memory.results, future->result);
        future->result = NULL;
    }
    pool->totals.tasks_failed += outcome != 0;
}

static void finish_job(struct pool *pool) {
    pool->open_jobs--;
    pool->totals.jobs_finished++;
}

void pp_future_finish(struct future *future, int outcome, const struct pool_failure *failure) {
    struct pool *pool = future->pool;
    leave_line(pool, future);
    if (future->is_job) finish_job(pool);
    else finish_task(pool, future, outcome);
    keep_failure(future, outcome, failure);
    future->outcome = (int8_t)outcome;
    pool->open--;
    pool->finished++;
    if (future->given_up && !future->relations && future->pins == 0) {
        pp_future_recycle(future);
        return;
    }
    /* Release: pairs with the acquire in is_done(), future_calls.c, which takes no lock. */
    atomic_store_explicit(&future->done, PP_ENDED, memory_order_release);
    if (!pp_list_is_empty(&future->observers)) pp_observers_notify(future, PP_OBSERVED_DONE);
    if (future->notify) pp_notify_finish(future);
    if (future->relations) queue_relations(pool, future);
    else pp_detach(future);
}
