/* A worker may die at any time, of any cause: only the item that it was running is lost, and its failure tells why. */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum way {
    LIVE,
    KILL_SELF,
    TERMINATE_SELF,
    SEGMENTATION_FAULT,
    BUS_ERROR,
    DIVISION,
    ABORT,
    EXIT_3,
    EXIT_0,
    UNDERSCORE_EXIT_4,
    STACK_OVERFLOW,
    NO_MEMORY,
    KILL_GROUP,
    HANG_UP,
    WAYS
};

#define FAULT_ADDRESS ((uintptr_t)0xabc000)

static const struct {
    int signal, code;
    const char *words;
} ends[WAYS] = {
    [KILL_SELF] = {SIGKILL, 0, "SIGKILL"},
    [TERMINATE_SELF] = {SIGTERM, 0, "SIGTERM"},
    [SEGMENTATION_FAULT] = {SIGSEGV, 0, "SIGSEGV"},
    [BUS_ERROR] = {SIGBUS, 0, "SIGBUS"},
    [DIVISION] = {SIGFPE, 0, "SIGFPE"},
    [ABORT] = {SIGABRT, 0, "SIGABRT"},
    [EXIT_3] = {0, 3, "3"},
    [EXIT_0] = {0, 0, "0"},
    [UNDERSCORE_EXIT_4] = {0, 4, "4"},
    [STACK_OVERFLOW] = {SIGSEGV, 0, "SIGSEGV"},
    [NO_MEMORY] = {SIGABRT, 0, "SIGABRT"},
    [KILL_GROUP] = {SIGKILL, 0, "SIGKILL"},
    [HANG_UP] = {SIGHUP, 0, "SIGHUP"},
};

static volatile long depth = LONG_MAX;

static int dive(volatile char *above, long levels) {
    volatile char here[2048];
    here[0] = above ? above[0] : 1;
    return levels == 0 ? 0 : dive(here, levels - 1) + here[0];
}

static int run_out_of_memory(void) {
    struct rlimit limit = {(rlim_t)1 << 28, (rlim_t)1 << 28};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 1;
    for (;;) {
        void *volatile data = malloc(1 << 20);
        if (!data) abort(); /* as programs do */
    }
}

static int die(enum way way) {
    switch (way) {
    case KILL_SELF:
        return raise(SIGKILL);
    case TERMINATE_SELF:
        return raise(SIGTERM);
    case SEGMENTATION_FAULT: {
        volatile uintptr_t address = FAULT_ADDRESS;
        *(volatile int *)address = 1;
        return 0;
    }
    case BUS_ERROR:
        return raise(SIGBUS);
    case DIVISION:
        return raise(SIGFPE);
    case ABORT:
        abort();
    case EXIT_3:
        exit(3);
    case EXIT_0:
        exit(0);
    case UNDERSCORE_EXIT_4:
        _exit(4);
    case STACK_OVERFLOW:
        return dive(NULL, depth);
    case NO_MEMORY:
        return run_out_of_memory();
    case KILL_GROUP:
        return kill(0, SIGKILL);
    case HANG_UP:
        return raise(SIGHUP);
    case LIVE:
    default:
        return 0;
    }
}

static bool possible_here(enum way way) {
    return !(way == NO_MEMORY && instrumented());
}

static int die_task(const void *in, void *out) {
    if (out) *(long *)out = 5;
    return die(*(const enum way *)in);
}

static void check_death(const struct pool_failure *failure, enum way way) {
    assert_code(failure->error, POOL_EDIED);
    assert_int_equal(failure->signal, ends[way].signal);
    assert_int_equal(failure->code, ends[way].code);
    assert_true(failure->worker > 0);
    assert_contains(failure->message, ends[way].words);
    assert_null(strchr(failure->message, '\n'));
}

static void assert_still_works(struct pool *pool) {
    assert_squares_in_turn(pool, 20);
}

TEST_CASE(the_failure_tells_how_a_worker_died) {
    struct pool *pool = pool_of(2);
    for (enum way way = LIVE + 1; way < WAYS; way++) {
        if (!possible_here(way)) continue;
        long result = -1;
        struct future *future = submit(pool, die_task, &way, sizeof way, sizeof result);
        assert_code(future_get(future, &result, PATIENCE), POOL_EDIED);
        assert_int_equal(result, -1);
        struct pool_failure failure;
        assert_ok(future_failure(future, &failure));
        check_death(&failure, way);
        assert_int_equal(failure.index, 0);
        assert_true(gone_within(failure.worker, PATIENCE));
        future_free(future);
        assert_still_works(pool);
    }
    pool_destroy(pool);
}

TEST_CASE(the_failure_tells_the_address_of_a_segmentation_fault) {
    struct pool *pool = pool_of(1);
    enum way way = SEGMENTATION_FAULT;
    struct pool_failure failure;
    struct future *future = submit(pool, die_task, &way, sizeof way, 0);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
    assert_ok(future_failure(future, &failure));
    assert_contains(failure.message, "abc000");
    future_free(future);
    pool_destroy(pool);
}

struct item {
    enum way way;
    long value;
};

static atomic_int *runs;

static int item_task(const void *in, void *out) {
    const struct item *item = in;
    atomic_fetch_add(&runs[task_index()], 1);
    *(long *)out = item->value * 2;
    return die(item->way);
}

TEST_CASE(a_death_in_a_job_loses_only_the_item_that_ran) {
    enum { ITEMS = 60 };
    runs = shared(ITEMS * sizeof *runs);
    struct pool *pool = pool_of(2);
    static const size_t chunks[] = {0, 1, 10, 1000};
    for (enum way way = LIVE + 1; way < WAYS; way++) {
        if (!possible_here(way)) continue;
        for (size_t c = 0; c < COUNT(chunks); c++) {
            struct item in[ITEMS];
            long out[ITEMS];
            int status[ITEMS];
            for (long i = 0; i < ITEMS; i++) {
                in[i] = (struct item){i % 25 == 14 ? way : LIVE, i}; /* 14 and 39 */
                out[i] = -1;
                status[i] = 12345;
                runs[i] = 0;
            }
            struct pool_failure failure;
            struct pool_job job = {.fn = item_task, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .chunk = chunks[c],
                                   .status = status, .failure = &failure};
            assert_code(pool_map(pool, &job), POOL_EDIED);
            check_death(&failure, way);
            assert_int_equal(failure.index, 14);
            for (long i = 0; i < ITEMS; i++) {
                assert_int_equal(runs[i], 1); /* each item ran once */
                assert_code(status[i], i % 25 == 14 ? POOL_EDIED : 0);
                assert_int_equal(out[i], i % 25 == 14 ? -1 : 2 * i);
            }
        }
    }
    pool_destroy(pool);
}

TEST_CASE(a_job_may_lose_all_its_items) {
    struct pool *pool = pool_of(2);
    enum way in[50];
    int status[50];
    for (int i = 0; i < 50; i++) in[i] = i % 2 ? KILL_SELF : EXIT_3;
    struct pool_job job = {.fn = die_task, POOL_IN(in), .count = 50, .chunk = 10, .status = status};
    assert_code(pool_map(pool, &job), POOL_EDIED);
    for (int i = 0; i < 50; i++) assert_code(status[i], POOL_EDIED);
    assert_still_works(pool);
    pool_destroy(pool);
}

/* Dies as often as its argument says. */
static int die_often_task(const void *in, void *out) {
    int attempt = atomic_fetch_add(&runs[task_index()], 1);
    if (attempt < *(const int *)in) raise(attempt % 2 ? SIGKILL : SIGSEGV);
    *(int *)out = attempt;
    return 0;
}

TEST_CASE(a_retry_runs_the_victim_again_up_to_its_budget) {
    runs = shared(20 * sizeof *runs);
    struct pool *pool = pool_of(2);
    for (int deaths = 0; deaths < 4; deaths++) {
        for (unsigned retries = 0; retries < 4; retries++) {
            bool enough = (int)retries >= deaths;
            runs[0] = 0;
            int result = -1;
            struct pool_task task = {.fn = die_often_task, POOL_IN(&deaths), .out_size = sizeof result,
                                     .retries = retries};
            struct future *future;
            assert_ok(pool_submit(pool, &task, &future));
            assert_code(finish(future, &result), enough ? 0 : POOL_EDIED);
            assert_int_equal(runs[0], enough ? deaths + 1 : (int)retries + 1);
            assert_int_equal(result, enough ? deaths : -1);

            int in[20], out[20], status[20];
            for (int i = 0; i < 20; i++) {
                in[i] = i % 4 == 1 ? deaths : 0;
                out[i] = -1;
                runs[i] = 0;
            }
            struct pool_job job = {.fn = die_often_task, POOL_IN(in), POOL_OUT(out), .count = 20, .chunk = retries * 3,
                                   .retries = retries, .status = status};
            assert_code(pool_map(pool, &job), enough ? 0 : POOL_EDIED);
            for (int i = 0; i < 20; i++) {
                bool fine = in[i] <= (int)retries;
                assert_code(status[i], fine ? 0 : POOL_EDIED);
                assert_int_equal(out[i], fine ? in[i] : -1);
                assert_int_equal(runs[i], fine ? in[i] + 1 : (int)retries + 1);
            }
        }
    }
    pool_destroy(pool);
}

static int fail_task(const void *in, void *out) {
    (void)in;
    (void)out;
    atomic_fetch_add(&runs[0], 1);
    return 9;
}

TEST_CASE(a_task_that_fails_by_itself_is_not_retried) {
    runs = shared(sizeof *runs);
    struct pool *pool = pool_of(1);
    struct pool_task task = {.fn = fail_task, .retries = 5};
    struct future *future;
    assert_ok(pool_submit(pool, &task, &future));
    assert_code(finish(future, NULL), POOL_EFAILED);
    assert_int_equal(runs[0], 1);
    pool_destroy(pool);
}

/* The workers of a pool. A gate holds each in its task until all have answered, so that each answers once. */
struct roll {
    struct gate gate;
    atomic_int pids[16];
};

static int roll_call_task(const void *in, void *out) {
    (void)out;
    struct roll *roll = *(struct roll *const *)in;
    int place = atomic_fetch_add(&roll->gate.arrived, 1);
    atomic_store(&roll->pids[place], getpid());
    return becomes(&roll->gate.open, 1) ? 0 : 99;
}

static void call_roll(struct pool *pool, struct roll *roll, int workers) {
    struct future *futures[16];
    memset((void *)roll, 0, sizeof *roll);
    for (int i = 0; i < workers; i++) futures[i] = submit(pool, roll_call_task, &roll, sizeof(struct roll *), 0);
    for (int i = 0; i < workers; i++) assert_true(becomes(&roll->pids[i], 1));
    gate_open(&roll->gate);
    for (int i = 0; i < workers; i++) assert_ok(finish(futures[i], NULL));
}

TEST_CASE(idle_workers_that_die_are_replaced_and_no_task_is_lost) {
    struct roll *roll = shared(sizeof *roll);
    struct pool *pool = pool_of(4);
    for (int victims = 1; victims <= 4; victims++) { /* in the last round all of them */
        call_roll(pool, roll, 4);
        for (int i = 0; i < victims; i++) kill(roll->pids[i], victims % 2 ? SIGKILL : SIGTERM);
        if (victims < 3) { /* dead when work comes; else they die while it comes */
            for (int i = 0; i < victims; i++) assert_true(gone_within(roll->pids[i], PATIENCE));
        }
        struct future *futures[200];
        int died = 0;
        submit_squares(pool, futures, 200);
        for (long i = 0; i < 200; i++) {
            long result = -1;
            int error = finish(futures[i], &result);
            died += error == POOL_EDIED;
            if (error != POOL_EDIED) assert_ok(error);
            if (error == 0) assert_int_equal(result, i * i);
        }
        assert_true(died <= (victims < 3 ? 0 : victims)); /* a late kill may hit a task */
    }
    call_roll(pool, roll, 4); /* there are four workers again */
    pool_destroy(pool);
}

TEST_CASE(all_busy_workers_may_die_at_once) {
    struct roll *roll = shared(sizeof *roll);
    struct pool *pool = pool_of(4);
    for (int round = 0; round < 5; round++) {
        memset((void *)roll, 0, sizeof *roll);
        struct future *victims[4], *waiting[50];
        for (int i = 0; i < 4; i++) victims[i] = submit(pool, roll_call_task, &roll, sizeof(struct roll *), 0);
        for (int i = 0; i < 4; i++) assert_true(becomes(&roll->pids[i], 1));
        submit_squares(pool, waiting, 50);
        for (int i = 0; i < 4; i++) kill(roll->pids[i], SIGKILL);
        for (int i = 0; i < 4; i++) {
            assert_code(future_get(victims[i], NULL, PATIENCE), POOL_EDIED);
            struct pool_failure failure;
            assert_ok(future_failure(victims[i], &failure));
            assert_int_equal(failure.signal, SIGKILL);
            bool known = false;
            for (int k = 0; k < 4; k++) known = known || failure.worker == roll->pids[k];
            assert_true(known);
            future_free(victims[i]);
        }
        assert_squares(waiting, 50);
    }
    pool_destroy(pool);
}

static int short_task(const void *in, void *out) {
    (void)in;
    for (volatile int i = 0; i < 2000; i++) {
    }
    *(size_t *)out = task_index() + 7;
    return 0;
}

TEST_CASE(a_kill_during_a_job_costs_one_item_at_most) {
    enum { ITEMS = 200000, KILLS = 30 };
    struct pool *pool = pool_of(3);
    size_t *out = calloc(ITEMS, sizeof *out);
    int *status = calloc(ITEMS, sizeof *status);
    struct pool_job job = {.fn = short_task, POOL_OUT(out), .count = ITEMS, .chunk = 0, .status = status};
    struct future *future;
    pid_t supervisor = supervisor_of(pool);
    assert_ok(pool_map_async(pool, &job, &future));
    int kills = 0;
    for (uint64_t turn = 0; kills < KILLS && !future_done(future) && have_proc(); turn++) {
        pid_t workers[16];
        size_t count = descendants(supervisor, workers, 16);
        if (count && kill(workers[scramble(turn) % count], SIGKILL) == 0) kills++;
        sleep_ms(3);
    }
    int error = finish(future, NULL);
    assert_any_of(error, 0, POOL_EDIED);
    int died = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        died += status[i] == POOL_EDIED;
        if (status[i] != POOL_EDIED) assert_ok(status[i]);
        if (out[i] != (status[i] ? 0 : i + 7)) assert_int_equal(i, -1);
    }
    assert_true(died <= kills);
    free(out);
    free(status);
    assert_still_works(pool);
    pool_destroy(pool);
}

static void *map_until_broken(void *argument) {
    struct pool *pool = argument;
    int *result = malloc(sizeof *result);
    if (result) *result = pool_map(pool, &(struct pool_job){.fn = forever_task, .count = 10});
    return result;
}

TEST_CASE(the_death_of_the_supervisor_ends_all_open_tasks) {
    for (int busy = 0; busy < 2; busy++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_of(2);
        pid_t supervisor = supervisor_of(pool);
        long value = 11, result = -1;
        struct future *done = submit_square(pool, value), *open[100];
        assert_ok(future_wait(done, PATIENCE));
        int status[30];
        struct pool_job job = {.fn = forever_task, .count = 30, .status = status};
        struct future *job_future = NULL;
        pthread_t mapper;
        if (busy) {
            for (int i = 0; i < 100; i++) open[i] = submit(pool, forever_task, &gate, sizeof gate, 0);
            assert_true(gate_reached(gate, 2));
            assert_ok(pool_map_async(pool, &job, &job_future));
            assert_int_equal(pthread_create(&mapper, NULL, map_until_broken, pool), 0);
            sleep_ms(20);
        }
        kill(supervisor, SIGKILL);
        if (busy) {
            for (int i = 0; i < 100; i++) assert_code(finish(open[i], NULL), POOL_EDIED);
            assert_code(finish(job_future, NULL), POOL_EDIED);
            for (int i = 0; i < 30; i++) assert_code(status[i], POOL_EDIED);
            void *mapped = NULL;
            pthread_join(mapper, &mapped);
            assert_non_null(mapped);
            assert_code(*(int *)mapped, POOL_EDIED);
            free(mapped);
        }
        assert_ok(finish(done, &result)); /* a finished task keeps its result */
        assert_int_equal(result, 121);
        /* A new task fails at once, or, if the caller has not yet learnt of the death, has it as its outcome. */
        struct pool_task task = {.fn = square_task, POOL_IN(&value), .out_size = sizeof value};
        struct future *future = NULL;
        for (int i = 0; i < 3; i++) {
            int error = pool_submit(pool, &task, &future);
            if (error == 0) error = finish(future, &result);
            if (busy)
                assert_code(error, POOL_EDIED);
            else
                assert_any_of(error, POOL_EDIED, 0); /* a worker that still lives may have run it */
            if (error == 0) sleep_ms(10);
        }
        int64_t start = now_ms();
        for (int error = 0; error == 0 && now_ms() - start < PATIENCE;) {
            error = pool_map(pool, &(struct pool_job){.fn = square_task, POOL_IN(&value), POOL_OUT(&result),
                                                      .count = 1});
            if (error) assert_code(error, POOL_EDIED);
        }
        assert_true(now_ms() - start < PATIENCE);
        (void)pool_shutdown(pool, 0, 1000);
        pool_destroy(pool); /* the end of the test looks for workers that are left behind */
    }
}

static int stop_parent_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return kill(getppid(), SIGSTOP);
}

static int wait_for_gate(void *argument) {
    return gate_pass(argument);
}

TEST_CASE(workers_end_with_their_supervisor) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    pid_t supervisor = supervisor_of(pool), worker = worker_of(pool);
    struct future *future = submit(pool, forever_task, &gate, sizeof gate, 0);
    assert_true(gate_reached(gate, 1));
    kill(supervisor, SIGKILL);
    assert_code(finish(future, NULL), POOL_EDIED);
    assert_true(gone_within(worker, PATIENCE)); /* while the pool still exists */
    pid_t child = start_child(wait_for_gate, gate); /* no process of the pool, though it may have the number of one */
    pool_destroy(pool);
    assert_true(alive(child));
    gate_open(gate);
    assert_int_equal(end_child(child, PATIENCE).code, 0);
}

TEST_CASE(a_stopped_supervisor_does_not_block_destroy) {
    struct pool *pool = pool_of(2);
    struct future *stopped = submit(pool, stop_parent_task, NULL, 0, 0), *busy = submit(pool, forever_task, NULL, 0, 0);
    (void)future_wait(stopped, 1000);
    int64_t start = now_ms();
    pool_destroy(pool);
    assert_took(start, 0, 30000);
    future_free(stopped);
    future_free(busy);
}

static void do_nothing(void *arg) {
    (void)arg;
}

/* A pool of 2 whose supervisor is stopped; one worker runs what never ends. */
static struct pool *pool_with_stopped_supervisor(bool finalizes, int timeout, struct future **endless) {
    struct gate *gate = shared(sizeof *gate);
    struct pool_options options = test_options(2);
    options.finalizer = finalizes ? do_nothing : NULL;
    struct pool *pool = pool_from(&options);
    struct pool_task task = {.fn = forever_task, POOL_IN(&gate), .timeout = timeout};
    assert_ok(pool_submit(pool, &task, endless));
    assert_true(gate_reached(gate, 1));
    assert_int_equal(kill(supervisor_of(pool), SIGSTOP), 0);
    return pool;
}

TEST_CASE(a_stopped_supervisor_goes_on_once_a_call_waits_for_it) {
    struct future *future;
    struct pool *pool = pool_with_stopped_supervisor(false, 500, &future);
    assert_code(finish(future, NULL), POOL_EDEADLINE);
    pool_destroy(pool);

    pool = pool_with_stopped_supervisor(false, 0, &future);
    assert_ok(future_kill(future));
    int code; /* no call waits for as long as it takes to look for what is wrong */
    for (int64_t start = now_ms(); (code = future_get(future, NULL, 20)) == POOL_ETIMEDOUT;)
        assert_true(now_ms() - start < PATIENCE);
    assert_code(code, POOL_ECANCELLED);
    future_free(future);
    pool_destroy(pool);

    for (int finalizes = 0; finalizes <= 1; finalizes++) {
        pool = pool_with_stopped_supervisor(finalizes, 0, &future);
        assert_ok(pool_shutdown(pool, POOL_KILL_RUNNING, PATIENCE));
        assert_code(finish(future, NULL), POOL_ECANCELLED);
        pool_destroy(pool);
    }
}

/* Else it is killed, which takes 2 s each time: on a busy machine the least of some tells. */
TEST_CASE(a_stopped_supervisor_goes_on_once_its_pool_is_destroyed) {
    int64_t least = PATIENCE;
    for (int tries = 0; tries < 10 && least >= 1500; tries++) {
        struct pool *pool = pool_of(2);
        kill(supervisor_of(pool), SIGSTOP);
        int64_t start = now_ms();
        pool_destroy(pool);
        int64_t took = now_ms() - start;
        if (took < least) least = took;
    }
    assert_true(least < 1500);
}

/* Nothing is open: the pool only waits for its workers to end. */
TEST_CASE(a_supervisor_that_is_stopped_while_its_workers_retire_goes_on) {
    struct pool_options options = test_options(2);
    options.finalizer = do_nothing;
    struct pool *pool = pool_from(&options);
    kill(supervisor_of(pool), SIGSTOP);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

TEST_CASE(a_stopped_worker_goes_on_when_it_is_to_end) {
    for (int way = 0; way < 3; way++) {
        struct pool_options options = test_options(2);
        options.finalizer = way == 0 ? do_nothing : NULL;
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_from(&options);
        struct future *future = way == 1 ? block_worker(pool, gate) : NULL;
        assert_squares_at_once(pool, 100);
        struct pool_worker_stats list[2];
        struct pool_stats stats = {.list = list, .room = 2};
        do assert_ok(pool_stats(pool, &stats));
        while (list[0].pid == 0 || list[1].pid == 0);
        for (int w = 0; w < 2; w++) kill(list[w].pid, SIGSTOP);
        if (future) gate_open(gate);
        if (way == 2) {
            assert_ok(pool_resize(pool, 1));
            assert_true(gone_within(list[1].pid, PATIENCE));
        } else {
            assert_ok(pool_shutdown(pool, 0, PATIENCE));
        }
        if (future) assert_ok(finish(future, NULL));
        pool_destroy(pool);
    }
}

static atomic_int *starts;

static int dies_at_start(void *argument) {
    atomic_fetch_add(starts, 1);
    return die(*(const enum way *)argument);
}

TEST_CASE(a_pool_whose_workers_all_die_at_start_is_broken) {
    starts = shared(sizeof *starts);
    enum way *way = shared(sizeof *way);
    static const enum way ways[] = {KILL_SELF, SEGMENTATION_FAULT, EXIT_3, EXIT_0, ABORT};
    for (size_t w = 0; w < COUNT(ways); w++) {
        *starts = 0;
        *way = ways[w];
        struct pool_options options = test_options(2);
        options.initializer = dies_at_start;
        options.initializer_arg = way;
        struct pool *pool = pool_from(&options);
        long value = 1;
        struct future *future = NULL;
        struct pool_task task = {.fn = square_task, POOL_IN(&value), .out_size = sizeof value};
        int error = pool_submit(pool, &task, &future);
        if (error == 0) error = finish(future, &value);
        assert_code(error, POOL_EINIT);
        assert_true(*starts > 0 && *starts < 1000); /* the pool gives up after some tries */
        int tried = *starts;
        sleep_ms(100);
        assert_true(*starts - tried < 100);
        pool_destroy(pool);
    }
}

static int dies_at_first_start(void *argument) {
    (void)argument;
    return atomic_fetch_add(starts, 1) == 0 ? raise(SIGKILL) : 0;
}

TEST_CASE(a_worker_that_dies_at_start_is_tried_again) {
    starts = shared(sizeof *starts);
    for (int workers = 1; workers < 3; workers++) {
        *starts = 0;
        struct pool_options options = test_options(workers);
        options.initializer = dies_at_first_start;
        struct pool *pool = pool_from(&options);
        assert_still_works(pool);
        pool_destroy(pool);
    }
}

static int close_all_task(const void *in, void *out) {
    (void)in;
    (void)out;
    for (int fd = 3; fd < 1024; fd++) close(fd);
    return 0;
}

TEST_CASE(a_task_that_closes_all_descriptors_costs_no_other) {
    struct pool *pool = pool_of(2);
    for (int i = 0; i < 5; i++) {
        struct future *future = submit(pool, close_all_task, NULL, 0, 0);
        int error = finish(future, NULL); /* the task may succeed before its worker notices */
        assert_any_of(error, 0, POOL_EDIED);
        assert_squares_at_once(pool, 50);
    }
    pool_destroy(pool);
}

static int replace_all_task(const void *in, void *out) {
    (void)in;
    int pair[2];
    if (pipe(pair)) return 1;
    for (int fd = 3; fd < 64; fd++) {
        if (fd != pair[0] && fd != pair[1]) dup2(pair[fd % 2], fd);
    }
    return pid_task(NULL, out);
}

/* Such a worker can wake no process and cannot be woken: it ends when it would have to sleep, or to wake the caller. */
TEST_CASE(a_worker_whose_pipes_a_task_closed_is_replaced) {
    struct pool *pool = pool_of(1);
    for (int i = 0; i < 5; i++) {
        pid_t cut_off = 0, pid = 0;
        assert_ok(finish(submit(pool, replace_all_task, NULL, 0, sizeof cut_off), &cut_off));
        int64_t start = now_ms();
        do {
            sleep_ms(1); /* a worker that always finds work needs no pipe */
            pid = worker_of(pool);
            assert_true(now_ms() - start < PATIENCE);
        } while (pid == cut_off);
    }
    struct pool_stats stats = {0};
    assert_ok(pool_stats(pool, &stats));
    assert_true(stats.died == 0);
    pool_destroy(pool);
}

struct twin {
    struct gate gate;
    atomic_int pid;
};

static int fork_and_return_task(const void *in, void *out) {
    struct twin *twin = *(struct twin *const *)in;
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
        setsid(); /* so that it does not end with the worker */
        atomic_store(&twin->pid, getpid());
        return gate_pass(&twin->gate);
    }
    return pid_task(NULL, out);
}

static int fork_in_job_task(const void *in, void *out) {
    struct twin *twin = *(struct twin *const *)in;
    return task_index() == 3 ? fork_and_return_task(in, out) : atomic_fetch_add(&twin->gate.arrived, 1) < 0;
}

TEST_CASE(a_child_that_returns_from_a_task_does_not_become_a_worker) {
    for (int in_job = 0; in_job < 2; in_job++) {
        struct twin *twin = shared(sizeof *twin), *in[10];
        struct pool *pool = pool_of(1);
        pid_t worker = 0, pid = 0;
        if (in_job) {
            for (int i = 0; i < 10; i++) in[i] = twin;
            pid_t pids[10];
            struct pool_job job = {.fn = fork_in_job_task, POOL_IN(in), POOL_OUT(pids), .count = 10, .chunk = 10};
            assert_ok(pool_map(pool, &job));
            worker = pids[3];
        } else {
            assert_ok(finish(submit(pool, fork_and_return_task, &twin, sizeof twin, sizeof worker), &worker));
        }
        assert_true(becomes(&twin->pid, 1));
        assert_true(gate_reached(&twin->gate, in_job ? 10 : 1));
        gate_open(&twin->gate);
        for (int i = 0; i < 100; i++) {
            pid = worker_of(pool);
            assert_int_equal(pid, worker);
        }
        assert_true(gone_within(twin->pid, PATIENCE));
        assert_int_equal(twin->gate.arrived, in_job ? 10 : 1);
        pool_destroy(pool);
    }
}

static int die_at_first_item(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() == 0) raise(SIGKILL);
    return 0;
}

/* A round takes up a limited number of the items that a death has left over: these need a dozen rounds. */
TEST_CASE(the_items_that_a_death_leaves_over_are_all_run) {
    enum { ITEMS = 800000 };
    struct pool *pool = pool_of(2);
    size_t failed = 0;
    struct pool_failure failure;
    struct pool_job job = {.fn = die_at_first_item, .count = ITEMS, .chunk = ITEMS, .failed = &failed,
                           .failure = &failure};
    assert_code(pool_map(pool, &job), POOL_EDIED);
    assert_int_equal(failed, 1);
    assert_int_equal(failure.index, 0);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_failure_tells_how_a_worker_died),
        TEST(the_failure_tells_the_address_of_a_segmentation_fault),
        TEST(a_death_in_a_job_loses_only_the_item_that_ran),
        TEST(a_job_may_lose_all_its_items),
        TEST(a_retry_runs_the_victim_again_up_to_its_budget),
        TEST(a_task_that_fails_by_itself_is_not_retried),
        TEST(idle_workers_that_die_are_replaced_and_no_task_is_lost),
        TEST(all_busy_workers_may_die_at_once),
        TEST(a_kill_during_a_job_costs_one_item_at_most),
        TEST(the_death_of_the_supervisor_ends_all_open_tasks),
        TEST(workers_end_with_their_supervisor),
        TEST(a_stopped_supervisor_does_not_block_destroy),
        TEST(a_stopped_supervisor_goes_on_once_a_call_waits_for_it),
        TEST(a_stopped_supervisor_goes_on_once_its_pool_is_destroyed),
        TEST(a_supervisor_that_is_stopped_while_its_workers_retire_goes_on),
        TEST(a_stopped_worker_goes_on_when_it_is_to_end),
        TEST(a_pool_whose_workers_all_die_at_start_is_broken),
        TEST(a_worker_that_dies_at_start_is_tried_again),
        TEST(a_task_that_closes_all_descriptors_costs_no_other),
        TEST(a_worker_whose_pipes_a_task_closed_is_replaced),
        TEST(a_child_that_returns_from_a_task_does_not_become_a_worker),
        TEST(the_items_that_a_death_leaves_over_are_all_run),
    };
    return run_group("death", tests, COUNT(tests), argc, argv);
}
