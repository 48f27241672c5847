#include "pool/map.h"

#include "base/sys.h"
#include "pool/alloc.h"
#include "pool/call.h"
#include "pool/finish.h"
#include "pool/future_alloc.h"
#include "pool/hosted.h"
#include "pool/job.h"
#include "pool/job_result.h"
#include "pool/lifetime.h"
#include "pool/progress.h"
#include "pool/resize.h"
#include "pool/round_plan.h"
#include "pool/tell.h"

#define COUNT_MOST ((uint64_t)1 << 40) /* positions, regions and their products stay far from overflow */
/* Items of a call of a block function: larger calls are no faster, and so many items are run one by one in about the
 * time that a worker takes to be replaced. */
#define CALL_MOST 16384U
#define CALL_SCRATCH ((size_t)256 << 10) /* bytes of results that are not wanted */

/* A block function may run over items again, so it must not write its results over its arguments. */
static bool overlaps(const struct pool_job *job) {
    uintptr_t in = (uintptr_t)job->in, out = (uintptr_t)job->out;
    return job->in && job->out && in < out + job->count * job->out_size && out < in + job->count * job->in_size;
}

static int check_job(const struct pool_job *job) {
    if (!job->fn == !job->block) return POOL_EINVAL;
    if (job->timeout < 0 || job->cpu_timeout < 0 || job->progress_interval < 0) return POOL_EINVAL;
    if ((job->in && job->in_size == 0) || (job->out && job->out_size == 0)) return POOL_EINVAL;
    if ((job->context_size && !job->context) || (job->out_sizes && !job->out)) return POOL_EINVAL;
    if (job->block && job->out_sizes) return POOL_EINVAL; /* how to resize one item of several? */
    if (!job->failures != !job->failures_room) return POOL_EINVAL;
    if (job->failures_room > SIZE_MAX / sizeof *job->failures) return POOL_EINVAL;
    uint64_t count = job->count;
    if (count >= COUNT_MOST) return POOL_EINVAL;
    if (job->in_size && job->count > SIZE_MAX / job->in_size) return POOL_EINVAL;
    if (job->out_size && job->count > SIZE_MAX / job->out_size) return POOL_EINVAL;
    return job->block && overlaps(job) ? POOL_EINVAL : 0;
}

static uint64_t items_of_call(const struct pool_job *job) {
    if (!job->block) return 1;
    size_t fits = !job->out && job->out_size ? CALL_SCRATCH / job->out_size : CALL_MOST;
    return fits > CALL_MOST ? CALL_MOST : fits ? fits : 1;
}

/* Copies in what lies elsewhere, unless the workers inherit it, and finds room for what comes out. */
static int place_data(struct pool *pool, struct pp_job *j, bool inherited) {
    const struct pool_job *job = &j->job;
    size_t in_bytes = job->in ? job->count * job->in_size : 0, out_bytes = job->count * job->out_size;
    if (!inherited && (!pp_copy_in(pool, job->in, in_bytes, &j->in) ||
                       !pp_copy_in(pool, job->context, job->context_size, &j->context)))
        return POOL_ENOMEM;
    if (job->out && !pp_is_in_arena(pool, job->out, out_bytes)) {
        j->out = pp_alloc_whole(pool, &pool->memory.results, out_bytes);
        if (!j->out) return POOL_ENOMEM;
    } else if (!job->out && job->out_size) {
        size_t part = pp_aligned(job->out_size * (size_t)j->call_most);
        if (part > SIZE_MAX / pool->workers) return POOL_ENOMEM;
        j->scratch_parts = pool->workers;
        j->scratch = pp_heap_alloc(&pool->memory.work, part * j->scratch_parts, false);
        if (!j->scratch) return POOL_ENOMEM;
    }
    if (!job->out_sizes) return 0;
    if (job->count > SIZE_MAX / sizeof *j->sizes) return POOL_ENOMEM;
    j->sizes = pp_heap_alloc(&pool->memory.work, job->count * sizeof *j->sizes, true);
    return j->sizes ? 0 : POOL_ENOMEM;
}

static int make_job(struct pool *pool, const struct pool_job *job, const struct pp_map_setup *setup,
                    struct pp_job **made) {
    struct pp_job *j = pp_zalloc(1, sizeof *j);
    if (!j) return POOL_ENOMEM;
    j->job = *job;
    j->call_most = items_of_call(job);
    j->names = setup->names;
    j->first_name = setup->first_name;
    j->marks_most = setup->marks_most;
    j->result_to = setup->result_to;
    j->fresh = setup->fresh;
    bool has_result = pp_job_result_make(&j->result, job);
    j->plan = pp_heap_alloc(&pool->memory.inputs, sizeof *j->plan, false);
    if (!has_result || !j->plan || place_data(pool, j, setup->inherited) || !pp_round_make_first(pool, j)) {
        pp_job_free(pool, j);
        return POOL_ENOMEM;
    }
    *made = j;
    return 0;
}

/* The job has no items. */
static void tell_empty(const struct pool_job *job) {
    static const struct pp_job_result none;
    pp_job_result_write(&none, job);
}

int pp_map_begin(struct pool *pool, const struct pool_job *job, const struct pp_map_setup *setup,
                 struct future **future) {
    int error = pp_refusal(pool);
    if (!error) error = pp_hosted_check(pool, job->context, job->context_size);
    if (error) return error;
    struct pp_job *j = NULL;
    if (job->count > 0) error = make_job(pool, job, setup, &j);
    if (error == POOL_ENOMEM) { /* there may be room in what is done */
        pp_advance(pool);
        error = make_job(pool, job, setup, &j);
    }
    if (error) return error;
    struct future *f = pp_future_new(pool);
    if (!f) {
        if (j) pp_job_free(pool, j);
        return POOL_ENOMEM;
    }
    f->is_job = true;
    f->job = j;
    pool->open++;
    pool->open_jobs++;
    *future = f;
    if (!j) {
        tell_empty(job);
        pp_future_finish(f, 0, NULL);
        return 0;
    }
    j->future = f;
    if (job->progress) pp_report_begin(pool, &j->report, f, &j->job);
    if (job->timeout || job->cpu_timeout) pp_tell_limits(pool, job->timeout, job->cpu_timeout);
    pp_job_begin(pool, j);
    return 0;
}

int pool_map_async(struct pool *pool, const struct pool_job *job, struct future **future) {
    if (!pool || !job || !future) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    int error = check_job(job);
    if (error) return error;
    pp_lock(pool);
    error = pp_map_begin(pool, job, &(struct pp_map_setup){0}, future);
    pp_unlock(pool);
    return error;
}

/* An exception passes through pool_map(). The job ends first, since it uses memory that is the program's afterwards. */
static void abandon_job(void *of) {
    struct future *future = of;
    pp_lock(future->pool);
    if (future->job) pp_report_drop(future->pool, &future->job->report);
    pp_unlock(future->pool);
    future_kill(future);
    future_wait(future, -1);
    future_free(future);
}

static int map_and_wait(struct pool *pool, const struct pool_job *job, bool inherited) {
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    struct future *future;
    int error = check_job(job);
    if (error) return error;
    PP_GUARD(guard, NULL, NULL);
    pp_lock(pool);
    /* A call that may not wait must not begin: items would use the program's data after the call has returned. */
    struct pp_map_setup setup = {.inherited = inherited};
    error = pp_in_report(pool) ? POOL_ETIMEDOUT : pp_map_begin(pool, job, &setup, &future);
    if (!error) guard = (struct pp_guard){abandon_job, future};
    pp_unlock(pool);
    if (error) return error;
    error = future_get(future, NULL, -1);
    pp_release_guard(&guard);
    future_free(future);
    return error;
}

/* Makes a pool for this call. Its workers inherit all inputs, and there are no more of them than items. */
static int map_alone(const struct pool_job *job) {
    int error = check_job(job);
    if (error || job->count == 0) {
        if (!error) tell_empty(job);
        return error;
    }
    int workers = pp_worker_count(job->workers);
    if (workers < 0) return workers;
    struct pool_options options = {.workers = (size_t)workers < job->count ? workers : (int)job->count, .hosts = ""};
    struct pool *pool;
    error = pool_create(&options, &pool);
    if (error) return error;
    PP_GUARD(guard, pp_destroy, pool);
    error = map_and_wait(pool, job, true);
    pp_release_guard(&guard);
    pool_destroy(pool);
    return error;
}

int pool_map(struct pool *pool, const struct pool_job *job) {
    if (!job) return POOL_EINVAL;
    return pool ? map_and_wait(pool, job, false) : map_alone(job);
}
