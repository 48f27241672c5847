#include "judge.h"

#include <stdio.h>
#include <string.h>

enum { LIMITS_MOST_ROWS = 64 };

struct limits_row {
    char name[32];
    const char *what;
    char figure[64], target[32];
    bool met;
};

struct limits limits;

static struct limits_row rows[LIMITS_MOST_ROWS];
static size_t row_count;

/* ---- Judging ----------------------------------------------------------------------------------------------------- */

static struct bench_text limits_format(enum limits_unit unit, double value) {
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

void judge(const char *name, const char *what, enum limits_unit unit, struct bench_stats figure, enum limits_side side,
           double target) {
    if (row_count == LIMITS_MOST_ROWS) bench_fail("too many rows");
    struct limits_row *row = &rows[row_count++];
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

void print_beside(const struct bench_contestant *contestants, size_t count, double tasks) {
    for (size_t i = 0; i < count; i++) {
        const struct bench_contestant *other = &contestants[i];
        printf("    %-40s %9s  [%9s %9s]", other->name, bench_seconds(other->stats.median / tasks).text,
               bench_seconds(other->stats.q1 / tasks).text, bench_seconds(other->stats.q3 / tasks).text);
        if (i > 0) printf("  ours: %.3g times as fast", bench_speedup(other, &contestants[0]).median);
        printf("\n");
    }
    fflush(stdout);
}

void record(const char *name, size_t size, int workers, const struct bench_contestant *own,
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

void print_summary(void) {
    if (row_count < 2) return;
    size_t met = 0;
    printf("\n%-24s %-46s %-30s %-12s\n", "row", "what", "figure [quartiles]", "to reach");
    for (size_t i = 0; i < row_count; i++) {
        const struct limits_row *row = &rows[i];
        printf("%-24s %-46s %-30s %-12s %s\n", row->name, row->what, row->figure, row->target,
               row->met ? "met" : "MISSED");
        met += row->met;
    }
    printf("%zu of %zu met\n", met, row_count);
}

/* ---- Statistics -------------------------------------------------------------------------------------------------- */

static size_t limits_rounds(const struct bench_contestant *contestant) {
    size_t rounds = 0;
    while (rounds < BENCH_MAX_ROUNDS && contestant->seconds[rounds] > 0) rounds++;
    return rounds;
}

struct bench_stats rate_of(const struct bench_contestant *contestant, double tasks) {
    struct bench_stats time = contestant->stats;
    return (struct bench_stats){tasks / time.max, tasks / time.q3, tasks / time.median, tasks / time.q1,
                                tasks / time.min};
}

struct bench_stats excess_of(const struct bench_contestant *own, const struct bench_contestant *base, double share) {
    double values[BENCH_MAX_ROUNDS];
    size_t rounds = limits_rounds(own);
    for (size_t i = 0; i < rounds; i++) values[i] = own->seconds[i] - base->seconds[i] * share;
    return bench_statistics(values, rounds);
}

struct bench_stats multiple_of(const struct bench_contestant *own, const struct bench_contestant *base, double share) {
    double values[BENCH_MAX_ROUNDS];
    size_t rounds = limits_rounds(own);
    for (size_t i = 0; i < rounds; i++) values[i] = own->seconds[i] / (base->seconds[i] * share);
    return bench_statistics(values, rounds);
}

struct bench_stats spread_of(const struct bench_contestant *contestants, size_t count, const double *tasks) {
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

/* ---- Contestants with a measure() of their own ------------------------------------------------------------------- */

struct bench_contestant measured(const char *name, void (*run)(void *context), struct workload *work,
                                 double (*measure)(const struct bench_contestant *contestant)) {
    struct bench_contestant result = contestant(name, run, work);
    result.measure = measure;
    return result;
}

double awake_and_run(const struct bench_contestant *contestant) {
    double until = bench_now() + 2e-3;
    while (bench_now() < until) (void)bench_time(contestant, 1);
    return bench_time(contestant, 1000);
}

double nap_and_run(const struct bench_contestant *contestant, double shortest, double longest, int runs) {
    static unsigned luck = 1; /* sleeps of varying length keep no step with other events */
    double seconds[BENCH_MAX_ROUNDS];
    for (int i = 0; i < runs; i++) {
        luck = luck * 1103515245u + 12345u;
        bench_sleep(shortest + (longest - shortest) * (double)(luck >> 16) / 65536);
        seconds[i] = bench_time(contestant, 1);
    }
    return bench_statistics(seconds, (size_t)runs).median;
}
