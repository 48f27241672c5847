/* How much private memory this process has, and how much it may have; and how much there is to be had.
 *
 * Invariant: what limits a worker counts from what it began with, so that a limit means the same under a small and a
 * large parent. What cannot be read limits nothing.
 * Called by: worker; stats, limit and pages, as said below. */
#ifndef PP_MEMORY_H
#define PP_MEMORY_H

#include <stddef.h>
#include <sys/types.h>

/* Most resident bytes that this process has had, shared ones left out where the system tells them apart. 0: not
 * known. */
size_t pp_memory_used(void);
/* The same of another process of ours, as far as the system tells. Called by: stats. */
size_t pp_memory_peak(pid_t pid);
/* Bytes that the system could give without swapping; SIZE_MAX: not known. root: "" for the system's own /proc, or a
 * directory that holds another. Called by: limit. */
size_t pp_memory_available(const char *root);
/* Bytes that this process could take: of those, what its control groups let it have. Called by: pages. */
size_t pp_memory_left(const char *root);
/* Lets allocations fail once this process has `bytes` more private data than now. */
void pp_memory_limit(size_t bytes);

#endif
