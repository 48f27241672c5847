#include "pool/job_result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

#define MOST_LOSSES 3

bool pp_job_result_make(struct pp_job_result *t, const struct pool_job *job) {
    memset(t, 0, sizeof *t);
    t->count = job->count;
    t->failures_wanted = job->failures_room;
    t->outcomes = pp_table(job->count); /* nothing of it is touched where no item fails: bench_limits, "squares" */
    return t->outcomes != NULL;
}

void pp_job_result_free(struct pp_job_result *t) {
    pp_table_release(t->outcomes, (size_t)t->count);
    pp_release(t->tries);
    pp_release(t->losses);
    pp_release(t->failures);
    for (int kind = 0; kind < PP_AGAIN_KINDS; kind++) pp_release(t->left[kind].ranges);
}

/* ---- failures */

static bool is_lowest(const struct pp_job_result *t, uint64_t item) {
    return t->lowest.error == 0 || item <= t->lowest.index;
}

bool pp_job_result_wants(const struct pp_job_result *t, uint64_t item) {
    return is_lowest(t, item) || t->failure_count < t->failures_wanted ||
           (t->failure_count > 0 && item <= t->failures[t->failure_count - 1].index);
}

/* Where the list has the item, or would have it. Most items fail in their order. */
static size_t find_failure(const struct pp_job_result *t, size_t item) {
    size_t low = 0, high = t->failure_count;
    if (high > 0 && t->failures[high - 1].index < item) return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->failures[middle].index < item) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool grow_failures(struct pp_job_result *t) {
    size_t room = t->failure_room ? 2 * t->failure_room : 16;
    if (room > t->failures_wanted) room = t->failures_wanted;
    struct pool_failure *failures = room > t->failure_room ? pp_realloc(t->failures, room * sizeof *failures) : NULL;
    if (!failures) return false;
    t->failures = failures;
    t->failure_room = room;
    return true;
}

/* If there is no room, the highest item leaves the list. */
static void list_failure(struct pp_job_result *t, const struct pool_failure *failure) {
    size_t at = find_failure(t, failure->index);
    if (at == t->failure_count || t->failures[at].index != failure->index) {
        if (t->failure_count == t->failure_room && !grow_failures(t)) {
            if (at == t->failure_count) return;
            t->failure_count--;
        }
        memmove(t->failures + at + 1, t->failures + at, (t->failure_count - at) * sizeof *t->failures);
        t->failure_count++;
    }
    t->failures[at] = *failure;
}

void pp_job_result_fail(struct pp_job_result *t, uint64_t item, const struct pool_failure *failure) {
    if (t->outcomes[item] == 0) t->failed++;
    t->outcomes[item] = (unsigned char)-failure->error;
    if (!pp_job_result_wants(t, item)) return;
    struct pool_failure why = *failure;
    why.index = (size_t)item;
    if (!why.message[0]) snprintf(why.message, sizeof why.message, "%s", pool_strerror(failure->error));
    if (is_lowest(t, item)) t->lowest = why;
    list_failure(t, &why);
}

void pp_job_result_fail_as(struct pp_job_result *t, uint64_t item, int error) {
    pp_job_result_fail(t, item, &(struct pool_failure){.error = error});
}

/* ---- items that are left */

bool pp_job_result_try_again(struct pp_job_result *t, uint64_t item, unsigned retries) {
    if (retries == 0) return false;
    if (!t->tries) t->tries = pp_zalloc((size_t)t->count, sizeof *t->tries);
    return t->tries && t->tries[item]++ < retries;
}

bool pp_job_result_lose(struct pp_job_result *t, uint64_t item) {
    if (!t->losses) t->losses = pp_zalloc((size_t)t->count, sizeof *t->losses);
    return t->losses && ++t->losses[item] < MOST_LOSSES;
}

static void leave_range(struct pp_job_result *t, struct pp_ranges *r, uint64_t first, uint64_t count) {
    struct pp_range *last = r->count ? &r->ranges[r->count - 1] : NULL;
    if (last && last->first + last->count == first) {
        last->count += count;
        return;
    }
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 16;
        struct pp_range *ranges = pp_realloc(r->ranges, room * sizeof *ranges);
        if (!ranges) {
            for (uint64_t i = 0; i < count; i++) pp_job_result_fail_as(t, first + i, POOL_ENOMEM);
            return;
        }
        r->ranges = ranges;
        r->room = room;
    }
    r->ranges[r->count++] = (struct pp_range){first, count};
}

void pp_job_result_leave(struct pp_job_result *t, enum pp_again kind, uint64_t first, uint64_t count) {
    if (count > 0 && !t->tries) leave_range(t, &t->left[kind], first, count);
    else
        for (uint64_t i = first; i < first + count; i++)
            leave_range(t, &t->left[t->tries[i] ? PP_RETRIES : kind], i, 1);
}

static uint64_t count_of(const struct pp_ranges *r) {
    uint64_t count = 0;
    for (size_t i = 0; i < r->count; i++) count += r->ranges[i].count;
    return count;
}

uint64_t pp_job_result_count_left(const struct pp_job_result *t) {
    uint64_t count = 0;
    for (int kind = 0; kind < PP_AGAIN_KINDS; kind++) count += count_of(&t->left[kind]);
    return count;
}

static int by_first(const void *a, const void *b) {
    uint64_t left = ((const struct pp_range *)a)->first, right = ((const struct pp_range *)b)->first;
    return (left > right) - (left < right);
}

/* Brings the ranges into their order, with each item once: deaths may have left an item twice. */
static void tidy(struct pp_ranges *r) {
    if (r->count == 0) return;
    qsort(r->ranges, r->count, sizeof *r->ranges, by_first);
    struct pp_range *last = r->ranges;
    for (const struct pp_range *range = r->ranges + 1; range < r->ranges + r->count; range++) {
        uint64_t end = last->first + last->count, reach = range->first + range->count;
        if (range->first > end) *++last = *range;
        else if (reach > end) last->count = reach - last->first;
    }
    r->count = (size_t)(last - r->ranges) + 1;
}

uint64_t pp_job_result_count_next(struct pp_job_result *t, enum pp_again *kind) {
    *kind = PP_AGAIN_IN_CALLS;
    while (*kind < PP_RETRIES && t->left[*kind].count == 0) ++*kind;
    tidy(&t->left[*kind]);
    return count_of(&t->left[*kind]);
}

void pp_job_result_take(struct pp_job_result *t, uint64_t *items, uint64_t count, enum pp_again kind) {
    struct pp_ranges *r = &t->left[kind];
    uint64_t taken = 0;
    size_t used = 0;
    while (taken < count) {
        struct pp_range *range = &r->ranges[used];
        for (; range->count > 0 && taken < count; range->count--) items[taken++] = range->first++;
        if (range->count == 0) used++;
    }
    r->count -= used;
    memmove(r->ranges, r->ranges + used, r->count * sizeof *r->ranges);
}

static void fail_ranges(struct pp_job_result *t, struct pp_ranges *r, const struct pool_failure *failure) {
    for (size_t i = 0; i < r->count; i++)
        for (uint64_t k = 0; k < r->ranges[i].count; k++) pp_job_result_fail(t, r->ranges[i].first + k, failure);
    r->count = 0;
}

void pp_job_result_fail_left(struct pp_job_result *t, const struct pool_failure *failure) {
    for (int kind = 0; kind < PP_AGAIN_KINDS; kind++) fail_ranges(t, &t->left[kind], failure);
}

/* ---- writing */

static void write_status(const struct pp_job_result *t, int *status) {
    if (t->failed == 0) memset(status, 0, (size_t)t->count * sizeof *status);
    else
        for (size_t i = 0; i < t->count; i++) status[i] = -(int)t->outcomes[i];
}

void pp_job_result_write(const struct pp_job_result *t, const struct pool_job *job) {
    if (job->status) write_status(t, job->status);
    if (job->failure) *job->failure = t->lowest;
    if (job->failed) *job->failed = (size_t)t->failed;
    if (!job->failures) return;
    if (t->failure_count) memcpy(job->failures, t->failures, t->failure_count * sizeof *job->failures);
    memset(job->failures + t->failure_count, 0, (job->failures_room - t->failure_count) * sizeof *job->failures);
}
