/* judge: how the rows of bench_limits are judged and printed.
 *
 * A row says what was measured, the median with its quartiles, what was to be reached, and whether it was; below it
 * stand all contestants of the same interleaved run, so that a miss can be told from a slow machine. The median
 * decides. The rows come once more at the end, as a table. Header only: bench_limits is one program, its parts are the
 * concepts that it measures. */
#ifndef PARPOOL_BENCH_JUDGE_H
#define PARPOOL_BENCH_JUDGE_H

#include "bench.h"
#include "contestants.h"

#include <stdio.h>
#include <string.h>

enum { LIMITS_MOST_ROWS = 64 };

enum limits_unit { RATIO, SECONDS, RATE, KIBIBYTES };
enum limits_side { AT_LEAST, AT_MOST };

struct limits_row {
    char name[32];
    const char *what;
    char figure[64], target[32];
    bool met;
};

static struct {
    const struct bench_options *options;
    int workers; /* of pools, OpenMP and thread pools alike, where a row does not say otherwise */
    struct limits_row rows[LIMITS_MOST_ROWS];
    size_t count;
} limits;

/* ---- Judging ----------------------------------------------------------------------------------------------------- */

static inline struct bench_text limits_format(enum limits_unit unit, double value) {
    struct bench_text result;
    switch (unit) {
    case RATIO:
        snprintf(result.text, sizeof result.text, "%.3g", value);
        break;
    case SECONDS:
        return bench_seconds(value);
    case RATE:
        snprintf(result.text, sizeof result.text, "%.3g M/s", value / 1e6);
        break;
    case KIBIBYTES:
        snprintf(result.text, sizeof result.text, "%.0f KiB", value);
        break;
    }
    return result;
}

/* Says whether a figure reaches its target. */
static inline void judge(const char *name, const char *what, enum limits_unit unit, struct bench_stats figure,
                         enum limits_side side, double target) {
    if (limits.count == LIMITS_MOST_ROWS) bench_fail("too many rows");
    struct limits_row *row = &limits.rows[limits.count++];
    snprintf(row->name, sizeof row->name, "%s", name);
    row->what = what;
    row->met = side == AT_LEAST ? figure.median >= target : figure.median <= target;
    snprintf(row->figure, sizeof row->figure, "%s [%s %s]", limits_format(unit, figure.median).text,
             limits_format(unit, figure.q1).text, limits_format(unit, figure.q3).text);
    snprintf(row->target, sizeof row->target, "%s %s",
             side == AT_LEAST ? ">=" : "<=", limits_format(unit, target).text);
    printf("%-24s %-6s  %s: %s, to reach %s\n", row->name, row->met ? "met" : "MISSED", what, row->figure, row->target);
    fflush(stdout);
}

/* All that took part, the first being ours; times are for one of `tasks` tasks. */
static inline void print_beside(const struct bench_contestant *contestants, size_t count, double tasks) {
    for (size_t i = 0; i < count; i++) {
        const struct bench_contestant *other = &contestants[i];
        printf("    %-40s %9s  [%9s %9s]", other->name, bench_seconds(other->stats.median / tasks).text,
               bench_seconds(other->stats.q1 / tasks).text, bench_seconds(other->stats.q3 / tasks).text);
        if (i > 0) printf("  ours: %.3g times as fast", bench_speedup(other, &contestants[0]).median);
        printf("\n");
    }
    fflush(stdout);
}

/* For the JSON file: ours against a baseline, or against nothing. */
static inline void record(const char *name, size_t size, int workers, const struct bench_contestant *own,
                          const struct bench_contestant *base) {
    if (!base) base = own;
    bench_record(&(struct bench_measurement){.kernel = name,
                                             .contestant = own->name,
                                             .size = size,
                                             .workers = workers,
                                             .seconds = own->stats.median,
                                             .baseline = base->stats.median,
                                             .speedup = bench_speedup(base, own).median});
}

static inline void print_summary(void) {
    if (limits.count < 2) return;
    size_t met = 0;
    printf("\n%-24s %-46s %-30s %-12s\n", "row", "what", "figure [quartiles]", "to reach");
    for (size_t i = 0; i < limits.count; i++) {
        const struct limits_row *row = &limits.rows[i];
        printf("%-24s %-46s %-30s %-12s %s\n", row->name, row->what, row->figure, row->target,
               row->met ? "met" : "MISSED");
        met += row->met;
    }
    printf("%zu of %zu met\n", met, limits.count);
}

/* ---- Statistics that take more than two contestants -------------------------------------------------------------- */

static inline size_t limits_rounds(const struct bench_contestant *contestant) {
    size_t rounds = 0;
    while (rounds < BENCH_MAX_ROUNDS && contestant->seconds[rounds] > 0) rounds++;
    return rounds;
}

/* Tasks a second. */
static inline struct bench_stats rate_of(const struct bench_contestant *contestant, double tasks) {
    struct bench_stats time = contestant->stats;
    return (struct bench_stats){tasks / time.max, tasks / time.q3, tasks / time.median, tasks / time.q1,
                                tasks / time.min};
}

/* Seconds beyond a share of what another takes, round by round. */
static inline struct bench_stats excess_of(const struct bench_contestant *own, const struct bench_contestant *base,
                                           double share) {
    double values[BENCH_MAX_ROUNDS];
    size_t rounds = limits_rounds(own);
    for (size_t i = 0; i < rounds; i++) values[i] = own->seconds[i] - base->seconds[i] * share;
    return bench_statistics(values, rounds);
}

/* Own seconds as a multiple of a share of what another takes, round by round. */
static inline struct bench_stats multiple_of(const struct bench_contestant *own, const struct bench_contestant *base,
                                             double share) {
    double values[BENCH_MAX_ROUNDS];
    size_t rounds = limits_rounds(own);
    for (size_t i = 0; i < rounds; i++) values[i] = own->seconds[i] / (base->seconds[i] * share);
    return bench_statistics(values, rounds);
}

/* The dearest over the cheapest, a task, round by round; tasks[i]: how many contestant i does. 1 is flat. */
static inline struct bench_stats spread_of(const struct bench_contestant *contestants, size_t count,
                                           const double *tasks) {
    double values[BENCH_MAX_ROUNDS];
    size_t rounds = limits_rounds(&contestants[0]);
    for (size_t round = 0; round < rounds; round++) {
        double low = 1e300, high = 0;
        for (size_t i = 0; i < count; i++) {
            double cost = contestants[i].seconds[round] / tasks[i];
            if (cost < low) low = cost;
            if (cost > high) high = cost;
        }
        values[round] = high / low;
    }
    return bench_statistics(values, rounds);
}

/* ---- Contestants that are measured in a way of their own --------------------------------------------------------- */

static inline struct bench_contestant measured(const char *name, void (*run)(void *context), struct workload *work,
                                               double (*measure)(const struct bench_contestant *contestant)) {
    struct bench_contestant result = contestant(name, run, work);
    result.measure = measure;
    return result;
}

/* The median of so many runs, before each of which the caller sleeps, so that nobody spins any more. */
static inline double nap_and_run(const struct bench_contestant *contestant, double shortest, double longest, int runs) {
    static unsigned luck = 1; /* sleeps of varying length, or they would keep step with something */
    double seconds[BENCH_MAX_ROUNDS];
    for (int i = 0; i < runs; i++) {
        luck = luck * 1103515245u + 12345u;
        bench_sleep(shortest + (longest - shortest) * (double)(luck >> 16) / 65536);
        seconds[i] = bench_time(contestant, 1);
    }
    return bench_statistics(seconds, (size_t)runs).median;
}

#endif
