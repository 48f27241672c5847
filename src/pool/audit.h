/* The audit: looks through everything for what scribbling may have hidden, and a death between two instructions left.
 *
 * What shared memory says is compared with what the caller's own tables say. A task that was lost is sent again; what
 * is lost again and again scribbles whenever it runs, and ends. Who seems to run what by its word nobody runs is
 * killed, but only once the word names it: if it was only about to begin, it then begins nothing. What a scribbler does
 * otherwise may cost another's item; one that says that it is done, and hangs, keeps its worker.
 *
 * Invariant: what may have run is not sent again, unless its own word said that it was not begun.
 * Called by: wait (the audit, when a wait takes unexpectedly long), collect (losses). */
#ifndef PP_AUDIT_H
#define PP_AUDIT_H

#include "pool/pool.h"

/* True: there was something to mend, and what does it once may do it again. */
bool pp_audit(struct pool *pool);

/* The task is not begun, and yet was lost. That takes a death between two instructions, or others' scribbling; or a
 * task that scribbles over what says that it runs, whenever it does. seen: its word, by which nobody who lives has it.
 * False: it happens too often, and the task ends, once nobody is at it who would hang in it for ever. */
bool pp_audit_bear_loss(struct pool *pool, uint32_t slot, uint64_t seen);

#endif
