/* Commands to the supervisor. One may fail to be sent: the supervisor was stopped and the pipe is full, or a filter of
 * system calls refuses the write. Nothing is lost by that: a command that must arrive is noted, and each call that
 * waits sends it again, at its looks (wait.h). Kills, resets and starts are not noted, since a look finds what asks for
 * them.
 *
 * Invariant: a noted command is as good later, alone and only once: it tells the supervisor to look at shared memory.
 * Always under the pool's lock.
 * Called by: whatever sends commands; wait, processes and reset (again). */
#ifndef PP_TELL_H
#define PP_TELL_H

#include "pool/pool.h"
#include "shared/command.h"

/* Returns false if the command did not reach the supervisor, or there is none. */
bool pp_tell(struct pool *pool, struct pp_command command);
/* Whether a command of this kind has not reached the supervisor since pp_tell_again(). */
static inline bool pp_is_untold(const struct pool *pool, enum pp_command_kind kind) {
    return pool->untold >> kind & 1;
}
/* Tells what was noted. Returns false if some of it does not reach the supervisor. */
bool pp_tell_again(struct pool *pool);
/* A task or job with one of these limits was submitted. */
void pp_tell_limits(struct pool *pool, int timeout, int cpu_timeout);

#endif
