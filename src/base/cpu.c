#include "base/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "parpool.h"
#include "base/sys.h"

#define LONG_NS 300000U /* shorter than the slices of Linux's scheduler */
#define FEW_TIMES 4U /* as long as it was taken it was not, at least, before: then that is rare */
#define PAUSE_FIRST 1000000U
#define PAUSE_MOST 128000000U

#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
/* The CPUs that this thread may use, and the size of the set in bytes. NULL: not known. */
static cpu_set_t *allowed_cpus(size_t *size) {
    /* Larger masks until the kernel's fits. */
    for (size_t cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) break;
        *size = CPU_ALLOC_SIZE(cpus);
        if (sched_getaffinity(0, *size, set) == 0 && CPU_COUNT_S(*size, set) > 0) return set;
        CPU_FREE(set);
    }
    return NULL;
}
#endif

static int count_by_affinity(void) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    size_t size;
    cpu_set_t *set = allowed_cpus(&size);
    int count = set ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
#endif
    long online = 1;
#ifdef _SC_NPROCESSORS_ONLN
    online = sysconf(_SC_NPROCESSORS_ONLN);
#endif
    return online > 0 && online < INT_MAX ? (int)online : 1;
}

static long long cpus_of(long long quota, long long period) {
    return quota <= 0 || period <= 0 ? LLONG_MAX : quota / period + (quota % period != 0);
}

/* Version 2: "max 100000" or "150000 100000". */
static long long quota_v2(const char *directory) {
    char path[PP_CGROUP_ROOM], text[64];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", directory);
    return pp_read_text(path, text, sizeof text) && sscanf(text, "%lld %lld", &quota, &period) == 2
               ? cpus_of(quota, period)
               : LLONG_MAX;
}

static long long quota_v1(const char *directory) {
    return cpus_of(pp_cgroup_number(directory, "cpu.cfs_quota_us"), pp_cgroup_number(directory, "cpu.cfs_period_us"));
}

int pp_cpu_quota(const char *root) {
    long long cpus = pp_cgroup_least(root, "cpu", quota_v1, quota_v2);
    return cpus > INT_MAX ? INT_MAX : (int)cpus;
}

int pool_cpu_count(void) {
    int affinity = count_by_affinity(), quota = pp_cpu_quota("");
    return quota < affinity ? quota : affinity;
}

void pp_cpu_pin(uint32_t worker) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    size_t size;
    cpu_set_t *set = allowed_cpus(&size);
    if (!set) return;
    /* All but the one that has as many allowed ones before it. */
    uint32_t wanted = worker % (uint32_t)CPU_COUNT_S(size, set), seen = 0;
    for (size_t cpu = 0; cpu < size * 8; cpu++)
        if (CPU_ISSET_S(cpu, size, set) && seen++ != wanted) CPU_CLR_S(cpu, size, set);
    sched_setaffinity(0, size, set);
    CPU_FREE(set);
#else
    (void)worker;
#endif
}

void pp_backoff_again(struct pp_backoff *pause, uint64_t since, uint64_t now) {
    bool again = since < pause->until + 4 * pause->last;
    pause->last = !again ? PAUSE_FIRST : pause->last < PAUSE_MOST ? 2 * pause->last : PAUSE_MOST;
    pause->until = now + pause->last;
}

void pp_backoff_was_preempted(struct pp_backoff *backoff, uint64_t since, uint64_t now) {
    if (now - since < LONG_NS) return;
    /* Whoever takes it once in a while, as a daemon does or the host of a virtual machine, is no crowd: to sleep would
     * cost more than they do. */
    bool is_rare = since > backoff->until && since - backoff->until > FEW_TIMES * (now - since);
    if (!is_rare) {
        pp_backoff_again(backoff, since, now);
        return;
    }
    backoff->until = now;
    backoff->last /= 2; /* not forgotten at once: the time before may be the program's, which waited for nothing */
}

uint64_t pp_backoff_yield(struct pp_backoff *backoff) {
    uint64_t since = pp_now();
    sched_yield();
    uint64_t now = pp_now();
    pp_backoff_was_preempted(backoff, since, now);
    return now;
}

int pp_cpu_here(void) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    return sched_getcpu();
#else
    return -1;
#endif
}

void pp_cpu_leave(int cpu, const _Atomic uint32_t *taken, uint32_t count) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    /* Without an allocation: a task may have damaged the heap. Where the kernel has more CPUs than this set, it
     * fails. */
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
#else
    (void)cpu, (void)taken, (void)count;
#endif
}
