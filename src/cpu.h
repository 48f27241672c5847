/* The CPUs that this process may use: how many, and which one a worker is bound to.
 *
 * Invariant: what cannot be read limits nothing.
 * Called by: pool_cpu_count(), pool_create(), workers. */
#ifndef PP_CPU_H
#define PP_CPU_H

#include <stdint.h>

/* CPUs that the quotas of this process' control groups come to, rounded up; INT_MAX: no limit. root: "" for the
 * system's own /proc and /sys, or a directory that holds others. */
int pp_cpu_quota(const char *root);
/* Binds the calling thread to one of the CPUs that it may use, the worker's by its number, round and round. Nothing
 * where the system cannot. */
void pp_cpu_pin(uint32_t worker);

#endif
