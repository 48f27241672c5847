/* The library as a guest in a program: it leaves the caller's signals, descriptors, streams, children and settings
 * alone, and works whatever they are. Most tests run in a child process, whose settings they may change. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

extern char **environ;

static int make(struct pool **pool, int workers) {
    struct pool_options options = test_options(workers);
    return pool_create(&options, pool);
}

static int map_squares(struct pool *pool, bool exactly) {
    long in[100], out[100];
    for (long i = 0; i < 100; i++) in[i] = i;
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 100};
    int error = pool_map(pool, &job);
    if (!exactly && error == POOL_EAGAIN) return 0;
    EXPECT(error == 0);
    for (long i = 0; i < 100; i++) EXPECT(out[i] == i * i);
    return 0;
}

/* Squares by a map and by submits. */
static int use(struct pool *pool) {
    EXPECT(map_squares(pool, true) == 0);
    for (long i = 0; i < 20; i++) {
        struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
        struct future *future;
        long result = -1;
        EXPECT(pool_submit(pool, &task, &future) == 0);
        EXPECT(future_get(future, &result, PATIENCE) == 0);
        EXPECT(result == i * i);
        future_free(future);
    }
    return 0;
}

static int die_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return raise(SIGKILL);
}

static int run(struct pool *pool, pool_fn *fn, size_t out_size, void *out, int expected) {
    struct pool_task task = {.fn = fn, .out_size = out_size};
    struct future *future;
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(future_get(future, out, PATIENCE) == expected);
    future_free(future);
    return 0;
}

static int make_use_destroy(void) {
    struct pool *pool;
    EXPECT(make(&pool, 2) == 0);
    EXPECT(use(pool) == 0);
    EXPECT(run(pool, die_task, 0, NULL, POOL_EDIED) == 0);
    EXPECT(use(pool) == 0);
    pool_destroy(pool);
    return 0;
}

/* ---- Settings ---------------------------------------------------------------------------------------------------- */

static void on_signal(int signal_number) {
    (void)signal_number;
}

enum { SIGNALS = 65, LIMITS = 6 };

struct settings {
    struct sigaction actions[SIGNALS];
    bool known[SIGNALS];
    int blocked[SIGNALS], pending[SIGNALS];
    char directory[4096];
    char environment[65536];
    mode_t mask;
    struct rlimit limits[LIMITS];
    pid_t group, session;
    int flags[3], niceness;
};

static void read_settings(struct settings *s) {
    memset(s, 0, sizeof *s);
    sigset_t mask, pending;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigpending(&pending);
    for (int i = 1; i < SIGNALS; i++) {
        s->known[i] = sigaction(i, NULL, &s->actions[i]) == 0;
        s->blocked[i] = sigismember(&mask, i);
        s->pending[i] = sigismember(&pending, i);
    }
    if (!getcwd(s->directory, sizeof s->directory)) abort();
    size_t length = 0;
    for (char **entry = environ; *entry && length < sizeof s->environment; entry++)
        length += (size_t)snprintf(s->environment + length, sizeof s->environment - length, "%s\n", *entry);
    s->mask = umask(0);
    umask(s->mask);
    getrlimit(RLIMIT_CORE, &s->limits[0]);
    getrlimit(RLIMIT_CPU, &s->limits[1]);
    getrlimit(RLIMIT_DATA, &s->limits[2]);
    getrlimit(RLIMIT_NOFILE, &s->limits[3]);
    getrlimit(RLIMIT_STACK, &s->limits[4]);
    getrlimit(RLIMIT_AS, &s->limits[5]);
    s->group = getpgrp();
    s->session = getsid(0);
    for (int i = 0; i < 3; i++) s->flags[i] = fcntl(i, F_GETFL);
    s->niceness = getpriority(PRIO_PROCESS, 0);
}

static bool same_signals(const struct settings *a, const struct settings *b) {
    for (int i = 1; i < SIGNALS; i++) {
        const struct sigaction *left = &a->actions[i], *right = &b->actions[i];
        bool same = a->known[i] == b->known[i] && a->blocked[i] == b->blocked[i] && a->pending[i] == b->pending[i] &&
                    left->sa_handler == right->sa_handler && left->sa_flags == right->sa_flags;
        for (int k = 1; k < SIGNALS; k++)
            same = same && sigismember(&left->sa_mask, k) == sigismember(&right->sa_mask, k);
        if (same) continue;
        fprintf(stderr, "signal %d is not as it was\n", i);
        return false;
    }
    return true;
}

static bool same_settings(const struct settings *a, const struct settings *b) {
    return same_signals(a, b) && strcmp(a->directory, b->directory) == 0 &&
           strcmp(a->environment, b->environment) == 0 && a->mask == b->mask &&
           memcmp(a->limits, b->limits, sizeof a->limits) == 0 && a->group == b->group && a->session == b->session &&
           memcmp(a->flags, b->flags, sizeof a->flags) == 0 && a->niceness == b->niceness;
}

static struct settings before, now;

#define EXPECT_UNTOUCHED()                                                                                             \
    do {                                                                                                               \
        read_settings(&now);                                                                                           \
        EXPECT(same_settings(&before, &now));                                                                          \
    } while (0)

static int have_odd_settings(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
    action.sa_flags = 0;
    EXPECT(sigaction(SIGCHLD, &action, NULL) == 0);
    EXPECT(sigaction(SIGPIPE, &action, NULL) == 0);
    EXPECT(sigaction(SIGTERM, &action, NULL) == 0);
    EXPECT(sigaction(SIGRTMIN + 1, &action, NULL) == 0);
    signal(SIGHUP, SIG_IGN);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGTERM);
    EXPECT(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    raise(SIGUSR2); /* stays pending */
    umask(027);
    EXPECT(chdir("/") == 0);
    setenv("PARPOOL_TEST_SOMETHING", "something", 1);
    return 0;
}

static int keep_settings(void *argument) {
    if (*(const bool *)argument) EXPECT(have_odd_settings() == 0);
    read_settings(&before);
    for (int round = 0; round < 3; round++) {
        struct pool *pool;
        EXPECT(make(&pool, 2) == 0);
        EXPECT_UNTOUCHED();
        EXPECT(use(pool) == 0);
        EXPECT_UNTOUCHED();
        struct pool_task task = {.fn = forever_task};
        struct future *future;
        EXPECT(pool_submit(pool, &task, &future) == 0);
        EXPECT(future_wait(future, 10) == POOL_ETIMEDOUT);
        EXPECT_UNTOUCHED();
        EXPECT(pool_poll(pool, 10) >= 0);
        EXPECT_UNTOUCHED();
        EXPECT(future_kill(future) == 0);
        EXPECT(future_wait(future, PATIENCE) == 0);
        future_free(future);
        EXPECT_UNTOUCHED();
        EXPECT(run(pool, die_task, 0, NULL, POOL_EDIED) == 0);
        EXPECT_UNTOUCHED();
        if (round == 1) EXPECT(pool_shutdown(pool, 0, PATIENCE) == 0);
        EXPECT_UNTOUCHED();
        pool_destroy(pool);
        EXPECT_UNTOUCHED();
        EXPECT(pool_map(NULL, &(struct pool_job){.fn = die_task, .count = 1}) == POOL_EDIED);
        EXPECT_UNTOUCHED();
    }
    return 0;
}

TEST_CASE(the_settings_of_the_caller_stay_as_they_are) {
    for (int odd = 0; odd < 2; odd++) assert_child_passes(keep_settings, &(bool){odd});
}

static int signals_task(const void *in, void *out) {
    (void)in;
    int wrong = 0;
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    static const int handled[] = {SIGUSR1, SIGCHLD, SIGPIPE, SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
    for (size_t i = 0; i < COUNT(handled); i++) {
        struct sigaction action;
        sigaction(handled[i], NULL, &action);
        wrong += (void (*)(int))action.sa_handler == on_signal;
    }
    for (int i = 1; i < 32; i++) wrong += sigismember(&mask, i);
    *(int *)out = wrong;
    return 0;
}

static int die_of_sigterm_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return raise(SIGTERM);
}

static int see_signals_in_worker(void *argument) {
    (void)argument;
    EXPECT(have_odd_settings() == 0);
    signal(SIGSEGV, on_signal);
    signal(SIGABRT, on_signal);
    struct pool *pool;
    EXPECT(make(&pool, 1) == 0);
    for (int round = 0; round < 2; round++) {
        int wrong = -1;
        EXPECT(run(pool, signals_task, sizeof wrong, &wrong, 0) == 0);
        EXPECT(wrong == 0);
        EXPECT(run(pool, die_of_sigterm_task, 0, NULL, POOL_EDIED) == 0); /* the caller handles and blocks the signal */
    }
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_worker_has_the_default_signals) {
    assert_child_passes(see_signals_in_worker, NULL);
}

/* ---- Children ---------------------------------------------------------------------------------------------------- */

static void reap_all(int signal_number) {
    (void)signal_number;
    int error = errno;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    errno = error;
}

static atomic_bool reaping;

static void *reap_in_thread(void *argument) {
    while (atomic_load(&reaping)) {
        if (waitpid(-1, NULL, WNOHANG) <= 0) sleep_ms(1);
    }
    return argument;
}

enum chld { IGNORED, NO_ZOMBIES, REAPED_IN_HANDLER, REAPED_IN_THREAD, HANDLED, BLOCKED, CHLD_WAYS };

static int with_sigchld(void *argument) {
    enum chld way = *(const enum chld *)argument;
    struct holdings held;
    look(&held);
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    if (way == IGNORED) action.sa_handler = SIG_IGN;
    if (way == NO_ZOMBIES) action.sa_flags = SA_NOCLDWAIT;
    if (way == REAPED_IN_HANDLER) action.sa_handler = reap_all;
    EXPECT(sigaction(SIGCHLD, &action, NULL) == 0);
    if (way == BLOCKED) EXPECT(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    pthread_t thread;
    atomic_store(&reaping, true);
    if (way == REAPED_IN_THREAD) EXPECT(pthread_create(&thread, NULL, reap_in_thread, NULL) == 0);
    for (int i = 0; i < 10; i++) EXPECT(make_use_destroy() == 0);
    for (int i = 0; i < 3; i++) EXPECT(map_squares(NULL, true) == 0);
    atomic_store(&reaping, false);
    if (way == REAPED_IN_THREAD) pthread_join(thread, NULL);
    EXPECT(!left_behind(&held));
    return 0;
}

TEST_CASE(pools_work_whatever_the_caller_does_with_sigchld) {
    for (enum chld way = IGNORED; way < CHLD_WAYS; way++) assert_child_passes(with_sigchld, &way);
}

static int have_own_children(void *argument) {
    (void)argument;
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            sleep_ms(30 * i);
            _exit(11 + i);
        }
    }
    sleep_ms(20); /* the first is dead by now; the others die while there is a pool */
    for (int i = 0; i < 5; i++) EXPECT(make_use_destroy() == 0);
    for (int i = 0; i < 4; i++) {
        int status = 0;
        EXPECT(waitpid(children[i], &status, 0) == children[i]);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 11 + i);
    }
    EXPECT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    return 0;
}

TEST_CASE(the_caller_keeps_its_own_children) {
    assert_child_passes(have_own_children, NULL);
}

/* ---- Descriptors ------------------------------------------------------------------------------------------------- */

static int print_task(const void *in, void *out) {
    (void)in;
    (void)out;
    printf("printed to a descriptor that may be none\n");
    fflush(stdout);
    fprintf(stderr, "%s", "");
    return 0;
}

static int write_low_task(const void *in, void *out) {
    (void)in;
    (void)out;
    char text[64] = "whatever these descriptors are, they are not the library's";
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFL) >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) continue;
        if (fd != 2 && write(fd, text, sizeof text) < 0) continue;
    }
    return 0;
}

static int close_low(void *argument) {
    int closed = *(const int *)argument;
    if (!(closed & 2)) { /* output goes nowhere */
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, 1);
        if (nowhere > 2) close(nowhere);
    }
    int nothing = open("/dev/null", O_RDONLY); /* in place of the test's own input */
    dup2(nothing, 0);
    if (nothing > 2) close(nothing);
    for (int fd = 0; fd < 3; fd++) {
        if (closed & 1 << fd) close(fd);
    }
    struct holdings held;
    look(&held);
    for (int i = 0; i < 3; i++) {
        struct pool *pool;
        EXPECT(make(&pool, 2) == 0);
        EXPECT(pool_fd(pool) > 2);
        for (int k = 0; k < 10; k++) {
            EXPECT(run(pool, print_task, 0, NULL, 0) == 0);
            EXPECT(run(pool, write_low_task, 0, NULL, 0) == 0);
        }
        EXPECT(use(pool) == 0);
        EXPECT(run(pool, die_task, 0, NULL, POOL_EDIED) == 0);
        EXPECT(use(pool) == 0);
        for (int fd = 0; fd < 3; fd++) EXPECT((fcntl(fd, F_GETFD) >= 0) == !(closed & 1 << fd));
        pool_destroy(pool);
        for (int fd = 0; fd < 3; fd++) EXPECT((fcntl(fd, F_GETFD) >= 0) == !(closed & 1 << fd));
    }
    EXPECT(!left_behind(&held));
    return 0;
}

TEST_CASE(closed_standard_descriptors_stay_closed) {
    for (int closed = 1; closed < 8; closed++) assert_child_passes(close_low, &closed);
}

static int use_up_descriptors(void *argument) {
    (void)argument;
    struct rlimit limit;
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 64;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int fds[64], count = 0;
    while (count < 64 && (fds[count] = open("/dev/null", O_RDONLY)) >= 0) count++;
    EXPECT(count > 24);
    bool worked = false;
    for (int left = 0; left <= 20; left++) {
        for (int i = 0; i < left; i++) close(fds[count - 1 - i]);
        for (int workers = 1; workers < 4; workers += 2) {
            int open_before = open_descriptors();
            struct pool *pool = NULL;
            int error = make(&pool, workers);
            EXPECT(error == 0 || error == POOL_EAGAIN);
            EXPECT(error != 0 || map_squares(pool, false) == 0);
            worked = error == 0;
            pool_destroy(error ? NULL : pool);
            EXPECT(open_descriptors() == open_before);
            EXPECT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
        }
        for (int i = 0; i < left; i++) {
            fds[count - 1 - i] = open("/dev/null", O_RDONLY);
            EXPECT(fds[count - 1 - i] >= 0);
        }
    }
    EXPECT(worked); /* with 20 descriptors it works */
    for (int i = 0; i < count; i++) close(fds[i]);
    return 0;
}

TEST_CASE(a_pool_works_or_returns_eagain_with_few_descriptors_left) {
    assert_child_passes(use_up_descriptors, NULL);
}

static int use_up_descriptors_later(void *argument) {
    (void)argument;
    struct rlimit limit;
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 64;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct pool *pool;
    EXPECT(make(&pool, 2) == 0);
    int fds[64], count = 0;
    while (count < 64 && (fds[count] = open("/dev/null", O_RDONLY)) >= 0) count++;
    for (int i = 0; i < 5; i++) {
        EXPECT(use(pool) == 0);
        EXPECT(run(pool, die_task, 0, NULL, POOL_EDIED) == 0);
    }
    EXPECT(use(pool) == 0);
    pool_destroy(pool);
    for (int i = 0; i < count; i++) close(fds[i]);
    return 0;
}

TEST_CASE(a_pool_needs_no_more_descriptors_later) {
    assert_child_passes(use_up_descriptors_later, NULL);
}

static int run_out_of_processes(void *argument) {
    (void)argument;
    uid_t nobody = 20000 + (uid_t)getpid() % 40000; /* other programs run beside as the user of that name */
    if (setgid(65534) != 0 || setuid(nobody) != 0) return 0;
    for (rlim_t most = 1; most < 7; most++) { /* including this process */
        struct rlimit limit;
        if (getrlimit(RLIMIT_NPROC, &limit) != 0) return 0;
        limit.rlim_cur = most;
        if (setrlimit(RLIMIT_NPROC, &limit) != 0) return 0;
        struct pool *pool = NULL;
        int error = make(&pool, 4);
        EXPECT(error == 0 || error == POOL_EAGAIN);
        if (error == 0) {
            EXPECT(map_squares(pool, most > 2) == 0); /* POOL_EAGAIN is right only if no worker could be forked */
            pool_destroy(pool);
        }
        EXPECT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    }
    return 0;
}

TEST_CASE(a_pool_works_with_fewer_workers_or_returns_eagain_with_few_processes_left) {
    if (getuid() == 0) assert_child_passes(run_out_of_processes, NULL); /* root becomes a user without processes */
}

/* ---- Interrupting signals ---------------------------------------------------------------------------------------- */

static atomic_int ticks;

static void on_tick(int signal_number) {
    (void)signal_number;
    atomic_fetch_add(&ticks, 1);
}

static int be_interrupted(void *argument) {
    struct gate *gate = argument;
    struct sigaction action = {.sa_handler = on_tick}; /* without SA_RESTART */
    EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    EXPECT(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    struct holdings held;
    look(&held);
    for (int round = 0; round < 10 || ticks <= 100; round++) {
        struct pool *pool;
        gate->arrived = gate->open = 0;
        EXPECT(make(&pool, 2) == 0);
        EXPECT(use(pool) == 0);
        EXPECT(run(pool, die_task, 0, NULL, POOL_EDIED) == 0);
        struct pool_task task = {.fn = gate_task, POOL_IN(&gate)};
        struct future *future;
        EXPECT(pool_submit(pool, &task, &future) == 0);
        int64_t start = now_ms();
        EXPECT(future_get(future, NULL, 30) == POOL_ETIMEDOUT); /* the whole time-out, in spite of signals */
        EXPECT(now_ms() - start >= 30);
        start = now_ms();
        EXPECT(pool_shutdown(pool, 0, 30) == POOL_ETIMEDOUT);
        EXPECT(now_ms() - start >= 30);
        gate_open(gate);
        EXPECT(future_get(future, NULL, PATIENCE) == 0);
        EXPECT(pool_shutdown(pool, 0, PATIENCE) == 0);
        future_free(future);
        pool_destroy(pool);
    }
    timer = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
    EXPECT(!left_behind(&held));
    return 0;
}

TEST_CASE(a_thousand_signals_a_second_interrupt_no_call) {
    assert_child_passes(be_interrupted, shared(sizeof(struct gate)));
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

static atomic_bool noisy;

static void *make_noise(void *argument) {
    /* In musl a forked child cannot print to a stream that another thread was printing to. */
#ifdef __GLIBC__
    FILE *stream = stdout;
#else
    FILE *stream = argument;
#endif
    void *blocks[50] = {NULL};
    for (uint64_t i = 0; atomic_load(&noisy); i++) {
        size_t place = (size_t)(scramble(i) % COUNT(blocks));
        free(blocks[place]);
        blocks[place] = malloc(1 + (size_t)(scramble(i + 1) % 20000));
        fprintf(stream, "noise %p\n", blocks[place]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
    return argument;
}

static int noisy_task(const void *in, void *out) {
    (void)in;
    void *blocks[100];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = malloc(1 + (size_t)(scramble(i) % 10000));
        printf("task %p\n", blocks[i]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) free(blocks[i]);
    *(int *)out = 1;
    return 0;
}

static int create_among_threads(void *argument) {
    (void)argument;
    int nowhere = open("/dev/null", O_WRONLY);
    EXPECT(dup2(nowhere, 1) == 1);
    close(nowhere);
    FILE *stream = fopen("/dev/null", "w");
    EXPECT(stream);
    struct holdings held;
    look(&held);
    pthread_t threads[3];
    atomic_store(&noisy, true);
    for (int i = 0; i < 3; i++) EXPECT(pthread_create(&threads[i], NULL, make_noise, stream) == 0);
    for (int round = 0; round < 60; round++) {
        struct pool *pool;
        EXPECT(make(&pool, 2) == 0);
        int out[8] = {0};
        struct pool_job job = {.fn = noisy_task, POOL_OUT(out), .count = 8, .chunk = 1};
        EXPECT(pool_map(pool, &job) == 0);
        for (int i = 0; i < 8; i++) EXPECT(out[i] == 1);
        EXPECT(run(pool, die_task, 0, NULL, POOL_EDIED) == 0); /* the same in a replaced worker */
        EXPECT(pool_map(pool, &job) == 0);
        pool_destroy(pool);
    }
    atomic_store(&noisy, false);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    EXPECT(!left_behind(&held));
    fclose(stream);
    return 0;
}

TEST_CASE(pools_can_be_made_while_threads_allocate_and_print) {
    if (instrumented()) return; /* their malloc() is not safe across fork() */
    assert_child_passes(create_among_threads, NULL);
}

static void *make_in_thread(void *argument) {
    struct pool **pool = argument;
    return make(pool, 2) == 0 ? pool : NULL;
}

TEST_CASE(a_pool_outlives_the_thread_that_made_it) {
    struct pool *pool = NULL;
    pthread_t thread;
    void *made = NULL;
    assert_int_equal(pthread_create(&thread, NULL, make_in_thread, &pool), 0);
    pthread_join(thread, &made);
    assert_non_null(made);
    sleep_ms(50);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(use(pool), 0);
        assert_int_equal(run(pool, die_task, 0, NULL, POOL_EDIED), 0);
    }
    assert_int_equal(use(pool), 0);
    pool_destroy(pool);
}

static void *use_with_small_stack(void *argument) {
    int *failed = argument;
    *failed = make_use_destroy();
    return NULL;
}

TEST_CASE(a_thread_with_a_small_stack_may_make_any_call) {
    if (instrumented()) return;
    pthread_attr_t attributes;
    pthread_t thread;
    int failed = -1;
    long least = sysconf(_SC_THREAD_STACK_MIN); /* 128 KiB on arm64 */
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, least > 65536 ? (size_t)least : 65536), 0);
    assert_int_equal(pthread_create(&thread, &attributes, use_with_small_stack, &failed), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_int_equal(failed, 0);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    char *text = calloc(1, 1 << 20);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    text[length] = 0;
    return text;
}

static int occurrences(const char *text, const char *part) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) count++;
    return count;
}

static char printed_path[TEMPORARY_ROOM], own_path[TEMPORARY_ROOM];

static int print_item_task(const void *in, void *out) {
    (void)in;
    (void)out;
    printf("[item %zu]\n", task_index());
    return 0;
}

static int exit_task(const void *in, void *out) {
    (void)in;
    (void)out;
    exit(3);
}

static int fork_and_exit_task(const void *in, void *out) {
    (void)in;
    (void)out;
    printf("[task that forks]\n");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) exit(0);
    int status = 0;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

static int print_around(void *argument) {
    (void)argument;
    EXPECT(freopen(printed_path, "w", stdout)); /* a file, which is written to when a buffer is full or flushed */
    FILE *own = fopen(own_path, "w");
    EXPECT(own);
    printf("[before]\n"); /* this stays in the buffers */
    fprintf(own, "[own before]\n");
    struct pool *pool;
    for (int exiting = 0; exiting < 2; exiting++) {
        EXPECT(make(&pool, 3) == 0);
        printf("[made %d]\n", exiting);
        if (!exiting) fprintf(own, "[own made]\n");
        for (int i = 0; i < 3; i++) {
            EXPECT(use(pool) == 0);
            EXPECT(run(pool, die_task, 0, NULL, POOL_EDIED) == 0);
            if (!exiting) continue;
            EXPECT(run(pool, exit_task, 0, NULL, POOL_EDIED) == 0);
            EXPECT(run(pool, fork_and_exit_task, 0, NULL, 0) == 0);
        }
        if (!exiting) EXPECT(pool_map(pool, &(struct pool_job){.fn = print_item_task, .count = 300}) == 0);
        pool_destroy(pool);
        EXPECT(map_squares(NULL, true) == 0);
        if (exiting) break;
        /* A task that calls exit() flushes all streams; those that are not standard must be empty by then. */
        fprintf(own, "[own after]\n");
        fclose(own);
    }
    printf("[after]\n");
    return 0;
}

TEST_CASE(buffered_output_appears_once) {
    temporary_name(printed_path);
    temporary_name(own_path);
    int printed = mkstemp(printed_path), own = mkstemp(own_path);
    assert_true(printed >= 0 && own >= 0);
    close(printed);
    close(own);
    struct ending ending = run_child(print_around, NULL, PATIENCE);
    char *text = read_file(printed_path), *own_text = read_file(own_path);
    unlink(printed_path);
    unlink(own_path);
    assert_int_equal(ending.code, 0);
    assert_non_null(text);
    assert_non_null(own_text);
    assert_int_equal(occurrences(text, "[before]\n"), 1);
    assert_int_equal(occurrences(text, "[made 0]\n"), 1);
    assert_int_equal(occurrences(text, "[made 1]\n"), 1);
    assert_int_equal(occurrences(text, "[after]\n"), 1);
    assert_int_equal(occurrences(text, "[task that forks]\n"), 3);
    for (int i = 0; i < 300; i++) {
        char item[32];
        snprintf(item, sizeof item, "[item %d]\n", i);
        assert_int_equal(occurrences(text, item), 1);
    }
    assert_int_equal(occurrences(own_text, "[own before]\n"), 1);
    assert_int_equal(occurrences(own_text, "[own made]\n"), 1);
    assert_int_equal(occurrences(own_text, "[own after]\n"), 1);
    free(text);
    free(own_text);
}

static int print_forever_task(const void *in, void *out) {
    (void)out;
    printf("[heard]\n");
    fflush(stdout);
    return forever_task(in, NULL);
}

static int say_and_return_task(const void *in, void *out) {
    (void)in;
    (void)out;
    printf("[said]");
    return 0;
}

static int print_and_look(void *argument) {
    (void)argument;
    EXPECT(freopen(printed_path, "w", stdout));
    struct pool *pool;
    EXPECT(make(&pool, 2) == 0);
    for (int i = 1; i <= 20; i++) {
        EXPECT(run(pool, say_and_return_task, 0, NULL, 0) == 0);
        struct stat file;
        EXPECT(stat(printed_path, &file) == 0);
        EXPECT(file.st_size == 6 * i);
    }
    struct pool_task task = {.fn = print_forever_task, .timeout = 100};
    struct future *future;
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(future_get(future, NULL, PATIENCE) == POOL_EDEADLINE);
    future_free(future);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(the_output_of_a_task_is_written_when_the_task_is_done) {
    temporary_name(printed_path);
    int printed = mkstemp(printed_path);
    assert_true(printed >= 0);
    close(printed);
    struct ending ending = run_child(print_and_look, NULL, PATIENCE);
    char *text = read_file(printed_path);
    unlink(printed_path);
    assert_int_equal(ending.code, 0);
    assert_non_null(text);
    assert_int_equal(occurrences(text, "[said]"), 20);
    assert_int_equal(occurrences(text, "[heard]"), 1);
    free(text);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_settings_of_the_caller_stay_as_they_are),
        TEST(a_worker_has_the_default_signals),
        TEST(pools_work_whatever_the_caller_does_with_sigchld),
        TEST(the_caller_keeps_its_own_children),
        TEST(closed_standard_descriptors_stay_closed),
        TEST(a_pool_works_or_returns_eagain_with_few_descriptors_left),
        TEST(a_pool_needs_no_more_descriptors_later),
        TEST(a_pool_works_with_fewer_workers_or_returns_eagain_with_few_processes_left),
        TEST(a_thousand_signals_a_second_interrupt_no_call),
        TEST(pools_can_be_made_while_threads_allocate_and_print),
        TEST(a_pool_outlives_the_thread_that_made_it),
        TEST(a_thread_with_a_small_stack_may_make_any_call),
        TEST(buffered_output_appears_once),
        TEST(the_output_of_a_task_is_written_when_the_task_is_done),
    };
    return run_group("guest", tests, COUNT(tests), argc, argv);
}
