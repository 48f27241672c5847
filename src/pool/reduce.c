/* pool_reduce(): map and combine in a tree whose shape depends on the number of items and the chunk alone.
 *
 *     leaves   chunk items each: in one task, the parts of its items are combined from left to right
 *     inside   like adding one to a binary counter: two neighbours that stand for equally many leaves are combined as
 *              soon as both are there, in a task that comes after theirs; at the end the rest, from right to left
 *
 * The tree consists of tasks and dependencies (graph.h): parts stay in shared memory, workers combine them, and the
 * caller only submits. The caller keeps two kinds of futures: at most `window` that it has not seen done, in a ring,
 * the oldest of which is awaited before the next is submitted; and on a stack those that are still to be combined, one
 * for each digit of the counter. So the number of parts at a time does not depend on the length of the input.
 *
 * With skip_failed a leaf gets onto the stack only when it is done and has a part: no task comes after one that may
 * fail. An item whose fn returns a failure is left out by the worker. One that kills its worker, or runs for too long,
 * is marked in the leaf's argument, which the caller has kept, and the leaf is run again: so it is always the fold of
 * those of its items that do not fail, however they did.
 *
 * Invariant: outcomes are looked at in the order of submission, so every run tells the same failure. */
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "base/text.h"
#include "pool/alloc.h"
#include "pool/call.h"
#include "pool/future_alloc.h"
#include "pool/pool.h"
#include "pool/progress.h"
#include "pool/resize.h"
#include "worker/fold.h"

/* Leaves of an array, if no chunk was given. Each leaf's part is new memory to its worker and is read once more to be
 * combined, so there are fewer of them where parts are large. */
#define LEAVES_MOST 1024U
#define LEAVES_OF_BLOCKS 256U /* a block function makes a leaf's part in about the time that combining two takes */
#define LEAVES_LEAST 64U
#define LEAVES_BYTES ((size_t)256 << 20) /* of the parts of all leaves */
#define WINDOW_MOST 1024U      /* tasks under way, if they need less than WINDOW_BYTES */
#define WINDOW_BYTES (1U << 20)
#define DIGITS 66              /* of the counter, and two that are being combined */
#define MOST_LOSSES 3U

struct node {
    struct future *future; /* NULL: the node is not in use */
    uint64_t first, count; /* its items; count only of a leaf */
    uint64_t right;        /* first item of the right part; of a leaf, `first` */
    unsigned digit;
    bool awaited, wanted; /* it is in the ring; it is on the stack */
    struct pp_spot *spot;  /* NULL: it is no leaf */
    struct pp_leaf *leaf;  /* with skip_failed, its argument; NULL: it is settled, or no leaf */
    size_t left, losses;   /* items that have not failed; times that it was lost, and nothing tells at which item */
    struct node *next;     /* among those that are free, or settled */
};

struct reduction {
    struct pool *pool;
    const struct pool_reduction *options;
    size_t chunk;
    bool copies_items;
    struct pp_recipe *recipe, told; /* the same in the caller's own memory, which stays when the pool ends */
    char *context; /* a copy, or NULL */
    char *spots;
    size_t spot_size;
    struct pp_leaf *argument;
    struct node *nodes, *free_nodes; /* [node_count] */
    size_t node_count;
    struct node *settled, **settled_end; /* leaves that are to get onto the stack, in this order */
    struct node **ring;              /* [window] */
    size_t window, head, length;
    struct node *stack[DIGITS];
    unsigned depth;
    uint64_t taken; /* items taken from the input */
    int error;
    struct pool_failure failure;
    size_t failed;              /* items that were left out; */
    struct pool_failure lowest; /* of those the first */
};

/* ---- failures */

static void fail(struct reduction *d, int error, uint64_t index, const struct pool_failure *failure) {
    if (d->error) return;
    d->error = error;
    if (failure) d->failure = *failure;
    d->failure.error = error;
    d->failure.index = (size_t)index;
    if (!d->failure.message[0])
        snprintf(d->failure.message, sizeof d->failure.message, "%s", pool_strerror(error));
}

static void fail_in(struct reduction *d, const struct node *node, int error) {
    struct pool_failure failure;
    if (d->error || future_failure(node->future, &failure)) return;
    uint64_t at = node->right;
    if (node->spot && !d->pool->destroyed) at = atomic_load_explicit(&node->spot->at, memory_order_relaxed);
    /* Workers can write there, and a leaf that did not start has not written it. */
    if (node->spot && (at < node->first || at - node->first >= node->count)) at = node->first;
    fail(d, error, at, &failure);
}

/* ---- nodes */

static void drop_node(struct reduction *d, struct node *node) {
    if (node->awaited || node->wanted) return;
    struct future *future = node->future;
    node->future = NULL;
    node->next = d->free_nodes;
    d->free_nodes = node;
    future_free(future);
}

static int submit(struct reduction *d, struct pool_task *task, struct future **future) {
    task->out_size = d->options->out_size;
    task->timeout = d->options->timeout;
    task->cpu_timeout = d->options->cpu_timeout;
    task->retries = d->options->retries;
    return pool_submit(d->pool, task, future);
}

static struct pool_task task_of(const struct reduction *d, const struct pp_leaf *leaf) {
    /* Until the worker has begun, nothing tells at which item it is. */
    if (!d->pool->destroyed) atomic_store_explicit(&leaf->spot->at, UINT64_MAX, memory_order_relaxed);
    size_t size = pp_leaf_size(&d->told, (size_t)leaf->count);
    return (struct pool_task){.fn = pp_leaf_task, .in = leaf, .in_size = size};
}

/* ---- leaves of which items may fail */

static void leave_out(struct reduction *d, struct node *node, size_t count, const struct pool_failure *failure) {
    node->left -= count;
    d->failed += count;
    if (!d->lowest.error || failure->index < d->lowest.index) d->lowest = *failure;
}

/* What the worker has left out. It could write anything there. */
static void count_failed(struct reduction *d, struct node *node) {
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
static void mark_item(struct reduction *d, struct node *node) {
    struct pool_failure failure;
    uint64_t i = atomic_load_explicit(&node->spot->at, memory_order_relaxed) - node->first;
    bool was_alone = node->leaf->alone || !d->told.block;
    node->leaf->alone = true;
    if (!was_alone) return;
    char *marks = (char *)node->leaf + pp_leaf_mark(&d->told, (size_t)node->count, 0);
    if (future_failure(node->future, &failure)) return;
    if (i >= node->count || marks[i]) { /* it had not begun, or what tells it was overwritten */
        if (++node->losses >= MOST_LOSSES) fail(d, failure.error, node->first, &failure);
        return;
    }
    marks[i] = 1;
    failure.index = (size_t)(node->first + i);
    leave_out(d, node, 1, &failure);
}

/* Takes in how the leaf has ended, with that error. Returns false if it runs again. */
static bool settle(struct reduction *d, struct node *node, int error) {
    bool died = error == POOL_EDIED || error == POOL_EDEADLINE;
    if (error && !died) fail_in(d, node, error);
    if (!d->error && !d->pool->destroyed && died) mark_item(d, node);
    if (!d->error && died && node->left > 0) {
        future_free(node->future);
        node->future = NULL;
        struct pool_task again = task_of(d, node->leaf);
        error = submit(d, &again, &node->future);
        if (!error) return false;
        fail(d, error, node->first, NULL);
    }
    if (!error && !d->pool->destroyed) count_failed(d, node);
    pp_release(node->leaf);
    node->leaf = NULL;
    node->wanted = !d->error && node->left > 0;
    if (!node->wanted) return true;
    node->next = NULL;
    *d->settled_end = node;
    d->settled_end = &node->next;
    return true;
}

/* ---- the ring and the stack */

/* Waits for the oldest task in the ring. */
static void await_one(struct reduction *d) {
    struct node *node = d->ring[d->head];
    bool settles = node->leaf != NULL;
    int error;
    do error = future_get(node->future, NULL, -1);
    while (settles && !settle(d, node, error));
    if (error && !settles) fail_in(d, node, error);
    d->head = (d->head + 1) % d->window;
    d->length--;
    node->awaited = false;
    drop_node(d, node);
}

/* Waits until there is room in the ring. Returns false after a failure. */
static bool has_room(struct reduction *d) {
    if (d->length == d->window) await_one(d);
    return !d->error;
}

/* Submits the task with the first free node, and puts the node into the ring, which must have room, and on the stack
 * unless it is to be settled. If memory is short, it waits for tasks that run. Returns false if it, or one of those,
 * failed. */
static bool add_task(struct reduction *d, struct pool_task *task, const struct node *like) {
    int error;
    while ((error = submit(d, task, &d->free_nodes->future)) == POOL_ENOMEM && d->length > 0 && !d->error)
        await_one(d);
    if (error) fail(d, error, like->first, NULL);
    if (error) return false;
    struct node *node = d->free_nodes;
    struct future *future = node->future;
    d->free_nodes = node->next;
    *node = *like;
    node->future = future;
    node->awaited = node->wanted = true;
    d->ring[(d->head + d->length++) % d->window] = node;
    if (!node->leaf) d->stack[d->depth++] = node;
    return true;
}

/* Combines the two nodes on top of the stack. */
static void join_top(struct reduction *d) {
    if (!has_room(d)) return;
    struct node *right = d->stack[--d->depth], *left = d->stack[--d->depth];
    struct future *both[] = {left->future, right->future};
    struct pp_join join = {.recipe = d->recipe, .right = right->first};
    struct node like = {.first = left->first, .right = right->first, .digit = left->digit + 1};
    struct pool_task task = {.fn = pp_join_task, .in = &join, .in_size = sizeof join, .after = both, .after_count = 2};
    add_task(d, &task, &like);
    left->wanted = right->wanted = false;
    drop_node(d, left);
    drop_node(d, right);
}

static void join_equals(struct reduction *d) {
    while (!d->error && d->depth >= 2 && d->stack[d->depth - 1]->digit == d->stack[d->depth - 2]->digit) join_top(d);
}

static void take_settled(struct reduction *d) {
    while (!d->error && d->settled) {
        struct node *node = d->settled;
        d->settled = node->next;
        if (!d->settled) d->settled_end = &d->settled;
        d->stack[d->depth++] = node;
        join_equals(d);
    }
}

/* ---- leaves */

/* Takes up to a chunk of items. Returns how many; the code with which the input ends goes to *end. */
static size_t take_items(struct reduction *d, char *items, int *end) {
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

static void add_leaf(struct reduction *d, size_t count) {
    if (!has_room(d)) return;
    size_t place = (d->head + d->length) % d->window;
    struct pp_spot *spot = (void *)(d->spots + place * d->spot_size);
    struct node like = {.first = d->taken, .right = d->taken, .count = count, .left = count, .spot = spot};
    struct pp_leaf *argument = d->argument;
    *argument = (struct pp_leaf){.recipe = d->recipe, .spot = spot, .first = d->taken, .count = count};
    struct pool_task task = task_of(d, argument);
    if (d->options->skip_failed) {
        memset((char *)argument + pp_leaf_mark(&d->told, count, 0), 0, count);
        like.leaf = pp_zalloc(1, task.in_size);
        if (like.leaf) memcpy(like.leaf, argument, task.in_size);
        else fail(d, POOL_ENOMEM, d->taken, NULL);
    }
    if (d->error || !add_task(d, &task, &like)) {
        pp_release(like.leaf);
        return;
    }
    d->taken += count;
    join_equals(d);
    take_settled(d);
}

static void fail_input(struct reduction *d, int code) {
    struct pool_failure failure = {.code = code};
    snprintf(failure.message, sizeof failure.message, "the input failed: it returned %d", code);
    fail(d, code < 0 ? code : POOL_EFAILED, d->taken, &failure);
}

/* Waits for everything that was submitted. After a failure, what has not started is cancelled. */
static void await_all(struct reduction *d) {
    for (bool cancelled = false; d->length > 0; await_one(d)) {
        if (!d->error || cancelled) continue;
        for (size_t i = 0; i < d->length; i++) future_cancel(d->ring[(d->head + i) % d->window]->future);
        cancelled = true;
    }
}

static void grow_tree(struct reduction *d) {
    int end = 0;
    while (!d->error && end == 0) {
        size_t count = take_items(d, (char *)(d->argument + 1), &end);
        if (count > 0 && (end == 0 || end == POOL_END)) add_leaf(d, count);
        else d->taken += count; /* the input failed: they are not needed any more */
    }
    while (d->options->skip_failed && !d->error && d->length > 0) {
        await_one(d);
        take_settled(d);
    }
    while (!d->error && end == POOL_END && d->depth > 1) join_top(d);
    await_all(d);
    if (end != POOL_END) fail_input(d, end); /* unless an earlier item has failed */
    if (d->depth > 0 || d->options->identity) return;
    fail(d, d->failed ? d->lowest.error : POOL_EINVAL, d->lowest.index, d->failed ? &d->lowest : NULL);
}

/* ---- memory */

static size_t choose_window(const struct reduction *d) {
    size_t least = 8 * (size_t)d->pool->workers + 16, bytes = d->options->out_size;
    if (d->copies_items) bytes += d->chunk * d->options->in_size;
    size_t fits = WINDOW_BYTES / (bytes ? bytes : 1);
    if (fits > WINDOW_MOST) fits = WINDOW_MOST;
    return fits > least ? fits : least;
}

static bool fill_recipe(struct reduction *d, bool in_is_inherited) {
    static _Atomic uint64_t made;
    const struct pool_reduction *options = d->options;
    struct pool *pool = d->pool;
    struct pp_recipe *recipe = d->recipe = pp_heap_alloc(&pool->memory.inputs, sizeof *recipe, true);
    if (!recipe) return false;
    recipe->fn = options->fn;
    recipe->block = options->block;
    recipe->combine = options->combine;
    recipe->in = d->copies_items ? NULL : options->in;
    recipe->in_size = options->in || options->next ? options->in_size : 0;
    recipe->out_size = options->out_size;
    recipe->seed = options->seed;
    recipe->skip_failed = options->skip_failed;
    recipe->context = options->context;
    recipe->context_size = options->context_size;
    recipe->serial = atomic_fetch_add_explicit(&made, 1, memory_order_relaxed) + 1;
    if (!in_is_inherited && !pp_copy_in(pool, options->context, options->context_size, &d->context)) return false;
    if (d->context) recipe->context = d->context;
    d->told = *recipe;
    return true;
}

static bool make_nodes(struct reduction *d) {
    d->argument = pp_zalloc(1, pp_leaf_size(&d->told, d->chunk));
    d->node_count = (d->options->skip_failed ? 2 : 1) * d->window + DIGITS;
    d->nodes = pp_zalloc(d->node_count, sizeof *d->nodes);
    d->ring = pp_zalloc(d->window, sizeof *d->ring);
    if (!d->argument || !d->nodes || !d->ring) return false;
    for (size_t i = 0; i < d->node_count; i++) {
        d->nodes[i].next = d->free_nodes;
        d->free_nodes = &d->nodes[i];
    }
    return true;
}

/* Under the lock. Returns 0, or why it cannot begin. */
static int begin_reduction(struct reduction *d, bool in_is_inherited) {
    const struct pool_reduction *options = d->options;
    /* A call that may not wait must not begin. */
    int error = pp_in_report(d->pool) ? POOL_ETIMEDOUT : pp_refusal(d->pool);
    if (error) return error;
    pp_advance(d->pool); /* outcomes may be there whose tasks hold room */
    bool lies_there = in_is_inherited || pp_is_in_arena(d->pool, options->in, options->count * options->in_size);
    d->copies_items = options->next ? options->in_size > 0 : options->in && !lies_there;
    d->window = choose_window(d);
    d->spot_size = (sizeof(struct pp_spot) + (d->chunk > 1 ? options->out_size : 0) + PP_LINE - 1) / PP_LINE * PP_LINE;
    if (d->spot_size > SIZE_MAX / d->window) return POOL_ENOMEM;
    if (!fill_recipe(d, in_is_inherited) || !make_nodes(d)) return POOL_ENOMEM;
    d->spots = pp_heap_alloc(&d->pool->memory.work, d->window * d->spot_size, false);
    return d->spots ? 0 : POOL_ENOMEM;
}

/* Under the lock. */
static void end_reduction(struct reduction *d) {
    pp_heap_free(&d->pool->memory.inputs, d->recipe);
    pp_heap_free(&d->pool->memory.inputs, d->context);
    pp_heap_free(&d->pool->memory.work, d->spots);
    pp_release(d->argument);
    for (size_t i = 0; d->nodes && i < d->node_count; i++) pp_release(d->nodes[i].leaf);
    pp_release(d->nodes);
    pp_release(d->ring);
}

/* An exception passes through pool_reduce(). Its tasks end first, since they use what lies in `work`. */
static void abandon(void *of) {
    struct reduction *d = of;
    size_t count = d->nodes ? d->node_count : 0;
    for (size_t i = 0; i < count; i++)
        if (d->nodes[i].future) future_kill(d->nodes[i].future);
    for (size_t i = 0; i < count; i++) {
        if (!d->nodes[i].future) continue;
        future_wait(d->nodes[i].future, -1);
        future_free(d->nodes[i].future);
    }
    pp_lock(d->pool);
    end_reduction(d);
    pp_unlock_and_let_go(d->pool);
}

static void tell_outcome(struct reduction *d) {
    const struct pool_reduction *options = d->options;
    int error;
    if (!d->error && d->depth == 0) memcpy(options->out, options->identity, options->out_size);
    else if (!d->error && (error = future_get(d->stack[0]->future, options->out, -1)) != 0) fail(d, error, 0, NULL);
    while (d->depth > 0) {
        struct node *node = d->stack[--d->depth];
        node->wanted = false;
        drop_node(d, node);
    }
    if (options->failure) *options->failure = d->error ? d->failure : d->lowest;
    if (options->failed) *options->failed = d->failed;
}

/* ---- the call */

static size_t default_chunk(const struct pool_reduction *options) {
    size_t count = options->count, most = options->block ? LEAVES_OF_BLOCKS : LEAVES_MOST;
    size_t leaves = options->out_size ? LEAVES_BYTES / options->out_size : most;
    if (leaves > most) leaves = most;
    if (leaves < LEAVES_LEAST) leaves = LEAVES_LEAST;
    return count / leaves + (count % leaves != 0);
}

static size_t choose_chunk(const struct pool_reduction *options) {
    if (options->next) return options->chunk ? options->chunk : 1;
    size_t chunk = options->chunk ? options->chunk : default_chunk(options);
    if (chunk > options->count) chunk = options->count;
    return chunk ? chunk : 1;
}

static int check_reduction(const struct pool_reduction *options, size_t chunk) {
    if (!options->combine || !options->out || options->out_size == 0) return POOL_EINVAL;
    if (options->timeout < 0 || options->cpu_timeout < 0) return POOL_EINVAL;
    if (options->out_size > SIZE_MAX / 4) return POOL_EINVAL;
    if (options->next && (options->in || options->count)) return POOL_EINVAL;
    if (options->in && options->in_size == 0) return POOL_EINVAL;
    if (options->fn && options->block) return POOL_EINVAL;
    bool has_parts = options->in_size == options->out_size && (options->in || options->next);
    if (!options->fn && !options->block && !has_parts) return POOL_EINVAL;
    if (options->context_size && !options->context) return POOL_EINVAL;
    if (!options->next && options->count == 0 && !options->identity) return POOL_EINVAL;
    if (options->in_size == 0) return 0;
    if (chunk > SIZE_MAX / 2 / options->in_size || options->count > SIZE_MAX / options->in_size) return POOL_EINVAL;
    return 0;
}

static int reduce(struct pool *pool, const struct pool_reduction *options, size_t chunk, bool in_is_inherited) {
    struct reduction d;
    memset(&d, 0, sizeof d);
    d.pool = pool;
    d.options = options;
    d.chunk = chunk;
    d.settled_end = &d.settled;
    pp_lock_and_keep(pool); /* the input or a callback may end the pool */
    PP_GUARD(guard, abandon, &d);
    int error = begin_reduction(&d, in_is_inherited);
    pp_unlock(pool);
    if (!error) {
        grow_tree(&d);
        tell_outcome(&d);
        error = d.error;
    }
    pp_release_guard(&guard);
    pp_lock(pool);
    end_reduction(&d);
    pp_unlock_and_let_go(pool);
    return error;
}

/* A pool for this call: its workers inherit all inputs. */
static int reduce_alone(const struct pool_reduction *options, size_t chunk) {
    int workers = pp_worker_count(options->workers);
    if (workers < 0) return workers;
    size_t leaves = options->count / chunk + (options->count % chunk != 0);
    if (!options->next && leaves < (size_t)workers) workers = leaves ? (int)leaves : 1;
    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = workers, .hosts = ""}, &pool);
    if (error) return error;
    PP_GUARD(guard, pp_destroy, pool);
    error = reduce(pool, options, chunk, true);
    pp_release_guard(&guard);
    pool_destroy(pool);
    return error;
}

int pool_reduce(struct pool *pool, const struct pool_reduction *options) {
    if (!options) return POOL_EINVAL;
    if (pool && pp_is_foreign(pool)) return POOL_EFOREIGN;
    size_t chunk = choose_chunk(options);
    int error = check_reduction(options, chunk);
    if (error) return error;
    return pool ? reduce(pool, options, chunk, false) : reduce_alone(options, chunk);
}
