/* A task may give up system calls that its worker needs: without a way to sleep the worker would take a CPU for ever,
 * and without a way to ring the bell the caller would not be woken. Such a worker is replaced. A program may give up
 * calls that its pool does not need. */
#include "support.h"

#if LINUX
#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A program for the kernel's filters, declared here since not every C library comes with the kernel's headers. */
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false; /* instructions to skip */
    uint32_t value;
};
struct program {
    unsigned short length;
    struct instruction *instructions;
};
enum { MODE_FILTER = 2, LOAD_WORD = 0x20, JUMP_IF_EQUAL = 0x15, RETURN = 0x06 };
#define ALLOW 0x7fff0000U
#define FAIL_WITH(code) (0x00050000U | (code))

/* in: the number of a system call, which fails with EPERM from then on. out: the worker. */
static int give_up_task(const void *in, void *out) {
    *(pid_t *)out = getpid();
    struct instruction instructions[] = {
        {.code = LOAD_WORD, .value = 0}, /* the number of the call */
        {.code = JUMP_IF_EQUAL, .if_false = 1, .value = *(const uint32_t *)in},
        {.code = RETURN, .value = FAIL_WITH(EPERM)},
        {.code = RETURN, .value = ALLOW},
    };
    struct program program = {.length = COUNT(instructions), .instructions = instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
    return prctl(PR_SET_SECCOMP, MODE_FILTER, &program) ? errno : 0;
}

/* Takes a system call from the pool's only worker and returns the worker; 0 if the system has no filters. */
static pid_t give_up_call(struct pool *pool, int call) {
    pid_t worker = 0;
    int code = finish(submit(pool, give_up_task, &call, sizeof call, sizeof worker), &worker);
    if (code == POOL_EFAILED) return 0;
    assert_ok(code);
    return worker;
}

static pid_t listed_worker(struct pool *pool) {
    struct pool_worker_stats worker = {0};
    struct pool_stats stats = {.list = &worker, .room = 1};
    assert_ok(pool_stats(pool, &stats));
    return worker.pid;
}

/* Whether the worker ends, though it is given no work, and another replaces it. */
static bool is_replaced(struct pool *pool, pid_t worker) {
    int64_t until = now_ms() + PATIENCE;
    while (listed_worker(pool) == worker || listed_worker(pool) == 0)
        if (now_ms() > until) return false;
        else sleep_ms(10);
    return true;
}

TEST_CASE(a_worker_that_cannot_sleep_is_replaced) {
    struct pool *pool = pool_of(1);
    pid_t worker = give_up_call(pool, SYS_futex);
    if (worker) {
        assert_true(is_replaced(pool, worker));
        pid_t next = worker_of(pool);
        assert_true(next != worker);
        sleep_ms(200);
        assert_int_equal(listed_worker(pool), next); /* the new worker can sleep */
    }
    pool_destroy(pool);
}

static int wait_task(const void *in, void *out) {
    (void)in;
    sleep_ms(50);
    *(pid_t *)out = getpid();
    return 0;
}

TEST_CASE(a_worker_that_cannot_ring_the_bell_is_replaced) {
    struct pool *pool = pool_of(1);
    pid_t worker = give_up_call(pool, SYS_write), next = 0;
    if (worker) {
        assert_ok(finish(submit(pool, wait_task, NULL, 0, sizeof next), &next)); /* the caller sleeps */
        assert_ok(finish(submit(pool, wait_task, NULL, 0, sizeof next), &next));
        assert_true(next != worker);
    }
    pool_destroy(pool);
}

/* An event loop waits for the bell alone. */
TEST_CASE(an_event_loop_learns_of_the_last_task_of_a_worker_that_cannot_ring) {
    struct pool *pool = pool_of(1);
    if (give_up_call(pool, SYS_write)) {
        struct pollfd bell = {.fd = pool_fd(pool), .events = POLLIN};
        assert_int_equal(pool_poll(pool, 0), 1); /* the task that gave up the call */
        struct future *future = submit(pool, wait_task, NULL, 0, sizeof(pid_t));
        assert_int_equal(poll(&bell, 1, PATIENCE), 1);
        assert_true(future_done(future));
        assert_ok(finish(future, NULL));
    }
    pool_destroy(pool);
}

/* ---- the program itself */

/* Gives up the calls of the network, as programs do once they are set up. Returns whether it could. */
static bool give_up_network(void) {
    static const uint32_t calls[] = {SYS_socket, SYS_socketpair, SYS_connect, SYS_sendto, SYS_sendmsg, SYS_recvfrom,
                                     SYS_recvmsg, SYS_shutdown};
    for (size_t i = 0; i < COUNT(calls); i++) {
        pid_t self;
        if (give_up_task(&calls[i], &self)) return false;
    }
    return true;
}

static int use_pool_without_network(void *unused) {
    (void)unused;
    struct pool_options options = test_options(2);
    struct pool *pool;
    struct future *late, *killed;
    EXPECT(pool_create(&options, &pool) == 0);
    if (give_up_network()) {
        EXPECT(pool_submit(pool, &(struct pool_task){.fn = forever_task, .timeout = 50}, &late) == 0);
        EXPECT(pool_submit(pool, &(struct pool_task){.fn = forever_task}, &killed) == 0);
        EXPECT(future_get(late, NULL, PATIENCE) == POOL_EDEADLINE);
        EXPECT(future_kill(killed) == 0);
        EXPECT(future_get(killed, NULL, PATIENCE) == POOL_ECANCELLED);
        EXPECT(pool_resize(pool, 3) == 0);
        EXPECT(pool_shutdown(pool, 0, PATIENCE) == 0);
        future_free(late);
        future_free(killed);
    }
    pool_destroy(pool);
    return 0;
}

TEST_CASE(time_outs_kills_and_the_end_work_in_a_program_that_gave_up_the_network) {
    assert_child_passes(use_pool_without_network, NULL);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_worker_that_cannot_sleep_is_replaced),
        TEST(a_worker_that_cannot_ring_the_bell_is_replaced),
        TEST(an_event_loop_learns_of_the_last_task_of_a_worker_that_cannot_ring),
        TEST(time_outs_kills_and_the_end_work_in_a_program_that_gave_up_the_network),
    };
    return run_group("filter", tests, COUNT(tests), argc, argv);
}
#else
int main(void) {
    return 0; /* there are no such filters on this system */
}
#endif
