/* How much private memory a process uses, how much more it may use, how much the system has left, and how much address
 * space there is.
 *
 * Invariant: the limit of a worker counts from what the worker had when it started, so that it means the same under a
 * small and a large parent. A limit that cannot be read is no limit.
 * Called by: worker and work (used, limit), stats (peak), limit (available), pages (left), shared (reservable). */
#ifndef PP_MEMORY_H
#define PP_MEMORY_H

#include <stddef.h>
#include <sys/types.h>

/* Returns the largest number of resident bytes that this process has had, without shared ones where the system tells
 * them apart; 0 if that is not known. */
size_t pp_memory_used(void);
/* From now on pp_memory_used() works in this process though it may open no file. */
void pp_memory_keep_open(void);
/* Returns the same of another process of this user. */
size_t pp_memory_peak(pid_t pid);
/* Returns how many bytes the system could provide without swapping; SIZE_MAX if that is not known. root: "" for the
 * system's own /proc, or a directory that holds another. */
size_t pp_memory_available(const char *root);
/* Returns how many of those its control groups allow this process to use. */
size_t pp_memory_left(const char *root);
/* Returns how many bytes this process may still map, touched or not; SIZE_MAX if nothing limits it. Limits are that of
 * address space (RLIMIT_AS), a system that promises no memory that it does not have (vm.overcommit_memory=2), and
 * valgrind, which takes time and memory of its own for each page that is mapped. root: as above. */
size_t pp_memory_reservable(const char *root);
/* From now on allocations fail that would give this process more than `bytes` of private data beyond what it has. */
void pp_memory_limit(size_t bytes);

#endif
