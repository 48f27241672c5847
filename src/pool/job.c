#include "pool/job.h"

#include <string.h>

#include "base/copy.h"
#include "base/sys.h"
#include "pool/corpse.h"
#include "pool/finish.h"
#include "pool/round.h"
#include "pool/round_plan.h"
#include "pool/slots.h"
#include "shared/notice.h"
#include "shared/state.h"
#include "shared/timer.h"

/* ---- lists and the job table */

static void unlink_job(struct pool *pool, struct pp_job *j) {
    bool is_in_table = pool->jobs.table[j->entry] == j;
    pp_list_remove(is_in_table ? &pool->jobs.active : &pool->jobs.waiting, &j->link);
    if (is_in_table) pool->jobs.table[j->entry] = NULL;
}

static uint32_t free_place(struct pool *pool) {
    uint32_t place = 0;
    while (place < PP_JOB_TABLE && pool->jobs.table[place]) place++;
    return place;
}

/* Gives the job a slot and an entry of the job table. Returns false if there is none. */
static bool start_job(struct pool *pool, struct pp_job *j) {
    uint32_t place = free_place(pool);
    if (place == PP_JOB_TABLE || pp_slot_take(pool, j->future) == PP_NO_SLOT) return false;
    j->entry = place;
    pool->jobs.table[place] = j;
    pp_list_add_front(&pool->jobs.active, &j->link);
    pp_round_begin(pool, j);
    return true;
}

static struct pp_job *first_waiting(const struct pool *pool) {
    return PP_LIST_FIRST(&pool->jobs.waiting, struct pp_job, link);
}

static void start_waiting(struct pool *pool) {
    struct pp_job *j;
    while ((j = first_waiting(pool)) != NULL) {
        unlink_job(pool, j);
        if (start_job(pool, j)) continue;
        pp_list_add_front(&pool->jobs.waiting, &j->link);
        return;
    }
}

void pp_job_begin(struct pool *pool, struct pp_job *j) {
    if (first_waiting(pool) || !start_job(pool, j)) pp_list_add_back(&pool->jobs.waiting, &j->link);
}

/* ---- the end */

static void copy_results(const struct pp_job *j) {
    const struct pool_job *job = &j->job;
    if (!j->out) return;
    size_t size = job->out_size;
    if (j->result.failed == 0) {
        pp_copy(job->out, j->out, job->count * size);
        return;
    }
    for (size_t i = 0; i < job->count; i++)
        if (j->result.outcomes[i] == 0) memcpy((char *)job->out + i * size, j->out + i * size, size);
}

/* A size that exceeds the room was overwritten: the result may be any of it. */
static void copy_sizes(const struct pp_job *j) {
    for (size_t i = 0; i < j->job.count; i++) {
        size_t said = pp_read_size(&j->sizes[i]);
        size_t size = said == 0 || said - 1 > j->job.out_size ? j->job.out_size : said - 1;
        j->job.out_sizes[i] = j->result.outcomes[i] == 0 ? size : 0;
    }
}

/* Frees what items have read or written, or withholds it from a corpse. */
static void free_data(struct pool *pool, const struct pp_job *j) {
    const struct {
        struct pp_heap *heap;
        void *block;
    } data[] = {{&pool->memory.inputs, j->in}, {&pool->memory.inputs, j->context},
                {&pool->memory.results, j->out}, {&pool->memory.work, j->scratch},
                {&pool->memory.work, j->sizes}};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++)
        if (j->met_corpse && pool->corpses.count > 0) pp_withhold(pool, data[i].heap, data[i].block);
        else pp_heap_free(data[i].heap, data[i].block);
}

void pp_job_free(struct pool *pool, struct pp_job *j) {
    pp_round_free(pool, j);
    pp_heap_free(&pool->memory.inputs, j->plan);
    free_data(pool, j);
    pp_job_result_free(&j->result);
    pp_release(j->stall.cpu);
    pp_release(j);
}

void pp_job_finish(struct pool *pool, struct pp_job *j) {
    struct future *future = j->future;
    if (!future->given_up) {
        copy_results(j);
        if (j->sizes) copy_sizes(j);
        pp_job_result_write(&j->result, &j->job);
    }
    struct pool_failure lowest = j->result.lowest;
    if (j->result_to) {
        *j->result_to = j->result;
        j->result = (struct pp_job_result){0};
    }
    if (j->job.timeout || j->job.cpu_timeout) pp_timer_end(&pool->shared);
    pp_job_free(pool, j);
    future->job = NULL;
    pp_future_finish(future, lowest.error, lowest.error ? &lowest : NULL);
}

static void end_job(struct pool *pool, struct pp_job *j) {
    pool->totals.items_done += j->job.count;
    pool->totals.items_failed += j->result.failed;
    if (!j->job.progress || !pp_report_end(pool, &j->report)) pp_job_finish(pool, j);
}

/* The items that are left will not be run. */
static void fail_left(struct pp_job *j, int error) {
    pp_job_result_fail_left(&j->result, &(struct pool_failure){.error = error});
}

static void end_round(struct pool *pool, struct pp_job *j) {
    pp_round_settle(j);
    pp_round_free(pool, j);
    if (j->stopped) fail_left(j, POOL_ECANCELLED);
    if (pp_job_result_count_left(&j->result) > 0 && !pp_round_make_next(pool, j)) fail_left(j, POOL_ENOMEM);
    pp_slot_free(pool, j->future->slot);
    if (j->work) { /* there is a next round; the slot that was just freed is there for it, with a new generation */
        pp_slot_take(pool, j->future);
        pp_round_begin(pool, j);
        return;
    }
    unlink_job(pool, j);
    end_job(pool, j);
}

void pp_job_look(struct pool *pool, struct pp_job *j) {
    if (pp_round_is_over(pool, j)) end_round(pool, j);
}

void pp_jobs_look(struct pool *pool) {
    PP_LIST_EACH(j, &pool->jobs.active, struct pp_job, link) pp_job_look(pool, j);
    start_waiting(pool);
}

bool pp_jobs_are_intact(const struct pool *pool) {
    bool intact = true;
    PP_LIST_EACH(j, &pool->jobs.active, const struct pp_job, link) intact &= pp_round_is_intact(pool, j);
    return intact;
}

void pp_jobs_recover(struct pool *pool, bool give_up) {
    PP_LIST_EACH(j, &pool->jobs.active, struct pp_job, link) {
        pp_round_recall(pool, j);
        if (give_up) pp_job_abort(pool, j, &(struct pool_failure){.error = POOL_ECORRUPT});
        else end_round(pool, j);
    }
}

void pp_job_died(struct pool *pool, const struct pp_notice *notice) {
    PP_LIST_EACH(j, &pool->jobs.active, struct pp_job, link) pp_round_died(pool, j, notice);
}

/* ---- cancelling */

bool pp_job_running(const struct pool *pool, const struct pp_job *j) {
    uint32_t slot = j->future->slot;
    if (slot == PP_NO_SLOT) return false;
    return j->index ||
           pp_phase_of(atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire)) == PP_RUNNING;
}

/* Ends a job of which nothing has started or will start. */
static void end_not_started(struct pool *pool, struct pp_job *j) {
    pp_job_result_leave(&j->result, PP_AGAIN_ALONE, 0, j->job.count);
    fail_left(j, POOL_ECANCELLED);
    unlink_job(pool, j);
    end_job(pool, j);
}

int pp_job_cancel(struct pool *pool, struct pp_job *j) {
    if (j->report.ended) return POOL_EBUSY;
    if (j->future->slot == PP_NO_SLOT) {
        end_not_started(pool, j);
        return 0;
    }
    uint32_t slot = j->future->slot;
    if (j->index) return POOL_EBUSY; /* its first round is over */
    /* The first worker to come swaps the job to RUNNING; until then no worker has read anything but the state. */
    if (!pp_state_cancel(&pool->shared.outcomes[slot].state, pool->slots.table[slot].generation)) return POOL_EBUSY;
    atomic_store_explicit(&pool->shared.job_table[j->entry], 0, memory_order_seq_cst);
    pp_slot_free(pool, slot);
    end_not_started(pool, j);
    return 0;
}

void pp_job_stop(struct pool *pool, struct pp_job *j, bool kill) {
    if (j->report.ended) return;
    if (j->future->slot == PP_NO_SLOT) {
        end_not_started(pool, j);
        return;
    }
    j->stopped = true;
    pp_plan_use_up(j->plan);
    if (kill) {
        atomic_store_explicit(&j->plan->stop, 1, memory_order_seq_cst);
        pp_round_kill(pool, j);
    }
    pp_job_look(pool, j);
}

void pp_jobs_stop(struct pool *pool, bool kill) {
    struct pp_job *waiting;
    while ((waiting = first_waiting(pool)) != NULL) pp_job_stop(pool, waiting, kill);
    PP_LIST_EACH(j, &pool->jobs.active, struct pp_job, link) pp_job_stop(pool, j, kill);
}

void pp_jobs_kill(struct pool *pool) {
    PP_LIST_EACH(j, &pool->jobs.active, struct pp_job, link) {
        /* If the job is cancelled as well, a worker that runs nothing just now must start nothing more of it. */
        if (j->stopped) atomic_store_explicit(&j->plan->stop, 1, memory_order_seq_cst);
        pp_round_kill(pool, j);
    }
}

void pp_job_abort(struct pool *pool, struct pp_job *j, const struct pool_failure *why) {
    if (j->future->slot != PP_NO_SLOT) {
        j->stopped = true; /* items without a mark are left */
        pp_round_settle(j);
        atomic_store_explicit(&pool->shared.job_table[j->entry], 0, memory_order_seq_cst);
        pp_slot_free(pool, j->future->slot);
    } else {
        pp_job_result_leave(&j->result, PP_AGAIN_ALONE, 0, j->job.count);
    }
    pp_job_result_fail_left(&j->result, why);
    unlink_job(pool, j);
    end_job(pool, j);
}

/* ---- counting */

/* Items settled in earlier rounds, and what is known of this one. */
void pp_job_count(const struct pp_job *j, uint64_t *done, uint64_t *failed) {
    *done = j->report.ended ? j->job.count : 0;
    *failed = j->result.failed;
    if (j->future->slot == PP_NO_SLOT) return; /* the job waits, or has ended */
    pp_round_count(j->future->pool, j, done, failed);
    uint64_t left = j->plan->count - *done + pp_job_result_count_left(&j->result);
    *done = j->job.count > left ? j->job.count - left : 0;
    *failed += j->result.failed;
}

void pp_jobs_count(const struct pool *pool, uint64_t *items, uint64_t *done, uint64_t *failed) {
    *items = *done = *failed = 0;
    const struct pp_list *lists[] = {&pool->jobs.active, &pool->jobs.waiting};
    for (int i = 0; i < 2; i++)
        PP_LIST_EACH(j, lists[i], const struct pp_job, link) {
            uint64_t job_done, job_failed;
            pp_job_count(j, &job_done, &job_failed);
            *items += j->job.count;
            *done += job_done;
            *failed += job_failed;
        }
}
