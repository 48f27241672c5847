/* Pages of the shared memory that a worker has mapped before it writes to them.
 *
 * Each process has to map each page once, and a fault for each is the dearest way: the kernel maps many in one call for
 * hardly more (bench_limits, "squares-first"). A worker asks once for each granule; what it does not ask for, or what
 * the system refuses, is mapped as it is touched.
 *
 * Invariant: a mark says that a granule was asked for, no more.
 * Called by: work_jobs, work_tasks. */
#ifndef PP_PAGES_H
#define PP_PAGES_H

#include "shared.h"

#define PP_GRANULE ((size_t)65536)

struct pp_pages {
    const struct pp_shared *shared;
    unsigned char *asked; /* a mark a granule; NULL: none yet */
    bool useless;         /* there is no such call, or no memory; or none is to be asked for */
};

/* Has the granules mapped that hold what lies between `begin` and `end`, as far as they are part of what will all be
 * written, between `first` and `last`: in the shared memory. */
void pp_pages_map(struct pp_pages *pages, char *begin, char *end, char *first, char *last);

#endif
