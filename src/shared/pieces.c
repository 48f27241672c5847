#include "shared/pieces.h"

#define LEAST 128U /* a thief takes half of what is left: few cuts divide many items */
#define EACH 64U  /* for each worker */

uint32_t pp_pieces_room(uint32_t workers) {
    return workers * EACH > LEAST ? workers * EACH : LEAST;
}

size_t pp_pieces_size(uint32_t room) {
    return sizeof(struct pp_pieces) + room * sizeof(struct pp_piece);
}

/* Fails if the worker has marked the block meanwhile: then it has finished it. */
static bool mark_in_pieces(const struct pp_job_plan *plan, uint64_t block) {
    unsigned char mark = PP_UNMARKED;
    return atomic_compare_exchange_strong_explicit(&plan->marks[block], &mark, PP_MARK_PIECES, memory_order_relaxed,
                                                   memory_order_relaxed) ||
           mark == PP_MARK_PIECES;
}

uint64_t pp_pieces_cut(const struct pp_job_plan *plan, uint64_t begin, uint64_t end, uint64_t take) {
    uint64_t at = end - take, behind = at - at % plan->block, before = behind + plan->block;
    if (at == end || at == behind) return at;
    if (before < end) return before;
    if (behind >= begin) return behind;
    if (!plan->pieces) return end;
    uint32_t cut = atomic_fetch_add_explicit(&plan->pieces->cuts, 1, memory_order_relaxed);
    bool may = cut < pp_pieces_blocks_most(plan) && mark_in_pieces(plan, at / plan->block);
    return may ? at : end;
}

void pp_pieces_note(const struct pp_job_plan *plan, uint64_t begin, uint64_t end, bool has_errors) {
    uint32_t i = atomic_fetch_add_explicit(&plan->pieces->used, 1, memory_order_relaxed);
    if (i >= plan->pieces_room) return; /* a task has overwritten the count: the positions are lost, and run again */
    struct pp_piece *piece = &plan->pieces->all[i];
    atomic_store_explicit(&piece->begin, begin, memory_order_relaxed);
    atomic_store_explicit(&piece->has_errors, has_errors, memory_order_relaxed);
    /* Release: pairs with the acquire in pp_pieces_find(), whose caller reads the codes of a job that runs. */
    atomic_store_explicit(&piece->end, end, memory_order_release);
}

const struct pp_piece *pp_pieces_find(const struct pp_job_plan *plan, uint64_t position, uint64_t most, uint64_t *end) {
    *end = most;
    for (uint32_t i = 0; plan->pieces && i < plan->pieces_room; i++) {
        const struct pp_piece *piece = &plan->pieces->all[i];
        uint64_t last = atomic_load_explicit(&piece->end, memory_order_acquire);
        uint64_t first = atomic_load_explicit(&piece->begin, memory_order_relaxed);
        if (first > position && first < *end && last > first) *end = first;
        if (first > position || last <= position) continue;
        *end = last < most ? last : most;
        return piece;
    }
    return NULL;
}
