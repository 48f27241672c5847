/* A worker dies between two steps of its work, or is killed there, at each place where that could lose something or run
 * it twice. The places are the PP_POINTs of the worker (src/work*.c), and of the caller where it kills (src/pass.c), in
 * the build of the library that has them. */
#include "support.h"

#include <signal.h>

#include "base/cpu.h"
#include "shared/record.h"
#include "shared/state.h"
#include "shared/ticket.h"
#include "base/sys.h"
#include "worker/task.h"

enum { TASKS = 200, ITEMS = 2000 };

/* Shared with the workers: who dies where, how often yet, and how often each task and item was begun. */
struct plan {
    char point[32];
    atomic_int deaths, wanted;
    atomic_int begun[TASKS], items_begun[ITEMS];
};
static struct plan *plan;
static pid_t tester;

static bool die_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) < atomic_load(&plan->wanted)) raise(SIGKILL);
    return false;
}

static int counted_task(const void *in, void *out) {
    long x = *(const long *)in;
    atomic_fetch_add(&plan->begun[x], 1);
    *(long *)out = x * x;
    return 0;
}

static int counted_item(const void *in, void *out) {
    long x = *(const long *)in;
    atomic_fetch_add(&plan->items_begun[x], 1);
    *(long *)out = x * x;
    return 0;
}

/* How many tasks ended as died; asserts that all others are right, and that none was begun twice. */
static int run_tasks(struct pool *pool) {
    static struct future *futures[TASKS];
    int died = 0;
    for (long i = 0; i < TASKS; i++) futures[i] = submit(pool, counted_task, &i, sizeof i, sizeof i);
    for (long i = 0; i < TASKS; i++) {
        long result = -1;
        int code = finish(futures[i], &result);
        assert_any_of(code, 0, POOL_EDIED);
        if (code == 0) assert_int_equal(result, i * i);
        died += code != 0;
        assert_true(atomic_load(&plan->begun[i]) <= 1);
    }
    return died;
}

static int run_job(struct pool *pool, size_t chunk) {
    static long in[ITEMS], out[ITEMS];
    static int status[ITEMS];
    int died = 0;
    for (long i = 0; i < ITEMS; i++) in[i] = i, out[i] = -1;
    struct pool_job job = {.fn = counted_item, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .chunk = chunk,
                           .status = status};
    int code = pool_map(pool, &job);
    assert_any_of(code, 0, POOL_EDIED);
    for (long i = 0; i < ITEMS; i++) {
        assert_any_of(status[i], 0, POOL_EDIED);
        if (status[i] == 0) assert_int_equal(out[i], i * i);
        died += status[i] != 0;
        assert_true(atomic_load(&plan->items_begun[i]) <= 1);
    }
    return died;
}

/* Whoever comes to a PP_POINT from now on asks `fault`. */
static void watch_point(const char *point, bool (*fault)(const char *name)) {
    plan = shared(sizeof *plan);
    snprintf(plan->point, sizeof plan->point, "%s", point);
    tester = getpid();
    pp_fault = fault;
}

/* most: how many of the deaths at this point may cost something. */
static void die_at(const char *point, int wanted, int most) {
    static const size_t chunks[] = {0, 1, 7};
    for (size_t c = 0; c < COUNT(chunks); c++) {
        watch_point(point, die_at_point);
        plan->wanted = wanted;
        struct pool *pool = pool_of(2);
        if (strcmp(point, "dozing") == 0) assert_true(becomes(&plan->deaths, wanted)); /* without work, that is */
        int died = run_tasks(pool);
        died += run_job(pool, chunks[c]);
        assert_true(atomic_load(&plan->deaths) > 0); /* the point was reached */
        assert_true(died <= most);
        pool_destroy(pool);
        pp_fault = NULL;
    }
}

#define COSTS_NOTHING(point) die_at(point, 1, 0), die_at(point, 2, 0)
#define COSTS_ONE_EACH(point) die_at(point, 1, 1), die_at(point, 2, 2)

TEST_CASE(before_it_reads_anything) {
    COSTS_NOTHING("dozing");
}
TEST_CASE(between_taking_a_ticket_and_beginning) {
    COSTS_NOTHING("taken");
}
TEST_CASE(right_after_beginning) {
    COSTS_ONE_EACH("begun");
}
TEST_CASE(between_running_and_publishing) {
    COSTS_ONE_EACH("ran");
}
TEST_CASE(between_publishing_and_announcing) {
    COSTS_NOTHING("published");
}
TEST_CASE(between_announcing_and_waking_the_caller) {
    COSTS_NOTHING("announced");
}
TEST_CASE(upon_entering_a_job) {
    COSTS_NOTHING("entered");
}
TEST_CASE(between_claiming_items_and_recording_them) {
    COSTS_NOTHING("claimed");
}
static struct gate *gate;

static bool wait_when_recorded(const char *name) {
    if (getpid() != tester && strcmp(name, "recorded") == 0) gate_pass(gate);
    return false;
}

TEST_CASE(a_kill_stops_what_is_recorded_and_not_begun) {
    static const int timeouts[] = {0, 3600000};
    for (size_t t = 0; t < COUNT(timeouts); t++) {
        struct gate *begun = shared(sizeof *begun), *in[2] = {begun, begun};
        gate = shared(sizeof *gate);
        tester = getpid();
        pp_fault = wait_when_recorded;
        struct pool *pool = pool_of(1);
        struct pool_job job = {.fn = forever_task, POOL_IN(in), .count = 2, .chunk = 2, .timeout = timeouts[t]};
        struct future *future = NULL;
        assert_ok(pool_map_async(pool, &job, &future));
        assert_true(gate_reached(gate, 1));
        assert_ok(future_kill(future));
        gate_open(gate);
        assert_code(future_get(future, NULL, PATIENCE), POOL_ECANCELLED);
        assert_int_equal(begun->arrived, 0);
        future_free(future);
        pool_destroy(pool);
        pp_fault = NULL;
    }
}

/* The first worker at this point stays there. */
static bool stay_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 0) gate_pass(gate);
    return false;
}

TEST_CASE(a_kill_between_two_items_costs_none) {
    static const char *const points[] = {"claimed", "recorded", "finished", "marked"};
    static long in[ITEMS], out[ITEMS];
    for (size_t p = 0; p < COUNT(points); p++) {
        gate = shared(sizeof *gate);
        watch_point(points[p], stay_at_point);
        struct pool *pool = pool_of(1);
        for (long i = 0; i < ITEMS; i++) in[i] = i, out[i] = -1;
        struct pool_job job = {.fn = counted_item, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .chunk = 1};
        struct future *future;
        struct pool_stats stats = {0};
        assert_ok(pool_map_async(pool, &job, &future));
        assert_true(gate_reached(gate, 1));
        assert_ok(pool_shutdown(pool, POOL_KILL_RUNNING, PATIENCE));
        assert_ok(pool_stats(pool, &stats));
        assert_int_equal(stats.died, 1);
        assert_ok(finish(future, NULL));
        for (long i = 0; i < ITEMS; i++) {
            assert_int_equal(out[i], i * i);
            assert_int_equal(atomic_load(&plan->items_begun[i]), 1);
        }
        pool_destroy(pool);
        pp_fault = NULL;
    }
}

/* What runs in a thread cannot be killed, and heeds the kill by itself: before the next part, or where it leaves. */
TEST_CASE(a_kill_between_two_items_is_heeded_by_a_thread) {
    static const char *const points[] = {"recorded", "marked"};
    for (size_t p = 0; p < COUNT(points); p++) {
        static long in = 7, out;
        gate = shared(sizeof *gate);
        watch_point(points[p], stay_at_point);
        tester = -1; /* its threads are not to be told from it */
        struct pool_options options = test_options(1);
        options.backend = POOL_THREADS;
        struct pool *pool;
        assert_ok(pool_create(&options, &pool));
        struct pool_job job = {.fn = counted_item, POOL_IN(&in), POOL_OUT(&out), .count = 1};
        struct future *future;
        struct pool_stats stats = {0};
        assert_ok(pool_map_async(pool, &job, &future));
        assert_true(gate_reached(gate, 1));
        assert_code(pool_shutdown(pool, POOL_KILL_RUNNING, 0), POOL_ETIMEDOUT);
        gate_open(gate);
        assert_ok(finish(future, NULL));
        assert_int_equal(out, 49);
        assert_int_equal(atomic_load(&plan->items_begun[7]), 1);
        assert_ok(pool_shutdown(pool, 0, PATIENCE));
        assert_ok(pool_stats(pool, &stats));
        assert_int_equal(stats.died, 1);
        pool_destroy(pool);
        pp_fault = NULL;
    }
}

/* The caller at this point waits until the worker that it is about to kill is elsewhere. */
static bool wait_at_point(const char *name) {
    if (getpid() == tester && strcmp(name, plan->point) == 0 && atomic_fetch_add(&plan->deaths, 1) == 0) {
        gate_open(gate);
        becomes(&plan->wanted, 1);
    }
    return false;
}

static int crash_at_gate(const void *in, void *out) {
    gate_task(in, out);
    abort();
}

static int tell_and_last(const void *in, void *out) {
    (void)in, (void)out;
    atomic_store(&plan->wanted, 1);
    sleep_ms(300);
    return 0;
}

/* Whatever the one worker went on to since: `next_is_job`, another job's item, or a task in its next life. */
static void kill_late(const char *point, pool_fn *fn, bool next_is_job) {
    gate = shared(sizeof *gate);
    watch_point(point, wait_at_point);
    struct pool *pool = pool_of(1);
    struct pool_job job = {.fn = fn, POOL_IN(&gate), .count = 1},
                    other = {.fn = tell_and_last, .count = 1};
    struct future *killed, *next;
    assert_ok(pool_map_async(pool, &job, &killed));
    assert_true(gate_reached(gate, 1));
    if (next_is_job) assert_ok(pool_map_async(pool, &other, &next));
    else next = submit(pool, tell_and_last, NULL, 0, 0);
    assert_ok(future_kill(killed));
    assert_true(atomic_load(&plan->deaths) > 0);
    assert_ok(finish(next, NULL));
    assert_any_of(finish(killed, NULL), 0, POOL_ECANCELLED);
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(a_kill_that_is_late_hits_nothing_else) {
    kill_late("to be killed", gate_task, true);
    kill_late("swapped to killed", crash_at_gate, false);
}

TEST_CASE(between_recording_items_and_beginning_them) {
    COSTS_NOTHING("recorded");
}
TEST_CASE(between_finishing_a_chunk_and_marking_it) {
    COSTS_NOTHING("finished");
}
TEST_CASE(between_marking_a_chunk_and_putting_it_away) {
    COSTS_NOTHING("marked");
}
TEST_CASE(between_leaving_a_job_and_saying_so) {
    COSTS_NOTHING("left");
}

/* In a worker: whether it lingered in the job that it is in. */
static bool lingered;

/* deaths: how often one lingered; wanted: how often one that had then told the caller. */
static bool note_lingering(const char *name) {
    if (getpid() == tester) return false;
    if (strcmp(name, "entered") == 0) lingered = false;
    if (strcmp(name, "announced") == 0 && lingered) atomic_fetch_add(&plan->wanted, 1);
    if (strcmp(name, "lingering") != 0) return false;
    lingered = true;
    /* With the caller. The other is at work until it sees this. */
    if (pp_cpu_here() != atomic_load(&plan->begun[0])) abort();
    if (atomic_fetch_add(&plan->deaths, 1) % 4 == 3) raise(SIGKILL);
    return false;
}

/* On the caller's CPU it is over once the caller must be asleep, in the worker's first turn or in a later one;
 * elsewhere not before somebody lingers. */
static int lopsided_item(const void *in, void *out) {
    (void)in;
    int before = atomic_load(&plan->deaths);
    bool with_caller = pp_cpu_here() == atomic_load(&plan->begun[0]);
    uint64_t length = !with_caller ? 20000000U : before % 2 ? 500000U : 2000000U;
    for (uint64_t until = pp_now() + length; pp_now() < until;)
        if (!with_caller && atomic_load(&plan->deaths) != before) break;
    *(int *)out = 1;
    return 0;
}

/* In a child, for it stays on one CPU; its workers are on one each. */
static int run_lopsided_jobs(void *unused) {
    (void)unused;
    struct pool_options options = test_options(2);
    options.pin = true;
    struct pool *pool;
    tester = getpid();
    pp_fault = note_lingering;
    EXPECT(pool_create(&options, &pool) == 0);
    pp_cpu_pin(0);
    atomic_store(&plan->begun[0], pp_cpu_here());
    for (int64_t start = now_ms(); atomic_load(&plan->wanted) < 10 && now_ms() - start < PATIENCE / 2;) {
        int out[2] = {0};
        struct pool_job job = {.fn = lopsided_item, POOL_OUT(out), .count = 2, .chunk = 1};
        EXPECT(pool_map(pool, &job) == 0);
        EXPECT(out[0] == 1 && out[1] == 1);
    }
    EXPECT(atomic_load(&plan->wanted) >= 10);
    EXPECT(atomic_load(&plan->deaths) >= 4);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(who_is_with_the_caller_lingers_and_tells_it) {
    if (pp_cpu_here() < 0 || pool_cpu_count() < 2) return;
    plan = shared(sizeof *plan);
    assert_child_passes(run_lopsided_jobs, NULL);
}

/* At its sixth time at this point, a worker sleeps past its item's time-out. */
static bool sleep_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, "item ran") != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 5) sleep_ms(60000);
    return false;
}

TEST_CASE(overdue_between_running_an_item_and_ending_it) {
    plan = shared(sizeof *plan);
    tester = getpid();
    pp_fault = sleep_at_point;
    struct pool *pool = pool_of(1);
    static long in[100], out[100];
    int status[100];
    for (long i = 0; i < 100; i++) in[i] = i;
    struct pool_job job = {.fn = counted_item, POOL_IN(in), POOL_OUT(out), .count = 100, .chunk = 100, .timeout = 200,
                           .status = status};
    assert_code(pool_map(pool, &job), POOL_EDEADLINE);
    for (long i = 0; i < 100; i++) {
        assert_code(status[i], i == 5 ? POOL_EDEADLINE : 0);
        if (i != 5) assert_int_equal(out[i], i * i);
        assert_int_equal(atomic_load(&plan->items_begun[i]), 1);
    }
    pool_destroy(pool);
    pp_fault = NULL;
}

static bool stop_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 0) raise(SIGSTOP);
    return false;
}

/* Its worker does not come to announce it. With `others` a task waits for another, so that all outcomes are taken
 * in. */
static void get_unannounced(bool others) {
    watch_point("published", stop_at_point);
    struct pool *pool = pool_of(1);
    pid_t worker = -1;
    struct future *first = submit(pool, pid_task, NULL, 0, sizeof worker), *after = NULL;
    struct pool_task task = {.fn = pid_task, .out_size = sizeof worker, .after = &first, .after_count = 1};
    if (others) assert_ok(pool_submit(pool, &task, &after));
    assert_true(becomes(&plan->deaths, 1));
    assert_ok(future_get(first, &worker, PATIENCE));
    assert_int_equal(kill(worker, SIGCONT), 0);
    future_free(first);
    if (others) assert_ok(finish(after, NULL));
    worker = worker_of(pool);
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(an_outcome_that_nobody_has_announced_is_got) {
    get_unannounced(false);
    get_unannounced(true);
}

/* Once: until the caller has lost patience with what is about to begin; and the kill comes later still. */
static bool dawdle_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0 || atomic_fetch_add(&plan->deaths, 1) > 0) return false;
    const struct pp_shared *memory = pp_call_here()->shared;
    uint64_t ticket = atomic_load(&memory->records[0].current);
    const _Atomic uint64_t *state = &memory->outcomes[pp_ticket_slot(ticket)].state;
    pid_t supervisor = getppid();
    kill(supervisor, SIGSTOP);
    for (int64_t start = now_ms(); pp_phase_of(atomic_load(state)) == PP_PENDING && now_ms() - start < PATIENCE;)
        sleep_ms(1);
    if (fork() != 0) return false;
    sleep_ms(130);
    kill(supervisor, SIGCONT);
    _exit(0);
}

static int slow_pid_task(const void *in, void *out) {
    sleep_ms(50);
    return pid_task(in, out);
}

/* It is killed, since it seems to run what it has not begun; but no task with it, not even the next that it could
 * begin. */
TEST_CASE(who_is_late_to_begin_loses_nothing) {
    watch_point("about to begin", dawdle_at_point);
    struct pool *pool = pool_of(1);
    struct future *futures[4];
    for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit(pool, slow_pid_task, NULL, 0, sizeof(pid_t));
    for (size_t i = 0; i < COUNT(futures); i++) {
        pid_t worker = 0;
        assert_ok(finish(futures[i], &worker));
        assert_true(worker > 0);
    }
    struct pool_stats stats = {.room = 0};
    assert_ok(pool_stats(pool, &stats));
    assert_int_equal(stats.died, 1);
    pool_destroy(pool);
    pp_fault = NULL;
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(before_it_reads_anything),
        TEST(between_taking_a_ticket_and_beginning),
        TEST(right_after_beginning),
        TEST(between_running_and_publishing),
        TEST(between_publishing_and_announcing),
        TEST(between_announcing_and_waking_the_caller),
        TEST(an_outcome_that_nobody_has_announced_is_got),
        TEST(who_is_late_to_begin_loses_nothing),
        TEST(upon_entering_a_job),
        TEST(between_claiming_items_and_recording_them),
        TEST(between_recording_items_and_beginning_them),
        TEST(a_kill_stops_what_is_recorded_and_not_begun),
        TEST(a_kill_between_two_items_costs_none),
        TEST(a_kill_between_two_items_is_heeded_by_a_thread),
        TEST(a_kill_that_is_late_hits_nothing_else),
        TEST(between_finishing_a_chunk_and_marking_it),
        TEST(between_marking_a_chunk_and_putting_it_away),
        TEST(between_leaving_a_job_and_saying_so),
        TEST(who_is_with_the_caller_lingers_and_tells_it),
        TEST(overdue_between_running_an_item_and_ending_it),
    };
    return run_group("points", tests, COUNT(tests), argc, argv);
}
