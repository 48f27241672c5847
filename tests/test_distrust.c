/* A worker that overwrites all shared memory it can reach, and all pipes, costs no more than outcomes: the caller
 * neither crashes nor hangs, and the pool can be destroyed.
 *
 * Each attack runs in a child with a time-out. What the futures end with is of no interest, but that they end. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

enum attack {
    RANDOM_BYTES, /* over everything */
    ONES,         /* 0xff over everything */
    ZEROS,
    SPARSE_BYTES, /* few, so that most of it stays plausible */
    FLIPPED_BITS,
    SWAPPED_WORDS,  /* what was valid elsewhere */
    SMALL_COUNTS,   /* words that look like indices and lengths */
    REPEATED,       /* a while, against whatever caller and supervisor mend */
    PIPES,          /* random bytes into every descriptor that takes them */
    PIPES_OF_WORDS, /* plausible ones */
    CLOSED,         /* every descriptor closed, read dry or set to block */
    ALL,
    ATTACKS
};

struct order {
    enum attack attack;
    uint64_t seed;
};

struct range {
    unsigned char *begin, *end;
};

/* The shared mappings that this process can write, by /proc. */
static size_t shared_ranges(struct range *ranges, size_t room) {
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    static char text[1 << 18];
    size_t length = 0;
    for (ssize_t got; length < sizeof text - 1 && (got = read(fd, text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    close(fd);
    text[length] = 0;
    size_t count = 0;
    for (char *line = text; line && *line && count < room; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        char *rest;
        uintptr_t begin = (uintptr_t)strtoull(line, &rest, 16);
        if (*rest != '-') continue;
        uintptr_t end = (uintptr_t)strtoull(rest + 1, &rest, 16);
        if (strncmp(rest, " rw-s", 5) == 0 || strncmp(rest, " rwxs", 5) == 0)
            ranges[count++] = (struct range){(unsigned char *)begin, (unsigned char *)end};
    }
    return count;
}

static uint64_t next(uint64_t *random) {
    return *random = scramble(*random);
}

/* Of a large mapping, only the first pages and some others: the arena is terabytes of nothing. */
static unsigned char *pick(struct range range, uint64_t *random) {
    size_t size = (size_t)(range.end - range.begin), near = size < (4U << 20) ? size : 4U << 20;
    size_t within = next(random) % 8 ? near : size;
    return range.begin + next(random) % within / 8 * 8;
}

static void strike(struct range range, enum attack attack, uint64_t *random) {
    size_t size = (size_t)(range.end - range.begin), near = size < (4U << 20) ? size : 4U << 20;
    switch (attack) {
    case RANDOM_BYTES:
        fill(range.begin, near, next(random));
        break;
    case ONES:
        memset(range.begin, 0xff, near);
        break;
    case ZEROS:
        memset(range.begin, 0, near);
        break;
    case SPARSE_BYTES:
        for (int i = 0; i < 20000; i++) pick(range, random)[next(random) % 8] = (unsigned char)next(random);
        break;
    case FLIPPED_BITS:
        for (int i = 0; i < 5000; i++) *pick(range, random) ^= (unsigned char)(1 << next(random) % 8);
        break;
    case SWAPPED_WORDS:
        for (int i = 0; i < 20000; i++) memmove(pick(range, random), pick(range, random), 8);
        break;
    case SMALL_COUNTS:
        for (int i = 0; i < 20000; i++) {
            uint64_t word = next(random) % 3 ? next(random) % 70000 : 0 - next(random) % 70000;
            memcpy(pick(range, random), &word, next(random) % 2 ? 8 : 4);
        }
        break;
    default:
        break;
    }
}

static void strike_memory(enum attack attack, uint64_t *random) {
    struct range ranges[64];
    size_t count = shared_ranges(ranges, COUNT(ranges));
    for (size_t i = 0; i < count; i++) strike(ranges[i], attack, random);
}

static void strike_pipes(enum attack attack, uint64_t *random) {
    for (int fd = 3; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0) continue;
        if (attack == CLOSED) {
            char text[4096];
            fcntl(fd, F_SETFL, flags | O_NONBLOCK);
            while (read(fd, text, sizeof text) > 0) {
            }
            fcntl(fd, F_SETFL, next(random) % 2 ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
            if (next(random) % 2) close(fd);
            continue;
        }
        if ((flags & O_ACCMODE) == O_RDONLY) continue;
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        for (int i = 0; i < 300; i++) {
            uint64_t words[32];
            for (size_t k = 0; k < COUNT(words); k++)
                words[k] = attack == PIPES ? next(random) : next(random) % 2 ? next(random) % 300 : next(random) << 32;
            if (write(fd, words, 1 + next(random) % sizeof words) < 0 && errno != EAGAIN) break;
        }
        fcntl(fd, F_SETFL, flags);
    }
}

static int attack_task(const void *in, void *out) {
    struct order order = *(const struct order *)in;
    uint64_t random = order.seed;
    signal(SIGPIPE, SIG_IGN);
    alarm(5); /* it may be hit by itself: a pipe that it reads dry may have been set to block */
    if (order.attack < REPEATED)
        strike_memory(order.attack, &random);
    else if (order.attack == REPEATED) {
        for (int64_t start = now_ms(); now_ms() - start < 100;)
            strike_memory((enum attack)(next(&random) % REPEATED), &random);
    } else if (order.attack < ALL) {
        strike_pipes(order.attack, &random);
    } else {
        strike_memory((enum attack)(next(&random) % REPEATED), &random);
        strike_pipes((enum attack)(PIPES + next(&random) % 3), &random);
        strike_memory((enum attack)(next(&random) % REPEATED), &random);
    }
    if (out) memset(out, 1, sizeof(long));
    alarm(0);
    if (order.seed % 5 == 4) raise(SIGKILL);
    return order.seed % 5 == 3 ? task_fail(3, "struck") : 0;
}

static int large_task(const void *in, void *out) {
    memset(out, *(const char *)in, 100000);
    return 0;
}

/* No outcome is expected, but one within bounds. */
static bool ends(struct future *future, void *out) {
    struct pool_failure failure;
    if (future_get(future, out, PATIENCE / 4) == POOL_ETIMEDOUT) return false;
    return future_failure(future, &failure) == 0 && memchr(failure.message, 0, sizeof failure.message);
}

enum { FUTURES = 40 };

static int bear(struct pool *pool, struct order *order) {
    struct future *futures[FUTURES], *attack[4] = {NULL}, *job_future = NULL;
    static char large[100000];
    static long in[500], out[500];
    static int status[500];
    struct pool_failure failure;
    int submitted = 0;
    for (long i = 0; i < FUTURES; i++) {
        struct pool_task task = {.fn = square_task, .in = &i, .in_size = sizeof i, .out_size = sizeof i};
        if (i % 3 == 1) task = (struct pool_task){.fn = large_task, .in = large, .in_size = 100000, .out_size = 100000};
        if (i % 7 == 2) task.timeout = 20;
        task.priority = (int)(i % 4);
        if (pool_submit(pool, &task, &futures[submitted]) == 0) submitted++;
        if (i % 10 != 5) continue;
        order->seed++;
        struct pool_task strike_task = {.fn = attack_task, .in = order, .in_size = sizeof *order, .out_size = 8};
        if (pool_submit(pool, &strike_task, &attack[i / 10]) != 0) attack[i / 10] = NULL;
    }
    for (long i = 0; i < 500; i++) in[i] = i;
    struct pool_job job = {.fn = square_task,
                           .in = in,
                           .in_size = sizeof *in,
                           .out = out,
                           .out_size = sizeof *out,
                           .count = 500,
                           .status = status,
                           .failure = &failure};
    if (pool_map_async(pool, &job, &job_future) != 0) job_future = NULL;
    void *block = pool_alloc(pool, 5000);
    EXPECT(pool_poll(pool, 10) != -1000);
    for (size_t i = 0; i < COUNT(attack); i++) EXPECT(!attack[i] || ends(attack[i], NULL));
    for (int i = 0; i < submitted; i++) EXPECT(i % 5 == 4 || ends(futures[i], large));
    EXPECT(!job_future || ends(job_future, NULL));
    if (submitted > 4) (void)future_cancel(futures[4]);
    if (submitted > 9) (void)future_kill(futures[9]);
    int error = pool_map(pool, &job);
    EXPECT(error <= 0);
    pool_free(pool, block);
    for (int i = 0; i < submitted; i++) future_free(futures[i]);
    for (size_t i = 0; i < COUNT(attack); i++) future_free(attack[i]);
    future_free(job_future);
    return 0;
}

static int bear_attacks(void *argument) {
    struct order order = *(const struct order *)argument;
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 1); /* whatever a broken worker may print */
    close(nowhere);
    struct holdings before;
    look(&before);
    struct pool_options options = test_options(2);
    if (order.seed % 2) options.arena_size = (size_t)64 << 20;
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    for (int round = 0; round < 4; round++) EXPECT(bear(pool, &order) == 0);
    struct pool_task last = {.fn = forever_task};
    struct future *future = NULL;
    if (pool_submit(pool, &last, &future) != 0) future = NULL;
    (void)pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, 50);
    int64_t start = now_ms();
    pool_destroy(pool);
    EXPECT(now_ms() - start < 20000);
    EXPECT(!future || future_done(future));
    future_free(future);
    EXPECT(!left_behind(&before));
    return 0;
}

static void bears(enum attack attack) {
    const char *asked = getenv("PARPOOL_TEST_SEEDS"); /* FIRST or FIRST-LAST: to look for more, or at one again */
    char *rest = NULL;
    size_t first = asked ? strtoul(asked, &rest, 10) : 0, last = asked ? first : scaled(20) / 10;
    if (rest && *rest == '-') last = strtoul(rest + 1, NULL, 10);
    for (size_t i = first; i <= last; i++) {
        struct order order = {attack, scramble((uint64_t)attack << 32 | i) >> 1};
        int64_t start = now_ms();
        struct ending ending = run_child(bear_attacks, &order, instrumented() ? 4 * PATIENCE : 2 * PATIENCE);
        if (ending.timed_out || ending.code != 0)
            print_error("attack %d, seed %zu: %s, exit status %d, signal %d, after %lld ms\n", (int)attack, i,
                        ending.timed_out ? "hung" : "ended", ending.code, ending.signal, (long long)(now_ms() - start));
        assert_false(ending.timed_out);
        assert_int_equal(ending.signal, 0);
        assert_int_equal(ending.code, 0);
        allow_seconds(240);
    }
}

#define ATTACK(name, attack)                                                                                           \
    static void name(void **state) {                                                                                   \
        (void)state;                                                                                                   \
        bears(attack);                                                                                                 \
    }

ATTACK(random_bytes_over_shared_memory_cost_only_outcomes, RANDOM_BYTES)
ATTACK(ones_over_shared_memory_cost_only_outcomes, ONES)
ATTACK(zeros_over_shared_memory_cost_only_outcomes, ZEROS)
ATTACK(few_random_bytes_cost_only_outcomes, SPARSE_BYTES)
ATTACK(flipped_bits_cost_only_outcomes, FLIPPED_BITS)
ATTACK(words_moved_about_cost_only_outcomes, SWAPPED_WORDS)
ATTACK(wrong_counts_cost_only_outcomes, SMALL_COUNTS)
ATTACK(overwriting_for_a_while_costs_only_outcomes, REPEATED)
ATTACK(random_bytes_in_pipes_cost_only_outcomes, PIPES)
ATTACK(plausible_words_in_pipes_cost_only_outcomes, PIPES_OF_WORDS)
ATTACK(emptied_and_closed_pipes_cost_only_outcomes, CLOSED)
ATTACK(all_of_it_costs_only_outcomes, ALL)

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(random_bytes_over_shared_memory_cost_only_outcomes),
        TEST(ones_over_shared_memory_cost_only_outcomes),
        TEST(zeros_over_shared_memory_cost_only_outcomes),
        TEST(few_random_bytes_cost_only_outcomes),
        TEST(flipped_bits_cost_only_outcomes),
        TEST(words_moved_about_cost_only_outcomes),
        TEST(wrong_counts_cost_only_outcomes),
        TEST(overwriting_for_a_while_costs_only_outcomes),
        TEST(random_bytes_in_pipes_cost_only_outcomes),
        TEST(plausible_words_in_pipes_cost_only_outcomes),
        TEST(emptied_and_closed_pipes_cost_only_outcomes),
        TEST(all_of_it_costs_only_outcomes),
    };
    return run_group("distrust", tests, COUNT(tests), argc, argv);
}
