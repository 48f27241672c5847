/* Notices of deaths: a ring that the supervisor writes and the caller reads, in memory that workers cannot write.
 *
 * Invariant: a notice is in the ring before the dead worker's record is cleared, and the record before its next life
 * begins; so a caller that sees a record cleared, and then that it has read all notices, knows what the dead left.
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

/* Supervisor. False: there is no room; the caller will send PP_ROOM. */
bool pp_notice_write(struct pp_shared *shared, const struct pp_notice *notice);
/* Caller. False: there is none. *supervisor_waits: whether it has to be told that there is room. */
bool pp_notice_read(struct pp_shared *shared, struct pp_notice *notice, bool *supervisor_waits);
/* Caller. */
static inline bool pp_notice_waits(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->notices_tail, memory_order_acquire) !=
           atomic_load_explicit(&shared->control->notices_head, memory_order_relaxed);
}

#endif
