/* Notices of deaths: a ring that the supervisor writes and the caller reads, in memory that workers cannot write.
 *
 * Invariant: the notice is in the ring before the dead worker's record is cleared, and the record is cleared before the
 * next life begins. A caller that finds a record cleared, and then has read all notices, knows what the dead worker
 * left.
 * Called by: supervisor (write), collect (read), audit (whether any waits). */
#ifndef PP_NOTICE_H
#define PP_NOTICE_H

#include <sys/types.h>

#include "shared/record.h"
#include "shared/shared.h"

/* A death, from the supervisor. Written before notices_tail moves past it. */
struct pp_notice {
    enum { PP_WORKER_DIED, PP_POOL_BROKEN } kind;
    uint32_t worker, life;
    pid_t pid;
    int status;   /* of waitpid() */
    int32_t code; /* PP_POOL_BROKEN: POOL_EINIT or POOL_EAGAIN */
    int32_t init_code;
    struct pp_snapshot left; /* what its record said in the end: untrusted */
};

/* Supervisor. Returns false if there is no room; the caller will then send PP_ROOM. */
bool pp_notice_write(struct pp_shared *shared, const struct pp_notice *notice);
/* Caller. Returns false if there is none. *supervisor_waits: whether the caller must send PP_ROOM. */
bool pp_notice_read(struct pp_shared *shared, struct pp_notice *notice, bool *supervisor_waits);
/* Caller: returns whether there is a notice to read. */
static inline bool pp_notice_waits(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->notices_tail, memory_order_acquire) !=
           atomic_load_explicit(&shared->control->notices_head, memory_order_relaxed);
}

#endif
