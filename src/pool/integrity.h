/* Integrity: whether shared memory agrees with the caller's own tables.
 *
 * A task may overwrite whatever its worker can write. Nothing would then end a wait for what it has hidden. So a caller
 * that has waited for 100 ms looks through everything, and then ever more rarely while it finds nothing. So does a
 * program that only polls, whenever it does. A pool of which no call asks for anything is not looked at.
 *
 * There are four kinds of findings:
 *
 *   Contradictions   Honest workers cannot cause them, at whatever moment the caller looks. There is one repair for all
 *                    of them: the reset (reset.h).
 *   Lost messages    A word says KILLED or OVERDUE, and its worker lives: the kill is sent again. Bits of sleepers may
 *                    be wrong, too: each look clears them and wakes all workers, and those that sleep set them again.
 *   Strays           A worker lives and runs nothing that the caller knows of, by its record, but does not sleep; or it
 *                    sleeps while work waits. It may be between two steps. A worker that is found so at two looks is
 *                    killed, unless it has taken a step by the time that the supervisor carries out the kill. So an
 *                    honest worker loses nothing, however slow it is. Steps can be feigned: one that is found so at
 *                    more looks in a row is killed in any case, unless the pool has completed something meanwhile, as
 *                    by the steps of an honest worker. A finalizer is believed for 10 s while work waits.
 *   Stalls           A job does not go on although a limit or a kill should have ended what runs; see stall.h.
 *
 * Why honest workers cause no contradiction:
 *   - The ticket of a task that has not started is in the ring, or in the record of the worker that took it from there:
 *     the worker writes its record before it moves the head, and keeps the ticket there until it has tried to claim the
 *     task. The look reads the head first, then the records, then the task's word once more.
 *   - A word that says RUNNING, KILLED or OVERDUE names a life whose end the caller has not read, and the record of
 *     that worker names the task: it did before the swap to RUNNING, and the fence in pp_announce() orders the end of
 *     the word before the next change of the record. The look reads the record, then the word once more.
 *   - Any other word is of no open task. The caller itself writes CANCELLED, and ends the task at once.
 *   - The head lies between the tail and PP_TICKETS before it.
 *   - The word of a job that has an entry in the job table says PENDING or RUNNING. If the job was stopped, nothing is
 *     left to claim.
 *   - The record of a worker that is in a job has a word with that worker's number and life, which it has had since the
 *     worker's birth.
 *   - Workers ring the bell and announce outcomes a few times more than something comes of it, and no more; see vain.h.
 *   - A death may clear a record at any moment, but is announced before. So nothing counts if a notice is due after the
 *     look.
 *
 * Where tasks run in the program's own process, what they overwrite is the program's own memory, and no worker can be
 * killed. There a look only wakes the workers.
 * Called by: wait, node. */
#ifndef PP_INTEGRITY_H
#define PP_INTEGRITY_H

#include "pool/pool.h"

/* Looks through everything. Returns true if it has found a contradiction or a stray: then the next look should come
 * soon. */
bool pp_examine(struct pool *pool);

#endif
