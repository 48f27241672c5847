/* The CPUs that this process may use: how many, which one a worker is bound to, and which one it is better off.
 *
 * Invariant: what cannot be read limits nothing.
 * Called by: pool_cpu_count(), pool_create(), workers, and who waits for them. */
#ifndef PP_CPU_H
#define PP_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* CPUs that the calling thread may use by its affinity; all, where the system knows none. */
int pp_cpu_allowed(void);
/* The load average of the last minute. False: not known. Called by: limit. */
bool pp_cpu_load(double *load);
/* CPUs that the quotas of this process' control groups come to, rounded up; INT_MAX: no limit. root: "" for the
 * system's own /proc and /sys, or a directory that holds others. */
int pp_cpu_quota(const char *root);
/* Binds the calling thread to one of the CPUs that it may use, the worker's by its number, round and round. Nothing
 * where the system cannot. */
void pp_cpu_pin(uint32_t worker);
/* The CPU that the calling thread is on, for the moment; -1: the system does not tell at once. */
int pp_cpu_here(void);
/* Moves the calling thread from this CPU to another of those that it may use now, if there is one; to one that is not
 * among the `count` taken (1 + CPU; 0: none), if there is one. Then it may use the same as before, and be moved back;
 * whoever changes what it may use meanwhile is overruled. */
void pp_cpu_leave(int cpu, const _Atomic uint32_t *taken, uint32_t count);

#endif
