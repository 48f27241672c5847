/* What tasks print, with pool_options.capture. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>

enum { ITEMS = 200, WIDE = 9000, LONG = 30000 };

/* ---- stdout and stderr of the program, which go to files while a test runs */

static struct caught {
    int kept[2], files[2];
    char *text[2]; /* what was written there */
} caught;

static void catch_output(void) {
    fflush(stdout);
    for (int side = 0; side < 2; side++) {
        char name[TEMPORARY_ROOM];
        temporary_name(name);
        caught.kept[side] = dup(STDOUT_FILENO + side);
        caught.files[side] = mkstemp(name);
        unlink(name);
        assert_true(caught.kept[side] >= 0 && caught.files[side] >= 0);
        dup2(caught.files[side], STDOUT_FILENO + side);
    }
}

static void release_output(void) {
    fflush(stdout);
    for (int side = 0; side < 2; side++) {
        off_t size = lseek(caught.files[side], 0, SEEK_END);
        dup2(caught.kept[side], STDOUT_FILENO + side);
        close(caught.kept[side]);
        caught.text[side] = calloc(1, (size_t)size + 1);
        ssize_t got = pread(caught.files[side], caught.text[side], (size_t)size, 0);
        close(caught.files[side]);
        if (got != size) abort();
    }
}

static void forget_output(void) {
    free(caught.text[0]);
    free(caught.text[1]);
}

static size_t count_lines(const char *text) {
    size_t lines = 0;
    while ((text = strchr(text, '\n')) != NULL) lines++, text++;
    return lines;
}

/* Whether the text has this line, whose tag is of that function and item. */
static bool has_line(const char *text, const char *function, size_t item, const char *line) {
    char expected[300];
    if (LINUX) snprintf(expected, sizeof expected, "[%s %zu] %s\n", function, item, line);
    else snprintf(expected, sizeof expected, " %zu] %s\n", item, line); /* only Linux has names */
    size_t length = strlen(expected);
    for (const char *at = text; (at = strstr(at, expected)) != NULL; at += length)
        if (!LINUX || at == text || at[-1] == '\n') return true;
    return false;
}

static struct pool *capturing_pool(int workers) {
    struct pool_options options = test_options(workers);
    options.capture = true;
    return pool_from(&options);
}

/* ---- lines and tags */

static int say(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() % 10 == 3) return 0;
    printf("value %zu\n", task_index());
    fprintf(stderr, "warning %zu\nno end", task_index());
    if (task_index() % 10 == 4) return 7;
    return 0;
}

TEST_CASE(each_line_has_the_function_and_the_item_that_printed_it) {
    for (size_t chunk = 0; chunk <= 7; chunk += 7)
        for (int timeout = 0; timeout <= PATIENCE; timeout += PATIENCE) {
            catch_output();
            struct pool *pool = capturing_pool(2);
            int outcome = pool_map(pool, &(struct pool_job){.fn = say, .count = ITEMS, .chunk = chunk,
                                                            .timeout = timeout});
            pool_destroy(pool);
            release_output();
            assert_code(outcome, POOL_EFAILED);
            assert_int_equal(count_lines(caught.text[0]), ITEMS - ITEMS / 10);
            assert_int_equal(count_lines(caught.text[1]), 2 * (ITEMS - ITEMS / 10));
            for (size_t i = 0; i < ITEMS; i++) {
                char line[64];
                snprintf(line, sizeof line, "value %zu", i);
                assert_int_equal(has_line(caught.text[0], "say", i, line), i % 10 != 3);
                snprintf(line, sizeof line, "warning %zu", i);
                assert_int_equal(has_line(caught.text[1], "say", i, line), i % 10 != 3);
                assert_int_equal(has_line(caught.text[1], "say", i, "no end"), i % 10 != 3);
            }
            forget_output();
        }
}

static int say_all(const void *in, void *out, size_t count) {
    (void)in, (void)out;
    for (size_t i = 0; i < count; i++) printf("value %zu\n", task_index() + i);
    if (task_index() <= 150 && task_index() + count > 150) raise(SIGSEGV);
    return 0;
}

TEST_CASE(lines_of_a_block_function_have_the_first_item_of_its_call) {
    struct pool_failure why;
    catch_output();
    struct pool *pool = capturing_pool(2);
    int outcome = pool_map(pool, &(struct pool_job){.block = say_all, .count = ITEMS, .failure = &why});
    pool_destroy(pool);
    release_output();
    assert_code(outcome, POOL_EDIED);
    assert_int_equal(why.index, 150);
    assert_contains(why.message, "; it said: value 150");
    assert_true(has_line(caught.text[0], "say_all", 150, "value 150"));
    assert_true(count_lines(caught.text[0]) >= ITEMS);
    forget_output();
}

static int say_much(const void *in, void *out) {
    (void)out;
    char *wide = malloc(WIDE);
    if (!wide) return 1;
    memset(wide, 'w', WIDE - 1);
    wide[WIDE - 1] = '\0';
    printf("%s\n", wide);
    free(wide);
    for (int i = 0; i < *(const int *)in; i++) printf("line %d\n", i);
    return 0;
}

TEST_CASE(nothing_of_a_large_output_is_lost) {
    const int lines = LONG;
    catch_output();
    struct pool *pool = capturing_pool(2);
    struct future *futures[4];
    int outcomes[4];
    for (int i = 0; i < 4; i++) futures[i] = submit(pool, say_much, &lines, sizeof lines, 0);
    for (int i = 0; i < 4; i++) outcomes[i] = finish(futures[i], NULL);
    pool_destroy(pool);
    release_output();
    for (int i = 0; i < 4; i++) assert_ok(outcomes[i]);
    assert_int_equal(count_lines(caught.text[0]), 4 * (LONG + 1));
    /* A line that is too long for a pipe to take as a whole may have others within it. */
    size_t wide = 0, last = 0;
    for (const char *at = caught.text[0]; *at; at++) wide += *at == 'w';
    assert_int_equal(wide, 4 * (WIDE - 1));
    for (const char *at = caught.text[0]; (at = strstr(at, "line 29999\n")) != NULL; at++) last++;
    assert_int_equal(last, 4);
    forget_output();
}

static int run_commands(const void *in, void *out) {
    (void)in, (void)out;
    return system("echo from a child; echo and its errors >&2") == 0 ? 0 : 1;
}

static int start_aloud(void *arg) {
    (void)arg;
    printf("begin\n");
    return 0;
}

static void end_aloud(void *arg) {
    (void)arg;
    printf("end\n");
}

TEST_CASE(children_initializer_and_finalizer_are_caught_too) {
    catch_output();
    struct pool_options options = test_options(1);
    options.capture = true;
    options.initializer = start_aloud;
    options.finalizer = end_aloud;
    struct pool *pool = pool_from(&options);
    int outcome = finish(submit(pool, run_commands, NULL, 0, 0), NULL);
    pool_shutdown(pool, 0, PATIENCE);
    pool_destroy(pool);
    release_output();
    assert_ok(outcome);
    assert_true(has_line(caught.text[0], "run_commands", 0, "from a child"));
    assert_true(has_line(caught.text[1], "run_commands", 0, "and its errors"));
    assert_contains(caught.text[0], "[worker 0] begin\n");
    assert_contains(caught.text[0], "[worker 0] end\n");
    forget_output();
}

TEST_CASE(without_the_option_and_in_other_backends_output_is_as_ever) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        catch_output();
        struct pool_options options = test_options(1);
        options.backend = backend;
        options.capture = backend != POOL_PROCESSES;
        struct pool *pool = pool_from(&options);
        int outcome = finish(submit(pool, run_commands, NULL, 0, 0), NULL);
        pool_destroy(pool);
        release_output();
        assert_ok(outcome);
        assert_int_equal(strcmp(caught.text[0], "from a child\n"), 0);
        assert_int_equal(strcmp(caught.text[1], "and its errors\n"), 0);
        forget_output();
    }
}

/* ---- what a victim has said last */

static int say_and_die(const void *in, void *out) {
    int how = *(const int *)in;
    (void)out;
    if (how < 0) return 0;
    printf("reading\nline of stdout\n");
    if (how % 2) fprintf(stderr, "the\tlast of stderr\n\n");
    switch (how / 2) {
    case 0: raise(SIGSEGV); break;
    case 1: _exit(3);
    case 2: abort();
    default: forever_task(NULL, NULL);
    }
    return 0;
}

static int exit_silently(const void *in, void *out) {
    (void)in, (void)out;
    _exit(5);
}

static void check_said(const struct pool_failure *failure, int how, int error) {
    assert_code(failure->error, error);
    assert_contains(failure->message, how % 2 ? "; it said: the\\tlast of stderr" : "; it said: line of stdout");
}

TEST_CASE(the_last_line_of_a_victim_is_in_the_message_of_its_failure) {
    for (int how = 0; how < 8; how++) {
        int in[5] = {-1, -1, how, -1, -1}, error = how / 2 == 3 ? POOL_EDEADLINE : POOL_EDIED;
        int timeout = how / 2 == 3 ? 1000 : 0;
        struct pool_failure item, task, other;
        struct future *future;
        catch_output();
        struct pool *pool = capturing_pool(2);
        pool_map(pool, &(struct pool_job){.fn = say_and_die, POOL_IN(in), .count = 5, .chunk = how % 4 ? 5 : 1,
                                          .timeout = timeout, .failure = &item});
        pool_submit(pool, &(struct pool_task){.fn = say_and_die, .in = &in[2], .in_size = sizeof in[2],
                                              .timeout = timeout}, &future);
        future_get(future, NULL, PATIENCE);
        future_failure(future, &task);
        future_free(future);
        future = submit(pool, exit_silently, NULL, 0, 0);
        future_get(future, NULL, PATIENCE);
        future_failure(future, &other);
        future_free(future);
        pool_destroy(pool);
        release_output();
        check_said(&item, how, error);
        check_said(&task, how, error);
        assert_int_equal(item.index, 2);
        assert_null(strstr(other.message, "it said"));
        assert_true(has_line(caught.text[0], "say_and_die", 2, "line of stdout"));
        assert_true(has_line(caught.text[0], "say_and_die", 0, "line of stdout"));
        assert_int_equal(has_line(caught.text[1], "say_and_die", 2, "the\tlast of stderr"), how % 2);
        forget_output();
    }
}

TEST_CASE(what_nobody_reads_holds_no_time_out_up) {
    int in = 1, ends[2], kept = dup(STDERR_FILENO);
    char filling[4096] = "";
    assert_ok(pipe(ends));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], filling, sizeof filling) > 0) continue;
    fcntl(ends[1], F_SETFL, 0);
    dup2(ends[1], STDERR_FILENO);
    struct pool *pool = capturing_pool(2);
    dup2(kept, STDERR_FILENO);
    struct future *dies, *hangs;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = say_and_die, POOL_IN(&in)}, &dies));
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = forever_task, .timeout = 100}, &hangs));
    assert_code(finish(dies, NULL), POOL_EDIED);
    assert_code(finish(hangs, NULL), POOL_EDEADLINE);
    pool_destroy(pool);
    close(kept);
    close(ends[0]);
    close(ends[1]);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(each_line_has_the_function_and_the_item_that_printed_it),
        TEST(lines_of_a_block_function_have_the_first_item_of_its_call),
        TEST(nothing_of_a_large_output_is_lost),
        TEST(children_initializer_and_finalizer_are_caught_too),
        TEST(without_the_option_and_in_other_backends_output_is_as_ever),
        TEST(the_last_line_of_a_victim_is_in_the_message_of_its_failure),
        TEST(what_nobody_reads_holds_no_time_out_up),
    };
    return run_group("capture", tests, COUNT(tests), argc, argv);
}
