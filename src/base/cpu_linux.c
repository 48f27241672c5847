/* CPUs on Linux; see cpu.h. */
#include "base/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Returns the CPUs that this thread may use, with the size of the set in bytes; NULL if that is not known. */
static cpu_set_t *allowed_cpus(size_t *size) {
    /* Larger sets until the kernel's fits. */
    for (size_t cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) break;
        *size = CPU_ALLOC_SIZE(cpus);
        if (sched_getaffinity(0, *size, set) == 0 && CPU_COUNT_S(*size, set) > 0) return set;
        CPU_FREE(set);
    }
    return NULL;
}

int pp_cpu_allowed(void) {
    size_t size;
    cpu_set_t *set = allowed_cpus(&size);
    int count = set ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

bool pp_cpu_load(double *load) {
    return getloadavg(load, 1) == 1;
}

void pp_cpu_pin(uint32_t worker) {
    size_t size;
    cpu_set_t *set = allowed_cpus(&size);
    if (!set) return;
    /* Clears all but the one with `wanted` allowed CPUs before it. */
    uint32_t wanted = worker % (uint32_t)CPU_COUNT_S(size, set), seen = 0;
    for (size_t cpu = 0; cpu < size * 8; cpu++)
        if (CPU_ISSET_S(cpu, size, set) && seen++ != wanted) CPU_CLR_S(cpu, size, set);
    sched_setaffinity(0, size, set);
    CPU_FREE(set);
}

int pp_cpu_here(void) {
    return sched_getcpu();
}

void pp_cpu_leave(int cpu, const _Atomic uint32_t *taken, uint32_t count) {
    /* On the stack, since a task may have damaged the heap. Where the kernel has more CPUs than fit, the call fails and
     * the thread stays. */
    cpu_set_t all, others, free_ones;
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all)) return;
    others = all;
    CPU_CLR((size_t)cpu, &others);
    free_ones = others;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = atomic_load_explicit(&taken[i], memory_order_relaxed);
        if (other > 0 && other <= CPU_SETSIZE) CPU_CLR((size_t)other - 1, &free_ones);
    }
    if (CPU_COUNT(&free_ones) > 0) others = free_ones;
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
}
