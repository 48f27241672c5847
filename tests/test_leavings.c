/* What a task leaves behind in its process and the next one does not meet; and deaths that are another's doing. */
#include "support.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

enum { ITEMS = 6 };

#if LINUX && defined(__GLIBC__)
#define HAS_GLIBC true
#else
#define HAS_GLIBC false
#endif

static void compute_ms(int ms) {
    for (int64_t begin = now_ms(); now_ms() - begin < ms;) continue;
}

/* The first leaves a timer, which fires before the others are done. */
static int leave_timer(const void *in, void *out) {
    (void)out;
    (void)in;
    int which = task_index() == 0 ? *(const int *)task_context() : -1;
    struct itimerval soon = {.it_value = {.tv_usec = 300000}};
    if (which == 0) setitimer(ITIMER_REAL, &soon, NULL);
    if (which == 1) setitimer(ITIMER_VIRTUAL, &soon, NULL);
    if (which == 2) setitimer(ITIMER_PROF, &soon, NULL);
    compute_ms(task_index() == 0 ? 5 : 150);
    return 0;
}

TEST_CASE(a_timer_that_an_item_has_left_kills_no_other) {
    static const int timers[] = {0, 1, 2};
    struct pool *pool = pool_of(1);
    for (size_t t = 0; t < COUNT(timers); t++)
        for (int timeout = 0; timeout <= PATIENCE; timeout += PATIENCE)
            assert_ok(pool_map(pool, &(struct pool_job){.fn = leave_timer, .count = ITEMS, .chunk = 1,
                                                        .timeout = timeout, .context = &timers[t],
                                                        .context_size = sizeof timers[t]}));
    pool_destroy(pool);
}

TEST_CASE(a_timer_that_a_task_has_left_kills_no_other) {
    static const int which = 0;
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *first, *others[ITEMS];
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = leave_timer, .context = &which, .context_size = sizeof which},
                          &first));
    for (int i = 0; i < ITEMS; i++) others[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 1));
    sleep_ms(500); /* the timer would have fired */
    gate_open(gate);
    assert_ok(finish(first, NULL));
    for (int i = 0; i < ITEMS; i++) assert_ok(finish(others[i], NULL));
    pool_destroy(pool);
}

/* An alarm of its own still ends an item. */
static int wait_for_alarm(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() == 1) setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = 10000}}, NULL);
    if (task_index() == 1) sleep_ms(PATIENCE);
    return 0;
}

TEST_CASE(a_timer_ends_the_item_that_has_set_it) {
    struct pool *pool = pool_of(1);
    struct pool_failure why;
    int status[3];
    assert_code(pool_map(pool, &(struct pool_job){.fn = wait_for_alarm, .count = 3, .chunk = 1, .status = status,
                                                  .failure = &why}), POOL_EDIED);
    assert_true(status[0] == 0 && status[1] == POOL_EDIED && status[2] == 0);
    assert_int_equal(why.signal, SIGALRM);
    pool_destroy(pool);
}

#if defined(__x86_64__) || defined(__i386__)

static int divide(const void *in, void *out) {
    volatile double one = 1, three = 3, zero = 0;
    size_t i = in ? (size_t)*(const long *)in : task_index();
    *(double *)out = one / three + (i > 0 ? 0 * (int)(one / zero > 1) : 0);
    if (i == 0) {
        fesetround(FE_UPWARD);
#if LINUX && defined(__GLIBC__) /* other libraries have no feenableexcept() */
        feenableexcept(FE_DIVBYZERO);
#endif
    }
    return 0;
}

TEST_CASE(rounding_and_traps_that_an_item_has_set_do_not_meet_the_next) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool_options options = test_options(1);
        options.backend = backend;
        struct pool *pool = pool_from(&options);
        double out[ITEMS];
        for (size_t chunk = 0; chunk <= ITEMS; chunk += 3) {
            assert_ok(pool_map(pool, &(struct pool_job){.fn = divide, POOL_OUT(out), .count = ITEMS, .chunk = chunk}));
            for (int i = 0; i < ITEMS; i++) assert_true(out[i] == 1.0 / 3);
        }
        struct future *futures[ITEMS];
        for (long i = 0; i < ITEMS; i++) futures[i] = submit(pool, divide, &i, sizeof i, sizeof *out);
        for (long i = 0; i < ITEMS; i++) {
            assert_ok(finish(futures[i], out));
            assert_true(out[0] == 1.0 / 3);
        }
        pool_destroy(pool);
        assert_int_equal(fegetround(), FE_TONEAREST);
    }
}

static int round_up(void *arg) {
    (void)arg;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return fesetround(FE_UPWARD);
}

/* Leaves SIGUSR1 blocked. out[0]: the rounding; out[1], out[2]: whether SIGUSR1 and SIGUSR2 were blocked. */
static int tell_settings(const void *in, void *out) {
    (void)in;
    int *told = out;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    told[0] = fegetround();
    told[1] = sigismember(&set, SIGUSR1);
    told[2] = sigismember(&set, SIGUSR2);
    sigaddset(&set, SIGUSR1);
    sigdelset(&set, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    fesetround(FE_DOWNWARD);
    compute_ms(5);
    return 0;
}

TEST_CASE(what_the_initializer_has_set_is_what_each_item_finds) {
    struct pool_options options = test_options(1);
    options.initializer = round_up;
    struct pool *pool = pool_from(&options);
    int out[ITEMS][3];
    assert_ok(pool_map(pool, &(struct pool_job){.fn = tell_settings, .out = out, .out_size = sizeof *out,
                                                .count = ITEMS, .chunk = 1}));
    for (int i = 0; i < ITEMS; i++) assert_true(out[i][0] == FE_UPWARD && !out[i][1] && out[i][2]);
    pool_destroy(pool);
}

#endif

/* ---- The doing of another */

static volatile uintptr_t nowhere = 32; /* where nothing is */
static atomic_int next_runs; /* in a worker: its second item has begun */

static void *crash_later(void *how) {
    (void)becomes(&next_runs, 1);
    switch (*(const int *)how) {
    case 0: *(volatile int *)nowhere = 1; break;
    case 1: abort();
    default: exit(5);
    }
    return NULL;
}

static int leave_thread(const void *in, void *out) {
    (void)in, (void)out;
    pthread_t thread;
    if (task_index() == 0) return pthread_create(&thread, NULL, crash_later, (void *)(uintptr_t)task_context());
    atomic_store(&next_runs, 1);
    sleep_ms(PATIENCE);
    return 0;
}

TEST_CASE(a_crash_in_a_thread_that_an_item_has_left_says_so) {
    for (int how = 0; how < 3; how++) {
        if (how == 2 && !HAS_GLIBC) break; /* exit() is not caught: child_linux.c */
        struct pool *pool = pool_of(1);
        int status[2];
        struct pool_failure why;
        assert_code(pool_map(pool, &(struct pool_job){.fn = leave_thread, .count = 2, .chunk = 1, .context = &how,
                                                      .context_size = sizeof how, .status = status,
                                                      .failure = &why}), POOL_EDIED);
        assert_true(status[0] == 0 && status[1] == POOL_EDIED);
        assert_contains(why.message, "thread");
        pool_destroy(pool);
    }
}

static int crash_here(const void *in, void *out) {
    (void)in, (void)out;
    *(volatile int *)nowhere = 1;
    return 0;
}

TEST_CASE(a_function_that_was_made_after_the_pool_is_missed_in_the_message) {
    struct pool *pool = pool_of(1);
    struct pool_failure why;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* only in the caller */
    assert_true(page != MAP_FAILED);
    pool_fn *fn;
    memcpy(&fn, &page, sizeof fn);
    assert_code(pool_map(pool, &(struct pool_job){.fn = fn, .count = 1, .failure = &why}), POOL_EDIED);
#if LINUX && (defined(__x86_64__) || defined(__i386__) || defined(__aarch64__))
    assert_contains(why.message, "no function there");
#endif
    assert_code(pool_map(pool, &(struct pool_job){.fn = crash_here, .count = 1, .failure = &why}), POOL_EDIED);
    assert_true(!strstr(why.message, "function") && !strstr(why.message, "thread"));
    munmap(page, 4096);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(a_timer_that_an_item_has_left_kills_no_other),
        TEST(a_timer_that_a_task_has_left_kills_no_other),
        TEST(a_timer_ends_the_item_that_has_set_it),
#if defined(__x86_64__) || defined(__i386__)
        TEST(rounding_and_traps_that_an_item_has_set_do_not_meet_the_next),
        TEST(what_the_initializer_has_set_is_what_each_item_finds),
#endif
        TEST(a_crash_in_a_thread_that_an_item_has_left_says_so),
        TEST(a_function_that_was_made_after_the_pool_is_missed_in_the_message),
    };
    return run_group("leavings", tests, COUNT(tests), argc, argv);
}
