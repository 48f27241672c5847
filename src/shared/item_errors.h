/* What the failed items of a job's pass have said: a set with room for some messages, those of the lowest positions.
 *
 * All workers of the job add to it. A place is claimed by a compare-and-swap from free, or from the highest position in
 * it, to the new position marked as being written; then the message is written, then the position without the mark.
 * Whoever is to displace what is being written waits a little. A worker that dies while it writes leaves its place
 * lost, for which there are some to spare; the code of an item is told all the same, from the plan.
 *
 * Invariant: of all that was added, the lowest positions are there, as many as there is room for, save for deaths.
 * Called by: worker (note), pass (begin, find). */
#ifndef PP_ITEM_ERRORS_H
#define PP_ITEM_ERRORS_H

#include "shared/shared.h"

struct pp_item_error {
    _Atomic uint64_t position; /* + 1, and whether it is being written; 0: the place is free */
    int32_t pid;
    char message[PP_MESSAGE];
};

/* In the work heap: everybody may write. */
struct pp_item_errors {
    _Alignas(PP_LINE) _Atomic uint64_t limit; /* positions beyond it find no room. By whoever found none */
    struct pp_item_error places[];
};

/* Places to make for `wanted` messages, and the bytes they take. */
uint32_t pp_item_errors_room(size_t wanted);
size_t pp_item_errors_size(uint32_t room);
/* Caller: empties the set. */
void pp_item_errors_begin(struct pp_item_errors *flaws, uint32_t room);
/* Worker: the item at that position has failed. message: PP_MESSAGE bytes. */
void pp_item_errors_note(struct pp_item_errors *flaws, uint32_t room, uint64_t position, const char *message);
/* Caller, when no worker is in the job: NULL: its message was not kept. */
const struct pp_item_error *pp_item_errors_find(const struct pp_item_errors *flaws, uint32_t room, uint64_t position);

#endif
