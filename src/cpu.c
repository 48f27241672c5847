#include "cpu.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parpool.h"
#include "sys.h"

#define LONG_NS 300000U /* shorter than the slices of Linux's scheduler */
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

/* The beginning of a file as text. False: there is none. */
static bool read_text(const char *path, char *text, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = pp_read(fd, text, room - 1);
    pp_close(&fd);
    if (n < 0) return false;
    text[n] = '\0';
    return true;
}

static int cpus_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return INT_MAX;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > INT_MAX ? INT_MAX : (int)cpus;
}

/* Version 2: "max 100000" or "150000 100000". */
static int quota_v2(const char *directory) {
    char path[PATH_MAX + 16], text[64];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", directory);
    return read_text(path, text, sizeof text) && sscanf(text, "%lld %lld", &quota, &period) == 2
               ? cpus_of(quota, period)
               : INT_MAX;
}

static int quota_v1(const char *directory) {
    char path[PATH_MAX + 32], quota[32], period[32];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory);
    if (!read_text(path, quota, sizeof quota)) return INT_MAX;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory);
    if (!read_text(path, period, sizeof period)) return INT_MAX;
    return cpus_of(atoll(quota), atoll(period));
}

/* The smallest quota of the group at `path` below `mount` and of the groups above it. */
static int quota_upwards(const char *mount, const char *path, int (*quota_in)(const char *directory)) {
    char directory[PATH_MAX];
    if ((size_t)snprintf(directory, sizeof directory, "%s%s", mount, path) >= sizeof directory) return INT_MAX;
    int least = INT_MAX;
    for (;;) {
        int quota = quota_in(directory);
        if (quota < least) least = quota;
        char *slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < strlen(mount)) return least;
        *slash = '\0';
    }
}

static bool names_cpu(const char *controllers) {
    for (const char *c = controllers; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL)
        if (strncmp(c, "cpu", 3) == 0 && (c[3] == ',' || c[3] == '\0')) return true;
    return false;
}

/* The smallest quota of the group at `path` in the hierarchy mounted at `root` and `mount`. */
static int quota_below(const char *root, const char *mount, const char *path, int (*quota_in)(const char *directory)) {
    char top[PATH_MAX];
    return (size_t)snprintf(top, sizeof top, "%s%s", root, mount) < sizeof top ? quota_upwards(top, path, quota_in)
                                                                              : INT_MAX;
}

/* Each line of /proc/self/cgroup is "hierarchy:controllers:path"; version 2 has no controllers. */
int pp_cpu_quota(const char *root) {
    char text[8192];
    int least = INT_MAX;
    if ((size_t)snprintf(text, sizeof text, "%s/proc/self/cgroup", root) >= sizeof text) return INT_MAX;
    if (!read_text(text, text, sizeof text)) return INT_MAX;
    for (char *line = text, *end; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end) *end++ = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(++controllers, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        if (strcmp(path, "/") == 0) path = "";
        int quota = INT_MAX;
        if (*controllers == '\0') quota = quota_below(root, "/sys/fs/cgroup", path, quota_v2);
        else if (names_cpu(controllers)) quota = quota_below(root, "/sys/fs/cgroup/cpu", path, quota_v1);
        if (quota < least) least = quota;
    }
    return least;
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

uint64_t pp_cpu_offer(struct pp_crowd *crowd) {
    uint64_t before = pp_now();
    sched_yield();
    uint64_t now = pp_now();
    if (now - before < LONG_NS) return now;
    /* A virtual CPU that was taken away for a moment looks the same, so at first it is put off by little; by more if
     * they are there again soon after. */
    bool again = before < crowd->until + 4 * crowd->pause;
    crowd->pause = !again ? PAUSE_FIRST : crowd->pause < PAUSE_MOST ? 2 * crowd->pause : PAUSE_MOST;
    crowd->until = now + crowd->pause;
    return now;
}

int pp_cpu_here(void) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    return sched_getcpu();
#else
    return -1;
#endif
}

void pp_cpu_leave(int cpu) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    /* Without an allocation: a task may have damaged the heap. Where the kernel has more CPUs than this set, it fails. */
    cpu_set_t all, others;
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all)) return;
    others = all;
    CPU_CLR((size_t)cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
#else
    (void)cpu;
#endif
}
