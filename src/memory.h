/* How much private memory this process has, and how much it may have.
 *
 * Invariant: both count from what the process began with, so that a limit means the same under a small and a large
 * parent.
 * Called by: worker. */
#ifndef PP_MEMORY_H
#define PP_MEMORY_H

#include <stddef.h>
#include <sys/types.h>

/* Most resident bytes that this process has had, shared ones left out where the system tells them apart. 0: not
 * known. */
size_t pp_memory_used(void);
/* The same of another process of ours, as far as the system tells. Called by: stats. */
size_t pp_memory_peak(pid_t pid);
/* Lets allocations fail once this process has `bytes` more private data than now. */
void pp_memory_limit(size_t bytes);

#endif
