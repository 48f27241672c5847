/* Large arguments that are not copied: workers read them from the caller's memory, if the system lets them. Linked with
 * the library that is compiled with PP_FAULTS. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "shared/fetch.h"
#include "pool/pool.h"
#include "base/sys.h"

enum { ITEMS = 300000, NEVER = 1000000 };

/* Shared with the supervisor and the workers. */
static struct plan {
    atomic_int tried, fetched; /* calls made by the supervisor; by workers */
    int fail_try, fail_from;   /* whether the supervisor's call fails; the first call of workers that fails */
    int fail_room;             /* whether workers find no room to fetch to */
    atomic_int deaths;
    int deaths_wanted; /* how many workers die while fetching */
    bool dies_finished; /* whether the first worker to finish a part of a chunk dies then */
    atomic_int finished;
    bool holds;        /* whether the gate holds workers that are about to fetch */
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

static int begin_plan(void **state) {
    int code = test_begin(state);
    plan = shared(sizeof *plan);
    plan->fail_from = NEVER;
    tester = getpid();
    pp_fault = watch;
    for (long i = 0; i < ITEMS; i++) in[i] = i, out[i] = -1, status[i] = -99;
    return code;
}

static int end_plan(void **state) {
    pp_fault = NULL;
    return test_end(state);
}

/* Whether the library can read a parent's memory here; a system may forbid it. The first call must come before any
 * failure is arranged. */
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

/* A pool whose supervisor has tried to read the caller's memory, as it does before it starts workers. */
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
        bool fetched; /* a fetch of each small chunk would take longer than a copy of all arguments */
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

TEST_CASE(arguments_that_cannot_be_fetched_are_copied) {
    static const int fail_from[] = {0, 1, 3};
    for (size_t f = 0; f < COUNT(fail_from); f++) {
        plan->fail_from = fail_from[f];
        atomic_store(&plan->fetched, 0);
        struct pool *pool = pool_of_two();
        map_counted(pool, 0);
        int fetched = atomic_load(&plan->fetched);
        if (can_read_parent()) assert_true(fetched > fail_from[f]);
        map_counted(pool, 0);
        assert_int_equal(atomic_load(&plan->fetched), fetched); /* it is not tried again */
        pool_destroy(pool);
    }
}

static void map_without_fetching(void) {
    struct pool *pool = pool_of_two();
    map_counted(pool, 0);
    assert_int_equal(atomic_load(&plan->fetched), 0);
    pool_destroy(pool);
}

TEST_CASE(arguments_are_copied_if_workers_have_no_room_to_fetch_to) {
    plan->fail_room = 1;
    map_without_fetching();
}

TEST_CASE(a_worker_that_dies_while_fetching_loses_no_item) {
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

/* Kills a job while its worker fetches: no item runs then, and none may start afterwards, also in a worker that is not
 * killed. */
static void kill_fetching_worker(int timeout) {
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

TEST_CASE(a_kill_reaches_a_worker_that_is_fetching) {
    kill_fetching_worker(0);
}

TEST_CASE(a_kill_reaches_a_worker_that_is_fetching_items_with_a_time_out) {
    kill_fetching_worker(3600000);
}

/* As many deaths of their own while fetching would end it for the pool. */
TEST_CASE(kills_of_workers_that_are_fetching_do_not_end_fetching) {
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

TEST_CASE(workers_do_not_try_to_read_if_the_supervisor_cannot) {
    plan->fail_try = 1;
    map_without_fetching();
}

static int nothing_task(const void *argument, void *result) {
    (void)argument, (void)result;
    return 0;
}

TEST_CASE(fetching_needs_no_room_in_the_arena_and_copying_instead_may_find_none) {
    struct pool_options options = test_options(2);
    options.arena_size = sizeof in / 2;
    struct pool_job job = job_of(nothing_task);
    job.out = NULL;
    job.out_size = 0;
    struct pool *pool = settled_pool(&options);
    for (job.chunk = 0; job.chunk <= 1; job.chunk++) /* chunk 1 as well, though it would better be copied */
        assert_code(pool_map(pool, &job), can_read_parent() ? 0 : POOL_ENOMEM);
    job.chunk = 0;
    plan->fail_from = 0;
    atomic_store(&plan->fetched, 0);
    assert_code(pool_map(pool, &job), POOL_ENOMEM);
    if (can_read_parent()) /* the job was under way when fetching failed */
        for (long i = 0; i < ITEMS; i++) assert_code(status[i], POOL_ENOMEM);
    job.count = 1000;
    assert_ok(pool_map(pool, &job));
    pool_destroy(pool);
}

/* Of 50,000 items one kills its worker in its first run. */
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

/* Large results divide a chunk into parts, too. */
TEST_CASE(a_worker_that_dies_between_two_parts_of_a_chunk_loses_no_item) {
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

/* One item writes to its argument. */
static int write_to_argument(const void *argument, void *result) {
    if (*(const long *)argument == 1234) *(volatile long *)(uintptr_t)argument = 1;
    *(long *)result = *(const long *)argument;
    return 0;
}

TEST_CASE(fetched_arguments_are_read_only) {
    struct pool *pool = pool_of_two();
    struct pool_job job = job_of(write_to_argument);
    assert_code(pool_map(pool, &job), POOL_EDIED);
    for (long i = 0; i < ITEMS; i++) assert_code(status[i], i == 1234 ? POOL_EDIED : 0);
    for (long i = 0; i < ITEMS; i++) assert_true(in[i] == i && (i == 1234 || out[i] == i));
    pool_destroy(pool);
}

#define PLANNED(function)                                                                                              \
    { #function, function, begin_plan, end_plan, (void *)#function }

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        PLANNED(large_arguments_are_fetched_and_small_ones_copied),
        PLANNED(results_may_take_the_place_of_arguments),
        PLANNED(arguments_that_cannot_be_fetched_are_copied),
        PLANNED(arguments_are_copied_if_workers_have_no_room_to_fetch_to),
        PLANNED(a_worker_that_dies_while_fetching_loses_no_item),
        PLANNED(a_kill_reaches_a_worker_that_is_fetching),
        PLANNED(a_kill_reaches_a_worker_that_is_fetching_items_with_a_time_out),
        PLANNED(kills_of_workers_that_are_fetching_do_not_end_fetching),
        PLANNED(workers_do_not_try_to_read_if_the_supervisor_cannot),
        PLANNED(fetching_needs_no_room_in_the_arena_and_copying_instead_may_find_none),
        PLANNED(items_are_fetched_again_for_another_try),
        PLANNED(arguments_larger_than_what_is_fetched_at_a_time_are_copied),
        PLANNED(a_worker_that_dies_between_two_parts_of_a_chunk_loses_no_item),
        PLANNED(fetched_arguments_are_read_only),
    };
    return run_group("fetch", tests, COUNT(tests), argc, argv);
}
