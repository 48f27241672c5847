/* Notices, above all of deaths: a ring that the supervisor writes and the caller reads, in memory that workers cannot
 * write.
 *
 * Invariant: a death is announced, then the dead worker's record is cleared, then the notice can be read, then the next
 * life begins.
 *     announced first: a caller that finds a record cleared, and no notice due, has read what the dead worker left.
 *     readable last:   a caller that has read a notice finds the record cleared. So what it then decides about a job is
 *                      final. If the record still said that the dead worker is in the job, the job would go on, and
 *                      nothing would make the caller look again once the record is cleared.
 * Called by: worker_life, supervisor, corpses, threads and inline (write), collect (read), wait, round and integrity
 * (whether one is due). */
#ifndef PP_NOTICE_H
#define PP_NOTICE_H

#include <sys/types.h>

#include "shared/last_words.h"
#include "shared/record.h"
#include "shared/shared.h"

#define PP_SAID 128 /* bytes of what a victim said last, with the end */

/* A death, that a corpse has gone, that a reset has killed all workers, or that the pool can have none. */
struct pp_notice {
    enum { PP_WORKER_DIED, PP_CORPSE_GONE, PP_ALL_DIED /* since PP_RESET */, PP_POOL_BROKEN } kind;
    uint32_t worker, life;
    pid_t pid;
    int status;   /* of waitpid(); POOL_EAGAIN: errno of fork(), 0: not known */
    int32_t code; /* PP_POOL_BROKEN: POOL_E… */
    int32_t init_code;
    int32_t sandbox_code; /* errno: why the worker could not enter its sandbox */
    bool init_overdue; /* the worker was killed because its initializer did not end */
    bool reset;   /* the supervisor killed the worker because of PP_RESET */
    bool lingers; /* the worker is a corpse: see worker_life.h */
    struct pp_snapshot left;   /* what the worker's record said in the end: untrusted */
    struct pp_last_words last; /* likewise */
    char said[PP_SAID]; /* the last line that the victim printed, with pool_options.capture; one line; "": not known */
};

/* Why workers are missing: a code, POOL_EAGAIN or POOL_EDIED, and a status as in struct pp_notice. */
static inline uint64_t pp_shortage(int32_t code, int status) {
    return (uint64_t)(uint32_t)code << 32 | (uint32_t)status;
}

/* Supervisor; one process or thread at a time, from the announcement to the publication. Announces a notice. Returns
 * false if there is no room; the caller will then send PP_ROOM. */
bool pp_notice_announce(struct pp_shared *shared);
/* Supervisor: makes the notice that was announced readable. */
void pp_notice_publish(struct pp_shared *shared, const struct pp_notice *notice);
/* Supervisor: both, for what no record tells. Returns false if there is no room. */
bool pp_notice_write(struct pp_shared *shared, const struct pp_notice *notice);
/* Caller. Returns false if there is none. *supervisor_waits: whether the caller must send PP_ROOM. */
bool pp_notice_read(struct pp_shared *shared, struct pp_notice *notice, bool *supervisor_waits);
/* Caller: returns whether there is a notice to read. */
static inline bool pp_notice_waits(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->notices_tail, memory_order_acquire) !=
           atomic_load_explicit(&shared->control->notices_head, memory_order_relaxed);
}
/* Caller: returns whether there is a death of which it has not read the notice: the notice can be read now or will be
 * very soon, and the bell rings after that. */
static inline bool pp_notice_is_due(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->notices_announced, memory_order_relaxed) !=
           atomic_load_explicit(&shared->control->notices_head, memory_order_relaxed);
}

#endif
