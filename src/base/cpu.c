#include "base/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>

#include "base/cgroup.h"
#include "parpool.h"
#include "base/sys.h"

#define LONG_NS 300000U /* shorter than the slices of Linux's scheduler */
#define FEW_TIMES 4U /* as long as it was taken it was not, at least, before: then that is rare */
#define PAUSE_FIRST 1000000U
#define PAUSE_MOST 128000000U

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
    int allowed = pp_cpu_allowed(), quota = pp_cpu_quota("");
    return quota < allowed ? quota : allowed;
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
