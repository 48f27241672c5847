/* Waiting for several futures: future_wait_many(), future_as_completed(). */
#include "support.h"

#include <pthread.h>

enum { GATES = 4 };

/* A pool with a worker for each gate; each worker runs a task that waits at its gate. */
struct held {
    struct gate *gates;
    struct pool *pool;
    struct future *futures[GATES];
};

static int fail_behind_gate_task(const void *in, void *out) {
    return gate_task(in, out) ? 1 : 7;
}

static struct held hold(void) {
    struct held h = {.gates = shared(GATES * sizeof *h.gates)};
    h.pool = pool_of(GATES);
    for (int i = 0; i < GATES; i++) {
        struct gate *gate = &h.gates[i];
        h.futures[i] = submit(h.pool, i == 3 ? fail_behind_gate_task : gate_task, &gate, sizeof gate, 0);
    }
    for (int i = 0; i < GATES; i++) assert_true(gate_reached(&h.gates[i], 1));
    return h;
}

static void let_go(struct held *h) {
    for (int i = 0; i < GATES; i++) gate_open(&h->gates[i]);
    for (int i = 0; i < GATES; i++) future_free(h->futures[i]);
    pool_destroy(h->pool);
}

TEST_CASE(a_wait_for_the_first_ends_when_one_is_done) {
    struct held h = hold();
    int64_t start = now_ms();
    assert_code(future_wait_many(h.futures, GATES, POOL_FIRST_COMPLETED, 0), POOL_ETIMEDOUT);
    assert_code(future_wait_many(h.futures, GATES, POOL_FIRST_COMPLETED, 40), POOL_ETIMEDOUT);
    assert_took(start, 40, PATIENCE);
    gate_open(&h.gates[2]);
    assert_ok(future_wait_many(h.futures, GATES, POOL_FIRST_COMPLETED, PATIENCE));
    assert_true(future_done(h.futures[2]));
    for (int i = 0; i < GATES; i++) assert_int_equal(future_done(h.futures[i]), i == 2);
    assert_ok(future_wait_many(h.futures, GATES, POOL_FIRST_COMPLETED, 0));
    assert_code(future_wait_many(h.futures, 2, POOL_FIRST_COMPLETED, 0), POOL_ETIMEDOUT);
    let_go(&h);
}

TEST_CASE(a_wait_for_the_first_failure_ends_when_one_fails) {
    struct held h = hold();
    gate_open(&h.gates[0]);
    assert_ok(future_wait(h.futures[0], PATIENCE));
    assert_code(future_wait_many(h.futures, GATES, POOL_FIRST_FAILED, 20), POOL_ETIMEDOUT);
    gate_open(&h.gates[3]);
    assert_ok(future_wait_many(h.futures, GATES, POOL_FIRST_FAILED, PATIENCE));
    assert_code(future_get(h.futures[3], NULL, 0), POOL_EFAILED);
    assert_false(future_done(h.futures[1]) || future_done(h.futures[2]));
    assert_code(future_wait_many(h.futures, 3, POOL_FIRST_FAILED, 0), POOL_ETIMEDOUT);
    gate_open(&h.gates[1]);
    gate_open(&h.gates[2]); /* if none fails, the wait lasts until all are done */
    assert_ok(future_wait_many(h.futures, 3, POOL_FIRST_FAILED, PATIENCE));
    assert_true(future_done(h.futures[1]) && future_done(h.futures[2]));
    let_go(&h);
}

TEST_CASE(a_wait_for_all_ends_when_the_last_is_done) {
    struct held h = hold();
    for (int i = 0; i < GATES; i++) {
        assert_code(future_wait_many(h.futures, GATES, POOL_ALL_COMPLETED, i * 10), POOL_ETIMEDOUT);
        gate_open(&h.gates[(i + 2) % GATES]);
    }
    assert_ok(future_wait_many(h.futures, GATES, POOL_ALL_COMPLETED, PATIENCE));
    for (int i = 0; i < GATES; i++) assert_true(future_done(h.futures[i]));
    assert_ok(future_wait_many(h.futures, GATES, POOL_ALL_COMPLETED, 0));
    assert_ok(future_wait_many(NULL, 0, POOL_ALL_COMPLETED, 0));
    assert_ok(future_wait_many(h.futures, 0, POOL_FIRST_COMPLETED, -1));
    let_go(&h);
}

TEST_CASE(a_hundred_thousand_futures_can_be_waited_for_at_once) {
    enum { TASKS = 100000 };
    struct pool *pool = pool_of(2);
    struct future **futures = malloc(TASKS * sizeof *futures);
    submit_squares(pool, futures, TASKS);
    assert_ok(future_wait_many(futures, TASKS, POOL_ALL_COMPLETED, PATIENCE));
    for (long i = 0; i < TASKS; i++) {
        if (!future_done(futures[i])) assert_true(future_done(futures[i]));
        future_free(futures[i]);
    }
    free(futures);
    pool_destroy(pool);
}

/* ---- future_as_completed() --------------------------------------------------------------------------------------- */

TEST_CASE(futures_come_in_the_order_in_which_they_are_done) {
    static const int order[GATES] = {1, 3, 0, 2};
    struct held h = hold();
    struct stream *stream;
    struct future *next = NULL;
    gate_open(&h.gates[order[0]]);
    assert_ok(future_wait(h.futures[order[0]], PATIENCE));
    assert_ok(future_as_completed(h.futures, GATES, &stream));
    for (int i = 0; i < GATES; i++) {
        if (i > 0) {
            assert_code(stream_next_future(stream, &next, 0), POOL_ETIMEDOUT);
            assert_code(stream_next_future(stream, &next, 20), POOL_ETIMEDOUT);
            gate_open(&h.gates[order[i]]);
        }
        assert_ok(stream_next_future(stream, &next, PATIENCE));
        assert_true(next == h.futures[order[i]]);
        assert_true(future_done(next));
    }
    next = NULL;
    assert_code(stream_next_future(stream, &next, -1), POOL_END);
    assert_code(stream_next_future(stream, &next, -1), POOL_END);
    assert_null(next);
    stream_free(stream);
    let_go(&h);
}

/* The stream must deliver each of the futures once, and then end. Frees each when it is delivered, if `free_each`: the
 * stream does not need it any more. */
static void assert_each_comes_once(struct stream *stream, struct future **futures, int count, bool free_each) {
    int delivered[8] = {0};
    struct future *next;
    for (int i = 0; i < count; i++) {
        assert_ok(stream_next_future(stream, &next, PATIENCE));
        for (int k = 0; k < count; k++) delivered[k] += next == futures[k];
        if (free_each) future_free(next);
    }
    assert_code(stream_next_future(stream, &next, PATIENCE), POOL_END);
    for (int k = 0; k < count; k++) assert_int_equal(delivered[k], 1);
}

TEST_CASE(a_future_that_is_named_twice_counts_once) {
    struct held h = hold();
    struct future *twice[3 * GATES];
    for (int i = 0; i < 3 * GATES; i++) twice[i] = h.futures[i % GATES];
    struct stream *streams[2];
    for (int s = 0; s < 2; s++)
        assert_ok(future_as_completed(twice, 3 * GATES, &streams[s])); /* two sets of the same */
    gate_open(&h.gates[0]);
    assert_ok(future_wait_many(twice, 3 * GATES, POOL_FIRST_COMPLETED, PATIENCE));
    for (int i = 1; i < GATES; i++) gate_open(&h.gates[i]);
    assert_ok(future_wait_many(twice, 3 * GATES, POOL_ALL_COMPLETED, PATIENCE));
    for (int s = 0; s < 2; s++) {
        assert_each_comes_once(streams[s], h.futures, GATES, false);
        stream_free(streams[s]);
    }
    let_go(&h);
}

TEST_CASE(jobs_and_tasks_can_be_waited_for_together) {
    enum { ITEMS = 1000 };
    struct pool *pool = pool_of(2);
    static long in[ITEMS], out[ITEMS];
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = ITEMS};
    struct future *futures[4];
    assert_ok(pool_map_async(pool, &job, &futures[0]));
    futures[1] = submit(pool, square_task, in, sizeof *in, sizeof *out);
    job.count = 0;
    assert_ok(pool_map_async(pool, &job, &futures[2]));
    futures[3] = submit(pool, pid_task, NULL, 0, 0);
    future_cancel(futures[3]); /* unless it is done before */
    struct stream *stream;
    assert_ok(future_as_completed(futures, 4, &stream));
    assert_each_comes_once(stream, futures, 4, true);
    stream_free(stream);
    for (long i = 0; i < ITEMS; i++) assert_int_equal(out[i], i * i);
    pool_destroy(pool);
}

static int64_t time_of(struct pool *pool, size_t tasks) {
    struct future **futures = malloc(tasks * sizeof *futures), *next;
    for (size_t i = 0; i < tasks; i++) futures[i] = submit(pool, pid_task, NULL, 0, sizeof(pid_t));
    struct stream *stream;
    int64_t start = now_ms();
    assert_ok(future_as_completed(futures, tasks, &stream));
    size_t told = 0;
    for (; stream_next_future(stream, &next, PATIENCE) == 0; told++) future_free(next);
    assert_int_equal(told, tasks);
    stream_free(stream);
    free(futures);
    return now_ms() - start;
}

TEST_CASE(the_cost_of_a_completion_does_not_grow_with_the_number_of_futures) {
    struct pool *pool = pool_of(2);
    size_t few = scaled(10000);
    int64_t short_time = time_of(pool, few), long_time = time_of(pool, 20 * few);
    assert_true(long_time <= 20 * 10 * (short_time + 10)); /* a quadratic cost would be 400 times as much */
    pool_destroy(pool);
}

TEST_CASE(a_freed_future_leaves_the_stream) {
    struct held h = hold();
    struct stream *stream;
    struct future *next;
    assert_ok(future_as_completed(h.futures, GATES, &stream));
    gate_open(&h.gates[0]);
    assert_ok(future_wait(h.futures[0], PATIENCE));
    future_free(h.futures[0]); /* done, but not delivered */
    future_free(h.futures[1]); /* not done */
    h.futures[0] = h.futures[1] = NULL;
    for (int i = 1; i < GATES; i++) gate_open(&h.gates[i]);
    for (int i = 0; i < 2; i++) {
        assert_ok(stream_next_future(stream, &next, PATIENCE));
        assert_true(next == h.futures[2] || next == h.futures[3]);
    }
    assert_code(stream_next_future(stream, &next, PATIENCE), POOL_END);
    stream_free(stream);
    let_go(&h);
}

static void *next_of_freed(void *stream) {
    struct future *next = NULL;
    return stream_next_future(stream, &next, PATIENCE) == POOL_END ? NULL : "no";
}

/* The tasks of the stream do not end meanwhile, and neither does any other. */
TEST_CASE(a_wait_for_a_stream_ends_when_its_last_future_is_freed) {
    struct held h = hold();
    struct stream *stream;
    struct future *next;
    void *wrong = "no";
    pthread_t thread;
    assert_ok(future_as_completed(h.futures, 2, &stream));
    assert_int_equal(pthread_create(&thread, NULL, next_of_freed, stream), 0);
    for (int64_t start = now_ms(); stream_next_future(stream, &next, 0) != POOL_EBUSY; sleep_ms(1)) /* until it waits */
        assert_true(now_ms() - start < PATIENCE);
    sleep_ms(20);
    future_free(h.futures[0]);
    future_free(h.futures[1]);
    h.futures[0] = h.futures[1] = NULL;
    pthread_join(thread, &wrong);
    assert_null(wrong);
    stream_free(stream);
    for (int i = 0; i < GATES; i++) gate_open(&h.gates[i]);
    let_go(&h);
}

TEST_CASE(stream_free_leaves_the_futures_alone) {
    struct held h = hold();
    struct stream *stream;
    struct future *next;
    assert_ok(future_as_completed(h.futures, GATES, &stream));
    gate_open(&h.gates[0]);
    assert_ok(stream_next_future(stream, &next, PATIENCE));
    gate_open(&h.gates[1]);
    assert_ok(future_wait(h.futures[1], PATIENCE));
    stream_free(stream);
    gate_open(&h.gates[2]);
    assert_ok(future_get(h.futures[1], NULL, PATIENCE));
    assert_ok(future_get(h.futures[2], NULL, PATIENCE));
    let_go(&h);
}

TEST_CASE(a_stream_of_futures_outlives_their_pool) {
    struct held h = hold();
    struct stream *stream;
    struct future *next;
    assert_ok(future_as_completed(h.futures, GATES, &stream));
    gate_open(&h.gates[0]);
    assert_ok(future_wait(h.futures[0], PATIENCE));
    pool_destroy(h.pool);
    for (int i = 0; i < GATES; i++) {
        assert_ok(stream_next_future(stream, &next, PATIENCE));
        assert_code(future_get(next, NULL, 0), next == h.futures[0] ? 0 : POOL_ECANCELLED);
    }
    assert_code(stream_next_future(stream, &next, PATIENCE), POOL_END);
    assert_ok(future_wait_many(h.futures, GATES, POOL_ALL_COMPLETED, -1));
    for (int i = 0; i < GATES; i++) future_free(h.futures[i]);
    stream_free(stream);
}

static void free_stream(struct future *future, void *arg) {
    (void)future;
    stream_free(arg);
}

TEST_CASE(a_callback_may_free_the_stream_that_its_thread_waits_for) {
    struct held h = hold();
    struct stream *stream;
    struct future *next = NULL;
    assert_ok(future_as_completed(&h.futures[1], 2, &stream));
    struct future *late = submit(h.pool, pid_task, NULL, 0, 0);
    assert_ok(future_on_done(late, free_stream, stream));
    gate_open(&h.gates[0]); /* gives `late` a worker */
    assert_code(stream_next_future(stream, &next, PATIENCE), POOL_ECANCELLED);
    assert_null(next);
    future_free(late);
    let_go(&h);
}

static void *next_in_thread(void *stream) {
    struct future *next = NULL;
    return stream_next_future(stream, &next, PATIENCE) == POOL_ECANCELLED && !next ? NULL : "no";
}

TEST_CASE(a_callback_may_free_the_stream_that_another_thread_waits_for) {
    struct held h = hold();
    struct stream *stream;
    void *wrong = "no";
    pthread_t thread;
    assert_ok(future_as_completed(&h.futures[1], 2, &stream));
    assert_int_equal(pthread_create(&thread, NULL, next_in_thread, stream), 0);
    struct future *next;
    for (int64_t start = now_ms(); stream_next_future(stream, &next, 0) != POOL_EBUSY; sleep_ms(1)) /* until it waits */
        assert_true(now_ms() - start < PATIENCE);
    gate_open(&h.gates[0]);
    assert_ok(future_wait(h.futures[0], PATIENCE));
    assert_ok(future_on_done(h.futures[0], free_stream, stream)); /* called at once */
    pthread_join(thread, &wrong);
    assert_null(wrong);
    let_go(&h);
}

static void *wait_in_thread(void *argument) {
    struct held *h = argument;
    return future_wait_many(h->futures, GATES, POOL_ALL_COMPLETED, PATIENCE) ? "no" : NULL;
}

TEST_CASE(threads_may_wait_for_the_same_futures) {
    struct held h = hold();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, wait_in_thread, &h), 0);
    for (int i = 0; i < GATES; i++) {
        sleep_ms(5);
        gate_open(&h.gates[i]);
    }
    for (int i = 0; i < 3; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        assert_null(complaint);
    }
    let_go(&h);
}

static int use_foreign_futures(void *argument) {
    struct held *h = argument;
    struct stream *stream;
    EXPECT(future_wait_many(h->futures, GATES, POOL_ALL_COMPLETED, 0) == POOL_EFOREIGN);
    EXPECT(future_as_completed(h->futures, GATES, &stream) == POOL_EFOREIGN);
    return 0;
}

TEST_CASE(wrong_arguments_have_their_codes) {
    struct held h = hold();
    struct pool *other = pool_of(1);
    struct future *strange = submit(other, pid_task, NULL, 0, 0), *next = NULL;
    struct stream *stream = NULL;
    struct future *of_two[] = {h.futures[0], strange}, *with_null[] = {h.futures[0], NULL};
    assert_code(future_wait_many(of_two, 2, POOL_ALL_COMPLETED, 0), POOL_EINVAL);
    assert_code(future_wait_many(with_null, 2, POOL_ALL_COMPLETED, 0), POOL_EINVAL);
    assert_code(future_wait_many(NULL, 1, POOL_ALL_COMPLETED, 0), POOL_EINVAL);
    assert_code(future_wait_many(h.futures, GATES, 3, 0), POOL_EINVAL);
    assert_code(future_wait_many(h.futures, GATES, -1, 0), POOL_EINVAL);
    assert_code(future_wait_many(h.futures, GATES, POOL_ALL_COMPLETED, -2), POOL_EINVAL);
    assert_code(future_as_completed(of_two, 2, &stream), POOL_EINVAL);
    assert_code(future_as_completed(with_null, 2, &stream), POOL_EINVAL);
    assert_code(future_as_completed(NULL, 1, &stream), POOL_EINVAL);
    assert_code(future_as_completed(h.futures, GATES, NULL), POOL_EINVAL);
    assert_null(stream);
    assert_ok(future_as_completed(NULL, 0, &stream));
    assert_code(stream_next_future(stream, &next, -1), POOL_END);
    assert_int_equal(stream_size(stream), 0);
    stream_free(stream);
    assert_ok(future_as_completed(h.futures, GATES, &stream));
    struct pool_failure failure;
    assert_code(stream_next(stream, NULL, 0), POOL_EINVAL);
    assert_code(stream_failure(stream, &failure), POOL_EINVAL);
    assert_code(stream_next_future(NULL, &next, 0), POOL_EINVAL);
    assert_code(stream_next_future(stream, NULL, 0), POOL_EINVAL);
    assert_code(stream_next_future(stream, &next, -2), POOL_EINVAL);
    assert_child_passes(use_foreign_futures, &h);
    stream_free(stream);
    future_free(strange);
    pool_destroy(other);
    let_go(&h);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_wait_for_the_first_ends_when_one_is_done),
        TEST(a_wait_for_the_first_failure_ends_when_one_fails),
        TEST(a_wait_for_all_ends_when_the_last_is_done),
        TEST(a_hundred_thousand_futures_can_be_waited_for_at_once),
        TEST(futures_come_in_the_order_in_which_they_are_done),
        TEST(a_future_that_is_named_twice_counts_once),
        TEST(jobs_and_tasks_can_be_waited_for_together),
        TEST(the_cost_of_a_completion_does_not_grow_with_the_number_of_futures),
        TEST(a_freed_future_leaves_the_stream),
        TEST(a_wait_for_a_stream_ends_when_its_last_future_is_freed),
        TEST(stream_free_leaves_the_futures_alone),
        TEST(a_stream_of_futures_outlives_their_pool),
        TEST(a_callback_may_free_the_stream_that_its_thread_waits_for),
        TEST(a_callback_may_free_the_stream_that_another_thread_waits_for),
        TEST(threads_may_wait_for_the_same_futures),
        TEST(wrong_arguments_have_their_codes),
    };
    return run_group("wait", tests, COUNT(tests), argc, argv);
}
