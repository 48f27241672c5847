/* Pages of memory, many at a time: to take and to map each by a fault of its own is the dearest way.
 *
 * The caller takes in huge pages what it knows to be used much or as a whole (pp_pages_take): large blocks, and the
 * tables of tasks, and futures, once there are many. Each process then maps a huge page by one fault, instead of by
 * 512. A worker maps what it is about to write (pp_pages_map): it asks once for each granule. What nobody asks for, or
 * what the system refuses, is taken and mapped as it is touched (bench_limits, "squares-first", "flat-workers-submit").
 *
 * Invariant: neither changes what the memory holds. A mark says that a granule was asked for, no more.
 * Called by: pool, slots, submit, handles and map (take), work_jobs and work_tasks (map). */
#ifndef PP_PAGES_H
#define PP_PAGES_H

#include "shared/shared.h"

#define PP_GRANULE ((size_t)65536)

struct pp_pages {
    const struct pp_shared *shared;
    unsigned char *asked; /* a mark a granule; NULL: none yet */
    char *begin, *end;    /* the granules that were asked for last, or found to have been */
    bool useless;         /* there is no such call, or no memory; or none is to be asked for */
};

/* For the next one alone. */
void pp_pages_map_more(struct pp_pages *pages, char *begin, char *end, char *first, char *last);

/* Has the granules mapped that hold what lies between `begin` and `end`, as far as they are part of what will all be
 * written, between `first` and `last`: in the shared memory. */
static inline void pp_pages_map(struct pp_pages *pages, char *begin, char *end, char *first, char *last) {
    if (begin < pages->begin || end > pages->end) pp_pages_map_more(pages, begin, end, first, last);
}

/* Takes the huge pages that lie wholly in this memory, if it is no more than an eighth of what is left. refused:
 * whether the system would not; then it is not asked again. */
void pp_pages_take(_Atomic bool *refused, char *begin, size_t size);

#endif
