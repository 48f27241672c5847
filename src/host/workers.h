/* The processes of the workers: started, killed, reaped, and told of to the caller.
 *
 * The staff says which numbers are to have a worker; here is the process of each. A worker's death goes through three
 * steps, each of which may have to wait: the system says that it has ended (or it is a corpse: worker_life.h), what it
 * held is read from its record, and the caller is given a notice. Only then has its number the next life.
 *
 * Invariant: a process is signalled only while it is not reaped, so no number is that of another. Nothing that a worker
 * can write is trusted.
 * Called by: supervisor. */
#ifndef PP_HOST_WORKERS_H
#define PP_HOST_WORKERS_H

#include "host/corpses.h"
#include "host/groups.h"
#include "host/question.h"
#include "host/signals.h"
#include "host/staff.h"
#include "host/supervisor.h"
#include "host/tracer.h"
#include "shared/timer.h"
#include "worker/capture.h"

struct pp_workers {
    struct pp_shared *shared;
    const struct pp_supervisor_setup *setup;
    struct pp_signals signals;
    int caller_pidfd;
    int nudge[2]; /* by which the carrier is told that something of what it has was killed; -1: there is none */
    struct pp_staff staff;
    pid_t pids[PP_WORKERS];
    int statuses[PP_WORKERS];
    struct pp_groups groups;
    bool init_overdue[PP_WORKERS]; /* it was killed because its initializer did not end */
    uint64_t killed[PP_WORKERS];   /* ns; when it was first sent SIGKILL; 0: it was not */
    struct pp_questions questions;
    bool lingers[PP_WORKERS];      /* DEAD, but a corpse */
    struct pp_corpses corpses;
    struct pp_timer timer;
    struct pp_capture *capture;    /* NULL: output of workers is not caught */
    struct pp_tracer tracer;
};

/* Starts those that are due. */
void pp_workers_start_missing(struct pp_workers *workers);
/* Workers of this number and higher ones are to end by themselves, and a signal may have stopped them. */
void pp_workers_let_go_on(const struct pp_workers *workers, uint32_t first);

void pp_workers_kill(struct pp_workers *workers, uint32_t worker);
/* It may say where it is, and ends itself, or is killed by pp_workers_kill_silent(), to be called at
 * pp_question_next(). */
void pp_workers_ask_and_kill(struct pp_workers *workers, uint32_t worker, enum pp_trace_why why);
void pp_workers_kill_silent(struct pp_workers *workers);
/* The same: its task, its initializer or its finalizer is overdue. */
void pp_workers_kill_overdue(struct pp_workers *workers, uint32_t worker);

/* Reaps what has ended: workers, and what their tasks have left behind. */
void pp_workers_reap(struct pp_workers *workers);
/* Workers that were killed and have not ended in time count as dead from now on. */
void pp_workers_leave_corpses(struct pp_workers *workers);
/* When the next worker is a corpse, ns; UINT64_MAX: none will be. */
uint64_t pp_workers_next_corpse(const struct pp_workers *workers);
/* Tells the caller of deaths for which there is room in the notices. */
void pp_workers_tell_deaths(struct pp_workers *workers);
/* Rings the caller's bell. */
void pp_workers_ring(struct pp_workers *workers);

/* Kills all, and waits for them until the deadline, ns. */
void pp_workers_end(struct pp_workers *workers, uint64_t deadline);

#endif
