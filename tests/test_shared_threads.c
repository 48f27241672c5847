/* The shared memory under threads: slots, ring, jobs, job table and notices, used by workers that are threads and by
 * several threads of the program at once. It is for ThreadSanitizer, which sees no races between processes. */
#include "support.h"


enum { CALLERS = 4, WORKERS = 3 };

static struct pool *pool_of_threads(unsigned max_tasks) {
    struct pool_options options = test_options(WORKERS);
    options.backend = POOL_THREADS;
    options.max_tasks_per_worker = max_tasks;
    return pool_from(&options);
}

/* Calls body in many threads, with a pool whose workers are replaced after so many tasks; 0: never. */
static void in_many_threads(unsigned max_tasks, size_t (*body)(struct pool *pool, uint64_t number)) {
    struct pool *pool = pool_of_threads(max_tasks);
    assert_no_errors_in_threads(CALLERS, body, pool);
    pool_destroy(pool);
}

/* ---- Tasks ---------------------------------------------------------------------------------------------------- */

enum { IN_FLIGHT = 64 };

static int scramble_task(const void *in, void *out) {
    *(uint64_t *)out = scramble(*(const uint64_t *)in);
    return 0;
}

static size_t submit_many(struct pool *pool, uint64_t number) {
    uint64_t seed = number * 1000003;
    struct future *futures[IN_FLIGHT] = {0};
    size_t wrong = 0, count = scaled(30000);
    for (size_t i = 0; i < count + IN_FLIGHT; i++) {
        struct future **f = &futures[i % IN_FLIGHT];
        uint64_t result = 0;
        /* Some are given up, whether they are done or not; another thread may have collected them. */
        if (*f && i % 8 != 0) {
            wrong += future_get(*f, &result, PATIENCE) != 0 || result != scramble(seed + i - IN_FLIGHT);
        }
        future_free(*f);
        *f = NULL;
        uint64_t in = seed + i;
        struct pool_task task = {.fn = scramble_task, POOL_IN(&in), .out_size = sizeof in,
                                 .priority = (int)(scramble(in) % 3)};
        if (i < count) wrong += pool_submit(pool, &task, f) != 0;
    }
    return wrong;
}

TEST_CASE(tasks_of_many_threads_each_have_their_result) {
    in_many_threads(0, submit_many);
}

enum { LARGE = 3000 };

static int large_task(const void *in, void *out) {
    const unsigned char *from = in;
    unsigned char *to = out;
    for (int i = 0; i < LARGE; i++) to[i] = (unsigned char)(from[i] ^ 0x5a);
    return 0;
}

static size_t submit_large(struct pool *pool, uint64_t number) {
    uint64_t seed = number * 1000003;
    unsigned char in[LARGE], out[LARGE];
    size_t wrong = 0;
    for (size_t i = 0; i < scaled(1000); i++) {
        fill(in, sizeof in, seed + i);
        struct pool_task task = {.fn = large_task, .in = in, .in_size = sizeof in, .out_size = sizeof out};
        struct future *future;
        if (pool_submit(pool, &task, &future)) return wrong + 1;
        wrong += future_get(future, out, PATIENCE) != 0;
        for (int k = 0; k < LARGE; k++) wrong += out[k] != (in[k] ^ 0x5a);
        future_free(future);
    }
    return wrong;
}

TEST_CASE(large_arguments_and_results_arrive_whole) {
    in_many_threads(0, submit_large);
}

/* ---- Jobs ----------------------------------------------------------------------------------------------------- */

static int seventh_task(const void *in, void *out) {
    uint64_t x = *(const uint64_t *)in;
    *(uint64_t *)out = scramble(x);
    return task_index() % 7 == 6 ? task_fail((int)(task_index() % 100) + 1, "item %zu", task_index()) : 0;
}

static size_t map_many(struct pool *pool, uint64_t number) {
    uint64_t seed = number * 1000003;
    enum { ITEMS = 500 };
    uint64_t in[ITEMS], out[ITEMS];
    int status[ITEMS];
    size_t wrong = 0;
    for (size_t round = 0; round < scaled(200); round++) {
        for (size_t i = 0; i < ITEMS; i++) in[i] = seed + round + i;
        struct pool_failure failure;
        struct pool_job job = {.fn = round % 2 ? seventh_task : scramble_task, POOL_IN(in), POOL_OUT(out),
                               .count = 1 + (size_t)(scramble(in[0]) % ITEMS), .chunk = round % 5,
                               .status = status, .failure = &failure};
        bool fails = round % 2 && job.count > 6;
        wrong += pool_map(pool, &job) != (fails ? POOL_EFAILED : 0);
        for (size_t i = 0; i < job.count; i++) {
            bool failed = fails && i % 7 == 6;
            wrong += status[i] != (failed ? POOL_EFAILED : 0) || (!failed && out[i] != scramble(in[i]));
        }
        if (fails) wrong += failure.index != 6 || failure.code != 7 || strcmp(failure.message, "item 6") != 0;
    }
    return wrong;
}

TEST_CASE(jobs_of_many_threads_run_at_the_same_time) {
    in_many_threads(0, map_many);
}

static size_t both(struct pool *pool, uint64_t number) {
    return number % 2 ? map_many(pool, number) : submit_many(pool, number);
}

TEST_CASE(jobs_and_tasks_share_the_workers) {
    in_many_threads(0, both);
}

TEST_CASE(replaced_workers_lose_nothing) {
    in_many_threads(5, both);
}

/* ---- Ends of every kind ----------------------------------------------------------------------------------------- */

static int wait_task(const void *in, void *out) {
    (void)out;
    sleep_ms(*(const int *)in);
    return 0;
}

/* Cancels, kills or lets a task run into its time-out: it must end once, with a code that is right for that. */
static size_t end_somehow(struct pool *pool, uint64_t number) {
    uint64_t seed = number * 1000003;
    size_t wrong = 0;
    for (size_t i = 0; i < scaled(1500); i++) {
        uint64_t dice = scramble(seed + i);
        int ms = (int)(dice % 3), error = 0;
        bool timed = dice >> 8 & 1;
        struct pool_task task = {.fn = wait_task, POOL_IN(&ms), .timeout = timed ? 2 : 0};
        struct pool_job job = {.fn = wait_task, .in = (int[]){ms, 0, 0, 0, 0, 0, 0, 0}, .in_size = sizeof ms,
                               .count = 8, .timeout = timed ? 2 : 0};
        struct future *future;
        error = dice >> 12 & 1 ? pool_submit(pool, &task, &future) : pool_map_async(pool, &job, &future);
        if (error) return wrong + 1;
        bool stopped = false;
        switch (dice >> 16 & 3) {
        case 0: stopped = future_cancel(future) == 0; break;
        case 1: future_kill(future); break;
        case 2: future_running(future); break;
        default: break;
        }
        error = future_get(future, NULL, PATIENCE);
        bool may_be_killed = (dice >> 16 & 3) == 1;
        wrong += stopped && error != POOL_ECANCELLED;
        wrong += error != 0 && !(error == POOL_ECANCELLED && (stopped || may_be_killed)) &&
                 !(error == POOL_EDEADLINE && timed);
        future_free(future);
    }
    return wrong;
}

TEST_CASE(a_task_ends_once_however_it_ends) {
    in_many_threads(0, end_somehow);
}

static size_t poll_and_drop(struct pool *pool, uint64_t number) {
    uint64_t seed = number * 1000003;
    size_t wrong = 0;
    for (size_t i = 0; i < scaled(5000); i++) {
        uint64_t in = seed + i;
        struct pool_task task = {.fn = scramble_task, POOL_IN(&in), .out_size = sizeof in};
        struct future *future;
        if (pool_submit(pool, &task, &future)) return wrong + 1;
        wrong += pool_poll(pool, 0) < 0;
        future_free(future); /* done or not */
    }
    return wrong;
}

TEST_CASE(futures_may_be_freed_at_any_time) {
    struct pool *pool = pool_of_threads(0);
    assert_true(pool_fd(pool) >= 0);
    assert_no_errors_in_threads(CALLERS, poll_and_drop, pool);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

TEST_CASE(a_busy_pool_can_be_destroyed) {
    for (size_t round = 0; round < scaled(200) + 20; round++) {
        struct pool *pool = pool_of_threads((unsigned)(round % 3));
        struct future *futures[40];
        int ms = 1;
        for (int i = 0; i < 40; i++) {
            struct pool_task task = {.fn = wait_task, POOL_IN(&ms)};
            struct pool_job job = {.fn = scramble_task, .in = (uint64_t[4]){1, 2, 3, 4}, .in_size = sizeof(uint64_t),
                                   .out_size = sizeof(uint64_t), .count = 4};
            assert_ok(i % 2 ? pool_submit(pool, &task, &futures[i]) : pool_map_async(pool, &job, &futures[i]));
        }
        pool_destroy(pool);
        for (int i = 0; i < 40; i++) {
            assert_any_of(future_get(futures[i], NULL, 0), 0, POOL_ECANCELLED);
            future_free(futures[i]);
        }
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(tasks_of_many_threads_each_have_their_result),
        TEST(large_arguments_and_results_arrive_whole),
        TEST(jobs_of_many_threads_run_at_the_same_time),
        TEST(jobs_and_tasks_share_the_workers),
        TEST(replaced_workers_lose_nothing),
        TEST(a_task_ends_once_however_it_ends),
        TEST(futures_may_be_freed_at_any_time),
        TEST(a_busy_pool_can_be_destroyed),
    };
    return run_group("shared_threads", tests, COUNT(tests), argc, argv);
}
