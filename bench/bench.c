#include "bench.h"
#include "plot.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { DEFAULT_ROUNDS = 11, QUICK_ROUNDS = 3, MAX_BATCH = 1000000 };

/* Output files are opened before anything is measured, so that no measurement is lost if one cannot be written. */
struct output {
    const char *path;
    FILE *file; /* NULL: none was asked for */
};

static struct bench_options options;
static struct output json, plot;
static struct plot_point *points; /* all that was recorded */
static size_t point_count;
static int compared, disturbed; /* comparisons, and those that started while other programs used the machine */
static double begun;            /* when the program started, and the CPU time that the machine had used until then */
static double begun_busy;

/* ---- Time -------------------------------------------------------------------------------------------------------- */

double bench_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void bench_sleep(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

struct bench_text bench_seconds(double seconds) {
    static const struct {
        double factor;
        const char *name;
    } units[] = {{1e9, "ns"}, {1e6, "us"}, {1e3, "ms"}, {1, "s "}};
    size_t unit = 0;
    while (unit < 3 && fabs(seconds) * units[unit].factor >= 999.5) unit++;
    double value = seconds * units[unit].factor;
    struct bench_text result;
    snprintf(result.text, sizeof result.text, "%.*f %s",
             fabs(value) < 9.995   ? 2
             : fabs(value) < 99.95 ? 1
                                   : 0,
             value, units[unit].name);
    return result;
}

/* ---- The machine ------------------------------------------------------------------------------------------------- */

/* CPU seconds that all programs, and other virtual machines on the same hardware, have used so far; < 0: unknown. */
static double machine_busy(void) {
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return -1;
    unsigned long long user, nice, system, idle, wait, irq, soft, steal;
    int found = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq,
                       &soft, &steal);
    fclose(file);
    if (found != 8) return -1;
    return (double)(user + nice + system + irq + soft + steal) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* CPU seconds of this program and of the children that it has waited for. */
static double own_busy(void) {
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return seconds_of(self.ru_utime) + seconds_of(self.ru_stime) + seconds_of(children.ru_utime) +
           seconds_of(children.ru_stime);
}

/* Warns the reader if other programs used the machine, since the figures are then worth little. */
static void report_others(void) {
    double busy = machine_busy();
    double elapsed = bench_now() - begun;
    if (busy < 0 || begun_busy < 0 || elapsed < 0.5) return;
    if (disturbed) printf("\n%d of %d comparisons began while the machine was busy with others.", disturbed, compared);
    double others = (busy - begun_busy - own_busy()) / (elapsed * (double)sysconf(_SC_NPROCESSORS_ONLN)) * 100;
    printf("\nOther programs took %.0f %% of this machine's CPU time during the %.0f s of this run%s.\n",
           others < 0 ? 0 : others, elapsed, others > 5 ? ": THE FIGURES ARE NOT TO BE TRUSTED" : "");
}

static void print_machine(void) {
    char model[128] = "";
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "model name : %127[^\n]", model) == 1) break;
    }
    if (file) fclose(file);
    struct utsname system;
    uname(&system);
    printf("# %s %s %s, %ld CPUs%s%s, %s, %s; medians of %d interleaved rounds\n", system.sysname, system.release,
           system.machine, sysconf(_SC_NPROCESSORS_ONLN), model[0] ? " " : "", model,
#if defined(__clang__)
           "clang " __clang_version__,
#elif defined(__GNUC__)
           "gcc " __VERSION__,
#else
           "some compiler",
#endif
#ifdef _OPENMP
           "OpenMP",
#else
           "no OpenMP",
#endif
           options.rounds);
}

/* ---- The command line -------------------------------------------------------------------------------------------- */

static bool begins_with(const char *name, const char *beginning) {
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

/* Prints lines of a terminal's width. */
static void print_names(const char *const *names) {
    size_t column = 0;
    fputs("\nNames:", stdout);
    for (; *names; names++) {
        column += strlen(*names) + 2;
        printf(column > 110 ? "\n  %s" : " %s", *names);
        if (names[1]) putchar(',');
        if (column > 110) column = strlen(*names) + 3;
    }
    putchar('\n');
}

static void print_help(const char *name, const struct bench_program *program) {
    printf("Usage: %s [OPTION]...\n%s\n\n"
           "  --workers N    with N workers (default: the program's choice)\n"
           "  --rounds N     rounds of measuring, 1 to %d (default %d); all that is measured takes turns in each\n",
           name, program->about, BENCH_MAX_ROUNDS, DEFAULT_ROUNDS);
    if (program->names) {
        printf("  --only NAME    only what has a name that begins so; may be given up to %d times\n", BENCH_MAX_ONLY);
    }
    printf("  --quick        small sizes and %d rounds: a test of this program, its figures mean little\n"
           "  --json FILE    write an array of {name, size, workers, seconds, baseline_seconds, speedup}\n",
           QUICK_ROUNDS);
    if (program->has_plot) printf("  --plot FILE    write the speed-ups as an SVG image\n");
    printf("  --help         print this and exit\n\n"
           "Times are medians, with quartiles in brackets. The baseline is the sequential program, or the contestant\n"
           "that another is compared with. Each result is checked before its time counts: a wrong one ends the\n"
           "program with status 1.\n");
    if (program->names) print_names(program->names);
}

static int number(const char *option, const char *text, long max) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || *end || end == text || value < 1 || value > max) {
        bench_fail("%s takes a number from 1 to %ld, not '%s'", option, max, text);
    }
    return (int)value;
}

static void open_output(struct output *output, const char *path) {
    if (output->file) fclose(output->file); /* the last --json or --plot counts */
    *output = (struct output){path, fopen(path, "w")};
    if (!output->file) bench_fail("cannot write %s: %s", path, strerror(errno));
}

static void set_only(const struct bench_program *program, const char *value) {
    static int only;
    const char *const *names = program->names;
    if (!names) bench_fail("--only: this program measures one thing");
    while (*names && !begins_with(*names, value)) names++;
    if (!*names) bench_fail("--only: no name begins with '%s'; try --help", value);
    if (only == BENCH_MAX_ONLY) bench_fail("--only may be given %d times", BENCH_MAX_ONLY);
    options.only[only++] = value;
}

/* An option with its argument. */
static void set_option(const struct bench_program *program, const char *option, const char *value) {
    static const char *const names[] = {"--workers", "--rounds", "--json", "--plot", "--only"};
    size_t which = 0, count = sizeof names / sizeof *names;
    while (which < count && strcmp(option, names[which]) != 0) which++;
    if (which == count) bench_fail("there is no option %s; try --help", option);
    if (!value) bench_fail("%s needs an argument; try --help", option);
    switch (which) {
    case 0:
        options.workers = number(option, value, BENCH_MAX_WORKERS);
        break;
    case 1:
        options.rounds = number(option, value, BENCH_MAX_ROUNDS);
        break;
    case 2:
        open_output(&json, value);
        break;
    case 3:
        if (!program->has_plot) bench_fail("--plot: this program has nothing to draw");
        open_output(&plot, value);
        break;
    default:
        set_only(program, value);
    }
}

const struct bench_options *bench_begin(int argc, char **argv, const struct bench_program *program) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(argv[0], program);
            exit(0);
        } else if (strcmp(argv[i], "--quick") == 0) {
            options.quick = true;
        } else {
            set_option(program, argv[i], argv[i + 1]);
            i++;
        }
    }
    if (!options.rounds) options.rounds = options.quick ? QUICK_ROUNDS : DEFAULT_ROUNDS;
    print_machine();
    begun = bench_now();
    begun_busy = machine_busy();
    return &options;
}

bool bench_wanted(const char *name) {
    if (!options.only[0]) return true;
    for (const char *const *only = options.only; *only; only++) {
        if (begins_with(name, *only)) return true;
    }
    return false;
}

void bench_fail(const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fputs("bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* ---- Statistics -------------------------------------------------------------------------------------------------- */

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The value below which a share of the sorted values lies, interpolated between two of them. */
static double quantile(const double *sorted, size_t count, double share) {
    double position = share * (double)(count - 1);
    size_t below = (size_t)position;
    size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (position - (double)below) * (sorted[above] - sorted[below]);
}

struct bench_stats bench_statistics(const double *values, size_t count) {
    double sorted[BENCH_MAX_ROUNDS];
    if (count > BENCH_MAX_ROUNDS) count = BENCH_MAX_ROUNDS;
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, ascending);
    return (struct bench_stats){sorted[0], quantile(sorted, count, 0.25), quantile(sorted, count, 0.5),
                                quantile(sorted, count, 0.75), sorted[count - 1]};
}

struct bench_stats bench_speedup(const struct bench_contestant *base, const struct bench_contestant *other) {
    double ratios[BENCH_MAX_ROUNDS];
    size_t count = 0;
    while (count < BENCH_MAX_ROUNDS && base->seconds[count] > 0 && other->seconds[count] > 0) {
        ratios[count] = base->seconds[count] / other->seconds[count];
        count++;
    }
    if (count == 0) bench_fail("%s and %s have no round in common", base->name, other->name);
    return bench_statistics(ratios, count);
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

/* Runs are repeated in turns shorter than this, where the clock and the first wake-up would weigh too much. */
static double shortest_turn(void) {
    return options.quick ? 0.5e-3 : 10e-3;
}

static void spoil_item(const struct bench_contestant *contestant) {
    if (contestant->spoil_item) contestant->spoil_item(contestant->context);
}

/* Ends the program if a result is wrong. */
static void check(const struct bench_contestant *contestant, bool (*right)(void *context)) {
    if (right && !right(contestant->context)) bench_fail("%s: its result is wrong", contestant->name);
}

double bench_time(const struct bench_contestant *contestant, size_t runs) {
    spoil_item(contestant);
    double start = bench_now();
    for (size_t i = 1; i < runs; i++) {
        contestant->run(contestant->context);
        check(contestant, contestant->item_right);
        spoil_item(contestant);
    }
    contestant->run(contestant->context);
    double seconds = (bench_now() - start) / (double)runs;
    check(contestant, contestant->item_right);
    return seconds;
}

static double take_turn(struct bench_contestant *contestant) {
    /* Idle threads of OpenMP spin for some 4 ms, at the cost of the next contestant. */
    bench_sleep(options.quick ? 1e-3 : 8e-3);
    if (contestant->prepare) contestant->prepare(contestant->context);
    double seconds;
    if (contestant->measure) {
        seconds = contestant->measure(contestant);
    } else {
        if (contestant->batch > 1) (void)bench_time(contestant, 1);
        seconds = bench_time(contestant, contestant->batch);
    }
    check(contestant, contestant->check);
    return seconds;
}

/* The round that does not count. */
static void warm_up(struct bench_contestant *contestant) {
    contestant->batch = 1;
    for (int i = 0; i < BENCH_MAX_ROUNDS; i++) contestant->seconds[i] = 0;
    double seconds = take_turn(contestant);
    if (contestant->measure || seconds >= shortest_turn()) return;
    seconds = bench_time(contestant, 3); /* again, since the first run is slower than later ones */
    double runs = ceil(shortest_turn() / (seconds > 1e-9 ? seconds : 1e-9));
    contestant->batch = runs < MAX_BATCH ? (size_t)runs : MAX_BATCH;
}

/* Waits until no other program uses the machine, which should be idle while all contestants sleep. All waits of the
 * program share the same limit. */
static void wait_for_quiet(void) {
    static double patience = 40;
    double busy = machine_busy();
    while (!options.quick && busy >= 0) {
        bench_sleep(0.1);
        double before = busy;
        busy = machine_busy();
        if (busy - before < 0.025) return;
        patience -= 0.1;
        if (patience <= 0) {
            disturbed++;
            return;
        }
    }
}

void bench_run_rounds(struct bench_contestant *contestants, size_t count, int rounds) {
    fflush(stdout); /* contestants may fork */
    wait_for_quiet();
    compared++;
    for (size_t i = 0; i < count; i++) warm_up(&contestants[i]);
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            struct bench_contestant *contestant = &contestants[(i + (size_t)round) % count];
            contestant->seconds[round] = take_turn(contestant);
        }
    }
    for (size_t i = 0; i < count; i++) {
        contestants[i].stats = bench_statistics(contestants[i].seconds, (size_t)rounds);
    }
}

void bench_run(struct bench_contestant *contestants, size_t count) {
    bench_run_rounds(contestants, count, options.rounds);
}

/* ---- Reporting --------------------------------------------------------------------------------------------------- */

void bench_record(const struct bench_measurement *measurement) {
    struct plot_point *more = realloc(points, (point_count + 1) * sizeof *points);
    if (!more) bench_fail("no memory");
    points = more;
    struct plot_point *point = &points[point_count++];
    snprintf(point->panel, sizeof point->panel, "%s", measurement->kernel);
    snprintf(point->line, sizeof point->line, "%s", measurement->contestant);
    snprintf(point->x_name, sizeof point->x_name, "%s", measurement->x_name ? measurement->x_name : "");
    point->size = measurement->size;
    point->workers = measurement->workers;
    point->seconds = measurement->seconds;
    point->baseline = measurement->baseline;
    point->x = measurement->x;
    point->y = measurement->speedup;
}

static void write_json(FILE *file) {
    fputs("[", file);
    for (size_t i = 0; i < point_count; i++) {
        const struct plot_point *point = &points[i];
        fprintf(file,
                "%s\n  {\"name\": \"%s/%s\", \"size\": %zu, \"workers\": %d, \"seconds\": %.9g, "
                "\"baseline_seconds\": %.9g, \"speedup\": %.6g}",
                i ? "," : "", point->panel, point->line, point->size, point->workers, point->seconds, point->baseline,
                point->y);
    }
    fputs("\n]\n", file);
}

static void write_plot(FILE *file) {
    plot_write(file, points, point_count);
}

static bool write_output(const struct output *output, void (*write)(FILE *file)) {
    if (!output->file) return true;
    write(output->file);
    bool good = !ferror(output->file);
    if (fclose(output->file) != 0) good = false;
    if (!good) fprintf(stderr, "bench: cannot write %s: %s\n", output->path, strerror(errno));
    return good;
}

int bench_end(void) {
    report_others();
    bool good = write_output(&json, write_json);
    good = write_output(&plot, write_plot) && good;
    free(points);
    points = NULL;
    return good && fflush(stdout) == 0 ? 0 : 1;
}
