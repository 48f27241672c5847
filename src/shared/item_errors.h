/* What failed items of one round of a job have said: codes and messages, in a set with room for some of them, which
 * keeps those of the lowest positions.
 *
 * All workers of the job add to it. A worker claims an entry by a compare-and-swap of its position: from 0, or from the
 * highest position in the set, to the new position with a mark that it is being written. Then the worker writes code
 * and message, then the position without the mark. A worker that would displace an entry which is being written waits
 * for it a little. An entry is lost if its writer dies; there are some to spare. The plan says which items have failed,
 * so an item whose entry is lost has failed all the same. If the program wants to know of more failures than the set
 * can hold, the plan has the code of each, too.
 *
 * Invariant: of all positions added, the set holds the lowest, as many as there is room for; deaths excepted.
 * Called by: claim and carrier_jobs (note), round_plan (begin), round (find). */
#ifndef PP_ITEM_ERRORS_H
#define PP_ITEM_ERRORS_H

#include "shared/shared.h"

struct pp_item_error {
    _Atomic uint64_t position; /* + 1, with a mark while it is being written; 0: the entry is free */
    int32_t code, pid;
    char message[PP_MESSAGE];
};

/* In the work heap, where all may write. */
struct pp_item_errors {
    /* There is no room beyond this position. Written by a worker that has found none. */
    _Alignas(PP_LINE) _Atomic uint64_t limit;
    struct pp_item_error entries[];
};

/* Whether a set may be so large that it has an entry for each of `wanted` failures. */
bool pp_item_errors_suffice(size_t wanted);
/* Return the number of entries to make for `wanted` failures, and the bytes of a set with that many. */
uint32_t pp_item_errors_room(size_t wanted);
size_t pp_item_errors_size(uint32_t room);
/* Caller: empties the set. */
void pp_item_errors_begin(struct pp_item_errors *errors, uint32_t room);
/* Worker: the item at that position has failed in process `pid`. message: PP_MESSAGE bytes. */
void pp_item_errors_note(struct pp_item_errors *errors, uint32_t room, uint64_t position, int32_t code, int32_t pid,
                         const char *message);
/* Caller, when no worker is in the job: returns what the item at that position has said; NULL if it was not kept. */
const struct pp_item_error *pp_item_errors_find(const struct pp_item_errors *errors, uint32_t room, uint64_t position);

#endif
