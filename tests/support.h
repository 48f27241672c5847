/* Shared by all tests: running, asserting, pools, gates, processes, data and common tasks.
 *
 * Rules that keep tests of forked code true:
 *   - Only the process that runs the tests asserts. A cmocka assertion that fails in a forked child would run the
 *     remaining tests there, and the parent would report success. Tasks return values; the body of a child (run_child)
 *     uses EXPECT(), which prints and returns 1.
 *   - Each test is listed by TEST(): it has a time-out, and at its end no process, zombie, descriptor or shared mapping
 *     may be left that did not exist at its start.
 *   - Nothing relies on a short time. A test waits with PATIENCE for an event that must come, and a gate holds back an
 *     event that must not come yet.
 *   - Tasks pass what is not their result in shared() memory, which the test makes before the pool.
 *
 * The tests use only a few calls of cmocka: assert_true, assert_false, assert_null, assert_non_null, assert_int_equal,
 * assert_memory_equal, print_error, _fail, struct CMUnitTest and _cmocka_run_group_tests.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* NOLINT: needed here, whatever the build defines */
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>
#include <parpool.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Running -------------------------------------------------------------------------------------------------- */

/* Opens the body of a test. Its name is a sentence that says what must hold. */
#define TEST_CASE(name)                                                                                                \
    static void name##_body(void);                                                                                     \
    static void name(void **state) {                                                                                   \
        (void)state;                                                                                                   \
        name##_body();                                                                                                 \
    }                                                                                                                  \
    static void name##_body(void)

#define TEST(function)                                                                                                 \
    { #function, function, test_begin, test_end, (void *)#function }

int test_begin(void **state);
int test_end(void **state);

/* Runs the tests whose names contain an argument of the program, all of them without one. */
int run_group(const char *group, const struct CMUnitTest *tests, size_t count, int argc, char **argv);

/* The time-out of the running test, counted from now; 120 s otherwise. Stretched under valgrind and sanitizers. */
void allow_seconds(unsigned seconds);

/* Whether the program runs with a tool under which limits of address space and counts of memory are wrong. */
bool instrumented(void);

/* Whether repeated tries are to be fewer: the program is slow, or PARPOOL_TEST_BRIEF is set. */
bool is_brief(void);
/* n, or a tenth of it if is_brief(). */
size_t scaled(size_t n);

/* ---- Asserting, in the test's own process only ------------------------------------------------------------------- */

#define assert_code(actual, expected) check_code(actual, expected, #actual, __FILE__, __LINE__)
#define assert_ok(actual) assert_code(actual, 0)
#define assert_any_of(actual, a, b) check_any_of(actual, a, b, #actual, __FILE__, __LINE__)
/* At least and at most so many milliseconds have passed since then. */
#define assert_took(since, least, most) check_took(since, least, most, __FILE__, __LINE__)
#define assert_contains(text, part) check_contains(text, part, __FILE__, __LINE__)

void check_code(int actual, int expected, const char *what, const char *file, int line);
void check_any_of(int actual, int a, int b, const char *what, const char *file, int line);
void check_took(int64_t since, int64_t least, int64_t most, const char *file, int line);
void check_contains(const char *text, const char *part, const char *file, int line);

/* ---- Pools, time ------------------------------------------------------------------------------------------------ */

enum { PATIENCE = 60000 /* ms until a test gives up waiting for an event */ };

int64_t now_ms(void);
void sleep_ms(int ms);

struct pool_options test_options(int workers);              /* with a small arena in instrumented builds */
struct pool *pool_from(const struct pool_options *options); /* asserts */
struct pool *pool_of(int workers);                          /* from test_options() */

/* Submits fn with one argument; asserts. */
struct future *submit(struct pool *pool, pool_fn *fn, const void *in, size_t in_size, size_t out_size);
/* Waits for the outcome with PATIENCE and returns it; frees the future. */
int finish(struct future *future, void *out);

pid_t worker_of(struct pool *pool); /* the worker that runs the next task; asserts */
pid_t supervisor_of(struct pool *pool);

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* Calls body in `count` threads at the same time, with the pool and the number of the thread, 0 to count - 1. Each call
 * returns how many errors it found: there must be none. */
#define assert_no_errors_in_threads(count, body, pool) check_threads(count, body, pool, #body, __FILE__, __LINE__)
void check_threads(size_t count, size_t (*body)(struct pool *pool, uint64_t number), struct pool *pool,
                   const char *what, const char *file, int line);

/* ---- The system ------------------------------------------------------------------------------------------------- */

/* Whether the library uses calls that only Linux has. */
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
#define LINUX 1
#else
#define LINUX 0
#endif

/* Fills in a template for mkstemp() and mkdtemp(), in the directory for such files. */
enum { TEMPORARY_ROOM = 1024 };
void temporary_name(char path[TEMPORARY_ROOM]);

/* ---- Shared memory and gates ------------------------------------------------------------------------------------- */

/* Memory, zeroed, shared with all processes forked later; freed at the end of the test. */
void *shared(size_t size);

/* Holds tasks back until the test opens it. Lies in shared memory. */
struct gate {
    atomic_int arrived, open;
};
int gate_pass(struct gate *gate);                /* in a task: returns 0 once it is open, 99 if it never is */
bool gate_reached(struct gate *gate, int tasks); /* in the test: waits until so many have arrived */
void gate_open(struct gate *gate);
bool becomes(atomic_int *value, int least); /* waits until *value is at least that much */

struct future *submit_gated(struct pool *pool, struct gate *gate); /* a gate_task() */
struct future *block_worker(struct pool *pool, struct gate *gate); /* the same, once it is at the gate; asserts */

/* ---- Hosts ------------------------------------------------------------------------------------------------------- */

extern pid_t this_node; /* the process of the node that this is, or that has forked it; 0: it is no host's */
/* Notes whether this is a node. In main(), before pool_serve(). */
void note_node(void);
/* Returns once the only worker of this machine is at the gate: until release_here(), hosts run all else. Adds to
 * *tasks, unless that is NULL, how many tasks hosts have run meanwhile. */
struct future *hold_here(struct pool *pool, struct gate *gate, int *tasks);
void release_here(struct gate *gate, struct future *kept);

/* ---- Squares: some work, and what must come of it ---------------------------------------------------------------- */

/* Submits square_task() with x, or with each of 0 … count - 1; asserts. */
struct future *submit_square(struct pool *pool, long x);
void submit_squares(struct pool *pool, struct future **futures, long count);

/* The future must have the square of x. Frees it. */
#define assert_square(future, x) check_square(future, x, __FILE__, __LINE__)
/* Each of the futures that submit_squares() made must have its square. Frees them. */
#define assert_squares(futures, count) check_squares(futures, count, __FILE__, __LINE__)
/* The pool must square each of 0 … count - 1: all tasks are submitted at once, or each when the one before is done. */
#define assert_squares_at_once(pool, count) check_squares_at_once(pool, count, __FILE__, __LINE__)
#define assert_squares_in_turn(pool, count) check_squares_in_turn(pool, count, __FILE__, __LINE__)
/* A map of square_task() over -3 … count - 4 must give each result, each status and no failure: in memory that has room
 * for as many, or in memory from malloc(). */
#define assert_map_squares_in(memory, pool, count, chunk)                                                              \
    check_map_squares_in(memory, pool, count, chunk, __FILE__, __LINE__)
#define assert_map_squares(pool, count, chunk) check_map_squares(pool, count, chunk, __FILE__, __LINE__)

struct map_memory {
    long *in, *out;
    int *status;
};
void check_square(struct future *future, long x, const char *file, int line);
void check_squares(struct future **futures, long count, const char *file, int line);
void check_squares_at_once(struct pool *pool, long count, const char *file, int line);
void check_squares_in_turn(struct pool *pool, long count, const char *file, int line);
void check_map_squares_in(struct map_memory memory, struct pool *pool, size_t count, size_t chunk, const char *file,
                          int line);
void check_map_squares(struct pool *pool, size_t count, size_t chunk, const char *file, int line);

/* ---- Processes --------------------------------------------------------------------------------------------------- */

bool alive(pid_t pid);               /* whether it exists and is no zombie */
pid_t parent_of(pid_t pid);          /* 0 if it is not alive, or there is no /proc */
bool gone_within(pid_t pid, int ms); /* waits until it is not alive */
/* Stores all processes below root but zombies: the supervisors of its pools, their workers, … Returns their number; 0
 * without /proc. */
size_t descendants(pid_t root, pid_t *pids, size_t room);
bool no_descendants_within(pid_t root, int ms);
bool have_proc(void);

/* Runs body in a forked child, which has default signal handling, writes no core file, dies with the test, and ends by
 * exit() with the value that body returns. */
struct ending {
    bool timed_out; /* end_child() killed it after the time-out */
    int code;       /* exit status; -1: none */
    int signal;     /* the signal that ended it; 0: none */
};
pid_t start_child(int (*body)(void *), void *argument);
struct ending end_child(pid_t pid, int timeout);
struct ending run_child(int (*body)(void *), void *argument, int timeout);

#define assert_child_passes(body, argument) check_child(body, argument, #body, __FILE__, __LINE__)
void check_child(int (*body)(void *), void *argument, const char *what, const char *file, int line);

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: in a child: not so: %s\n", __FILE__, __LINE__, #condition);                        \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

/* ---- Processes, descriptors and mappings that a test leaves behind ----------------------------------------------- */

struct holdings {
    int descriptors;
    long shared_mappings;
    size_t process_count;
    pid_t processes[2048]; /* of this session */
};
void look(struct holdings *holdings);
/* Whether something exists that did not before; names it on stderr. Waits a little for processes to end, but not for
 * children of this process. */
bool left_behind(const struct holdings *before);
int open_descriptors(void);
long mappings(bool shared_only); /* -1: unknown */
long resident_kib(void);         /* -1: unknown */
long pages_in(const void *begin, size_t size); /* of this shared memory that the system has; -1: unknown */

/* ---- Data -------------------------------------------------------------------------------------------------------- */

uint64_t scramble(uint64_t x); /* a fixed, well-mixed function of x */
void fill(void *data, size_t size, uint64_t seed);
bool filled(const void *data, size_t size, uint64_t seed);

/* ---- Tasks that many tests use ----------------------------------------------------------------------------------- */

int square_task(const void *in, void *out);  /* long -> long */
int pid_task(const void *in, void *out);     /* nothing -> pid_t */
int parent_task(const void *in, void *out);  /* nothing -> pid_t of the supervisor */
int gate_task(const void *in, void *out);    /* struct gate * -> nothing */
int count_task(const void *in, void *out);   /* anything -> nothing; counts its runs in *counted */
int forever_task(const void *in, void *out); /* busy for ever; in: NULL, or struct gate * at which it arrives */

extern atomic_int *counted; /* the test's, from shared() */

#endif
