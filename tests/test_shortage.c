/* Shortages pass: a pool whose workers are missing, since the system refuses processes or they die for nothing, comes
 * back to its size by itself; what waits meanwhile waits, and the program is told why. */
#include "support.h"

#include <pthread.h>
#include <signal.h>

#include "base/sys.h"

/* Whether every process but the caller is refused children, or threads. */
static atomic_int *refusing;
static const char *refused;
static pid_t caller;

static bool refuse(const char *call) {
    return strcmp(call, refused) == 0 && getpid() != caller && atomic_load(refusing);
}

static void begin_refusals(int refuses) {
    refusing = shared(sizeof *refusing);
    refused = "fork";
    atomic_store(refusing, refuses);
    caller = getpid();
    pp_fault = refuse;
}

static int die_task(const void *in, void *out) {
    (void)in, (void)out;
    return raise(SIGKILL);
}

static struct pool_stats look_at(struct pool *pool) {
    struct pool_stats stats = {0};
    assert_ok(pool_stats(pool, &stats));
    return stats;
}

static bool comes_to_size(struct pool *pool, int workers) {
    for (int64_t start = now_ms(); now_ms() - start < PATIENCE; sleep_ms(5)) {
        struct pool_stats stats = look_at(pool);
        if (stats.busy + stats.idle == workers && stats.shortage.error == 0) return true;
    }
    return false;
}

static void assert_told_of_refusals(struct pool *pool) {
    struct pool_stats stats;
    int64_t start = now_ms();
    do stats = look_at(pool);
    while (stats.shortage.error == 0 && now_ms() - start < PATIENCE);
    assert_code(stats.shortage.error, POOL_EAGAIN);
    assert_contains(stats.shortage.message, "no worker process could be started");
}

static void check_comeback(int workers, int victims, int ms) {
    begin_refusals(0);
    struct pool *pool = pool_of(workers);
    assert_squares_at_once(pool, 100);
    assert_true(comes_to_size(pool, workers));
    atomic_store(refusing, 1);
    for (int i = 0; i < victims; i++) assert_code(finish(submit(pool, die_task, NULL, 0, 0), NULL), POOL_EDIED);
    assert_told_of_refusals(pool);
    struct future *waits = submit_square(pool, 12);
    if (victims == workers) assert_code(future_wait(waits, ms), POOL_ETIMEDOUT);
    else sleep_ms(ms);
    assert_told_of_refusals(pool);
    atomic_store(refusing, 0);
    assert_square(waits, 12);
    assert_true(comes_to_size(pool, workers));
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(a_pool_comes_back_to_its_size_after_a_shortage_of_processes) {
    check_comeback(4, 2, 1200);
    check_comeback(1, 1, 1200);
    check_comeback(3, 3, 100);
}

TEST_CASE(a_lazy_pool_waits_for_its_first_worker) {
    begin_refusals(1);
    struct pool_options options = test_options(2);
    options.lazy = true;
    struct pool *pool = pool_from(&options);
    struct future *waits = submit_square(pool, 5);
    assert_code(future_wait(waits, 1500), POOL_ETIMEDOUT);
    assert_told_of_refusals(pool);
    atomic_store(refusing, 0);
    assert_square(waits, 5);
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(a_larger_size_tries_at_once) {
    begin_refusals(0);
    struct pool *pool = pool_of(1);
    assert_squares_in_turn(pool, 3);
    atomic_store(refusing, 1);
    assert_ok(pool_resize(pool, 3));
    sleep_ms(1000);
    assert_told_of_refusals(pool);
    assert_squares_in_turn(pool, 3);
    atomic_store(refusing, 0);
    assert_ok(pool_resize(pool, 3));
    assert_true(comes_to_size(pool, 3));
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(tasks_without_a_worker_end_at_shutdown) {
    for (int late = 0; late < 2; late++) {
        begin_refusals(0);
        struct pool *pool = pool_of(1);
        assert_squares_in_turn(pool, 3);
        atomic_store(refusing, 1);
        assert_code(finish(submit(pool, die_task, NULL, 0, 0), NULL), POOL_EDIED);
        struct future *waits = submit_square(pool, 5);
        if (late) sleep_ms(1000);
        assert_ok(pool_shutdown(pool, 0, PATIENCE));
        struct pool_failure failure;
        assert_ok(future_failure(waits, &failure));
        assert_code(failure.error, POOL_EAGAIN);
        assert_contains(failure.message, "no worker process could be started");
        assert_code(finish(waits, NULL), POOL_EAGAIN);
        pool_destroy(pool);
        pp_fault = NULL;
    }
}

/* ---- threads */

static atomic_int threads_left;

static bool refuse_thread(const char *call) {
    return strcmp(call, "thread") == 0 && atomic_fetch_sub(&threads_left, 1) <= 0;
}

TEST_CASE(a_pool_of_threads_comes_to_its_size_after_a_shortage_of_threads) {
    atomic_store(&threads_left, 1);
    pp_fault = refuse_thread;
    struct pool_options options = test_options(3);
    options.backend = POOL_THREADS;
    struct pool *pool = pool_from(&options);
    assert_squares_in_turn(pool, 10);
    sleep_ms(100);
    assert_told_of_refusals(pool);
    assert_squares_at_once(pool, 100);
    atomic_store(&threads_left, INT32_MAX);
    assert_true(comes_to_size(pool, 3));
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
    pp_fault = NULL;
}

/* ---- deaths for nothing */

static void *kill_soon(void *unused) {
    sleep_ms(2);
    kill(getpid(), SIGKILL);
    return unused;
}

static atomic_int *deadly; /* so many initializers are */

/* An initializer that leaves something behind which kills the worker. */
static int doom(void *unused) {
    (void)unused;
    pthread_t thread;
    return atomic_fetch_sub(deadly, 1) > 0 ? pthread_create(&thread, NULL, kill_soon, NULL) : 0;
}

static struct pool *doomed_pool(int deaths) {
    deadly = shared(sizeof *deadly);
    atomic_store(deadly, deaths);
    struct pool_options options = test_options(2);
    options.initializer = doom;
    return pool_from(&options);
}

TEST_CASE(workers_that_die_for_nothing_are_started_ever_more_rarely_and_then_given_up) {
    struct pool *pool = doomed_pool(1000);
    struct pool_stats stats;
    int64_t start = now_ms();
    do {
        sleep_ms(20);
        stats = look_at(pool);
    } while (stats.died < 8 && now_ms() - start < PATIENCE);
    assert_code(stats.shortage.error, POOL_EDIED);
    assert_contains(stats.shortage.message, "killed by SIGKILL");
    for (; stats.died < 24 && now_ms() - start < PATIENCE; sleep_ms(20)) stats = look_at(pool);
    assert_true(now_ms() - start > 1000);
    sleep_ms(100);
    assert_int_equal(look_at(pool).died, 24);
    long x = 3;
    struct pool_task task = {.fn = square_task, POOL_IN(&x), .out_size = sizeof x};
    struct future *future;
    assert_code(pool_submit(pool, &task, &future), POOL_EDIED);
    pool_destroy(pool);
}

TEST_CASE(a_pool_whose_workers_died_for_nothing_a_few_times_comes_back) {
    struct pool *pool = doomed_pool(12);
    int64_t start = now_ms();
    while (look_at(pool).died < 12 && now_ms() - start < PATIENCE) sleep_ms(5);
    assert_true(comes_to_size(pool, 2));
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
}

TEST_CASE(a_worker_with_a_stack_of_its_own_waits_until_the_system_has_a_thread_for_it) {
    begin_refusals(1);
    refused = "thread";
    struct pool_options options = test_options(2);
    options.stack_size = (size_t)1 << 20;
    struct pool *pool = pool_from(&options);
    struct future *waits = submit_square(pool, 12);
    assert_code(future_wait(waits, 300), POOL_ETIMEDOUT);
    atomic_store(refusing, 0);
    assert_square(waits, 12);
    assert_int_equal(look_at(pool).died, 0);
    pool_destroy(pool);
    pp_fault = NULL;
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_pool_comes_back_to_its_size_after_a_shortage_of_processes),
        TEST(a_lazy_pool_waits_for_its_first_worker),
        TEST(a_larger_size_tries_at_once),
        TEST(tasks_without_a_worker_end_at_shutdown),
        TEST(a_pool_of_threads_comes_to_its_size_after_a_shortage_of_threads),
        TEST(workers_that_die_for_nothing_are_started_ever_more_rarely_and_then_given_up),
        TEST(a_pool_whose_workers_died_for_nothing_a_few_times_comes_back),
        TEST(a_worker_with_a_stack_of_its_own_waits_until_the_system_has_a_thread_for_it),
    };
    return run_group("shortage", tests, COUNT(tests), argc, argv);
}
