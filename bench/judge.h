/* judge: how the rows of bench_limits are judged and printed.
 *
 * A row says what was measured, the median with its quartiles, what was to be reached, and whether it was; below it
 * stand all contestants of the same interleaved run, so that a miss can be told from a slow machine. The median
 * decides. The rows come once more at the end, as a table. */
#ifndef PARPOOL_BENCH_JUDGE_H
#define PARPOOL_BENCH_JUDGE_H

#include "workload.h"

enum limits_unit { RATIO, SECONDS, RATE, KIBIBYTES };
enum limits_side { AT_LEAST, AT_MOST };

/* What all measurements of bench_limits share: main() sets it. */
extern struct limits {
    const struct bench_options *options;
    int workers; /* of pools, OpenMP and thread pools alike, where a row does not say otherwise */
} limits;

/* Says whether a figure reaches its target. */
void judge(const char *name, const char *what, enum limits_unit unit, struct bench_stats figure, enum limits_side side,
           double target);

/* All that took part, the first being ours; times are for one of `tasks` tasks. */
void print_beside(const struct bench_contestant *contestants, size_t count, double tasks);

/* For the JSON file: ours against a baseline, or against nothing. */
void record(const char *name, size_t size, int workers, const struct bench_contestant *own,
            const struct bench_contestant *base);

void print_summary(void);

/* ---- Statistics that take more than two contestants -------------------------------------------------------------- */

/* Tasks a second. */
struct bench_stats rate_of(const struct bench_contestant *contestant, double tasks);

/* Seconds beyond a share of what another takes, round by round. */
struct bench_stats excess_of(const struct bench_contestant *own, const struct bench_contestant *base, double share);

/* Own seconds as a multiple of a share of what another takes, round by round. */
struct bench_stats multiple_of(const struct bench_contestant *own, const struct bench_contestant *base, double share);

/* The dearest over the cheapest, a task, round by round; tasks[i]: how many contestant i does. 1 is flat. */
struct bench_stats spread_of(const struct bench_contestant *contestants, size_t count, const double *tasks);

/* ---- Contestants that are measured in a way of their own --------------------------------------------------------- */

struct bench_contestant measured(const char *name, void (*run)(void *context), struct workload *work,
                                 double (*measure)(const struct bench_contestant *contestant));

/* The median of so many runs, before each of which the caller sleeps, so that nobody spins any more. */
double nap_and_run(const struct bench_contestant *contestant, double shortest, double longest, int runs);

#endif
