/* The order of tasks: priorities, equal ones, many submitters, and jobs beside tasks. */
#include "support.h"

#include <pthread.h>

struct log {
    struct gate gate;
    atomic_int count;
    atomic_int order[4096];
};

struct entry {
    struct log *log;
    int number;
};

static int write_down(const void *in, void *out) {
    const struct entry *entry = in;
    (void)out;
    entry->log->order[atomic_fetch_add(&entry->log->count, 1)] = entry->number;
    return 0;
}

static struct future *submit_entry(struct pool *pool, struct log *log, int number, int priority) {
    struct entry entry = {log, number};
    struct pool_task task = {.fn = write_down, POOL_IN(&entry), .priority = priority};
    struct future *future = NULL;
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

/* A pool of one worker, blocked until the log's gate opens, so that tasks have to wait. */
static struct pool *held_pool(struct log *log, struct future **holder) {
    struct pool *pool = pool_of(1);
    struct gate *gate = &log->gate;
    *holder = block_worker(pool, gate);
    return pool;
}

static void run_in_order(struct log *log, struct pool *pool, struct future *holder, struct future **futures,
                         int count) {
    gate_open(&log->gate);
    assert_ok(finish(holder, NULL));
    for (int i = 0; i < count; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
    assert_int_equal(log->count, count);
}

TEST_CASE(tasks_of_the_same_priority_start_in_the_order_of_submission) {
    enum { TASKS = 3000 };
    struct log *log = shared(sizeof *log);
    struct future *holder, *futures[TASKS];
    struct pool *pool = held_pool(log, &holder);
    for (int i = 0; i < TASKS; i++) futures[i] = submit_entry(pool, log, i, 7);
    run_in_order(log, pool, holder, futures, TASKS);
    for (int i = 0; i < TASKS; i++) assert_int_equal(log->order[i], i);
}

TEST_CASE(the_highest_priority_starts_first_and_equal_ones_keep_their_order) {
    enum { TASKS = 3000, CLASSES = 5 };
    struct log *log = shared(sizeof *log);
    struct future *holder, *futures[TASKS];
    struct pool *pool = held_pool(log, &holder);
    for (int i = 0; i < TASKS; i++) {
        int priority = (int)(scramble((uint64_t)i) % CLASSES) - 2;
        futures[i] = submit_entry(pool, log, priority * 10000 + i, priority); /* the number tells both */
    }
    run_in_order(log, pool, holder, futures, TASKS);
    for (int i = 1; i < TASKS; i++) {
        int before = log->order[i - 1], now = log->order[i];
        int class_before = (before + 20000) / 10000, class_now = (now + 20000) / 10000;
        assert_true(class_now <= class_before);
        if (class_now == class_before) assert_true(now > before);
    }
}

TEST_CASE(a_task_overtakes_thousands_that_were_submitted_before) {
    enum { TASKS = 4000 };
    struct log *log = shared(sizeof *log);
    struct future *holder, *futures[TASKS];
    struct pool *pool = held_pool(log, &holder);
    for (int i = 0; i < TASKS - 1; i++) futures[i] = submit_entry(pool, log, i, 0);
    futures[TASKS - 1] = submit_entry(pool, log, TASKS - 1, 1);
    run_in_order(log, pool, holder, futures, TASKS);
    assert_int_equal(log->order[0], TASKS - 1);
    for (int i = 1; i < TASKS; i++) assert_int_equal(log->order[i], i - 1);
}

/* ---- Several submitters */

enum { SUBMITTERS = 6 };

struct submitter {
    struct pool *pool;
    atomic_int *go, *done_by_all;
    int share, wrong;
};

/* Submits each task when the one before is done. */
static void *submit_in_turn(void *arg) {
    struct submitter *me = arg;
    while (*me->go == 0) sleep_ms(1);
    for (long i = 0; i < me->share; i++) {
        struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
        struct future *future;
        long square = -1;
        if (pool_submit(me->pool, &task, &future)) {
            me->wrong++;
            continue;
        }
        me->wrong += future_get(future, &square, PATIENCE) != 0 || square != i * i;
        future_free(future);
        atomic_fetch_add(me->done_by_all, 1);
    }
    return NULL;
}

/* Keeps the queue full with tasks of its own. */
static void *submit_in_bulk(void *arg) {
    struct submitter *me = arg;
    enum { BULK = 2000 };
    struct future **futures = malloc(BULK * sizeof *futures);
    *me->go = 1;
    while (*me->done_by_all < me->share) {
        for (long i = 0; i < BULK; i++) {
            struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
            if (pool_submit(me->pool, &task, &futures[i])) me->wrong++, futures[i] = NULL;
        }
        for (long i = 0; i < BULK; i++) {
            long square = -1;
            if (!futures[i]) continue;
            me->wrong += future_get(futures[i], &square, PATIENCE) != 0 || square != i * i;
            future_free(futures[i]);
        }
    }
    free(futures);
    return NULL;
}

TEST_CASE(a_thread_that_floods_the_queue_starves_no_other) {
    atomic_int go = 0, done = 0;
    struct pool *pool = pool_of(2);
    struct submitter me[SUBMITTERS + 1];
    pthread_t threads[SUBMITTERS + 1];
    int share = (int)scaled(100);
    for (int i = 0; i <= SUBMITTERS; i++) {
        me[i] = (struct submitter){.pool = pool, .go = &go, .done_by_all = &done, .share = share};
        if (i == SUBMITTERS) me[i].share = SUBMITTERS * share; /* goes on until all others are done */
        assert_int_equal(pthread_create(&threads[i], NULL, i < SUBMITTERS ? submit_in_turn : submit_in_bulk, &me[i]),
                         0);
    }
    for (int i = 0; i <= SUBMITTERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i <= SUBMITTERS; i++) assert_int_equal(me[i].wrong, 0);
    pool_destroy(pool);
}

/* ---- Jobs beside tasks */

static int item(const void *in, void *out) {
    (void)in, (void)out;
    for (volatile int i = 0; i < 20000; i++) continue;
    return 0;
}

TEST_CASE(a_long_job_does_not_delay_tasks) {
    struct pool *pool = pool_of(2);
    struct pool_job job = {.fn = item, .count = 10000000};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_squares_in_turn(pool, 50);
    assert_false(future_done(future));
    assert_ok(future_kill(future));
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_stream_of_tasks_does_not_delay_a_job) {
    enum { AHEAD = 64 };
    struct pool *pool = pool_of(2);
    struct pool_job job = {.fn = item, .count = 1000};
    struct future *map, *futures[AHEAD];
    for (int i = 0; i < AHEAD; i++) futures[i] = submit(pool, item, NULL, 0, 0);
    assert_ok(pool_map_async(pool, &job, &map));
    int64_t begin = now_ms();
    /* The queue is never empty. */
    for (int i = 0; !future_done(map) && now_ms() - begin < PATIENCE; i = (i + 1) % AHEAD) {
        assert_ok(finish(futures[i], NULL));
        futures[i] = submit(pool, item, NULL, 0, 0);
    }
    assert_true(future_done(map));
    assert_ok(finish(map, NULL));
    for (int i = 0; i < AHEAD; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

TEST_CASE(jobs_run_side_by_side) {
    struct pool *pool = pool_of(1);
    struct pool_job long_job = {.fn = item, .count = 10000000}, short_job = {.fn = item, .count = 100};
    struct future *first;
    assert_ok(pool_map_async(pool, &long_job, &first));
    for (int i = 0; i < 5; i++) assert_ok(pool_map(pool, &short_job));
    assert_false(future_done(first));
    assert_ok(future_kill(first));
    future_free(first);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(tasks_of_the_same_priority_start_in_the_order_of_submission),
        TEST(the_highest_priority_starts_first_and_equal_ones_keep_their_order),
        TEST(a_task_overtakes_thousands_that_were_submitted_before),
        TEST(a_thread_that_floods_the_queue_starves_no_other),
        TEST(a_long_job_does_not_delay_tasks),
        TEST(a_stream_of_tasks_does_not_delay_a_job),
        TEST(jobs_run_side_by_side),
    };
    return run_group("priority", tests, COUNT(tests), argc, argv);
}
