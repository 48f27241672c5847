/* The number of workers: pool_resize(), lazy start, idle time-out, and the finalizer of workers that end. */
#include "support.h"

#include <pthread.h>
#include <signal.h>

static size_t workers_within(size_t count, int ms) {
    pid_t pids[64];
    int64_t begin = now_ms();
    size_t seen;
    do {
        seen = descendants(getpid(), pids, 64); /* including the supervisor */
        if (seen == count + 1) break;
        sleep_ms(5);
    } while (now_ms() - begin < ms);
    return seen - 1;
}

#define assert_workers(count)                                                                                          \
    do {                                                                                                               \
        if (have_proc()) assert_int_equal(workers_within(count, PATIENCE), count);                                     \
    } while (0)

static struct pool *pool_with(struct pool_options options, int workers) {
    struct pool_options base = test_options(workers);
    options.workers = base.workers;
    options.arena_size = base.arena_size;
    return pool_from(&options);
}

/* ---- pool_resize() */

TEST_CASE(a_larger_pool_runs_more_tasks_at_a_time) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *futures[5];
    for (int i = 0; i < 5; i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 1));
    assert_ok(pool_resize(pool, 5));
    assert_true(gate_reached(gate, 5)); /* none has ended: all five run */
    gate_open(gate);
    for (int i = 0; i < 5; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

TEST_CASE(a_smaller_pool_finishes_running_tasks) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(4);
    struct future *futures[4];
    for (int i = 0; i < 4; i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 4));
    assert_ok(pool_resize(pool, 1));
    gate_open(gate);
    for (int i = 0; i < 4; i++) assert_ok(finish(futures[i], NULL));
    assert_workers(1);
    assert_squares_at_once(pool, 1000);
    assert_map_squares(pool, 1000, 0);
    pool_destroy(pool);
}

TEST_CASE(idle_workers_of_a_smaller_pool_end) {
    struct pool *pool = pool_of(6);
    assert_map_squares(pool, 100, 0);
    assert_workers(6);
    assert_ok(pool_resize(pool, 2));
    assert_workers(2);
    assert_ok(pool_resize(pool, 4));
    assert_workers(4);
    assert_map_squares(pool, 1000, 0);
    assert_squares_at_once(pool, 1000);
    pool_destroy(pool);
}

static struct gate *all_met;

/* Waits at the gate for the other items. Then odd ones fail, with a message. */
static int meet(const void *in, void *out) {
    (void)in;
    memset(out, (int)task_index(), 1000);
    if (gate_pass(all_met)) return 99;
    for (int i = 0; i < 1000; i++)
        if (((unsigned char *)out)[i] != (unsigned char)task_index())
            return 98; /* another worker has the same scratch memory */
    return task_index() % 2 ? task_fail((int)task_index(), "odd: %d", (int)task_index()) : 0;
}

TEST_CASE(new_workers_join_a_running_job) {
    all_met = shared(sizeof *all_met);
    struct pool *pool = pool_of(1);
    int status[8];
    struct pool_failure failure;
    struct pool_job job = {.fn = meet, .out_size = 1000, .count = 8, .chunk = 1, .status = status, .failure = &failure};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(all_met, 1));
    assert_ok(pool_resize(pool, 8));
    assert_true(gate_reached(all_met, 8)); /* eight items at a time, in a job that started with one worker */
    gate_open(all_met);
    assert_code(finish(future, NULL), POOL_EFAILED);
    for (int i = 0; i < 8; i++) assert_code(status[i], i % 2 ? POOL_EFAILED : 0);
    assert_int_equal(failure.index, 1);
    assert_contains(failure.message, "odd: 1");
    assert_true(failure.worker > 0);
    pool_destroy(pool);
}

static int short_task(const void *in, void *out) {
    for (volatile int i = 0; i < 2000; i++) continue;
    return square_task(in, out);
}

TEST_CASE(resizing_loses_no_task_at_any_time) {
    enum { ITEMS = 20000 };
    long *out = malloc(ITEMS * sizeof *out), *in = malloc(ITEMS * sizeof *in);
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    struct pool *pool = pool_of(2);
    for (int round = 0; round < 20; round++) {
        struct pool_job job = {.fn = short_task, POOL_IN(in), POOL_OUT(out), .count = scaled(ITEMS)};
        memset(out, 0xff, ITEMS * sizeof *out);
        struct future *map, *futures[200];
        assert_ok(pool_map_async(pool, &job, &map));
        for (long i = 0; i < 200; i++) {
            futures[i] = submit(pool, short_task, &i, sizeof i, sizeof i);
            if (i % 20 == 0) assert_ok(pool_resize(pool, 1 + (int)(scramble((uint64_t)(round * 200 + i)) % 8)));
        }
        for (long i = 0; i < 200; i++) {
            long square = -1;
            assert_ok(finish(futures[i], &square));
            assert_true(square == i * i);
        }
        assert_ok(finish(map, NULL));
        for (size_t i = 0; i < job.count; i++) assert_true(out[i] == (long)(i * i));
    }
    pool_destroy(pool);
    free(in);
    free(out);
}

TEST_CASE(pool_resize_takes_the_sizes_that_pool_create_takes) {
    assert_code(pool_resize(NULL, 1), POOL_EINVAL);
    struct pool *pool = pool_of(1);
    assert_code(pool_resize(pool, 1025), POOL_EINVAL);
    assert_ok(pool_resize(pool, 0));
    assert_workers((size_t)pool_cpu_count());
    assert_ok(pool_resize(pool, -10000));
    assert_workers(1);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_code(pool_resize(pool, 2), POOL_ECLOSED);
    pool_destroy(pool);
}

TEST_CASE(a_killed_worker_of_a_resized_pool_is_replaced) {
    struct pool *pool = pool_of(1);
    assert_ok(pool_resize(pool, 3));
    for (int i = 0; i < 5; i++) {
        pid_t pid = worker_of(pool);
        kill(pid, SIGKILL);
        assert_true(gone_within(pid, PATIENCE));
    }
    assert_workers(3);
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
}

/* ---- Lazy start */

TEST_CASE(a_lazy_pool_has_no_worker_before_there_is_work) {
    struct pool *pool = pool_with((struct pool_options){.lazy = true}, 8);
    sleep_ms(100); /* workers that are not lazy would be there by now */
    assert_workers(0);
    assert_squares_in_turn(pool, 20); /* one worker is enough */
    assert_workers(1);
    pool_destroy(pool);
}

TEST_CASE(a_lazy_pool_starts_as_many_workers_as_there_are_tasks) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_with((struct pool_options){.lazy = true}, 8);
    struct future *futures[8];
    for (int i = 0; i < 3; i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 3));
    assert_workers(3);
    for (int i = 3; i < 8; i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 8));
    gate_open(gate);
    for (int i = 0; i < 8; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

TEST_CASE(a_lazy_pool_starts_as_many_workers_as_there_are_items) {
    all_met = shared(sizeof *all_met);
    struct pool *pool = pool_with((struct pool_options){.lazy = true}, 4);
    struct pool_job two = {.fn = meet, .out_size = 1000, .count = 2, .chunk = 1};
    struct future *future;
    assert_ok(pool_map_async(pool, &two, &future));
    assert_true(gate_reached(all_met, 2));
    assert_workers(2); /* two items need no more than two */
    gate_open(all_met);
    assert_code(finish(future, NULL), POOL_EFAILED);
    assert_map_squares(pool, 10000, 0);
    assert_workers(4);
    pool_destroy(pool);
}

TEST_CASE(a_lazy_pool_can_be_resized_with_work_waiting) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_with((struct pool_options){.lazy = true}, 1);
    struct future *futures[4];
    for (int i = 0; i < 4; i++) futures[i] = submit_gated(pool, gate);
    assert_ok(pool_resize(pool, 4));
    assert_true(gate_reached(gate, 4));
    gate_open(gate);
    for (int i = 0; i < 4; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

static int unfit(void *arg) {
    (void)arg;
    return 7;
}

TEST_CASE(a_lazy_pool_without_a_fit_worker_is_broken) {
    struct pool *pool = pool_with((struct pool_options){.lazy = true, .initializer = unfit}, 3);
    struct future *future = submit(pool, pid_task, NULL, 0, sizeof(pid_t));
    assert_code(finish(future, NULL), POOL_EINIT);
    pool_destroy(pool);
}

/* ---- Idle time-out */

TEST_CASE(idle_workers_end_and_are_started_again) {
    struct pool *pool = pool_with((struct pool_options){.idle_timeout = 50}, 4);
    for (int round = 0; round < 3; round++) {
        assert_map_squares(pool, 1000, 0);
        assert_squares_at_once(pool, 100);
        assert_workers(0);
    }
    pool_destroy(pool);
}

TEST_CASE(work_that_meets_ending_workers_is_done) {
    struct pool *pool = pool_with((struct pool_options){.idle_timeout = 1}, 3);
    for (int i = 0; i < (int)scaled(400); i++) {
        assert_squares_at_once(pool, 1 + i % 3);
        if (i % 4 == 0) assert_map_squares(pool, 3, 0);
        usleep((unsigned)(scramble((uint64_t)i) % 2500)); /* on both sides of the time-out */
    }
    pool_destroy(pool);
}

TEST_CASE(busy_workers_do_not_count_as_idle) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_with((struct pool_options){.idle_timeout = 20, .lazy = true}, 2);
    struct future *future = block_worker(pool, gate);
    sleep_ms(100); /* five times the idle time-out */
    assert_workers(1);
    gate_open(gate);
    assert_ok(finish(future, NULL));
    pool_destroy(pool);
}

TEST_CASE(negative_idle_times_are_refused) {
    struct pool *pool = NULL;
    struct pool_options options = {.idle_timeout = -1};
    assert_code(pool_create(&options, &pool), POOL_EINVAL);
    assert_null(pool);
}

/* ---- Finalizer */

static int count_begin(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void count_end(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
}

TEST_CASE(the_finalizer_runs_in_each_worker_at_shutdown) {
    atomic_int *ends = shared(sizeof *ends);
    struct pool *pool = pool_with((struct pool_options){.finalizer = count_end, .finalizer_arg = ends}, 5);
    assert_squares_at_once(pool, 100);
    assert_workers(5);
    struct future *future = submit_square(pool, 3);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_int_equal(*ends, 5);
    assert_workers((size_t)-1); /* the supervisor has ended, too */
    assert_ok(finish(future, NULL));
    assert_ok(pool_shutdown(pool, 0, -1));
    pool_destroy(pool);
    assert_int_equal(*ends, 5);
}

TEST_CASE(the_finalizer_runs_in_workers_that_retire) {
    atomic_int *ends = shared(sizeof *ends);
    struct pool_options options = {.finalizer = count_end, .finalizer_arg = ends, .max_tasks_per_worker = 10};
    struct pool *pool = pool_with(options, 1);
    assert_squares_at_once(pool, 35);
    assert_true(becomes(ends, 3));
    pool_destroy(pool);
    int before = *ends;
    options.max_tasks_per_worker = 0;
    options.idle_timeout = 20;
    pool = pool_with(options, 3);
    assert_true(becomes(ends, before + 3));
    pool_destroy(pool);
    before = *ends;
    options.idle_timeout = 0;
    pool = pool_with(options, 3);
    assert_ok(pool_resize(pool, 1));
    assert_true(becomes(ends, before + 2));
    pool_destroy(pool);
    assert_int_equal(*ends, before + 2); /* pool_destroy() runs no finalizer */
}

static void hang(void *arg) {
    (void)arg;
    for (;;) pause();
}

TEST_CASE(a_finalizer_that_hangs_ends_with_the_pool) {
    struct pool *pool = pool_with((struct pool_options){.finalizer = hang}, 2);
    assert_squares_at_once(pool, 10);
    assert_code(pool_shutdown(pool, 0, 100), POOL_ETIMEDOUT);
    assert_code(pool_shutdown(pool, 0, 0), POOL_ETIMEDOUT);
    int64_t begin = now_ms();
    pool_destroy(pool);
    assert_took(begin, 0, PATIENCE / 2);
}

static void crash(void *arg) {
    (void)arg;
    raise(SIGKILL);
}

TEST_CASE(a_finalizer_that_crashes_ends_its_worker) {
    struct pool *pool = pool_with((struct pool_options){.finalizer = crash}, 3);
    assert_squares_at_once(pool, 10);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

/* ---- Without processes */

TEST_CASE(a_pool_of_threads_can_be_resized) {
    atomic_int *begins = shared(2 * sizeof *begins), *ends = begins + 1;
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_with((struct pool_options){.backend = POOL_THREADS, .initializer = count_begin,
                                                        .initializer_arg = begins, .finalizer = count_end,
                                                        .finalizer_arg = ends}, 1);
    struct future *futures[5];
    for (int i = 0; i < 5; i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 1));
    assert_ok(pool_resize(pool, 5));
    assert_true(gate_reached(gate, 5));
    assert_ok(pool_resize(pool, 2));
    gate_open(gate);
    for (int i = 0; i < 5; i++) assert_ok(finish(futures[i], NULL));
    assert_true(becomes(ends, 3));
    struct pool_job job = {.fn = short_task, .count = 3000};
    long *in = calloc(job.count, sizeof *in), *out = calloc(job.count, sizeof *out);
    job.in = in;
    job.out = out;
    job.in_size = job.out_size = sizeof *in;
    for (long i = 0; i < 3000; i++) in[i] = i;
    for (unsigned round = 0; round < 10; round++) {
        struct future *map;
        assert_ok(pool_map_async(pool, &job, &map));
        for (int i = 0; i < 40; i++) {
            assert_ok(pool_resize(pool, i % 2 ? 1 : 1 + (int)(scramble(40 * round + (unsigned)i) % 8)));
            future_wait(map, i % 3);
        }
        assert_ok(finish(map, NULL));
        for (long i = 0; i < 3000; i++) assert_true(out[i] == i * i);
    }
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_int_equal(*begins, *ends);
    pool_destroy(pool);
    free(in);
    free(out);
}

TEST_CASE(each_backend_takes_the_same_options) {
    atomic_int *begins = shared(2 * sizeof *begins), *ends = begins + 1;
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool_options options = {.backend = backend, .lazy = true, .idle_timeout = 1, .max_tasks_per_worker = 7,
                                       .initializer = count_begin, .initializer_arg = begins, .finalizer = count_end,
                                       .finalizer_arg = ends};
        atomic_store(begins, 0);
        atomic_store(ends, 0);
        struct pool *pool = pool_with(options, 2);
        assert_squares_at_once(pool, 30);
        assert_ok(pool_resize(pool, 3));
        assert_map_squares(pool, 100, 0);
        assert_code(pool_resize(pool, 1025), POOL_EINVAL);
        assert_ok(pool_shutdown(pool, 0, PATIENCE));
        assert_true(*begins >= 130 / 7);
        assert_int_equal(*begins, *ends);
        assert_ok(pool_shutdown(pool, 0, PATIENCE));
        assert_code(pool_resize(pool, 1), POOL_ECLOSED);
        pool_destroy(pool);
        assert_int_equal(*begins, *ends);
        pool = pool_with((struct pool_options){.backend = backend, .finalizer = count_end, .finalizer_arg = ends}, 2);
        assert_squares_at_once(pool, 30);
        pool_destroy(pool);
        assert_int_equal(*begins, *ends); /* pool_destroy() runs no finalizer */
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_larger_pool_runs_more_tasks_at_a_time),
        TEST(a_smaller_pool_finishes_running_tasks),
        TEST(idle_workers_of_a_smaller_pool_end),
        TEST(new_workers_join_a_running_job),
        TEST(resizing_loses_no_task_at_any_time),
        TEST(pool_resize_takes_the_sizes_that_pool_create_takes),
        TEST(a_killed_worker_of_a_resized_pool_is_replaced),
        TEST(a_lazy_pool_has_no_worker_before_there_is_work),
        TEST(a_lazy_pool_starts_as_many_workers_as_there_are_tasks),
        TEST(a_lazy_pool_starts_as_many_workers_as_there_are_items),
        TEST(a_lazy_pool_can_be_resized_with_work_waiting),
        TEST(a_lazy_pool_without_a_fit_worker_is_broken),
        TEST(idle_workers_end_and_are_started_again),
        TEST(work_that_meets_ending_workers_is_done),
        TEST(busy_workers_do_not_count_as_idle),
        TEST(negative_idle_times_are_refused),
        TEST(the_finalizer_runs_in_each_worker_at_shutdown),
        TEST(the_finalizer_runs_in_workers_that_retire),
        TEST(a_finalizer_that_hangs_ends_with_the_pool),
        TEST(a_finalizer_that_crashes_ends_its_worker),
        TEST(a_pool_of_threads_can_be_resized),
        TEST(each_backend_takes_the_same_options),
    };
    return run_group("resize", tests, COUNT(tests), argc, argv);
}
