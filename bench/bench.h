/* bench: measures contestants beside each other, so that their ratios can be trusted.
 *
 * - All contestants of a comparison take turns, round after round, and each round starts with another contestant:
 *   disturbances of the machine hit all of them alike. A first round, which does not count, warms up and finds out how
 *   often a short run must be repeated within a turn.
 * - Before each turn the program rests for some milliseconds, until threads and workers of the turn before have stopped
 *   spinning and sleep; a short run is then done once untimed, so that a program at work is measured.
 * - A comparison starts when the machine is quiet, or when the program has waited for that for 40 s in all, which it
 *   says at its end.
 * - Each result is compared with the right one before its time counts: all of it after each turn, and after each run
 *   one item, each time another, which was spoilt before that run. So each run has to compute. A wrong result ends the
 *   program with status 1.
 * - The program prints the median of the rounds, with the quartiles beside it as the spread; a ratio is the median of
 *   the ratios within each round.
 *
 * Every program here is one bench_NAME.c, linked with the other files. Include this one first: it asks for what POSIX
 * alone hides. */
#ifndef PARPOOL_BENCH_H
#define PARPOOL_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define BENCH_PRINTF(string, first) __attribute__((format(printf, string, first), noreturn))
#else
#define BENCH_PRINTF(string, first)
#endif

enum { BENCH_MAX_ROUNDS = 101, BENCH_MAX_ONLY = 16, BENCH_MAX_WORKERS = 1024 };

/* ---- The program ------------------------------------------------------------------------------------------------- */

struct bench_options {
    bool quick;  /* sizes for a test of the program, not for figures */
    int workers; /* 0: the program's choice */
    int rounds;
    const char *only[BENCH_MAX_ONLY + 1]; /* names that bench_wanted() lets through; NULL ends them; none: all */
};

/* Describes a program. */
struct bench_program {
    const char *about;        /* for --help */
    const char *const *names; /* the values of --only; NULL ends them; NULL: --only is refused */
    bool has_plot;            /* whether its measurements have an x; if not, --plot is refused */
};

/* Reads the command line, prints a line about the machine, and returns the options, which stay valid. Ends the program
 * after --help and on mistakes, such as an unknown name or a file that cannot be written. */
const struct bench_options *bench_begin(int argc, char **argv, const struct bench_program *program);

/* Whether name, one of the program's, or a beginning of it was given by --only; true without --only. */
bool bench_wanted(const char *name);

/* Writes the files of --json and --plot, and prints how busy the machine was with other programs. Returns the exit
 * status. */
int bench_end(void);

/* Prints an error message and ends the program with status 1. */
void bench_fail(const char *format, ...) BENCH_PRINTF(1, 2);

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

struct bench_stats {
    double min, q1, median, q3, max;
};

struct bench_contestant {
    const char *name;
    void *context;
    void (*run)(void *context);                                   /* the timed function … */
    double (*measure)(const struct bench_contestant *contestant); /* … or, if not NULL, returns the seconds of a run */
    void (*prepare)(void *context);    /* before each turn, untimed: spoil the results of the last; NULL: nothing */
    bool (*check)(void *context);      /* after each turn, untimed: is the result right? NULL: nothing to check */
    void (*spoil_item)(void *context); /* before each run: spoil one item of the results, each time another … */
    bool (*item_right)(void *context); /* … after it: is that item right? NULL, both of them: nothing to check */

    /* Set by bench_run(). */
    size_t batch;                     /* runs in a turn */
    double seconds[BENCH_MAX_ROUNDS]; /* of one run, by round */
    struct bench_stats stats;
};

/* Measures count contestants beside each other. */
void bench_run(struct bench_contestant *contestants, size_t count);

/* The same with another number of rounds than --rounds, for contestants that take long. */
void bench_run_rounds(struct bench_contestant *contestants, size_t count, int rounds);

/* Returns the mean seconds of so many runs; also for measure(). Before each run an item is spoilt, and after it
 * checked; if there is only one run, outside of its time. */
double bench_time(const struct bench_contestant *contestant, size_t runs);

/* Quartiles and extremes of some values. */
struct bench_stats bench_statistics(const double *values, size_t count);

/* How many times as fast as `base` `other` is, round by round. */
struct bench_stats bench_speedup(const struct bench_contestant *base, const struct bench_contestant *other);

/* Seconds since some fixed moment. */
double bench_now(void);

void bench_sleep(double seconds);

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

/* "12.3 us": at most 9 characters, one more if negative. */
struct bench_text {
    char text[16];
};
struct bench_text bench_seconds(double seconds);

/* One measurement, for --json and --plot; its strings are copied. */
struct bench_measurement {
    const char *kernel;     /* the computation: a panel of the plot */
    const char *contestant; /* the way to compute it: a line in the panel */
    size_t size;
    int workers;
    double seconds;
    double baseline; /* seconds of the sequential program, or of the contestant that it is compared with */
    double speedup;  /* against the baseline: the median of the ratios within the rounds */
    double x;        /* position on the plot's logarithmic axis; 0: not on the plot */
    const char *x_name;
};
void bench_record(const struct bench_measurement *measurement);

#endif
