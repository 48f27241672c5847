/* How many CPUs this process may use: its affinity mask, and the quota of its control group, version 1 or 2.
 *
 * Invariant: at least 1; whatever cannot be read limits nothing.
 * Called by: pool_create(), programs. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
#include <sched.h>
#endif

#include "parpool.h"
#include "sys.h"

static int count_by_affinity(void) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    /* Larger masks until the kernel's fits. */
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set) break;
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        int count = sched_getaffinity(0, size, set) ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (count > 0) return count;
    }
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
    long long cpus = (quota + period - 1) / period;
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

/* Each line of /proc/self/cgroup is "hierarchy:controllers:path"; version 2 has no controllers. */
static int count_by_quota(void) {
    char text[8192];
    int least = INT_MAX;
    if (!read_text("/proc/self/cgroup", text, sizeof text)) return INT_MAX;
    for (char *line = text, *end; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end) *end++ = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(++controllers, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        if (strcmp(path, "/") == 0) path = "";
        int quota = INT_MAX;
        if (*controllers == '\0') quota = quota_upwards("/sys/fs/cgroup", path, quota_v2);
        else if (names_cpu(controllers)) quota = quota_upwards("/sys/fs/cgroup/cpu", path, quota_v1);
        if (quota < least) least = quota;
    }
    return least;
}

int pool_cpu_count(void) {
    int affinity = count_by_affinity(), quota = count_by_quota();
    return quota < affinity ? quota : affinity;
}
