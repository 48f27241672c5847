/* The outcomes that future_get() collects: all that were announced. So callbacks, dependent tasks, deaths, jobs and
 * tasks that wait for room are seen to, whichever future the program asks for. */
#include "support.h"

#include <signal.h>

#include "shared/notice.h"
#include "pool/pool.h"

enum { MANY = 1000, FAR = 900 };

static atomic_int *flag;
static struct gate *gate;

static int flag_task(const void *in, void *out) {
    (void)in, (void)out;
    atomic_fetch_add(flag, 1);
    return 0;
}

/* Its worker dies the first time. */
static int die_once_task(const void *in, void *out) {
    (void)in, (void)out;
    if (atomic_fetch_add(flag, 1) == 0) raise(SIGKILL);
    return 0;
}

static struct pool *begin(void) {
    counted = shared(sizeof *counted);
    flag = shared(sizeof *flag);
    gate = shared(sizeof *gate);
    return pool_of(2);
}

static bool is_collected(const struct future *future) {
    return atomic_load(&future->done);
}

/* Submits tasks whose outcomes the caller will not have collected when they are done. */
static void submit_many(struct pool *pool, struct future **futures, int count) {
    for (int i = 0; i < count; i++) futures[i] = submit(pool, count_task, NULL, 0, 0);
}

static uint64_t announced(const struct pool *pool) {
    uint64_t count = 0;
    for (uint32_t w = 0; w < pool->workers; w++) count += atomic_load(&pool->shared.records[w].done_tail);
    return count;
}

/* Waits until workers have announced so many outcomes. */
static void await_announced(const struct pool *pool, uint64_t count) {
    for (int64_t start = now_ms(); announced(pool) < count && now_ms() - start < PATIENCE;) sleep_ms(1);
    assert_true(announced(pool) >= count);
}

static void end(struct pool *pool, struct future **futures, int count) {
    for (int i = 0; i < count; i++) assert_ok(finish(futures[i], NULL));
    assert_int_equal(*counted, count);
    pool_destroy(pool);
}

TEST_CASE(a_get_collects_all_outcomes) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    submit_many(pool, futures, MANY);
    await_announced(pool, MANY);
    assert_ok(future_get(futures[500], NULL, 0));
    for (int i = 0; i < MANY; i++) assert_true(is_collected(futures[i]));
    end(pool, futures, MANY);
}

TEST_CASE(a_get_of_an_unfinished_task_collects_all_outcomes) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    submit_many(pool, futures, MANY);
    await_announced(pool, MANY);
    struct future *last = submit_gated(pool, gate);
    assert_code(future_get(last, NULL, 0), POOL_ETIMEDOUT);
    for (int i = 0; i < MANY; i++) assert_true(is_collected(futures[i]));
    gate_open(gate);
    assert_ok(finish(last, NULL));
    end(pool, futures, MANY);
}

static void count_call(struct future *future, void *argument) {
    (void)future;
    ++*(int *)argument;
}

TEST_CASE(a_get_runs_callbacks_of_other_futures) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    int calls = 0;
    struct future *other = submit_gated(pool, gate);
    assert_ok(future_on_done(other, count_call, &calls));
    submit_many(pool, futures, MANY);
    gate_open(gate);
    await_announced(pool, MANY + 1);
    assert_ok(future_get(futures[FAR], NULL, 0));
    assert_int_equal(calls, 1);
    assert_ok(finish(other, NULL));
    end(pool, futures, MANY);
}

TEST_CASE(a_get_starts_tasks_that_depend_on_other_futures) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    struct future *first = submit_gated(pool, gate), *second;
    struct pool_task task = {.fn = flag_task, .after = &first, .after_count = 1};
    assert_ok(pool_submit(pool, &task, &second));
    submit_many(pool, futures, MANY);
    gate_open(gate);
    await_announced(pool, MANY + 1);
    assert_ok(future_get(futures[FAR], NULL, 0));
    assert_true(becomes(flag, 1));
    assert_ok(finish(second, NULL));
    assert_ok(finish(first, NULL));
    end(pool, futures, MANY);
}

TEST_CASE(a_get_learns_of_dead_workers) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    struct pool_task task = {.fn = die_once_task, .retries = 1};
    struct future *victim;
    submit_many(pool, futures, MANY);
    await_announced(pool, MANY);
    assert_ok(pool_submit(pool, &task, &victim));
    for (int64_t start = now_ms(); !pp_notice_waits(&pool->shared) && now_ms() - start < PATIENCE;) sleep_ms(1);
    assert_int_equal(*flag, 1);
    assert_ok(future_get(futures[FAR], NULL, 0));
    assert_true(becomes(flag, 2));
    assert_ok(finish(victim, NULL));
    end(pool, futures, MANY);
}

TEST_CASE(a_get_finishes_jobs) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    struct pool_job job = {.fn = flag_task, .count = 2};
    struct future *other;
    submit_many(pool, futures, MANY);
    await_announced(pool, MANY);
    assert_ok(pool_map_async(pool, &job, &other));
    assert_true(becomes(flag, 2));
    /* Until both workers have left the job and sleep. */
    for (int64_t start = now_ms(); pool->shared.status->asleep[0] != 3 && now_ms() - start < PATIENCE;) sleep_ms(1);
    assert_ok(future_get(futures[FAR], NULL, 0));
    assert_true(is_collected(other));
    assert_ok(finish(other, NULL));
    end(pool, futures, MANY);
}

TEST_CASE(a_get_stops_the_time_out_of_other_tasks) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    struct pool_task task = {.fn = flag_task, .timeout = PATIENCE};
    struct future *other;
    assert_ok(pool_submit(pool, &task, &other));
    submit_many(pool, futures, MANY);
    await_announced(pool, MANY + 1);
    assert_ok(future_get(futures[FAR], NULL, 0));
    assert_int_equal(pool->shared.control->timed, 0);
    assert_ok(finish(other, NULL));
    end(pool, futures, MANY);
}

static int one_task(const void *in, void *out) {
    (void)in;
    *(long *)out = 1;
    return 0;
}

static int add(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

/* The arena has room for the arguments of three tasks, whether they are done or not. */
TEST_CASE(finished_tasks_make_room_in_the_arena) {
    enum { SIZE = 300000, FIT = 3 };
    counted = shared(sizeof *counted);
    struct pool_options options = test_options(1);
    options.arena_size = (size_t)1 << 20;
    struct pool *pool;
    struct future *futures[FIT];
    static char argument[2 * SIZE], result[2 * SIZE];
    struct pool_task task = {.fn = count_task, .in = argument, .in_size = SIZE};
    struct pool_job job = {
        .fn = count_task, .in = argument, .in_size = SIZE, .out = result, .out_size = SIZE, .count = 1};
    long sum = 0;
    struct pool_reduction reduction = {.fn = one_task, .combine = add, .count = 10, POOL_OUT(&sum), .context = argument,
                                       .context_size = 2 * SIZE};
    assert_ok(pool_create(&options, &pool));
    for (int round = 0; round < 3; round++) {
        uint64_t before = announced(pool);
        for (int i = 0; i < FIT; i++) assert_ok(pool_submit(pool, &task, &futures[i]));
        await_announced(pool, before + FIT);
        void *data = NULL;
        if (round == 0) assert_non_null(data = pool_alloc(pool, 2 * SIZE));
        else assert_ok(round == 1 ? pool_map(pool, &job) : pool_reduce(pool, &reduction));
        pool_free(pool, data);
        for (int i = 0; i < FIT; i++) assert_ok(finish(futures[i], NULL));
    }
    pool_destroy(pool);
}

TEST_CASE(a_get_collects_tasks_that_were_given_up) {
    struct pool *pool = begin();
    static struct future *futures[MANY];
    size_t left = pool->memory.arena_left;
    static char argument[100000];
    struct future *other = submit(pool, flag_task, argument, sizeof argument, 0);
    submit_many(pool, futures, MANY);
    future_free(other);
    await_announced(pool, MANY + 1);
    assert_true(pool->memory.arena_left < left);
    assert_ok(future_get(futures[FAR], NULL, 0));
    assert_int_equal(pool->memory.arena_left, left);
    end(pool, futures, MANY);
}

static struct future *submit_after(struct pool *pool, struct future *first) {
    struct future *future;
    struct pool_task task = {.fn = flag_task, .after = &first, .after_count = 1};
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

/* If one stayed, a thread that sleeps would be woken for every outcome; if one ended twice, for too few of them. */
TEST_CASE(each_interest_in_outcomes_ends_with_its_future) {
    struct pool *pool = begin();
    int calls = 0;
    struct future *gated = submit_gated(pool, gate), *job, *timed;
    struct future *started = submit_after(pool, gated), *cancelled = submit_after(pool, gated);
    assert_int_equal(pool->interests, 2);
    assert_ok(future_on_done(started, count_call, &calls));
    assert_ok(future_on_done(started, count_call, &calls));
    assert_int_equal(pool->interests, 3);
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = flag_task, .timeout = 60000}, &timed));
    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = flag_task, .count = 10}, &job));
    future_free(submit_after(pool, cancelled));
    assert_int_equal(pool->interests, 4);
    assert_ok(future_cancel(cancelled));
    assert_int_equal(pool->interests, 2);
    gate_open(gate);
    struct future *all[] = {gated, started, timed, job};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_ok(finish(all[i], NULL));
    assert_code(finish(cancelled, NULL), POOL_ECANCELLED);
    assert_int_equal(calls, 2);
    assert_int_equal(pool->interests, 0);
    assert_int_equal(pool->due, 0);
    pool_destroy(pool);
}

/* Submits more tasks than there are slots: `first` that run, one that blocks a worker before and one after them, and
 * WAIT that have to wait for a slot. */
enum { WAIT = 5000 };

static struct future **submit_more_than_fit(struct pool *pool, int first, struct future *gates[2]) {
    struct future **futures = calloc((size_t)PP_SLOTS + WAIT, sizeof(struct future *));
    assert_non_null(futures);
    gates[0] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 1)); /* else one worker might claim both, and the other run all later tasks */
    submit_many(pool, futures, first);
    gates[1] = submit_gated(pool, gate);
    submit_many(pool, futures + first, (int)PP_SLOTS - 2 + WAIT - first);
    assert_int_equal(pool->slots.fresh, PP_SLOTS);
    assert_true(futures[(int)PP_SLOTS - 2 + WAIT - 1]->queued);
    return futures;
}

static void end_more_than_fit(struct pool *pool, struct future **futures, struct future *gates[2]) {
    for (int i = 0; i < 2; i++) assert_ok(finish(gates[i], NULL));
    end(pool, futures, (int)PP_SLOTS - 2 + WAIT);
    free(futures);
}

TEST_CASE(a_get_sends_as_many_waiting_tasks_as_it_frees_slots) {
    struct pool *pool = begin();
    struct future *gates[2], **futures = submit_more_than_fit(pool, MANY, gates);
    assert_true(gate_reached(gate, 2));
    await_announced(pool, MANY);
    assert_ok(future_get(futures[500], NULL, 0));
    assert_false(futures[(int)PP_SLOTS - 2 + MANY - 1]->queued);
    assert_true(futures[(int)PP_SLOTS - 2 + MANY]->queued);
    assert_int_equal(pool->slots.free_count, 0);
    gate_open(gate);
    end_more_than_fit(pool, futures, gates);
}

TEST_CASE(a_get_keeps_the_workers_busy) {
    struct pool *pool = begin();
    struct future *gates[2], **futures = submit_more_than_fit(pool, 0, gates);
    gate_open(gate);
    assert_true(becomes(counted, (int)PP_SLOTS - 2));
    await_announced(pool, PP_SLOTS);
    assert_ok(future_get(futures[5000], NULL, 0));
    assert_true(becomes(counted, (int)PP_SLOTS - 2 + WAIT));
    end_more_than_fit(pool, futures, gates);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_get_collects_all_outcomes),
        TEST(a_get_of_an_unfinished_task_collects_all_outcomes),
        TEST(a_get_runs_callbacks_of_other_futures),
        TEST(a_get_starts_tasks_that_depend_on_other_futures),
        TEST(a_get_learns_of_dead_workers),
        TEST(a_get_finishes_jobs),
        TEST(a_get_stops_the_time_out_of_other_tasks),
        TEST(finished_tasks_make_room_in_the_arena),
        TEST(a_get_collects_tasks_that_were_given_up),
        TEST(each_interest_in_outcomes_ends_with_its_future),
        TEST(a_get_sends_as_many_waiting_tasks_as_it_frees_slots),
        TEST(a_get_keeps_the_workers_busy),
    };
    return run_group("collect", tests, COUNT(tests), argc, argv);
}
