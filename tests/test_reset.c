/* The reset of a pool whose shared memory was overwritten: all workers are killed, and what was open is settled. Most
 * of these tests stop the supervisor, so that the reset that the caller has asked for is under way meanwhile. */
#include "support.h"

#include <pthread.h>
#include <signal.h>

#include "pool/integrity.h"
#include "pool/pool.h"
#include "shared/record.h"
#include "shared/state.h"

enum { WORKERS = 2, SOON = 15000 };

static int get_soon(struct future *future, void *out) {
    int code = future_get(future, out, SOON);
    assert_true(code != POOL_ETIMEDOUT);
    future_free(future);
    return code;
}

static struct pp_outcome *outcome_of(struct future *future) {
    return &future->pool->shared.outcomes[future->slot];
}

static pid_t process_of(struct pool *pool, uint32_t worker) {
    return (pid_t)atomic_load(&pool->shared.control->pids[worker]);
}

/* As if a task had overwritten its state word. */
static void overwrite(struct future *future) {
    atomic_store(&outcome_of(future)->state, UINT64_MAX);
}

static bool examine(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pp_examine(pool);
    bool resets = pool->reset.under_way;
    pthread_mutex_unlock(&pool->lock);
    return resets;
}

/* The caller asks for the reset; until SIGCONT nothing of it happens. No call sends that. */
static void ask_for_reset(struct pool *pool) {
    pool->waiting.look_after_at = UINT64_MAX;
    kill(pool->supervisor, SIGSTOP);
    /* A look finds nothing while a notice is due. */
    for (int64_t start = now_ms(); !examine(pool); sleep_ms(1)) assert_true(now_ms() - start < PATIENCE);
}

static void let_reset_go_on(struct pool *pool) {
    pool->waiting.look_after_at = 0;
    kill(pool->supervisor, SIGCONT);
}

static void await_reset(struct pool *pool) {
    for (int64_t start = now_ms(); pool->reset.under_way; sleep_ms(1)) {
        assert_true(now_ms() - start < PATIENCE);
        assert_true(pool_poll(pool, 0) >= 0);
    }
}

/* For check_and_destroy(): workers must be forked after it was made. */
static struct gate *last_gate;

static struct pool *make_pool(const struct pool_options *options) {
    struct pool *pool;
    last_gate = shared(sizeof *last_gate);
    assert_ok(pool_create(options, &pool));
    return pool;
}

static struct pool *make_pool_of(int workers) {
    struct pool_options options = test_options(workers);
    return make_pool(&options);
}

/* The pool does its work, with all its workers. */
static void check_and_destroy(struct pool *pool, int workers) {
    struct future *futures[8];
    await_reset(pool);
    for (int i = 0; i < workers; i++) futures[i] = submit_gated(pool, last_gate);
    assert_true(gate_reached(last_gate, workers));
    gate_open(last_gate);
    for (int i = 0; i < workers; i++) assert_ok(get_soon(futures[i], NULL));
    for (long i = 0; i < 100; i++) assert_square(submit_square(pool, i), i);
    pool_destroy(pool);
}

/* Two tasks run, of which the first has overwritten its word. */
struct scene {
    struct pool *pool;
    struct gate *gate;
    struct future *guilty, *other;
};

static struct scene begin_scene(unsigned retries) {
    struct scene scene = {.gate = shared(sizeof *scene.gate)};
    scene.pool = make_pool_of(WORKERS);
    struct pool_task task = {.fn = gate_task, .in = &scene.gate, .in_size = sizeof scene.gate, .retries = retries};
    assert_ok(pool_submit(scene.pool, &task, &scene.guilty));
    assert_ok(pool_submit(scene.pool, &task, &scene.other));
    assert_true(gate_reached(scene.gate, WORKERS));
    overwrite(scene.guilty);
    return scene;
}

/* Tasks that note the order in which they run. */
struct order {
    atomic_int count;
    int ran[100];
};
struct step {
    struct order *order;
    int number;
};

static int note_task(const void *in, void *out) {
    const struct step *step = in;
    (void)out;
    step->order->ran[atomic_fetch_add(&step->order->count, 1)] = step->number;
    return 0;
}

TEST_CASE(what_ran_is_corrupt_and_what_waited_runs_once_and_in_its_order) {
    struct gate *gate = shared(sizeof *gate);
    struct order *order = shared(sizeof *order);
    struct pool *pool = make_pool_of(1);
    struct future *guilty = submit_gated(pool, gate), *waiting[100];
    assert_true(gate_reached(gate, 1));
    for (int i = 0; i < 100; i++) {
        struct pool_task task = {.fn = note_task, POOL_IN((&(struct step){order, i})), .priority = i / 50};
        assert_ok(pool_submit(pool, &task, &waiting[i]));
    }
    overwrite(guilty);
    assert_code(get_soon(guilty, NULL), POOL_ECORRUPT);
    for (int i = 0; i < 100; i++) assert_ok(get_soon(waiting[i], NULL));
    assert_int_equal(order->count, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(order->ran[i], (i + 50) % 100);
    check_and_destroy(pool, 1);
}

TEST_CASE(a_task_that_ran_runs_again_if_it_has_retries) {
    for (unsigned retries = 0; retries <= 1; retries++) {
        struct scene scene = begin_scene(retries);
        ask_for_reset(scene.pool);
        let_reset_go_on(scene.pool);
        if (!retries) assert_code(get_soon(scene.other, NULL), POOL_ECORRUPT);
        assert_code(get_soon(scene.guilty, NULL), POOL_ECORRUPT); /* its word says nothing that could be relied on */
        if (retries) assert_true(gate_reached(scene.gate, WORKERS + 1));
        gate_open(scene.gate);
        if (retries) assert_ok(get_soon(scene.other, NULL));
        check_and_destroy(scene.pool, WORKERS);
    }
}

TEST_CASE(a_task_that_was_killed_or_overdue_ends_so) {
    struct scene scene = begin_scene(1);
    kill(scene.pool->supervisor, SIGSTOP);
    assert_ok(future_kill(scene.other)); /* perhaps it is not carried out yet */
    ask_for_reset(scene.pool);
    let_reset_go_on(scene.pool);
    assert_code(get_soon(scene.other, NULL), POOL_ECANCELLED);
    assert_code(get_soon(scene.guilty, NULL), POOL_ECORRUPT);
    check_and_destroy(scene.pool, WORKERS);

    scene = begin_scene(1);
    _Atomic uint64_t *word = &outcome_of(scene.other)->state;
    assert_true(pp_state_kill(word, atomic_load(word), PP_OVERDUE)); /* as the supervisor swaps it */
    ask_for_reset(scene.pool);
    let_reset_go_on(scene.pool);
    assert_code(get_soon(scene.other, NULL), POOL_EDEADLINE);
    assert_code(get_soon(scene.guilty, NULL), POOL_ECORRUPT);
    check_and_destroy(scene.pool, WORKERS);
}

TEST_CASE(a_task_that_crashed_meanwhile_is_told_to_have_died) {
    struct scene scene = begin_scene(0);
    ask_for_reset(scene.pool);
    pid_t worker = process_of(scene.pool, pp_worker_of(atomic_load(&outcome_of(scene.other)->state)));
    kill(worker, SIGABRT);
    assert_true(gone_within(worker, PATIENCE)); /* before the supervisor kills it */
    let_reset_go_on(scene.pool);
    struct pool_failure failure;
    assert_code(future_get(scene.other, NULL, SOON), POOL_EDIED);
    assert_ok(future_failure(scene.other, &failure));
    assert_int_equal(failure.signal, SIGABRT);
    future_free(scene.other);
    assert_code(get_soon(scene.guilty, NULL), POOL_ECORRUPT);
    check_and_destroy(scene.pool, WORKERS);
}

/* ---- jobs */

enum { ITEMS = 1000, SLOW_ITEM = 400 };

struct runs {
    struct gate gate;
    atomic_int of[ITEMS];
};
static struct runs *runs;

static int counted_item(const void *in, void *out) {
    long x = *(const long *)in;
    atomic_fetch_add(&runs->of[x], 1);
    if (x == SLOW_ITEM && gate_pass(&runs->gate)) return 1;
    *(long *)out = x * x;
    return 0;
}

/* One worker is at the slow item; the other has finished all that it could. */
static void reset_job(size_t chunk, unsigned retries, bool stop) {
    static long in[ITEMS], out[ITEMS];
    static int status[ITEMS];
    runs = shared(sizeof *runs);
    struct pool *pool = make_pool_of(WORKERS);
    for (long i = 0; i < ITEMS; i++) in[i] = i, out[i] = -1;
    struct pool_job job = {.fn = counted_item, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .chunk = chunk,
                           .retries = retries, .status = status};
    struct future *map;
    assert_ok(pool_map_async(pool, &job, &map));
    assert_true(gate_reached(&runs->gate, 1));
    for (int64_t begun = now_ms(); atomic_load(&pool->shared.status->asleep[0]) == 0; sleep_ms(1))
        assert_true(now_ms() - begun < PATIENCE);
    overwrite(map);
    ask_for_reset(pool);
    if (stop) assert_ok(future_kill(map));
    let_reset_go_on(pool);
    await_reset(pool);
    gate_open(&runs->gate);
    int code = get_soon(map, NULL);
    assert_code(code, stop ? POOL_ECANCELLED : retries ? 0 : POOL_ECORRUPT);
    for (long i = 0; i < ITEMS; i++) {
        bool slow = i == SLOW_ITEM;
        assert_int_equal(atomic_load(&runs->of[i]), slow ? 1 + (int)retries : stop && status[i] ? 0 : 1);
        if (status[i] == 0) assert_int_equal(out[i], i * i);
        else assert_code(status[i], stop ? POOL_ECANCELLED : POOL_ECORRUPT);
        assert_true(stop || slow || status[i] == 0);
    }
    check_and_destroy(pool, WORKERS);
}

TEST_CASE(a_job_keeps_its_finished_items_and_goes_on_with_the_rest) {
    static const size_t chunks[] = {0, 1, 30, ITEMS};
    for (size_t i = 0; i < COUNT(chunks); i++) {
        reset_job(chunks[i], 0, false);
        reset_job(chunks[i], 1, false);
    }
}

TEST_CASE(a_job_that_was_killed_ends_as_cancelled) {
    reset_job(1, 0, true);
    reset_job(0, 0, true);
}

/* ---- calls while a reset is under way */

TEST_CASE(the_pool_takes_calls_while_it_is_reset) {
    struct scene scene = begin_scene(0);
    struct pool *pool = scene.pool;
    struct pool_stats stats = {.room = 0};
    struct future *before[3], *after[3];
    for (long i = 0; i < 3; i++) before[i] = submit_square(pool, i);
    ask_for_reset(pool);
    for (long i = 0; i < 3; i++) after[i] = submit_square(pool, 10 + i);
    assert_ok(future_cancel(before[0]));
    assert_ok(future_kill(after[0]));
    assert_code(future_wait(scene.guilty, 250), POOL_ETIMEDOUT); /* it looks meanwhile */
    assert_true(pool_poll(pool, 0) >= 0);
    assert_ok(pool_stats(pool, &stats));
    assert_ok(pool_resize(pool, WORKERS + 1));
    let_reset_go_on(pool);
    assert_code(get_soon(scene.guilty, NULL), POOL_ECORRUPT);
    assert_code(get_soon(scene.other, NULL), POOL_ECORRUPT);
    assert_code(get_soon(before[0], NULL), POOL_ECANCELLED);
    assert_code(get_soon(after[0], NULL), POOL_ECANCELLED);
    for (long i = 1; i < 3; i++) {
        assert_square(before[i], i);
        assert_square(after[i], 10 + i);
    }
    check_and_destroy(pool, WORKERS + 1);
}

TEST_CASE(a_second_contradiction_while_a_pool_is_reset_is_settled_with_the_first) {
    struct scene scene = begin_scene(0);
    struct future *waiting = submit_square(scene.pool, 7);
    ask_for_reset(scene.pool);
    overwrite(scene.other);
    atomic_store(&scene.pool->shared.status->head, UINT64_MAX / 3);
    memset(scene.pool->shared.records, 0x5a, WORKERS * sizeof *scene.pool->shared.records);
    let_reset_go_on(scene.pool);
    assert_code(get_soon(scene.guilty, NULL), POOL_ECORRUPT);
    assert_code(get_soon(scene.other, NULL), POOL_ECORRUPT);
    assert_square(waiting, 7);
    check_and_destroy(scene.pool, WORKERS);
}

TEST_CASE(a_pool_can_be_ended_while_it_is_reset) {
    for (int how = 0; how < 4; how++) {
        struct scene scene = begin_scene(0);
        struct pool *pool = scene.pool;
        struct future *waiting = submit_square(pool, 7);
        ask_for_reset(pool);
        if (how == 0) let_reset_go_on(pool);
        if (how == 1) assert_code(pool_shutdown(pool, 0, 50), POOL_ETIMEDOUT);
        if (how >= 2) {
            let_reset_go_on(pool);
            assert_ok(pool_shutdown(pool, how == 2 ? 0 : POOL_CANCEL_PENDING | POOL_KILL_RUNNING, SOON));
        }
        int64_t start = now_ms();
        pool_destroy(pool);
        assert_took(start, 0, PATIENCE / 2);
        assert_any_of(get_soon(scene.guilty, NULL), POOL_ECORRUPT, POOL_ECANCELLED);
        assert_any_of(get_soon(scene.other, NULL), POOL_ECORRUPT, POOL_ECANCELLED);
        assert_any_of(get_soon(waiting, NULL), how == 2 ? 0 : POOL_ECANCELLED, how < 3 ? 0 : POOL_ECANCELLED);
    }
}

TEST_CASE(a_pool_whose_supervisor_dies_while_it_is_reset_is_broken) {
    struct scene scene = begin_scene(1);
    struct future *waiting = submit_square(scene.pool, 7);
    ask_for_reset(scene.pool);
    kill(scene.pool->supervisor, SIGKILL);
    assert_code(get_soon(scene.guilty, NULL), POOL_EDIED);
    assert_code(get_soon(scene.other, NULL), POOL_EDIED);
    assert_code(get_soon(waiting, NULL), POOL_EDIED);
    pool_destroy(scene.pool);
}

static void *get_in_thread(void *future) {
    return (void *)(intptr_t)future_get(future, NULL, SOON);
}

TEST_CASE(all_threads_that_wait_are_woken_by_a_reset) {
    struct scene scene = begin_scene(0);
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, get_in_thread, scene.guilty), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, get_in_thread, scene.other), 0);
    for (int i = 0; i < 2; i++) {
        void *code;
        assert_int_equal(pthread_join(threads[i], &code), 0);
        assert_code((int)(intptr_t)code, POOL_ECORRUPT);
    }
    future_free(scene.guilty);
    future_free(scene.other);
    check_and_destroy(scene.pool, WORKERS);
}

/* ---- workers that rest, start, or are many */

TEST_CASE(a_pool_whose_workers_rest_is_reset) {
    for (int lazy = 0; lazy <= 1; lazy++) {
        struct pool_options options = test_options(WORKERS);
        options.lazy = lazy;
        options.idle_timeout = lazy ? 0 : 50;
        struct pool *pool = make_pool(&options);
        assert_square(submit_square(pool, 3), 3);
        sleep_ms(300);
        kill(pool->supervisor, SIGSTOP); /* no worker takes it */
        for (uint32_t w = 0; w < WORKERS; w++) {
            if (process_of(pool, w) > 0) kill(process_of(pool, w), SIGSTOP);
        }
        struct future *future = submit_square(pool, 5);
        atomic_store(&pool->shared.status->head, UINT64_MAX / 3);
        ask_for_reset(pool);
        let_reset_go_on(pool);
        assert_square(future, 5);
        check_and_destroy(pool, WORKERS);
    }
}

static int slow_initializer(void *gate) {
    return gate_pass(gate);
}

static struct pool *pool_that_starts_slowly(int workers, struct gate *gate) {
    struct pool_options options = test_options(workers);
    options.initializer = slow_initializer;
    options.initializer_arg = gate;
    return make_pool(&options);
}

static void reset_now(struct pool *pool) {
    atomic_store(&pool->shared.status->head, UINT64_MAX / 3);
    for (int64_t start = now_ms(); !examine(pool);) assert_true(now_ms() - start < PATIENCE);
    await_reset(pool);
}

/* A worker that died so often before it was ready would be given up. */
TEST_CASE(a_worker_that_is_killed_while_it_starts_is_started_again) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_that_starts_slowly(1, gate);
    for (int i = 1; i <= 12; i++) {
        assert_true(gate_reached(gate, i));
        reset_now(pool);
    }
    gate_open(gate);
    assert_square(submit_square(pool, 9), 9);
    check_and_destroy(pool, 1);
}

TEST_CASE(what_is_open_ends_if_resets_follow_each_other_and_nothing_is_completed) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_that_starts_slowly(1, gate);
    struct future *task = submit_square(pool, 1), *map;
    long in[5] = {0}, out[5];
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 5};
    assert_ok(pool_map_async(pool, &job, &map));
    for (int i = 0; i < 3; i++) {
        reset_now(pool);
        assert_false(future_done(task) || future_done(map));
    }
    reset_now(pool);
    assert_true(future_done(task) && future_done(map));
    assert_code(get_soon(task, NULL), POOL_ECORRUPT);
    assert_code(get_soon(map, NULL), POOL_ECORRUPT);
    task = submit_square(pool, 4);
    for (int i = 0; i < 2; i++) reset_now(pool); /* which are counted anew */
    gate_open(gate);
    assert_square(task, 4);
    check_and_destroy(pool, 1);
}

/* There are more deaths than notices have room for. */
TEST_CASE(a_pool_of_many_workers_is_reset) {
    enum { MANY = 300 };
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = make_pool_of(instrumented() ? 30 : MANY);
    struct future *guilty = submit_gated(pool, gate), *waiting[100];
    assert_true(gate_reached(gate, 1));
    overwrite(guilty);
    assert_code(get_soon(guilty, NULL), POOL_ECORRUPT);
    for (long i = 0; i < 100; i++) waiting[i] = submit_square(pool, i);
    for (long i = 0; i < 100; i++) assert_square(waiting[i], i);
    check_and_destroy(pool, 8);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(what_ran_is_corrupt_and_what_waited_runs_once_and_in_its_order),
        TEST(a_task_that_ran_runs_again_if_it_has_retries),
        TEST(a_task_that_was_killed_or_overdue_ends_so),
        TEST(a_task_that_crashed_meanwhile_is_told_to_have_died),
        TEST(a_job_keeps_its_finished_items_and_goes_on_with_the_rest),
        TEST(a_job_that_was_killed_ends_as_cancelled),
        TEST(the_pool_takes_calls_while_it_is_reset),
        TEST(a_second_contradiction_while_a_pool_is_reset_is_settled_with_the_first),
        TEST(a_pool_can_be_ended_while_it_is_reset),
        TEST(a_pool_whose_supervisor_dies_while_it_is_reset_is_broken),
        TEST(all_threads_that_wait_are_woken_by_a_reset),
        TEST(a_pool_whose_workers_rest_is_reset),
        TEST(a_worker_that_is_killed_while_it_starts_is_started_again),
        TEST(what_is_open_ends_if_resets_follow_each_other_and_nothing_is_completed),
        TEST(a_pool_of_many_workers_is_reset),
    };
    return run_group("reset", tests, COUNT(tests), argc, argv);
}
