#include "pool/tree.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "base/text.h"

#define MOST_LOSSES 3U
#define LOOK_MS 1

/* ---- failures */

void pp_tree_fail(struct pp_reduction *d, int error, uint64_t index, const struct pool_failure *failure) {
    if (d->error) return;
    d->error = error;
    if (failure) d->failure = *failure;
    d->failure.error = error;
    d->failure.index = (size_t)index;
    if (!d->failure.message[0])
        snprintf(d->failure.message, sizeof d->failure.message, "%s", pool_strerror(error));
}

static void fail_in(struct pp_reduction *d, const struct pp_node *node, int error) {
    struct pool_failure failure;
    if (d->error || future_failure(node->future, &failure)) return;
    uint64_t at = node->first;
    if (!d->pool->destroyed) at = atomic_load_explicit(&node->spot->at, memory_order_relaxed);
    /* Workers can write there, and a task that did not start has not written it. */
    if (at < node->first || at - node->first >= node->count) at = node->first;
    pp_tree_fail(d, error, at, &failure);
}

/* ---- nodes */

void pp_tree_drop(struct pp_reduction *d, struct pp_node *node) {
    if (node->awaited || node->wanted) return;
    struct future *future = node->future;
    node->future = NULL;
    node->next = d->free_nodes;
    d->free_nodes = node;
    future_free(future);
}

static int times(int limit, size_t calls) {
    return limit > INT_MAX / (int)calls ? INT_MAX : limit * (int)calls;
}

/* A task that combines several parts has the time of all these calls. */
static int submit(struct pp_reduction *d, struct pool_task *task, struct future **future) {
    size_t calls = task->after_count > 1 ? task->after_count - 1 : 1;
    task->out_size = d->options->out_size;
    task->timeout = times(d->options->timeout, calls);
    task->cpu_timeout = times(d->options->cpu_timeout, calls);
    task->retries = d->options->retries;
    return pool_submit(d->pool, task, future);
}

/* Until the worker has begun, nothing tells at which item it is. */
static void clear_spot(const struct pp_reduction *d, struct pp_spot *spot) {
    if (!d->pool->destroyed) atomic_store_explicit(&spot->at, UINT64_MAX, memory_order_relaxed);
}

static struct pool_task task_of(const struct pp_reduction *d, const struct pp_leaf *leaf) {
    clear_spot(d, leaf->spot);
    size_t size = pp_leaf_size(&d->told, (size_t)leaf->count);
    return (struct pool_task){.fn = pp_leaf_task, .in = leaf, .in_size = size};
}

/* ---- leaves of which items may fail */

static void leave_out(struct pp_reduction *d, struct pp_node *node, size_t count, const struct pool_failure *failure) {
    node->left -= count;
    d->failed += count;
    if (!d->lowest.error || failure->index < d->lowest.index) d->lowest = *failure;
}

/* What the worker has left out. It could write anything there. */
static void count_failed(struct pp_reduction *d, struct pp_node *node) {
    const struct pp_spot *spot = node->spot;
    uint64_t failed = pp_read_word(&spot->failed), at = pp_read_word(&spot->failed_at);
    if (failed == 0) return;
    struct pool_failure failure = {.error = POOL_EFAILED, .code = pp_read_code(&spot->code),
                                   .worker = pp_read_code(&spot->pid)};
    failure.index = (size_t)(at < node->first || at - node->first >= node->count ? node->first : at);
    pp_text_readable(failure.message, spot->message, PP_MESSAGE);
    if (!failure.message[0])
        snprintf(failure.message, sizeof failure.message, "the task returned %d", failure.code);
    leave_out(d, node, failed < node->left ? (size_t)failed : node->left, &failure);
}

/* The leaf has died. Marks the item at which it was. */
static void mark_item(struct pp_reduction *d, struct pp_node *node) {
    struct pool_failure failure;
    uint64_t i = atomic_load_explicit(&node->spot->at, memory_order_relaxed) - node->first;
    bool was_alone = node->leaf->alone || !d->told.block;
    node->leaf->alone = true;
    if (!was_alone) return;
    char *marks = (char *)node->leaf + pp_leaf_mark(&d->told, (size_t)node->count, 0);
    if (future_failure(node->future, &failure)) return;
    if (i >= node->count || marks[i]) { /* it had not begun, or what tells it was overwritten */
        if (++node->losses >= MOST_LOSSES) pp_tree_fail(d, failure.error, node->first, &failure);
        return;
    }
    marks[i] = 1;
    failure.index = (size_t)(node->first + i);
    leave_out(d, node, 1, &failure);
}

/* The leaf is done: it is to get onto the stack, if it has a part. */
static void keep_leaf(struct pp_reduction *d, struct pp_node *node, bool has_part) {
    node->wanted = !d->error && has_part;
    if (!node->wanted) return;
    node->next = NULL;
    *d->settled_end = node;
    d->settled_end = &node->next;
}

/* Takes in how the leaf has ended, with that error. Returns false if it runs again. */
static bool settle(struct pp_reduction *d, struct pp_node *node, int error) {
    bool died = error == POOL_EDIED || error == POOL_EDEADLINE;
    if (error && !died) fail_in(d, node, error);
    if (!d->error && !d->pool->destroyed && died) mark_item(d, node);
    if (!d->error && died && node->left > 0) {
        future_free(node->future);
        node->future = NULL;
        struct pool_task again = task_of(d, node->leaf);
        error = submit(d, &again, &node->future);
        if (!error) return false;
        pp_tree_fail(d, error, node->first, NULL);
    }
    if (!error && !d->pool->destroyed) count_failed(d, node);
    pp_release(node->leaf);
    node->leaf = NULL;
    keep_leaf(d, node, node->left > 0);
    return true;
}

/* ---- the ring and the stack */

/* Tasks that no other waits for can be looked at later, many at a time: first waits for one in the middle of the ring.
 * Not for long: if tasks are slow, a failure is to be seen soon. */
static void await_many(struct pp_reduction *d) {
    if (d->seen > 0) {
        d->seen--;
    } else if (d->settles && d->length > 1) {
        d->seen = d->length / 2;
        future_wait(d->ring[(d->head + d->seen) % d->window]->future, LOOK_MS);
    }
}

/* Waits for the oldest task in the ring. */
static void await_one(struct pp_reduction *d) {
    struct pp_node *node = d->ring[d->head];
    bool skips = node->leaf != NULL;
    int error;
    await_many(d);
    do error = future_get(node->future, NULL, -1);
    while (skips && !settle(d, node, error));
    if (error && !skips) fail_in(d, node, error);
    if (!skips && d->settles && node->digit == 0) keep_leaf(d, node, true);
    d->head = (d->head + 1) % d->window;
    d->length--;
    node->awaited = false;
    pp_tree_drop(d, node);
}

/* Waits until there is room in the ring. Returns false after a failure. */
static bool has_room(struct pp_reduction *d) {
    if (d->length == d->window) await_one(d);
    return !d->error;
}

/* Submits the task with the first free node, and puts the node into the ring, which must have room, and on the stack
 * unless it is to be settled. If memory is short, it waits for tasks that run. Returns false if it, or one of those,
 * failed. */
static bool add_task(struct pp_reduction *d, struct pool_task *task, const struct pp_node *like) {
    int error;
    while ((error = submit(d, task, &d->free_nodes->future)) == POOL_ENOMEM && d->length > 0 && !d->error)
        await_one(d);
    if (error) pp_tree_fail(d, error, like->first, NULL);
    if (error) return false;
    struct pp_node *node = d->free_nodes;
    struct future *future = node->future;
    d->free_nodes = node->next;
    *node = *like;
    node->future = future;
    node->awaited = node->wanted = true;
    d->ring[(d->head + d->length++) % d->window] = node;
    if (node->digit > 0 || !d->settles) d->stack[d->depth++] = node;
    return true;
}

/* The spot at the place in the ring that the next task gets. */
static struct pp_spot *next_spot(const struct pp_reduction *d) {
    return (void *)(d->spots + (d->head + d->length) % d->window * d->spot_size);
}

/* Combines the nodes on top of the stack, which have one digit; the last may have a lower one. */
static void join_top(struct pp_reduction *d, unsigned count) {
    if (!has_room(d)) return;
    struct pp_node *parts[PP_JOIN_MOST];
    struct future *futures[PP_JOIN_MOST];
    struct pp_join join = {.recipe = d->recipe, .spot = next_spot(d)};
    d->depth -= count;
    for (unsigned i = 0; i < count; i++) {
        parts[i] = d->stack[d->depth + i];
        futures[i] = parts[i]->future;
        join.first[i] = parts[i]->first;
    }
    const struct pp_node *last = parts[count - 1];
    struct pp_node like = {.first = parts[0]->first, .count = last->first + last->count - parts[0]->first,
                           .digit = parts[0]->digit + 1, .spot = join.spot};
    struct pool_task task = {.fn = pp_join_task, .in = &join, .in_size = pp_join_size(count),
                             .after = futures, .after_count = count};
    clear_spot(d, join.spot);
    add_task(d, &task, &like);
    for (unsigned i = 0; i < count; i++) {
        parts[i]->wanted = false;
        pp_tree_drop(d, parts[i]);
    }
}

/* How many nodes on top of the stack have the digit of that at `depth`, which is one of them. */
static unsigned equals_on_top(const struct pp_reduction *d, unsigned depth) {
    unsigned count = d->depth - depth;
    while (depth > 0 && d->stack[depth - 1]->digit == d->stack[depth]->digit) depth--, count++;
    return count;
}

static void join_equals(struct pp_reduction *d) {
    while (!d->error && d->depth >= d->most && d->stack[d->depth - d->most]->digit == d->stack[d->depth - 1]->digit)
        join_top(d, d->most);
}

/* The input has ended. Combines all that is left, from right to left. */
static void join_rest(struct pp_reduction *d) {
    while (!d->error && d->depth > 1) {
        unsigned count = equals_on_top(d, d->depth - 1);
        join_top(d, count > 1 ? count : equals_on_top(d, d->depth - 2));
    }
}

static void take_settled(struct pp_reduction *d) {
    while (!d->error && d->settled) {
        struct pp_node *node = d->settled;
        d->settled = node->next;
        if (!d->settled) d->settled_end = &d->settled;
        d->stack[d->depth++] = node;
        join_equals(d);
    }
}

/* ---- leaves */

/* Takes up to a chunk of items. Returns how many; the code with which the input ends goes to *end. */
static size_t take_items(struct pp_reduction *d, char *items, int *end) {
    const struct pool_reduction *options = d->options;
    size_t count = 0;
    if (options->next) {
        while (count < d->chunk && (*end = options->next(options->next_arg, items + count * options->in_size)) == 0)
            count++;
        return count;
    }
    size_t left = options->count - (size_t)d->taken;
    count = left < d->chunk ? left : d->chunk;
    if (d->copies_items)
        memcpy(items, (const char *)options->in + (size_t)d->taken * options->in_size, count * options->in_size);
    if (left == count) *end = POOL_END;
    return count;
}

static void add_leaf(struct pp_reduction *d, size_t count) {
    if (!has_room(d)) return;
    struct pp_spot *spot = next_spot(d);
    struct pp_node like = {.first = d->taken, .count = count, .left = count, .spot = spot};
    struct pp_leaf *argument = d->argument;
    *argument = (struct pp_leaf){.recipe = d->recipe, .spot = spot, .first = d->taken, .count = count};
    struct pool_task task = task_of(d, argument);
    if (d->options->skip_failed) {
        memset((char *)argument + pp_leaf_mark(&d->told, count, 0), 0, count);
        like.leaf = pp_zalloc(1, task.in_size);
        if (like.leaf) memcpy(like.leaf, argument, task.in_size);
        else pp_tree_fail(d, POOL_ENOMEM, d->taken, NULL);
    }
    if (d->error || !add_task(d, &task, &like)) {
        pp_release(like.leaf);
        return;
    }
    d->taken += count;
    join_equals(d);
    take_settled(d);
}

static void fail_input(struct pp_reduction *d, int code) {
    struct pool_failure failure = {.code = code};
    snprintf(failure.message, sizeof failure.message, "the input failed: it returned %d", code);
    pp_tree_fail(d, code < 0 ? code : POOL_EFAILED, d->taken, &failure);
}

/* Waits for everything that was submitted. After a failure, what has not started is cancelled. */
static void await_all(struct pp_reduction *d) {
    for (bool cancelled = false; d->length > 0; await_one(d)) {
        if (!d->error || cancelled) continue;
        for (size_t i = 0; i < d->length; i++) future_cancel(d->ring[(d->head + i) % d->window]->future);
        cancelled = true;
    }
}

void pp_tree_grow(struct pp_reduction *d) {
    int end = 0;
    while (!d->error && end == 0) {
        size_t count = take_items(d, (char *)(d->argument + 1), &end);
        if (count > 0 && (end == 0 || end == POOL_END)) add_leaf(d, count);
        else d->taken += count; /* the input failed: they are not needed any more */
    }
    while (d->settles && !d->error && d->length > 0) {
        await_one(d);
        take_settled(d);
    }
    if (end == POOL_END) join_rest(d);
    await_all(d);
    if (end != POOL_END) fail_input(d, end); /* unless an earlier item has failed */
    if (d->depth > 0 || d->options->identity) return;
    pp_tree_fail(d, d->failed ? d->lowest.error : POOL_EINVAL, d->lowest.index, d->failed ? &d->lowest : NULL);
}
