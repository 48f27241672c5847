/* Parts of jobs at a node: each is a job of the node's own pool, whose items are reported as they end; see node.h. */
#include <string.h>

#include "base/sys.h"
#include "host/node.h"
#include "pool/alloc.h"
#include "pool/call.h"
#include "pool/job.h"
#include "pool/map.h"

#define MARKS_MOST 2048U /* of a chunk: more items than that are short, and are claimed and reported some at a time */

/* ---- making */

void pp_node_chunk_free(struct pp_node_self *node, struct pp_node_chunk *chunk) {
    if (!chunk) return;
    pp_lock(node->pool);
    pp_heap_free(&node->pool->memory.inputs, chunk->in);
    pp_heap_free(&node->pool->memory.inputs, chunk->names);
    pp_unlock(node->pool);
    pool_free(node->pool, chunk->out);
    pp_job_result_free(&chunk->result);
    pp_release(chunk->sizes);
    pp_release(chunk->told);
    pp_release(chunk);
}

static bool copy_arguments(struct pool *pool, struct pp_node_chunk *chunk, const struct pp_chunk_message *m) {
    if (m->has_list) {
        chunk->names = pp_alloc_whole(pool, &pool->memory.inputs, chunk->count * sizeof *chunk->names);
        if (!chunk->names) return false;
        for (size_t i = 0; i < chunk->count; i++) chunk->names[i] = pp_get_number(m->list, i);
    }
    if (m->in_bytes == 0) return true;
    chunk->in = pp_alloc_whole(pool, &pool->memory.inputs, m->in_bytes);
    if (chunk->in) memcpy(chunk->in, m->in, m->in_bytes);
    return chunk->in != NULL;
}

struct pp_node_chunk *pp_node_chunk_make(struct pp_node_self *node, const struct pp_chunk_message *m) {
    struct pp_node_job *job = pp_node_find(node, &node->jobs, m->job);
    const struct pp_job_message *told = &job->told;
    if (told->combine) pp_node_refuse(node, "a chunk of a reduction");
    if (told->in_size > 0 ? m->in_bytes / told->in_size != m->count || m->in_bytes % told->in_size != 0 : m->in_bytes)
        pp_node_refuse(node, "a chunk of another size");
    struct pp_node_chunk *chunk = pp_zalloc(1, sizeof *chunk);
    if (!chunk) return NULL;
    *chunk = (struct pp_node_chunk){.job = job, .count = m->count, .first = m->first};
    chunk->function = pp_node_find(node, &node->functions, told->function);
    chunk->context = told->context ? pp_node_find(node, &node->contexts, told->context) : NULL;
    chunk->told = pp_zalloc(chunk->count, 1);
    chunk->sizes = told->has_sizes ? pp_zalloc(chunk->count, sizeof *chunk->sizes) : NULL;
    pp_lock(node->pool);
    bool copied = chunk->told && (chunk->sizes || !told->has_sizes) && copy_arguments(node->pool, chunk, m);
    pp_unlock(node->pool);
    if (copied) return chunk;
    pp_node_chunk_free(node, chunk);
    return NULL;
}

int pp_node_chunk_begin(struct pp_node_self *node, struct pp_node_work *work) {
    struct pp_node_chunk *chunk = work->chunk;
    const struct pp_job_message *told = &chunk->job->told;
    if (told->wants_out) {
        bool fits = told->out_size <= SIZE_MAX / chunk->count;
        chunk->out = fits ? pool_alloc(node->pool, (size_t)told->out_size * chunk->count) : NULL;
        if (!chunk->out) return POOL_ENOMEM;
    }
    size_t failures = told->failures < chunk->count ? told->failures : chunk->count;
    struct pool_job job = {.in = chunk->in, .in_size = chunk->in ? (size_t)told->in_size : 0,
                           .out = chunk->out, .out_size = (size_t)told->out_size, .count = chunk->count,
                           .timeout = (int)told->timeout, .cpu_timeout = (int)told->cpu_timeout, .seed = told->seed,
                           .context = chunk->context, .out_sizes = chunk->sizes, .failures_room = failures};
    if (told->is_block) job.block = (pool_block_fn *)(pp_function *)chunk->function->fn;
    else job.fn = chunk->function->fn;
    job.chunk = told->is_block && chunk->names; /* items of one call are neighbours */
    struct pp_map_setup setup = {.inherited = true, .names = chunk->names, .first_name = chunk->first,
                                 .marks_most = MARKS_MOST, .fresh = told->is_fresh, .result_to = &chunk->result};
    chunk->begun_at = pp_now();
    pp_lock(node->pool);
    int error = pp_map_begin(node->pool, &job, &setup, &work->future);
    pp_unlock(node->pool);
    return error;
}

/* ---- reports */

/* The size of each result, while the job runs and once it has ended. What exceeds the room was overwritten. */
static uint64_t size_of(const struct pp_node_work *work, size_t item) {
    const struct pp_job *running = work->future->job;
    size_t room = (size_t)work->chunk->job->told.out_size;
    if (!running) return work->chunk->sizes[item];
    size_t said = running->sizes[item];
    return said == 0 || said - 1 > room ? room : said - 1;
}

static void report_range(struct pp_node_self *node, const struct pp_node_work *work, size_t first, size_t count) {
    struct pp_node_chunk *chunk = work->chunk;
    unsigned char fixed[PP_FIXED_MOST];
    uint64_t now = pp_now(), since = chunk->begun_at > node->told_items_at ? chunk->begun_at : node->told_items_at;
    struct pp_items_message m = {.first = (uint32_t)first, .count = (uint32_t)count, .took = now - since,
                                 .has_sizes = chunk->sizes};
    node->told_items_at = now;
    memset(chunk->told + first, 1, count);
    chunk->told_count += count;
    size_t size = pp_put_items(fixed, &m), out_size = chunk->out ? (size_t)chunk->job->told.out_size : 0;
    const char *out = chunk->out ? chunk->out + first * out_size : NULL;
    if (!chunk->sizes) {
        pp_node_say(node, PP_SAY_ITEMS, work->id, fixed, size, out, count * out_size);
        return;
    }
    unsigned char *sizes = pp_zalloc(count, 8);
    for (size_t i = 0; sizes && i < count; i++) pp_put_number(sizes, i, size_of(work, first + i));
    const struct iovec parts[] = {{fixed, size}, {sizes, 8 * count}, {(void *)(uintptr_t)out, count * out_size}};
    if (!sizes || !pp_wire_send(&node->wire, PP_SAY_ITEMS, work->id, parts, 3)) pp_wire_lose(&node->wire, "no memory");
    pp_release(sizes);
}

/* Reports each run of items that have succeeded and were not reported. is_open: [count], of a job that runs; NULL: it
 * has ended. */
static void report(struct pp_node_self *node, const struct pp_node_work *work, const unsigned char *outcomes,
                   const unsigned char *is_open) {
    struct pp_node_chunk *chunk = work->chunk;
    bool all = !is_open && chunk->result.failed == 0 && chunk->told_count == 0; /* most often */
    if (all) report_range(node, work, 0, chunk->count);
    for (size_t i = 0, end; i < chunk->count && !all; i = end > i ? end : i + 1) {
        for (end = i; end < chunk->count; end++)
            if (chunk->told[end] || outcomes[end] || (is_open && is_open[end])) break;
        if (end > i) report_range(node, work, i, end - i);
    }
}

static void open_ranges(unsigned char *is_open, const struct pp_ranges *ranges) {
    for (size_t i = 0; i < ranges->count; i++)
        memset(is_open + ranges->ranges[i].first, 1, (size_t)ranges->ranges[i].count);
}

/* Which items have no outcome yet: those of this round without a mark, and those that a death has left to the next,
 * whose blocks are marked all the same. Acquire: pairs with the mark that the worker has written after the results. */
static void find_open(const struct pp_job *job, unsigned char *is_open) {
    const struct pp_job_plan *plan = job->plan;
    for (uint64_t b = 0, p = 0, end; b < plan->blocks; b++, p = end) {
        end = p + plan->block < plan->count ? p + plan->block : plan->count;
        if (atomic_load_explicit(&plan->marks[b], memory_order_acquire) == PP_MARK_DONE) continue;
        for (uint64_t i = p; i < end; i++) is_open[job->index ? job->index[i] : i] = 1;
    }
    for (int kind = 0; kind < PP_AGAIN_KINDS; kind++) open_ranges(is_open, &job->result.left[kind]);
}

void pp_node_chunk_report_so_far(struct pp_node_self *node, const struct pp_node_work *work) {
    const struct pp_job *job = work->future->job;
    unsigned char *is_open = job->work ? pp_zalloc(work->chunk->count, 1) : NULL;
    if (!is_open) return;
    find_open(job, is_open);
    report(node, work, job->result.outcomes, is_open);
    pp_release(is_open);
}

/* What was cancelled is not reported: it was not run. */
static void report_failures(struct pp_node_self *node, const struct pp_node_work *work) {
    const struct pp_job_result *result = &work->chunk->result;
    size_t kept = 0;
    for (size_t i = 0; i < work->chunk->count && result->failed > 0; i++) {
        int error = -(int)result->outcomes[i];
        while (kept < result->failure_count && result->failures[kept].index < i) kept++;
        bool is_kept = kept < result->failure_count && result->failures[kept].index == i;
        struct pool_failure failure = is_kept ? result->failures[kept] : (struct pool_failure){.error = error};
        if (error && error != POOL_ECANCELLED) pp_node_say_failed(node, PP_SAY_ITEM_FAILED, work->id, i, &failure);
    }
}

void pp_node_chunk_report(struct pp_node_self *node, const struct pp_node_work *work) {
    const struct pp_job_result *result = &work->chunk->result;
    if (!result->outcomes) return; /* the job was not begun */
    report(node, work, result->outcomes, NULL);
    report_failures(node, work);
}
