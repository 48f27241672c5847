/* Making, sizing, shutting down and ending a pool. */
#include "support.h"

#include <limits.h>
#include <signal.h>

#ifdef __linux__
#include <sched.h>
#endif

TEST_CASE(a_pool_is_made_and_destroyed) {
    pool_destroy(NULL);
    struct pool *pool = NULL;
    struct pool_options options = test_options(0);
    assert_ok(pool_create(&options, &pool));
    pool_destroy(pool); /* at once, perhaps before workers have started */
    assert_ok(pool_create(&options, &pool));
    assert_map_squares(pool, 64, 0);
    pool_destroy(pool);
}

TEST_CASE(each_code_has_a_name_and_a_text_and_the_library_a_version) {
    static const struct { int code; const char *name; } codes[] = {
        {POOL_END, "POOL_END"}, {POOL_EINVAL, "POOL_EINVAL"}, {POOL_EDIED, "POOL_EDIED"},
        {POOL_EDEPENDENCY, "POOL_EDEPENDENCY"}, {0, "0"}, {1, "unknown"}, {-1000, "unknown"}};
    for (size_t i = 0; i < COUNT(codes); i++)
        assert_int_equal(strcmp(pool_error_name(codes[i].code), codes[i].name), 0);
    for (int code = POOL_EINVAL; strcmp(pool_error_name(code), "unknown") != 0; code--) {
        const char *name = pool_error_name(code), *text = pool_strerror(code);
        assert_int_equal(strncmp(name, "POOL_E", 6), 0);
        assert_int_equal(strncmp(text, name, strlen(name)), 0);
        assert_int_equal(text[strlen(name)], ':');
    }
    int major, minor, patch;
    assert_int_equal(sscanf(pool_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    assert_int_equal(major * 10000 + minor * 100 + patch, PARPOOL_VERSION);
}

TEST_CASE(null_options_are_the_defaults) {
    struct pool *pool = NULL;
    assert_ok(pool_create(NULL, &pool));
    assert_map_squares(pool, 64, 0);
    pool_destroy(pool);
}

TEST_CASE(pool_destroy_leaves_nothing_behind) {
    struct holdings before;
    look(&before);
    struct pool *pool = pool_of(4);
    assert_map_squares(pool, 64, 0);
    pool_destroy(pool);
    pid_t pids[4];
    assert_int_equal(descendants(getpid(), pids, 4), 0);
    struct holdings after;
    look(&after);
    assert_int_equal(after.process_count, before.process_count); /* without a wait */
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.shared_mappings, before.shared_mappings);
}

TEST_CASE(a_hundred_pools_in_turn_leak_no_memory) {
    long before = 0, before_mappings = 0;
    for (int i = 0; i < 100; i++) {
        if (i == 20) { /* by now the C library's own memory does not grow any more */
            before = resident_kib();
            before_mappings = mappings(false);
        }
        struct pool *pool = pool_of(1 + i % 3);
        struct future *futures[100];
        submit_squares(pool, futures, 100);
        assert_map_squares(pool, 64, 0);
        void *data = pool_alloc(pool, 100000);
        assert_non_null(data);
        for (int k = 0; k < 50; k++) assert_ok(finish(futures[k], NULL));
        pool_destroy(pool); /* frees `data`, too */
        for (int k = 50; k < 100; k++) future_free(futures[k]);
    }
    if (instrumented()) return;
    assert_true(resident_kib() - before < 2048);
    assert_true(mappings(false) - before_mappings < 8);
}

TEST_CASE(a_hundred_thousand_tasks_leak_no_memory) {
    enum { ITEMS = 100000 };
    long before = 0;
    struct future **futures = malloc(ITEMS * sizeof *futures);
    long *out = malloc(ITEMS * sizeof *out);
    memset(futures, 1, ITEMS * sizeof *futures);
    memset(out, 1, ITEMS * sizeof *out);
    struct pool *pool = pool_of(2);
    for (int round = 0; round < 4; round++) {
        if (round == 1) before = resident_kib();
        submit_squares(pool, futures, ITEMS);
        for (long i = 0; i < ITEMS; i++) assert_ok(finish(futures[i], NULL));
        struct pool_job job = {.fn = square_task, POOL_IN(out), POOL_OUT(out), .count = ITEMS};
        memset(out, 0, ITEMS * sizeof *out);
        assert_ok(pool_map(pool, &job));
    }
    if (!instrumented()) assert_true(resident_kib() - before < 8192);
    pool_destroy(pool);
    free(futures);
    free(out);
}

/* A pool with more tasks at a gate than it has workers: as many as there are workers arrive. */
struct counted_pool {
    struct gate *gate;
    struct pool *pool;
    struct future *futures[80];
};

static void begin_count(struct counted_pool *c, int asked, int least) {
    c->gate = shared(sizeof *c->gate);
    c->pool = pool_of(asked);
    for (size_t i = 0; i < COUNT(c->futures); i++) c->futures[i] = submit_gated(c->pool, c->gate);
    assert_true(gate_reached(c->gate, least));
}

static int end_count(struct counted_pool *c) {
    int count = c->gate->arrived;
    gate_open(c->gate);
    for (size_t i = 0; i < COUNT(c->futures); i++) assert_ok(finish(c->futures[i], NULL));
    pool_destroy(c->pool);
    return count;
}

TEST_CASE(a_pool_has_as_many_workers_as_asked_for) {
    int cpus = pool_cpu_count();
    const struct {
        int asked, least, most;
    } cases[] = {{1, 1, 1},        {2, 2, 2},      {40, 40, 40}, {-1000, 1, 1}, {INT_MIN, 1, 1},
                 {0, cpus, cpus}, {-1, 1, cpus}, {-2, 1, cpus > 1 ? cpus - 1 : 1}};
    size_t count = cpus > 60 ? 5 : COUNT(cases); /* there are tasks for 80 workers */
    struct counted_pool pools[COUNT(cases)];
    for (size_t i = 0; i < count; i++) begin_count(&pools[i], cases[i].asked, cases[i].least);
    sleep_ms(100); /* if there were more workers, their tasks would arrive */
    for (size_t i = 0; i < count; i++) {
        int workers = end_count(&pools[i]);
        assert_true(workers >= cases[i].least && workers <= cases[i].most);
    }
}

TEST_CASE(more_than_1024_workers_are_refused_and_hundreds_are_not) {
    static const int bad[] = {1025, 2000, INT_MAX};
    struct pool *const untouched = (struct pool *)&bad;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct pool *pool = untouched;
        struct pool_options options = test_options(bad[i]);
        assert_code(pool_create(&options, &pool), POOL_EINVAL);
        assert_true(pool == untouched);
    }
    struct pool *pool = pool_of((int)scaled(300));
    assert_map_squares(pool, 64, 0);
    pool_destroy(pool);
}

struct start {
    atomic_int starts;
};
static int given;

static int note_start(void *argument) {
    struct start *start = argument;
    given = 5;
    atomic_fetch_add(&start->starts, 1);
    return 0;
}

static int given_task(const void *in, void *out) {
    *(int *)out = given;
    return in ? raise(SIGKILL) : 0;
}

TEST_CASE(the_initializer_runs_first_in_each_worker_with_its_argument) {
    struct start *start = shared(sizeof *start);
    struct pool_options options = test_options(2);
    options.initializer = note_start;
    options.initializer_arg = start;
    struct pool *pool = pool_from(&options);
    memset(&options, 0xee, sizeof options); /* the library keeps no pointer to it */
    for (int i = 0; i < 10; i++) {
        int seen = 0, die = 1;
        assert_ok(finish(submit(pool, given_task, NULL, 0, sizeof seen), &seen));
        assert_int_equal(seen, 5);
        assert_code(finish(submit(pool, given_task, &die, sizeof die, sizeof seen), NULL), POOL_EDIED);
    }
    assert_int_equal(given, 0);
    assert_true(start->starts >= 10 && start->starts <= 12);
    pool_destroy(pool);
}

static int compare_pids(const void *a, const void *b) {
    pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;
    return (left > right) - (left < right);
}

/* Returns the number of entries of the PID that has the most. */
static int most_of_one(pid_t *pids, size_t count) {
    qsort(pids, count, sizeof *pids, compare_pids);
    int most = 0, here = 0;
    for (size_t i = 0; i < count; i++) {
        here = i > 0 && pids[i] == pids[i - 1] ? here + 1 : 1;
        if (here > most) most = here;
    }
    return most;
}

TEST_CASE(a_worker_is_replaced_after_so_many_tasks) {
    allow_seconds(300);
    static const unsigned limits[] = {1, 7};
    size_t tasks = scaled(2000), items = tasks / 4;
    for (size_t l = 0; l < COUNT(limits); l++) {
        struct pool_options options = test_options(2);
        options.max_tasks_per_worker = limits[l];
        struct pool *pool = pool_from(&options);
        static struct future *futures[2000];
        static pid_t pids[2000];
        for (size_t i = 0; i < tasks; i++) futures[i] = submit(pool, pid_task, NULL, 0, sizeof(pid_t));
        for (size_t i = 0; i < tasks; i++) assert_ok(finish(futures[i], &pids[i]));
        assert_true(most_of_one(pids, tasks) <= (int)limits[l]);
        for (size_t chunk = 0; chunk < 5; chunk += 2) {
            memset(pids, 0, sizeof pids);
            struct pool_job job = {.fn = pid_task, POOL_OUT(pids), .count = items, .chunk = chunk};
            assert_ok(pool_map(pool, &job));
            for (size_t i = 0; i < items; i++) assert_true(pids[i] > 0);
            assert_true(most_of_one(pids, items) <= (int)limits[l]);
        }
        pool_destroy(pool);
    }
}

static void assert_is_closed(struct pool *pool) {
    long in = 1, out = -1;
    int status = 12345;
    struct future *future = NULL;
    struct pool_task task = {.fn = square_task, POOL_IN(&in), .out_size = sizeof out};
    struct pool_job job = {.fn = square_task, POOL_IN(&in), POOL_OUT(&out), .count = 1, .status = &status};
    assert_code(pool_submit(pool, &task, &future), POOL_ECLOSED);
    assert_code(pool_map_async(pool, &job, &future), POOL_ECLOSED);
    assert_code(pool_map(pool, &job), POOL_ECLOSED);
    assert_null(future);
    assert_int_equal(out, -1);
}

TEST_CASE(shutdown_finishes_all_tasks_and_closes_the_pool) {
    struct pool *pool = pool_of(2);
    struct future *futures[1000];
    long *data = pool_alloc(pool, 64);
    data[0] = 77;
    submit_squares(pool, futures, 1000);
    for (int again = 0; again < 3; again++) {
        assert_ok(pool_shutdown(pool, 0, again == 2 ? 0 : -1));
        assert_is_closed(pool);
    }
    assert_ok(pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, 0));
    for (long i = 0; i < 1000; i++) {
        long result = -1;
        assert_true(future_done(futures[i]));
        assert_ok(finish(futures[i], &result));
        assert_int_equal(result, i * i);
    }
    assert_int_equal(data[0], 77);
    pool_free(pool, data);
    pool_destroy(pool);
}

TEST_CASE(shutdown_of_an_idle_pool_returns_at_once) {
    struct pool *pool = pool_of(2);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_is_closed(pool);
    pool_destroy(pool);
}

struct load {
    struct gate *gate;
    struct pool *pool;
    struct future *running, *pending[10];
};

static struct load put_load(void) {
    struct load load = {.gate = shared(sizeof *load.gate)};
    load.pool = pool_of(1);
    load.running = block_worker(load.pool, load.gate);
    for (long i = 0; i < 10; i++) load.pending[i] = submit_square(load.pool, i);
    return load;
}

static void check_load(struct load load, int running, int pending) {
    assert_code(finish(load.running, NULL), running);
    for (long i = 0; i < 10; i++) {
        long result = -1;
        assert_true(future_done(load.pending[i]));
        assert_code(finish(load.pending[i], &result), pending);
        assert_int_equal(result, pending ? -1 : i * i);
    }
    pool_destroy(load.pool);
}

TEST_CASE(a_shutdown_that_times_out_has_closed_the_pool_and_may_be_repeated) {
    struct load load = put_load();
    assert_code(pool_shutdown(load.pool, 0, 0), POOL_ETIMEDOUT);
    assert_is_closed(load.pool);
    int64_t start = now_ms();
    assert_code(pool_shutdown(load.pool, 0, 50), POOL_ETIMEDOUT);
    assert_took(start, 50, PATIENCE);
    gate_open(load.gate);
    assert_ok(pool_shutdown(load.pool, 0, PATIENCE));
    check_load(load, 0, 0);
}

TEST_CASE(shutdown_cancels_waiting_tasks_if_asked_to) {
    struct load load = put_load();
    assert_code(pool_shutdown(load.pool, POOL_CANCEL_PENDING, 0), POOL_ETIMEDOUT);
    for (int i = 0; i < 10; i++) assert_true(future_done(load.pending[i]));
    assert_false(future_done(load.running));
    gate_open(load.gate);
    assert_ok(pool_shutdown(load.pool, 0, PATIENCE));
    check_load(load, 0, POOL_ECANCELLED);
}

TEST_CASE(shutdown_kills_running_tasks_if_asked_to) {
    struct load load = put_load();
    assert_ok(pool_shutdown(load.pool, POOL_KILL_RUNNING, PATIENCE));
    check_load(load, POOL_ECANCELLED, 0);
}

TEST_CASE(shutdown_ends_all_tasks_if_asked_to) {
    struct load load = put_load();
    assert_ok(pool_shutdown(load.pool, POOL_KILL_RUNNING | POOL_CANCEL_PENDING, PATIENCE));
    check_load(load, POOL_ECANCELLED, POOL_ECANCELLED);
}

TEST_CASE(a_later_shutdown_may_have_more_flags) {
    struct load load = put_load();
    assert_code(pool_shutdown(load.pool, 0, 20), POOL_ETIMEDOUT);
    assert_code(pool_shutdown(load.pool, POOL_CANCEL_PENDING, 20), POOL_ETIMEDOUT);
    assert_ok(pool_shutdown(load.pool, POOL_KILL_RUNNING, PATIENCE));
    check_load(load, POOL_ECANCELLED, POOL_ECANCELLED);
}

TEST_CASE(workers_end_with_a_shutdown) {
    struct pool *pool = pool_of(3);
    pid_t worker = worker_of(pool);
    assert_true(alive(worker));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_true(gone_within(worker, PATIENCE));
    pool_destroy(pool);
}

TEST_CASE(destroy_is_bounded_with_work_running_and_queued) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *running[2], *pending[1000];
    for (int i = 0; i < 2; i++) running[i] = submit(pool, forever_task, &gate, sizeof gate, 0);
    submit_squares(pool, pending, 1000);
    assert_true(gate_reached(gate, 2));
    int64_t start = now_ms();
    pool_destroy(pool);
    assert_took(start, 0, 20000);
    for (int i = 0; i < 2; i++) assert_code(finish(running[i], NULL), POOL_ECANCELLED);
    for (int i = 0; i < 1000; i++) assert_code(finish(pending[i], NULL), POOL_ECANCELLED);
}

TEST_CASE(pools_of_one_program_do_not_disturb_each_other) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *first = pool_of(1), *second = pool_of(1), *third = pool_of(1);
    struct future *busy[3] = {submit(first, forever_task, &gate, sizeof gate, 0),
                              submit(second, forever_task, &gate, sizeof gate, 0), submit_gated(third, gate)};
    assert_true(gate_reached(gate, 3));
    pool_destroy(first); /* the other pools hold nothing that delays it */
    assert_code(finish(busy[0], NULL), POOL_ECANCELLED);
    assert_false(future_done(busy[1]));
    assert_false(future_done(busy[2]));
    pool_destroy(second);
    assert_code(finish(busy[1], NULL), POOL_ECANCELLED);
    gate_open(gate);
    assert_ok(finish(busy[2], NULL));
    assert_map_squares(third, 64, 0);
    pool_destroy(third);
}

static size_t make_and_use(struct pool *none, uint64_t number) {
    (void)none, (void)number;
    size_t errors = 0;
    for (int i = 0; i < 20; i++) {
        struct pool_options options = test_options(1 + i % 2);
        struct pool *pool;
        if (pool_create(&options, &pool) != 0) {
            errors++;
            continue;
        }
        long in = i, out = -1;
        struct pool_task task = {.fn = square_task, POOL_IN(&in), .out_size = sizeof out};
        struct future *future;
        if (pool_submit(pool, &task, &future) != 0)
            errors++;
        else {
            errors += future_get(future, &out, PATIENCE) != 0 || out != (long)i * i;
            future_free(future);
        }
        pool_destroy(pool);
    }
    return errors;
}

TEST_CASE(threads_may_make_pools_at_once) {
    assert_no_errors_in_threads(4, make_and_use, NULL);
}

TEST_CASE(each_code_has_a_name_of_its_own) {
    static const int codes[] = {0,
                                POOL_EINVAL,
                                POOL_ENOMEM,
                                POOL_EAGAIN,
                                POOL_ECLOSED,
                                POOL_EBUSY,
                                POOL_ETIMEDOUT,
                                POOL_ECANCELLED,
                                POOL_EFAILED,
                                POOL_EDIED,
                                POOL_EDEADLINE,
                                POOL_EINIT,
                                POOL_EFOREIGN,
                                POOL_ECORRUPT,
                                POOL_EDEPENDENCY};
    for (size_t i = 0; i < COUNT(codes); i++) {
        const char *name = pool_strerror(codes[i]);
        assert_non_null(name);
        assert_true(name[0] != 0 && !strchr(name, '\n'));
        for (size_t k = 0; k < i; k++) {
            assert_true(codes[i] != codes[k]);
            assert_true(strcmp(name, pool_strerror(codes[k])) != 0);
        }
    }
    static const int others[] = {1, -1000, INT_MAX, INT_MIN, POOL_EDEPENDENCY - 1};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_non_null(pool_strerror(others[i]));
        assert_true(pool_strerror(others[i])[0] != 0);
        for (size_t k = 0; k < COUNT(codes); k++)
            assert_true(strcmp(pool_strerror(others[i]), pool_strerror(codes[k])) != 0);
    }
}

#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
static int on_one_cpu(void *argument) {
    (void)argument;
    cpu_set_t all, one;
    EXPECT(sched_getaffinity(0, sizeof all, &all) == 0);
    int before = pool_cpu_count();
    EXPECT(before >= 1 && before <= CPU_COUNT(&all));
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        EXPECT(sched_setaffinity(0, sizeof one, &one) == 0);
        EXPECT(pool_cpu_count() == 1);
    }
    EXPECT(sched_setaffinity(0, sizeof all, &all) == 0);
    EXPECT(pool_cpu_count() == before);
    return 0;
}
#endif

TEST_CASE(pool_cpu_count_respects_the_affinity_mask) {
    assert_true(pool_cpu_count() >= 1);
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    assert_child_passes(on_one_cpu, NULL);
#endif
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_pool_is_made_and_destroyed),
        TEST(each_code_has_a_name_and_a_text_and_the_library_a_version),
        TEST(null_options_are_the_defaults),
        TEST(pool_destroy_leaves_nothing_behind),
        TEST(a_hundred_pools_in_turn_leak_no_memory),
        TEST(a_hundred_thousand_tasks_leak_no_memory),
        TEST(a_pool_has_as_many_workers_as_asked_for),
        TEST(more_than_1024_workers_are_refused_and_hundreds_are_not),
        TEST(the_initializer_runs_first_in_each_worker_with_its_argument),
        TEST(a_worker_is_replaced_after_so_many_tasks),
        TEST(shutdown_finishes_all_tasks_and_closes_the_pool),
        TEST(shutdown_of_an_idle_pool_returns_at_once),
        TEST(a_shutdown_that_times_out_has_closed_the_pool_and_may_be_repeated),
        TEST(shutdown_cancels_waiting_tasks_if_asked_to),
        TEST(shutdown_kills_running_tasks_if_asked_to),
        TEST(shutdown_ends_all_tasks_if_asked_to),
        TEST(a_later_shutdown_may_have_more_flags),
        TEST(workers_end_with_a_shutdown),
        TEST(destroy_is_bounded_with_work_running_and_queued),
        TEST(pools_of_one_program_do_not_disturb_each_other),
        TEST(threads_may_make_pools_at_once),
        TEST(each_code_has_a_name_of_its_own),
        TEST(pool_cpu_count_respects_the_affinity_mask),
    };
    return run_group("pool", tests, COUNT(tests), argc, argv);
}
