#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "pool/alloc.h"
#include "pool/callback.h"
#include "pool/dispatch.h"
#include "pool/finish.h"
#include "pool/future_alloc.h"
#include "pool/pool.h"
#include "pool/wait.h"

#define ALIGN 16 /* enough for any type */

static size_t aligned(size_t size) {
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

struct pp_ties *pp_ties_of(struct future *future) {
    if (future->ties) return future->ties;
    struct pp_ties *ties = pp_zalloc(1, sizeof *ties);
    if (!ties) return NULL;
    ties->callbacks_end = &ties->callbacks;
    ties->dependents_end = &ties->dependents;
    return future->ties = ties;
}

static void free_ties(struct pool *pool, struct future *future) {
    struct pp_ties *ties = future->ties;
    pp_heap_free(&pool->inputs, ties->extra);
    pp_release(ties->edges);
    pp_release(ties);
    future->ties = NULL;
}

/* ---- edges */

static bool is_done(const struct future *future) {
    return atomic_load_explicit(&future->done, memory_order_relaxed); /* under the lock */
}

static void unlink_edge(struct pp_edge *edge) {
    if (!edge->link) return;
    struct pp_ties *ties = edge->dependency->ties;
    *edge->link = edge->next;
    if (edge->next) edge->next->link = edge->link;
    else ties->dependents_end = edge->link;
    edge->link = NULL;
}

static bool add_edge(struct future *dependent, struct future *dependency) {
    struct pp_edge *edge = &dependent->ties->edges[dependent->ties->edge_count];
    if (!is_done(dependency)) {
        struct pp_ties *ties = pp_ties_of(dependency);
        if (!ties) return false;
        edge->link = ties->dependents_end;
        *ties->dependents_end = edge;
        ties->dependents_end = &edge->next;
        dependent->ties->pending++;
    }
    edge->dependent = dependent;
    edge->dependency = dependency;
    pp_pin(dependency);
    dependent->ties->edge_count++;
    return true;
}

static void drop_edges(struct pp_ties *ties) {
    for (size_t i = 0; i < ties->edge_count; i++) {
        unlink_edge(&ties->edges[i]);
        pp_unpin(ties->edges[i].dependency);
    }
    ties->edge_count = 0;
}

/* ---- what the task finds */

/* Whether the result may come to lie in the caller's own memory, so that there must be room for a copy. A result may
 * turn out to be shorter than what was asked for, never longer; where it lies does not depend on that. */
static bool may_be_copied(const struct future *dependency) {
    return !dependency->is_job && dependency->out_size > 0 && dependency->out_size <= PP_INLINE_OUT;
}

/* Room for it all: struct pp_extra, small results, the context. */
static int make_extra(struct pool *pool, struct pp_ties *ties, const struct pool_task *task) {
    size_t count = task->after_count, at = aligned(sizeof(struct pp_extra) + count * sizeof(struct pp_input));
    for (size_t i = 0; i < count; i++)
        if (may_be_copied(task->after[i])) at += PP_INLINE_OUT;
    bool copies_context = task->context_size && !pp_heap_holds(&pool->arena, task->context, task->context_size);
    if (copies_context && task->context_size > SIZE_MAX - at) return POOL_ENOMEM;
    char *room = pp_alloc_whole(pool, &pool->inputs, at + (copies_context ? task->context_size : 0));
    if (!room) return POOL_ENOMEM;
    ties->extra = (void *)room;
    memset(ties->extra, 0, sizeof *ties->extra);
    ties->extra->count = count;
    ties->extra->context = copies_context ? memcpy(room + at, task->context, task->context_size) : task->context;
    return 0;
}

/* All that it comes after is done and has succeeded. */
static void fill_extra(struct pp_ties *ties) {
    struct pp_extra *extra = ties->extra;
    char *room = (char *)extra + aligned(sizeof *extra + extra->count * sizeof(struct pp_input));
    for (size_t i = 0; i < ties->edge_count; i++) {
        const struct future *dependency = ties->edges[i].dependency;
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

int pp_ties_make(struct pool *pool, struct future *future, const struct pool_task *task) {
    int error = check_after(pool, task);
    if (error) return error;
    struct pp_ties *ties = pp_ties_of(future);
    if (!ties) return POOL_ENOMEM;
    error = make_extra(pool, ties, task);
    if (!error && task->after_count) {
        ties->edges = pp_zalloc(task->after_count, sizeof *ties->edges);
        if (!ties->edges) error = POOL_ENOMEM;
    }
    for (size_t i = 0; !error && i < task->after_count; i++)
        if (!add_edge(future, task->after[i])) error = POOL_ENOMEM;
    if (!error) return 0;
    drop_edges(ties);
    free_ties(pool, future);
    return error;
}

/* ---- holding */

static void hold(struct pool *pool, struct future *future) {
    future->prev = NULL;
    future->next = pool->held;
    if (future->next) future->next->prev = future;
    pool->held = future;
}

static void let_go(struct pool *pool, struct future *future) {
    if (future->prev) future->prev->next = future->next;
    else pool->held = future->next;
    if (future->next) future->next->prev = future->prev;
}

static void start(struct pool *pool, struct future *future) {
    fill_extra(future->ties);
    int error = pp_dispatch_new(pool, future);
    if (error) pp_future_finish(future, error, NULL);
}

/* Ends a task because of a failed dependency. What came first in a chain is what the last one tells. */
static void fail_after(struct pool *pool, struct future *future, const struct future *dependency) {
    struct pool_failure failure;
    if (pool->broken) {
        pp_future_finish(future, pool->broken, &pool->broken_failure);
        return;
    }
    memset(&failure, 0, sizeof failure);
    if (dependency->failure) failure = *dependency->failure;
    if (dependency->outcome != POOL_EDEPENDENCY) {
        const char *name = pool_strerror(dependency->outcome);
        char why[sizeof failure.message];
        memcpy(why, failure.message, sizeof why);
        failure.cause = dependency->outcome;
        /* "POOL_EDIED: killed by SIGSEGV"; a message that is the code's own text begins with the name already. */
        if (!why[0] || strcmp(why, name) == 0) snprintf(failure.message, sizeof failure.message, "%s", name);
        else
            snprintf(failure.message, sizeof failure.message, "%.*s: %.200s", (int)strcspn(name, ":"), name, why);
    }
    pp_future_finish(future, POOL_EDEPENDENCY, &failure);
}

void pp_ties_begin(struct pool *pool, struct future *future) {
    struct pp_ties *ties = future->ties;
    if (ties->pending > 0) hold(pool, future);
    for (size_t i = 0; i < ties->edge_count; i++) {
        const struct future *dependency = ties->edges[i].dependency;
        if (!is_done(dependency) || dependency->outcome == 0) continue;
        fail_after(pool, future, dependency);
        return;
    }
    if (ties->pending == 0) start(pool, future);
    else pp_attend_all(pool);
}

/* ---- telling */

static void tell_dependents(struct pool *pool, struct future *future) {
    struct pp_edge *edge;
    while ((edge = future->ties->dependents) != NULL) {
        struct future *dependent = edge->dependent;
        unlink_edge(edge);
        if (future->outcome || pool->broken) {
            fail_after(pool, dependent, future);
        } else if (--dependent->ties->pending == 0) {
            let_go(pool, dependent);
            start(pool, dependent);
        }
    }
}

static void settle(struct pool *pool) {
    if (pool->settling) return;
    pool->settling = true;
    struct future *future;
    while ((future = pool->settled) != NULL) {
        pool->settled = future->ties->settled_next;
        if (!pool->settled) pool->settled_end = &pool->settled;
        tell_dependents(pool, future);
        free_ties(pool, future);
        pp_unpin(future);
    }
    pool->settling = false;
}

void pp_ties_finish(struct pool *pool, struct future *future) {
    struct pp_ties *ties = future->ties;
    if (ties->pending > 0) let_go(pool, future);
    ties->pending = 0;
    drop_edges(ties);
    pp_callbacks_take(pool, future);
    pp_pin(future);
    *pool->settled_end = future;
    pool->settled_end = &ties->settled_next;
    settle(pool);
}
