/* pool_submit(): single tasks. */
#include "support.h"

#include <limits.h>

#include "pool/pool.h"

TEST_CASE(a_hundred_thousand_tasks_at_once_have_the_right_results) {
    enum { TASKS = 100000 };
    struct pool *pool = pool_of(2);
    struct future **futures = malloc(TASKS * sizeof *futures);
    submit_squares(pool, futures, TASKS);
    assert_squares(futures, TASKS);
    free(futures);
    pool_destroy(pool);
}

TEST_CASE(tasks_in_turn_have_the_right_results) {
    struct pool *pool = pool_of(2);
    assert_squares_in_turn(pool, 5000);
    pool_destroy(pool);
}

/* The argument starts with its size and that of the result. */
struct sizes {
    size_t in, out;
};

static int sizes_task(const void *in, void *out) {
    struct sizes sizes;
    if ((uintptr_t)in % _Alignof(max_align_t) || (uintptr_t)out % _Alignof(max_align_t)) return 1;
    memcpy(&sizes, in, sizeof sizes);
    if (!filled((const char *)in + sizeof sizes, sizes.in - sizeof sizes, sizes.in)) return 2;
    fill(out, sizes.out, sizes.out + 9);
    return 0;
}

TEST_CASE(arguments_and_results_may_have_any_size) {
    static const size_t some[] = {sizeof(struct sizes), 17, 40, 64, 100, 255, 256, 1000, 4096, 70000, 1 << 20, 5 << 20};
    struct pool *pool = pool_of(2);
    struct future *futures[COUNT(some) * COUNT(some)];
    char *data = malloc(5 << 20);
    for (size_t a = 0; a < COUNT(some); a++) {
        for (size_t b = 0; b < COUNT(some); b++) {
            struct sizes sizes = {some[a], some[b]};
            memcpy(data, &sizes, sizeof sizes);
            fill(data + sizeof sizes, sizes.in - sizeof sizes, sizes.in);
            futures[a * COUNT(some) + b] = submit(pool, sizes_task, data, sizes.in, sizes.out);
            if (b % 3) continue; /* most are in flight at once, but not all: the arena may be small */
            for (size_t k = 0; k <= b && k < 3 && b >= 3; k++) {
                size_t j = b - 3 + k;
                assert_ok(future_get(futures[a * COUNT(some) + j], data, PATIENCE));
                assert_true(filled(data, some[j], some[j] + 9));
            }
        }
        for (size_t b = 0; b < COUNT(some); b++) {
            assert_ok(future_get(futures[a * COUNT(some) + b], data, PATIENCE));
            assert_true(filled(data, some[b], some[b] + 9));
            future_free(futures[a * COUNT(some) + b]);
        }
    }
    free(data);
    pool_destroy(pool);
}

/* Submits as many tasks as the arena has room for, or `most`, while the workers are blocked; then checks them all. */
static void hold_many(size_t arena_size, size_t most) {
    struct pool_options options = test_options(2);
    struct pool *pool;
    struct gate *gate = shared(sizeof *gate);
    struct future **futures = malloc(most * sizeof *futures), *blocked[2];
    char data[4096];
    size_t count = 0;
    options.arena_size = arena_size;
    assert_ok(pool_create(&options, &pool));
    for (int i = 0; i < 2; i++) blocked[i] = submit_gated(pool, gate);
    for (int error = 0; !error && count < most; count += !error) {
        struct sizes sizes = {sizeof sizes + count * 37 % 1500, 1 + count * 61 % 4000};
        memcpy(data, &sizes, sizeof sizes);
        fill(data + sizeof sizes, sizes.in - sizeof sizes, sizes.in);
        struct pool_task task = {.fn = sizes_task, .in = data, .in_size = sizes.in, .out_size = sizes.out};
        error = pool_submit(pool, &task, &futures[count]);
        assert_any_of(error, 0, POOL_ENOMEM);
    }
    assert_true(arena_size ? count > 1000 && count < most : count == most);
    gate_open(gate);
    for (int i = 0; i < 2; i++) assert_ok(finish(blocked[i], NULL));
    for (size_t i = 0; i < count; i++) {
        size_t size = 1 + i * 61 % 4000;
        assert_ok(finish(futures[i], data));
        assert_true(filled(data, size, size + 9));
    }
    free(futures);
    pool_destroy(pool);
}

TEST_CASE(arguments_and_results_of_many_tasks_do_not_overlap) {
    hold_many(0, scaled(10000));
}

TEST_CASE(arguments_and_results_may_fill_the_arena_to_its_last_page) {
    hold_many(((size_t)7 << 20) + 65536, 10000);
}

static int byte_task(const void *in, void *out) {
    *(unsigned char *)out = (unsigned char)(*(const unsigned char *)in ^ 0x55);
    return 0;
}

TEST_CASE(an_argument_may_be_one_byte) {
    struct pool *pool = pool_of(1);
    for (unsigned char i = 0; i < 255; i++) {
        unsigned char guarded[3] = {7, 7, 7};
        assert_ok(finish(submit(pool, byte_task, &i, 1, 1), &guarded[1]));
        assert_int_equal(guarded[0], 7);
        assert_int_equal(guarded[1], i ^ 0x55);
        assert_int_equal(guarded[2], 7);
    }
    pool_destroy(pool);
}

static int neither_task(const void *in, void *out) {
    return in || out ? 1 : 0;
}

static int only_result_task(const void *in, void *out) {
    if (in || !out) return 1;
    *(int *)out = 42;
    return 0;
}

static int only_argument_task(const void *in, void *out) {
    return in && !out && *(const int *)in == 43 ? 0 : 1;
}

TEST_CASE(arguments_and_results_may_be_missing) {
    struct pool *pool = pool_of(2);
    int value = 0;
    assert_ok(finish(submit(pool, neither_task, NULL, 0, 0), NULL));
    assert_ok(finish(submit(pool, neither_task, NULL, 0, 0), &value));
    assert_int_equal(value, 0);
    assert_ok(finish(submit(pool, only_result_task, NULL, 0, sizeof value), &value));
    assert_int_equal(value, 42);
    value = 43;
    assert_ok(finish(submit(pool, only_argument_task, &value, sizeof value, 0), NULL));
    pool_destroy(pool);
}

TEST_CASE(pool_submit_copies_the_argument) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *first = submit_gated(pool, gate);
    long small = 12;
    struct sizes sizes = {100000, 8};
    char *large = malloc(sizes.in), result[8];
    memcpy(large, &sizes, sizeof sizes);
    fill(large + sizeof sizes, sizes.in - sizeof sizes, sizes.in);
    struct future *with_small = submit_square(pool, small);
    struct future *with_large = submit(pool, sizes_task, large, sizes.in, sizes.out);
    small = 0;
    memset(large, 0, sizes.in);
    free(large);
    gate_open(gate);
    assert_ok(finish(first, NULL));
    assert_ok(finish(with_small, &small));
    assert_int_equal(small, 144);
    assert_ok(finish(with_large, result));
    assert_true(filled(result, 8, 8 + 9));
    pool_destroy(pool);
}

static int fails_after_writing_task(const void *in, void *out) {
    *(long *)out = 99;
    return *(const int *)in;
}

TEST_CASE(a_failed_task_returns_its_code_and_no_result) {
    struct pool *pool = pool_of(2);
    static const int codes[] = {1, 2, 255, 256, -1, -8, INT_MAX, INT_MIN};
    for (size_t i = 0; i < COUNT(codes); i++) {
        long result = -1;
        struct future *future = submit(pool, fails_after_writing_task, &codes[i], sizeof(int), sizeof result);
        assert_code(future_get(future, &result, PATIENCE), POOL_EFAILED);
        assert_int_equal(result, -1);
        struct pool_failure failure;
        assert_ok(future_failure(future, &failure));
        assert_code(failure.error, POOL_EFAILED);
        assert_int_equal(failure.code, codes[i]);
        assert_int_equal(failure.index, 0);
        assert_int_equal(failure.signal, 0);
        assert_true(failure.worker > 0);
        future_free(future);
    }
    pool_destroy(pool);
}

/* The tasks that started, in order. */
struct log {
    atomic_int count;
    int entries[20000];
};
static struct log *started;

static int log_task(const void *in, void *out) {
    (void)out;
    started->entries[atomic_fetch_add(&started->count, 1)] = *(const int *)in;
    return 0;
}

TEST_CASE(one_worker_starts_tasks_in_the_order_of_submission) {
    started = shared(sizeof *started);
    struct pool *pool = pool_of(1);
    struct future *futures[5000];
    for (int i = 0; i < 5000; i++) futures[i] = submit(pool, log_task, &i, sizeof i, 0);
    for (int i = 0; i < 5000; i++) assert_ok(finish(futures[i], NULL));
    for (int i = 0; i < 5000; i++) assert_int_equal(started->entries[i], i);
    pool_destroy(pool);
}

static struct future *submit_with_priority(struct pool *pool, int entry, int priority) {
    struct pool_task task = {.fn = log_task, POOL_IN(&entry), .priority = priority};
    struct future *future = NULL;
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

TEST_CASE(the_waiting_task_of_the_highest_priority_starts_first) {
    static const int priorities[] = {0, 5, -1, 5, 0, INT_MAX, INT_MIN, 1, -1, INT_MAX, 5, 0, INT_MIN, 2, 1, -100};
    enum { TASKS = COUNT(priorities) };
    started = shared(sizeof *started);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *blocked = block_worker(pool, gate), *futures[TASKS];
    for (int i = 0; i < TASKS; i++) futures[i] = submit_with_priority(pool, i, priorities[i]);
    gate_open(gate);
    assert_ok(finish(blocked, NULL));
    for (int i = 0; i < TASKS; i++) assert_ok(finish(futures[i], NULL));
    int expected[TASKS];
    for (int i = 0; i < TASKS; i++) { /* a stable sort */
        int k = i;
        for (; k > 0 && priorities[expected[k - 1]] < priorities[i]; k--) expected[k] = expected[k - 1];
        expected[k] = i;
    }
    for (int i = 0; i < TASKS; i++) assert_int_equal(started->entries[i], expected[i]);
    pool_destroy(pool);
}

TEST_CASE(an_urgent_task_overtakes_a_long_queue) {
    enum { TASKS = 10000 };
    started = shared(sizeof *started);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *blocked = submit_gated(pool, gate);
    struct future **futures = malloc((TASKS + 2) * sizeof *futures);
    assert_true(gate_reached(gate, 1));
    for (int i = 0; i < TASKS; i++) futures[i] = submit_with_priority(pool, i, 0);
    futures[TASKS] = submit_with_priority(pool, TASKS, -1);
    futures[TASKS + 1] = submit_with_priority(pool, TASKS + 1, 1);
    gate_open(gate);
    assert_ok(finish(blocked, NULL));
    for (int i = 0; i < TASKS + 2; i++) assert_ok(finish(futures[i], NULL));
    assert_int_equal(started->entries[0], TASKS + 1);
    for (int i = 0; i <= TASKS; i++) assert_int_equal(started->entries[i + 1], i);
    free(futures);
    pool_destroy(pool);
}

TEST_CASE(a_blocked_task_delays_no_other) {
    counted = shared(sizeof *counted);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *futures[1000];
    for (int i = 0; i < 1000; i++) {
        if (i == 300)
            futures[i] = submit_gated(pool, gate);
        else
            futures[i] = submit(pool, count_task, NULL, 0, 0);
    }
    assert_true(becomes(counted, 999));
    for (int i = 0; i < 1000; i++) {
        if (i != 300) assert_ok(future_get(futures[i], NULL, PATIENCE));
    }
    assert_false(future_done(futures[300]));
    gate_open(gate);
    for (int i = 0; i < 1000; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

/* The ring of tickets is full and all workers are busy. */
TEST_CASE(pool_submit_never_blocks) {
    enum { TASKS = 40000 };
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *blocked[2], **futures = malloc(TASKS * sizeof *futures);
    for (int i = 0; i < 2; i++) blocked[i] = submit_gated(pool, gate);
    submit_squares(pool, futures, TASKS);
    assert_false(future_done(futures[TASKS - 1]));
    assert_false(future_done(futures[0]));
    gate_open(gate);
    for (int i = 0; i < 2; i++) assert_ok(finish(blocked[i], NULL));
    for (long i = TASKS - 1; i >= 0; i--) {
        long result = -1;
        assert_ok(finish(futures[i], &result));
        if (result != i * i) assert_int_equal(result, i * i);
    }
    free(futures);
    pool_destroy(pool);
}

TEST_CASE(more_than_a_million_tasks_may_be_in_flight) {
    allow_seconds(300);
    size_t tasks = scaled(1100000);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *blocked[2], **futures = malloc(tasks * sizeof *futures);
    for (int i = 0; i < 2; i++) blocked[i] = submit_gated(pool, gate);
    submit_squares(pool, futures, (long)tasks);
    gate_open(gate);
    for (int i = 0; i < 2; i++) assert_ok(finish(blocked[i], NULL));
    assert_squares(futures, (long)tasks);
    free(futures);
    pool_destroy(pool);
}

/* As many tasks as there are slots, all of them done, and then one more: the program asks for no outcome. */
TEST_CASE(pool_submit_alone_keeps_the_workers_busy) {
    counted = shared(sizeof *counted);
    struct pool *pool = pool_of(2);
    for (int i = 0; i < (int)PP_SLOTS; i++) future_free(submit(pool, count_task, NULL, 0, 0));
    assert_true(becomes(counted, (int)PP_SLOTS));
    future_free(submit(pool, count_task, NULL, 0, 0));
    assert_true(becomes(counted, (int)PP_SLOTS + 1));
    pool_destroy(pool);
}

/* The arena has room for three arguments; when the fourth is submitted, the first task is done. */
TEST_CASE(pool_submit_alone_finds_the_room_of_finished_tasks) {
    counted = shared(sizeof *counted);
    struct pool_options options = test_options(1);
    options.arena_size = (size_t)1 << 20;
    struct pool *pool;
    static char argument[300000];
    struct pool_task task = {.fn = count_task, .in = argument, .in_size = sizeof argument};
    assert_ok(pool_create(&options, &pool));
    for (int i = 0; i < 10; i++) {
        struct future *future;
        assert_ok(pool_submit(pool, &task, &future));
        future_free(future);
        assert_true(becomes(counted, i + 1));
    }
    pool_destroy(pool);
}

static size_t submit_often(struct pool *pool, uint64_t number) {
    size_t errors = 0;
    struct future *futures[100];
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 100; i++) {
            long value = 1000 * (long)number + round + i;
            struct pool_task task = {.fn = square_task, POOL_IN(&value), .out_size = sizeof value, .priority = i % 3};
            if (pool_submit(pool, &task, &futures[i]) != 0) {
                errors++;
                futures[i] = NULL;
            }
        }
        for (int i = 0; i < 100; i++) {
            long value = 1000 * (long)number + round + i, result = -1;
            if (!futures[i]) continue;
            errors += future_get(futures[i], &result, PATIENCE) != 0 || result != value * value;
            future_free(futures[i]);
        }
    }
    return errors;
}

TEST_CASE(threads_may_submit_at_the_same_time) {
    struct pool *pool = pool_of(3);
    assert_no_errors_in_threads(4, submit_often, pool);
    pool_destroy(pool);
}

static int echo_index_task(const void *in, void *out) {
    long x = in ? *(const long *)in : (long)task_index();
    *(long *)out = x + 1;
    return 0;
}

TEST_CASE(tasks_and_jobs_run_side_by_side) {
    enum { ROUNDS = 200, ITEMS = 50 };
    struct pool *pool = pool_of(2);
    static long out[ROUNDS][ITEMS];
    struct future *jobs[ROUNDS], *tasks[ROUNDS];
    for (long r = 0; r < ROUNDS; r++) {
        struct pool_job job = {.fn = echo_index_task, POOL_OUT(out[r]), .count = ITEMS};
        assert_ok(pool_map_async(pool, &job, &jobs[r]));
        tasks[r] = submit(pool, echo_index_task, &r, sizeof r, sizeof r);
    }
    for (long r = ROUNDS - 1; r >= 0; r--) {
        long result = -1;
        assert_ok(finish(tasks[r], &result));
        assert_int_equal(result, r + 1);
        assert_ok(finish(jobs[r], NULL));
        for (long i = 0; i < ITEMS; i++) assert_int_equal(out[r][i], i + 1);
    }
    pool_destroy(pool);
}

/* Workers let short tasks gather only if the caller submits several before it waits for one. */
TEST_CASE(workers_know_whether_tasks_come_one_by_one) {
    struct pool *pool = pool_of(1);
    const _Atomic uint32_t *one_by_one = &pool->shared.control->one_by_one;
    long x = 3, result;
    if (pool_cpu_count() > 1) /* else the caller never waits awake */
        for (int64_t start = now_ms(); atomic_load(one_by_one) == 0;) {
            assert_true(now_ms() - start < PATIENCE);
            assert_ok(finish(submit_square(pool, x), &result));
        }
    uint32_t before = atomic_load(one_by_one);
    struct future *futures[2];
    futures[0] = submit_square(pool, x);
    assert_int_equal(atomic_load(one_by_one), before);
    futures[1] = submit_square(pool, x);
    assert_int_equal(atomic_load(one_by_one), 0);
    for (int i = 0; i < 2; i++) assert_ok(finish(futures[i], &result));
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_hundred_thousand_tasks_at_once_have_the_right_results),
        TEST(tasks_in_turn_have_the_right_results),
        TEST(arguments_and_results_may_have_any_size),
        TEST(arguments_and_results_of_many_tasks_do_not_overlap),
        TEST(arguments_and_results_may_fill_the_arena_to_its_last_page),
        TEST(an_argument_may_be_one_byte),
        TEST(arguments_and_results_may_be_missing),
        TEST(pool_submit_copies_the_argument),
        TEST(a_failed_task_returns_its_code_and_no_result),
        TEST(one_worker_starts_tasks_in_the_order_of_submission),
        TEST(the_waiting_task_of_the_highest_priority_starts_first),
        TEST(an_urgent_task_overtakes_a_long_queue),
        TEST(a_blocked_task_delays_no_other),
        TEST(pool_submit_never_blocks),
        TEST(more_than_a_million_tasks_may_be_in_flight),
        TEST(pool_submit_alone_keeps_the_workers_busy),
        TEST(pool_submit_alone_finds_the_room_of_finished_tasks),
        TEST(threads_may_submit_at_the_same_time),
        TEST(tasks_and_jobs_run_side_by_side),
        TEST(workers_know_whether_tasks_come_one_by_one),
    };
    return run_group("submit", tests, COUNT(tests), argc, argv);
}
