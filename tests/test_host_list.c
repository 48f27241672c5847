/* Lists of hosts: what they mean, and which are refused. */
#include "remote/hosts.h"

#include "support.h"

#define ROOM 512

/* The list as text: name:cpus, with l for local and s for Slurm; or the error's text behind "!". */
static const char *parsed(const char *list) {
    static char text[16 * ROOM];
    char why[ROOM] = "";
    struct pp_hosts hosts;
    int error = pp_hosts_parse(list, &hosts, why, sizeof why);
    size_t size = 0;
    text[0] = 0;
    if (error) {
        assert_code(error, POOL_EINVAL);
        assert_int_equal(hosts.count, 0);
        snprintf(text, sizeof text, "!%s", why);
    }
    for (size_t i = 0; i < hosts.count && size < sizeof text; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s:%d%s%s", i ? " " : "", hosts.list[i].name,
                                 hosts.list[i].cpus, hosts.list[i].local ? "l" : "", hosts.list[i].slurm ? "s" : "");
    pp_hosts_release(&hosts);
    return text;
}

TEST_CASE(no_list_has_no_hosts) {
    assert_string_equal(parsed(NULL), "");
    assert_string_equal(parsed(""), "");
    assert_string_equal(parsed(" , ,"), "");
}

TEST_CASE(names_users_and_cpus) {
    assert_string_equal(parsed("w1,alice@w2:16 w3.example.org"), "w1:0 alice@w2:16 w3.example.org:0");
    assert_string_equal(parsed("local:4,local,local:4"), "local:4l local:0l local:4l");
    assert_string_equal(parsed("w1,w1"), "w1:2");
    assert_string_equal(parsed("w1:2,w2,w1:3"), "w1:5 w2:0");
}

TEST_CASE(ranges_keep_their_width) {
    assert_string_equal(parsed("w[1-3,07-09]"), "w1:0 w2:0 w3:0 w07:0 w08:0 w09:0");
    assert_string_equal(parsed("n[008-010]:4,x"), "n008:4 n009:4 n010:4 x:0");
    assert_string_equal(parsed("r[1-2]n[3-4]-ib"), "r1n3-ib:0 r1n4-ib:0 r2n3-ib:0 r2n4-ib:0");
    assert_string_equal(parsed("w[5]"), "w5:0");
}

TEST_CASE(addresses_in_brackets) {
    assert_string_equal(parsed("[::1]"), "::1:0");
    assert_string_equal(parsed("alice@[fe80::1%eth0]:8"), "alice@fe80::1%eth0:8");
    assert_string_equal(parsed("::1"), "::1:0");
}

TEST_CASE(what_is_no_host_is_refused_by_name) {
    static const char *const wrong[] = {"-oProxyCommand=x", "a@-w", "w1:0", "w1:x", "w1:", "w[1-", "w[]", "w[a]",
                                        "w[3-1]", "w[1-99999999]", "w1;reboot", "$(reboot)", "w`x`", "@", "w[1,]",
                                        "alice@", "w1:99999999", "[::1]x", "w'", "w\"", "w[1-9", "w\\", "w|x", "w\x7f"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        if (parsed(wrong[i])[0] != '!') print_error("\"%s\" is taken for \"%s\"\n", wrong[i], parsed(wrong[i]));
        assert_int_equal(parsed(wrong[i])[0], '!');
    }
    assert_contains(parsed("w1,w2:no"), "w2");
    assert_contains(parsed("@/nowhere/at/all"), "/nowhere/at/all");
    assert_contains(parsed("w[1-9999]x[1-9999]"), "more than");
}

static void write_file(char path[TEMPORARY_ROOM], const char *text) {
    temporary_name(path);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

TEST_CASE(files_have_a_host_a_line) {
    char path[TEMPORARY_ROOM], list[TEMPORARY_ROOM + 1];
    write_file(path, "# all of ours\nw1 slots=2\n\n  w2:3   \nw3 # the new one\r\nw4\nw4\nw[5-6] slots=2\n");
    snprintf(list, sizeof list, "@%s", path);
    assert_string_equal(parsed(list), "w1:2 w2:3 w3:0 w4:2 w5:2 w6:2");
    unlink(path);
}

static void clear_batch(void) {
    static const char *const names[] = {"SLURM_JOB_NODELIST", "SLURM_JOB_CPUS_PER_NODE", "SLURM_STEP_NUM_TASKS",
                                        "SLURMD_NODENAME", "PBS_NODEFILE", "LSB_MCPU_HOSTS", "PE_HOSTFILE"};
    for (size_t i = 0; i < COUNT(names); i++) unsetenv(names[i]);
}

TEST_CASE(slurm_tells_hosts_and_cpus) {
    clear_batch();
    assert_contains(parsed("slurm"), "SLURM_JOB_NODELIST");
    assert_string_equal(parsed("auto"), "");
    setenv("SLURM_JOB_NODELIST", "n[008-010],x", 1);
    setenv("SLURM_JOB_CPUS_PER_NODE", "4,2(x2),1", 1);
    assert_string_equal(parsed("slurm"), "n008:4s n009:2s n010:2s x:1s");
    setenv("SLURMD_NODENAME", "n009", 1); /* the program's own: it has workers there anyway */
    assert_string_equal(parsed("auto,y"), "n008:4s n010:2s x:1s y:0");
    setenv("SLURM_STEP_NUM_TASKS", "16", 1);
    assert_contains(parsed("slurm"), "one of 16 tasks of srun");
    clear_batch();
}

TEST_CASE(other_batch_systems_do_too) {
    clear_batch();
    char path[TEMPORARY_ROOM];
    write_file(path, "w1\nw1\nw2\n");
    setenv("PBS_NODEFILE", path, 1);
    assert_string_equal(parsed("auto"), "w1:2 w2:1");
    clear_batch();
    setenv("LSB_MCPU_HOSTS", "w1 4 w2 8", 1);
    assert_string_equal(parsed("auto"), "w1:4 w2:8");
    setenv("LSB_MCPU_HOSTS", "w1 4 w2", 1);
    assert_contains(parsed("auto"), "LSB_MCPU_HOSTS");
    clear_batch();
    unlink(path);
    write_file(path, "w1 4 all.q@w1 <NULL>\nw2 2 all.q@w2 UNDEFINED\n");
    setenv("PE_HOSTFILE", path, 1);
    assert_string_equal(parsed("auto"), "w1:4 w2:2");
    clear_batch();
    unlink(path);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(no_list_has_no_hosts),
        TEST(names_users_and_cpus),
        TEST(ranges_keep_their_width),
        TEST(addresses_in_brackets),
        TEST(what_is_no_host_is_refused_by_name),
        TEST(files_have_a_host_a_line),
        TEST(slurm_tells_hosts_and_cpus),
        TEST(other_batch_systems_do_too),
    };
    return run_group("host_list", tests, COUNT(tests), argc, argv);
}
