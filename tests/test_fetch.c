/* Large arguments that are not copied: workers read the caller's memory, or find that they cannot. Linked with the
 * library that is compiled with PP_FAULTS. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "shared/fetch.h"
#include "pool/pool.h"
#include "base/sys.h"

enum { ITEMS = 300000, NEVER = 1000000 };

/* Shared with supervisor and workers. */
static struct plan {
    atomic_int tried, fetched; /* calls made by the supervisor, by workers */
    int fail_try, fail_from;   /* whether the supervisor's call fails; the first of the workers' that does */
    int fail_room;             /* whether workers find no room for what they fetch */
    atomic_int deaths;
    int deaths_wanted; /* how many workers are to die of fetching */
    bool dies_finished; /* whether the first worker that has finished a part of a chunk is to die then */
    atomic_int finished;
    bool holds;        /* whether who is about to fetch is held back */
    struct gate gate;
    atomic_int begun[ITEMS];
} *plan;
static pid_t tester;
static long in[ITEMS], out[ITEMS];
static int status[ITEMS];

static bool watch(const char *name) {
    if (getpid() == tester) return false;
    if (strcmp(name, "fetching") == 0 && plan->holds) gate_pass(&plan->gate);
    if (strcmp(name, "fetching") == 0 && atomic_fetch_add(&plan->deaths, 1) < plan->deaths_wanted) raise(SIGKILL);
    if (strcmp(name, "finished") == 0 && atomic_fetch_add(&plan->finished, 1) == 0 && plan->dies_finished)
        raise(SIGKILL);
    if (strcmp(name, "mremap") == 0) return plan->fail_room;
    if (strcmp(name, "process_vm_readv") != 0) return false;
    if (getppid() == tester) return atomic_fetch_add(&plan->tried, 1) >= 0 && plan->fail_try;
    return atomic_fetch_add(&plan->fetched, 1) >= plan->fail_from;
}

static int plan_anew(void **state) {
    int code = test_begin(state);
    plan = shared(sizeof *plan);
    plan->fail_from = NEVER;
    tester = getpid();
    pp_fault = watch;
    for (long i = 0; i < ITEMS; i++) in[i] = i, out[i] = -1, status[i] = -99;
    return code;
}

static int forget_plan(void **state) {
    pp_fault = NULL;
    return test_end(state);
}

/* Whether the library can read a parent's memory here, or tries to: a system may forbid it. Found out before anything
 * is made to fail. */
static bool can_read_parent(void) {
    static int can = -1;
    if (can >= 0) return can;
    bool (*fault)(const char *) = pp_fault;
    pp_fault = NULL;
    pid_t child = fork();
    if (child == 0) _exit(pp_fetch_try(tester, in) == tester ? 0 : 1);
    int ended = 1;
    waitpid(child, &ended, 0);
    pp_fault = fault;
    can = ended == 0;
    if (!can) print_error("Arguments are always copied here: this tries little.\n");
    return can;
}

static int counted_square(const void *argument, void *result) {
    long x = *(const long *)argument;
    atomic_fetch_add_explicit(&plan->begun[task_index()], 1, memory_order_relaxed);
    *(long *)result = x * x;
    return 0;
}

static struct pool_job job_of(pool_fn *fn) {
    return (struct pool_job){.fn = fn, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .status = status};
}

/* A pool whose supervisor has tried whether it can read: it does so before it starts workers. */
static struct pool *settled_pool(const struct pool_options *options) {
    struct pool *pool;
    assert_ok(pool_create(options, &pool));
    assert_ok(finish(submit_square(pool, 1), NULL));
    return pool;
}

static struct pool *pool_of_two(void) {
    struct pool_options options = test_options(2);
    return settled_pool(&options);
}

static void assert_each_was_squared_once(void) {
    for (long i = 0; i < ITEMS; i++) {
        assert_true(out[i] == i * i && status[i] == 0);
        assert_int_equal(atomic_exchange(&plan->begun[i], 0), 1);
        out[i] = -1;
    }
}

static void map_once(struct pool *pool, const struct pool_job *job) {
    assert_ok(pool_map(pool, job));
    assert_each_was_squared_once();
}

static void map_counted(struct pool *pool, size_t chunk) {
    struct pool_job job = job_of(counted_square);
    job.chunk = chunk;
    map_once(pool, &job);
}

TEST_CASE(large_arguments_are_fetched_and_small_ones_copied) {
    static const struct {
        size_t chunk;
        bool fetched; /* each chunk by itself: small ones would take longer than a copy of all */
    } cases[] = {{0, true}, {1, false}, {7, false}, {511, false}, {512, true}, {ITEMS, true}};
    struct pool *pool = pool_of_two();
    assert_int_equal(atomic_load(&plan->tried), can_read_parent());
    struct pool_job small = job_of(counted_square);
    small.count = 1000;
    assert_ok(pool_map(pool, &small));
    assert_int_equal(atomic_load(&plan->fetched), 0);
    memset(plan->begun, 0, sizeof plan->begun);
    for (size_t c = 0; c < COUNT(cases); c++) {
        atomic_store(&plan->fetched, 0);
        map_counted(pool, cases[c].chunk);
        if (!cases[c].fetched) assert_int_equal(atomic_load(&plan->fetched), 0);
        else if (can_read_parent()) assert_true(atomic_load(&plan->fetched) >= (int)(sizeof in / 262144));
    }
    pool_destroy(pool);
}

TEST_CASE(results_may_take_the_place_of_arguments) {
    struct pool *pool = pool_of_two();
    struct pool_job job = job_of(counted_square);
    job.out = in;
    assert_ok(pool_map(pool, &job));
    for (long i = 0; i < ITEMS; i++) assert_true(in[i] == i * i);
    pool_destroy(pool);
}

TEST_CASE(what_cannot_be_fetched_is_copied) {
    static const int fail_from[] = {0, 1, 3};
    for (size_t f = 0; f < COUNT(fail_from); f++) {
        plan->fail_from = fail_from[f];
        atomic_store(&plan->fetched, 0);
        struct pool *pool = pool_of_two();
        map_counted(pool, 0);
        int fetched = atomic_load(&plan->fetched);
        if (can_read_parent()) assert_true(fetched > fail_from[f]);
        map_counted(pool, 0);
        assert_int_equal(atomic_load(&plan->fetched), fetched); /* and from then on it is not tried again */
        pool_destroy(pool);
    }
}

/* With what the test has made to fail. */
static void map_without_fetching(void) {
    struct pool *pool = pool_of_two();
    map_counted(pool, 0);
    assert_int_equal(atomic_load(&plan->fetched), 0);
    pool_destroy(pool);
}

TEST_CASE(where_there_is_no_room_to_fetch_to_arguments_are_copied) {
    plan->fail_room = 1;
    map_without_fetching();
}

TEST_CASE(whoever_dies_of_fetching_leaves_no_victim) {
    static const int deaths[] = {1, 2, NEVER};
    for (size_t d = 0; d < COUNT(deaths); d++) {
        plan->deaths_wanted = deaths[d];
        atomic_store(&plan->deaths, 0);
        struct pool *pool = pool_of_two();
        map_counted(pool, 0);
        if (can_read_parent()) assert_true(atomic_load(&plan->deaths) > 0);
        map_counted(pool, 7);
        pool_destroy(pool);
    }
}

static int endless_task(const void *argument, void *result) {
    (void)argument, (void)result;
    atomic_fetch_add(&plan->begun[0], 1);
    while (plan) pause();
    return 0;
}

struct call {
    struct pool *pool;
    struct pool_job job;
    int code;
};

static void *map_in_thread(void *arg) {
    struct call *call = arg;
    call->code = pool_map(call->pool, &call->job);
    return NULL;
}

/* Nothing runs just then; and nothing is begun afterwards, also by a worker that is not killed for it. */
static void kill_who_fetches(int timeout) {
    if (!can_read_parent()) return;
    plan->holds = true;
    struct pool_options options = test_options(1);
    struct pool *pool = settled_pool(&options);
    struct call call = {.pool = pool, .job = job_of(endless_task)};
    call.job.timeout = timeout;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, map_in_thread, &call), 0);
    assert_true(gate_reached(&plan->gate, 1));
    assert_any_of(pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, 0), 0, POOL_ETIMEDOUT);
    gate_open(&plan->gate);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_code(call.code, POOL_ECANCELLED);
    assert_int_equal(atomic_load(&plan->begun[0]), 0);
    pool_destroy(pool);
}

TEST_CASE(a_kill_reaches_whoever_fetches) {
    kill_who_fetches(0);
}

TEST_CASE(a_kill_reaches_whoever_fetches_for_items_with_a_time_out) {
    kill_who_fetches(3600000);
}

/* As many as would end fetching, had they died by themselves. */
TEST_CASE(who_is_killed_while_it_fetches_is_no_sign_that_it_cannot) {
    if (!can_read_parent()) return;
    plan->holds = true;
    struct pool_options options = test_options(1);
    struct pool *pool = settled_pool(&options);
    struct call call = {.pool = pool, .job = job_of(counted_square)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, map_in_thread, &call), 0);
    for (int kills = 0; kills < 3; kills++) {
        assert_true(gate_reached(&plan->gate, kills + 1));
        assert_code(pool_shutdown(pool, POOL_KILL_RUNNING, 0), POOL_ETIMEDOUT);
    }
    assert_true(gate_reached(&plan->gate, 4));
    gate_open(&plan->gate);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok(call.code);
    assert_each_was_squared_once();
    assert_false(pool->no_fetching);
    pool_destroy(pool);
}

TEST_CASE(what_the_supervisor_cannot_read_no_worker_tries_to) {
    plan->fail_try = 1;
    map_without_fetching();
}

static int nothing_task(const void *argument, void *result) {
    (void)argument, (void)result;
    return 0;
}

TEST_CASE(fetching_takes_no_room_in_the_arena_and_copying_in_its_stead_may_find_none) {
    struct pool_options options = test_options(2);
    options.arena_size = sizeof in / 2;
    struct pool_job job = job_of(nothing_task);
    job.out = NULL;
    job.out_size = 0;
    struct pool *pool = settled_pool(&options);
    for (job.chunk = 0; job.chunk <= 1; job.chunk++) /* what would better be copied, too */
        assert_code(pool_map(pool, &job), can_read_parent() ? 0 : POOL_ENOMEM);
    job.chunk = 0;
    plan->fail_from = 0;
    atomic_store(&plan->fetched, 0);
    assert_code(pool_map(pool, &job), POOL_ENOMEM);
    if (can_read_parent()) /* found out when it was under way */
        for (long i = 0; i < ITEMS; i++) assert_code(status[i], POOL_ENOMEM);
    job.count = 1000;
    assert_ok(pool_map(pool, &job));
    pool_destroy(pool);
}

/* Dies, the first time, of one item in 50,000. */
static int sometimes_deadly(const void *argument, void *result) {
    long x = *(const long *)argument;
    if (x % 50000 == 17 && atomic_fetch_add(&plan->begun[x], 1) == 0) raise(SIGKILL);
    *(long *)result = x * x;
    return 0;
}

TEST_CASE(items_are_fetched_again_for_another_try) {
    static const int timeouts[] = {0, 3600000};
    static const unsigned most[] = {0, 40000};
    for (size_t t = 0; t < COUNT(timeouts); t++)
        for (size_t m = 0; m < COUNT(most); m++) {
            struct pool_options options = test_options(2);
            options.max_tasks_per_worker = most[m];
            struct pool *pool = settled_pool(&options);
            struct pool_job job = job_of(sometimes_deadly);
            job.timeout = timeouts[t];
            job.retries = 1;
            memset(plan->begun, 0, sizeof plan->begun);
            atomic_store(&plan->fetched, 0);
            assert_ok(pool_map(pool, &job));
            for (long i = 0; i < ITEMS; i++) assert_true(out[i] == i * i && status[i] == 0);
            if (can_read_parent()) assert_true(atomic_load(&plan->fetched) > 0);
            pool_destroy(pool);
        }
}

static int is_filled(const void *argument, void *result) {
    (void)result;
    return filled(argument, *(const size_t *)task_context(), task_index()) ? 0 : 1;
}

TEST_CASE(arguments_larger_than_what_is_fetched_at_a_time_are_copied) {
    enum { LARGE = 6 };
    for (size_t size = PP_FETCH; size <= PP_FETCH + 1; size++) {
        char *data = malloc(LARGE * size);
        assert_non_null(data);
        for (size_t i = 0; i < LARGE; i++) fill(data + i * size, size, i);
        atomic_store(&plan->fetched, 0);
        struct pool *pool = pool_of_two();
        struct pool_job job = {.fn = is_filled, .in = data, .in_size = size, .count = LARGE,
                               .context = &size, .context_size = sizeof size};
        assert_ok(pool_map(pool, &job));
        assert_int_equal(atomic_load(&plan->fetched), can_read_parent() && size == PP_FETCH ? LARGE : 0);
        pool_destroy(pool);
        free(data);
    }
}

static int counted_index(const void *argument, void *result) {
    (void)argument;
    atomic_fetch_add_explicit(&plan->begun[task_index()], 1, memory_order_relaxed);
    *(long *)result = (long)(task_index() * task_index());
    return 0;
}

/* Large results make parts, too. */
TEST_CASE(whoever_dies_between_two_parts_of_a_chunk_leaves_no_victim) {
    for (int with_arguments = 0; with_arguments <= 1; with_arguments++) {
        plan->dies_finished = true;
        atomic_store(&plan->finished, 0);
        struct pool *pool = pool_of_two();
        struct pool_job job = job_of(with_arguments ? counted_square : counted_index);
        job.chunk = ITEMS;
        if (!with_arguments) job.in = NULL;
        map_once(pool, &job);
        assert_true(atomic_load(&plan->finished) > 1);
        pool_destroy(pool);
    }
}

/* One item writes to what it may only read. */
static int write_to_argument(const void *argument, void *result) {
    if (*(const long *)argument == 1234) *(volatile long *)(uintptr_t)argument = 1;
    *(long *)result = *(const long *)argument;
    return 0;
}

TEST_CASE(a_task_can_only_read_what_was_fetched) {
    struct pool *pool = pool_of_two();
    struct pool_job job = job_of(write_to_argument);
    assert_code(pool_map(pool, &job), POOL_EDIED);
    for (long i = 0; i < ITEMS; i++) assert_code(status[i], i == 1234 ? POOL_EDIED : 0);
    for (long i = 0; i < ITEMS; i++) assert_true(in[i] == i && (i == 1234 || out[i] == i));
    pool_destroy(pool);
}

#define PLANNED(function)                                                                                              \
    { #function, function, plan_anew, forget_plan, (void *)#function }

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        PLANNED(large_arguments_are_fetched_and_small_ones_copied),
        PLANNED(results_may_take_the_place_of_arguments),
        PLANNED(what_cannot_be_fetched_is_copied),
        PLANNED(where_there_is_no_room_to_fetch_to_arguments_are_copied),
        PLANNED(whoever_dies_of_fetching_leaves_no_victim),
        PLANNED(a_kill_reaches_whoever_fetches),
        PLANNED(a_kill_reaches_whoever_fetches_for_items_with_a_time_out),
        PLANNED(who_is_killed_while_it_fetches_is_no_sign_that_it_cannot),
        PLANNED(what_the_supervisor_cannot_read_no_worker_tries_to),
        PLANNED(fetching_takes_no_room_in_the_arena_and_copying_in_its_stead_may_find_none),
        PLANNED(items_are_fetched_again_for_another_try),
        PLANNED(arguments_larger_than_what_is_fetched_at_a_time_are_copied),
        PLANNED(whoever_dies_between_two_parts_of_a_chunk_leaves_no_victim),
        PLANNED(a_task_can_only_read_what_was_fetched),
    };
    return run_group("fetch", tests, COUNT(tests), argc, argv);
}
