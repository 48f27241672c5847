#include "base/cpu.h"

#include <limits.h>
#include <stdio.h>

#include "base/cgroup.h"
#include "parpool.h"
#include "base/sys.h"

static long long cpus_of(long long quota, long long period) {
    return quota <= 0 || period <= 0 ? LLONG_MAX : quota / period + (quota % period != 0);
}

/* The file contains "max 100000" or "150000 100000": quota and period in us. */
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
    int allowed = pp_cpu_allowed(), quota = pp_cpu_quota("");
    return quota < allowed ? quota : allowed;
}
