/* Launchers: their commands, what they start, and how they end. */
#include "remote/launch.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "support.h"

#define ROOM 4096

static char *arguments[] = {NULL, "a b", "it's", "$HOME \"x\" *;", "", NULL};

/* What a node of these tests says of itself. */
static int be_node(int argc, char **argv) {
    char directory[ROOM] = "";
    const char *given = getenv("GIVEN"), *other = getenv("OTHER");
    printf("node %s", getenv(PP_NODE_VARIABLE));
    for (int i = 1; i < argc; i++) printf(" <%s>", argv[i]);
    printf(" in %s, GIVEN=%s", getcwd(directory, sizeof directory), given ? given : "-");
    printf(" OTHER=%s\n", other ? other : "-");
    return 7;
}

static struct pp_launch started(const struct pp_launch_setup *setup, const struct pp_host_entry *host) {
    struct pp_launch launch;
    char why[ROOM] = "";
    int error = pp_launch_start(setup, host, &launch, why, sizeof why);
    if (error) print_error("%s\n", why);
    assert_ok(error);
    return launch;
}

/* All that the launcher prints; sends the program first if that is to be sent. Closes the launch and tells its end. */
static void read_all(struct pp_launch *launch, char *text, char *how) {
    size_t size = 0;
    ssize_t got = 1;
    while (got != 0 && size < ROOM - 1) {
        bool ships = launch->program >= 0;
        struct pollfd fds[] = {{.fd = launch->out, .events = POLLIN},
                               {.fd = ships ? launch->in : -1, .events = POLLOUT}};
        assert_true(pp_poll(fds, 2, pp_now() + 20000000000U) > 0);
        if (ships && fds[1].revents && !pp_launch_ship(launch)) pp_close(&launch->program);
        got = pp_read(launch->out, text + size, ROOM - 1 - size);
        if (got > 0) size += (size_t)got;
    }
    text[size] = 0;
    for (int i = 0; i < 2000 && !pp_launch_has_ended(launch, how, ROOM); i++) sleep_ms(10);
    assert_int_equal(launch->pid, 0);
    pp_launch_close(launch);
}

static const struct pp_host_entry w1 = {.name = "alice@w1", .cpus = 16}, here = {.name = "local", .local = true};

TEST_CASE(a_template_names_host_and_cpus) {
    char text[ROOM], how[ROOM];
    struct pp_launch launch = started(&(struct pp_launch_setup){.launcher = "echo %h has %n%%"}, &w1);
    read_all(&launch, text, how);
    assert_string_equal(text, "alice@w1 has 16%\n");
    assert_string_equal(how, "ended with 0");
}

static void expect_node(const struct pp_launch_setup *setup, const struct pp_host_entry *host, const char *variables) {
    char text[ROOM], how[ROOM], directory[ROOM / 2] = "", expected[ROOM], first[] = "a b";
    char *passed[COUNT(arguments)];
    memcpy(passed, arguments, sizeof passed);
    passed[1] = first;
    assert_true(pp_program_note((int)COUNT(passed) - 1, passed));
    first[0] = 'x'; /* the program may do what it likes with its own */
    passed[2] = passed[1];
    struct pp_launch launch = started(setup, host);
    read_all(&launch, text, how);
    snprintf(expected, sizeof expected, "node 1 <a b> <it's> <$HOME \"x\" *;> <> in %s, %s\n",
             getcwd(directory, sizeof directory), variables);
    if (strcmp(text, expected)) print_error("\"%s\" instead of \"%s\"\n", text, expected);
    assert_string_equal(text, expected);
    assert_string_equal(how, "ended with 7");
}

TEST_CASE(the_command_is_words_for_a_launcher_that_starts_programs) {
    setenv("GIVEN", "of here; it's", 1);
    expect_node(&(struct pp_launch_setup){.launcher = "%c", .env = "GIVEN,OTHER=a b"}, &w1,
                "GIVEN=of here; it's OTHER=a b");
    expect_node(&(struct pp_launch_setup){.launcher = "exec env A=1 %c"}, &w1, "GIVEN=of here; it's OTHER=-");
}

TEST_CASE(the_command_is_one_word_for_a_shell) {
    expect_node(&(struct pp_launch_setup){.launcher = "sh -c %c", .env = "OTHER=x'y"}, &w1,
                "GIVEN=of here; it's OTHER=x'y");
    expect_node(&(struct pp_launch_setup){.launcher = "env -u GIVEN sh -c %c", .env = "OTHER="}, &w1,
                "GIVEN=- OTHER=");
}

/* ssh joins its arguments with blanks, and a shell on the other side parses them again. */
TEST_CASE(what_ssh_is_given_passes_through_a_second_shell) {
    char directory[TEMPORARY_ROOM], path[2 * TEMPORARY_ROOM], launcher[3 * TEMPORARY_ROOM];
    temporary_name(directory);
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/ssh", directory);
    FILE *script = fopen(path, "w");
    assert_non_null(script);
    fputs("#!/bin/sh\nshift\ncd /\nexec sh -c \"$*\"\n", script);
    fclose(script);
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(launcher, sizeof launcher, "%s %%h %%c", path);
    expect_node(&(struct pp_launch_setup){.launcher = launcher, .env = "OTHER=a b"}, &w1,
                "GIVEN=of here; it's OTHER=a b");
    unlink(path);
    rmdir(directory);
}

TEST_CASE(a_local_node_needs_no_launcher) {
    expect_node(&(struct pp_launch_setup){.launcher = "false"}, &here, "GIVEN=of here; it's OTHER=-");
    expect_node(&(struct pp_launch_setup){.env = "OTHER=a b, GIVEN=x,HOME"}, &here, "GIVEN=x OTHER=a b");
}

TEST_CASE(the_program_itself_can_be_sent) {
    if (!LINUX) skip(); /* it is started by /proc/self/fd */
    expect_node(&(struct pp_launch_setup){.launcher = "sh -c %c", .ship = true}, &w1, "GIVEN=of here; it's OTHER=-");
    expect_node(&(struct pp_launch_setup){.launcher = "%c", .ship = true, .env = "TMPDIR=/nowhere"}, &w1,
                "GIVEN=of here; it's OTHER=-");
}

TEST_CASE(a_program_that_cannot_be_sent_leaves_nothing) {
    char text[ROOM], how[ROOM];
    struct pp_launch launch = started(&(struct pp_launch_setup){.launcher = "false %c", .ship = true}, &w1);
    read_all(&launch, text, how);
    assert_string_equal(text, "");
    assert_string_equal(how, "ended with 1");
}

/* As on a full disk: a file may have a few blocks, or not even the first. */
TEST_CASE(a_program_that_finds_no_room_says_so_and_leaves_nothing) {
    if (!LINUX) skip();
    char text[ROOM], how[ROOM];
    struct pp_launch launch = started(&(struct pp_launch_setup){.launcher = "trap '' XFSZ; ulimit -f 8; sh -c %c",
                                                                .ship = true}, &w1);
    read_all(&launch, text, how);
    assert_contains(text, "parpool: no room for the program in ");
    assert_contains(text, "File too large");
    assert_string_equal(how, "ended with 74");
    launch = started(&(struct pp_launch_setup){.launcher = "trap '' XFSZ; ulimit -f 0; sh -c %c", .ship = true}, &w1);
    read_all(&launch, text, how);
    assert_contains(text, "parpool: no directory takes a program here: ");
    assert_contains(text, "File too large");
    assert_string_equal(how, "ended with 74");
}

TEST_CASE(what_is_no_template_is_refused) {
    static const struct pp_launch_setup wrong[] = {{.launcher = "ssh %x"}, {.launcher = "ssh %"},
                                                   {.launcher = "ssh %h %c", .env = "1A=x"},
                                                   {.launcher = "ssh %h %c", .env = "A;reboot"},
                                                   {.launcher = "ssh %h %c", .env = "=x"}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct pp_launch launch;
        char why[ROOM] = "";
        assert_code(pp_launch_start(&wrong[i], &w1, &launch, why, sizeof why), POOL_EINVAL);
        assert_contains(why, "host_env");
    }
}

TEST_CASE(a_signal_reaches_the_whole_group) {
    char text[ROOM], how[ROOM];
    struct pp_launch launch = started(&(struct pp_launch_setup){.launcher = "sleep 600 & echo on; wait"}, &w1);
    struct pollfd out = {.fd = launch.out, .events = POLLIN};
    assert_true(pp_poll(&out, 1, pp_now() + 20000000000U) > 0);
    pp_launch_signal(&launch, SIGKILL);
    read_all(&launch, text, how); /* ends only if no process is left that could write */
    assert_string_equal(text, "on\n");
    assert_string_equal(how, "was killed by signal 9");
}

int main(int argc, char **argv) {
    if (getenv(PP_NODE_VARIABLE)) return be_node(argc, argv);
    arguments[0] = argv[0];
    signal(SIGPIPE, SIG_IGN);
    static const struct CMUnitTest tests[] = {
        TEST(a_template_names_host_and_cpus),
        TEST(the_command_is_words_for_a_launcher_that_starts_programs),
        TEST(the_command_is_one_word_for_a_shell),
        TEST(what_ssh_is_given_passes_through_a_second_shell),
        TEST(a_local_node_needs_no_launcher),
        TEST(the_program_itself_can_be_sent),
        TEST(a_program_that_cannot_be_sent_leaves_nothing),
        TEST(a_program_that_finds_no_room_says_so_and_leaves_nothing),
        TEST(what_is_no_template_is_refused),
        TEST(a_signal_reaches_the_whole_group),
    };
    return run_group("launch", tests, COUNT(tests), argc, argv);
}
