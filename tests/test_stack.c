/* The stack that tasks run on: its overflow is told as that, and no other fault is. */
#include "support.h"

#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>

enum fault {
    SMALL_FRAMES, /* recursion */
    LARGE_FRAMES, /* recursion, each call with 512 KiB */
    OVERFLOWS,
    NULL_POINTER = OVERFLOWS,
    WILD_POINTER,
    MAPPED_FILE_END, /* a page that cannot be touched, on the heap */
    FAULTS
};

static volatile long depth = LONG_MAX;

static int recurse(volatile char *above, long levels, size_t size) {
    volatile char *here = alloca(size);
    here[size - 1] = above ? above[0] : 1;
    here[0] = here[size - 1];
    return levels == 0 ? 0 : recurse(here, levels - 1, size) + here[0];
}

static int touch(uintptr_t address) {
    volatile uintptr_t hidden = address;
    *(volatile int *)hidden = 1;
    return 0;
}

static int fault_task(const void *in, void *out) {
    (void)out;
    switch (*(const enum fault *)in) {
    case SMALL_FRAMES: return recurse(NULL, depth, 100);
    case LARGE_FRAMES: return recurse(NULL, depth, (size_t)512 << 10);
    case NULL_POINTER: return touch(16);
    case WILD_POINTER: return touch(0xabc000);
    default: {
        void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return touch((uintptr_t)page);
    }
    }
}

static void assert_told(struct pool *pool) {
    for (enum fault fault = 0; fault < FAULTS; fault++) {
        struct future *future = submit(pool, fault_task, &fault, sizeof fault, 0);
        assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
        struct pool_failure failure;
        assert_ok(future_failure(future, &failure));
        assert_int_equal(failure.signal, SIGSEGV);
        assert_contains(failure.message, "SIGSEGV (address 0x");
        if ((strstr(failure.message, ": stack overflow") != NULL) != (fault < OVERFLOWS)) {
            print_error("fault %d: %s\n", (int)fault, failure.message);
            _fail(__FILE__, __LINE__);
        }
        future_free(future);
    }
}

TEST_CASE(an_overflow_of_the_stack_of_the_program_is_told) {
    struct pool *pool = pool_of(2);
    assert_told(pool);
    pool_destroy(pool);
}

static void *make_pool(void *unused) {
    (void)unused;
    return pool_of(2);
}

static struct pool *pool_from_thread(size_t stack_size) {
    pthread_attr_t attributes;
    pthread_t thread;
    void *pool = NULL;
    assert_ok(pthread_attr_init(&attributes));
    assert_ok(pthread_attr_setstacksize(&attributes, stack_size));
    assert_ok(pthread_create(&thread, &attributes, make_pool, NULL));
    pthread_attr_destroy(&attributes);
    assert_ok(pthread_join(thread, &pool));
    return pool;
}

TEST_CASE(an_overflow_of_the_stack_of_a_thread_that_made_the_pool_is_told) {
    struct pool *pool = pool_from_thread((size_t)1 << 20);
    assert_told(pool);
    pool_destroy(pool);
}

/* Runtimes of languages make errors of overflows themselves. */
static sigjmp_buf rescue;

static void on_fault(int signal) {
    (void)signal;
    siglongjmp(rescue, 1);
}

static int overflow_with_handler(const void *in, void *out) {
    (void)in, (void)out;
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK;
    if (sigaltstack(&alternate, NULL) || sigaction(SIGSEGV, &action, NULL)) return 2;
    return sigsetjmp(rescue, 1) ? 7 : recurse(NULL, depth, 100);
}

TEST_CASE(a_handler_that_a_task_installs_takes_the_place_of_the_library) {
    struct pool *pool = pool_of(1);
    struct future *future = submit(pool, overflow_with_handler, NULL, 0, 0);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EFAILED);
    struct pool_failure failure;
    assert_ok(future_failure(future, &failure));
    assert_int_equal(failure.code, 7);
    future_free(future);
    pool_destroy(pool);
}

/* ---- pool_options.stack_size */

#define MIB ((size_t)1 << 20)

static struct pool *pool_with_stack(size_t stack_size, int backend) {
    struct pool_options options = test_options(2);
    options.stack_size = stack_size;
    options.backend = backend;
    return pool_from(&options);
}

static int use_stack(const void *in, void *out) {
    size_t size = *(const size_t *)in;
    *(int *)out = 1 + recurse(NULL, 0, size);
    return 0;
}

TEST_CASE(tasks_have_as_large_a_stack_as_the_program_asks_for) {
    static const size_t sizes[] = {1, 64 << 10, 3 * MIB + 1, 64 * MIB};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int backend = POOL_PROCESSES; backend <= POOL_THREADS; backend++) {
            struct pool *pool = pool_with_stack(sizes[i], backend);
            size_t used = sizes[i];
            int result = 0;
            assert_ok(finish(submit(pool, use_stack, &used, sizeof used, sizeof result), &result));
            assert_int_equal(result, 1);
            assert_map_squares(pool, 1000, 0);
            pool_destroy(pool);
        }
    }
}

TEST_CASE(an_overflow_of_a_stack_of_a_given_size_is_told) {
    struct pool *pool = pool_with_stack(2 * MIB, POOL_PROCESSES);
    assert_told(pool);
    pool_destroy(pool);
}

TEST_CASE(a_stack_that_cannot_be_is_refused) {
    struct pool *pool;
    struct pool_options options = test_options(1);
    options.stack_size = SIZE_MAX;
    assert_code(pool_create(&options, &pool), POOL_EINVAL);
    options.stack_size = SIZE_MAX / 16;
    assert_code(pool_create(&options, &pool), POOL_ENOMEM);
    options.backend = POOL_THREADS;
    assert_code(pool_create(&options, &pool), POOL_EAGAIN);
}

static _Thread_local int initialized;
static atomic_int *finalized;

static int initialize(void *unused) {
    (void)unused;
    initialized = 5;
    return 0;
}

static void finalize(void *unused) {
    (void)unused;
    atomic_fetch_add(finalized, initialized == 5);
}

static volatile sig_atomic_t signals;

static void count_signal(int signal) {
    (void)signal;
    signals++;
}

/* What is different with a second thread in the process, and must not be. */
static int check_thread(const void *in, void *out) {
    (void)in, (void)out;
    sigset_t blocked;
    if (initialized != 5) return 1;
    if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) || sigismember(&blocked, SIGUSR1)) return 2;
    signals = 0;
    signal(SIGUSR1, count_signal);
    kill(getpid(), SIGUSR1);
    if (signals != 1) return 3;
    if (task_index() % 3 == 1) exit(4);
    return task_index() % 3 == 2 ? task_fail(5, "item %d", (int)task_index()) : 0;
}

TEST_CASE(a_worker_with_a_stack_of_its_own_is_like_any_other) {
    finalized = shared(sizeof *finalized);
    struct pool_options options = test_options(2);
    options.stack_size = MIB;
    options.initializer = initialize;
    options.finalizer = finalize;
    options.max_tasks_per_worker = 7;
    struct pool *pool = pool_from(&options);
    struct pool_failure failures[20];
    struct pool_job job = {.fn = check_thread, .count = 30, .failures = failures, .failures_room = COUNT(failures)};
    assert_code(pool_map(pool, &job), POOL_EDIED);
    for (size_t i = 0; i < 20; i++) {
        char message[32];
        snprintf(message, sizeof message, "item %d", (int)failures[i].index);
        assert_int_equal(failures[i].index, i / 2 * 3 + i % 2 + 1);
        assert_code(failures[i].error, i % 2 ? POOL_EFAILED : POOL_EDIED);
        assert_int_equal(failures[i].code, i % 2 ? 5 : 4);
        if (i % 2) assert_contains(failures[i].message, message);
    }
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_true(*finalized > 0);
    pool_destroy(pool);
}

TEST_CASE(kills_and_time_outs_end_tasks_on_stacks_of_their_own) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_with_stack(MIB, POOL_PROCESSES);
    struct future *killed = block_worker(pool, gate);
    assert_ok(future_kill(killed));
    assert_code(finish(killed, NULL), POOL_ECANCELLED);
    struct pool_task hangs = {.fn = forever_task, .timeout = 100};
    struct future *late;
    assert_ok(pool_submit(pool, &hangs, &late));
    assert_code(finish(late, NULL), POOL_EDEADLINE);
    pid_t worker = worker_of(pool);
    kill(supervisor_of(pool), SIGKILL);
    if (LINUX) assert_true(gone_within(worker, PATIENCE)); /* elsewhere the caller kills it, in its next call */
    pool_destroy(pool);
    assert_true(gone_within(worker, PATIENCE));
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(an_overflow_of_the_stack_of_the_program_is_told),
        TEST(an_overflow_of_the_stack_of_a_thread_that_made_the_pool_is_told),
        TEST(a_handler_that_a_task_installs_takes_the_place_of_the_library),
        TEST(tasks_have_as_large_a_stack_as_the_program_asks_for),
        TEST(an_overflow_of_a_stack_of_a_given_size_is_told),
        TEST(a_stack_that_cannot_be_is_refused),
        TEST(a_worker_with_a_stack_of_its_own_is_like_any_other),
        TEST(kills_and_time_outs_end_tasks_on_stacks_of_their_own),
    };
    return run_group("stack", tests, COUNT(tests), argc, argv);
}
