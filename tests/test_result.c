/* task_result(): results whose size the task knows only at its end. */
#include "support.h"

#include <signal.h>

#include "pool/pool.h"

static const size_t mib = (size_t)1 << 20;

struct order {
    uint64_t seed;
    size_t size;
};

static int order_task(const void *in, void *out) {
    const struct order *order = in;
    if (out || task_out_size() != 0) return 90;
    char *result = task_result(order->size);
    if (!result != (order->size == 0) || task_out_size() != order->size) return 91;
    fill(result, order->size, order->seed);
    return 0;
}

static struct future *ordered_by(struct pool *pool, pool_fn *fn, size_t size, uint64_t seed, unsigned retries) {
    struct order order = {seed, size};
    struct pool_task task = {.fn = fn, POOL_IN(&order), .out_size = POOL_ANY_SIZE, .retries = retries};
    struct future *future = NULL;
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

static struct future *ordered(struct pool *pool, size_t size, uint64_t seed) {
    return ordered_by(pool, order_task, size, seed, 0);
}

static char copy[(3 << 20) + 1]; /* the largest result, and a byte behind it */

static void check(struct future *future, size_t size, uint64_t seed) {
    assert_ok(future_wait(future, PATIENCE));
    assert_int_equal(future_size(future), size);
    size_t shown = 99;
    const char *data = future_data(future, &shown);
    assert_int_equal(shown, size);
    assert_true(!data == (size == 0));
    assert_true(filled(data, size, seed));
    memset(copy, 0, size + 1);
    assert_ok(future_get(future, copy, PATIENCE));
    assert_true(filled(copy, size, seed) && copy[size] == 0);
}

static size_t count_owned(const struct pool *pool) {
    size_t owned = 0;
    for (size_t page = 0; page < pool->shared.extents_size / PP_EXTENT_PAGE; page++)
        owned += atomic_load(&pool->shared.owners->of[page]) != 0;
    return owned;
}

/* Once all futures are freed, nothing is taken; what dead workers have left, the next looks find. */
static void check_nothing_is_taken(struct pool *pool) {
    int64_t start = now_ms();
    while (count_owned(pool) > 0 && now_ms() - start < PATIENCE) {
        struct future *future = submit_square(pool, 3); /* so that there is something to wait for */
        assert_square(future, 3);
        sleep_ms(100);
    }
    assert_int_equal(count_owned(pool), 0);
    assert_int_equal(pool->memory.arena_left, pool->shared.arena_size);
}

static struct pool *pool_with(int workers, size_t arena_size, int backend) {
    struct pool_options options = test_options(workers);
    if (arena_size) options.arena_size = arena_size;
    options.backend = backend;
    return pool_from(&options);
}

/* Sizes around each at which a result goes another way. */
TEST_CASE(results_of_all_sizes_are_right_in_each_backend) {
    static const size_t sizes[] = {0,    1,    47,   48,   49,   247,  248,   249,   250,     256,     100,
                                   4095, 4096, 4097, 8192, 3,    9000, 65535, 65536, 1 << 20, 3000000, 0};
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool *pool = pool_with(3, 0, backend);
        for (uint64_t round = 1; round < 4; round++) {
            struct future *futures[COUNT(sizes)];
            for (size_t i = 0; i < COUNT(sizes); i++) futures[i] = ordered(pool, sizes[i], round * 100 + i);
            for (size_t i = 0; i < COUNT(sizes); i++) check(futures[i], sizes[i], round * 100 + i);
            for (size_t i = 0; i < COUNT(sizes); i++) future_free(futures[i]);
        }
        check_nothing_is_taken(pool);
        pool_destroy(pool);
    }
}

enum { ITEMS = 200 };

static int next_order(void *arg, void *in) {
    uint64_t *number = arg;
    if (*number == ITEMS) return POOL_END;
    *(struct order *)in = (struct order){*number, (size_t)(scramble(*number) % 20000)};
    ++*number;
    return 0;
}

TEST_CASE(items_of_streams_have_results_of_any_size) {
    for (int shown = 0; shown < 2; shown++) {
        struct pool *pool = pool_of(2);
        uint64_t number = 0;
        struct pool_stream options = {.fn = order_task, .next = next_order, .next_arg = &number,
                                      .in_size = sizeof(struct order), .out_size = POOL_ANY_SIZE};
        struct stream *stream;
        assert_ok(pool_imap(pool, &options, &stream));
        for (uint64_t i = 0; i < ITEMS; i++) {
            size_t expected = (size_t)(scramble(i) % 20000), size = 0;
            assert_ok(stream_next(stream, shown ? NULL : copy, PATIENCE));
            assert_int_equal(stream_size(stream), expected);
            const void *data = shown ? stream_data(stream, &size) : copy;
            if (shown) assert_int_equal(size, expected);
            assert_true(filled(data, expected, i));
        }
        assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
        stream_free(stream);
        check_nothing_is_taken(pool);
        pool_destroy(pool);
    }
}

static int several_task(const void *in, void *out) {
    (void)out;
    const struct order *order = in;
    char *first = task_result(order->size);
    memset(first, 1, order->size);
    char *second = task_result(3 * order->size); /* the first is given back */
    fill(second, 3 * order->size, order->seed);
    if (task_resize(3 * order->size + 1) != POOL_EINVAL) return 90;
    return task_resize(order->size);
}

static int failing_task(const void *in, void *out) {
    if (several_task(in, out)) return 90;
    return task_fail(7, "after all");
}

static int silent_task(const void *in, void *out) {
    (void)in;
    return out ? 90 : task_resize(0);
}

static int greedy_task(const void *in, void *out) {
    (void)in, (void)out;
    if (task_result(SIZE_MAX / 2) || task_result((size_t)1 << 30)) return 90;
    return task_out_size() == 0 ? 0 : 91;
}

TEST_CASE(the_last_call_counts_and_failed_tasks_leave_nothing) {
    struct pool *pool = pool_with(2, 8 * mib, POOL_PROCESSES);
    for (uint64_t seed = 1; seed < 50; seed++) {
        size_t size = (size_t)(scramble(seed) % 10000) + 1;
        struct future *future = ordered_by(pool, several_task, size, seed, 0);
        check(future, size, seed);
        future_free(future);
        assert_code(finish(ordered_by(pool, failing_task, size, seed, 0), NULL), POOL_EFAILED);
    }
    pool_fn *const without[] = {silent_task, greedy_task};
    for (size_t i = 0; i < COUNT(without); i++) {
        struct future *future = ordered_by(pool, without[i], 1, 1, 0);
        check(future, 0, 1);
        future_free(future);
    }
    check_nothing_is_taken(pool);
    pool_destroy(pool);
}

static int refused_task(const void *in, void *out) {
    (void)in, (void)out;
    return task_result(1) ? 1 : 0;
}

static int refused_combine(void *result, const void *right) {
    (void)right;
    return refused_task(NULL, result);
}

TEST_CASE(elsewhere_there_is_no_such_room) {
    struct pool *pool = pool_of(2);
    char out[20];
    size_t sizes[20];
    assert_null(task_result(1));
    assert_ok(finish(submit(pool, refused_task, NULL, 0, 1), out));
    assert_ok(finish(submit(pool, refused_task, NULL, 0, 0), NULL));
    assert_ok(finish(submit(pool, refused_task, NULL, 0, mib), copy));
    struct pool_job job = {.fn = refused_task, POOL_OUT(out), .count = 20, .out_sizes = sizes};
    assert_ok(pool_map(pool, &job));
    job.out_size = POOL_ANY_SIZE;
    assert_code(pool_map(pool, &job), POOL_EINVAL);
    struct pool_reduction reduction = {.fn = refused_task, .combine = refused_combine, .count = 20, POOL_OUT(out)};
    assert_ok(pool_reduce(pool, &reduction));
    pool_destroy(pool);
}

static atomic_int *tries;

static int die_task(const void *in, void *out) {
    (void)out;
    const struct order *order = in;
    if (!task_result(5000 + order->size)) return 90;
    int which = atomic_fetch_add(tries, 1) % 5;
    if (which == 1) abort();
    if (which == 3) raise(SIGKILL);
    return order_task(in, out) == 90 ? 0 : 92; /* `out_size` is not 0 any more */
}

static int die_before_the_end_task(const void *in, void *out) {
    (void)out;
    const struct order *order = in;
    char *result = task_result(order->size);
    fill(result, order->size, order->seed);
    if (atomic_fetch_add(tries, 1) % 3 == 1) abort();
    return 0;
}

TEST_CASE(workers_that_die_leave_nothing_taken_and_no_wrong_result) {
    tries = shared(sizeof *tries);
    struct pool *pool = pool_with(3, 16 * mib, POOL_PROCESSES);
    for (uint64_t round = 0; round < scaled(50); round++) {
        struct future *futures[20];
        for (uint64_t i = 0; i < COUNT(futures); i++)
            futures[i] = ordered_by(pool, i % 2 ? die_task : die_before_the_end_task, 300 + 5000 * (size_t)i, i, 100);
        for (uint64_t i = 0; i < COUNT(futures); i++) {
            if (i % 2) assert_ok(future_wait(futures[i], PATIENCE));
            else check(futures[i], 300 + 5000 * (size_t)i, i);
            future_free(futures[i]);
        }
    }
    check_nothing_is_taken(pool);
    pool_destroy(pool);
}

static int hang_task(const void *in, void *out) {
    (void)out;
    const struct order *order = in;
    fill(task_result(order->size), order->size, order->seed);
    while (pause()) continue;
    return 0;
}

TEST_CASE(killed_and_overdue_tasks_leave_nothing_taken) {
    struct pool *pool = pool_with(2, 16 * mib, POOL_PROCESSES);
    for (uint64_t i = 0; i < scaled(30); i++) {
        struct future *future = ordered_by(pool, hang_task, 100000, i, 0);
        while (!future_running(future)) sleep_ms(1);
        assert_ok(future_kill(future));
        assert_code(finish(future, NULL), POOL_ECANCELLED);
        struct order order = {i, 70000};
        struct pool_task task = {.fn = hang_task, POOL_IN(&order), .out_size = POOL_ANY_SIZE, .timeout = 20};
        assert_ok(pool_submit(pool, &task, &future));
        assert_code(finish(future, NULL), POOL_EDEADLINE);
    }
    check_nothing_is_taken(pool);
    pool_destroy(pool);
}

static int length_task(const void *in, void *out) {
    (void)in;
    size_t size;
    const char *data = task_input(0, &size);
    if (!filled(data, size, 5)) return 90;
    *(size_t *)out = size;
    return 0;
}

TEST_CASE(tasks_that_come_after_find_results_of_any_size) {
    struct pool *pool = pool_of(2);
    static const size_t sizes[] = {0, 10, 48, 200, 5000, 1 << 20};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int late = 0; late < 2; late++) {
            struct future *before = ordered(pool, sizes[i], 5), *after;
            if (late) assert_ok(future_wait(before, PATIENCE));
            struct pool_task task = {.fn = length_task, .after = &before, .after_count = 1, .out_size = sizeof(size_t)};
            assert_ok(pool_submit(pool, &task, &after));
            future_free(before);
            size_t size = 99;
            assert_ok(finish(after, &size));
            assert_int_equal(size, sizes[i]);
            struct future *root = submit_square(pool, 2); /* and a task that comes after another may have one */
            struct order order = {5, sizes[i]};
            task = (struct pool_task){.fn = order_task, POOL_IN(&order), .out_size = POOL_ANY_SIZE,
                                      .after = &root, .after_count = 1};
            assert_ok(pool_submit(pool, &task, &after));
            future_free(root);
            check(after, sizes[i], 5);
            future_free(after);
        }
    check_nothing_is_taken(pool);
    pool_destroy(pool);
}

TEST_CASE(a_full_arena_is_told_and_room_that_is_freed_serves_again) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool *pool = pool_with(2, 4 * mib, backend);
        for (int round = 0; round < 5; round++) {
            struct future *held[8];
            size_t fit = 0;
            for (size_t i = 0; i < COUNT(held); i++) {
                held[i] = ordered(pool, mib, i);
                int error = future_wait(held[i], PATIENCE) ? -99 : future_get(held[i], NULL, PATIENCE);
                if (error == 0) check(held[i], mib, i), fit++;
                else assert_any_of(error, POOL_ENOMEM, POOL_EFAILED); /* the arena is full, or its room for this */
            }
            assert_true(fit == 3 || fit == 4); /* the argument of the last takes some, too */
            for (size_t i = 0; i < COUNT(held); i++) future_free(held[i]);
        }
        check_nothing_is_taken(pool);
        pool_destroy(pool);
    }
}

TEST_CASE(memory_of_large_results_goes_back_to_the_system) {
    struct pool *pool = pool_with(1, 64 * mib, POOL_PROCESSES);
    struct future *future = ordered(pool, 3 * mib, 1);
    check(future, 3 * mib, 1);
    long used = pages_in(pool->shared.extents, 64 * mib);
    future_free(future);
    long left = pages_in(pool->shared.extents, 64 * mib);
    if (used >= 0 && LINUX) assert_true(used >= 700 && left < 100);
    pool_destroy(pool);
}

TEST_CASE(results_outlive_the_pool) {
    struct pool *pool = pool_of(2);
    struct future *futures[] = {ordered(pool, 100, 1), ordered(pool, 5000, 2), ordered(pool, mib, 3)};
    for (size_t i = 0; i < COUNT(futures); i++) assert_ok(future_wait(futures[i], PATIENCE));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    check(futures[1], 5000, 2);
    pool_destroy(pool);
    check(futures[0], 100, 1);
    check(futures[1], 5000, 2);
    check(futures[2], mib, 3);
    for (size_t i = 0; i < COUNT(futures); i++) future_free(futures[i]);
}

static struct pp_shared *scribbled; /* where the parts lie, told to workers before they begin anything */

/* Overwrites owners, other tasks' sizes and offsets, and its own. */
static int scribble_task(const void *in, void *out) {
    (void)out;
    const struct order *order = in;
    uint64_t random = order->seed;
    char *result = task_result(order->size);
    if (result) fill(result, order->size, order->seed);
    struct pp_shared *s = scribbled;
    for (int i = 0; i < 20; i++) {
        random = scramble(random);
        uint64_t value = random % 3 == 0 ? random : random % 100;
        if (random % 5 == 0) memcpy(s->messages[random % 64], &value, sizeof value);
        else if (random % 5 == 1) memcpy(s->messages[random % 64] + sizeof value, &value, sizeof value);
        else atomic_store(&s->owners->of[random % 500], (uint32_t)value);
        if (random % 7 == 0) atomic_store(&s->owners->hint, (uint32_t)random);
        if (random % 7 == 1) atomic_store(&s->owners->end, (uint32_t)random);
    }
    return 0;
}

TEST_CASE(tasks_that_scribble_spoil_at_most_results) {
    scribbled = shared(sizeof *scribbled);
    struct pool *pool = pool_with(2, 16 * mib, POOL_PROCESSES);
    *scribbled = pool->shared;
    for (uint64_t round = 0; round < scaled(200); round++) {
        struct future *futures[20];
        for (uint64_t i = 0; i < COUNT(futures); i++)
            futures[i] = ordered_by(pool, scribble_task, (size_t)(scramble(round * 20 + i) % 30000), round * 20 + i, 1);
        for (size_t i = 0; i < COUNT(futures); i++) {
            int error = future_wait(futures[i], PATIENCE);
            assert_ok(error);
            size_t size = 0;
            const unsigned char *data = future_data(futures[i], &size);
            assert_true(size <= 16 * mib && future_size(futures[i]) == size);
            unsigned sum = 0;
            for (size_t at = 0; data && at < size; at++) sum += data[at];
            *(volatile unsigned *)copy = sum;
            future_free(futures[i]);
        }
    }
    assert_int_equal(pool->memory.arena_left, pool->shared.arena_size);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(results_of_all_sizes_are_right_in_each_backend),
        TEST(items_of_streams_have_results_of_any_size),
        TEST(the_last_call_counts_and_failed_tasks_leave_nothing),
        TEST(elsewhere_there_is_no_such_room),
        TEST(workers_that_die_leave_nothing_taken_and_no_wrong_result),
        TEST(killed_and_overdue_tasks_leave_nothing_taken),
        TEST(tasks_that_come_after_find_results_of_any_size),
        TEST(a_full_arena_is_told_and_room_that_is_freed_serves_again),
        TEST(memory_of_large_results_goes_back_to_the_system),
        TEST(results_outlive_the_pool),
        TEST(tasks_that_scribble_spoil_at_most_results),
    };
    return run_group("result", tests, COUNT(tests), argc, argv);
}
