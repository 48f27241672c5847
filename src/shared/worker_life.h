/* The life of a worker in shared memory, from its start to its death. A worker number has one life after another.
 *
 * A corpse is a worker that was sent SIGKILL and that the kernel has not ended a second later: its control group is
 * frozen, or it is in a system call that cannot be interrupted, as on a dead network file system. Its death is told all
 * the same, and the next life of its number begins. For the protocols it is dead:
 *   - It takes no step any more. SIGKILL cannot be blocked or handled. A thread that runs is interrupted at once, and
 *     any other handles the signal when it would return from the kernel to its program; so none executes another
 *     instruction of it. Its record says what it says at each death: how far it came.
 *   - The kernel may still read or write memory for it: for the system call in which it is, wherever the task has asked
 *     for that. The library's own calls name no shared memory but the word on which workers sleep. So only argument and
 *     result of what it ran are concerned; see pool/corpse.h.
 * A worker that the supervisor has not killed itself, or may not kill, is no corpse, however long it takes.
 *
 * Invariant: a death is announced, then the record is cleared, then the notice of the death can be read, then the next
 * life begins; see notice.h.
 * Called by: workers, threads, inline. */
#ifndef PP_WORKER_LIFE_H
#define PP_WORKER_LIFE_H

#include "shared/notice.h"

#define PP_INIT_TRIES 3 /* times in a row that a worker's initializer may fail */

/* Begins a life and returns its number. Clears what the last life has left. */
uint32_t pp_life_begin(struct pp_shared *shared, uint32_t worker);
/* Returns the notice of a death, with what the record says; from now on no thief takes anything from it. status: that
 * of waitpid(); 0 if the worker is a thread. */
struct pp_notice pp_life_describe(struct pp_shared *shared, uint32_t worker, pid_t pid, int status);
/* Returns whether a worker that has died must be started again: not if its initializer keeps failing. failures: kept
 * between calls; 0 at first. */
bool pp_life_deserves_another(const struct pp_shared *shared, uint32_t worker, unsigned *failures);
/* Tells the caller of a death, and clears the record. Returns false if there is no room for the notice; nothing has
 * happened then, and the caller will send PP_ROOM. */
bool pp_life_end(struct pp_shared *shared, uint32_t worker, const struct pp_notice *notice);
/* Clears the record of a life that has run nothing, so that the caller need not be told. */
void pp_life_forget(struct pp_shared *shared, uint32_t worker);

#endif
