#include "pool/round_plan.h"

#include <string.h>

#include "shared/item_errors.h"
#include "shared/pieces.h"

#define MOST_BLOCKS 65536U /* of a job whose chunks are measured; each block has a mark */
#define MOST_AGAIN 65536U  /* items of a later round; the rest waits for one more */
/* Items in a block of marks of a block function, so that no two workers write to one cache line, in jobs in which a
 * worker has at least so many blocks. */
#define TOGETHER 64U

/* What the workers of a round write, in one block of the work heap: where each part begins. */
struct layout {
    size_t marks, pieces, errors, codes, failed, size; /* the cursors come first */
    uint32_t pieces_room, errors_room;
    bool has_codes;
};

static struct layout lay_out(const struct pool *pool, const struct pp_job *j, uint64_t count, uint64_t block) {
    const struct pp_job_plan *plan = j->plan;
    size_t wanted = j->result.failures_wanted < count ? j->result.failures_wanted : (size_t)count;
    struct layout at = {.pieces_room = block > 1 ? pp_pieces_room(pool->workers) : 0,
                        .errors_room = pp_item_errors_room(wanted),
                        .has_codes = !pp_item_errors_suffice(wanted)};
    at.marks = pp_aligned(plan->regions * sizeof(struct pp_cursor));
    at.pieces = at.marks + pp_aligned((size_t)plan->blocks);
    at.errors = at.pieces + (at.pieces_room ? pp_aligned(pp_pieces_size(at.pieces_room)) : 0);
    at.codes = at.errors + pp_aligned(pp_item_errors_size(at.errors_room));
    at.failed = at.codes + (at.has_codes ? (size_t)count * sizeof *plan->codes : 0);
    at.size = at.failed + (size_t)count;
    return at;
}

static void place_work(struct pp_job *j, const struct layout *at) {
    struct pp_job_plan *plan = j->plan;
    memset(j->work, 0, at->errors);
    plan->cursors = (void *)j->work;
    plan->marks = (void *)(j->work + at->marks);
    plan->pieces = at->pieces_room ? (void *)(j->work + at->pieces) : NULL;
    plan->pieces_room = at->pieces_room;
    plan->errors = (void *)(j->work + at->errors);
    plan->errors_room = at->errors_room;
    plan->codes = at->has_codes ? (void *)(j->work + at->codes) : NULL;
    plan->failed = (void *)(j->work + at->failed);
    pp_item_errors_begin(plan->errors, plan->errors_room);
}

/* The block function is called with so many items at most, for so long at most as an eighth of the shortest limit. */
static void plan_calls(struct pp_job_plan *plan, uint64_t call_most) {
    int32_t timeout = plan->timeout, cpu_timeout = plan->cpu_timeout;
    int32_t limit = cpu_timeout > 0 && (timeout == 0 || cpu_timeout < timeout) ? cpu_timeout : timeout;
    uint64_t ns = (uint64_t)limit * 1000000 / 8;
    plan->calls_each = limit > 0 && ns < PP_CHUNK_NS ? (unsigned)((PP_CHUNK_NS + ns - 1) / ns) : 1;
    plan->call_most = call_most;
}

/* Makes the plan for `count` positions in blocks of `block`. Returns false if there is no memory. */
static bool make_plan(struct pool *pool, struct pp_job *j, uint64_t count, uint64_t block, uint64_t chunk_blocks) {
    const struct pool_job *job = &j->job;
    struct pp_job_plan *plan = j->plan;
    memset(plan, 0, sizeof *plan);
    plan->blocks = (count + block - 1) / block;
    pp_plan_deal(plan, pool->workers);
    if (count > SIZE_MAX / 8) return false;
    struct layout at = lay_out(pool, j, count, block);
    j->work = pp_heap_alloc(&pool->memory.work, at.size, false);
    if (!j->work) return false;
    place_work(j, &at);
    plan->fn = job->fn;
    plan->block_fn = job->block;
    plan->in = j->in ? j->in : job->in;
    plan->in_size = job->in_size;
    plan->out = j->out ? j->out : job->out;
    plan->out_size = job->out_size;
    plan->sizes = j->sizes;
    plan->scratch = j->scratch;
    plan->scratch_size = pp_aligned(job->out_size * (size_t)j->call_most);
    plan->scratch_parts = j->scratch_parts;
    plan->context = j->context ? j->context : job->context;
    plan->context_size = job->context_size;
    plan->index = j->index;
    plan->names = j->names;
    plan->first_name = j->first_name;
    plan->count = count;
    plan->block = block;
    plan->chunk_blocks = chunk_blocks;
    plan->timeout = job->timeout;
    plan->cpu_timeout = job->cpu_timeout;
    plan->seed = job->seed;
    plan_calls(plan, j->call_most);
    return true;
}

/* Of items that are claimed many at a time. */
static bool make_plan_of_chunks(struct pool *pool, struct pp_job *j, uint64_t count) {
    uint64_t most = j->marks_most ? j->marks_most : MOST_BLOCKS;
    uint64_t chunk = j->job.chunk, block = chunk ? chunk : (count + most - 1) / most;
    bool many = j->job.block && !chunk && count / TOGETHER / TOGETHER >= pool->workers;
    if (many) block = (block + TOGETHER - 1) / TOGETHER * TOGETHER;
    if (block > count) block = count;
    return make_plan(pool, j, count, block, chunk ? 1 : 0);
}

/* Of items that are claimed one by one. */
static bool make_plan_of_items(struct pool *pool, struct pp_job *j, uint64_t count, bool fresh) {
    if (!make_plan(pool, j, count, 1, 1)) return false;
    j->plan->call_most = 1;
    j->plan->fresh = fresh;
    return true;
}

bool pp_round_make_first(struct pool *pool, struct pp_job *j) {
    uint64_t count = j->job.count;
    return j->fresh ? make_plan_of_items(pool, j, count, true) : make_plan_of_chunks(pool, j, count);
}

/* The items are in their order: the lowest positions keep their messages, and these must be of the lowest items. */
bool pp_round_make_next(struct pool *pool, struct pp_job *j) {
    enum pp_again kind;
    uint64_t count = pp_job_result_count_next(&j->result, &kind);
    if (count > MOST_AGAIN) count = MOST_AGAIN;
    uint64_t *index = pp_heap_alloc(&pool->memory.inputs, (size_t)count * sizeof *index, false);
    if (!index) return false;
    pp_job_result_take(&j->result, index, count, kind);
    j->index = index;
    for (uint64_t i = 0; j->sizes && i < count; i++) j->sizes[index[i]] = 0; /* what a victim has said does not count */
    bool in_calls = kind == PP_AGAIN_IN_CALLS, fresh = kind == PP_RETRIES;
    if (in_calls ? make_plan_of_chunks(pool, j, count) : make_plan_of_items(pool, j, count, fresh)) return true;
    /* These items were taken from those that are left. */
    for (uint64_t i = 0; i < count; i++) pp_job_result_fail_as(&j->result, index[i], POOL_ENOMEM);
    return false;
}

void pp_round_free(struct pool *pool, struct pp_job *j) {
    pp_heap_free(&pool->memory.work, j->work);
    pp_heap_free(&pool->memory.inputs, j->index);
    j->work = NULL;
    j->index = NULL;
}
