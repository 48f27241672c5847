/* However the caller ends, and whatever its tasks are doing then, no process of a pool is left. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

/* The work of the pool when its caller ends. */
enum load { IDLE, BUSY, IGNORING_SIGNALS, STOPPED, ASLEEP, WITH_CHILDREN, QUEUED, JUST_MADE, LOADS };
/* How the caller ends. */
enum end { KILLED, TERMINATED, ABORTED, RETURNS, EXITS_IN_THREAD, UNDERSCORE_EXITS, EXECUTES, ENDS };

struct host {
    enum load load;
    enum end end;
    int descriptors; /* before the pool was made */
    struct gate tasks, itself;
};

/* Static, so that a leak checker finds nothing in a host that ends without pool_destroy(). */
static struct pool *pools[2];
static struct future *futures[4];
static struct future **queue;

static int ignore_task(const void *in, void *out) {
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE, SIGIO};
    for (size_t i = 0; i < COUNT(ignored); i++) signal(ignored[i], SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    return forever_task(in, out);
}

static int stop_task(const void *in, void *out) {
    (void)out;
    atomic_fetch_add(&(*(struct gate *const *)in)->arrived, 1);
    return raise(SIGSTOP);
}

static int sleep_task(const void *in, void *out) {
    (void)out;
    atomic_fetch_add(&(*(struct gate *const *)in)->arrived, 1);
    while (in) pause();
    return 0;
}

static int children_task(const void *in, void *out) {
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) return sleep_task(in, out);
    }
    return forever_task(in, out);
}

static int nothing_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return 0;
}

static void *exit_soon(void *argument) {
    struct host *host = argument;
    gate_pass(&host->itself);
    exit(0);
}

static int start_load(struct host *host, struct pool *pool) {
    static pool_fn *const fns[LOADS] = {
        [IDLE] = nothing_task, [BUSY] = forever_task,           [IGNORING_SIGNALS] = ignore_task, [STOPPED] = stop_task,
        [ASLEEP] = sleep_task, [WITH_CHILDREN] = children_task, [QUEUED] = forever_task,          [JUST_MADE] = NULL};
    struct gate *gate = &host->tasks;
    if (!fns[host->load]) return 0;
    int before = gate->arrived;
    for (int i = 0; i < 2; i++) {
        struct pool_task task = {.fn = fns[host->load], POOL_IN(&gate)};
        EXPECT(pool_submit(pool, &task, &futures[i + (pool == pools[1] ? 2 : 0)]) == 0);
    }
    if (host->load == IDLE) {
        for (int i = 0; i < 2; i++) EXPECT(future_wait(futures[i], PATIENCE) == 0);
    } else {
        EXPECT(gate_reached(gate, before + (host->load == WITH_CHILDREN ? 8 : 2)));
    }
    if (host->load == QUEUED && pool == pools[0]) {
        queue = calloc(30000, sizeof *queue);
        for (int i = 0; i < 30000; i++) {
            struct pool_task task = {.fn = nothing_task};
            EXPECT(pool_submit(pool, &task, &queue[i]) == 0);
        }
    }
    return 0;
}

static int run_host(void *argument) {
    struct host *host = argument;
    host->descriptors = open_descriptors();
    struct pool_options options = test_options(2);
    for (int i = 0; i < 2; i++) EXPECT(pool_create(&options, &pools[i]) == 0);
    for (int i = 0; i < 2; i++) EXPECT(start_load(host, pools[i]) == 0);
    switch (host->end) {
    case KILLED:
    case TERMINATED:
        gate_pass(&host->itself);
        return 1;
    case ABORTED:
        abort();
    case RETURNS:
        return 0;
    case UNDERSCORE_EXITS:
        _exit(0);
    case EXECUTES:
        atomic_fetch_add(&host->itself.arrived, 1);
        execl("/bin/sleep", "sleep", "1000", (char *)NULL);
        return 1;
    case EXITS_IN_THREAD: {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, exit_soon, host) == 0);
        (void)pool_map(pools[0], &(struct pool_job){.fn = forever_task, .count = 10});
        return 1;
    }
    case ENDS:
    default:
        return 1;
    }
}

static int descriptors_of(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *directory = opendir(path);
    if (!directory) return -1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

/* The program closes some when it executes another. */
static bool has_descriptors_within(pid_t pid, int count, int ms) {
    for (int64_t start = now_ms(); descriptors_of(pid) != count; sleep_ms(2))
        if (now_ms() - start > ms) return false;
    return true;
}

static void check_ending(enum load load, enum end end) {
    struct host *host = shared(sizeof *host);
    *host = (struct host){.load = load, .end = end};
    struct holdings before;
    look(&before);
    pid_t child = start_child(run_host, host);
    assert_true(child > 0);
    switch (end) {
    case KILLED:
    case TERMINATED:
        assert_true(gate_reached(&host->itself, 1));
        kill(child, end == KILLED ? SIGKILL : SIGTERM);
        break;
    case EXITS_IN_THREAD:
        assert_true(gate_reached(&host->itself, 1));
        sleep_ms(20);
        gate_open(&host->itself);
        break;
    case EXECUTES:
        assert_true(gate_reached(&host->itself, 1));
        if (have_proc()) assert_true(no_descendants_within(child, PATIENCE));
        if (have_proc() && !instrumented()) assert_true(has_descriptors_within(child, host->descriptors, PATIENCE));
        assert_true(alive(child));
        kill(child, SIGKILL);
        break;
    default:
        break;
    }
    struct ending ending = end_child(child, PATIENCE);
    bool left = left_behind(&before);
    if (left || ending.timed_out || ending.code > 0) print_error("load %d, end %d\n", (int)load, (int)end);
    assert_false(left);
    assert_false(ending.timed_out);
    if (end == RETURNS || end == EXITS_IN_THREAD || end == UNDERSCORE_EXITS)
        assert_int_equal(ending.code, 0);
    else
        assert_int_equal(ending.signal, end == TERMINATED ? SIGTERM : end == ABORTED ? SIGABRT : SIGKILL);
}

static void check_endings(enum end end) {
    for (enum load load = IDLE; load < LOADS; load++) check_ending(load, end);
}

TEST_CASE(a_killed_caller_leaves_no_process) {
    check_endings(KILLED);
}

TEST_CASE(a_terminated_caller_leaves_no_process) {
    check_endings(TERMINATED);
}

TEST_CASE(an_aborting_caller_leaves_no_process) {
    check_endings(ABORTED);
}

TEST_CASE(a_caller_that_returns_from_main_leaves_no_process) {
    check_endings(RETURNS);
}

TEST_CASE(a_caller_that_exits_in_another_thread_leaves_no_process) {
    check_endings(EXITS_IN_THREAD);
}

TEST_CASE(a_caller_that_calls_underscore_exit_leaves_no_process) {
    check_endings(UNDERSCORE_EXITS);
}

TEST_CASE(a_caller_that_executes_another_program_leaves_no_process_and_no_descriptor) {
    check_endings(EXECUTES);
}

struct parent {
    struct gate itself;
    pid_t child, supervisor, worker;
};

static int be_parent(void *argument) {
    struct parent *parent = argument;
    struct pool_options options = test_options(1);
    EXPECT(pool_create(&options, &pools[0]) == 0);
    struct pool_task task = {.fn = parent_task, .out_size = sizeof(pid_t)}, endless = {.fn = forever_task};
    EXPECT(pool_submit(pools[0], &task, &futures[0]) == 0);
    EXPECT(future_get(futures[0], &parent->supervisor, PATIENCE) == 0);
    task.fn = pid_task;
    EXPECT(pool_submit(pools[0], &task, &futures[1]) == 0);
    EXPECT(future_get(futures[1], &parent->worker, PATIENCE) == 0);
    EXPECT(pool_submit(pools[0], &endless, &futures[2]) == 0);
    pid_t child = fork(); /* holds every descriptor of the pool that the caller has */
    if (child == 0) {
        for (;;) pause();
    }
    EXPECT(child > 0);
    parent->child = child;
    gate_pass(&parent->itself);
    return 1;
}

TEST_CASE(a_child_that_outlives_the_caller_keeps_no_process_of_the_pool) {
    struct parent *parent = shared(sizeof *parent);
    pid_t host = start_child(be_parent, parent);
    assert_true(gate_reached(&parent->itself, 1));
    kill(host, SIGKILL);
    assert_int_equal(end_child(host, PATIENCE).signal, SIGKILL);
    bool ended = gone_within(parent->supervisor, PATIENCE / 2) && gone_within(parent->worker, PATIENCE / 2);
    kill(parent->child, SIGKILL);
    assert_true(ended);
}

/* ---- Ctrl-C ------------------------------------------------------------------------------------------------------ */

enum { SIGNALS = 10 }; /* that the test sends */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = interrupted + 1;
}

/* After each tenth item the others wait for the test's next signal. */
static int nap_task(const void *in, void *out) {
    struct host *host = *(struct host *const *)in;
    int before = atomic_fetch_add(&host->tasks.arrived, 1);
    *(size_t *)out = task_index();
    return becomes(&host->tasks.open, before / 10 < SIGNALS ? before / 10 : SIGNALS) ? 0 : 99;
}

/* Catches the signals of a terminal, as an interactive program does, and goes on. */
static int handle_signals(void *argument) {
    struct host *host = argument;
    struct holdings before;
    EXPECT(setpgid(0, 0) == 0);
    look(&before);
    struct sigaction action = {.sa_handler = on_interrupt};
    static const int signals[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP, SIGWINCH, SIGCONT};
    for (size_t i = 0; i < COUNT(signals); i++) EXPECT(sigaction(signals[i], &action, NULL) == 0);
    struct pool_options options = test_options(2);
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    struct host *in[200];
    size_t out[200];
    for (size_t i = 0; i < 200; i++) in[i] = host;
    struct pool_job job = {.fn = nap_task, POOL_IN(in), POOL_OUT(out), .count = 200};
    int error = pool_map(pool, &job);
    EXPECT(error == 0);
    for (size_t i = 0; i < 200; i++) EXPECT(out[i] == i);
    EXPECT(interrupted > 0);
    pool_destroy(pool);
    EXPECT(!left_behind(&before));
    return 0;
}

TEST_CASE(signals_of_the_terminal_reach_the_program_and_not_the_workers) {
    struct host *host = shared(sizeof *host);
    pid_t child = start_child(handle_signals, host);
    for (int i = 0; i < SIGNALS; i++) {
        assert_true(becomes(&host->tasks.arrived, 10 * i + 1));
        static const int signals[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP, SIGWINCH};
        kill(-child, signals[(size_t)i % COUNT(signals)]);
        atomic_store(&host->tasks.open, i + 1);
    }
    struct ending ending = end_child(child, PATIENCE);
    assert_int_equal(ending.code, 0);
}

static int have_defaults(void *argument) {
    struct host *host = argument;
    EXPECT(setpgid(0, 0) == 0);
    struct pool_options options = test_options(2);
    EXPECT(pool_create(&options, &pools[0]) == 0);
    struct host *in[1000];
    for (size_t i = 0; i < COUNT(in); i++) in[i] = host;
    (void)pool_map(pools[0], &(struct pool_job){.fn = nap_task, POOL_IN(in), .out_size = 8, .count = COUNT(in)});
    return 1;
}

TEST_CASE(an_interrupt_ends_the_program_and_all_its_workers) {
    struct host *host = shared(sizeof *host);
    int output[2];
    assert_int_equal(pipe(output), 0);
    fflush(NULL);
    int saved[2] = {dup(1), dup(2)};
    dup2(output[1], 1);
    dup2(output[1], 2);
    pid_t child = start_child(have_defaults, host);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], 1 + i);
        close(saved[i]);
    }
    close(output[1]);
    bool began = becomes(&host->tasks.arrived, 3);
    kill(-child, SIGINT);
    struct ending ending = end_child(child, PATIENCE);
    char text[256] = "";
    ssize_t length = read(output[0], text, sizeof text - 1); /* returns once the last process has ended */
    close(output[0]);
    assert_true(began);
    assert_int_equal(ending.signal, SIGINT);
    if (length != 0) print_error("printed: %s\n", text);
    assert_int_equal(length, 0); /* workers print nothing */
}

/* ---- pool_destroy() ---------------------------------------------------------------------------------------------- */

TEST_CASE(destroy_is_bounded_whatever_the_tasks_do) {
    for (enum load load = IDLE; load < LOADS; load++) {
        struct host *host = shared(sizeof *host);
        host->load = load;
        struct holdings before;
        look(&before);
        pools[0] = pool_of(2);
        pools[1] = NULL;
        assert_int_equal(start_load(host, pools[0]), 0);
        int64_t start = now_ms();
        pool_destroy(pools[0]);
        assert_took(start, 0, PATIENCE / 2);
        assert_false(left_behind(&before));
        for (size_t i = 0; i < 2; i++) {
            if (load == JUST_MADE) continue;
            assert_code(future_get(futures[i], NULL, 0), load == IDLE ? 0 : POOL_ECANCELLED);
            future_free(futures[i]);
        }
        if (load != QUEUED) continue;
        for (int i = 0; i < 30000; i++) assert_code(finish(queue[i], NULL), POOL_ECANCELLED);
        free(queue);
    }
}

static int own_group_child_task(const void *in, void *out) {
    (void)in;
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        sleep_ms(300000);
        _exit(0);
    }
    setpgid(child, child);
    *(pid_t *)out = child;
    return 0;
}

/* The pool does not kill a child that has left the group of its worker, and must not wait for it either. */
TEST_CASE(a_child_that_left_the_group_of_its_worker_does_not_block_destroy) {
    struct pool *pool = pool_of(1);
    pid_t child = 0;
    assert_ok(finish(submit(pool, own_group_child_task, NULL, 0, sizeof child), &child));
    int64_t start = now_ms();
    pool_destroy(pool);
    assert_took(start, 0, PATIENCE / 2);
    kill(child, SIGKILL);
    assert_true(gone_within(child, PATIENCE));
}

static int use_terminal_task(const void *in, void *out) {
    (void)in;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios settings;
    char byte;
    if (fd < 0 || tcgetattr(fd, &settings)) return 1;
    if (write(fd, "out\n", 4) != 4) return 2;
    if (tcsetattr(fd, TCSANOW, &settings)) return 3;
    if (read(fd, &byte, 1) != -1 || errno != EIO) return 4;
    close(fd);
    return pid_task(NULL, out);
}

static int use_terminal(void *argument) {
    (void)argument;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    EXPECT(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    signal(SIGHUP, SIG_IGN); /* the kernel sends it when the session ends */
    setsid();
    int terminal = open(ptsname(master), O_RDWR); /* becomes the controlling terminal */
    struct termios settings;
    EXPECT(terminal >= 0 && tcgetattr(terminal, &settings) == 0);
    settings.c_lflag |= (tcflag_t)TOSTOP;
    EXPECT(tcsetattr(terminal, TCSANOW, &settings) == 0);
    struct pool_options options = test_options(1);
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    struct pool_task task = {.fn = use_terminal_task, .out_size = sizeof(pid_t)};
    struct future *future;
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(future_get(future, NULL, PATIENCE / 2) == 0);
    future_free(future);
    pool_destroy(pool);
    close(terminal);
    close(master);
    return 0;
}

TEST_CASE(a_worker_is_not_stopped_by_the_terminal) {
    assert_child_passes(use_terminal, NULL);
}

struct looker {
    struct future *future;
    atomic_bool begun;
};

enum { LARGE = 3000000 };

static int large_task(const void *in, void *out) {
    memset(out, *(const int *)in, LARGE);
    return 0;
}

struct waiter {
    struct pool *pool;
    struct future *future;
    pthread_t thread;
    atomic_bool begun;
    int code;
    bool right;
};

static void *wait_for_ever(void *argument) {
    struct waiter *waiter = argument;
    atomic_store(&waiter->begun, true);
    waiter->code = waiter->future ? future_get(waiter->future, NULL, -1) : pool_poll(waiter->pool, -1);
    return NULL;
}

/* The first thread sleeps on behalf of the others. */
TEST_CASE(threads_may_wait_while_the_pool_ends) {
    for (int round = 0; round < 50; round++) {
        struct pool *pool = pool_of(1);
        struct waiter waiters[4] = {{.pool = pool}};
        for (size_t i = 0; i < COUNT(waiters); i++) {
            waiters[i].pool = pool;
            if (i > 0) waiters[i].future = submit(pool, forever_task, NULL, 0, 0);
        }
        for (size_t i = 0; i < COUNT(waiters); i++) {
            assert_ok(pthread_create(&waiters[i].thread, NULL, wait_for_ever, &waiters[i]));
            while (!atomic_load(&waiters[i].begun)) sched_yield();
        }
        if (round % 2) sleep_ms(2);
        pool_destroy(pool);
        for (size_t i = 0; i < COUNT(waiters); i++) {
            pthread_join(waiters[i].thread, NULL);
            if (i > 0) assert_code(waiters[i].code, POOL_ECANCELLED);
            future_free(waiters[i].future);
        }
    }
}

static void *get_large(void *argument) {
    struct waiter *waiter = argument;
    static unsigned char results[4][LARGE];
    unsigned char *result = results[waiter->code];
    atomic_store(&waiter->begun, true);
    do waiter->code = future_get(waiter->future, result, 0);
    while (waiter->code == POOL_ETIMEDOUT);
    waiter->right = result[0] == 7 && result[LARGE / 2] == 7 && result[LARGE - 1] == 7;
    return NULL;
}

TEST_CASE(large_results_may_be_copied_while_the_pool_ends) {
    for (int round = 0; round < 20; round++) {
        struct pool *pool = pool_of(2);
        struct waiter waiters[4] = {{.pool = pool}};
        int seven = 7;
        for (int i = 0; i < 4; i++) {
            waiters[i].future = submit(pool, large_task, &seven, sizeof seven, LARGE);
            waiters[i].code = i;
        }
        for (int i = 0; i < 4; i++) assert_ok(future_wait(waiters[i].future, PATIENCE));
        for (int i = 0; i < 4; i++) {
            assert_ok(pthread_create(&waiters[i].thread, NULL, get_large, &waiters[i]));
            if (i < 3) while (!atomic_load(&waiters[i].begun)) sched_yield();
        }
        pool_destroy(pool);
        for (int i = 0; i < 4; i++) {
            pthread_join(waiters[i].thread, NULL);
            assert_ok(waiters[i].code);
            assert_true(waiters[i].right);
            future_free(waiters[i].future);
        }
    }
}

static void *look_until_done(void *argument) {
    struct looker *looker = argument;
    int code;
    do {
        code = future_wait(looker->future, 0);
        atomic_store(&looker->begun, true);
    } while (code == POOL_ETIMEDOUT);
    return NULL;
}

TEST_CASE(a_look_at_a_future_may_come_while_the_pool_ends) {
    for (int round = 0; round < 100; round++) {
        struct pool *pool = pool_of(1);
        struct looker looker = {.future = submit(pool, forever_task, NULL, 0, 0)};
        pthread_t thread;
        assert_ok(pthread_create(&thread, NULL, look_until_done, &looker));
        while (!atomic_load(&looker.begun)) sched_yield();
        pool_destroy(pool);
        pthread_join(thread, NULL);
        assert_code(future_get(looker.future, NULL, 0), POOL_ECANCELLED);
        future_free(looker.future);
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_killed_caller_leaves_no_process),
        TEST(a_terminated_caller_leaves_no_process),
        TEST(an_aborting_caller_leaves_no_process),
        TEST(a_caller_that_returns_from_main_leaves_no_process),
        TEST(a_caller_that_exits_in_another_thread_leaves_no_process),
        TEST(a_caller_that_calls_underscore_exit_leaves_no_process),
        TEST(a_caller_that_executes_another_program_leaves_no_process_and_no_descriptor),
        TEST(a_child_that_outlives_the_caller_keeps_no_process_of_the_pool),
        TEST(signals_of_the_terminal_reach_the_program_and_not_the_workers),
        TEST(a_worker_is_not_stopped_by_the_terminal),
        TEST(an_interrupt_ends_the_program_and_all_its_workers),
        TEST(destroy_is_bounded_whatever_the_tasks_do),
        TEST(a_child_that_left_the_group_of_its_worker_does_not_block_destroy),
        TEST(threads_may_wait_while_the_pool_ends),
        TEST(large_results_may_be_copied_while_the_pool_ends),
        TEST(a_look_at_a_future_may_come_while_the_pool_ends),
    };
    return run_group("ending", tests, COUNT(tests), argc, argv);
}
