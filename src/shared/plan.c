#include "shared/plan.h"

#include "shared/pieces.h"
#include "shared/ticket.h"

#define INDEX_BITS 24
#define INDEX_MASK (((uint64_t)1 << INDEX_BITS) - 1)
/* A region with as many blocks has at least so many stripes, and fewer than twice as many. With more, chunks of short
 * items would stay small in small jobs: bench_limits, "flat-map". */
#define STRIPES 4U
#define REGION_MOST (INDEX_MASK / 2) /* blocks on average: some regions have a stripe more */

static uint64_t cursor(const struct pp_job_plan *plan, uint64_t next, uint64_t last) {
    return (uint64_t)plan->generation << 2 * INDEX_BITS | last << INDEX_BITS | next;
}

static uint64_t next_of(uint64_t word) {
    return word & INDEX_MASK;
}

static uint64_t last_of(uint64_t word) {
    return word >> INDEX_BITS & INDEX_MASK;
}

/* The caller may end the job and reuse its memory at any time: what was read of the plan counts only if the ticket was
 * still there afterwards. */
uint64_t pp_plan_copy(const struct pp_shared *shared, uint32_t index, struct pp_job_plan *plan) {
    uint64_t ticket = atomic_load_explicit(&shared->job_table[index], memory_order_acquire);
    if (ticket == 0 || pp_ticket_slot(ticket) >= PP_SLOTS) return 0;
    const struct pp_desc *desc = &shared->descs[pp_ticket_slot(ticket)];
    uintptr_t at = (uintptr_t)desc->in, inputs = (uintptr_t)shared->inputs;
    if (at < inputs || at - inputs > shared->inputs_size - sizeof *plan) return 0;
    memcpy(plan, (const void *)at, sizeof *plan);
    /* Orders the copy before the second look at the ticket. Pairs with the caller's stores of 0 to the table (round.c,
     * job.c), which come before it reuses the memory. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&shared->job_table[index], memory_order_relaxed) == ticket ? ticket : 0;
}

void pp_plan_deal(struct pp_job_plan *plan, uint32_t workers) {
    uint64_t region = (plan->blocks + workers - 1) / workers;
    if (region > REGION_MOST) region = REGION_MOST;
    plan->regions = (uint32_t)((plan->blocks + region - 1) / region);
    for (plan->stripe_bits = 0; region >> plan->stripe_bits >= 2 * STRIPES;) plan->stripe_bits++;
    uint64_t stripes = ((plan->blocks - 1) >> plan->stripe_bits) + 1;
    plan->stripes_each = stripes / plan->regions;
    plan->one_more = (uint32_t)(stripes % plan->regions);
    plan->short_of = (stripes << plan->stripe_bits) - plan->blocks;
}

static uint64_t region_size(const struct pp_job_plan *plan, uint32_t region) {
    uint64_t blocks = (plan->stripes_each + (region < plan->one_more)) << plan->stripe_bits;
    uint32_t has_the_last = (plan->one_more ? plan->one_more : plan->regions) - 1;
    return region == has_the_last ? blocks - plan->short_of : blocks;
}

static uint64_t within_stripe(const struct pp_job_plan *plan, uint64_t block) {
    return block & (((uint64_t)1 << plan->stripe_bits) - 1);
}

/* The number in the plan of the block that has this number in the region. */
static uint64_t block_of(const struct pp_job_plan *plan, uint32_t region, uint64_t number) {
    uint64_t stripe = (number >> plan->stripe_bits) * plan->regions + region;
    return (stripe << plan->stripe_bits) + within_stripe(plan, number);
}

/* Blocks left in the region. 0 also if the word is of another generation or names blocks that the region does not have:
 * then a task has overwritten it. */
static uint64_t left_in(const struct pp_job_plan *plan, uint32_t region, uint64_t word) {
    uint64_t next = next_of(word), last = last_of(word);
    return cursor(plan, next, last) == word && next < last && last <= region_size(plan, region) ? last - next : 0;
}

static uint64_t share_of(const struct pp_job_plan *plan, const struct pp_pace *pace, uint64_t left, uint64_t most) {
    if (plan->chunk_blocks) return plan->chunk_blocks < left ? plan->chunk_blocks : left;
    uint64_t blocks = pace->items > plan->block ? pace->items / plan->block : 1;
    /* At most half of what is left, so that a worker that comes to help finds something. */
    if (blocks > (left + 1) / 2) blocks = (left + 1) / 2;
    if (blocks > 1 && blocks * plan->block > most) blocks = most / plan->block;
    return blocks ? blocks : 1;
}

/* At most as many as lie together: the rest of one stripe. */
static uint64_t share_of_stripe(const struct pp_job_plan *plan, uint64_t word, bool own, uint64_t share) {
    uint64_t together = own ? ((uint64_t)1 << plan->stripe_bits) - within_stripe(plan, next_of(word))
                            : within_stripe(plan, last_of(word) - 1) + 1;
    return share < together ? share : together;
}

static bool claim_in(const struct pp_job_plan *plan, uint32_t region, bool own, const struct pp_pace *pace,
                     uint64_t most, struct pp_chunk *chunk) {
    _Atomic uint64_t *word = &plan->cursors[region].word;
    uint64_t seen = atomic_load_explicit(word, memory_order_acquire), left;
    while ((left = left_in(plan, region, seen)) > 0) {
        uint64_t blocks = share_of_stripe(plan, seen, own, share_of(plan, pace, left, most));
        uint64_t rest = own ? seen + blocks : seen - (blocks << INDEX_BITS);
        if (atomic_compare_exchange_weak_explicit(word, &seen, rest, memory_order_acq_rel, memory_order_acquire)) {
            chunk->first = block_of(plan, region, own ? next_of(seen) : last_of(rest));
            chunk->last = chunk->first + blocks;
            return true;
        }
    }
    return false;
}

static bool is_marked(const struct pp_job_plan *plan, uint64_t block) {
    return atomic_load_explicit(&plan->marks[block], memory_order_relaxed) != PP_UNMARKED;
}

static void set_positions(const struct pp_job_plan *plan, struct pp_chunk *chunk) {
    chunk->begin = chunk->first * plan->block;
    chunk->end = chunk->last * plan->block < plan->count ? chunk->last * plan->block : plan->count;
}

/* Takes away the blocks that have a mark: they were claimed before, and a task has overwritten the cursor since.
 * Returns false if nothing is left of the chunk. */
static bool trim(const struct pp_job_plan *plan, struct pp_chunk *chunk) {
    uint64_t end = chunk->last;
    while (chunk->first < end && is_marked(plan, chunk->first)) chunk->first++;
    for (chunk->last = chunk->first; chunk->last < end && !is_marked(plan, chunk->last);) chunk->last++;
    set_positions(plan, chunk);
    return chunk->first < chunk->last;
}

bool pp_plan_claim(const struct pp_job_plan *plan, uint32_t worker, struct pp_pace *pace, uint64_t most,
                   struct pp_chunk *chunk) {
    uint32_t region = worker < plan->regions ? worker : worker % plan->regions;
    for (uint32_t i = 0; i < plan->regions; i++) {
        while (claim_in(plan, region, i == 0, pace, most, chunk))
            if (trim(plan, chunk)) return true;
        if (++region == plan->regions) region = 0;
    }
    return false;
}

bool pp_pace_is_due(struct pp_pace *pace, uint64_t tick) {
    bool ticked = tick != pace->ticked;
    pace->ticked = tick;
    return ++pace->unmeasured > pace->unmeasured_most || ticked;
}

bool pp_pace_is_behind(const struct pp_pace *pace) {
    return pace->unmeasured > 0;
}

void pp_pace_measure(struct pp_pace *pace, uint64_t now) {
    uint64_t took = now - pace->began + 1, fit = pace->finished * 8;
    if (took > PP_CHUNK_NS / 8) fit = pace->finished * PP_CHUNK_NS / took;
    pace->items = fit ? fit : 1;
    if (took > PP_SHORT_NS) pace->unmeasured_most = 0;
    else if (pace->unmeasured_most < PP_UNMEASURED_MOST) pace->unmeasured_most = 2 * pace->unmeasured_most + 1;
    pace->began = now;
    pace->finished = pace->unmeasured = 0;
}

void pp_plan_mark(const struct pp_job_plan *plan, uint64_t first, uint64_t last, bool has_errors) {
    for (uint64_t i = first; i < last; i++)
        /* Release: pairs with the acquire in pp_plan_count(), which then reads `failed` of a job that runs. */
        atomic_store_explicit(&plan->marks[i], has_errors ? PP_MARK_ERRORS : PP_MARK_DONE, memory_order_release);
}

void pp_plan_finish(const struct pp_job_plan *plan, const struct pp_chunk *chunk, bool has_errors) {
    uint64_t first = chunk->first, last = chunk->last;
    bool begins_within = chunk->begin > first * plan->block;
    bool ends_within = chunk->end < last * plan->block && chunk->end < plan->count;
    if (last - first == 1 && (begins_within || ends_within)) {
        pp_pieces_note(plan, chunk->begin, chunk->end, has_errors);
        return;
    }
    if (begins_within) pp_pieces_note(plan, chunk->begin, ++first * plan->block, has_errors);
    if (ends_within) pp_pieces_note(plan, --last * plan->block, chunk->end, has_errors);
    pp_plan_mark(plan, first, last, has_errors);
}

bool pp_plan_is_finished(const struct pp_job_plan *plan, const struct pp_chunk *chunk) {
    unsigned char mark = atomic_load_explicit(&plan->marks[chunk->first], memory_order_acquire);
    uint64_t end;
    if (mark != PP_MARK_PIECES) return mark != PP_UNMARKED;
    return pp_pieces_find(plan, chunk->begin, chunk->end, &end) != NULL;
}

uint64_t pp_plan_left(const struct pp_job_plan *plan) {
    uint64_t left = 0;
    for (uint32_t i = 0; i < plan->regions; i++)
        left += left_in(plan, i, atomic_load_explicit(&plan->cursors[i].word, memory_order_acquire));
    return left;
}

bool pp_plan_is_used_up(const struct pp_job_plan *plan) {
    for (uint32_t i = 0; i < plan->regions; i++)
        if (left_in(plan, i, atomic_load_explicit(&plan->cursors[i].word, memory_order_acquire))) return false;
    return true;
}

void pp_plan_use_up(const struct pp_job_plan *plan) {
    for (uint32_t i = 0; i < plan->regions; i++)
        atomic_store_explicit(&plan->cursors[i].word, cursor(plan, 0, 0), memory_order_release);
}

bool pp_plan_take_rest(const struct pp_job_plan *plan, struct pp_rest *rest, struct pp_chunk *chunk) {
    for (;;) {
        while (rest->next < rest->last) {
            chunk->first = block_of(plan, rest->regions - 1, rest->next++);
            chunk->last = chunk->first + 1;
            if (is_marked(plan, chunk->first)) continue;
            set_positions(plan, chunk);
            return true;
        }
        if (rest->regions == plan->regions) return false;
        uint32_t region = rest->regions++;
        uint64_t word = atomic_exchange_explicit(&plan->cursors[region].word, cursor(plan, 0, 0), memory_order_acq_rel);
        rest->next = next_of(word);
        rest->last = rest->next + left_in(plan, region, word);
    }
}

void pp_plan_begin(const struct pp_job_plan *plan) {
    for (uint32_t i = 0; i < plan->regions; i++)
        atomic_store_explicit(&plan->cursors[i].word, cursor(plan, 0, region_size(plan, i)), memory_order_release);
}

static uint64_t count_failed(const struct pp_job_plan *plan, uint64_t begin, uint64_t end) {
    uint64_t failed = 0;
    for (uint64_t p = begin; p < end; p++) failed += pp_plan_has_failed(plan, p);
    return failed;
}

static void count_pieces(const struct pp_job_plan *plan, uint64_t begin, uint64_t end, uint64_t *done,
                         uint64_t *failed) {
    for (uint64_t next; begin < end; begin = next) {
        const struct pp_piece *piece = pp_pieces_find(plan, begin, end, &next);
        if (!piece) continue;
        *done += next - begin;
        if (piece->has_errors) *failed += count_failed(plan, begin, next);
    }
}

void pp_plan_count(const struct pp_job_plan *plan, uint64_t *done, uint64_t *failed) {
    uint32_t cut = 0;
    *done = *failed = 0;
    for (uint64_t b = 0; b < plan->blocks; b++) {
        unsigned char mark = atomic_load_explicit(&plan->marks[b], memory_order_acquire);
        if (mark == PP_UNMARKED) continue;
        uint64_t begin = b * plan->block, end = begin + plan->block;
        if (end > plan->count) end = plan->count;
        if (mark == PP_MARK_PIECES) {
            if (cut++ < pp_pieces_blocks_most(plan)) count_pieces(plan, begin, end, done, failed);
            continue;
        }
        *done += end - begin;
        if (mark == PP_MARK_ERRORS) *failed += count_failed(plan, begin, end);
    }
}
