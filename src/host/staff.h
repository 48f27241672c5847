/* The staff: which worker numbers have a worker, and when the others get one. The supervisor asks, forks, and says what
 * came of it.
 *
 *                  started                     died                 told
 *     EMPTY --------------------> ALIVE ------------------> DEAD ----------> EMPTY, to be started again
 *       ^                                                    |  told: it ended since it was idle
 *       |  there is work, or the size is set                 |-------------> RESTING, until there is work
 *       +--- RESTING, GIVEN_UP                               +-------------> GIVEN_UP: it keeps dying for nothing
 *
 * A shortage of processes passes: after a refused fork the next is tried after a pause, which grows with each refusal.
 * A worker dies for nothing if it held nothing, soon after its start and without a will of its own. Its number is then
 * started again after such a pause, too. It is given up if that happens again and again, and no worker runs anything in
 * between.
 *
 * Invariant: no process is forked or killed here, and nothing that a worker can write is trusted.
 * Called by: supervisor, workers. */
#ifndef PP_STAFF_H
#define PP_STAFF_H

#include "shared/notice.h"
#include "shared/shared.h"

enum pp_staff_state { PP_EMPTY, PP_ALIVE, PP_DEAD, PP_GIVEN_UP, PP_RESTING };

struct pp_staff {
    struct pp_shared *shared;
    bool lazy;                /* workers are started when there is work */
    bool paused;              /* during a reset: none is started, and no death counts against its number */
    uint32_t workers, wanted; /* copies of those in struct pp_control */
    enum pp_staff_state states[PP_WORKERS];
    unsigned init_failures[PP_WORKERS], futile_deaths[PP_WORKERS]; /* in a row */
    uint64_t started[PP_WORKERS];     /* ns */
    uint64_t start_again[PP_WORKERS]; /* ns; when to start the next after a futile death */
    uint64_t successes;               /* tasks that workers had run as of the last futile death */
    bool had_worker;                  /* or is to have some only once there is work */
    unsigned refusals;                /* of the system to fork, in a row */
    int refusal;                      /* errno of the last */
    uint64_t fork_again;              /* ns; when to try again */
    struct pp_notice last_futile;     /* the last futile death, and whether that worker was ready */
    bool last_was_ready;
};

/* At the start of the pool, whose size the control says. All is zero before. */
void pp_staff_begin(struct pp_staff *staff, struct pp_shared *shared, bool lazy);
/* Returns how many of the first `end` numbers are in this state. */
uint32_t pp_staff_count(const struct pp_staff *staff, enum pp_staff_state state, uint32_t end);

/* Whether a worker of this number must be started now. */
bool pp_staff_is_due(const struct pp_staff *staff, uint32_t worker, uint64_t now);
/* It was started; the system has refused a process, with that errno. */
void pp_staff_started(struct pp_staff *staff, uint32_t worker);
void pp_staff_refused(struct pp_staff *staff, int code);
/* Returns when the next worker is due, though nothing happens before; UINT64_MAX: none is. */
uint64_t pp_staff_next(const struct pp_staff *staff);

/* Whether the worker has died for nothing. To be asked before its life ends: then the caller uses its slot again. */
bool pp_staff_is_futile(const struct pp_staff *staff, const struct pp_notice *death);
/* The caller was told of the death. rests: the worker may be started again only once there is work. */
void pp_staff_buried(struct pp_staff *staff, const struct pp_notice *death, bool futile, bool rests);

/* It has said that it is of no use: it is started again only if the size is set. */
void pp_staff_give_up(struct pp_staff *staff, uint32_t worker);
/* The caller has changed the size of the pool. */
void pp_staff_resize(struct pp_staff *staff);
/* Lets at most `count` of those that rest be started. */
void pp_staff_call(struct pp_staff *staff, uint32_t count);

/* Tells pool_stats() why workers are missing. */
void pp_staff_tell_shortage(const struct pp_staff *staff);
/* Whether the pool has no worker and will get none; *notice then says so. */
bool pp_staff_is_lost(const struct pp_staff *staff, bool has_initializer, struct pp_notice *notice);

#endif
