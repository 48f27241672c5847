/* Breaking the pool: it can do no more work, and everything that is open ends. */
#ifndef PP_BREAK_H
#define PP_BREAK_H

#include "pool/pool.h"

/* Ends everything that is open for this reason, save tasks whose outcome is there already. A pool breaks once. */
void pp_break(struct pool *pool, const struct pool_failure *why);

#endif
