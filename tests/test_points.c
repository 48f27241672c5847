/* A worker dies, or is killed, between two steps of its work: at each point where that could lose a task or run it
 * twice; or a process stands still there, where a wake-up could be lost. The points are the PP_POINTs of the worker, of
 * the supervisor, and of the caller where it kills, in the library that is compiled with PP_FAULTS. */
#include "support.h"

#include <poll.h>
#include <signal.h>

#include "pool/pool.h"
#include "shared/record.h"
#include "shared/state.h"
#include "shared/ticket.h"
#include "base/sys.h"
#include "worker/task.h"

enum { TASKS = 200, ITEMS = 2000 };

/* Shared with the workers: where a worker dies, how many deaths are wanted and were, and how often each task and item
 * was started. */
struct plan {
    char point[32];
    atomic_int deaths, wanted, supervisor_waits;
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

/* Returns how many tasks ended with POOL_EDIED; asserts that all others are right, and that none was started twice. */
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

/* From now on each PP_POINT calls `fault`. */
static void watch_point(const char *point, bool (*fault)(const char *name)) {
    plan = shared(sizeof *plan);
    snprintf(plan->point, sizeof plan->point, "%s", point);
    tester = getpid();
    pp_fault = fault;
}

/* most: how many tasks or items the deaths at this point may lose in all. */
static void die_at(const char *point, int wanted, int most) {
    static const size_t chunks[] = {0, 1, 7};
    for (size_t c = 0; c < COUNT(chunks); c++) {
        watch_point(point, die_at_point);
        plan->wanted = wanted;
        struct pool *pool = pool_of(2);
        if (strcmp(point, "dozing") == 0) assert_true(becomes(&plan->deaths, wanted)); /* while there is no work */
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

TEST_CASE(a_death_before_a_worker_reads_anything_loses_nothing) {
    COSTS_NOTHING("dozing");
}
TEST_CASE(a_death_between_claiming_a_task_and_starting_it_loses_nothing) {
    COSTS_NOTHING("taken");
}
TEST_CASE(a_death_right_after_starting_a_task_loses_one) {
    COSTS_ONE_EACH("begun");
}
TEST_CASE(a_death_between_running_a_task_and_publishing_its_result_loses_one) {
    COSTS_ONE_EACH("ran");
}
TEST_CASE(a_death_between_publishing_a_result_and_announcing_it_loses_nothing) {
    COSTS_NOTHING("published");
}
TEST_CASE(a_death_between_announcing_a_result_and_waking_the_caller_loses_nothing) {
    COSTS_NOTHING("announced");
}
TEST_CASE(a_death_upon_entering_a_job_loses_nothing) {
    COSTS_NOTHING("entered");
}
TEST_CASE(a_death_between_claiming_items_and_recording_them_loses_nothing) {
    COSTS_NOTHING("claimed");
}
static struct gate *gate;

static bool wait_when_recorded(const char *name) {
    if (getpid() != tester && strcmp(name, "recorded") == 0) gate_pass(gate);
    return false;
}

TEST_CASE(a_kill_stops_recorded_items_that_have_not_started) {
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

/* The first worker at this point waits at the gate. */
static bool stay_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 0) gate_pass(gate);
    return false;
}

TEST_CASE(a_kill_between_two_items_loses_none) {
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

/* A thread cannot be killed: it obeys the kill by itself, before the next part or when it leaves the job. */
TEST_CASE(a_thread_obeys_a_kill_between_two_items) {
    static const char *const points[] = {"recorded", "marked"};
    for (size_t p = 0; p < COUNT(points); p++) {
        static long in = 7, out;
        gate = shared(sizeof *gate);
        watch_point(points[p], stay_at_point);
        tester = -1; /* the threads of the pool have the same process ID */
        struct pool_options options = test_options(1);
        options.backend = POOL_THREADS;
        struct pool *pool = pool_from(&options);
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

/* At this point the caller waits until the worker that it is about to kill runs something else. */
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

static int note_and_sleep(const void *in, void *out) {
    (void)in, (void)out;
    atomic_store(&plan->wanted, 1);
    sleep_ms(300);
    return 0;
}

/* Kills when the only worker runs something else: with `next_is_job` an item of another job, else a task after the
 * worker was replaced. */
static void kill_late(const char *point, pool_fn *fn, bool next_is_job) {
    gate = shared(sizeof *gate);
    watch_point(point, wait_at_point);
    struct pool *pool = pool_of(1);
    struct pool_job job = {.fn = fn, POOL_IN(&gate), .count = 1},
                    other = {.fn = note_and_sleep, .count = 1};
    struct future *killed, *next;
    assert_ok(pool_map_async(pool, &job, &killed));
    assert_true(gate_reached(gate, 1));
    if (next_is_job) assert_ok(pool_map_async(pool, &other, &next));
    else next = submit(pool, note_and_sleep, NULL, 0, 0);
    assert_ok(future_kill(killed));
    assert_true(atomic_load(&plan->deaths) > 0);
    assert_ok(finish(next, NULL));
    assert_any_of(finish(killed, NULL), 0, POOL_ECANCELLED);
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(a_late_kill_hits_no_other_task) {
    kill_late("to be killed", gate_task, true);
    kill_late("swapped to killed", crash_at_gate, false);
}

TEST_CASE(a_death_between_recording_items_and_starting_them_loses_nothing) {
    COSTS_NOTHING("recorded");
}
TEST_CASE(a_death_between_finishing_a_chunk_and_marking_it_loses_nothing) {
    COSTS_NOTHING("finished");
}
TEST_CASE(a_death_between_marking_a_chunk_and_clearing_the_record_loses_nothing) {
    COSTS_NOTHING("marked");
}
TEST_CASE(a_death_between_leaving_a_job_and_announcing_it_loses_nothing) {
    COSTS_NOTHING("left");
}

/* The sixth time that the worker is at this point, it sleeps beyond the time-out of its item. */
static bool sleep_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, "item ran") != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 5) sleep_ms(60000);
    return false;
}

TEST_CASE(an_item_that_ran_but_has_not_ended_can_be_overdue) {
    plan = shared(sizeof *plan);
    tester = getpid();
    pp_fault = sleep_at_point;
    struct pool *pool = pool_of(1);
    static long in[100], out[100];
    int status[100];
    for (long i = 0; i < 100; i++) in[i] = i;
    struct pool_job job = {.fn = counted_item, POOL_IN(in), POOL_OUT(out), .count = 100, .chunk = 100, .timeout = 1000,
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

enum { PATIENT = 1000, MOMENT = 30 }; /* ms */

static int wait_at_gate(const void *in, void *out) {
    (void)out;
    if (*(const int *)in == 0) return gate_pass(gate);
    atomic_fetch_add(&plan->wanted, 1);
    sleep_ms(MOMENT);
    return 0;
}

/* Runs an item that takes longer than its time-out and ends while the supervisor is at this point, and another in the
 * same chunk. Returns the outcome of the first. */
static int end_late(const char *point, bool (*fault)(const char *name)) {
    static const int in[2] = {0, 1};
    int status[2];
    gate = shared(sizeof *gate);
    watch_point(point, fault);
    struct pool *pool = pool_of(1);
    struct pool_job job = {.fn = wait_at_gate, .in = in, .in_size = sizeof *in, .count = 2, .chunk = 2,
                           .timeout = PATIENT, .status = status};
    int code = pool_map(pool, &job);
    assert_any_of(code, 0, POOL_EDEADLINE);
    assert_true(atomic_load(&plan->deaths) > 0); /* the point was reached */
    assert_code(status[1], 0);
    assert_int_equal(atomic_load(&plan->wanted), 1); /* it was begun once */
    pool_destroy(pool);
    pp_fault = NULL;
    return status[0];
}

/* The supervisor stands still until the worker is at the next item. */
static bool wait_for_next_item(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 0) {
        gate_open(gate);
        becomes(&plan->wanted, 1);
    }
    return false;
}

TEST_CASE(an_item_that_ends_as_it_is_found_overdue_costs_no_other_its_time) {
    if (!pp_barrier_exists()) return; /* then the end of each item is a swap: see the tests before */
    assert_code(end_late("overdue", wait_for_next_item), 0);
    assert_code(end_late("looking again", wait_for_next_item), 0);
}

/* The supervisor stands still until the worker should be at the next item. */
static bool let_item_end(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 0) {
        gate_open(gate);
        sleep_ms(MOMENT);
    }
    return false;
}

TEST_CASE(an_item_that_ends_once_it_is_overdue_is_the_one_that_is_killed) {
    if (!pp_barrier_exists()) return; /* then the end of each item is a swap: see the tests before */
    assert_code(end_late("stopped", let_item_end), POOL_EDEADLINE);
}

static bool stop_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    if (atomic_fetch_add(&plan->deaths, 1) == 0) raise(SIGSTOP);
    return false;
}

/* Stops the worker before it announces the outcome. With `others` a task depends on it, so that all outcomes are
 * collected. */
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

TEST_CASE(a_published_outcome_is_got_before_it_is_announced) {
    get_unannounced(false);
    get_unannounced(true);
}

/* The first worker at this point stays there for so long that the caller takes it to be at nothing. Then it goes on;
 * the supervisor takes its commands later. */
static bool delay_at_point(const char *name) {
    while (getppid() == tester && strcmp(name, "read") == 0 && atomic_load(&plan->supervisor_waits)) sleep_ms(1);
    if (getpid() == tester || strcmp(name, plan->point) != 0 || atomic_fetch_add(&plan->deaths, 1) > 0) return false;
    atomic_store(&plan->supervisor_waits, 1);
    sleep_ms(1000);
    if (fork() != 0) return false;
    (void)becomes(&plan->wanted, 3);
    atomic_store(&plan->supervisor_waits, 0);
    _exit(0);
}

/* wanted: how many have begun. */
static int slow_pid_task(const void *in, void *out) {
    atomic_fetch_add(&plan->wanted, 1);
    sleep_ms(50);
    return pid_task(in, out);
}

/* Runs tasks, and returns how many workers have died. */
static uint64_t run_slow_tasks(pool_fn *fn) {
    struct pool *pool = pool_of(1);
    struct future *futures[4];
    for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit(pool, fn, NULL, 0, sizeof(pid_t));
    for (size_t i = 0; i < COUNT(futures); i++) {
        pid_t worker = 0;
        assert_ok(finish(futures[i], &worker));
        assert_true(worker > 0);
    }
    struct pool_stats stats = {.room = 0};
    assert_ok(pool_stats(pool, &stats));
    pool_destroy(pool);
    return stats.died;
}

TEST_CASE(a_worker_that_was_at_nothing_for_long_and_goes_on_is_not_killed) {
    watch_point("about to begin", delay_at_point);
    assert_int_equal(run_slow_tasks(slow_pid_task), 0);
    pp_fault = NULL;
}

/* The first worker at this point stays there. */
static bool hang_at_point(const char *name) {
    if (getpid() == tester || strcmp(name, plan->point) != 0) return false;
    while (atomic_fetch_add(&plan->deaths, 1) == 0)
        for (;;) pause();
    return false;
}

TEST_CASE(a_worker_that_hangs_before_it_starts_its_task_is_killed_and_loses_nothing) {
    watch_point("about to begin", hang_at_point);
    assert_int_equal(run_slow_tasks(slow_pid_task), 1);
    pp_fault = NULL;
}

/* One worker stands still at the point while the caller looks, once and again; another runs a task and must not be
 * disturbed. */
static void stand_still_at(const char *point) {
    gate = shared(sizeof *gate);
    struct gate *others = shared(sizeof *others);
    watch_point(point, stay_at_point);
    struct pool *pool = pool_of(2);
    struct future *other = submit_gated(pool, others);
    assert_true(gate_reached(others, 1));
    struct future *task = submit(pool, counted_task, &(long){3}, sizeof(long), sizeof(long)), *map = NULL;
    long in[2] = {4, 5}, out[2] = {0}, square = 0;
    struct pool_job job = {.fn = counted_item, POOL_IN(in), POOL_OUT(out), .count = 2, .chunk = 1};
    assert_ok(pool_map_async(pool, &job, &map));
    assert_true(gate_reached(gate, 1));
    assert_code(future_get(other, NULL, 1000), POOL_ETIMEDOUT);
    gate_open(gate);
    assert_ok(finish(task, &square));
    assert_int_equal(square, 9);
    assert_ok(finish(map, NULL));
    assert_true(out[0] == 16 && out[1] == 25);
    assert_int_equal(atomic_load(&plan->begun[3]), 1);
    for (int i = 4; i < 6; i++) assert_int_equal(atomic_load(&plan->items_begun[i]), 1);
    gate_open(others);
    assert_ok(finish(other, NULL));
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(a_worker_that_stands_still_between_two_steps_costs_nothing) {
    static const char *const points[] = {"taken", "about to begin", "ran", "published", "announced", "entered",
                                         "claimed", "recorded", "finished", "marked", "leaving", "left"};
    for (size_t i = 0; i < COUNT(points); i++) stand_still_at(points[i]);
}

/* ---- Wake-ups that must not be lost: one process stands still between two steps of a protocol. */

static bool supervisor_stays_at_point(const char *name) {
    bool first = getpid() != tester && strcmp(name, plan->point) == 0 && atomic_fetch_add(&plan->deaths, 1) == 0;
    if (first) gate_pass(gate);
    return false;
}

TEST_CASE(a_task_that_comes_while_a_worker_is_started_gets_the_next_worker) {
    struct gate *first_gate = shared(sizeof *first_gate);
    gate = shared(sizeof *gate);
    watch_point("starts taken", supervisor_stays_at_point);
    struct pool_options options = test_options(2);
    options.lazy = true;
    struct pool *pool;
    assert_ok(pool_create(&options, &pool));
    struct future *first = submit_gated(pool, first_gate);
    assert_true(gate_reached(gate, 1));
    struct future *second = submit_square(pool, 7);
    gate_open(gate);
    assert_square(second, 7); /* while the first task still runs */
    gate_open(first_gate);
    assert_ok(finish(first, NULL));
    pool_destroy(pool);
    pp_fault = NULL;
}

/* A program that only watches pool_fd() must learn that the future is done. */
static void await_by_fd(struct pool *pool, struct future *future) {
    struct pollfd fd = {.fd = pool_fd(pool), .events = POLLIN};
    while (!future_done(future)) {
        assert_int_equal(poll(&fd, 1, PATIENCE), 1);
        assert_true(pool_poll(pool, 0) >= 0);
    }
}

/* deaths: workers whose turn was over; the first of them waits at the gate. */
static bool wait_when_turn_is_over(const char *name) {
    bool first =
        getpid() != tester && strcmp(name, "turn over") == 0 && atomic_fetch_add(&plan->deaths, 1) == 0;
    if (first) gate_pass(gate);
    return false;
}

/* Longer than a turn. */
static int slow_item(const void *in, void *out) {
    sleep_ms(3);
    return counted_item(in, out);
}

TEST_CASE(the_end_of_a_job_is_told_by_a_worker_whose_turn_was_over_before_it) {
    struct gate *tasks_gate = shared(sizeof *tasks_gate);
    gate = shared(sizeof *gate);
    watch_point("", wait_when_turn_is_over);
    struct pool *pool = pool_of(2);
    assert_true(pool_fd(pool) >= 0);
    long in[3] = {0, 1, 2}, out[3];
    struct pool_job job = {.fn = slow_item, POOL_IN(in), POOL_OUT(out), .count = 3, .chunk = 1};
    struct future *map, *tasks[2];
    assert_ok(pool_map_async(pool, &job, &map));
    assert_true(gate_reached(gate, 1));
    for (int i = 0; i < 3; i++) assert_true(becomes(&plan->items_begun[i], 1));
    /* The other worker leaves the job, in which nothing is left, and begins one of these; then both are busy. */
    for (int i = 0; i < 2; i++) tasks[i] = submit_gated(pool, tasks_gate);
    assert_true(gate_reached(tasks_gate, 1));
    gate_open(gate);
    assert_true(gate_reached(tasks_gate, 2));
    await_by_fd(pool, map);
    assert_ok(finish(map, NULL));
    gate_open(tasks_gate);
    for (int i = 0; i < 2; i++) assert_ok(finish(tasks[i], NULL));
    pool_destroy(pool);
    pp_fault = NULL;
}

/* deaths: deaths that were announced; the first supervisor waits at the gate. wanted: how often a worker has left. */
static bool wait_when_death_is_announced(const char *name) {
    if (getpid() == tester) return false;
    if (strcmp(name, "left") == 0) atomic_fetch_add(&plan->wanted, 1);
    return supervisor_stays_at_point(name);
}

/* Worker 1 dies of its item. */
static int deadly_for_worker_1(const void *in, void *out) {
    gate_task(in, out);
    const struct pp_shared *memory = pp_call_here()->shared;
    if (atomic_load(&memory->control->pids[1]) != (uint32_t)getpid()) return 0;
    becomes(&plan->wanted, 1); /* the other worker has left the job */
    return raise(SIGKILL);
}

TEST_CASE(a_death_is_told_though_the_program_looks_while_the_record_is_cleared) {
    struct gate *items_gate = shared(sizeof *items_gate), *in[2] = {items_gate, items_gate};
    gate = shared(sizeof *gate);
    watch_point("death announced", wait_when_death_is_announced);
    struct pool *pool = pool_of(2);
    assert_true(pool_fd(pool) >= 0);
    struct pool_job job = {.fn = deadly_for_worker_1, POOL_IN(in), .count = 2, .chunk = 1};
    struct future *map;
    assert_ok(pool_map_async(pool, &job, &map));
    assert_true(gate_reached(items_gate, 2));
    assert_ok(pool_resize(pool, 1)); /* no worker takes the place of the dead one, so none enters the job after it */
    gate_open(items_gate);
    assert_true(gate_reached(gate, 1));
    assert_false(future_done(map));
    sleep_ms(20); /* if the look has woken the other worker, that worker finds the dead one in the job */
    gate_open(gate);
    await_by_fd(pool, map);
    assert_code(finish(map, NULL), POOL_EDIED);
    pool_destroy(pool);
    pp_fault = NULL;
}

static struct pool *watched;

/* As a worker could, that has said that its task has failed. */
static bool change_codes(const char *name) {
    if (getpid() != tester || strcmp(name, "code read") != 0) return false;
    for (uint32_t slot = 0; slot < watched->slots.fresh; slot++) watched->shared.outcomes[slot].code = 0;
    return false;
}

static int fail_with_3(const void *in, void *out) {
    (void)in, (void)out;
    return 3;
}

TEST_CASE(a_code_that_changes_after_it_was_read_is_not_read_again) {
    watch_point("code read", change_codes);
    struct pool_failure why;
    watched = pool_of(1);
    struct future *future = submit(watched, fail_with_3, NULL, 0, 0);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EFAILED);
    assert_ok(future_failure(future, &why));
    assert_int_equal(why.code, 3);
    future_free(future);
    pp_fault = NULL;
    pool_destroy(watched);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_death_before_a_worker_reads_anything_loses_nothing),
        TEST(a_death_between_claiming_a_task_and_starting_it_loses_nothing),
        TEST(a_death_right_after_starting_a_task_loses_one),
        TEST(a_death_between_running_a_task_and_publishing_its_result_loses_one),
        TEST(a_death_between_publishing_a_result_and_announcing_it_loses_nothing),
        TEST(a_death_between_announcing_a_result_and_waking_the_caller_loses_nothing),
        TEST(a_published_outcome_is_got_before_it_is_announced),
        TEST(a_code_that_changes_after_it_was_read_is_not_read_again),
        TEST(a_worker_that_was_at_nothing_for_long_and_goes_on_is_not_killed),
        TEST(a_worker_that_hangs_before_it_starts_its_task_is_killed_and_loses_nothing),
        TEST(a_worker_that_stands_still_between_two_steps_costs_nothing),
        TEST(a_death_upon_entering_a_job_loses_nothing),
        TEST(a_death_between_claiming_items_and_recording_them_loses_nothing),
        TEST(a_death_between_recording_items_and_starting_them_loses_nothing),
        TEST(a_kill_stops_recorded_items_that_have_not_started),
        TEST(a_kill_between_two_items_loses_none),
        TEST(a_thread_obeys_a_kill_between_two_items),
        TEST(a_late_kill_hits_no_other_task),
        TEST(a_death_between_finishing_a_chunk_and_marking_it_loses_nothing),
        TEST(a_death_between_marking_a_chunk_and_clearing_the_record_loses_nothing),
        TEST(a_death_between_leaving_a_job_and_announcing_it_loses_nothing),
        TEST(an_item_that_ran_but_has_not_ended_can_be_overdue),
        TEST(an_item_that_ends_as_it_is_found_overdue_costs_no_other_its_time),
        TEST(an_item_that_ends_once_it_is_overdue_is_the_one_that_is_killed),
        TEST(a_task_that_comes_while_a_worker_is_started_gets_the_next_worker),
        TEST(the_end_of_a_job_is_told_by_a_worker_whose_turn_was_over_before_it),
        TEST(a_death_is_told_though_the_program_looks_while_the_record_is_cleared),
    };
    return run_group("points", tests, COUNT(tests), argc, argv);
}
