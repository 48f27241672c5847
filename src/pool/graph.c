#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "pool/alloc.h"
#include "pool/callback.h"
#include "pool/dispatch.h"
#include "pool/finish.h"
#include "pool/future_alloc.h"
#include "pool/hosted.h"
#include "pool/relations.h"

#define ALIGN 16 /* enough for any type */

static size_t aligned(size_t size) {
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* ---- edges */

static void unlink_edge(struct pp_edge *edge) {
    if (pp_link_is_on(&edge->link)) pp_list_remove(&edge->dependency->relations->dependents, &edge->link);
}

static bool add_edge(struct future *dependent, struct future *dependency) {
    struct pp_edge *edge = &dependent->relations->edges[dependent->relations->edge_count];
    if (!pp_future_is_done(dependency)) {
        struct pp_relations *relations = pp_relations_of(dependency);
        if (!relations) return false;
        pp_list_add_back(&relations->dependents, &edge->link);
        dependent->relations->pending++;
    }
    edge->dependent = dependent;
    edge->dependency = dependency;
    pp_pin(dependency);
    dependent->relations->edge_count++;
    return true;
}

static void drop_edges(struct pp_relations *relations) {
    for (size_t i = 0; i < relations->edge_count; i++) {
        unlink_edge(&relations->edges[i]);
        pp_unpin(relations->edges[i].dependency);
    }
    relations->edge_count = 0;
}

/* ---- what the task can read */

/* Whether the result may lie in the caller's own memory, so that a copy needs room. A result may turn out to be shorter
 * than its room, never longer; where it lies depends on the room alone. */
static bool may_be_copied(const struct future *dependency) {
    return !dependency->is_job && dependency->out_size > 0 && dependency->out_size <= PP_INLINE_OUT;
}

/* Finds room for struct pp_extra, for small results, and for the context. */
static int make_extra(struct pool *pool, struct pp_relations *relations, const struct pool_task *task) {
    size_t count = task->after_count, at = aligned(sizeof(struct pp_extra) + count * sizeof(struct pp_input));
    for (size_t i = 0; i < count; i++)
        if (may_be_copied(task->after[i])) at += PP_INLINE_OUT;
    bool copies_context = task->context_size && !pp_is_in_reach(pool, task->context, task->context_size);
    if (copies_context && task->context_size > SIZE_MAX - at) return POOL_ENOMEM;
    char *room = pp_alloc_whole(pool, &pool->memory.inputs, at + (copies_context ? task->context_size : 0));
    if (!room) return POOL_ENOMEM;
    relations->extra = (void *)room;
    memset(relations->extra, 0, sizeof *relations->extra);
    relations->extra->count = count;
    relations->extra->context_size = task->context_size;
    relations->extra->context = copies_context ? memcpy(room + at, task->context, task->context_size) : task->context;
    return 0;
}

/* All dependencies have succeeded. */
static void fill_extra(struct pp_relations *relations) {
    struct pp_extra *extra = relations->extra;
    char *room = (char *)extra + aligned(sizeof *extra + extra->count * sizeof(struct pp_input));
    for (size_t i = 0; i < relations->edge_count; i++) {
        const struct future *dependency = relations->edges[i].dependency;
        struct pp_input *input = &extra->inputs[i];
        *input = (struct pp_input){0};
        if (dependency->is_job || dependency->out_size == 0) continue;
        input->size = dependency->out_size;
        input->data = dependency->result;
        if (dependency->result != dependency->small) continue;
        input->data = memcpy(room, dependency->result, dependency->out_size);
        room += PP_INLINE_OUT;
    }
}

/* ---- making */

static int check_after(const struct pool *pool, const struct pool_task *task) {
    if (task->after_count > SIZE_MAX / 256) return POOL_EINVAL;
    for (size_t i = 0; i < task->after_count; i++)
        if (!task->after[i] || task->after[i]->pool != pool) return POOL_EINVAL;
    return 0;
}

int pp_graph_add(struct pool *pool, struct future *future, const struct pool_task *task) {
    int error = check_after(pool, task);
    if (!error) error = pp_hosted_check(pool, task->context, task->context_size);
    if (error) return error;
    struct pp_relations *relations = pp_relations_of(future);
    if (!relations) return POOL_ENOMEM;
    error = make_extra(pool, relations, task);
    if (!error && task->after_count) {
        relations->edges = pp_zalloc(task->after_count, sizeof *relations->edges);
        if (!relations->edges) error = POOL_ENOMEM;
    }
    for (size_t i = 0; !error && i < task->after_count; i++)
        if (!add_edge(future, task->after[i])) error = POOL_ENOMEM;
    if (!error) return 0;
    drop_edges(relations);
    pp_relations_free(pool, future);
    return error;
}

int pp_graph_give(struct pool *pool, struct future *future, const void *context, size_t count, const uint64_t *sizes,
                  const void *data) {
    struct pp_relations *relations = pp_relations_of(future);
    size_t at = aligned(sizeof(struct pp_extra) + count * sizeof(struct pp_input)), total = at;
    for (size_t i = 0; i < count; i++)
        if (sizes[i] != UINT64_MAX) total += aligned((size_t)sizes[i]);
    struct pp_extra *extra = relations ? pp_alloc_whole(pool, &pool->memory.inputs, total) : NULL;
    if (!extra) return POOL_ENOMEM;
    memset(extra, 0, at);
    extra->count = count;
    extra->context = context;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] == UINT64_MAX) continue;
        extra->inputs[i] = (struct pp_input){memcpy((char *)extra + at, data, (size_t)sizes[i]), (size_t)sizes[i]};
        data = (const char *)data + sizes[i];
        at += aligned((size_t)sizes[i]);
    }
    relations->extra = extra;
    return 0;
}

/* ---- starting */

static void start_task(struct pool *pool, struct future *future) {
    fill_extra(future->relations);
    int error = pp_dispatch_new(pool, future);
    if (error) pp_future_finish(future, error, NULL);
}

/* Ends a task because a dependency failed: edges[which], the program's after[which]. The last task of a chain tells the
 * failure of the first. */
static void fail_after(struct pool *pool, struct future *future, size_t which) {
    const struct future *dependency = future->relations->edges[which].dependency;
    struct pool_failure failure = {0};
    if (pool->broken) {
        pp_future_finish(future, pool->broken, &pool->broken_failure);
        return;
    }
    if (dependency->failure) failure = *dependency->failure;
    failure.dependency = which;
    if (dependency->outcome != POOL_EDEPENDENCY) {
        const char *name = pool_strerror(dependency->outcome);
        char why[sizeof failure.message];
        memcpy(why, failure.message, sizeof why);
        failure.cause = dependency->outcome;
        /* "POOL_EDIED: killed by SIGSEGV"; a message that is the code's own text begins with the name anyway. */
        if (!why[0] || strcmp(why, name) == 0) snprintf(failure.message, sizeof failure.message, "%s", name);
        else
            snprintf(failure.message, sizeof failure.message, "%.*s: %.200s", (int)strcspn(name, ":"), name, why);
    }
    pp_future_finish(future, POOL_EDEPENDENCY, &failure);
}

void pp_graph_begin(struct pool *pool, struct future *future) {
    struct pp_relations *relations = future->relations;
    if (relations->pending > 0) pp_held_add(pool, future);
    for (size_t i = 0; i < relations->edge_count; i++) {
        const struct future *dependency = relations->edges[i].dependency;
        if (!pp_future_is_done(dependency) || dependency->outcome == 0) continue;
        fail_after(pool, future, i);
        return;
    }
    if (relations->pending == 0) start_task(pool, future);
}

/* ---- telling */

static void tell_dependents(struct pool *pool, struct future *future) {
    struct pp_edge *edge;
    while ((edge = PP_LIST_FIRST(&future->relations->dependents, struct pp_edge, link)) != NULL) {
        struct future *dependent = edge->dependent;
        unlink_edge(edge);
        if (pp_future_is_done(dependent)) continue; /* it was cancelled since */
        if (future->outcome || pool->broken) {
            fail_after(pool, dependent, (size_t)(edge - dependent->relations->edges));
        } else if (--dependent->relations->pending == 0) {
            pp_held_remove(pool, dependent);
            start_task(pool, dependent);
        }
    }
}

void pp_graph_settle(struct pool *pool) {
    struct pp_relations *relations;
    pool->due &= ~(unsigned)PP_DUE_RELATIONS;
    while ((relations = PP_LIST_FIRST(&pool->settling, struct pp_relations, settling)) != NULL) {
        struct future *future = relations->future;
        pp_list_remove(&pool->settling, &relations->settling);
        drop_edges(relations);
        pp_callbacks_take(pool, future);
        tell_dependents(pool, future);
        pp_relations_free(pool, future);
        pp_unpin(future);
    }
}
