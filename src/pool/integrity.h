/* Integrity: whether shared memory agrees with the caller's own tables, and what follows if it does not.
 *
 * A task may overwrite whatever its worker can write. Nothing would then end a wait for what it has hidden, so a caller
 * that has waited for long looks through everything, once after 100 ms and then ever more rarely, as long as it finds
 * nothing. A pool that no thread waits for is not looked at.
 *
 * A look tells three kinds of findings apart:
 *
 *   Contradictions   what honest workers cannot cause, whatever moment the look finds them at. There is one repair for
 *                    all of them: reset.h.
 *   Lost messages    a word that says KILLED or OVERDUE while its worker lives: the kill is sent again. And each look
 *                    clears the bits of the workers that sleep and wakes all.
 *   Strays           a worker that lives and, by its record, is at nothing that the caller knows of, though it does not
 *                    sleep, or though work waits. An honest worker may be between two steps, so it is looked at twice.
 *                    Then the worker is killed, if its record still is as it was: an honest one loses nothing by it.
 *
 * Why each contradiction is one:
 *   - A ticket of a task that has not started is in the ring, or in the record of the worker that took it out, until
 *     the task's word changes: the worker writes its record before it moves the head. So the ring is looked at first,
 *     then the records, then the word once more.
 *   - A word that says RUNNING, KILLED or OVERDUE names a life that has not ended, as far as notices were read, and
 *     that worker's record has the ticket as its current one: it was written before the swap, and stays until the
 *     worker has ended the word. So the record is looked at first, then the word once more.
 *   - Other words are of no task that is open: CANCELLED is swapped in by the caller, which then ends the task at once.
 *   - The head is never past the tail, nor more than the ring's size behind it.
 *   - The word of an open round of a job is PENDING or RUNNING, and if the job was stopped nothing is left to claim.
 *   - The word of a worker that is in a job names that worker and its life, from its birth on.
 *   A death may clear a record at any moment; but its notice is written before. So where a notice waits in the end,
 *   nothing of it counts.
 *
 * Where tasks run in the program's own process (in_here) there is nothing that could be killed: only messages are sent
 * again.
 * Called by: wait. */
#ifndef PP_INTEGRITY_H
#define PP_INTEGRITY_H

#include "pool/pool.h"

/* Looks through everything. Returns true if there was something to repair: the next look should come soon. */
bool pp_examine(struct pool *pool);

#endif
