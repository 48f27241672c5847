/* Stretches: where a worker is in its chunk, where it must stop, and how others take the end away from it.
 *
 * A worker goes through the positions of its chunk one after another, and so does nothing for each but store where it
 * is (`progress` in its record) and look at one word there, its bound. The bound says where the stretch ends. A worker
 * that has nothing to do, a thief, takes what the worker has not begun:
 *
 *     worker:  stores progress = p; looks at the bound; if it is what the worker has written: runs p
 *     thief:   swaps the bound from OPEN to HALTED; lets a barrier pass through the worker; looks at progress;
 *              swaps the bound from HALTED to OPEN with a lower end
 *
 * Store and look of the worker need a fence between them, which would take longer than a short item. The barrier
 * (pp_barrier()) is that fence: it takes place between two of the worker's instructions. If that is before the worker
 * looks at the bound, it finds HALTED. If it is after, the store of p came before the barrier, and the thief sees it.
 * So once a thief has seen progress = p, the worker begins nothing after p unless it swaps the bound itself. That it
 * does at its next item, with a new number, and goes on. One of the two swaps succeeds. Neither waits for the other,
 * and each may die at any instruction. Where the system has no such barrier, the worker has a fence for each item of a
 * chunk whose items are not short (FENCED); others are not divided (FIXED).
 *
 * A bound has a number that is never written again in this place, for the numbers of a worker only grow: a stretch of
 * n positions takes n + 1 of them, and an end is the number of the position behind the last. A swap that succeeds was
 * therefore of the stretch that the thief saw. What a number means is said by `shift`: number = position + shift.
 *
 * A worker that runs several positions in one call stores the end of the call as well (`until`), after `progress` and
 * before the look. What then holds for p holds for all of the call: a thief takes nothing before `until`.
 *
 * The supervisor ends an item that is overdue in the same way: the number of the position where a worker is, is never
 * that of another item, and the kill that follows hits this one or none; see pp_stretch_stop().
 *
 * The bound of a dead worker is closed before its record is read, so that no thief takes what then is settled.
 *
 * An idle worker may sleep until it is woken if no worker in a job has anything that is not begun. It looks at `thefts`
 * before and after its look at the others, since a thief that it has looked at may rob one that it has not. A thief
 * counts before it robs; and a worker writes NONE before it claims.
 *
 * Invariant: a position of a chunk is the worker's that claimed it until a swap of the bound has made it another's.
 * Called by: claim (the worker), relief (thieves), timer (stop), worker_life (close). */
#ifndef PP_STRETCH_H
#define PP_STRETCH_H

#include "shared/bound.h"
#include "shared/record.h"

/* What a worker has, as others see it. */
struct pp_prospect {
    uint64_t job;    /* ticket; 0: it is in no job */
    uint64_t number; /* of the position that it is at; 0: it has no stretch that others can take from */
    uint64_t left;   /* positions that it has not begun */
    bool several;    /* it has begun several positions, in one call */
    bool may_claim;  /* it is about to claim, or has claimed what its record does not say yet */
};
struct pp_prospect pp_stretch_look(const struct pp_shared *shared, uint32_t worker);

/* Thief, in the job: takes half of what the worker has not begun, at most `most` positions. within: the thief is a
 * thread of this process. Returns false if there is nothing, or the worker was faster. */
bool pp_stretch_take(struct pp_shared *shared, uint32_t worker, uint64_t job, const struct pp_job_plan *plan,
                     uint64_t most, bool within, struct pp_chunk *chunk);

/* Supervisor: has the worker stop at the position with this number, where it was seen for too long, as a thief would:
 * halts it, lets a barrier pass through it, looks again, and swaps the bound to CLOSED. From then on the worker begins
 * nothing. Returns false if it has gone on. */
bool pp_stretch_stop(struct pp_shared *shared, uint32_t worker, uint64_t number);

/* The worker has died: no worker takes anything of its chunk any more. */
void pp_stretch_close(struct pp_shared *shared, uint32_t worker);

#endif
