/* future_on_done(): when and where callbacks run, in which order, and what they may do. */
#include "support.h"

#include <poll.h>
#include <pthread.h>

/* The callbacks that ran, in their order. */
struct diary {
    int calls;
    int order[16];
};

struct entry {
    struct diary *diary;
    int number;
};

static void note(struct future *future, void *arg) {
    struct entry *entry = arg;
    if (!future_done(future)) return; /* the diary then lacks an entry, and the test fails */
    if (entry->diary->calls < 16) entry->diary->order[entry->diary->calls] = entry->number;
    entry->diary->calls++;
}

static void count(struct future *future, void *arg) {
    (void)future;
    ++*(int *)arg;
}

TEST_CASE(callbacks_run_once_in_the_order_added_and_within_a_call) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *future = submit_gated(pool, gate);
    struct diary diary = {0};
    struct entry entries[5];
    for (int i = 0; i < 5; i++) {
        entries[i] = (struct entry){&diary, i};
        assert_ok(future_on_done(future, note, &entries[i]));
    }
    assert_true(gate_reached(gate, 1));
    assert_int_equal(diary.calls, 0);
    gate_open(gate);
    sleep_ms(20);
    assert_int_equal(diary.calls, 0); /* callbacks run only inside calls */
    assert_ok(future_get(future, NULL, PATIENCE));
    assert_int_equal(diary.calls, 5);
    for (int i = 0; i < 5; i++) assert_int_equal(diary.order[i], i);
    assert_int_equal(pool_poll(pool, 0), 1);
    assert_int_equal(diary.calls, 5);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_callback_added_to_a_done_future_runs_at_once) {
    struct pool *pool = pool_of(1);
    struct future *future = submit_square(pool, 2);
    assert_ok(future_wait(future, PATIENCE));
    int calls = 0;
    for (int i = 1; i <= 3; i++) {
        assert_ok(future_on_done(future, count, &calls));
        assert_int_equal(calls, i);
    }
    pool_destroy(pool);
    assert_ok(future_on_done(future, count, &calls)); /* a future outlives its pool */
    assert_int_equal(calls, 4);
    future_free(future);
}

TEST_CASE(each_outcome_of_tasks_and_jobs_runs_callbacks) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    int calls = 0;
    struct future *killed = submit_gated(pool, gate), *cancelled = submit_square(pool, 1), *job, *empty;
    long in[3] = {1, 2, 3}, out[3];
    struct pool_job work = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 3};
    assert_ok(pool_map_async(pool, &work, &job));
    work.count = 0;
    assert_ok(pool_map_async(pool, &work, &empty));
    struct future *all[] = {killed, cancelled, job, empty};
    for (size_t i = 0; i < COUNT(all); i++) assert_ok(future_on_done(all[i], count, &calls));
    assert_int_equal(calls, 1);
    assert_ok(future_cancel(cancelled));
    assert_int_equal(calls, 2);
    assert_true(gate_reached(gate, 1));
    assert_ok(future_kill(killed));
    assert_code(future_get(killed, NULL, PATIENCE), POOL_ECANCELLED);
    assert_ok(future_get(job, NULL, PATIENCE));
    assert_int_equal(calls, 4);
    for (size_t i = 0; i < COUNT(all); i++) future_free(all[i]);
    pool_destroy(pool);
}

static void open_it(struct future *future, void *arg) {
    (void)future;
    gate_open(arg);
}

TEST_CASE(callbacks_run_while_a_call_waits_for_another_future) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *slow = block_worker(pool, gate);
    struct future *quick = submit_square(pool, 5);
    /* The callback of `quick` opens the gate for `slow`: the wait for `slow` ends only if it runs. */
    assert_ok(future_on_done(quick, open_it, gate));
    assert_ok(future_get(slow, NULL, PATIENCE));
    future_free(slow);
    future_free(quick);
    pool_destroy(pool);
}

static void free_it(struct future *future, void *arg) {
    long result = -1;
    if (future_get(future, &result, 0) == 0) *(long *)arg += result;
    future_free(future);
}

TEST_CASE(a_callback_may_free_its_own_future) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    long sum = 0, result = -1;
    for (long i = 0; i < 1000; i++) assert_ok(future_on_done(submit_square(pool, i), free_it, &sum));
    while (sum != 999L * 1000 * 1999 / 6) assert_true(pool_poll(pool, PATIENCE) > 0);
    /* A callback may free even a future that a call waits for: that call still gets the result. The task is queued
     * behind two others until all is set up. */
    struct future *before[2];
    for (int i = 0; i < 2; i++) before[i] = submit_gated(pool, gate);
    struct future *awaited = submit_square(pool, 3);
    int calls = 0;
    sum = 0;
    assert_ok(future_on_done(awaited, free_it, &sum));
    assert_ok(future_on_done(awaited, count, &calls)); /* the callback before this one frees the future */
    gate_open(gate);
    assert_ok(future_get(awaited, &result, PATIENCE));
    for (int i = 0; i < 2; i++) assert_ok(finish(before[i], NULL));
    assert_int_equal(result, 9);
    assert_int_equal(sum, 9);
    assert_int_equal(calls, 0);
    pool_destroy(pool);
}

static void free_only(struct future *future, void *arg) {
    ++*(int *)arg;
    future_free(future);
}

TEST_CASE(a_call_copes_with_a_callback_that_frees_its_future) {
    for (int way = 0; way < 6; way++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_of(1);
        struct future *future = submit_gated(pool, gate);
        struct pool_failure failure = {.error = 1};
        int calls = 0;
        assert_ok(future_on_done(future, free_only, &calls));
        assert_true(gate_reached(gate, 1));
        if (way < 5) gate_open(gate);
        if (way < 3) sleep_ms(20); /* so that the first look finds it done */
        int error = POOL_EBUSY;
        switch (way) {
        case 0: while (calls == 0 && (error = future_failure(future, &failure)) != 0) sleep_ms(1); break;
        case 1: while (calls == 0 && !future_done(future)) sleep_ms(1); break;
        case 2: while (calls == 0 && future_running(future)) sleep_ms(1); break;
        case 3: assert_ok(future_wait(future, PATIENCE)); break;
        case 4: assert_ok(future_get(future, NULL, PATIENCE)); break;
        default: assert_ok(future_kill(future));
        }
        if (way == 0) assert_int_equal(failure.error, 0);
        if (way == 0) assert_ok(error);
        while (calls == 0) assert_true(pool_poll(pool, PATIENCE) >= 0);
        assert_int_equal(calls, 1);
        pool_destroy(pool);
    }
}

TEST_CASE(a_freed_future_runs_no_callbacks) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *running = submit_gated(pool, gate), *waiting = submit_square(pool, 1);
    int calls = 0;
    assert_ok(future_on_done(running, count, &calls));
    assert_ok(future_on_done(waiting, count, &calls));
    future_free(waiting);
    future_free(running);
    gate_open(gate);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_int_equal(calls, 0);
    pool_destroy(pool);
}

/* Each callback submits the next task, and frees its own. */
struct chain {
    struct pool *pool;
    long length;
    int error;
    int depth, deepest;
};

static void go_on(struct future *future, void *arg) {
    struct chain *chain = arg;
    if (++chain->depth > chain->deepest) chain->deepest = chain->depth;
    future_free(future);
    if (--chain->length > 0) {
        long value = chain->length;
        struct pool_task task = {.fn = square_task, POOL_IN(&value), .out_size = sizeof value};
        struct future *next;
        if (!chain->error) chain->error = pool_submit(chain->pool, &task, &next);
        if (!chain->error) chain->error = future_wait(next, PATIENCE);
        if (!chain->error) chain->error = future_on_done(next, go_on, chain); /* done: due at once */
    }
    chain->depth--;
}

TEST_CASE(callbacks_may_submit_wait_and_add_callbacks_without_nesting) {
    struct chain chain = {.pool = pool_of(1), .length = (long)scaled(20000)};
    assert_ok(future_on_done(submit_square(chain.pool, 1), go_on, &chain));
    while (chain.length > 0 && !chain.error) assert_true(pool_poll(chain.pool, PATIENCE) >= 0);
    assert_ok(chain.error);
    assert_int_equal(chain.deepest, 1);
    pool_destroy(chain.pool);
}

static void destroy_it(struct future *future, void *arg) {
    (void)future;
    struct pool **pool = arg;
    pool_destroy(*pool);
    *pool = NULL;
}

TEST_CASE(a_callback_may_destroy_the_pool) {
    for (int way = 0; way < 4; way++) {
        struct pool *pool = pool_of(2), *made = pool;
        struct future *future = submit_square(pool, 4), *other = submit(pool, forever_task, NULL, 0, 0);
        assert_ok(future_on_done(future, destroy_it, &pool));
        long result = -1;
        switch (way) {
        case 0:
            assert_ok(future_get(future, &result, PATIENCE));
            assert_int_equal(result, 16);
            break;
        case 1: assert_code(future_get(other, NULL, PATIENCE), POOL_ECANCELLED); break;
        case 2: assert_true(pool_poll(made, PATIENCE) >= 1); break;
        default: assert_ok(pool_shutdown(made, 0, PATIENCE)); break;
        }
        assert_null(pool);
        future_free(other);
        future_free(future);
    }
}

struct late {
    struct pool *pool;
    int outcome, submitted;
};

static void submit_more(struct future *future, void *arg) {
    struct late *late = arg;
    struct future *more;
    late->outcome = future_get(future, NULL, 0);
    late->submitted = pool_submit(late->pool, &(struct pool_task){.fn = square_task}, &more);
    pool_destroy(late->pool); /* the pool is being destroyed already: does nothing */
}

TEST_CASE(a_task_cancelled_by_pool_destroy_runs_its_callbacks) {
    struct late late = {.pool = pool_of(1)};
    struct future *future = submit(late.pool, forever_task, NULL, 0, 0);
    assert_ok(future_on_done(future, submit_more, &late));
    pool_destroy(late.pool);
    assert_code(late.outcome, POOL_ECANCELLED);
    assert_code(late.submitted, POOL_ECLOSED);
    future_free(future);
}

TEST_CASE(pool_poll_runs_callbacks) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct pollfd fd = {.fd = pool_fd(pool), .events = POLLIN};
    int calls = 0;
    struct future *future = submit_gated(pool, gate);
    assert_ok(future_on_done(future, count, &calls));
    assert_int_equal(poll(&fd, 1, 0), 0);
    gate_open(gate);
    assert_int_equal(poll(&fd, 1, PATIENCE), 1);
    assert_int_equal(calls, 0);
    assert_int_equal(pool_poll(pool, 0), 1);
    assert_int_equal(calls, 1);
    future_free(future);
    pool_destroy(pool);
}

/* Counts callbacks, and those that ran at the same time as another. */
struct crowd {
    struct pool *pool;
    atomic_int inside, overlaps, calls;
};

static void enter(struct future *future, void *arg) {
    struct crowd *crowd = arg;
    if (atomic_fetch_add(&crowd->inside, 1) != 0) atomic_fetch_add(&crowd->overlaps, 1);
    atomic_fetch_add(&crowd->calls, 1);
    atomic_fetch_sub(&crowd->inside, 1);
    future_free(future);
}

static void *throng(void *arg) {
    struct crowd *crowd = arg;
    for (long i = 0; i < 500; i++) {
        struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
        struct future *watched, *waited;
        if (pool_submit(crowd->pool, &task, &watched) || future_on_done(watched, enter, crowd)) return arg;
        if (pool_submit(crowd->pool, &task, &waited) || future_get(waited, NULL, PATIENCE)) return arg;
        future_free(waited);
    }
    return NULL;
}

TEST_CASE(callbacks_of_several_threads_run_one_at_a_time_and_once_each) {
    struct crowd crowd = {.pool = pool_of(2)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, throng, &crowd), 0);
    for (int i = 0; i < 4; i++) {
        void *failed = &crowd;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_ok(pool_shutdown(crowd.pool, 0, PATIENCE));
    assert_int_equal(atomic_load(&crowd.calls), 4 * 500);
    assert_int_equal(atomic_load(&crowd.overlaps), 0);
    pool_destroy(crowd.pool);
}

static int on_done_in_a_child(void *arg) {
    int calls = 0;
    EXPECT(future_on_done(arg, count, &calls) == POOL_EFOREIGN);
    EXPECT(calls == 0);
    return 0;
}

TEST_CASE(wrong_arguments_have_their_codes) {
    struct pool *pool = pool_of(1);
    struct future *future = submit_square(pool, 1);
    int calls = 0;
    assert_code(future_on_done(NULL, count, &calls), POOL_EINVAL);
    assert_code(future_on_done(future, NULL, &calls), POOL_EINVAL);
    assert_child_passes(on_done_in_a_child, future);
    assert_ok(finish(future, NULL));
    assert_int_equal(calls, 0);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(callbacks_run_once_in_the_order_added_and_within_a_call),
        TEST(a_callback_added_to_a_done_future_runs_at_once),
        TEST(each_outcome_of_tasks_and_jobs_runs_callbacks),
        TEST(callbacks_run_while_a_call_waits_for_another_future),
        TEST(a_callback_may_free_its_own_future),
        TEST(a_call_copes_with_a_callback_that_frees_its_future),
        TEST(a_freed_future_runs_no_callbacks),
        TEST(callbacks_may_submit_wait_and_add_callbacks_without_nesting),
        TEST(a_callback_may_destroy_the_pool),
        TEST(a_task_cancelled_by_pool_destroy_runs_its_callbacks),
        TEST(pool_poll_runs_callbacks),
        TEST(callbacks_of_several_threads_run_one_at_a_time_and_once_each),
        TEST(wrong_arguments_have_their_codes),
    };
    return run_group("callback", tests, COUNT(tests), argc, argv);
}
