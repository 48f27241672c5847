/* Huge pages: memory that is taken 2 MiB at a time, and mapped by one page fault in each process instead of by 512.
 *
 * Code that uses a region of memory from its beginning on, and knows that all of it will be used, only says that it
 * uses more. The policy is here. The first huge page of a region is taken once PP_PAGES_SMALL bytes of it are used: by
 * then page faults have cost as much time as the huge page will. So a pool with little to do needs little memory. Any
 * other huge page is taken as soon as its first byte is used. Nothing is taken that is more than an eighth of the
 * memory that is left. Such memory, and what the system refuses, is taken and mapped page by page, as it is touched.
 * bench_limits, "squares-first", "submit"
 *
 * Invariant: it does not change what the memory holds.
 * Called by: alloc and lifetime (the heaps), slots (their tables), future_alloc (futures). */
#ifndef PP_PAGES_H
#define PP_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/sys.h"

#define PP_PAGES_SMALL ((size_t)256 << 10)

/* A large one begins at a huge page. */
struct pp_region {
    char *base;
    size_t size;
};

/* Whole huge pages, in a row; none if the size is 0. */
struct pp_huge_pages {
    char *begin;
    size_t size;
};

/* Returns the huge pages to take because the memory from `from` up to `upto` in the region is about to be used, and
 * from `from` on nothing was used before. */
struct pp_huge_pages pp_pages_begun(struct pp_region region, const char *from, const char *upto);
/* Takes the huge pages, which the kernel clears meanwhile. refused: whether the system would not; then it is not asked
 * again. */
void pp_pages_take(_Atomic bool *refused, struct pp_huge_pages pages);

#endif
