/* Faults of pools with hosts: whatever process dies or is stopped, each task and item has an outcome, what had not
 * begun costs nothing, retries save the rest, and nothing is left. The hosts are nodes on this machine. */
#include <errno.h>
#include <signal.h>

#include "remote/carry.h"
#include "support.h"

/* silence: as in pool_options; where no host falls silent, none may be taken for silent on a busy machine. */
static struct pool *hosted(const char *hosts, int least, int silence) {
    struct pool_options options = test_options(1);
    options.hosts = hosts;
    options.host_min = least;
    options.host_start = PATIENCE;
    options.host_silence = silence;
    return pool_from(&options);
}

/* ---- processes of a pool with hosts */

static size_t children_of(pid_t parent, pid_t *pids, size_t room) {
    pid_t all[256];
    size_t count = descendants(getpid(), all, COUNT(all)), found = 0;
    for (size_t i = 0; i < count && found < room; i++)
        if (parent_of(all[i]) == parent) pids[found++] = all[i];
    return found;
}

static pid_t carrier_of(struct pool *pool, pid_t supervisor) {
    struct pool_worker_stats list[8];
    struct pool_stats stats = {.list = list, .room = 8};
    pid_t pids[16];
    assert_ok(pool_stats(pool, &stats));
    size_t count = children_of(supervisor, pids, COUNT(pids));
    for (size_t i = 0; i < count; i++) {
        bool is_worker = false;
        for (int w = 0; w < stats.listed; w++) is_worker |= list[w].pid == pids[i];
        if (!is_worker) return pids[i];
    }
    return 0;
}

static pid_t child_of(pid_t parent) {
    pid_t pids[16];
    for (int64_t until = now_ms() + PATIENCE; now_ms() < until; sleep_ms(5))
        if (children_of(parent, pids, COUNT(pids)) > 0) return pids[0];
    return 0;
}

static pid_t supervisor_now(void) {
    return child_of(getpid());
}

enum victim { NODE, NODES_SUPERVISOR, CARRIER, SUPERVISOR, WORKER_THERE };

static pid_t find(struct pool *pool, enum victim victim) {
    pid_t supervisor = supervisor_now();
    if (victim == SUPERVISOR) return supervisor;
    pid_t carrier = 0;
    for (int64_t until = now_ms() + PATIENCE; !carrier && now_ms() < until; sleep_ms(5))
        carrier = carrier_of(pool, supervisor);
    assert_true(carrier > 0);
    if (victim == CARRIER) return carrier;
    pid_t node_pid = child_of(carrier), below = victim == NODE ? node_pid : child_of(node_pid);
    if (victim == WORKER_THERE) below = child_of(below);
    assert_true(below > 0);
    return below;
}

/* ---- tasks */

static int short_task(const void *in, void *out) {
    sleep_ms(4);
    *(long *)out = 3 * *(const long *)in;
    return 0;
}

static struct future *submit_short(struct pool *pool, long i, unsigned retries) {
    struct future *future;
    struct pool_task task = {.fn = short_task, POOL_IN(&i), .out_size = sizeof i, .retries = retries};
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

enum { TASKS = 300 };

/* Sends the signal once a third of the tasks are done. Returns how many tasks were lost. */
static int count_lost(struct pool *pool, enum victim victim, int signal, unsigned retries) {
    struct future *futures[TASKS];
    for (long i = 0; i < TASKS; i++) futures[i] = submit_short(pool, i, retries);
    for (long i = 0; i < TASKS / 3; i++) assert_ok(future_wait(futures[i], PATIENCE));
    assert_int_equal(kill(find(pool, victim), signal), 0);
    int lost = 0;
    for (long i = 0; i < TASKS; i++) {
        long got = 0;
        int error = future_get(futures[i], &got, PATIENCE);
        assert_any_of(error, 0, POOL_EDIED);
        if (!error) assert_true(got == 3 * i);
        else lost++;
        struct pool_failure failure;
        assert_ok(future_failure(futures[i], &failure));
        if (error) assert_true(failure.message[0] != '\0');
        future_free(futures[i]);
    }
    return lost;
}

/* The same with a map. */
static int count_lost_items(struct pool *pool, enum victim victim, int signal, unsigned retries) {
    long in[TASKS], out[TASKS];
    int status[TASKS];
    for (long i = 0; i < TASKS; i++) in[i] = i;
    struct pool_job job = {.fn = short_task, POOL_IN(in), POOL_OUT(out), .count = TASKS, .status = status,
                           .retries = retries};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    future_wait(future, 200);
    assert_int_equal(kill(find(pool, victim), signal), 0);
    int lost = 0, error = finish(future, NULL);
    for (long i = 0; i < TASKS; i++) {
        assert_any_of(status[i], 0, POOL_EDIED);
        if (status[i]) lost++;
        else assert_true(out[i] == 3 * i);
    }
    assert_true((error == 0) == (lost == 0));
    return lost;
}

/* Each fault costs at most so many tasks and items without retries, and none with them. */
static void check_fault(enum victim victim, int signal, int most) {
    if (!have_proc()) return;
    struct pool *pool = hosted("local:2,local:2", 2, signal == SIGSTOP ? 3000 : PATIENCE);
    assert_int_equal(count_lost(pool, victim, signal, 3), 0);
    int lost = count_lost(pool, victim, signal, 0);
    if (lost > most) print_error("%d tasks lost\n", lost);
    assert_true(lost <= most);
    assert_int_equal(count_lost_items(pool, victim, signal, 3), 0);
    lost = count_lost_items(pool, victim, signal, 0);
    if (lost > most) print_error("%d items lost\n", lost);
    assert_true(lost <= most);
    pool_destroy(pool);
}

/* ---- tests */

TEST_CASE(a_killed_node_costs_what_it_had_begun) {
    check_fault(NODE, SIGKILL, 8);
}

TEST_CASE(a_node_whose_supervisor_is_killed_ends_and_comes_again) {
    check_fault(NODES_SUPERVISOR, SIGKILL, 8);
}

TEST_CASE(a_killed_worker_of_a_node_costs_its_task) {
    check_fault(WORKER_THERE, SIGKILL, 1);
}

TEST_CASE(a_stopped_node_is_lost_after_its_silence) {
    check_fault(NODE, SIGSTOP, 8);
}

TEST_CASE(a_stopped_supervisor_of_a_node_costs_no_more_than_a_killed_one) {
    if (!have_proc()) return;
    struct pool *pool = hosted("local:2,local:2", 2, 3000);
    pid_t victim = find(pool, NODES_SUPERVISOR);
    assert_int_equal(kill(victim, SIGSTOP), 0);
    struct future *futures[TASKS];
    for (long i = 0; i < TASKS; i++) futures[i] = submit_short(pool, i, 3);
    for (long i = 0; i < TASKS; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
    assert_true(no_descendants_within(getpid(), 6000));
}

/* Without a time-out it would be as one that runs for ever. */
TEST_CASE(a_stopped_worker_of_a_node_costs_its_task) {
    if (!have_proc()) return;
    struct pool *pool = hosted("local:2,local:2", 2, PATIENCE);
    struct future *futures[TASKS];
    for (long i = 0; i < TASKS; i++) {
        struct pool_task task = {.fn = short_task, POOL_IN(&i), .out_size = sizeof i, .timeout = 500, .retries = 3};
        assert_ok(pool_submit(pool, &task, &futures[i]));
    }
    assert_int_equal(kill(find(pool, WORKER_THERE), SIGSTOP), 0);
    for (long i = 0; i < TASKS; i++) {
        int error = finish(futures[i], NULL);
        if (error) assert_code(error, POOL_EDEADLINE);
    }
    pool_destroy(pool);
    assert_true(no_descendants_within(getpid(), 6000));
}

static int stop_myself_and_check(void *unused) {
    (void)unused;
    struct pool_options options = test_options(1);
    options.hosts = "local:2,local:2";
    options.host_min = 2;
    options.host_silence = 1000;
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    struct future *futures[TASKS];
    for (long i = 0; i < TASKS; i++) {
        struct pool_task task = {.fn = short_task, POOL_IN(&i), .out_size = sizeof i, .retries = 3};
        EXPECT(pool_submit(pool, &task, &futures[i]) == 0);
    }
    pid_t parent = getpid();
    if (fork() == 0) { /* lets it go on later than its hosts would be silent */
        sleep_ms(3000);
        kill(parent, SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
    for (long i = 0; i < TASKS; i++) {
        long got = 0;
        EXPECT(future_get(futures[i], &got, PATIENCE) == 0 && got == 3 * i);
        future_free(futures[i]);
    }
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_program_that_is_stopped_goes_on) {
    if (!have_proc()) return;
    struct ending ending = run_child(stop_myself_and_check, NULL, PATIENCE);
    assert_int_equal(ending.code, 0);
}

TEST_CASE(a_killed_carrier_costs_what_hosts_had_begun) {
    check_fault(CARRIER, SIGKILL, 16);
}

TEST_CASE(a_stopped_carrier_is_let_go_on) {
    if (!have_proc()) return;
    struct pool *pool = hosted("local:2,local:2", 2, 3000);
    assert_int_equal(count_lost(pool, CARRIER, SIGSTOP, 3), 0);
    pool_destroy(pool);
}

/* It goes on once a call waits for it, also one that ends the pool. */
TEST_CASE(a_stopped_supervisor_costs_nothing) {
    if (!have_proc()) return;
    struct pool *pool = hosted("local:2,local:2", 2, PATIENCE);
    assert_int_equal(count_lost(pool, SUPERVISOR, SIGSTOP, 0), 0);
    assert_int_equal(count_lost_items(pool, SUPERVISOR, SIGSTOP, 0), 0);
    assert_int_equal(kill(find(pool, SUPERVISOR), SIGSTOP), 0);
    pool_destroy(pool);
    assert_true(no_descendants_within(getpid(), 6000));
}

static int endless_task(const void *in, void *out) {
    (void)in, (void)out;
    while (pause()) continue;
    return 0;
}

TEST_CASE(a_killed_supervisor_breaks_the_pool_and_leaves_nothing) {
    enum { ENDLESS = 8 };
    if (!have_proc()) return;
    struct pool *pool = hosted("local:2,local:2", 2, PATIENCE);
    struct future *futures[TASKS], *endless[ENDLESS];
    for (long i = 0; i < TASKS; i++) futures[i] = submit_short(pool, i, 0);
    for (int i = 0; i < ENDLESS; i++) endless[i] = submit(pool, endless_task, NULL, 0, 0);
    for (long i = 0; i < TASKS / 3; i++) assert_ok(future_wait(futures[i], PATIENCE));
    kill(find(pool, SUPERVISOR), SIGKILL);
    for (long i = 0; i < TASKS; i++) assert_any_of(finish(futures[i], NULL), 0, POOL_EDIED);
    for (int i = 0; i < ENDLESS; i++) assert_code(finish(endless[i], NULL), POOL_EDIED);
    pool_destroy(pool);
    assert_true(no_descendants_within(getpid(), PATIENCE));
}

TEST_CASE(a_pool_that_is_destroyed_leaves_no_node) {
    if (!have_proc()) return;
    struct pool *pool = hosted("local:2,local:2", 2, PATIENCE);
    struct future *futures[TASKS];
    for (long i = 0; i < TASKS; i++) futures[i] = submit_short(pool, i, 0);
    pool_destroy(pool);
    for (long i = 0; i < TASKS; i++) future_free(futures[i]);
    assert_true(no_descendants_within(getpid(), PATIENCE));
}

static int program_that_is_killed(void *unused) {
    (void)unused;
    struct pool_options options = test_options(1);
    options.hosts = "local:2,local:2";
    options.host_min = 2;
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    struct future *future;
    for (long i = 0; i < TASKS; i++) {
        struct pool_task task = {.fn = short_task, POOL_IN(&i), .out_size = sizeof i};
        EXPECT(pool_submit(pool, &task, &future) == 0);
    }
    raise(SIGKILL);
    return 1;
}

TEST_CASE(a_program_that_is_killed_leaves_nothing) {
    if (!have_proc()) return;
    struct ending ending = run_child(program_that_is_killed, NULL, PATIENCE);
    assert_int_equal(ending.signal, SIGKILL); /* the end of the test looks for what is left */
}

TEST_CASE(a_pool_with_hosts_shuts_down) {
    struct pool *pool = hosted("local:2,local:2", 2, PATIENCE);
    struct future *futures[TASKS];
    for (long i = 0; i < TASKS; i++) futures[i] = submit_short(pool, i, 0);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    for (long i = 0; i < TASKS; i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

TEST_CASE(hosts_that_do_not_greet_cost_nothing_but_a_line) {
    struct pool_options options = test_options(1);
    options.hosts = "w1,w2,w3";
    options.launcher = "true %h %c";
    struct pool *pool = pool_from(&options);
    assert_squares_at_once(pool, 100);
    assert_map_squares(pool, 1000, 0);
    pool_destroy(pool);
    options.host_min = 1;
    options.host_start = 300;
    assert_code(pool_create(&options, &pool), POOL_EAGAIN);
    options.launcher = "echo no greeting from %h; sleep 100; : %c";
    assert_code(pool_create(&options, &pool), POOL_EAGAIN);
    options.host_start = 0;
    options.launcher = "exit 127; %h %c";
    assert_code(pool_create(&options, &pool), POOL_EAGAIN); /* at once, since it is of no use to wait */
    options.launcher = "true %h";
    assert_code(pool_create(&options, &pool), POOL_EINVAL); /* it would start no node */
    options.launcher = "exit 127; %h %c";
    options.host_min = 0;
    pool = pool_from(&options);
    sleep_ms(300);
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
}

static struct pool_host events[16];
static char reasons[16][256];
static int event_count;

static void note_event(const struct pool_host *host, void *arg) {
    (void)arg;
    if (event_count == 16) return;
    events[event_count] = *host;
    snprintf(reasons[event_count++], 256, "%s", host->reason);
}

TEST_CASE(the_program_is_told_of_its_hosts) {
    struct pool_options options = test_options(1);
    options.hosts = "local:2";
    options.host_min = 1;
    options.host_event = note_event;
    event_count = 0;
    struct pool *pool = pool_from(&options);
    pool_poll(pool, 0);
    assert_int_equal(event_count, 1);
    assert_int_equal(events[0].state, POOL_HOST_UP);
    assert_int_equal(events[0].cpus, 2);
    kill(find(pool, NODE), SIGKILL);
    for (int64_t until = now_ms() + PATIENCE; event_count < 2 && now_ms() < until; sleep_ms(5)) pool_poll(pool, 0);
    assert_int_equal(events[1].state, POOL_HOST_LOST);
    assert_contains(reasons[1], "lost after");
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
}

static struct pool *told;
static int told_within;

/* The other hosts are lost while it runs. */
static void note_and_call(const struct pool_host *host, void *arg) {
    static bool is_within;
    told_within += is_within;
    is_within = true;
    note_event(host, arg);
    for (int i = 0; i < 30; i++) {
        sleep_ms(10);
        pool_poll(told, 0);
    }
    assert_squares_at_once(told, 10);
    is_within = false;
}

TEST_CASE(the_program_is_told_of_one_host_at_a_time_and_may_make_calls) {
    struct pool_options options = test_options(1);
    options.hosts = "w1,w2,w3,w4";
    options.launcher = "exit 127; : %c";
    options.host_event = note_and_call;
    event_count = told_within = 0;
    told = pool_from(&options);
    for (int64_t until = now_ms() + PATIENCE; event_count < 4 && now_ms() < until; sleep_ms(5)) pool_poll(told, 0);
    pool_destroy(told);
    assert_int_equal(event_count, 4);
    assert_int_equal(told_within, 0);
}

/* The second prints at every line feed of the node what a terminal makes of it. */
TEST_CASE(what_is_wrong_with_a_launcher_that_does_not_carry_bytes_is_asked) {
    static const char *const launchers[] = {"%c </dev/null", "%c | sed -u 's/$/\r/'"};
    static const char *const advice[] = {"does the launcher carry standard input?", "is a terminal in between"};
    struct pool_options options = test_options(1);
    options.hosts = "w1";
    options.host_event = note_event;
    for (size_t i = 0; i < COUNT(launchers); i++) {
        options.launcher = launchers[i];
        event_count = 0;
        struct pool *pool = pool_from(&options);
        for (int64_t until = now_ms() + PATIENCE; event_count < 1 && now_ms() < until; sleep_ms(5)) pool_poll(pool, 0);
        pool_destroy(pool);
        assert_true(event_count > 0);
        print_error("    %s\n", reasons[0]);
        assert_contains(reasons[0], advice[i]);
    }
}

/* What a launcher says before it ends is the reason; here as where a disk is full. */
TEST_CASE(the_last_words_of_a_launcher_are_the_reason) {
    struct pool_options options = test_options(1);
    options.hosts = "w1";
    options.host_event = note_event;
    options.ship = true;
    static const char *const launchers[] = {"trap '' XFSZ; ulimit -f 8; sh -c %c",
                                            "head -c 1000 >/dev/null; echo File too large; exit 74; : %c",
                                            "exec <&-; echo File too large; exit 74; : %c"};
    for (size_t i = 0; i < COUNT(launchers); i++) {
        options.launcher = launchers[i];
        event_count = 0;
        struct pool *pool = pool_from(&options);
        for (int64_t until = now_ms() + PATIENCE; event_count < 1 && now_ms() < until; sleep_ms(5)) pool_poll(pool, 0);
        assert_int_equal(event_count, 1);
        assert_int_equal(events[0].state, POOL_HOST_LOST);
        print_error("    %s\n", reasons[0]);
        assert_contains(reasons[0], "the launcher ended with 74 before the greeting: it said \"");
        assert_contains(reasons[0], "File too large\"");
        assert_squares_at_once(pool, 100);
        pool_destroy(pool);
    }
    if (have_proc()) assert_true(no_descendants_within(getpid(), 6000));
}

/* ---- again */

static char launches[TEMPORARY_ROOM]; /* a file, to which each launch writes when it was, s */

/* A pool whose host cannot be had. */
static struct pool *pool_of_launches(void) {
    static char launcher[TEMPORARY_ROOM + 64];
    struct pool_options options = test_options(1);
    temporary_name(launches);
    int file = mkstemp(launches);
    assert_true(file >= 0);
    close(file);
    snprintf(launcher, sizeof launcher, "cut -d' ' -f1 /proc/uptime >>%s; exit 1; : %%c", launches);
    options.hosts = "w1";
    options.launcher = launcher;
    options.host_event = note_event;
    return pool_from(&options);
}

/* Reads the times of the launches once there are so many. Returns how many there are. */
static int await_launches(double *times, int count) {
    int found = 0;
    for (int64_t until = now_ms() + PATIENCE; found < count && now_ms() < until; sleep_ms(10)) {
        FILE *file = fopen(launches, "r");
        for (found = 0; file && found < 8 && fscanf(file, "%lf", &times[found]) == 1; found++) continue;
        if (file) fclose(file);
    }
    return found;
}

static struct future *begin_work(struct pool *pool) {
    static long in[TASKS * 10];
    struct future *future;
    struct pool_job job = {.fn = short_task, POOL_IN(in), .out_size = sizeof *in, .count = COUNT(in)};
    assert_ok(pool_map_async(pool, &job, &future));
    return future;
}

TEST_CASE(a_lost_host_is_tried_again_after_1_2_4_to_60_s) {
    static const unsigned pauses[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    for (unsigned i = 0; i < COUNT(pauses); i++) assert_int_equal(pp_host_pause(i), pauses[i]);
    assert_int_equal(pp_host_pause(1U << 31), 60);
    if (!have_proc()) return;
    double times[8] = {0};
    struct pool *pool = pool_of_launches();
    struct future *work = begin_work(pool);
    assert_true(await_launches(times, 4) >= 4);
    for (int i = 0; i < 3; i++) {
        print_error("    %.2f s\n", times[i + 1] - times[i]);
        assert_true(times[i + 1] - times[i] > pauses[i] - 0.05);
    }
    future_kill(work);
    finish(work, NULL);
    pool_destroy(pool);
    unlink(launches);
}

TEST_CASE(a_lost_host_is_not_tried_again_without_work) {
    if (!have_proc()) return;
    double times[8];
    struct pool *pool = pool_of_launches();
    assert_int_equal(await_launches(times, 1), 1);
    sleep_ms(2500);
    assert_int_equal(await_launches(times, 1), 1);
    struct future *work = begin_work(pool);
    assert_true(await_launches(times, 2) >= 2);
    future_kill(work);
    finish(work, NULL);
    pool_destroy(pool);
    unlink(launches);
}

/* Its launcher fails the first few times. */
TEST_CASE(a_host_that_the_pool_waits_for_is_tried_again) {
    char launcher[2 * TEMPORARY_ROOM + 128];
    struct pool_options options = test_options(1);
    temporary_name(launches);
    int file = mkstemp(launches);
    assert_true(file >= 0);
    close(file);
    snprintf(launcher, sizeof launcher, "echo >>%s; [ $(wc -l <%s) -gt 3 ] || exit 1; exec %%c", launches, launches);
    options.hosts = "w1";
    options.launcher = launcher;
    options.host_event = note_event;
    options.host_start = PATIENCE;
    options.host_min = 1;
    struct pool *pool = pool_from(&options);
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
    unlink(launches);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_killed_node_costs_what_it_had_begun),
        TEST(a_node_whose_supervisor_is_killed_ends_and_comes_again),
        TEST(a_killed_worker_of_a_node_costs_its_task),
        TEST(a_stopped_node_is_lost_after_its_silence),
        TEST(a_killed_carrier_costs_what_hosts_had_begun),
        TEST(a_stopped_carrier_is_let_go_on),
        TEST(a_stopped_supervisor_costs_nothing),
        TEST(a_killed_supervisor_breaks_the_pool_and_leaves_nothing),
        TEST(a_pool_that_is_destroyed_leaves_no_node),
        TEST(a_program_that_is_killed_leaves_nothing),
        TEST(a_pool_with_hosts_shuts_down),
        TEST(hosts_that_do_not_greet_cost_nothing_but_a_line),
        TEST(the_program_is_told_of_its_hosts),
        TEST(the_program_is_told_of_one_host_at_a_time_and_may_make_calls),
        TEST(what_is_wrong_with_a_launcher_that_does_not_carry_bytes_is_asked),
        TEST(the_last_words_of_a_launcher_are_the_reason),
        TEST(a_lost_host_is_tried_again_after_1_2_4_to_60_s),
        TEST(a_lost_host_is_not_tried_again_without_work),
        TEST(a_host_that_the_pool_waits_for_is_tried_again),
        TEST(a_stopped_supervisor_of_a_node_costs_no_more_than_a_killed_one),
        TEST(a_stopped_worker_of_a_node_costs_its_task),
        TEST(a_program_that_is_stopped_goes_on),
    };
    if (pool_serve(argc, argv)) return 1;
    return run_group("hosts_faults", tests, COUNT(tests), argc, argv);
}
