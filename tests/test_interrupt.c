/* pool_interrupt(): in a signal handler, as of Ctrl-C. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static struct pool *interrupted;
static atomic_int *begun;
static int least;

static void stop_timer(void) {
    (void)setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_sec = 0}}, NULL);
}

static void interrupt(int number) {
    (void)number;
    if (atomic_load(begun) < least) return;
    stop_timer();
    pool_interrupt(interrupted);
}

/* Interrupts the pool, in a signal handler, once so many more of the tasks below have begun that count. Where the test
 * needs the call to wait already, it has: only then does what counts begin. */
static void interrupt_after(struct pool *pool, int more) {
    interrupted = pool;
    least = atomic_load(begun) + more;
    assert_true(signal(SIGALRM, interrupt) != SIG_ERR);
    struct itimerval timer = {.it_value = {.tv_usec = 20000}, .it_interval = {.tv_usec = 20000}};
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static int slow_task(const void *in, void *out) {
    (void)in;
    atomic_fetch_add(begun, 1);
    if (out) *(long *)out = 7;
    sleep_ms(20);
    return 0;
}

static int counted_forever_task(const void *in, void *out) {
    atomic_fetch_add(begun, 1);
    return forever_task(in, out);
}

/* All but the first items are endless. */
static int endless_task(const void *in, void *out) {
    *(long *)out = 7;
    return task_index() < 2 ? 0 : counted_forever_task(in, out);
}

static int add(void *result, const void *right) {
    (void)right;
    (void)result;
    return 0;
}

TEST_CASE(a_map_that_is_interrupted_keeps_the_results_that_are_there) {
    begun = shared(sizeof *begun);
    struct pool *pool = pool_of(2);
    long out[10] = {0};
    int status[10];
    struct pool_job job = {.fn = endless_task, POOL_OUT(out), .count = 10, .chunk = 1, .status = status};
    interrupt_after(pool, 2); /* both workers are at endless items, so those before have ended */
    assert_code(pool_map(pool, &job), POOL_ECANCELLED);
    for (int i = 0; i < 10; i++) assert_code(status[i], i < 2 ? 0 : POOL_ECANCELLED);
    assert_true(out[0] == 7 && out[1] == 7);
    assert_square(submit_square(pool, 9), 9);
    pool_destroy(pool);
}

TEST_CASE(each_call_that_waits_is_ended) {
    begun = shared(sizeof *begun);
    struct pool *pool = pool_of(2);
    long result;
    struct future *running = submit(pool, counted_forever_task, NULL, 0, 0), *waiting[3];
    struct future *other = submit(pool, counted_forever_task, NULL, 0, 0);
    assert_true(becomes(begun, 2));
    for (int i = 0; i < 3; i++) waiting[i] = submit_square(pool, i);
    interrupt_after(pool, 0);
    assert_code(finish(running, NULL), POOL_ECANCELLED);
    for (int i = 0; i < 3; i++) assert_code(finish(waiting[i], NULL), POOL_ECANCELLED);
    assert_code(finish(other, NULL), POOL_ECANCELLED);

    struct stream *stream;
    struct pool_stream options = {.fn = endless_task, .count = 100, .out_size = sizeof result};
    assert_ok(pool_imap(pool, &options, &stream));
    assert_ok(stream_next(stream, &result, PATIENCE));
    assert_ok(stream_next(stream, &result, PATIENCE));
    interrupt_after(pool, 0);
    assert_code(stream_next(stream, &result, PATIENCE), POOL_ECANCELLED);
    stream_free(stream);

    struct pool_reduction reduction = {.fn = endless_task, .combine = add, .count = 100, POOL_OUT(&result)};
    interrupt_after(pool, 1);
    assert_code(pool_reduce(pool, &reduction), POOL_ECANCELLED);

    struct future *last = submit(pool, forever_task, NULL, 0, 0);
    interrupt_after(pool, 0);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_code(finish(last, NULL), POOL_ECANCELLED);
    pool_destroy(pool);
}

TEST_CASE(threads_and_inline_pools_end_after_the_tasks_that_run) {
    static const int backends[] = {POOL_THREADS, POOL_INLINE};
    begun = shared(sizeof *begun);
    for (size_t i = 0; i < COUNT(backends); i++) {
        enum { ITEMS = 100000 };
        struct pool_options options = test_options(2);
        options.backend = backends[i];
        struct pool *pool = pool_from(&options);
        atomic_store(begun, 0);
        interrupt_after(pool, 3);
        assert_code(pool_map(pool, &(struct pool_job){.fn = slow_task, .count = ITEMS}), POOL_ECANCELLED);
        assert_in_range(atomic_load(begun), 3, ITEMS / 2);
        assert_square(submit_square(pool, 9), 9);
        pool_destroy(pool);
    }
}

TEST_CASE(an_interrupt_before_a_wait_ends_it_and_harms_no_later_work) {
    struct pool *pool = pool_of(1);
    struct future *future = submit(pool, forever_task, NULL, 0, 0);
    assert_ok(pool_interrupt(pool));
    assert_code(finish(future, NULL), POOL_ECANCELLED);
    assert_square(submit_square(pool, 9), 9);
    assert_code(pool_interrupt(NULL), POOL_EINVAL);
    pool_destroy(pool);
}

static size_t wait_endlessly(struct pool *pool, uint64_t number) {
    struct pool_stats stats = {0};
    while (number == 0 && stats.queued + stats.running < 3)
        if (sleep_ms(1), pool_stats(pool, &stats) != 0) return 1;
    if (number == 0) return pool_interrupt(pool) != 0;
    return finish(submit(pool, forever_task, NULL, 0, 0), NULL) != POOL_ECANCELLED;
}

TEST_CASE(all_threads_that_wait_are_ended) {
    struct pool *pool = pool_of(2);
    for (int round = 0; round < 20; round++) assert_no_errors_in_threads(4, wait_endlessly, pool);
    assert_square(submit_square(pool, 9), 9);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_map_that_is_interrupted_keeps_the_results_that_are_there),
        TEST(each_call_that_waits_is_ended),
        TEST(threads_and_inline_pools_end_after_the_tasks_that_run),
        TEST(an_interrupt_before_a_wait_ends_it_and_harms_no_later_work),
        TEST(all_threads_that_wait_are_ended),
    };
    return run_group("interrupt", tests, COUNT(tests), argc, argv);
}
