/* bench: measures contestants beside each other, so that their ratios can be trusted.
 *
 * - All contestants of a comparison take turns, round after round, the first one moving on by one each round: what the
 *   machine does meanwhile hits all of them alike. A first round, which does not count, warms up and finds out how
 *   often a short run must be repeated within a turn.
 * - Before each turn the machine rests for some milliseconds, until the threads and workers that the turn before left
 *   spinning are asleep; a short run is then done once untimed, so that what is measured is a program at work.
 * - A comparison begins when the machine is quiet, or when 40 s of a run have been spent waiting, which is said at its
 *   end.
 * - Each result is compared with the right one before its time counts: all of it after each turn, and after each run
 *   one item, each time another, which was spoilt before that run. So no run can do without computing. A wrong result
 *   ends the program with status 1.
 * - What is printed is the median of the rounds, with the quartiles beside it as the spread; a ratio is the median of
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

/* What a program has to say of itself. */
struct bench_program {
    const char *about;        /* what it shows, for --help */
    const char *const *names; /* what --only may ask for; NULL ends them; NULL: --only is refused */
    bool has_plot;            /* whether what it records has an x; if not, --plot is refused */
};

/* Reads the command line, prints what machine this is, and returns the options, which stay valid. Ends the program
 * after --help and on mistakes: a name that is not there is one, and so is a file that cannot be written. */
const struct bench_options *bench_begin(int argc, char **argv, const struct bench_program *program);

/* Whether --only asks for name, one of the program's, or for something that name begins with; true without --only. */
bool bench_wanted(const char *name);

/* Writes into the files asked for and says how busy the machine was with others. Returns the exit status. */
int bench_end(void);

/* Says what went wrong, and ends the program with status 1. */
void bench_fail(const char *format, ...) BENCH_PRINTF(1, 2);

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

struct bench_stats {
    double min, q1, median, q3, max;
};

struct bench_contestant {
    const char *name;
    void *context;
    void (*run)(void *context);                                   /* what is timed … */
    double (*measure)(const struct bench_contestant *contestant); /* … or, if not NULL, what says how long a run took */
    void (*prepare)(void *context);    /* before each turn, untimed: spoil the results of the last; NULL: nothing */
    bool (*check)(void *context);      /* after each turn, untimed: is the result right? NULL: nothing to check */
    void (*spoil_item)(void *context); /* before each run: spoil one item of the results, each time another … */
    bool (*item_right)(void *context); /* … after it: is that item right? NULL, both of them: nothing to check */

    /* What bench_run() finds. */
    size_t batch;                     /* runs in a turn */
    double seconds[BENCH_MAX_ROUNDS]; /* of one run, by round */
    struct bench_stats stats;
};

/* Measures count contestants beside each other. */
void bench_run(struct bench_contestant *contestants, size_t count);

/* The same with another number of rounds than --rounds says: for what takes long, or is rare. */
void bench_run_rounds(struct bench_contestant *contestants, size_t count, int rounds);

/* The mean seconds of so many runs, for measure() too. The item of each is spoilt and checked: of one run alone outside
 * the time. */
double bench_time(const struct bench_contestant *contestant, size_t runs);

/* What statistics say of some values. */
struct bench_stats bench_statistics(const double *values, size_t count);

/* How many times faster `other` is than `base`, within the rounds. */
struct bench_stats bench_speedup(const struct bench_contestant *base, const struct bench_contestant *other);

/* Seconds since some fixed moment. */
double bench_now(void);

void bench_sleep(double seconds);

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

/* "12.3 us": at most 9 characters, one more below 0, in a buffer of the caller. */
struct bench_text {
    char text[16];
};
struct bench_text bench_seconds(double seconds);

/* One measurement, for --json and --plot; its strings are copied. */
struct bench_measurement {
    const char *kernel;     /* what was computed: a panel of the plot */
    const char *contestant; /* by whom: a line in it */
    size_t size;
    int workers;
    double seconds;
    double baseline; /* seconds of whom it is compared with: the sequential program, or who stands beside it */
    double speedup;  /* against that one: the median of the ratios within the rounds */
    double x;        /* where it stands on the plot's logarithmic axis; 0: not on the plot */
    const char *x_name;
};
void bench_record(const struct bench_measurement *measurement);

#endif
