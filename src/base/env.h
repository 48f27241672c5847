/* The environment of workers: the caller's, and in it how many threads the libraries that tasks use may start, where
 * the user has not said so: as many as leave each worker its share of the CPUs.
 *
 * Invariant: the caller's own environment is only read; and the child puts its own in place without a lock or an
 * allocation, so it does not matter what the program's other threads were at.
 * Called by: pool. */
#ifndef PP_ENV_H
#define PP_ENV_H

/* One allocation, to be given to pp_release(). NULL: no memory. threads: how many each worker may use. */
char **pp_env_make(int threads);
/* In the child. */
void pp_env_use(char **made);

#endif
