/* Pieces: blocks of a plan that several workers have finished parts of.
 *
 * A block has one mark, but a worker that takes over what another has not begun may cut within a block. The block is
 * then marked as one in pieces, and each worker that finishes positions of it, but not all, notes them in the plan's
 * table of pieces. Positions of such a block that no piece has were lost with a worker.
 *
 * A cut reserves room for the piece on each side of it, twice: the caller notes a piece once more if its worker
 * has died right after it noted it. So there always is room for a piece.
 *
 * Invariant: a block is in pieces only if a thief has cut it, or has tried to; then the worker whose block it is marks
 * all of it.
 * Called by: stretch (cut), plan (note, count), round_plan (room), round (settle). */
#ifndef PP_PIECES_H
#define PP_PIECES_H

#include "shared/plan.h"

/* Written by the worker that has finished the positions, `end` last (release), or by the caller for one that died.
 * Untrusted. */
struct pp_piece {
    _Atomic uint64_t begin, end; /* positions of one block; end 0: not written */
    _Atomic uint32_t has_errors; /* as PP_MARK_ERRORS of a block */
};

/* The table of a plan, in memory that workers write. Zeroed when the round begins. */
struct pp_pieces {
    _Atomic uint32_t cuts, used;
    struct pp_piece all[];
};
/* Pieces in a table for so many workers; bytes of a table with so many. */
uint32_t pp_pieces_room(uint32_t workers);
size_t pp_pieces_size(uint32_t room);

/* How many blocks of the plan can be in pieces. A task may say so of all, and each costs a search. */
static inline uint32_t pp_pieces_blocks_most(const struct pp_job_plan *plan) {
    return plan->pieces_room / 4;
}

/* Thief: where to cut [begin, end) so that about `take` positions lie behind, between two blocks if possible; else the
 * block is marked as one in pieces. Returns `end` if it cannot be cut. */
uint64_t pp_pieces_cut(const struct pp_job_plan *plan, uint64_t begin, uint64_t end, uint64_t take);
/* Notes that [begin, end), which lie in one block, are finished. */
void pp_pieces_note(const struct pp_job_plan *plan, uint64_t begin, uint64_t end, bool has_errors);
/* The piece that has this position; NULL: none. *end: where it ends, or the next one begins, at most `most`. */
const struct pp_piece *pp_pieces_find(const struct pp_job_plan *plan, uint64_t position, uint64_t most, uint64_t *end);

#endif
