/* The stack that tasks run on: its overflow is told as that, and no other fault is. */
#include "support.h"

#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
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

static volatile long depth = 1L << 40;

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

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(an_overflow_of_the_stack_of_the_program_is_told),
        TEST(an_overflow_of_the_stack_of_a_thread_that_made_the_pool_is_told),
        TEST(a_handler_that_a_task_installs_takes_the_place_of_the_library),
    };
    return run_group("stack", tests, COUNT(tests), argc, argv);
}
