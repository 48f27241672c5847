/* A future that only its handle refers to is detached: it is freed without the lock, and used again. Any other
 * reference keeps it. The last reference to the pool, of whatever kind, frees the pool's memory; valgrind and
 * AddressSanitizer check that it does. */
#include "support.h"

#include <pthread.h>

#include "pool/call.h"

enum { MANY = 300, LARGE = 1000 };

static bool is_detached(const struct future *future) {
    return atomic_load(&future->done) == PP_DETACHED;
}

static void get_squares(struct future **futures, long count) {
    for (long i = 0; i < count; i++) {
        long result = -1;
        assert_ok(future_get(futures[i], &result, PATIENCE));
        assert_int_equal(result, i * i);
        assert_true(is_detached(futures[i]));
    }
}

static void free_all(struct future **futures, long count) {
    for (long i = 0; i < count; i++) future_free(futures[i]);
}

TEST_CASE(freed_futures_are_used_again) {
    struct pool *pool = pool_of(2);
    struct future *futures[MANY];
    for (int round = 0; round < 5; round++) {
        submit_squares(pool, futures, MANY);
        get_squares(futures, MANY);
        free_all(futures, MANY);
        assert_true(atomic_load(&pool->futures.freed) == futures[MANY - 1]);
    }
    assert_true(pool->references <= 1 + 2 * MANY); /* no future was allocated while freed ones were left */
    pool_destroy(pool);
}

TEST_CASE(each_future_outlives_the_pool) {
    struct pool *pool = pool_of(2);
    struct future *futures[MANY];
    submit_squares(pool, futures, MANY);
    get_squares(futures, MANY);
    free_all(futures, 200);
    submit_squares(pool, futures, 150); /* these use some of the freed ones again */
    assert_non_null(pool->futures.reusable);
    get_squares(futures, 150);
    free_all(&futures[100], 50);
    assert_non_null(atomic_load(&pool->futures.freed));
    pool_destroy(pool);
    assert_int_equal(pool->references, 100 + MANY - 200);
    get_squares(futures, 100);
    free_all(futures, 100);
    assert_int_equal(pool->references, MANY - 200);
    for (long i = 200; i < MANY; i++) {
        long result = -1;
        assert_ok(future_get(futures[i], &result, 0));
        assert_int_equal(result, i * i);
        future_free(futures[i]);
    }
}

/* So many futures lie in large blocks. */
TEST_CASE(futures_in_large_blocks_work_as_those_in_small_ones) {
    enum { VERY_MANY = 40000 };
    static struct future *futures[VERY_MANY];
    struct pool *pool = pool_of(2);
    for (int round = 0; round < 2; round++) {
        submit_squares(pool, futures, VERY_MANY);
        if (sizeof(void *) == 8)
            for (long i = 0; i < VERY_MANY; i++) assert_int_equal((uintptr_t)futures[i] % PP_LINE, 0);
        get_squares(futures, VERY_MANY);
        if (round == 0) free_all(futures, VERY_MANY);
    }
    free_all(futures, VERY_MANY / 2);
    pool_destroy(pool);
    for (long i = VERY_MANY / 2; i < VERY_MANY; i++) {
        long result = -1;
        assert_ok(future_get(futures[i], &result, 0));
        assert_int_equal(result, i * i);
        future_free(futures[i]);
    }
}

struct freer {
    pthread_t thread;
    struct future *futures[MANY];
    atomic_int begun;
};

static void *free_them(void *argument) {
    struct freer *freer = argument;
    for (int i = 0; i < MANY; i++) {
        atomic_store(&freer->begun, i);
        future_free(freer->futures[i]);
    }
    return NULL;
}

TEST_CASE(threads_may_free_futures_while_the_pool_ends) {
    for (int round = 0; round < 30; round++) {
        struct pool *pool = pool_of(1);
        struct freer freers[2];
        for (int t = 0; t < 2; t++) {
            submit_squares(pool, freers[t].futures, MANY);
            get_squares(freers[t].futures, MANY);
            atomic_store(&freers[t].begun, 0);
        }
        for (int t = 0; t < 2; t++) assert_ok(pthread_create(&freers[t].thread, NULL, free_them, &freers[t]));
        while (atomic_load(&freers[0].begun) < round * MANY / 60) continue;
        pool_destroy(pool);
        for (int t = 0; t < 2; t++) pthread_join(freers[t].thread, NULL);
    }
}

static int first_input_task(const void *in, void *out) {
    (void)in;
    size_t size = 0;
    const void *input = task_input(0, &size);
    if (size != sizeof(long)) return 1;
    memcpy(out, input, size);
    return 0;
}

TEST_CASE(a_dependent_task_keeps_a_freed_future) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *futures[MANY], *after[2], *dependent;
    long x = 7, result = 0;
    after[0] = submit_square(pool, x);
    after[1] = submit_gated(pool, gate);
    assert_ok(future_wait(after[0], PATIENCE));
    assert_true(is_detached(after[0]));
    struct pool_task task = {.fn = first_input_task, .out_size = sizeof x, .after = after, .after_count = 2};
    assert_ok(pool_submit(pool, &task, &dependent));
    assert_false(is_detached(after[0]));
    future_free(after[0]);
    submit_squares(pool, futures, MANY); /* one of these would get the memory, were it free */
    gate_open(gate);
    assert_ok(finish(dependent, &result));
    assert_int_equal(result, x * x);
    get_squares(futures, MANY);
    free_all(futures, MANY);
    assert_ok(finish(after[1], NULL));
    pool_destroy(pool);
}

TEST_CASE(a_stream_of_futures_drops_a_freed_future) {
    struct pool *pool = pool_of(2);
    struct future *futures[2];
    struct stream *stream;
    submit_squares(pool, futures, 2);
    get_squares(futures, 2);
    assert_ok(future_as_completed(futures, 2, &stream));
    assert_false(is_detached(futures[0]));
    future_free(futures[0]);
    struct future *next = NULL;
    assert_ok(stream_next_future(stream, &next, PATIENCE));
    assert_true(next == futures[1]);
    stream_free(stream);
    future_free(futures[1]);
    pool_destroy(pool);
}

/* A waiting call may have its outcome from another thread's call and not have returned yet. */
TEST_CASE(a_waiting_call_keeps_a_freed_future) {
    struct pool *pool = pool_of(2);
    struct future *futures[MANY];
    submit_squares(pool, futures, MANY);
    pp_lock(pool);
    pp_pin(futures[0]);
    pp_unlock(pool);
    assert_ok(future_wait(futures[0], PATIENCE));
    assert_false(is_detached(futures[0]));
    future_free(futures[0]);
    assert_true(futures[0]->pool == pool);
    pp_lock(pool);
    pp_unpin(futures[0]);
    pp_unlock(pool);
    assert_null(futures[0]->pool);
    free_all(&futures[1], MANY - 1);
    pool_destroy(pool);
}

TEST_CASE(a_watched_future_is_not_detached_when_it_is_done) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *future = submit_gated(pool, gate), *next = NULL;
    struct stream *stream;
    assert_ok(future_as_completed(&future, 1, &stream));
    gate_open(gate);
    assert_ok(future_wait(future, PATIENCE));
    future_free(future);
    assert_code(stream_next_future(stream, &next, 0), POOL_END);
    stream_free(stream);
    pool_destroy(pool);
}

static void free_it(struct future *future, void *argument) {
    *(int *)argument += !is_detached(future);
    future_free(future);
}

TEST_CASE(a_callback_may_free_a_detached_future) {
    struct pool *pool = pool_of(2);
    struct future *futures[MANY];
    int calls = 0;
    submit_squares(pool, futures, MANY);
    get_squares(futures, MANY);
    for (int i = 0; i < MANY; i++) assert_ok(future_on_done(futures[i], free_it, &calls));
    assert_int_equal(calls, MANY);
    pool_destroy(pool);
}

static int fail_task(const void *in, void *out) {
    (void)in, (void)out;
    return task_fail(3, "no");
}

static int large_task(const void *in, void *out) {
    (void)in;
    memset(out, 1, LARGE);
    return 0;
}

TEST_CASE(a_future_with_a_message_or_a_large_result_is_not_detached) {
    struct pool *pool = pool_of(2);
    size_t left = pool->memory.arena_left;
    struct future *failed = submit(pool, fail_task, NULL, 0, 0), *large = submit(pool, large_task, NULL, 0, LARGE);
    assert_ok(future_wait(failed, PATIENCE));
    assert_ok(future_wait(large, PATIENCE));
    assert_false(is_detached(failed) || is_detached(large));
    future_free(failed);
    future_free(large);
    assert_int_equal(pool->memory.arena_left, left);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(freed_futures_are_used_again),
        TEST(each_future_outlives_the_pool),
        TEST(futures_in_large_blocks_work_as_those_in_small_ones),
        TEST(threads_may_free_futures_while_the_pool_ends),
        TEST(a_dependent_task_keeps_a_freed_future),
        TEST(a_stream_of_futures_drops_a_freed_future),
        TEST(a_watched_future_is_not_detached_when_it_is_done),
        TEST(a_waiting_call_keeps_a_freed_future),
        TEST(a_callback_may_free_a_detached_future),
        TEST(a_future_with_a_message_or_a_large_result_is_not_detached),
    };
    return run_group("future_alloc", tests, COUNT(tests), argc, argv);
}
