/* The environment of workers: the caller's, with variables that tell numerical libraries how many threads they may
 * start, so that each worker uses only its share of the CPUs. A variable that the user has set stays, save for
 * PARPOOL_TRACE: a pool of a task would write its trace to the program's file.
 *
 * Invariant: the caller's own environment is only read. The child puts its own in place without a lock or an
 * allocation, since another thread of the program may have held the lock of setenv() or malloc() at the fork.
 * Called by: processes. */
#ifndef PP_ENV_H
#define PP_ENV_H

/* Returns an environment to be freed with pp_release(); NULL if there is no memory. threads: how many a worker may
 * use. */
char **pp_env_make(int threads);
/* Makes it the environment of this process, which must be the child. */
void pp_env_use(char **made);

#endif
