/* pool_stats(): what a pool does and has done so far. */
#include "support.h"

#include <signal.h>

static struct pool_stats stats_of(struct pool *pool) {
    struct pool_stats stats = {0};
    assert_ok(pool_stats(pool, &stats));
    return stats;
}

/* Waits until all workers live and none is busy. */
static struct pool_stats settled(struct pool *pool, int workers) {
    int64_t begin = now_ms();
    struct pool_stats stats = stats_of(pool);
    while (stats.idle != workers && now_ms() - begin < PATIENCE) {
        sleep_ms(1);
        stats = stats_of(pool);
    }
    return stats;
}

static int fail_odd(const void *in, void *out) {
    (void)in, (void)out;
    return (int)(task_index() % 2);
}

TEST_CASE(a_new_pool_has_done_nothing) {
    struct pool *pool = pool_of(3);
    struct pool_stats stats = settled(pool, 3);
    assert_int_equal(stats.workers, 3);
    assert_int_equal(stats.idle, 3);
    assert_int_equal(stats.busy, 0);
    assert_true(stats.queued + stats.running + stats.done + stats.failed + stats.died + stats.retried == 0);
    pool_destroy(pool);
}

TEST_CASE(tasks_are_counted_from_queue_to_end) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *futures[10];
    for (int i = 0; i < 10; i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 2));
    struct pool_stats stats = stats_of(pool);
    assert_int_equal(stats.busy, 2);
    assert_int_equal(stats.idle, 0);
    assert_int_equal(stats.running, 2);
    assert_int_equal(stats.queued, 8);
    assert_int_equal(stats.done, 0);
    gate_open(gate);
    for (int i = 0; i < 10; i++) assert_ok(finish(futures[i], NULL));
    stats = settled(pool, 2);
    assert_int_equal(stats.done, 10);
    assert_true(stats.queued + stats.running + stats.failed == 0);
    pool_destroy(pool);
}

TEST_CASE(items_are_counted_as_tasks) {
    struct pool *pool = pool_of(2);
    struct pool_job job = {.fn = fail_odd, .count = 1001};
    assert_code(pool_map(pool, &job), POOL_EFAILED);
    assert_ok(finish(submit_square(pool, 3), NULL));
    struct pool_worker_stats list[4];
    struct pool_stats stats = settled(pool, 2);
    stats.list = list;
    stats.room = 4;
    assert_ok(pool_stats(pool, &stats));
    assert_int_equal(stats.done, 1002);
    assert_int_equal(stats.failed, 500);
    assert_int_equal(stats.listed, 2);
    assert_int_equal(list[0].tasks + list[1].tasks, 1002);
    pool_destroy(pool);
}

static int fail_then_wait(const void *in, void *out) {
    struct gate *gate = *(struct gate *const *)in;
    (void)out;
    if (task_index() < 6) return task_index() < 2;
    return gate_pass(gate);
}

TEST_CASE(the_items_of_a_running_job_are_counted) {
    struct gate *gate = shared(sizeof *gate);
    struct gate *in[10];
    for (int i = 0; i < 10; i++) in[i] = gate;
    struct pool *pool = pool_of(1);
    struct pool_job job = {.fn = fail_then_wait, POOL_IN(in), .count = 10, .chunk = 1};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(gate, 1));
    struct pool_stats stats = stats_of(pool);
    assert_int_equal(stats.done, 6);
    assert_int_equal(stats.failed, 2);
    assert_int_equal(stats.running, 1);
    assert_int_equal(stats.queued, 3);
    gate_open(gate);
    assert_code(finish(future, NULL), POOL_EFAILED);
    assert_int_equal(stats_of(pool).done, 10);
    pool_destroy(pool);
}

static int die_once(const void *in, void *out) {
    atomic_int *tries = *(atomic_int *const *)in;
    (void)out;
    if (atomic_fetch_add(tries, 1) == 0) raise(SIGKILL);
    return 0;
}

TEST_CASE(deaths_and_retries_are_counted) {
    atomic_int *tries = shared(2 * sizeof *tries), *second = tries + 1;
    struct pool *pool = pool_of(1);
    struct pool_task task = {.fn = die_once, POOL_IN(&tries), .retries = 1};
    struct future *future;
    assert_ok(pool_submit(pool, &task, &future));
    assert_ok(finish(future, NULL));
    struct pool_job job = {.fn = die_once, POOL_IN(&second), .count = 1, .retries = 1};
    assert_ok(pool_map(pool, &job));
    struct pool_stats stats = stats_of(pool);
    assert_int_equal(stats.died, 2);
    assert_int_equal(stats.retried, 2);
    assert_int_equal(stats.failed, 0);
    pool_destroy(pool);
}

TEST_CASE(retired_workers_are_not_counted_as_dead) {
    struct pool_options options = test_options(1);
    options.max_tasks_per_worker = 1;
    struct pool *pool = pool_from(&options);
    for (int i = 0; i < 5; i++) assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof(pid_t)), NULL));
    assert_int_equal(stats_of(pool).died, 0);
    pool_destroy(pool);
}

static int burn(const void *in, void *out) {
    (void)in, (void)out;
    size_t size = (size_t)64 << 20;
    char *volatile memory = malloc(size); /* volatile: compilers know what malloc() and memset() are for */
    if (!memory) return 1;
    memset(memory, 1, size);
    int64_t begin = now_ms();
    while (now_ms() - begin < 50) continue;
    *(char *)out = memory[size / 2];
    free(memory);
    return 0;
}

TEST_CASE(the_time_and_memory_of_a_worker_are_told) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    assert_ok(finish(submit(pool, burn, NULL, 0, 1), NULL));
    struct future *future = block_worker(pool, gate);
    sleep_ms(50);
    struct pool_worker_stats worker;
    struct pool_stats stats = {.list = &worker, .room = 1};
    assert_ok(pool_stats(pool, &stats));
    assert_true(worker.busy);
    assert_true(worker.busy_ns >= 100000000U); /* including the task that it still runs */
    assert_int_equal(worker.tasks, 1);
    assert_true(alive(worker.pid));
    /* Shared pages are subtracted by their present number. At the peak there may have been fewer, by a MiB or two, if
     * the kernel had reclaimed pages of the program. */
    if (have_proc() && !instrumented()) assert_in_range(worker.peak_memory, (size_t)60 << 20, (size_t)80 << 20);
    gate_open(gate);
    assert_ok(finish(future, NULL));
    pool_destroy(pool);
}

TEST_CASE(statistics_outlive_the_processes) {
    struct pool *pool = pool_of(2);
    for (int i = 0; i < 5; i++) assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof(pid_t)), NULL));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    struct pool_worker_stats list[2];
    struct pool_stats stats = {.list = list, .room = 2};
    assert_ok(pool_stats(pool, &stats));
    assert_int_equal(stats.done, 5);
    assert_int_equal(stats.busy + stats.idle, 0);
    pool_destroy(pool);
}

TEST_CASE(workers_are_counted_in_each_backend) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool_options options = test_options(2);
        options.backend = backend;
        int workers = backend == POOL_INLINE ? 1 : 2;
        struct pool *pool = pool_from(&options);
        assert_int_equal(settled(pool, workers).idle, workers);
        if (backend != POOL_INLINE) { /* with POOL_INLINE the caller itself runs the task */
            struct future *future = block_worker(pool, gate);
            struct pool_stats stats = stats_of(pool);
            assert_int_equal(stats.busy, 1);
            assert_int_equal(stats.running, 1);
            gate_open(gate);
            assert_ok(finish(future, NULL));
        } else {
            assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof(pid_t)), NULL));
        }
        struct pool_worker_stats list[2];
        struct pool_stats stats = {.list = list, .room = 2};
        settled(pool, workers);
        assert_ok(pool_stats(pool, &stats));
        assert_int_equal(stats.listed, workers);
        assert_int_equal(stats.done, 1);
        assert_true((list[0].pid == getpid()) == (backend != POOL_PROCESSES));
        assert_int_equal(list[0].tasks + (workers > 1 ? list[1].tasks : 0), 1);
        pool_destroy(pool);
    }
}

static int wait_at_three(const void *in, void *out) {
    (void)out;
    return task_index() == 3 ? gate_pass(*(struct gate *const *)in) : 0;
}

TEST_CASE(what_a_worker_runs_and_since_when_is_told) {
    for (int backend = POOL_PROCESSES; backend <= POOL_THREADS; backend++) {
        struct gate *gate = shared(sizeof *gate), *in[6] = {gate, gate, gate, gate, gate, gate};
        struct pool_options options = test_options(1);
        options.backend = backend;
        struct pool *pool = pool_from(&options);
        struct pool_worker_stats worker;
        struct pool_stats stats = {.list = &worker, .room = 1};
        settled(pool, 1);
        assert_ok(pool_stats(pool, &stats));
        assert_true(!worker.fn && worker.item == 0 && worker.item_ns == 0);
        struct future *future;
        assert_ok(pool_map_async(pool, &(struct pool_job){.fn = wait_at_three, POOL_IN(in), .count = 6, .chunk = 1},
                                 &future));
        assert_true(gate_reached(gate, 1));
        sleep_ms(20);
        assert_ok(pool_stats(pool, &stats));
        assert_true(worker.fn == wait_at_three && worker.item == 3);
        assert_true(worker.item_ns >= 20000000 && worker.item_ns <= worker.busy_ns);
        gate_open(gate);
        assert_ok(finish(future, NULL));
        atomic_store(&gate->open, 0);
        future = block_worker(pool, gate);
        assert_ok(pool_stats(pool, &stats));
        assert_true(worker.fn == gate_task && worker.item == 0);
        gate_open(gate);
        assert_ok(finish(future, NULL));
        pool_destroy(pool);
    }
}

TEST_CASE(wrong_arguments_have_their_codes) {
    struct pool *pool = pool_of(1);
    struct pool_stats stats = {.room = 1};
    assert_code(pool_stats(pool, NULL), POOL_EINVAL);
    assert_code(pool_stats(NULL, &stats), POOL_EINVAL);
    assert_code(pool_stats(pool, &stats), POOL_EINVAL);
    stats.room = -1;
    assert_code(pool_stats(pool, &stats), POOL_EINVAL);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_new_pool_has_done_nothing),
        TEST(tasks_are_counted_from_queue_to_end),
        TEST(items_are_counted_as_tasks),
        TEST(the_items_of_a_running_job_are_counted),
        TEST(deaths_and_retries_are_counted),
        TEST(retired_workers_are_not_counted_as_dead),
        TEST(the_time_and_memory_of_a_worker_are_told),
        TEST(statistics_outlive_the_processes),
        TEST(workers_are_counted_in_each_backend),
        TEST(what_a_worker_runs_and_since_when_is_told),
        TEST(wrong_arguments_have_their_codes),
    };
    return run_group("stats", tests, COUNT(tests), argc, argv);
}
