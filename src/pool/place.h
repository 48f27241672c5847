/* Where a worker was when it ended, as a text: the addresses that it left as functions and offsets. Workers are forked,
 * so an address in a worker is the same place in the caller, unless the worker has loaded the module itself.
 *
 * Invariant: the addresses are untrusted: they are only compared, and looked up in tables.
 * Called by: describe. */
#ifndef PP_PLACE_H
#define PP_PLACE_H

#include "parpool.h"
#include "shared/last_words.h"

/* Adds to the failure's message where the worker was, "in decode_header+0x1c (prog+0x3360), from decode+0x4", as much
 * of it as there is room for, and puts the addresses into its frames. before: what to write first, like " in ". */
void pp_place_describe(struct pool_failure *failure, const struct pp_last_words *last, const char *before);

#endif
