/* Where a worker crashed: the message of the failure and its addresses. */
#include "base/symbol.h"
#include "pool/place.h"

#include "support.h"

#include <pthread.h>
#include <signal.h>

#include "crashing.h"

#if defined(__x86_64__) || defined(__aarch64__)
#define PLACES LINUX
#else
#define PLACES 0
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#endif
#if !defined(ASAN)
#define ASAN 0
#endif

/* Whether the processor refuses to divide by zero. */
#if defined(__aarch64__)
#define FAULTS_DIVIDING 0
#else
#define FAULTS_DIVIDING 1
#endif

extern char _Unwind_Backtrace __attribute__((weak)); /* a function, if the program has an unwinder */

/* Whether the caller of abort() and raise() is found. */
static bool senders_are_known(void) {
#if defined(__x86_64__)
    return PLACES;
#else
    return PLACES && &_Unwind_Backtrace != NULL;
#endif
}

static void *crash_in_thread(void *unused) {
    (void)unused;
    return (void *)decode((void *)0x1000);
}

static int start_crashing_thread(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, crash_in_thread, NULL)) return 1;
    return pthread_join(thread, NULL);
}

enum how {
    BAD_POINTER, BAD_ADDRESS, DIVIDE, OVERFLOW, TRAP, ABORT, ASSERT, FREE_TWICE, JUMP_NULL, JUMP, RAISE, THREAD
};

static int crash_task(const void *in, void *out) {
    (void)out;
    int result = 0;
    switch (*(const enum how *)in) {
    case BAD_POINTER: result = (int)decode((void *)0x1000); break;
    case BAD_ADDRESS: result = (int)decode((void *)((uintptr_t)-1 / 2 + 1)); break;
    case DIVIDE: result = divide(zero); break;
    case OVERFLOW: result = recurse(NULL); break;
    case TRAP: result = trap(); break;
    case ABORT: result = give_up(); break;
    case ASSERT: result = check_block(zero); break;
    case FREE_TWICE: result = free_twice(); break;
    case JUMP_NULL: result = call(NULL); break;
    case JUMP: result = call((int (*)(void))0x123456789000); break;
    case RAISE: result = raise_here(SIGFPE); break;
    case THREAD: result = start_crashing_thread(); break;
    }
    BARRIER();
    return result;
}

/* Whether callers further up than the first are found: that needs an unwinder, which musl-gcc links none of. */
#ifdef __GLIBC__
#define CALLERS PLACES
#else
#define CALLERS 0
#endif

static struct pool_failure fail_by(struct pool *pool, enum how how) {
    struct pool_failure failure;
    struct future *future = submit(pool, crash_task, &how, sizeof how, 0);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
    assert_ok(future_failure(future, &failure));
    future_free(future);
    return failure;
}

/* A sanitizer ends the worker by its report, and has errors of its own for some crashes. */
static void assert_crash(struct pool *pool, enum how how, const char *cause, const char *place) {
    struct pool_failure failure = fail_by(pool, how);
    assert_contains(failure.message, cause);
    if (PLACES) assert_contains(failure.message, place);
}

TEST_CASE(the_message_names_the_function_that_crashed_and_its_callers) {
    struct pool *pool = pool_of(1);
    assert_crash(pool, BAD_POINTER, "SIGSEGV (address 0x1010)", ") in decode_header+0x");
    assert_crash(pool, BAD_POINTER, "SIGSEGV", " (test_crash+0x");
    assert_crash(pool, BAD_POINTER, "SIGSEGV", ", from decode+0x");
    if (CALLERS) assert_crash(pool, BAD_POINTER, "SIGSEGV", ", from crash_task+0x");
    assert_crash(pool, TRAP, "SIG", " in trap+0x");
    if (!ASAN && FAULTS_DIVIDING) assert_crash(pool, DIVIDE, "killed by SIGFPE", "SIGFPE in divide+0x");
    pool_destroy(pool);
}

TEST_CASE(a_message_ends_where_the_task_was_called) {
    struct pool *pool = pool_of(1);
    struct pool_failure failure = fail_by(pool, BAD_POINTER);
    if (CALLERS) assert_null(strstr(strstr(failure.message, "crash_task"), "from"));
    assert_code(pool_map(pool, &(struct pool_job){.fn = crash_task, .in = &(enum how){BAD_POINTER},
                                                  .in_size = sizeof(enum how), .count = 1, .failure = &failure}),
                POOL_EDIED);
    if (CALLERS) assert_null(strstr(strstr(failure.message, "crash_task"), "from"));
    pool_destroy(pool);
}

TEST_CASE(addresses_are_those_of_the_functions) {
    struct pool *pool = pool_of(1);
    struct pool_failure failure = fail_by(pool, BAD_POINTER);
    static const char *const names[] = {"decode_header", "decode", "crash_task"};
    for (size_t i = 0; PLACES && i < COUNT(names) - !CALLERS; i++) {
        struct pp_symbol symbol;
        assert_true(pp_symbol_find(failure.frames[i] - (i > 0), &symbol));
        assert_int_equal(strcmp(symbol.name, names[i]), 0);
    }
    if (CALLERS || !PLACES) assert_int_equal(failure.frames[PLACES ? COUNT(names) : 0], 0);
    pool_destroy(pool);
}

TEST_CASE(an_abort_is_told_with_its_reason_and_its_first_frame_outside_the_c_library) {
    struct pool *pool = pool_of(1);
    bool known = senders_are_known();
    assert_crash(pool, ABORT, "killed by SIGABRT", known ? "SIGABRT in give_up+0x" : "");
    assert_crash(pool, ASSERT, "killed by SIGABRT", known ? " in check_block+0x" : "");
#if defined(__GLIBC__)
    if (PLACES) assert_crash(pool, ASSERT, "Assertion `size > 0' failed, in check_block+0x", "");
    if (PLACES && !ASAN) assert_crash(pool, FREE_TWICE, "SIGABRT: free(): double free detected", " in free_twice+0x");
#endif
    pool_destroy(pool);
}

TEST_CASE(a_stack_overflow_and_a_jump_to_nowhere_are_named) {
    struct pool *pool = pool_of(1);
    assert_crash(pool, OVERFLOW, "stack overflow", "stack overflow, in recurse+0x");
    if (PLACES && !ASAN) {
        assert_crash(pool, JUMP_NULL, "SIGSEGV (address 0x0): jump to nowhere", ", from call+0x");
        assert_crash(pool, JUMP, "SIGSEGV (address 0x123456789000): jump to nowhere: the worker has no function there",
                     ", from call+0x");
    }
#if defined(__x86_64__)
    if (PLACES && !ASAN) assert_crash(pool, BAD_ADDRESS, "SIGSEGV (address not canonical", "in decode_header+0x");
#endif
    pool_destroy(pool);
}

TEST_CASE(a_signal_that_a_task_raises_has_its_place) {
    struct pool *pool = pool_of(1);
    assert_crash(pool, RAISE, "SIGFPE", senders_are_known() ? "SIGFPE in raise_here+0x" : "");
    pool_destroy(pool);
}

TEST_CASE(a_signal_that_another_process_sends_has_no_place) {
    static const int signals[] = {SIGSEGV, SIGABRT, SIGSYS, SIGTRAP};
    for (size_t i = 0; i < COUNT(signals); i++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_of(1);
        struct future *future = block_worker(pool, gate);
        struct pool_stats stats = {.room = 0};
        struct pool_worker_stats worker;
        stats.list = &worker;
        stats.room = 1;
        assert_ok(pool_stats(pool, &stats));
        kill(worker.pid, signals[i]);
        assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
        struct pool_failure failure;
        assert_ok(future_failure(future, &failure));
        assert_int_equal(failure.signal, signals[i]);
        assert_null(strstr(failure.message, " in "));
        assert_int_equal(failure.frames[0], 0);
        future_free(future);
        pool_destroy(pool);
    }
}

static int crash_with_alarm(const void *in, void *out) {
    sigset_t alarms;
    (void)in, (void)out;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarms, NULL);
    raise(SIGALRM);
    return (int)decode((void *)0x1000);
}

/* As the alarm does that ends a walk along the stack which takes too long. */
TEST_CASE(an_alarm_that_waits_when_a_task_crashes_changes_nothing) {
    struct pool *pool = pool_of(1);
    struct future *future = submit(pool, crash_with_alarm, NULL, 0, 0);
    struct pool_failure failure;
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
    assert_ok(future_failure(future, &failure));
    assert_contains(failure.message, "SIGSEGV");
    if (PLACES) assert_contains(failure.message, " in decode_header+0x");
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_crash_in_a_thread_has_its_place) {
    struct pool *pool = pool_of(1);
    assert_crash(pool, THREAD, "that an earlier or this task had started",
                 "in decode_header+0x");
    pool_destroy(pool);
}

TEST_CASE(a_worker_with_a_stack_of_its_own_tells_where_it_crashed) {
    struct pool_options options = test_options(1);
    options.stack_size = (size_t)1 << 20;
    struct pool *pool = pool_from(&options);
    assert_crash(pool, BAD_POINTER, "SIGSEGV (address 0x1010)", ", from decode+0x");
    assert_crash(pool, OVERFLOW, "stack overflow", "stack overflow, in recurse+0x");
    pool_destroy(pool);
}

/* ---- hangs */

static ALONE double newton(double x) {
    while (endless) x = x - (x * x - 2) / (2 * x);
    return x;
}

static ALONE int nap(void) {
    sleep_ms(PATIENCE);
    BARRIER();
    return 0;
}

enum hang { COMPUTES, SLEEPS, BLOCKS_SIGNALS, HANGS_IN_THREAD, HANDLES };

static void *nap_in_thread(void *unused) {
    (void)unused;
    nap();
    return NULL;
}

static void ignore(int signal) {
    (void)signal;
}

static int hang_task(const void *in, void *out) {
    pthread_t thread;
    sigset_t all;
    sigfillset(&all);
    switch (*(const enum hang *)in) {
    case SLEEPS: return nap();
    case BLOCKS_SIGNALS: sigprocmask(SIG_SETMASK, &all, NULL); break;
    case HANDLES: signal(SIGSYS, ignore); break;
    case HANGS_IN_THREAD: pthread_create(&thread, NULL, nap_in_thread, NULL); break;
    default: break;
    }
    *(double *)out = newton(1);
    return 0;
}

static struct pool_failure fail_by_hang(struct pool *pool, enum hang hang, int cpu_timeout, bool as_job) {
    struct pool_failure failure;
    struct future *future;
    double result;
    struct pool_job job = {.fn = hang_task, POOL_IN(&hang), POOL_OUT(&result), .count = 1, .failure = &failure};
    struct pool_task task = {.fn = hang_task, POOL_IN(&hang), .out_size = sizeof result};
    job.timeout = task.timeout = cpu_timeout ? 0 : 100;
    job.cpu_timeout = task.cpu_timeout = cpu_timeout;
    if (as_job) assert_ok(pool_map_async(pool, &job, &future));
    else assert_ok(pool_submit(pool, &task, &future));
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDEADLINE);
    if (!as_job) assert_ok(future_failure(future, &failure));
    future_free(future);
    return failure;
}

/* On a machine that has no CPU for the worker within 2 ms, it is killed before it can answer. */
static void assert_hang(struct pool *pool, enum hang hang, int cpu_timeout, const char *cause, const char *place) {
    for (int as_job = 0; as_job < 2; as_job++) {
        struct pool_failure failure;
        int64_t begin = now_ms();
        do failure = fail_by_hang(pool, hang, cpu_timeout, as_job);
        while (PLACES && *place && !strstr(failure.message, place) && now_ms() - begin < PATIENCE);
        assert_contains(failure.message, cause);
        if (PLACES && *place) assert_contains(failure.message, place);
        else assert_int_equal(strcmp(failure.message, cause), 0);
        assert_int_equal(failure.frames[0] != 0, PLACES && *place);
    }
}

TEST_CASE(a_time_out_is_told_with_the_place_where_the_item_was) {
    struct pool *pool = pool_of(2);
    assert_hang(pool, COMPUTES, 0, "it ran longer than 100 ms", "it ran longer than 100 ms, in newton+0x");
    assert_hang(pool, COMPUTES, 50, "it used more than 50 ms of CPU time", "CPU time, in newton+0x");
    assert_hang(pool, SLEEPS, 0, "it ran longer than 100 ms", &_Unwind_Backtrace != NULL ? ", from nap+0x" : ", in ");
    assert_map_squares(pool, 1000, 0);
    pool_destroy(pool);
}

TEST_CASE(the_thread_that_runs_the_task_is_asked_whatever_others_there_are) {
    struct pool_options options = test_options(1);
    for (int i = 0; i < 2; i++) {
        options.stack_size = i ? (size_t)1 << 20 : 0;
        struct pool *pool = pool_from(&options);
        assert_hang(pool, HANGS_IN_THREAD, 0, "it ran longer than 100 ms", ", in newton+0x");
        pool_destroy(pool);
    }
}

/* Returns the failure of the n-th task that was killed while it hung. */
static struct pool_failure kill_hang(struct pool *pool, struct gate *gate, int n) {
    struct future *future = submit(pool, forever_task, &gate, sizeof gate, 0);
    struct pool_failure failure;
    assert_true(gate_reached(gate, n));
    assert_ok(future_kill(future));
    assert_code(future_get(future, NULL, PATIENCE), POOL_ECANCELLED);
    assert_ok(future_failure(future, &failure));
    future_free(future);
    return failure;
}

TEST_CASE(a_kill_on_request_is_told_with_the_place_if_the_program_wants_it) {
    for (int asks = 0; asks < 2; asks++) {
        struct pool_options options = test_options(1);
        options.ask_killed = asks;
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_from(&options);
        struct pool_failure failure;
        int64_t begin = now_ms();
        int n = 0;
        do failure = kill_hang(pool, gate, ++n);
        while (asks && PLACES && !failure.frames[0] && now_ms() - begin < PATIENCE);
        assert_contains(failure.message, "killed while it ran");
        if (asks && PLACES) assert_contains(failure.message, "killed while it ran, in ");
        else assert_int_equal(strcmp(failure.message, "killed while it ran"), 0);
        pool_destroy(pool);
    }
}

TEST_CASE(a_task_that_does_not_answer_is_killed_all_the_same) {
    struct pool *pool = pool_of(2);
    assert_hang(pool, BLOCKS_SIGNALS, 0, "it ran longer than 100 ms", "");
    assert_hang(pool, HANDLES, 0, "it ran longer than 100 ms", "");
    assert_map_squares(pool, 1000, 0);
    pool_destroy(pool);
}

/* A worker may write any addresses. */
TEST_CASE(any_addresses_make_a_message_of_one_line) {
    static const uint64_t edges[] = {1, 8, 16, 4096, UINT64_MAX, UINT64_MAX - 8, (uint64_t)1 << 63};
    uint64_t code = (uint64_t)(uintptr_t)crash_task, random = 1;
    for (size_t try = 0; try < scaled(2000); try++) {
        struct pp_last_words last = {.kind = (enum pp_last)(1 + try % (PP_LAST_KINDS - 1)), .signal = SIGSEGV};
        for (size_t i = 0; i < PP_LAST_FRAMES - try % 2; i++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            uint64_t far = random >> 40;
            last.frames[i] = random >> 60 < 4 ? edges[random % COUNT(edges)] : code - (far & 0xfff) + (far >> 12);
        }
        struct pool_failure failure;
        memset(&failure, 0, sizeof failure);
        memset(failure.message, 'x', try % sizeof failure.message);
        pp_place_describe(&failure, &last, " in ");
        assert_true(memchr(failure.message, '\0', sizeof failure.message) != NULL);
        assert_null(strchr(failure.message, '\n'));
        assert_int_equal(failure.frames[COUNT(failure.frames) - 1], 0);
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_message_names_the_function_that_crashed_and_its_callers),
        TEST(a_message_ends_where_the_task_was_called),
        TEST(addresses_are_those_of_the_functions),
        TEST(an_abort_is_told_with_its_reason_and_its_first_frame_outside_the_c_library),
        TEST(a_stack_overflow_and_a_jump_to_nowhere_are_named),
        TEST(a_signal_that_a_task_raises_has_its_place),
        TEST(a_signal_that_another_process_sends_has_no_place),
        TEST(an_alarm_that_waits_when_a_task_crashes_changes_nothing),
        TEST(a_crash_in_a_thread_has_its_place),
        TEST(a_worker_with_a_stack_of_its_own_tells_where_it_crashed),
        TEST(a_time_out_is_told_with_the_place_where_the_item_was),
        TEST(the_thread_that_runs_the_task_is_asked_whatever_others_there_are),
        TEST(a_kill_on_request_is_told_with_the_place_if_the_program_wants_it),
        TEST(a_task_that_does_not_answer_is_killed_all_the_same),
        TEST(any_addresses_make_a_message_of_one_line),
    };
    return run_group("crash", tests, COUNT(tests), argc, argv);
}
