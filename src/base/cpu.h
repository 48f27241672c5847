/* The CPUs that this process may use: how many there are, how loaded they are, and on which of them a thread runs.
 *
 * Invariant: a limit that cannot be read is no limit.
 * pool_cpu_count() is defined here, too.
 * Called by: worker (pin), placement, limit (load). */
#ifndef PP_CPU_H
#define PP_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Returns how many CPUs the affinity of the calling thread allows; all that are online if the system does not say. */
int pp_cpu_allowed(void);
/* Stores the load average of the last minute. Returns false if the system does not say. */
bool pp_cpu_load(double *load);
/* Returns how many CPUs the quotas of this process' control groups come to, rounded up; INT_MAX if there is no limit.
 * root: "" for the system's own /proc and /sys, or a directory that holds others. */
int pp_cpu_quota(const char *root);
/* Binds the calling thread to one of the CPUs that it may use, number `worker` modulo their count. Does nothing where
 * the system cannot do that. */
void pp_cpu_pin(uint32_t worker);
/* Returns the CPU that the calling thread is on at the moment; -1 if the system cannot say that quickly. */
int pp_cpu_here(void);
/* Moves the calling thread from `cpu` to another CPU that it may use, if possible to one that is not among the `count`
 * taken ones (1 + CPU; 0: none). The thread's affinity is then as before, so the system may move it back. A change of
 * the affinity that another process makes during the call is lost. */
void pp_cpu_leave(int cpu, const _Atomic uint32_t *taken, uint32_t count);

#endif
