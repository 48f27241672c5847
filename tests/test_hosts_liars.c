/* Hosts that lie, flood, cut or delay: whatever comes over a connection, a task has its true result or an outcome that
 * names the host, and nothing hangs or is left.
 *
 * The launcher starts this program once more, which $LIE tells what to do: it is a node that lies, or a relay between
 * the head and an honest node. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "support.h"

#include "base/sys.h"
#include "remote/greeting.h"
#include "remote/launch.h"
#include "remote/message.h"
#include "remote/wire.h"

/* ---- nodes that lie */

static struct pp_wire wire;

static void put_bytes(const void *bytes, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t count = write(1, (const char *)bytes + at, size - at);
        if (count < 0) _exit(1);
        at += (size_t)count;
    }
}

static void say(uint16_t kind, uint64_t id, const void *bytes, size_t size) {
    pp_wire_send(&wire, kind, id, &(struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = size}, 1);
    pp_wire_write(&wire);
}

static void say_failed(uint16_t kind, uint64_t id, int error, uint64_t position) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_failure_message m = {.error = error, .position = position, .text = ""};
    say(kind, id, fixed, pp_put_failure(fixed, &m));
}

static void say_items(uint64_t id, uint32_t first, uint32_t count, size_t bytes) {
    unsigned char fixed[PP_FIXED_MOST + 4096] = {0};
    struct pp_items_message m = {.first = first, .count = count};
    say(PP_SAY_ITEMS, id, fixed, pp_put_items(fixed, &m) + bytes);
}

static void greet_as(const char *text, size_t size) {
    put_bytes(text, size);
}

static void greet(void) {
    char text[PP_GREETING_MOST];
    greet_as(text, pp_greeting_make(text, 2));
}

/* Until the head has gone; what is alive says so. */
static void wait_for_end(bool alive) {
    struct pollfd in = {.fd = 0, .events = POLLIN};
    char bytes[4096];
    for (;;) {
        if (alive) say(PP_SAY_ALIVE, 0, NULL, 0);
        if (poll(&in, 1, 100) > 0 && read(0, bytes, sizeof bytes) <= 0) _exit(0);
    }
}

static uint32_t chunks[65536]; /* by id: items */

/* Reads until leave is given. Returns the last id that has it. */
static uint64_t await_leave(void) {
    struct pp_message m;
    for (;;) {
        while (pp_wire_next(&wire, &m)) {
            struct pp_chunk_message chunk;
            bool is_chunk = m.kind == PP_SAY_CHUNK && pp_get_chunk(m.data, m.size, &chunk);
            if (is_chunk) chunks[m.id % COUNT(chunks)] = chunk.count;
            if (m.kind == PP_SAY_LEAVE) return m.id;
        }
        struct pollfd in = {.fd = 0, .events = POLLIN};
        poll(&in, 1, 200);
        if (pp_wire_read(&wire) < 0) _exit(0);
        pp_wire_write(&wire);
        say(PP_SAY_ALIVE, 0, NULL, 0);
    }
}

static void say_ready(void) {
    unsigned char fixed[PP_FIXED_MOST];
    say(PP_SAY_READY, 0, fixed, pp_put_ready(fixed, &(struct pp_ready){.cpus = 2, .workers = 2}));
}

static void lie_before_the_greeting(const char *lie) {
    char noise[4096];
    memset(noise, 'x', sizeof noise);
    if (strcmp(lie, "silence") == 0) wait_for_end(false);
    if (strcmp(lie, "flood") == 0)
        for (;;) put_bytes(noise, sizeof noise);
    if (strcmp(lie, "begin of a greeting, for ever") == 0)
        for (;;) put_bytes("\nPARPOOL 1 ", 11);
    if (strcmp(lie, "greeting of another build") == 0) {
        greet_as("\nPARPOOL 1 0123456789abcdef 2 8 little elsewhere\n", 50);
        wait_for_end(false);
    }
    if (strcmp(lie, "no pool") == 0) {
        greet();
        wait_for_end(false);
    }
    if (strcmp(lie, "alive, for ever") == 0) {
        greet();
        for (;;) say(PP_SAY_ALIVE, 0, NULL, 0);
    }
    if (strcmp(lie, "greeting, for ever") == 0) {
        greet();
        for (;;) greet();
    }
}

static void lie_without_work(const char *lie) {
    unsigned char frame[17] = {0xff, 0xff, 0xff, 0x7f, PP_SAY_DONE};
    greet();
    say_ready();
    if (strcmp(lie, "garbage") == 0) put_bytes("what is no frame, at all", 24);
    if (strcmp(lie, "length of 2 GiB") == 0) put_bytes(frame, sizeof frame);
    if (strcmp(lie, "half a frame") == 0) {
        frame[2] = frame[3] = 0;
        put_bytes(frame, 9);
        wait_for_end(false);
    }
    if (strcmp(lie, "pieces without an end") == 0) {
        static unsigned char piece[16 + PP_PIECE + 1] = {0, 0, 4, 0, PP_SAY_OUTPUT, 0, 1, 0, 1};
        piece[16 + PP_PIECE] = '\n';
        for (;;) put_bytes(piece, sizeof piece);
    }
    if (strcmp(lie, "output of no kind") == 0) say(PP_SAY_OUTPUT, 3, "x\n", 2);
    if (strcmp(lie, "ready twice") == 0) say_ready();
    if (strcmp(lie, "unknown kind") == 0) say(999, 0, NULL, 0);
    if (strcmp(lie, "answer to nothing") == 0) say(PP_SAY_DONE, 12345, NULL, 0);
}

/* Fails tasks until a chunk has leave. Returns the id of that. */
static uint64_t await_chunk(void) {
    for (uint64_t last = 0, id;;) {
        id = await_leave();
        while (last < id) {
            if (chunks[++last % COUNT(chunks)]) return last;
            say_failed(PP_SAY_FAILED, last, POOL_EDIED, 0);
        }
    }
}

static void lie_of_a_chunk(const char *lie) {
    uint64_t id = await_chunk();
    if (strcmp(lie, "chunk without its items") == 0) say(PP_SAY_DONE, id, NULL, 0);
    if (strcmp(lie, "chunk: items that it does not have") == 0) say_items(id, 1U << 15, 1, 8);
    if (strcmp(lie, "chunk: items for ever") == 0) say_items(id, UINT32_MAX, UINT32_MAX, 8);
    if (strcmp(lie, "chunk: results that are too short") == 0) say_items(id, 0, 1, 4);
    if (strcmp(lie, "chunk: an item twice") == 0) {
        say_failed(PP_SAY_ITEM_FAILED, id, POOL_EDIED, 0);
        say_items(id, 0, 1, 8);
    }
    if (strcmp(lie, "chunk: a failure of an item that it does not have") == 0)
        say_failed(PP_SAY_ITEM_FAILED, id, POOL_EDIED, 1U << 30);
}

/* Answers all but one. */
static void keep_one(void) {
    uint64_t kept = 0;
    for (uint64_t last = 0;;) {
        uint64_t id = await_leave();
        if (!kept) kept = id;
        while (last < id)
            if (++last != kept) say_failed(PP_SAY_FAILED, last, POOL_EDIED, 0);
    }
}

static void lie_at_work(const char *lie) {
    long wrong = -1;
    if (strncmp(lie, "chunk", 5) == 0) {
        lie_of_a_chunk(lie);
        return;
    }
    if (strcmp(lie, "keeps one") == 0) keep_one();
    uint64_t id = await_leave();
    bool is_chunk = chunks[id % COUNT(chunks)];
    if (strcmp(lie, "answer of another") == 0) say(PP_SAY_DONE, id + 1000, &wrong, sizeof wrong);
    if (strcmp(lie, "cancelled by nobody") == 0) say_failed(PP_SAY_FAILED, id, POOL_ECANCELLED, 0);
    if (strcmp(lie, "items of the other kind") == 0) say_items(id, 0, 1, is_chunk ? 4 : 8);
    if (strcmp(lie, "item out of range") == 0) say_failed(PP_SAY_ITEM_FAILED, id, POOL_EDIED, 1U << 30);
    if (strcmp(lie, "result that is too large") == 0) say(PP_SAY_DONE, id, "0123456789abcdef", 16);
    if (strcmp(lie, "outcome twice") == 0)
        for (int i = 0; i < 2; i++) say_failed(PP_SAY_FAILED, id, POOL_EDIED, 0);
    if (strcmp(lie, "failure that is none") == 0) say_failed(PP_SAY_FAILED, id, POOL_EFAILED, 0);
    if (strcmp(lie, "alive, then silence") == 0) wait_for_end(false);
}

/* No lie: it has more CPUs than it said, as a node has that has hosts itself. It answers nothing. */
enum { MORE_CPUS = 40 };
static void have_more(const char *lie) {
    if (strcmp(lie, "more CPUs") != 0) return;
    greet();
    say_ready();
    say(PP_SAY_CPUS, MORE_CPUS, NULL, 0);
    wait_for_end(true);
}

/* No lie: it answers chunks of one item, and of the first that has more it keeps the last item. */
static void tell_of_a_part(const char *lie) {
    if (strcmp(lie, "part") != 0) return;
    greet();
    say_ready();
    for (uint64_t last = 0;;) {
        uint64_t id = await_leave();
        while (last < id) {
            uint32_t count = chunks[++last % COUNT(chunks)];
            say_items(last, 0, count > 1 ? count - 1 : 1, 0);
            if (count > 1) wait_for_end(true);
            say(PP_SAY_DONE, last, NULL, 0);
        }
    }
}

static int lie_as(const char *lie) {
    static const struct pp_wire_limits limits = {.most = PP_MESSAGE_MOST, .gives_credit = true};
    pp_wire_begin(&wire, 0, 1, &limits, false);
    signal(SIGPIPE, SIG_DFL);
    fcntl(0, F_SETFL, O_NONBLOCK);
    have_more(lie);
    tell_of_a_part(lie);
    lie_before_the_greeting(lie);
    lie_without_work(lie);
    lie_at_work(lie);
    wait_for_end(true);
    return 0;
}

/* ---- relays: the node is honest, the way to it is not */

static void pass(int from, int to, size_t most) {
    char bytes[65536];
    ssize_t count = read(from, bytes, most < sizeof bytes ? most : sizeof bytes);
    if (count <= 0) _exit(0);
    for (ssize_t at = 0, some; at < count; at += some)
        if ((some = write(to, bytes + at, (size_t)(count - at))) < 0) _exit(0);
}

/* lie: "cut": nothing passes after a while, and nothing is closed; "slow": few bytes at a time, late; "closed": one
 * direction ends; "noise": bytes come in between. */
static int relay_as(const char *lie) {
    int to[2], from[2];
    if (pipe(to) || pipe(from)) return 1;
    signal(SIGPIPE, SIG_DFL);
    if (fork() == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 32; fd++) close(fd);
        unsetenv("LIE");
        execl("/proc/self/exe", "node", (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    bool slow = strcmp(lie, "slow") == 0, over = false;
    int64_t until = now_ms() + 700;
    for (;;) {
        if (now_ms() > until && !over && !slow) {
            over = true;
            if (strcmp(lie, "noise") == 0) put_bytes("a message of the day", 20);
            if (strcmp(lie, "closed") == 0) close(1);
        }
        bool cut = over && strcmp(lie, "cut") == 0;
        struct pollfd fds[] = {{.fd = cut ? -1 : 0, .events = POLLIN}, {.fd = cut ? -1 : from[0], .events = POLLIN}};
        poll(fds, 2, 50);
        if (slow) sleep_ms(5);
        if (fds[0].revents) pass(0, to[1], slow ? 50 : 65536);
        if (fds[1].revents) pass(from[0], 1, slow ? 50 : 65536);
    }
}

/* ---- the pool */

static char reasons[4096];
static bool is_up;

static void note_event(const struct pool_host *host, void *arg) {
    (void)arg;
    size_t length = strlen(reasons);
    is_up |= host->state == POOL_HOST_UP;
    if (host->reason && host->state != POOL_HOST_UP)
        snprintf(reasons + length, sizeof reasons - length, "%s; ", host->reason);
}

static int slow_square(const void *in, void *out) {
    sleep_ms(5);
    *(long *)out = *(const long *)in * *(const long *)in;
    return 0;
}

enum { TASKS = 60 };

/* Tasks and items until the host is lost, or for so long. None may be wrong, or fail for another reason than its host.
 */
static void work(struct pool *pool, const char *expected, int ms) {
    struct future *futures[TASKS];
    static long in[TASKS], out[TASKS];
    static int status[TASKS];
    for (int64_t until = now_ms() + ms; now_ms() < until && !(expected && strstr(reasons, expected));) {
        for (long i = 0; i < TASKS; i++) futures[i] = submit(pool, slow_square, &i, sizeof i, sizeof i);
        for (long i = 0; i < TASKS; i++) {
            long got = -2;
            struct pool_failure failure;
            int error = future_get(futures[i], &got, PATIENCE);
            assert_any_of(error, 0, POOL_EDIED);
            assert_ok(future_failure(futures[i], &failure));
            if (error) assert_contains(failure.message, "w1");
            else assert_true(got == i * i);
            future_free(futures[i]);
            in[i] = i;
        }
        struct pool_job job = {.fn = slow_square, POOL_IN(in), POOL_OUT(out), .count = TASKS, .status = status};
        int error = pool_map(pool, &job);
        assert_any_of(error, 0, POOL_EDIED);
        for (long i = 0; i < TASKS; i++) {
            assert_any_of(status[i], 0, POOL_EDIED);
            assert_true(status[i] || out[i] == i * i);
        }
    }
}

enum { SILENCE = 4000 }; /* ms, of a host that is not lost */

/* expected: a part of the reason that is told; NULL: the host is not lost. Only what the reason names has a short
 * limit, so that on a busy machine no other limit is passed first. */
static void check(const char *kind, const char *lie, const char *expected) {
    char launcher[256];
    struct pool_options options = test_options(1);
    options.hosts = "w1";
    options.launcher = launcher;
    options.host_event = note_event;
    bool is_late = expected && (strcmp(expected, "no greeting") == 0 || strcmp(expected, "not ready") == 0);
    options.host_start = is_late ? 1500 : PATIENCE;
    options.host_silence = !expected ? SILENCE : strstr(expected, "silent") ? 1000 : PATIENCE;
    snprintf(launcher, sizeof launcher, "exec env LIE='%s%s' %%c", kind, lie);
    reasons[0] = '\0';
    is_up = false;
    struct pool *pool = pool_from(&options);
    int64_t since = now_ms();
    for (; !expected && !is_up && now_ms() - since < PATIENCE; sleep_ms(1)) (void)pool_poll(pool, 0);
    assert_true(expected || is_up);
    work(pool, expected, expected ? PATIENCE : SILENCE + 1000);
    int64_t took = now_ms() - since;
    pool_destroy(pool);
    print_error("    %-50s %5d ms  %.90s\n", lie, (int)took, reasons);
    if (expected) assert_contains(reasons, expected);
    else assert_int_equal(strlen(reasons), 0);
    if (have_proc()) assert_true(no_descendants_within(getpid(), PATIENCE));
}

TEST_CASE(a_host_that_lies_costs_what_it_had_and_is_named) {
    static const struct {
        const char *lie, *reason;
    } lies[] = {{"silence", "no greeting"},
                {"flood", "no greeting"},
                {"begin of a greeting, for ever", "no greeting"},
                {"greeting of another build", "another build"},
                {"no pool", "silent for 1 s"},
                {"alive, for ever", "not ready"},
                {"greeting, for ever", "no frame"},
                {"garbage", "no frame"},
                {"length of 2 GiB", "no frame"},
                {"half a frame", "silent for 1 s"},
                {"pieces without an end", "more than what was asked"},
                {"output of no kind", "must not send"},
                {"ready twice", "READY"},
                {"unknown kind", "unknown kind"},
                {"answer to nothing", "answer to nothing"},
                {"answer of another", "answer to nothing"},
                {"cancelled by nobody", "nobody has cancelled"},
                {"items of the other kind", "it sent"},
                {"item out of range", "it sent"},
                {"result that is too large", "it sent"},
                {"outcome twice", "answer to nothing"},
                {"failure that is none", "it sent"},
                {"chunk without its items", "without its items"},
                {"chunk: items that it does not have", "it sent"},
                {"chunk: items for ever", "it sent"},
                {"chunk: results that are too short", "it sent"},
                {"chunk: an item twice", "the result of an item twice"},
                {"chunk: a failure of an item that it does not have", "it does not have"},
                {"alive, then silence", "silent for 1 s"}};
    allow_seconds(240);
    for (size_t i = 0; i < COUNT(lies); i++) check("", lies[i].lie, lies[i].reason);
}

/* ---- hosts that live, and keep what they have */

static struct pool *pool_of_liar(char *launcher, size_t room, const char *lie, int silence) {
    struct pool_options options = test_options(1);
    options.hosts = "w1";
    options.launcher = launcher;
    options.host_event = note_event;
    options.host_silence = silence;
    options.host_min = 1;
    snprintf(launcher, room, "exec env LIE='%s' %%c", lie);
    reasons[0] = '\0';
    return pool_from(&options);
}

/* A busy machine may let a time-out pass. */
static void assert_is_outcome(int error) {
    if (error) assert_any_of(error, POOL_EDIED, POOL_EDEADLINE);
}

/* Work with a time-out until the host is lost. All of it ends. */
static void check_keeping(const char *lie, bool is_map) {
    char launcher[256];
    enum { LIMIT = 300, COUNT_OF = 40 };
    struct pool *pool = pool_of_liar(launcher, sizeof launcher, lie, 500);
    int64_t since = now_ms();
    while (!strstr(reasons, "it has kept") && now_ms() < since + PATIENCE) {
        struct future *futures[COUNT_OF];
        static long in[COUNT_OF], out[COUNT_OF];
        static int status[COUNT_OF];
        for (long i = 0; i < COUNT_OF; i++) in[i] = i;
        struct pool_job job = {.fn = slow_square, POOL_IN(in), POOL_OUT(out), .count = COUNT_OF, .status = status,
                               .timeout = LIMIT};
        if (is_map) assert_is_outcome(pool_map(pool, &job));
        for (long i = 0; i < COUNT_OF && !is_map; i++) {
            struct pool_task task = {.fn = slow_square, POOL_IN(&i), .out_size = sizeof i, .timeout = LIMIT};
            assert_ok(pool_submit(pool, &task, &futures[i]));
        }
        for (long i = 0; i < COUNT_OF; i++) {
            if (!is_map) status[i] = finish(futures[i], &out[i]);
            assert_is_outcome(status[i]);
            assert_true(status[i] || out[i] == i * i);
        }
        pool_poll(pool, 0);
    }
    print_error("    %-50s %5d ms  %.90s\n", lie, (int)(now_ms() - since), reasons);
    assert_contains(reasons, "it has kept what has a time-out of 0.3 s for");
    pool_destroy(pool);
    if (have_proc()) assert_true(no_descendants_within(getpid(), 6000));
}

static struct gate *gate;
static size_t done_seen;

static int pass_gate(const void *in, void *out) {
    (void)in, (void)out;
    gate_pass(gate);
    return 0;
}

static void note_done(const struct pool_progress *progress, void *arg) {
    (void)arg;
    done_seen = progress->done;
}

/* The worker here ends no item. The host gets two items for each of its CPUs, one by one, before it has told of any;
 * what it has told of beyond those is a part of a chunk. */
TEST_CASE(items_that_a_host_has_told_of_count_before_their_chunk_ends) {
    enum { SINGLE = 4 };
    char launcher[256];
    gate = shared(sizeof *gate);
    struct pool *pool = pool_of_liar(launcher, sizeof launcher, "part", PATIENCE);
    struct pool_job job = {.fn = pass_gate, .count = 400, .progress = note_done, .progress_interval = 1};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    for (int64_t until = now_ms() + PATIENCE; done_seen <= SINGLE && now_ms() < until; sleep_ms(1)) pool_poll(pool, 0);
    assert_true(done_seen > SINGLE);
    assert_ok(future_kill(future));
    assert_code(future_get(future, NULL, PATIENCE), POOL_ECANCELLED);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_host_that_keeps_work_with_a_time_out_is_lost) {
    check_keeping("keeps all", false);
    check_keeping("keeps one", false);
    check_keeping("chunk that is kept", true);
}

static int sleep_long(const void *in, void *out) {
    (void)in, (void)out;
    sleep_ms(PATIENCE);
    return 0;
}

TEST_CASE(a_host_that_keeps_what_was_killed_is_lost) {
    char launcher[256];
    struct future *futures[8];
    struct pool_stats stats = {0};
    struct pool *pool = pool_of_liar(launcher, sizeof launcher, "keeps all", 3000);
    for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit(pool, sleep_long, NULL, 0, 0);
    for (int64_t until = now_ms() + PATIENCE; stats.running < 3 && now_ms() < until; sleep_ms(10))
        assert_ok(pool_stats(pool, &stats));
    for (size_t i = 0; i < COUNT(futures); i++) {
        future_kill(futures[i]);
        assert_code(finish(futures[i], NULL), POOL_ECANCELLED);
    }
    for (int64_t until = now_ms() + PATIENCE; !reasons[0] && now_ms() < until; sleep_ms(10)) pool_poll(pool, 0);
    assert_contains(reasons, "it has kept what was cancelled for");
    pool_destroy(pool);
    if (have_proc()) assert_true(no_descendants_within(getpid(), 6000));
}

static int sleep_for(const void *in, void *out) {
    (void)out;
    sleep_ms((int)*(const long *)in);
    return 0;
}

/* Work that may run for ever takes long, with much behind it that has a time-out: an honest host keeps nothing. */
TEST_CASE(an_honest_host_is_not_lost_however_long_its_work_takes) {
    enum { SHORT = 400 };
    struct pool_options options = test_options(1);
    options.hosts = "local:2";
    options.host_event = note_event;
    options.host_silence = 4000;
    options.host_min = 1;
    reasons[0] = '\0';
    struct pool *pool = pool_from(&options);
    struct future *futures[SHORT];
    const long durations[] = {1, 6000};
    for (size_t i = 0; i < SHORT; i++) {
        const long *duration = &durations[i == 150 || i == 151 || i == 152];
        struct pool_task task = {.fn = sleep_for, .in = duration, .in_size = sizeof *duration,
                                 .timeout = *duration > 1 ? 0 : 200};
        assert_ok(pool_submit(pool, &task, &futures[i]));
    }
    for (size_t i = 0; i < SHORT; i++) assert_is_outcome(finish(futures[i], NULL));
    pool_poll(pool, 0);
    assert_null(strstr(reasons, "kept"));
    pool_destroy(pool);
}

TEST_CASE(a_way_that_is_cut_or_full_of_noise_costs_the_host_and_a_slow_one_nothing) {
    allow_seconds(240);
    check("relay ", "cut", "silent for 1 s");
    check("relay ", "noise", "no frame");
    check("relay ", "closed", "ended");
    check("relay ", "slow", NULL);
}

TEST_CASE(a_host_whose_cpus_become_more_has_leave_to_begin_as_many_tasks) {
    struct pool_options options = test_options(1);
    options.hosts = "w1";
    options.launcher = "exec env LIE='more CPUs' %c";
    options.host_event = note_event;
    struct pool *pool = pool_from(&options);
    struct future *futures[2 * MORE_CPUS];
    for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit(pool, sleep_long, NULL, 0, 0);
    struct pool_stats stats = {0};
    for (int64_t until = now_ms() + PATIENCE; stats.running < 1 + MORE_CPUS && now_ms() < until; sleep_ms(10))
        assert_ok(pool_stats(pool, &stats));
    assert_int_equal(stats.running, 1 + MORE_CPUS); /* one of them here */
    assert_ok(pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, PATIENCE));
    for (size_t i = 0; i < COUNT(futures); i++) future_free(futures[i]);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_host_that_lies_costs_what_it_had_and_is_named),
        TEST(items_that_a_host_has_told_of_count_before_their_chunk_ends),
        TEST(a_host_that_keeps_work_with_a_time_out_is_lost),
        TEST(a_host_that_keeps_what_was_killed_is_lost),
        TEST(an_honest_host_is_not_lost_however_long_its_work_takes),
        TEST(a_host_whose_cpus_become_more_has_leave_to_begin_as_many_tasks),
        TEST(a_way_that_is_cut_or_full_of_noise_costs_the_host_and_a_slow_one_nothing),
    };
    const char *lie = getenv("LIE");
    if (lie && strncmp(lie, "relay ", 6) == 0) return relay_as(lie + 6);
    if (lie) return lie_as(lie);
    if (pool_serve(argc, argv)) return 1;
    return run_group("hosts_liars", tests, COUNT(tests), argc, argv);
}
