/* What is run again in pools with hosts: retries, which need a worker that has run nothing, and items that a lost host
 * has left. The hosts are nodes on this machine. A file a task or item tells whether it has been tried. */
#include <fcntl.h>
#include <signal.h>

#include "support.h"

static pid_t carrier; /* what has started this node; 0: this was not forked by one */
static int runs; /* of this process */

static struct pool *hosted(const char *hosts, int least) {
    struct pool_options options = test_options(1);
    options.hosts = hosts;
    options.host_min = least;
    options.host_start = PATIENCE;
    return pool_from(&options);
}

/* ---- tries */

struct attempt {
    char directory[TEMPORARY_ROOM];
    long number;
};

struct outcome {
    long number;
    int is_there, runs_before;
};

static char directory[TEMPORARY_ROOM];

static void make_directory(void) {
    temporary_name(directory);
    assert_non_null(mkdtemp(directory));
}

static void remove_directory(long count) {
    char path[TEMPORARY_ROOM + 32];
    for (long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%ld", directory, i);
        unlink(path);
    }
    assert_int_equal(rmdir(directory), 0);
}

static bool is_first_try(const char *where, long number) {
    char path[TEMPORARY_ROOM + 32];
    snprintf(path, sizeof path, "%s/%ld", where, number);
    int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (file >= 0) close(file);
    return file >= 0;
}

/* Dies when it is tried first, wherever that is. */
static int dies_once_task(const void *in, void *out) {
    const struct attempt *attempt = in;
    struct outcome *outcome = out;
    *outcome = (struct outcome){attempt->number, this_node != 0, runs++};
    sleep_ms(5);
    if (is_first_try(attempt->directory, attempt->number)) raise(SIGKILL);
    return 0;
}

static struct attempt attempt_of(long number) {
    struct attempt attempt = {.number = number};
    strcpy(attempt.directory, directory);
    return attempt;
}

/* ---- tests */

enum { TRIES = 40 };

static void check(const struct outcome *outcomes) {
    for (long i = 0; i < TRIES; i++) {
        assert_true(outcomes[i].number == i);
        assert_int_equal(outcomes[i].runs_before, 0);
        assert_true(outcomes[i].is_there);
    }
}

TEST_CASE(retries_of_tasks_run_on_hosts_in_fresh_workers) {
    make_directory();
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted("local:2 local:2", 2);
    struct future *futures[TRIES], *kept = hold_here(pool, gate, NULL);
    struct outcome outcomes[TRIES];
    for (long i = 0; i < TRIES; i++) {
        struct attempt attempt = attempt_of(i);
        struct pool_task task = {.fn = dies_once_task, POOL_IN(&attempt), .out_size = sizeof *outcomes, .retries = 1};
        assert_ok(pool_submit(pool, &task, &futures[i]));
    }
    for (long i = 0; i < TRIES; i++) assert_ok(finish(futures[i], &outcomes[i]));
    check(outcomes);
    release_here(gate, kept);
    pool_destroy(pool);
    remove_directory(TRIES);
}

TEST_CASE(retries_of_items_run_on_hosts_in_fresh_workers) {
    make_directory();
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted("local:2 local:2", 2);
    struct future *kept = hold_here(pool, gate, NULL);
    struct attempt attempts[TRIES];
    struct outcome outcomes[TRIES];
    for (long i = 0; i < TRIES; i++) attempts[i] = attempt_of(i);
    struct pool_job job = {.fn = dies_once_task, POOL_IN(attempts), POOL_OUT(outcomes), .count = TRIES, .retries = 1};
    assert_ok(pool_map(pool, &job));
    check(outcomes);
    release_here(gate, kept);
    pool_destroy(pool);
    remove_directory(TRIES);
}

TEST_CASE(items_with_no_try_left_tell_of_the_host) {
    make_directory();
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted("local:2 local:2", 2);
    struct future *kept = hold_here(pool, gate, NULL);
    struct attempt attempts[TRIES];
    struct outcome outcomes[TRIES];
    struct pool_failure failures[TRIES];
    for (long i = 0; i < TRIES; i++) attempts[i] = attempt_of(i);
    struct pool_job job = {.fn = dies_once_task, POOL_IN(attempts), POOL_OUT(outcomes), .count = TRIES,
                           .failures = failures, .failures_room = TRIES};
    assert_code(pool_map(pool, &job), POOL_EDIED);
    for (long i = 0; i < TRIES; i++) {
        assert_true(failures[i].index == (size_t)i);
        assert_int_equal(failures[i].signal, SIGKILL);
        assert_int_equal(strncmp(failures[i].message, "on local: ", 10), 0);
    }
    release_here(gate, kept);
    pool_destroy(pool);
    remove_directory(TRIES);
}

/* ---- what a lost host leaves */

#define LOST_EVERY 4000

struct fault {
    char directory[TEMPORARY_ROOM];
    bool is_carriers; /* else it is the node's */
    int slow;         /* ms that a call takes here, so that most is left to hosts */
};

/* Each item that says so ends its node or its carrier once. */
static int triple_block(const void *in, void *out, size_t count) {
    const struct fault *fault = task_context();
    const long *x = in;
    long *y = out;
    for (size_t i = 0; i < count; i++) {
        long at = (long)(task_index() + i);
        if (this_node && at % LOST_EVERY == 77 && is_first_try(fault->directory, at / LOST_EVERY))
            kill(fault->is_carriers ? carrier : this_node, SIGKILL);
        y[i] = 3 * x[i] + at + (long)(task_seed_item(i) % 1000);
    }
    if (!this_node && fault->slow) sleep_ms(fault->slow);
    return 0;
}

static void assert_the_same_in_spite_of(const char *hosts, int least, const struct fault *of) {
    enum { ITEMS = 20000 };
    static long in[ITEMS], out[ITEMS], wanted[ITEMS];
    make_directory();
    struct pool *pool = hosted(hosts, least), *here = pool_of(2);
    struct fault fault = {.slow = 0};
    for (long i = 0; i < ITEMS; i++) in[i] = i * i % 1013;
    struct pool_job job = {.block = triple_block, POOL_IN(in), POOL_OUT(wanted), .count = ITEMS, .seed = 3,
                           .context = &fault, .context_size = sizeof fault, .retries = 50};
    assert_ok(pool_map(here, &job));
    job.out = out;
    fault = *of;
    strcpy(fault.directory, directory);
    for (int round = 0; round < 3; round++) {
        memset(out, 0, sizeof out);
        assert_ok(pool_map(pool, &job));
        assert_memory_equal(out, wanted, sizeof out);
    }
    pool_destroy(here);
    pool_destroy(pool);
    remove_directory(ITEMS / LOST_EVERY);
}

TEST_CASE(what_a_lost_host_leaves_has_the_results_that_it_has_here) {
    assert_the_same_in_spite_of("local:2 local:2 local:2 local:2", 4, &(struct fault){.slow = 1});
}

TEST_CASE(what_a_lost_carrier_leaves_has_the_results_that_it_has_here) {
    assert_the_same_in_spite_of("local:2 local:2 local:2 local:2", 4, &(struct fault){.slow = 1, .is_carriers = true});
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(retries_of_tasks_run_on_hosts_in_fresh_workers),
        TEST(retries_of_items_run_on_hosts_in_fresh_workers),
        TEST(items_with_no_try_left_tell_of_the_host),
        TEST(what_a_lost_host_leaves_has_the_results_that_it_has_here),
        TEST(what_a_lost_carrier_leaves_has_the_results_that_it_has_here),
    };
    note_node();
    if (this_node) carrier = getppid();
    if (pool_serve(argc, argv)) return 1;
    return run_group("hosts_again", tests, COUNT(tests), argc, argv);
}
