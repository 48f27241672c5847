/* CPUs as POSIX knows them, without affinity and load; see cpu.h. */
#include "base/cpu.h"

#include <limits.h>
#include <unistd.h>

#ifndef _SC_NPROCESSORS_ONLN /* since POSIX.1-2024 */
#define _SC_NPROCESSORS_ONLN (-1)
#endif

int pp_cpu_allowed(void) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

bool pp_cpu_load(double *load) {
    (void)load;
    return false;
}

void pp_cpu_pin(uint32_t worker) {
    (void)worker;
}

int pp_cpu_here(void) {
    return -1;
}

void pp_cpu_leave(int cpu, const _Atomic uint32_t *taken, uint32_t count) {
    (void)cpu, (void)taken, (void)count;
}
