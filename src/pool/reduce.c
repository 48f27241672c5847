/* pool_reduce(): map and combine in a tree whose shape depends on the number of items and the chunk alone.
 *
 *     leaves   chunk items each: in one task, the parts of its items are combined from left to right
 *     inside   like adding one to a binary counter: two neighbours that stand for equally many leaves are combined; at
 *              the end the rest, from right to left
 *
 * The tree consists of tasks and dependencies (graph.h): parts stay in shared memory, workers combine them, and the
 * caller only submits. The caller keeps two kinds of futures: at most `window` that it has not seen done, in a ring,
 * the oldest of which is awaited before the next is submitted; and on a stack those that are still to be combined, a
 * few for each digit of the counter. So the number of parts at a time does not depend on the length of the input.
 *
 * Large parts are combined as soon as both are there, in a task that comes after theirs. Where parts are small, a task
 * of its own for each two would cost more than to combine them. So a task does that for sixteen neighbours, four levels
 * of the same tree, and leaves get onto the stack only when they are done: no task waits for them, so the caller is not
 * woken for each (bench_limits, "blocks-sum").
 *
 * With skip_failed leaves likewise get onto the stack when they are done, if they have a part: no task comes after one
 * that may fail. An item whose fn returns a failure is left out by the worker. One that kills its worker, or runs for
 * too long, is marked in the leaf's argument, which the caller has kept, and the leaf is run again: so it is always the
 * fold of those of its items that do not fail, however they did.
 *
 * Invariant: outcomes are looked at in the order of submission, so every run tells the same failure. */
#include <string.h>

#include "base/sys.h"
#include "pool/alloc.h"
#include "pool/call.h"
#include "pool/future_alloc.h"
#include "pool/hosted.h"
#include "pool/lifetime.h"
#include "pool/pool.h"
#include "pool/progress.h"
#include "pool/resize.h"
#include "pool/tree.h"

/* Leaves of an array, if no chunk was given. Each leaf's part is new memory to its worker and is read once more to be
 * combined, so there are fewer of them where parts are large. */
#define LEAVES_MOST 1024U
#define LEAVES_OF_BLOCKS 128U /* such leaves are short beside what a task costs: bench_limits, "blocks-sum" */
#define LEAVES_LEAST 64U
#define LEAVES_BYTES ((size_t)256 << 20) /* of the parts of all leaves */
#define WINDOW_MOST 1024U      /* tasks under way, if they need less than WINDOW_BYTES */
#define WINDOW_BYTES (1U << 20)

/* ---- memory */

static size_t choose_window(const struct pp_reduction *d) {
    size_t least = 8 * (size_t)d->pool->workers + 16, bytes = d->options->out_size;
    if (d->copies_items) bytes += d->chunk * d->options->in_size;
    size_t fits = WINDOW_BYTES / (bytes ? bytes : 1);
    if (fits > WINDOW_MOST) fits = WINDOW_MOST;
    return fits > least ? fits : least;
}

static bool fill_recipe(struct pp_reduction *d, bool in_is_inherited) {
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

static bool make_nodes(struct pp_reduction *d) {
    d->argument = pp_zalloc(1, pp_leaf_size(&d->told, d->chunk));
    d->node_count = (d->settles ? 2 : 1) * d->window + PP_TREE_MOST;
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
static int begin_reduction(struct pp_reduction *d, bool in_is_inherited) {
    const struct pool_reduction *options = d->options;
    /* A call that may not wait must not begin. */
    int error = pp_in_report(d->pool) ? POOL_ETIMEDOUT : pp_refusal(d->pool);
    if (!error) error = pp_hosted_check(d->pool, options->context, options->context_size);
    if (error) return error;
    pp_advance(d->pool); /* outcomes may be there whose tasks hold room */
    bool lies_there = in_is_inherited || pp_is_in_arena(d->pool, options->in, options->count * options->in_size);
    d->copies_items = options->next ? options->in_size > 0 : options->in && !lies_there;
    d->window = choose_window(d);
    d->most = options->out_size <= PP_JOIN_SMALL ? PP_JOIN_MOST : 2;
    d->settles = options->skip_failed || d->most > 2;
    d->spot_size = (sizeof(struct pp_spot) + (d->chunk > 1 ? options->out_size : 0) + PP_LINE - 1) / PP_LINE * PP_LINE;
    if (d->spot_size > SIZE_MAX / d->window) return POOL_ENOMEM;
    if (!fill_recipe(d, in_is_inherited) || !make_nodes(d)) return POOL_ENOMEM;
    d->spots = pp_heap_alloc(&d->pool->memory.work, d->window * d->spot_size, false);
    return d->spots ? 0 : POOL_ENOMEM;
}

/* Under the lock. */
static void end_reduction(struct pp_reduction *d) {
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
    struct pp_reduction *d = of;
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

static void tell_outcome(struct pp_reduction *d) {
    const struct pool_reduction *options = d->options;
    int error;
    if (!d->error && d->depth == 0) memcpy(options->out, options->identity, options->out_size);
    else if (!d->error && (error = future_get(d->stack[0]->future, options->out, -1)) != 0)
        pp_tree_fail(d, error, 0, NULL);
    while (d->depth > 0) {
        struct pp_node *node = d->stack[--d->depth];
        node->wanted = false;
        pp_tree_drop(d, node);
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
    struct pp_reduction d;
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
        pp_tree_grow(&d);
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
