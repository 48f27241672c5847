/* Huge pages: memory that is taken 2 MiB at a time, and mapped by one page fault in each process instead of by 512.
 *
 * The caller takes in huge pages what it knows to be used as a whole: large blocks, and small ones, the tables of tasks
 * and futures once there are many. Other memory, and what the system refuses, is taken and mapped as it is touched
 * (bench_limits, "squares-first").
 *
 * Invariant: it does not change what the memory holds. */
#ifndef PP_PAGES_H
#define PP_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Takes the huge pages that lie wholly in this memory, if it is no more than an eighth of what is left. refused:
 * whether the system would not; then it is not asked again. */
void pp_pages_take(_Atomic bool *refused, char *begin, size_t size);

#endif
