#include "base/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/sys.h"

#define UNDER_VALGRIND ((size_t)1 << 30) /* bytes that valgrind maps within moments */

#define STATM "/proc/self/statm"

static int kept_statm = -1; /* of a worker in a sandbox, which can open no file */

void pp_memory_keep_open(void) {
    kept_statm = open(STATM, O_RDONLY | O_CLOEXEC);
}

static bool read_kept(char *text, size_t room) {
    ssize_t n = pread(kept_statm, text, room - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Reads /proc/self/statm, in pages: size, resident, shared, text, lib, data. Returns how many numbers there are; 0 if
 * the system has no such file. */
static int read_statm(unsigned long long numbers[6]) {
    char text[256];
    bool found = kept_statm >= 0 ? read_kept(text, sizeof text) : pp_read_text(STATM, text, sizeof text);
    if (!found) return 0;
    int count = sscanf(text, "%llu %llu %llu %llu %llu %llu", &numbers[0], &numbers[1], &numbers[2], &numbers[3],
                       &numbers[4], &numbers[5]);
    return count > 0 ? count : 0;
}

size_t pp_memory_used(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage)) return 0;
    size_t most = (size_t)usage.ru_maxrss * 1024;
    unsigned long long pages[6];
    size_t shared = read_statm(pages) >= 3 ? (size_t)pages[2] * (size_t)sysconf(_SC_PAGESIZE) : 0;
    return most > shared ? most - shared : 0;
}

/* Returns the number of kibibytes after the name in the text of /proc/PID/status; 0 if the name is not there. */
static size_t kibibytes(const char *text, const char *name) {
    const char *at = strstr(text, name);
    unsigned long long number = 0;
    return at && sscanf(at + strlen(name), "%llu", &number) == 1 ? (size_t)number : 0;
}

size_t pp_memory_peak(pid_t pid) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    if (!pp_read_text(path, text, sizeof text)) return 0;
    size_t most = kibibytes(text, "VmHWM:"), shared = kibibytes(text, "RssFile:") + kibibytes(text, "RssShmem:");
    return most > shared ? (most - shared) * 1024 : 0;
}

/* Whether one more page of private data can be mapped with a limit of `bytes`. */
static bool fits(struct rlimit limit, rlim_t bytes, size_t page) {
    limit.rlim_cur = bytes;
    if (setrlimit(RLIMIT_DATA, &limit)) return true;
    void *memory = pp_map_private(page);
    pp_unmap(memory, page);
    return memory != NULL;
}

/* Finds how much private data this process has, on systems that do not say: as the least limit under which another page
 * can be mapped. Returns 0 if the system counts otherwise. */
static rlim_t find_data(struct rlimit limit) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    rlim_t low = page, high = limit.rlim_cur < (rlim_t)SIZE_MAX / 4 ? limit.rlim_cur : (rlim_t)SIZE_MAX / 4;
    if (fits(limit, low, page)) high = 0;
    while (high > low && high - low > page) {
        rlim_t middle = low + (high - low) / 2;
        if (fits(limit, middle, page)) high = middle;
        else low = middle;
    }
    setrlimit(RLIMIT_DATA, &limit);
    return high;
}

size_t pp_memory_available(const char *root) {
    char path[PP_CGROUP_ROOM], text[1024];
    unsigned long long kib;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    const char *line = pp_read_text(path, text, sizeof text) ? strstr(text, "MemAvailable:") : NULL;
    if (!line || sscanf(line, "MemAvailable: %llu", &kib) != 1) return SIZE_MAX;
    return kib >= SIZE_MAX / 1024 ? SIZE_MAX - 1 : (size_t)kib * 1024;
}

/* Returns how much address space RLIMIT_AS leaves. */
static size_t left_of_limit(void) {
    struct rlimit limit;
    unsigned long long pages[6];
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= SIZE_MAX) return SIZE_MAX;
    size_t used = read_statm(pages) >= 1 ? (size_t)pages[0] * (size_t)sysconf(_SC_PAGESIZE) : 0;
    return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

/* Returns how much the system may still promise. */
static size_t left_to_promise(const char *root) {
    char path[PP_CGROUP_ROOM], text[4096];
    snprintf(path, sizeof path, "%s/proc/sys/vm/overcommit_memory", root);
    if (!pp_read_text(path, text, sizeof text) || text[0] != '2') return SIZE_MAX;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (!pp_read_text(path, text, sizeof text)) return SIZE_MAX;
    size_t may = kibibytes(text, "CommitLimit:"), has = kibibytes(text, "Committed_AS:");
    if (may >= SIZE_MAX / 1024) return SIZE_MAX;
    return may > has ? (may - has) * 1024 : 0;
}

/* Valgrind loads a library of its own into the program that it runs. */
static bool is_under_valgrind(void) {
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "/vgpreload_");
}

size_t pp_memory_reservable(const char *root) {
    size_t limits[] = {left_of_limit(), left_to_promise(root), is_under_valgrind() ? UNDER_VALGRIND : SIZE_MAX};
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i] < least) least = limits[i];
    return least;
}

/* Returns how much more a group may use. Copies of files, which the system could drop at once, do not count as used. */
static long long left_in_group(const char *directory, const char *most, const char *used, const char *cached) {
    long long may = pp_cgroup_number(directory, most), has = pp_cgroup_number(directory, used), copies = 0;
    if (may < 0 || has < 0) return LLONG_MAX;
    char path[PP_CGROUP_ROOM], text[8192];
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    const char *at = pp_read_text(path, text, sizeof text) ? strstr(text, cached) : NULL;
    if (!at || sscanf(at + strlen(cached), "%lld", &copies) != 1 || copies < 0 || copies > has) copies = 0;
    return may > has - copies ? may - (has - copies) : 0;
}

static long long left_v1(const char *directory) {
    return left_in_group(directory, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");
}

static long long left_v2(const char *directory) {
    long long below_max = left_in_group(directory, "memory.max", "memory.current", "\ninactive_file ");
    long long below_high = left_in_group(directory, "memory.high", "memory.current", "\ninactive_file ");
    return below_max < below_high ? below_max : below_high;
}

size_t pp_memory_left(const char *root) {
    size_t available = pp_memory_available(root);
    long long left = pp_cgroup_least(root, "memory", left_v1, left_v2);
    return left < LLONG_MAX && (unsigned long long)left < available ? (size_t)left : available;
}

void pp_memory_limit(size_t bytes) {
    unsigned long long pages[6];
    struct rlimit limit;
    if (getrlimit(RLIMIT_DATA, &limit)) return;
    rlim_t now = read_statm(pages) == 6 ? (rlim_t)pages[5] * (rlim_t)sysconf(_SC_PAGESIZE) : find_data(limit);
    rlim_t wanted = bytes > (size_t)-1 / 2 - now ? RLIM_INFINITY : now + (rlim_t)bytes;
    if (limit.rlim_max != RLIM_INFINITY && wanted > limit.rlim_max) wanted = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max = wanted;
    setrlimit(RLIMIT_DATA, &limit);
}
