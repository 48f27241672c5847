/* What a corpse may still use: a worker that was killed and that the kernel does not end; see worker_life.h.
 *
 * It runs nothing any more, but the system call in which it is may still read its argument, or write its result, once a
 * file system answers. So the slot, the argument and the result of what it ran are withheld, and used for nothing else
 * until all corpses have gone. The arena is the program's own.
 *
 * Invariant: what is withheld belongs to no future and no job. Without memory to note it, it is withheld until the pool
 * ends. Always under the pool's lock.
 * Called by: collect (one comes, one goes), death, job (withhold), lifetime (end). */
#ifndef PP_CORPSE_H
#define PP_CORPSE_H

#include "pool/pool.h"

struct pp_withheld;

/* Withholds a block of a heap, which must not be freed otherwise; NULL: nothing. */
void pp_withhold(struct pool *pool, struct pp_heap *heap, void *block);
/* Takes from the task what its worker, a corpse, may still use: its slot, argument and result. */
void pp_withhold_task(struct pool *pool, struct future *future);

/* A worker is a corpse; one has gone. */
void pp_corpse_came(struct pool *pool);
void pp_corpse_gone(struct pool *pool);
/* The pool's memory ends. */
void pp_withheld_end(struct pool *pool);

#endif
