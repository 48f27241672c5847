#include "pool/submit.h"

#include <string.h>

#include "pool/alloc.h"
#include "pool/call.h"
#include "pool/dispatch.h"
#include "pool/events.h"
#include "pool/future_alloc.h"
#include "pool/graph.h"
#include "pool/relations.h"
#include "pool/tell.h"
#include "shared/ring.h"
#include "shared/timer.h"

static int check_task(const struct pool_task *task) {
    if (!task->fn || task->timeout < 0 || task->cpu_timeout < 0) return POOL_EINVAL;
    if ((task->in == NULL) != (task->in_size == 0)) return POOL_EINVAL;
    if ((task->context_size && !task->context) || (task->after_count && !task->after)) return POOL_EINVAL;
    return 0;
}

/* Finds room for the argument, and for the result unless that may come later. */
static int find_room(struct pool *pool, struct future *future, bool comes_after_others) {
    struct pp_task *task = &future->task;
    task->in = NULL;
    if (task->in_size > PP_INLINE_IN || (task->in_size && pp_is_huge(future))) {
        task->in = pp_alloc_whole(pool, &pool->memory.inputs, task->in_size);
        if (!task->in) return POOL_ENOMEM;
    } else if (task->in_size) {
        task->in = future->small;
    }
    if (future->out_size <= PP_INLINE_OUT || pp_has_any_size(future)) return 0;
    bool generous = future->out_size > PP_RESULT_PAGE;
    if (generous && !comes_after_others) return pp_room_may_come(pool, future->out_size) ? 0 : POOL_ENOMEM;
    future->result = generous ? pp_heap_alloc(&pool->memory.results, future->out_size, false)
                              : pp_alloc_whole(pool, &pool->memory.results, future->out_size);
    return future->result ? 0 : POOL_ENOMEM;
}

void pp_task_drop(struct pool *pool, struct future *future) {
    if (future->relations) pp_relations_free(pool, future); /* of a stream's: it comes after no other task */
    if (future->task.in != future->small) pp_heap_free(&pool->memory.inputs, (void *)(uintptr_t)future->task.in);
    pp_future_recycle(future);
}

int pp_task_new(struct pool *pool, const struct pool_task *task, uint64_t index, struct future **future) {
    int error = pp_refusal(pool);
    if (error) return error;
    struct future *f = pp_future_new(pool);
    if (!f) return POOL_ENOMEM;
    f->task = (struct pp_task){.fn = task->fn, .in_size = task->in_size, .timeout = task->timeout,
                               .cpu_timeout = (uint32_t)task->cpu_timeout & INT32_MAX, .retries = task->retries,
                               .priority = task->priority, .seed = task->seed};
    f->out_size = task->out_size;
    f->index = index;
    f->arg = task->arg;
    error = find_room(pool, f, task->after_count > 0);
    if (!error && (task->after_count > 0 || task->context)) error = pp_graph_add(pool, f, task);
    if (error) pp_task_drop(pool, f);
    else *future = f;
    return error;
}

int pp_task_send(struct pool *pool, struct future *future) {
    int error = 0;
    bool has_relations = future->relations != NULL, is_timed = pp_is_timed(&future->task);
    if (is_timed) pp_tell_limits(pool, future->task.timeout, future->task.cpu_timeout);
    pool->open++;
    if (!has_relations) error = pp_dispatch_new(pool, future);
    if (error) {
        pool->open--;
        if (is_timed) pp_timer_end(&pool->shared);
        return error;
    }
    if (has_relations) pp_graph_begin(pool, future);
    return 0;
}

static int submit(struct pool *pool, const struct pool_task *task, struct future **future) {
    struct future *f;
    int error = pp_task_new(pool, task, 0, &f);
    if (error) return error;
    if (task->in) memcpy((void *)(uintptr_t)f->task.in, task->in, task->in_size);
    if (task->notify) pp_notify_begin(f);
    error = pp_task_send(pool, f);
    if (!error) {
        *future = f;
        return 0;
    }
    if (task->notify) pp_notify_end(f);
    pp_task_drop(pool, f);
    return error;
}

/* Whether tasks wait for slots while workers have none to run. Only collecting frees slots; without it workers would do
 * nothing until the program next asks for a result. */
static bool workers_lack_work(const struct pool *pool) {
    return pool->queue.count + pool->short_of_room.count > 0 && pp_ring_is_empty(&pool->shared);
}

int pool_submit(struct pool *pool, const struct pool_task *task, struct future **future) {
    if (!pool || !task || !future) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    int error = check_task(task);
    if (error) return error;
    pp_lock(pool);
    bool collected = false;
    while ((error = submit(pool, task, future)) == POOL_ENOMEM && !collected) {
        pp_advance(pool); /* outcomes may be there whose tasks hold room */
        collected = true;
    }
    if (workers_lack_work(pool)) pp_advance(pool);
    pp_unlock(pool);
    return error;
}
