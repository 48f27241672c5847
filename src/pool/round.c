#include "pool/round.h"

#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "base/text.h"
#include "pool/cancel.h"
#include "pool/demand.h"
#include "pool/describe.h"
#include "pool/job_result.h"
#include "pool/slots.h"
#include "pool/tracing.h"
#include "shared/carried.h"
#include "shared/item_errors.h"
#include "shared/notice.h"
#include "shared/pieces.h"
#include "shared/record.h"
#include "shared/state.h"

/* ---- begin and end */

uint64_t pp_round_ticket(const struct pool *pool, const struct pp_job *j) {
    return pp_slot_ticket(pool, j->future->slot);
}

void pp_round_begin(struct pool *pool, struct pp_job *j) {
    uint32_t slot = j->future->slot, generation = pool->slots.table[slot].generation;
    struct pp_desc *desc = &pool->shared.descs[slot];
    j->deaths = 0;
    j->plan->generation = generation;
    pp_plan_begin(j->plan);
    memset(desc, 0, offsetof(struct pp_desc, shape));
    pp_desc_set_shape(desc, (struct pp_shape){0});
    desc->in = j->plan;
    desc->timeout = PP_IS_JOB;
    pp_state_submit(&pool->shared.outcomes[slot].state, generation);
    struct pp_control *control = pool->shared.control;
    if (j->entry >= atomic_load_explicit(&control->job_table_end, memory_order_relaxed))
        atomic_store_explicit(&control->job_table_end, j->entry + 1, memory_order_release);
    atomic_store_explicit(&pool->shared.job_table[j->entry], pp_round_ticket(pool, j), memory_order_release);
    /* Not only one for each block: workers take over items of each other's chunks. */
    uint64_t items = j->plan->count;
    pp_call_workers(pool, items < PP_WORKERS ? (uint32_t)items : PP_WORKERS);
}

/* Closes the round to workers that come late. Pairs with pp_claim_job(): the worker sees that the state has ended, or
 * the caller sees the worker in the job. */
static void close_round(struct pool *pool, struct pp_job *j) {
    atomic_store_explicit(&pool->shared.job_table[j->entry], 0, memory_order_seq_cst);
    _Atomic uint64_t *state = &pool->shared.outcomes[j->future->slot].state;
    uint32_t generation = pool->slots.table[j->future->slot].generation;
    uint64_t seen = atomic_load_explicit(state, memory_order_seq_cst);
    for (int tries = 0; pp_phase_of(seen) != PP_DONE && pp_phase_of(seen) != PP_CANCELLED; tries++) {
        if (pp_generation_of(seen) != generation) return; /* it was overwritten: no worker can enter */
        if (tries == PP_TRIES) { /* it is no worker that enters */
            atomic_store_explicit(state, pp_state(generation, PP_DONE, 0, 0), memory_order_seq_cst);
            return;
        }
        if (!pp_state_close(state, seen)) pp_state_cancel(state, generation);
        seen = atomic_load_explicit(state, memory_order_seq_cst);
    }
}

/* Whether the round was closed: its word lets no worker in. */
static bool is_closed(const struct pool *pool, const struct pp_job *j) {
    return atomic_load_explicit(&pool->shared.job_table[j->entry], memory_order_relaxed) != pp_round_ticket(pool, j);
}

/* Once the round is closed, what the cursors say counts for nothing: a task may have set one back since. */
bool pp_round_is_over(struct pool *pool, struct pp_job *j) {
    uint64_t ticket = pp_round_ticket(pool, j);
    if (!is_closed(pool, j) && !pp_plan_is_used_up(j->plan)) return false;
    if (pp_record_anybody_in(&pool->shared, ticket)) return false;
    close_round(pool, j);
    /* A death whose notice is not read yet may have left more than the marks tell; reading it leads here again, and
     * then the record is cleared. */
    return !pp_record_anybody_in(&pool->shared, ticket) && !pp_notice_is_due(&pool->shared);
}

/* ---- outcomes */

static uint64_t item_at(const struct pp_job *j, uint64_t position) {
    return j->index ? j->index[position] : position;
}

static void leave_as(struct pp_job *j, enum pp_again kind, uint64_t begin, uint64_t end) {
    if (!j->index) pp_job_result_leave(&j->result, kind, begin, end - begin);
    else
        for (uint64_t p = begin; p < end; p++) pp_job_result_leave(&j->result, kind, j->index[p], 1);
}

/* What was called alone in this round, since a call of several has failed, is so in the next. */
static void leave_positions(struct pp_job *j, uint64_t begin, uint64_t end) {
    leave_as(j, j->plan->call_most > 1 ? PP_AGAIN_IN_CALLS : PP_AGAIN_ALONE, begin, end);
}

/* A code of 0: worker after worker has died while it wrote what a failed item had said, or tasks have scribbled. */
static void describe_flawed_item(const struct pp_job_plan *plan, uint64_t position, struct pool_failure *failure) {
    const struct pp_item_error *error = pp_item_errors_find(plan->errors, plan->errors_room, position);
    if (error) {
        failure->code = error->code;
        failure->worker = error->pid;
        pp_text_readable(failure->message, error->message, PP_MESSAGE);
    }
    if (plan->codes) failure->code = atomic_load_explicit(&plan->codes[position], memory_order_relaxed);
    if (failure->message[0]) return;
    if (failure->code == 0) strcpy(failure->message, "what the task returned was lost");
    else snprintf(failure->message, sizeof failure->message, "the task returned %d", failure->code);
}

/* Whether the item, whose worker has died, is left to another round. In a job that was stopped there is none: what is
 * left ends as cancelled, and not as an item that had no try left. */
static bool try_again(struct pp_job *j, uint64_t item) {
    if (!pp_job_result_try_again(&j->result, item, j->job.retries)) return false;
    if (j->stopped) return true;
    j->future->pool->totals.retried++;
    pp_tracing_retry(j->future->pool, pp_plan_function(j->plan), item);
    return true;
}

/* The item was not run, as far as can be seen, and that was no worker's intention. A carrier that dies loses all that
 * hosts have, so an item may be lost more often than by its own doing: then its retries count. */
static void lose_position(struct pp_job *j, uint64_t position) {
    uint64_t item = item_at(j, position);
    if (j->stopped || pp_job_result_lose(&j->result, item) || try_again(j, item))
        leave_positions(j, position, position + 1);
    else pp_job_result_fail_as(&j->result, item, POOL_ECORRUPT);
}

/* It failed on another host, or was lost with it; see carried.h. */
static void settle_far_item(struct pp_job *j, uint64_t position, unsigned char kind) {
    uint64_t item = item_at(j, position);
    bool not_begun = kind == PP_NOT_BEGUN, died = kind == (unsigned char)-POOL_EDIED;
    if ((died && try_again(j, item)) || (not_begun && !j->stopped)) {
        leave_positions(j, position, position + 1);
        return;
    }
    int error = not_begun ? POOL_ECANCELLED : pp_is_far_error(-(int)kind) ? -(int)kind : POOL_ECORRUPT;
    struct pool_failure failure = {.error = error};
    const struct pp_item_error *told = pp_job_result_wants(&j->result, item)
                                           ? pp_item_errors_find(j->plan->errors, j->plan->errors_room, position)
                                           : NULL;
    if (told) pp_describe_far(&failure, error, told->code, told->message);
    pp_job_result_fail(&j->result, item, &failure);
}

static void settle_flawed_item(struct pp_job *j, uint64_t position) {
    unsigned char kind = atomic_load_explicit(&j->plan->failed[position], memory_order_relaxed);
    if (kind != 1) {
        settle_far_item(j, position, kind);
        return;
    }
    struct pool_failure failure = {.error = POOL_EFAILED};
    if (pp_job_result_wants(&j->result, item_at(j, position))) describe_flawed_item(j->plan, position, &failure);
    pp_job_result_fail(&j->result, item_at(j, position), &failure);
}

/* `failed` is valid for the positions. */
static void settle_flawed(struct pp_job *j, uint64_t begin, uint64_t end) {
    for (uint64_t p = begin; p < end; p++)
        if (pp_plan_has_failed(j->plan, p)) settle_flawed_item(j, p);
}

/* No worker has finished the positions. */
static void settle_missing(struct pp_job *j, uint64_t begin, uint64_t end) {
    bool by_death = j->deaths > 0 || j->stopped;
    for (uint64_t p = begin; p < end; p++) {
        if (by_death) lose_position(j, p);
        else pp_job_result_fail_as(&j->result, item_at(j, p), POOL_ECORRUPT); /* no worker died, yet it was not run */
    }
}

static void settle_pieces(struct pp_job *j, uint64_t begin, uint64_t end) {
    for (uint64_t next; begin < end; begin = next) {
        const struct pp_piece *piece = pp_pieces_find(j->plan, begin, end, &next);
        if (!piece) settle_missing(j, begin, next);
        else if (piece->has_errors) settle_flawed(j, begin, next);
    }
}

/* *cut: how many blocks in pieces there were. */
static void settle_block(struct pp_job *j, uint64_t block, uint32_t *cut) {
    const struct pp_job_plan *plan = j->plan;
    uint64_t begin = block * plan->block;
    uint64_t end = begin + plan->block < plan->count ? begin + plan->block : plan->count;
    switch (atomic_load_explicit(&plan->marks[block], memory_order_relaxed)) {
    case PP_MARK_DONE: return;
    case PP_MARK_ERRORS:
        settle_flawed(j, begin, end);
        return;
    case PP_MARK_PIECES:
        if ((*cut)++ < pp_pieces_blocks_most(plan)) settle_pieces(j, begin, end);
        else settle_missing(j, begin, end);
        return;
    case PP_UNMARKED: settle_missing(j, begin, end); return;
    default:
        for (uint64_t p = begin; p < end; p++) pp_job_result_fail_as(&j->result, item_at(j, p), POOL_ECORRUPT);
    }
}

void pp_round_settle(struct pp_job *j) {
    uint32_t cut = 0;
    for (uint64_t b = 0; b < j->plan->blocks; b++)
        if (atomic_load_explicit(&j->plan->marks[b], memory_order_relaxed) != PP_MARK_DONE) settle_block(j, b, &cut);
}

/* Counts what the worker has finished of its present chunk. Its record is untrusted. */
static uint64_t count_in_chunk(const struct pool *pool, const struct pp_job *j, uint32_t worker) {
    struct pp_snapshot seen = pp_record_snapshot(&pool->shared, worker);
    struct pp_chunk chunk;
    if (seen.job != pp_round_ticket(pool, j) || !pp_snapshot_chunk(&seen, j->plan, &chunk)) return 0;
    return pp_plan_is_finished(j->plan, &chunk) ? 0 : seen.progress - chunk.begin;
}

void pp_round_count(const struct pool *pool, const struct pp_job *j, uint64_t *done, uint64_t *failed) {
    pp_plan_count(j->plan, done, failed);
    /* After the marks: a chunk that is marked by now does not count here, so nothing counts twice. */
    for (uint32_t w = 0; w < pool->workers; w++) *done += count_in_chunk(pool, j, w);
    if (*done > j->plan->count) *done = j->plan->count;
}

/* ---- deaths and kills */

/* The item that a worker died of, or was killed for. It is tried again only where the death was its own doing. */
static void settle_victim(struct pp_job *j, const struct pp_notice *notice, uint64_t position) {
    uint64_t item = item_at(j, position);
    bool died = notice->left.phase == PP_RUNNING && !notice->lingers;
    if (died && try_again(j, item)) {
        pp_job_result_leave(&j->result, PP_AGAIN_ALONE, item, 1);
        return;
    }
    struct pool_failure failure;
    pp_describe_death(&failure, notice, notice->left.phase,
                      (struct pp_limits){j->job.timeout, j->job.cpu_timeout});
    pp_job_result_fail(&j->result, item, &failure);
}

/* What the worker ran in one call of a block function. If the call was to be killed, so was each of the items. Else it
 * is not known which of them is to blame, so each is run again, alone; but not where a corpse may still write. */
static void settle_call(struct pp_job *j, const struct pp_notice *notice, uint64_t begin, uint64_t end) {
    bool all = end - begin == 1 || notice->left.phase == PP_KILLED || notice->lingers;
    if (!all) leave_as(j, PP_AGAIN_ALONE, begin, end);
    for (uint64_t p = begin; all && p < end; p++) settle_victim(j, notice, p);
}

/* Clears `failed` of the items of the chunk for which the worker has not written it. */
static void clear_failed(const struct pp_job_plan *plan, const struct pp_snapshot *left, const struct pp_chunk *chunk) {
    if (left->judged == 0) return;
    uint64_t p = left->judged < left->progress ? left->judged : left->progress;
    for (p = p < chunk->begin ? chunk->begin : p; p < chunk->end; p++)
        atomic_store_explicit(&plan->failed[p], 0, memory_order_relaxed);
}

/* Whether a worker has finished the position, by the marks. */
static bool is_finished(const struct pp_job_plan *plan, uint64_t position) {
    uint64_t block = position / plan->block;
    return pp_plan_is_finished(plan, &(struct pp_chunk){.first = block, .begin = position, .end = position + 1});
}

/* Leaves what the dead worker has not run, but no block that is finished: a record that claims one lies. What has been
 * left before is run alone, so that it is not left over by death after death. */
static void leave_rest(struct pp_job *j, uint64_t begin, uint64_t end) {
    const struct pp_job_plan *plan = j->plan;
    for (uint64_t next; begin < end; begin = next) {
        next = begin - begin % plan->block + plan->block;
        if (next > end) next = end;
        if (is_finished(plan, begin)) continue;
        if (j->index) leave_as(j, PP_AGAIN_ALONE, begin, next);
        else leave_positions(j, begin, next);
    }
}

/* The chunk of a dead worker: what it had finished counts, the item that it ran is the victim, and the rest is left to
 * a next round. The worker marks a chunk's blocks when it has finished all of it, so the marks that are written here
 * collide with none but its own: it may have died right after it had written them. From then on each position of the
 * chunk is accounted for here, and pp_round_settle() must not take the blocks to be lost.
 *
 * A record that lies may claim the chunk of another worker. It costs no more than a death does: what it claims is one
 * chunk that is not finished; its items are run again, soon one by one; and what several deaths leave over is run again
 * once. What the liar itself ran has no mark, and is lost. */
static void settle_chunk(struct pp_job *j, const struct pp_notice *notice) {
    struct pp_chunk chunk;
    if (!pp_snapshot_chunk(&notice->left, j->plan, &chunk)) return;
    uint64_t ran = 0, victim = pp_snapshot_victim(&notice->left, &chunk, &ran);
    uint64_t next = victim != PP_NO_VICTIM ? victim : notice->left.progress;
    /* An item that ended as it was found overdue may have been the last, and so its block be marked. */
    bool was_stopped = victim != PP_NO_VICTIM && notice->left.phase != PP_RUNNING;
    if (next < chunk.end && !was_stopped && is_finished(j->plan, next)) return;
    leave_rest(j, victim != PP_NO_VICTIM ? ran : next == chunk.begin ? next + 1 : next, chunk.end);
    clear_failed(j->plan, &notice->left, &chunk);
    pp_plan_finish(j->plan, &chunk, notice->left.judged != 0);
    if (victim != PP_NO_VICTIM) {
        /* It may have failed, and then not survived the writing of its output. */
        for (; notice->left.judged && next < ran; next++)
            atomic_store_explicit(&j->plan->failed[next], 0, memory_order_relaxed);
        settle_call(j, notice, victim, ran);
    } else if (next == chunk.begin) {
        /* The worker has done nothing of the chunk, perhaps because it has hidden that it ran the first item. A worker
         * that ends by itself does so before it claims a chunk, or after it has done a part of it. */
        lose_position(j, next);
    }
}

void pp_round_died(struct pool *pool, struct pp_job *j, const struct pp_notice *notice) {
    /* The record says which job the worker was in; a claim that is in no record may be of any job. */
    j->deaths++;
    if (pp_round_ticket(pool, j) != notice->left.job) return;
    j->met_corpse |= notice->lingers;
    settle_chunk(j, notice);
}

bool pp_round_is_intact(const struct pool *pool, const struct pp_job *j) {
    if (is_closed(pool, j)) return true;
    if (j->stopped && !pp_plan_is_used_up(j->plan)) return false;
    uint32_t generation = pool->slots.table[j->future->slot].generation;
    uint64_t word = atomic_load_explicit(&pool->shared.outcomes[j->future->slot].state, memory_order_acquire);
    bool runs = pp_phase_of(word) == PP_RUNNING && pp_generation_of(word) == generation;
    return runs || word == pp_state(generation, PP_PENDING, 0, 0);
}

void pp_round_recall(struct pool *pool, struct pp_job *j) {
    struct pp_rest rest = {0};
    struct pp_chunk chunk;
    while (pp_plan_take_rest(j->plan, &rest, &chunk)) {
        pp_plan_mark(j->plan, chunk.first, chunk.last, false);
        leave_positions(j, chunk.begin, chunk.end);
    }
    close_round(pool, j);
    j->deaths++;
}

/* Pairs with pp_job_must_stop(): a worker looks at `stop` after it has published what it runs. */
void pp_round_kill(struct pool *pool, struct pp_job *j) {
    for (uint32_t w = 0; w < pool->workers; w++) {
        uint32_t life;
        uint64_t ticket = pp_round_ticket(pool, j);
        if (!pp_record_kill(&pool->shared, w, ticket, &life) &&
            !pp_record_may_kill_ending(&pool->shared, w, ticket, &life)) continue;
        PP_POINT("swapped to killed");
        /* The word names its worker, but a task may have overwritten it: so the number comes from here. */
        pp_kill_worker(pool, pp_state(0, PP_KILLED, w, life));
    }
}
