/* Nothing that runs in a worker unwinds into frames of the program, whose copies lie above it on the stack. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "throw.h"

/* What of the program's own has run in a worker. */
static struct intrusions *intrusions;

static void begin(void) {
    intrusions = shared(sizeof *intrusions);
}

static void assert_no_intrusion(void) {
    assert_int_equal(intrusions->catches, 0);
    assert_int_equal(intrusions->destructors, 0);
    assert_int_equal(intrusions->terminations, 0);
}

/* A program of C has clean-up handlers. Those that lie above the pool are the program's. */
static void clean_up_in_worker(void *program) {
    if (getpid() == *(const pid_t *)program) return;
    intrusions->destructors++;
    _exit(0);
}

static int call_with_clean_up(int (*body)(void *argument), void *argument) {
    pid_t program = getpid();
    int result;
    pthread_cleanup_push(clean_up_in_worker, &program);
    result = body(argument);
    pthread_cleanup_pop(0);
    return result;
}

/* ---- the ends of a thread */

enum way { PTHREAD_EXIT, CANCELLATION, PTHREAD_EXIT_BESIDE_A_THREAD, WAYS };

static void *loiter(void *unused) {
    for (;;) pause();
    return unused;
}

static int end_thread(enum way way) {
    if (way == PTHREAD_EXIT_BESIDE_A_THREAD) {
        pthread_t other;
        pthread_create(&other, NULL, loiter, NULL);
    }
    if (way == CANCELLATION) {
        int before;
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
        pthread_cancel(pthread_self());
        pthread_testcancel();
    }
    pthread_exit(NULL);
}

static int end_third(const void *in, void *out) {
    if (task_index() == 3) return end_thread(*(const enum way *)task_context());
    *(long *)out = *(const long *)in;
    return 0;
}

#define STACK ((size_t)1 << 20)

/* A map, of which the third item has a bad end, and all others are right. */
struct trial {
    pool_fn *fn;
    const void *context;
    size_t stack_size;
    struct pool_failure failure;
};

static int try_map(void *argument) {
    struct trial *trial = argument;
    long in[20], out[20];
    int status[20];
    for (long i = 0; i < 20; i++) in[i] = i, out[i] = -1;
    struct pool_options options = test_options(2);
    options.stack_size = trial->stack_size;
    struct pool *pool = pool_from(&options);
    struct pool_job job = {.fn = trial->fn, POOL_IN(in), POOL_OUT(out), .count = 20, .status = status, .chunk = 2,
                           .failure = &trial->failure, .context = trial->context, .context_size = sizeof(int)};
    int error = pool_map(pool, &job);
    int wrong = 0;
    for (int i = 0; i < 20; i++) wrong += i == 3 ? status[i] != POOL_EDIED : status[i] != 0 || out[i] != i;
    long x = 7, y = 0;
    wrong += finish(submit(pool, square_task, &x, sizeof x, sizeof y), &y) != 0 || y != 49;
    pool_destroy(pool);
    return wrong ? wrong : error;
}

TEST_CASE(a_task_that_ends_its_thread_ends_its_worker_and_no_clean_up_of_the_program_runs) {
    for (unsigned i = 0; i < 2 * WAYS; i++) {
        enum way way = (enum way)(i / 2);
        begin();
        struct trial trial = {.fn = end_third, .context = &way, .stack_size = i % 2 * STACK};
        assert_code(call_with_clean_up(try_map, &trial), POOL_EDIED);
        assert_no_intrusion();
        assert_int_equal(trial.failure.index, 3);
        assert_int_equal(trial.failure.signal, 0);
        assert_contains(trial.failure.message, "pthread_exit()");
    }
}

static int *cleaned;

static void count_clean_up(void *unused) {
    (void)unused;
    ++*cleaned;
}

static int end_with_clean_up(const void *in, void *out) {
    (void)in, (void)out;
    pthread_cleanup_push(count_clean_up, NULL);
    printf("written before the end of the thread");
    end_thread(PTHREAD_EXIT);
    pthread_cleanup_pop(0);
    return 0;
}

TEST_CASE(clean_up_handlers_of_the_task_itself_run_at_pthread_exit) {
    begin();
    cleaned = shared(sizeof *cleaned);
    struct pool *pool = pool_of(1);
    assert_code(finish(submit(pool, end_with_clean_up, NULL, 0, 0), NULL), POOL_EDIED);
    assert_int_equal(*cleaned, 1);
    pool_destroy(pool);
}

static int fork_and_end_thread(const void *in, void *out) {
    (void)in, (void)out;
    pid_t child = fork();
    if (child == 0) end_thread(PTHREAD_EXIT);
    int status = -1;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

TEST_CASE(pthread_exit_in_a_child_of_a_task_ends_that_child_alone) {
    begin();
    struct pool *pool = pool_of(1);
    assert_ok(finish(submit(pool, fork_and_end_thread, NULL, 0, 0), NULL));
    pool_destroy(pool);
}

static atomic_int *tries; /* of initializers that do not return */

static int end_thread_first(void *unused) {
    (void)unused;
    atomic_fetch_add(tries, 1);
    return end_thread(PTHREAD_EXIT);
}

/* Those of two workers are no more than those of an initializer that returns a failure. */
static void assert_few_tries(void) {
    assert_in_range(atomic_load(tries), 1, 2 * 3);
}

/* A pool whose initializer does not return. */
static int fail_to_initialize(int (*initializer)(void *), struct pool_failure *failure) {
    struct pool_options options = test_options(2);
    options.initializer = initializer;
    struct pool *pool = pool_from(&options);
    long in[4] = {0};
    struct pool_job job = {.fn = square_task, POOL_IN(in), .out_size = sizeof *in, .count = 4, .failure = failure};
    int error = pool_map(pool, &job);
    pool_destroy(pool);
    return error;
}

static int initialize_by_pthread_exit(void *failure) {
    return fail_to_initialize(end_thread_first, failure);
}

TEST_CASE(an_initializer_that_ends_its_thread_has_failed) {
    begin();
    struct pool_failure failure;
    tries = shared(sizeof *tries);
    assert_code(call_with_clean_up(initialize_by_pthread_exit, &failure), POOL_EINIT);
    assert_few_tries();
    assert_no_intrusion();
    assert_contains(failure.message, "the initializer");
    assert_contains(failure.message, "pthread_exit()");
}

/* fork() runs this in the supervisor: the next wait there would be a cancellation point. */
static bool cancels;

static void cancel_child(void) {
    if (cancels) pthread_cancel(pthread_self());
}

static int use_pool(void *unused) {
    (void)unused;
    struct pool *pool = pool_of(2);
    cancels = false;
    assert_squares_in_turn(pool, 10);
    pool_destroy(pool);
    return 0;
}

static int cancel_supervisor(void *unused) {
    EXPECT(pthread_atfork(NULL, NULL, cancel_child) == 0);
    cancels = true;
    return call_with_clean_up(use_pool, unused);
}

TEST_CASE(a_request_to_cancel_the_thread_that_makes_the_pool_does_not_end_the_supervisor) {
    begin();
    assert_child_passes(cancel_supervisor, NULL);
    assert_no_intrusion();
}

#ifdef HAVE_CXX

/* ---- exceptions */

static const struct {
    const char *words;
    int signal;
} ends[THROWN] = {
    [STANDARD_EXCEPTION] = {"std::runtime_error", SIGABRT},
    [OWN_EXCEPTION] = {"own", SIGABRT},
    [NUMBER] = {"exception was not caught: int", SIGABRT},
    [FOREIGN_EXCEPTION] = {"SIGABRT", SIGABRT},
    [FORCED_UNWINDING] = {"SIGABRT", SIGABRT},
    [NOEXCEPT_BROKEN] = {"std::runtime_error", SIGABRT},
};

static int throw_third(const void *in, void *out) {
    if (task_index() == 3) return throw_it(*(const enum thrown *)task_context());
    *(long *)out = *(const long *)in;
    return 0;
}

TEST_CASE(an_exception_that_leaves_an_item_ends_its_worker_and_the_message_names_its_type) {
    for (unsigned i = 0; i < 2 * THROWN; i++) {
        enum thrown what = (enum thrown)(i / 2);
        begin();
        struct trial trial = {.fn = throw_third, .context = &what, .stack_size = i % 2 * STACK};
        assert_code(call_guarded(try_map, &trial, intrusions), POOL_EDIED);
        assert_no_intrusion();
        assert_int_equal(trial.failure.index, 3);
        assert_int_equal(trial.failure.signal, ends[what].signal);
        assert_contains(trial.failure.message, ends[what].words);
        if (what != FOREIGN_EXCEPTION && what != FORCED_UNWINDING)
            assert_contains(trial.failure.message, "exception was not caught");
    }
}

static int try_with_handler(void *argument) {
    set_terminate_handler(intrusions);
    int result = try_map(argument);
    set_terminate_handler(NULL);
    return result;
}

TEST_CASE(the_terminate_handler_of_the_program_does_not_run_in_a_worker) {
    begin();
    enum thrown what = STANDARD_EXCEPTION;
    struct trial trial = {.fn = throw_third, .context = &what};
    assert_code(call_guarded(try_with_handler, &trial, intrusions), POOL_EDIED);
    assert_no_intrusion();
    assert_contains(trial.failure.message, "std::runtime_error");
}

static int throw_first(void *unused) {
    (void)unused;
    atomic_fetch_add(tries, 1);
    return throw_it(STANDARD_EXCEPTION);
}

static int initialize_by_exception(void *failure) {
    return fail_to_initialize(throw_first, failure);
}

TEST_CASE(an_initializer_that_an_exception_leaves_has_failed) {
    begin();
    struct pool_failure failure;
    tries = shared(sizeof *tries);
    assert_code(call_guarded(initialize_by_exception, &failure, intrusions), POOL_EINIT);
    assert_few_tries();
    assert_no_intrusion();
    assert_contains(failure.message, "the initializer");
    assert_contains(failure.message, "std::runtime_error");
}

static void throw_last(void *unused) {
    (void)unused;
    throw_it(STANDARD_EXCEPTION);
}

static int end_by_exception(void *unused) {
    (void)unused;
    struct pool_options options = test_options(2);
    options.finalizer = throw_last;
    struct pool *pool = pool_from(&options);
    assert_squares_in_turn(pool, 10);
    int error = pool_shutdown(pool, 0, PATIENCE);
    pool_destroy(pool);
    return error;
}

TEST_CASE(a_finalizer_that_an_exception_leaves_ends_its_worker) {
    begin();
    assert_ok(call_guarded(end_by_exception, NULL, intrusions));
    assert_no_intrusion();
}

static int throw_combine(void *result, const void *right) {
    (void)result, (void)right;
    return throw_it(STANDARD_EXCEPTION);
}

static int reduce_by_exception(void *failure) {
    struct pool *pool = pool_of(2);
    long in[64] = {0}, out;
    struct pool_reduction reduction = {.combine = throw_combine, POOL_IN(in), .count = 64, POOL_OUT(&out), .chunk = 8,
                                       .failure = failure};
    int error = pool_reduce(pool, &reduction);
    pool_destroy(pool);
    return error;
}

TEST_CASE(a_combine_that_an_exception_leaves_fails_its_reduction) {
    begin();
    struct pool_failure failure;
    assert_code(call_guarded(reduce_by_exception, &failure, intrusions), POOL_EDIED);
    assert_no_intrusion();
    assert_contains(failure.message, "std::runtime_error");
}

static int map_in_threads(void *unused) {
    (void)unused;
    enum thrown what = STANDARD_EXCEPTION;
    struct pool_options options = test_options(2);
    options.backend = POOL_THREADS;
    struct pool *pool = pool_from(&options);
    long in[20] = {0}, out[20];
    struct pool_job job = {.fn = throw_third, POOL_IN(in), POOL_OUT(out), .count = 20, .context = &what};
    pool_map(pool, &job);
    return 3;
}

static int map_in_threads_guarded(void *unused) {
    return call_guarded(map_in_threads, unused, intrusions);
}

TEST_CASE(an_exception_that_leaves_a_task_in_a_thread_ends_the_program) {
    begin();
    struct ending ending = run_child(map_in_threads_guarded, NULL, PATIENCE);
    assert_int_equal(ending.signal, SIGABRT);
}

#endif

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_task_that_ends_its_thread_ends_its_worker_and_no_clean_up_of_the_program_runs),
        TEST(clean_up_handlers_of_the_task_itself_run_at_pthread_exit),
        TEST(pthread_exit_in_a_child_of_a_task_ends_that_child_alone),
        TEST(an_initializer_that_ends_its_thread_has_failed),
        TEST(a_request_to_cancel_the_thread_that_makes_the_pool_does_not_end_the_supervisor),
#ifdef HAVE_CXX
        TEST(an_exception_that_leaves_an_item_ends_its_worker_and_the_message_names_its_type),
        TEST(the_terminate_handler_of_the_program_does_not_run_in_a_worker),
        TEST(an_initializer_that_an_exception_leaves_has_failed),
        TEST(a_finalizer_that_an_exception_leaves_ends_its_worker),
        TEST(a_combine_that_an_exception_leaves_fails_its_reduction),
        TEST(an_exception_that_leaves_a_task_in_a_thread_ends_the_program),
#endif
    };
    return run_group("frame", tests, COUNT(tests), argc, argv);
}
