/* future_on_done(): when, where, in which order, and what a callback may do. */
#include "support.h"

#include <poll.h>
#include <pthread.h>

/* What callbacks note of themselves. */
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
    if (!future_done(future)) return; /* and so it is missing */
    if (entry->diary->calls < 16) entry->diary->order[entry->diary->calls] = entry->number;
    entry->diary->calls++;
}

static void count(struct future *future, void *arg) {
    (void)future;
    ++*(int *)arg;
}

TEST_CASE(they_run_in_the_order_added_once_and_within_a_call) {
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
    assert_int_equal(diary.calls, 0); /* nothing happens outside of calls */
    assert_ok(future_get(future, NULL, PATIENCE));
    assert_int_equal(diary.calls, 5);
    for (int i = 0; i < 5; i++) assert_int_equal(diary.order[i], i);
    assert_int_equal(pool_poll(pool, 0), 1);
    assert_int_equal(diary.calls, 5);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(one_that_is_added_late_runs_at_once) {
    struct pool *pool = pool_of(1);
    struct future *future = submit_square(pool, 2);
    assert_ok(future_wait(future, PATIENCE));
    int calls = 0;
    for (int i = 1; i <= 3; i++) {
        assert_ok(future_on_done(future, count, &calls));
        assert_int_equal(calls, i);
    }
    pool_destroy(pool);
    assert_ok(future_on_done(future, count, &calls)); /* the future is still there */
    assert_int_equal(calls, 4);
    future_free(future);
}

TEST_CASE(every_outcome_and_jobs_have_them) {
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

TEST_CASE(they_run_while_a_call_waits_for_something_else) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *slow = block_worker(pool, gate);
    struct future *quick = submit_square(pool, 5);
    /* What `slow` waits for is done by the callback of `quick`: without it the wait would not end. */
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

TEST_CASE(one_may_free_its_own_future) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    long sum = 0, result = -1;
    for (long i = 0; i < 1000; i++) assert_ok(future_on_done(submit_square(pool, i), free_it, &sum));
    while (sum != 999L * 1000 * 1999 / 6) assert_true(pool_poll(pool, PATIENCE) > 0);
    /* Even one that a call waits for: that call has its result. It waits behind others until all is set up. */
    struct future *before[2];
    for (int i = 0; i < 2; i++) before[i] = submit_gated(pool, gate);
    struct future *awaited = submit_square(pool, 3);
    int calls = 0;
    sum = 0;
    assert_ok(future_on_done(awaited, free_it, &sum));
    assert_ok(future_on_done(awaited, count, &calls)); /* of a future that is freed by then */
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

TEST_CASE(each_call_bears_that_its_future_is_freed) {
    for (int way = 0; way < 6; way++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_of(1);
        struct future *future = submit_gated(pool, gate);
        struct pool_failure failure = {.error = 1};
        int calls = 0;
        assert_ok(future_on_done(future, free_only, &calls));
        assert_true(gate_reached(gate, 1));
        if (way < 5) gate_open(gate);
        if (way < 3) sleep_ms(20); /* so that it is found done at once */
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

TEST_CASE(freed_futures_have_no_callbacks) {
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
        if (!chain->error) chain->error = future_on_done(next, go_on, chain); /* it is done: due at once */
    }
    chain->depth--;
}

TEST_CASE(one_may_submit_wait_and_add_more_without_end_or_depth) {
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

TEST_CASE(one_may_destroy_the_pool) {
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
    pool_destroy(late->pool); /* it is being destroyed: nothing */
}

TEST_CASE(what_ends_with_the_pool_has_its_callbacks_too) {
    struct late late = {.pool = pool_of(1)};
    struct future *future = submit(late.pool, forever_task, NULL, 0, 0);
    assert_ok(future_on_done(future, submit_more, &late));
    pool_destroy(late.pool);
    assert_code(late.outcome, POOL_ECANCELLED);
    assert_code(late.submitted, POOL_ECLOSED);
    future_free(future);
}

TEST_CASE(an_event_loop_runs_them) {
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

/* Threads: one after the other in whatever thread, and each once. */
struct backoff {
    struct pool *pool;
    atomic_int inside, overlaps, calls;
};

static void enter(struct future *future, void *arg) {
    struct backoff *backoff = arg;
    if (atomic_fetch_add(&backoff->inside, 1) != 0) atomic_fetch_add(&backoff->overlaps, 1);
    atomic_fetch_add(&backoff->calls, 1);
    atomic_fetch_sub(&backoff->inside, 1);
    future_free(future);
}

static void *throng(void *arg) {
    struct backoff *backoff = arg;
    for (long i = 0; i < 500; i++) {
        struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
        struct future *watched, *waited;
        if (pool_submit(backoff->pool, &task, &watched) || future_on_done(watched, enter, backoff)) return arg;
        if (pool_submit(backoff->pool, &task, &waited) || future_get(waited, NULL, PATIENCE)) return arg;
        future_free(waited);
    }
    return NULL;
}

TEST_CASE(threads_run_them_one_at_a_time_and_each_once) {
    struct backoff backoff = {.pool = pool_of(2)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, throng, &backoff), 0);
    for (int i = 0; i < 4; i++) {
        void *failed = &backoff;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_ok(pool_shutdown(backoff.pool, 0, PATIENCE));
    assert_int_equal(atomic_load(&backoff.calls), 4 * 500);
    assert_int_equal(atomic_load(&backoff.overlaps), 0);
    pool_destroy(backoff.pool);
}

static int on_done_in_a_child(void *arg) {
    int calls = 0;
    EXPECT(future_on_done(arg, count, &calls) == POOL_EFOREIGN);
    EXPECT(calls == 0);
    return 0;
}

TEST_CASE(bad_arguments_have_their_codes) {
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
        TEST(they_run_in_the_order_added_once_and_within_a_call),
        TEST(one_that_is_added_late_runs_at_once),
        TEST(every_outcome_and_jobs_have_them),
        TEST(they_run_while_a_call_waits_for_something_else),
        TEST(one_may_free_its_own_future),
        TEST(each_call_bears_that_its_future_is_freed),
        TEST(freed_futures_have_no_callbacks),
        TEST(one_may_submit_wait_and_add_more_without_end_or_depth),
        TEST(one_may_destroy_the_pool),
        TEST(what_ends_with_the_pool_has_its_callbacks_too),
        TEST(an_event_loop_runs_them),
        TEST(threads_run_them_one_at_a_time_and_each_once),
        TEST(bad_arguments_have_their_codes),
    };
    return run_group("callback", tests, COUNT(tests), argc, argv);
}
