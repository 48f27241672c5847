/* Arguments that stay in the caller's private memory: workers fetch them from there, a part at a time, so that the copy
 * is made by all of them, while others are at work, and lies in their caches (bench_limits, "squares-malloc").
 *
 * The supervisor tries whether the system lets it read the caller's memory, and says so. A worker may be allowed less:
 * a sandbox of its initializer's may refuse the call, or kill who makes it. So what is fetched is in no item's time and
 * on no item's account: whoever cannot fetch ends, what it had claimed goes to others, and the caller copies the
 * arguments after all, of this job and of all that are made from then on.
 *
 * Nothing is ever written to the caller's memory from outside: a worker that scribbles must not reach it, and one that
 * is about to die may be at it still when the caller has gone on.
 *
 * Invariant: a task can only read what was fetched, as it can only read what was copied for it.
 * Called by: supervisor (try), work_jobs (fetch); map decides what is fetched, and pass what is done where it fails. */
#ifndef PP_FETCH_H
#define PP_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bytes to fetch at a time at most: they stay in the cache until they were used. Larger arguments are copied. */
#define PP_FETCH ((size_t)262144)
/* Arguments of fewer bytes, all together, are copied: it takes no longer than a wake-up. */
#define PP_FETCH_LEAST ((size_t)1 << 20)
/* So many bytes are copied in the time of fetching one small argument, 0.8 us. */
#define PP_COPIED_MEANWHILE 4096U

/* Room for PP_FETCH bytes, and what was fetched last. */
struct pp_fetched {
    char *writable;       /* the same pages twice: one to write to, and one for tasks, who can only read it */
    const char *readable; /* NULL, both: there is none yet */
};

/* Supervisor: whether this process can read the memory of its parent, at an address where both have the same. Returns
 * the parent; 0: it cannot, or better does not try. */
pid_t pp_fetch_try(pid_t parent, const void *address);
/* What lies at `from` in that process, until the next call; NULL: the system does not let us, or has no memory. size:
 * at most PP_FETCH. */
const char *pp_fetch(struct pp_fetched *fetched, pid_t process, const char *from, size_t size);

#endif
