/* Generous room for results of unknown length: out_size with task_resize(). It is taken when a task is sent, counts
 * until the task is done, and then as far as it was used. */
#include "support.h"

#include "pool/pool.h"

static const size_t mib = (size_t)1 << 20;

struct order {
    uint64_t seed;
    size_t size;
};

static int write_task(const void *in, void *out) {
    const struct order *order = in;
    fill(out, order->size, order->seed);
    return task_resize(order->size);
}

static int order_of(struct pool *pool, struct future **future, size_t size, size_t room) {
    static uint64_t seed;
    struct order order = {++seed, size};
    struct pool_task task = {.fn = write_task, POOL_IN(&order), .out_size = room};
    int error = pool_submit(pool, &task, future);
    return error ? error : (int)seed;
}

static struct future *ordered(struct pool *pool, size_t size, size_t room, uint64_t *seed) {
    struct future *future = NULL;
    int made = order_of(pool, &future, size, room);
    assert_true(made > 0);
    *seed = (uint64_t)made;
    return future;
}

static char result[3 << 20];

static void check_order(struct future *future, size_t size, uint64_t seed) {
    assert_int_equal(future_size(future), size);
    assert_ok(future_get(future, result, PATIENCE));
    assert_true(filled(result, size, seed));
}

static struct pool *pool_with(int workers, size_t arena_size, int backend) {
    struct pool_options options = test_options(workers);
    options.arena_size = arena_size;
    options.backend = backend;
    return pool_from(&options);
}

/* Short results, and those around each size at which a result lies elsewhere; in turn, since a worker that has just had
 * a short result writes the next one elsewhere, too. */
TEST_CASE(results_of_any_length_are_right_in_room_of_any_size) {
    static const size_t sizes[] = {0, 1, 47, 48, 49, 247, 248, 249, 256, 100, 4095, 4096, 4097, 200, 70000, 3, 1 << 20};
    static const size_t rooms[] = {4096, 4097, 70000, 1 << 20, 3 << 20};
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool *pool = pool_with(2, 0, backend);
        struct future *futures[COUNT(sizes) * COUNT(rooms)];
        uint64_t seeds[COUNT(futures)];
        for (int order = 0; order < 2; order++) {
            size_t n = 0;
            for (size_t i = 0; i < COUNT(futures); i++) {
                size_t size = sizes[i % COUNT(sizes)], room = rooms[order ? i % COUNT(rooms) : i / COUNT(sizes)];
                if (size <= room) futures[n] = ordered(pool, size, room, &seeds[n]), n++;
            }
            n = 0;
            for (size_t i = 0; i < COUNT(futures); i++) {
                size_t size = sizes[i % COUNT(sizes)], room = rooms[order ? i % COUNT(rooms) : i / COUNT(sizes)];
                if (size > room) continue;
                assert_ok(future_wait(futures[n], PATIENCE));
                check_order(futures[n], size, seeds[n]);
                future_free(futures[n++]);
            }
        }
        pool_destroy(pool);
    }
}

static int full_task(const void *in, void *out) {
    fill(out, mib, *(const uint64_t *)in);
    return 0;
}

/* A task that says nothing of its size after others that did. */
TEST_CASE(a_full_result_after_short_ones_is_right) {
    struct pool *pool = pool_of(1);
    for (uint64_t seed = 1; seed < 10; seed++) {
        uint64_t short_seed;
        struct future *future = ordered(pool, 10, mib, &short_seed);
        assert_ok(future_wait(future, PATIENCE));
        check_order(future, 10, short_seed);
        future_free(future);
        assert_ok(finish(submit(pool, full_task, &seed, sizeof seed, mib), result));
        assert_true(filled(result, mib, seed));
    }
    pool_destroy(pool);
}

/* KiB of private memory of this process; -1: unknown. */
static long private_kib(void) {
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && kib < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %ld", &kib) != 1) kib = -1;
    if (file) fclose(file);
    return kib;
}

TEST_CASE(two_thousand_tasks_with_64_mib_of_room_each_wait_in_a_default_pool) {
    if (instrumented() || sizeof(size_t) < 8) return;
    enum { TASKS = 2000 };
    static struct future *futures[TASKS];
    static uint64_t seeds[TASKS];
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *blocked = block_worker(pool, gate);
    long before = private_kib();
    for (size_t i = 0; i < TASKS; i++) futures[i] = ordered(pool, 100, 64 * mib, &seeds[i]);
    if (before >= 0) assert_true(private_kib() - before < 10 * 1024);
    gate_open(gate);
    assert_ok(finish(blocked, NULL));
    for (size_t i = 0; i < TASKS; i++) {
        assert_ok(future_wait(futures[i], PATIENCE));
        check_order(futures[i], 100, seeds[i]);
    }
    /* All are held, and have what they need: not a page each. */
    assert_true(pool->shared.arena_size - pool->memory.arena_left < 100 * 4096);
    assert_true(pages_in(pool->shared.results, (size_t)pool->memory.results.runs.touched * PP_PAGE) < TASKS);
    for (size_t i = 0; i < TASKS; i++) future_free(futures[i]);
    pool_destroy(pool);
}

TEST_CASE(tasks_without_room_wait_until_results_are_freed) {
    for (int backend = POOL_PROCESSES; backend <= POOL_THREADS; backend++) {
        struct pool *pool = pool_with(2, 4 * mib, backend);
        struct future *futures[50];
        uint64_t seeds[COUNT(futures)];
        for (size_t i = 0; i < COUNT(futures); i++) futures[i] = ordered(pool, mib, mib, &seeds[i]);
        for (size_t i = 0; i < COUNT(futures); i++) {
            assert_ok(future_wait(futures[i], PATIENCE));
            check_order(futures[i], mib, seeds[i]);
            future_free(futures[i]);
        }
        pool_destroy(pool);
    }
}

TEST_CASE(a_wait_for_a_task_that_gets_no_room_ends_and_nothing_else_is_lost) {
    struct pool *pool = pool_with(2, 4 * mib, POOL_PROCESSES);
    struct future *futures[8];
    uint64_t seeds[COUNT(futures)];
    struct pool_failure failure;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(futures); i++) futures[i] = ordered(pool, mib, mib, &seeds[i]);
        size_t held = 0;
        while (held < 3 || !futures[held]->queued) assert_ok(future_wait(futures[held++], PATIENCE));
        assert_true(held <= 4);
        assert_code(future_wait(futures[held], 20), POOL_ETIMEDOUT); /* it could still get room */
        assert_code(future_get(futures[held], NULL, -1), POOL_ENOMEM);
        assert_ok(future_failure(futures[held], &failure));
        assert_contains(failure.message, "no room for a result of 1048576 bytes");
        assert_square(submit_square(pool, 5), 5); /* what needs no room goes on */
        future_free(futures[held]);
        for (size_t i = 0; i < held; i++) {
            check_order(futures[i], mib, seeds[i]);
            future_free(futures[i]);
        }
        for (size_t i = held + 1; i < COUNT(futures); i++) { /* the rest gets theirs */
            assert_ok(future_wait(futures[i], -1));
            check_order(futures[i], mib, seeds[i]);
            future_free(futures[i]);
        }
    }
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

TEST_CASE(a_room_that_is_larger_than_the_arena_is_refused) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_with(1, 4 * mib, POOL_PROCESSES);
    struct future *blocked = block_worker(pool, gate), *none = NULL;
    assert_code(order_of(pool, &none, 1, 5 * mib), POOL_ENOMEM);
    assert_null(none);
    gate_open(gate);
    assert_ok(finish(blocked, NULL));
    pool_destroy(pool);
}

/* Those of low priority were sent first, and have all room; they are recalled, and give it up. */
TEST_CASE(a_task_of_higher_priority_gets_room_before_those_that_wait) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_with(1, 4 * mib, POOL_PROCESSES);
    struct future *blocked = block_worker(pool, gate), *low[6], *high;
    uint64_t seeds[COUNT(low)];
    for (size_t i = 0; i < COUNT(low); i++) low[i] = ordered(pool, mib, mib, &seeds[i]);
    struct order order = {99, 3 * mib};
    struct pool_task task = {.fn = write_task, POOL_IN(&order), .out_size = 3 * mib, .priority = 1};
    assert_ok(pool_submit(pool, &task, &high));
    gate_open(gate);
    assert_ok(finish(blocked, NULL));
    assert_ok(future_wait(high, PATIENCE));
    assert_false(future_done(low[1])); /* there is room for one beside it */
    check_order(high, 3 * mib, 99);
    future_free(high);
    for (size_t i = 0; i < COUNT(low); i++) {
        assert_ok(future_wait(low[i], PATIENCE));
        check_order(low[i], mib, seeds[i]);
        future_free(low[i]);
    }
    pool_destroy(pool);
}

static int first_byte_task(const void *in, void *out) {
    (void)in;
    size_t size;
    const unsigned char *data = task_input(0, &size);
    *(long *)out = data ? (long)size : -1;
    return 0;
}

/* The results that take all room are freed only when the tasks behind them have run. */
TEST_CASE(tasks_that_take_results_are_not_held_up_by_those_without_room) {
    struct pool *pool = pool_with(2, 4 * mib, POOL_PROCESSES);
    struct future *after[30];
    for (size_t i = 0; i < COUNT(after); i++) {
        uint64_t seed;
        struct future *before = ordered(pool, mib, mib, &seed);
        struct pool_task task = {
            .fn = first_byte_task, .after = &before, .after_count = 1, .out_size = sizeof(long)};
        assert_ok(pool_submit(pool, &task, &after[i]));
        future_free(before);
    }
    for (size_t i = 0; i < COUNT(after); i++) {
        long size = 0;
        assert_ok(future_get(after[i], &size, -1));
        assert_int_equal(size, mib);
        future_free(after[i]);
    }
    pool_destroy(pool);
}

static atomic_int *tries;

static int die_once_task(const void *in, void *out) {
    fill(out, mib, *(const uint64_t *)in);
    if (atomic_fetch_add(tries, 1) % 2 == 0) abort();
    return 0;
}

TEST_CASE(a_task_that_is_run_again_has_room_again) {
    tries = shared(sizeof *tries);
    struct pool *pool = pool_with(1, 2 * mib, POOL_PROCESSES);
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct future *future;
        struct pool_task task = {.fn = die_once_task, POOL_IN(&seed), .out_size = mib, .retries = 1};
        assert_ok(pool_submit(pool, &task, &future));
        assert_ok(finish(future, result));
        assert_true(filled(result, mib, seed));
    }
    assert_int_equal(*tries, 10);
    pool_destroy(pool);
}

TEST_CASE(cancelled_and_killed_tasks_leave_no_room_taken) {
    struct pool *pool = pool_with(2, 4 * mib, POOL_PROCESSES);
    for (int round = 0; round < 10; round++) {
        struct future *futures[20];
        uint64_t seed;
        for (size_t i = 0; i < COUNT(futures); i++) futures[i] = ordered(pool, mib, mib, &seed);
        for (size_t i = 0; i < COUNT(futures); i++) {
            if (i % 3 == 0) (void)future_cancel(futures[i]);
            else (void)future_kill(futures[i]);
        }
        for (size_t i = 0; i < COUNT(futures); i++) {
            (void)future_wait(futures[i], PATIENCE);
            future_free(futures[i]);
        }
    }
    void *all = pool_alloc(pool, 4 * mib);
    assert_non_null(all);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(results_of_any_length_are_right_in_room_of_any_size),
        TEST(a_full_result_after_short_ones_is_right),
        TEST(two_thousand_tasks_with_64_mib_of_room_each_wait_in_a_default_pool),
        TEST(tasks_without_room_wait_until_results_are_freed),
        TEST(a_wait_for_a_task_that_gets_no_room_ends_and_nothing_else_is_lost),
        TEST(a_room_that_is_larger_than_the_arena_is_refused),
        TEST(a_task_of_higher_priority_gets_room_before_those_that_wait),
        TEST(tasks_that_take_results_are_not_held_up_by_those_without_room),
        TEST(a_task_that_is_run_again_has_room_again),
        TEST(cancelled_and_killed_tasks_leave_no_room_taken),
    };
    return run_group("room", tests, COUNT(tests), argc, argv);
}
