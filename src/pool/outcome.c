#include "pool/outcome.h"

#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "base/text.h"
#include "pool/describe.h"
#include "pool/dispatch.h"
#include "pool/finish.h"
#include "pool/slots.h"
#include "pool/tracing.h"
#include "shared/carried.h"
#include "shared/extents.h"
#include "shared/state.h"

/* How the task has failed: by what it returned, or elsewhere; see carried.h. Returns its error, which the failure has,
 * too. */
static int describe_code(struct pool *pool, uint32_t slot, int32_t code, struct pool_failure *failure) {
    int32_t pid = pp_read_code(&pool->shared.outcomes[slot].pid);
    if (pid < 0) {
        int error = pp_is_far_error(pid) ? pid : POOL_ECORRUPT;
        pp_describe_far(failure, error, code, pool->shared.messages[slot]);
        return error;
    }
    memset(failure, 0, sizeof *failure);
    failure->error = POOL_EFAILED;
    failure->code = code;
    failure->worker = pid;
    pp_text_readable(failure->message, pool->shared.messages[slot], PP_MESSAGE);
    if (!failure->message[0])
        snprintf(failure->message, sizeof failure->message, "the task returned %d", failure->code);
    return POOL_EFAILED;
}

/* There is no more to say than the error. */
static int untold(int error, struct pool_failure *failure) {
    failure->error = 0;
    return error;
}

/* Takes a short result from the message, and frees its room. */
static void take_short_result(struct pool *pool, uint32_t slot, struct future *future, size_t size) {
    struct pp_heap *results = &pool->memory.results;
    void *room = future->result, *place = pp_heap_alloc(results, size ? size : 1, false);
    if (place) pp_heap_free_room(results, room, future->out_size);
    else pp_heap_shrink(results, place = room, size); /* the arena is full */
    future->result = memcpy(place, pool->shared.messages[slot] + sizeof(uint64_t), size);
}

/* Takes in the size that the task gave its result, and frees the rest of the room. Returns false if the size exceeds
 * the room. */
static bool take_result_size(struct pool *pool, uint32_t slot, struct future *future) {
    uint64_t size = pp_read_word(pool->shared.messages[slot]);
    if (size > future->out_size) return false;
    bool is_short = future->out_size > PP_RESULT_PAGE && size <= PP_SHORT_RESULT;
    if (is_short) take_short_result(pool, slot, future, (size_t)size);
    else pp_heap_shrink(&pool->memory.results, future->result, (size_t)size);
    future->out_size = (size_t)size;
    return true;
}

/* ---- results of any size */

/* Takes over the room in which the task has left its result. */
static int adopt(struct pool *pool, uint32_t slot, struct future *future, uint64_t size) {
    uint64_t offset = pp_read_word(pool->shared.messages[slot] + sizeof offset);
    char *extent = pp_extent_adopt(&pool->shared, pp_slot_ticket(pool, slot), offset, size);
    if (!extent) return POOL_ECORRUPT;
    size_t takes = pp_extent_takes((size_t)size);
    if (takes > pool->memory.arena_left) {
        pp_extent_free(&pool->shared, extent, (size_t)size);
        return POOL_ENOMEM;
    }
    pool->memory.arena_left -= takes;
    future->result = extent;
    future->out_size = (size_t)size;
    return 0;
}

/* Returns 0, POOL_ECORRUPT, or POOL_ENOMEM if the arena is full. */
static int take_any_size(struct pool *pool, uint32_t slot, struct future *future) {
    uint64_t size = pp_read_word(pool->shared.messages[slot]);
    if (size > PP_SHORT_RESULT) return adopt(pool, slot, future, size);
    if (size > 0) {
        future->result = pp_heap_alloc(&pool->memory.results, (size_t)size, false);
        if (!future->result) return POOL_ENOMEM;
        memcpy(future->result, pool->shared.messages[slot] + sizeof size, (size_t)size);
    }
    future->out_size = (size_t)size;
    return 0;
}

static uint32_t generation_of(const void *pool, uint32_t slot) {
    const struct pp_slot *s = &((const struct pool *)pool)->slots.table[slot];
    return s->future ? s->generation : s->generation + 1;
}

void pp_sweep_extents(const struct pool *pool) {
    if (pool->memory.has_generous && pool->corpses.count == 0)
        pp_extents_sweep(&pool->shared, generation_of, pool);
}

/* ---- outcomes */

/* Returns why the task has failed, with the failure if it is what the task said; or 0 with its result in the future. */
static int take_outcome(struct pool *pool, uint32_t slot, uint64_t state, struct pool_failure *failure) {
    struct future *future = pool->slots.table[slot].future;
    const struct pp_outcome *outcome = &pool->shared.outcomes[slot];
    if (pp_phase_of(state) == PP_CANCELLED) return untold(POOL_ECANCELLED, failure);
    int32_t code = pp_read_code(&outcome->code);
    PP_POINT("code read");
    if (code != 0) return describe_code(pool, slot, code, failure);
    if (pp_has_any_size(future)) return untold(take_any_size(pool, slot, future), failure);
    if (outcome->resized && !take_result_size(pool, slot, future)) return untold(POOL_ECORRUPT, failure);
    if (!future->result && future->out_size) {
        /* The argument that may lie there is not needed any more: workers have a copy in the slot. */
        memcpy(future->small, outcome->out, PP_INLINE_OUT);
        if (future->task.in == future->small) future->task.in = NULL;
        future->result = future->small;
    }
    return 0;
}

bool pp_task_try_again(struct pool *pool, struct future *future) {
    if (future->task.retries == 0) return false;
    future->task.retries--;
    future->task.tried = true;
    pool->totals.retried++;
    pp_tracing_retry(pool, future->task.fn, future->index);
    return true;
}

static void fail(struct pool *pool, uint32_t slot, int error, struct pool_failure *failure) {
    struct future *future = pool->slots.table[slot].future;
    if (failure->error != error) memset(failure, 0, sizeof *failure);
    pp_slot_free(pool, slot);
    pp_future_finish(future, error, failure);
}

void pp_task_fail(struct pool *pool, uint32_t slot, int error) {
    struct pool_failure failure = {.error = 0};
    fail(pool, slot, error, &failure);
}

/* A task that died has died with its host, or with its worker there: a worker here would not have told of it. */
static void fail_or_try_again(struct pool *pool, uint32_t slot, int error, struct pool_failure *failure) {
    struct future *future = pool->slots.table[slot].future;
    if (error == POOL_EDIED && pp_task_try_again(pool, future)) pp_submit_again(pool, future);
    else fail(pool, slot, error, failure);
}

void pp_outcome_end(struct pool *pool, uint32_t slot, uint64_t state) {
    struct future *future = pool->slots.table[slot].future;
    struct pool_failure failure;
    int error = take_outcome(pool, slot, state, &failure);
    if (error) {
        fail_or_try_again(pool, slot, error, &failure);
        return;
    }
    pp_slot_free(pool, slot);
    pp_future_finish(future, 0, NULL);
}

/* If the carrier has given up the task in this slot: has it run here, or ends it if it was killed. Returns whether it
 * was ended. */
static bool take_back(struct pool *pool, uint32_t slot, uint64_t state) {
    struct future *future = pool->slots.table[slot].future;
    if (!pp_is_given_up(&pool->shared, pp_slot_ticket(pool, slot))) return false;
    pp_uncarry(&pool->shared, slot);
    if (pp_generation_of(state) != pool->slots.table[slot].generation) return false;
    if (pp_phase_of(state) == PP_PENDING) pp_ticket_again(pool, slot);
    if (pp_phase_of(state) != PP_KILLED) return false;
    struct pool_failure failure = {.error = POOL_ECANCELLED, .message = "killed while it ran"};
    pp_slot_free(pool, slot);
    pp_future_finish(future, POOL_ECANCELLED, &failure);
    return true;
}

bool pp_outcome_take(struct pool *pool, uint32_t slot) {
    const struct future *future = pool->slots.table[slot].future;
    if (!future || future->is_job) return false;
    uint64_t state = atomic_load_explicit(&pool->shared.outcomes[slot].state, memory_order_acquire);
    if (!pp_is_done(state, pool->slots.table[slot].generation)) return pool->carrier && take_back(pool, slot, state);
    pp_outcome_end(pool, slot, state);
    return true;
}
