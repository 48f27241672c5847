/* judge: how the rows of bench_limits are judged and printed.
 *
 * A row has the median with its quartiles, the target, and whether it is met; the median decides. Below it stand all
 * contestants of the same interleaved run, so that a miss can be told from a slow machine. At the end all rows come
 * again as a table. */
#ifndef PARPOOL_BENCH_JUDGE_H
#define PARPOOL_BENCH_JUDGE_H

#include "workload.h"

enum limits_unit { RATIO, SECONDS, RATE, KIBIBYTES };
enum limits_side { AT_LEAST, AT_MOST };

/* Shared by all measurements of bench_limits; set by main(). */
extern struct limits {
    const struct bench_options *options;
    int workers; /* of pools, OpenMP and thread pools alike, unless a row says otherwise */
} limits;

/* Adds and prints a row: whether a figure reaches its target. */
void judge(const char *name, const char *what, enum limits_unit unit, struct bench_stats figure, enum limits_side side,
           double target);

/* Prints all contestants, of which the first is this library; times are for one of `tasks` tasks. */
void print_beside(const struct bench_contestant *contestants, size_t count, double tasks);

/* Records a measurement for the JSON file, against a baseline or none. */
void record(const char *name, size_t size, int workers, const struct bench_contestant *own,
            const struct bench_contestant *base);

void print_summary(void);

/* ---- Statistics of several contestants --------------------------------------------------------------------------- */

/* Tasks a second. */
struct bench_stats rate_of(const struct bench_contestant *contestant, double tasks);

/* Seconds beyond a share of the baseline's, round by round. */
struct bench_stats excess_of(const struct bench_contestant *own, const struct bench_contestant *base, double share);

/* Seconds as a multiple of a share of the baseline's, round by round. */
struct bench_stats multiple_of(const struct bench_contestant *own, const struct bench_contestant *base, double share);

/* The highest cost of a task over the lowest, round by round; contestant i does tasks[i] tasks. 1 is flat. */
struct bench_stats spread_of(const struct bench_contestant *contestants, size_t count, const double *tasks);

/* ---- Contestants with a measure() of their own ------------------------------------------------------------------- */

struct bench_contestant measured(const char *name, void (*run)(void *context), struct workload *work,
                                 double (*measure)(const struct bench_contestant *contestant));

/* Returns the mean of 1,000 runs. Caller and worker run for 2 ms before the time counts, so that both are awake and
 * have settled on their CPUs: waking a sleeper may take a fifth of that. */
double awake_and_run(const struct bench_contestant *contestant);

/* Returns the median of so many runs. Before each of them the caller sleeps until workers have stopped spinning. */
double nap_and_run(const struct bench_contestant *contestant, double shortest, double longest, int runs);

#endif
