/* Pools with hosts beside this one. The hosts are nodes on this machine, local:N, which need no launcher: this program
 * once more, which serves. Tasks tell by an environment variable where they run. What they pass to the test, beside
 * their results, goes through files, since nodes share no memory with it. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "support.h"

static struct pool *hosted(int workers, const char *hosts, int least) {
    struct pool_options options = test_options(workers);
    options.hosts = hosts;
    options.host_min = least;
    options.host_start = PATIENCE;
    return pool_from(&options);
}

/* ---- tasks */

struct where {
    int there;
    pid_t pid;
    size_t index;
    uint64_t seed;
};

/* in: ms for which it runs. */
static int where_task(const void *in, void *out) {
    sleep_ms(*(const int *)in);
    *(struct where *)out = (struct where){this_node != 0, getpid(), task_index(), task_seed()};
    return 0;
}

static int mixed_task(const void *in, void *out) {
    uint64_t x = *(const uint64_t *)in;
    *(uint64_t *)out = scramble(x) ^ task_seed();
    return 0;
}

static int failing_task(const void *in, void *out) {
    (void)out;
    long x = *(const long *)in;
    sleep_ms(2);
    if (x % 3 == 0) return task_fail(7, "no luck with %ld", x);
    if (x % 3 == 1) abort();
    return 0;
}

/* The other of two: dies there, but never here. */
static int dies_there_task(const void *in, void *out) {
    sleep_ms(5);
    if (this_node) raise(SIGKILL);
    *(long *)out = *(const long *)in;
    return 0;
}

static int forever_there_task(const void *in, void *out) {
    (void)in, (void)out;
    for (;;) sleep_ms(1000);
    return 0;
}

static int resized_task(const void *in, void *out) {
    size_t size = *(const size_t *)in;
    fill(out, size, size);
    task_resize(size);
    return 0;
}

/* A part is a sum that depends on the order of its items. */
struct part {
    double sum;
    long items, there;
};

static int part_task(const void *in, void *out) {
    sleep_ms(1);
    if (*(const long *)in < 0) return task_fail(5, "item %zu", task_index());
    *(struct part *)out = (struct part){1.0 / (double)(3 + *(const long *)in + *(const long *)task_context()) +
                                        (double)(task_seed() % 1000), 1, this_node != 0};
    return 0;
}

static int part_block(const void *in, size_t count, void *out) {
    struct part *part = out;
    const long *x = in;
    sleep_ms(1);
    *part = (struct part){0, (long)count, this_node ? (long)count : 0};
    for (size_t i = 0; i < count; i++) part->sum = part->sum * 0.75 + (double)x[i];
    return 0;
}

static int join_parts(void *result, const void *right) {
    struct part *l = result;
    const struct part *r = right;
    *l = (struct part){l->sum * 0.5 + r->sum, l->items + r->items, l->there + r->there};
    return 0;
}

/* ---- tests */

static struct part reduce_with(struct pool *pool, const long *in, size_t count, bool blocks) {
    static const long context = 17;
    struct part part;
    struct pool_reduction reduction = {.combine = join_parts, .in = in, .in_size = sizeof *in, .count = count,
                                       .chunk = 3, POOL_OUT(&part), .seed = 4, .context = &context,
                                       .context_size = sizeof context};
    if (blocks) reduction.block = part_block;
    else reduction.fn = part_task;
    assert_ok(pool_reduce(pool, &reduction));
    assert_int_equal(part.items, count);
    return part;
}

TEST_CASE(reductions_run_on_hosts_and_give_the_same_bits) {
    enum { ITEMS = 400 };
    static long items[ITEMS];
    for (long i = 0; i < ITEMS; i++) items[i] = i * i % 101;
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:2 local:2", 2), *here = pool_of(2);
    long *in_arena = pool_alloc(pool, sizeof items);
    memcpy(in_arena, items, sizeof items);
    for (int blocks = 0; blocks < 2; blocks++) {
        struct part wanted = reduce_with(here, items, ITEMS, blocks);
        struct part got = reduce_with(pool, items, ITEMS, blocks);
        *gate = (struct gate){0};
        struct future *kept = hold_here(pool, gate, NULL);
        struct part again = reduce_with(pool, in_arena, ITEMS, blocks);
        release_here(gate, kept);
        assert_memory_equal(&wanted.sum, &got.sum, sizeof got.sum);
        assert_memory_equal(&wanted.sum, &again.sum, sizeof got.sum);
        assert_int_equal(again.there, ITEMS);
    }
    pool_destroy(here);
    pool_destroy(pool);
}

TEST_CASE(a_reduction_that_fails_on_a_host_names_the_item) {
    static long items[200];
    static const long context = 17;
    struct pool *pool = hosted(1, "local:2", 1);
    for (int at = 0; at < 200; at += 19) {
        struct pool_failure failure;
        struct part part;
        memset(items, 0, sizeof items);
        items[at] = -1;
        struct pool_reduction reduction = {.fn = part_task, .combine = join_parts, POOL_IN(items), .count = 200,
                                           .chunk = 4, POOL_OUT(&part), .failure = &failure, .context = &context,
                                           .context_size = sizeof context};
        assert_code(pool_reduce(pool, &reduction), POOL_EFAILED);
        assert_int_equal(failure.index, at);
        assert_int_equal(failure.code, 5);
        char text[32];
        snprintf(text, sizeof text, "item %d", at);
        assert_contains(failure.message, text);
    }
    pool_destroy(pool);
}

TEST_CASE(tasks_run_here_and_on_hosts) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:2", 1);
    struct future *futures[60], *kept = hold_here(pool, gate, NULL); /* which runs here */
    int ms = 10;
    for (size_t i = 0; i < COUNT(futures); i++)
        futures[i] = submit(pool, where_task, &ms, sizeof ms, sizeof(struct where));
    int there = 0;
    for (size_t i = 0; i < COUNT(futures); i++) {
        struct where where;
        assert_ok(finish(futures[i], &where));
        there += where.there;
    }
    assert_int_equal(there, COUNT(futures));
    release_here(gate, kept);
    pool_destroy(pool);
}

static void run_short_tasks(struct pool *pool, struct pool *here, size_t count) {
    struct future **futures = calloc(count, sizeof *futures);
    for (uint64_t i = 0; i < count; i++) {
        struct pool_task task = {.fn = mixed_task, POOL_IN(&i), .out_size = sizeof i, .seed = i};
        assert_ok(pool_submit(pool, &task, &futures[i]));
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t got, wanted;
        assert_ok(finish(futures[i], &got));
        if (i % 1000) continue;
        struct future *future;
        struct pool_task task = {.fn = mixed_task, POOL_IN(&i), .out_size = sizeof i, .seed = i};
        assert_ok(pool_submit(here, &task, &future));
        assert_ok(finish(future, &wanted));
        assert_true(got == wanted);
    }
    free(futures);
}

static int say_task(const void *in, void *out) {
    (void)out;
    sleep_ms(5);
    printf("task %d says so\n", *(const int *)in);
    return 0;
}

static bool is_in(FILE *file, const char *line) {
    char text[16384];
    ssize_t size = pread(fileno(file), text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return strstr(text, line) != NULL;
}

TEST_CASE(what_a_task_prints_on_a_host_is_written_before_its_outcome_is_there) {
    int out = dup(1);
    FILE *file = tmpfile();
    fflush(stdout);
    dup2(fileno(file), 1);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:2", 1);
    struct future *futures[60], *kept = hold_here(pool, gate, NULL);
    for (int i = 0; i < (int)COUNT(futures); i++) futures[i] = submit(pool, say_task, &i, sizeof i, 0);
    int said = 0;
    for (int i = 0; i < (int)COUNT(futures); i++) {
        char line[32];
        snprintf(line, sizeof line, "task %d says so\n", i);
        int error = future_get(futures[i], NULL, PATIENCE);
        said += error == 0 && is_in(file, line);
        future_free(futures[i]);
    }
    bool tagged = is_in(file, "local: task ");
    release_here(gate, kept);
    pool_destroy(pool);
    dup2(out, 1);
    close(out);
    fclose(file);
    assert_int_equal(said, (int)COUNT(futures));
    assert_true(tagged);
}

/* Nodes do not have it, though this pool does. */
TEST_CASE(a_function_of_a_library_that_was_loaded_after_pool_serve_stays_here) {
    void *library = dlopen(LATE, RTLD_NOW), *address = library ? dlsym(library, "late_task") : NULL;
    if (!address) return; /* a static program loads none */
    pool_fn *late_task;
    memcpy(&late_task, &address, sizeof late_task);
    struct pool *pool = hosted(1, "local:2", 1);
    int in[200], out[200];
    struct future *futures[COUNT(in)];
    for (int i = 0; i < (int)COUNT(in); i++) in[i] = i;
    for (size_t i = 0; i < COUNT(in); i++) futures[i] = submit(pool, late_task, &in[i], sizeof in[i], sizeof in[i]);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = late_task, POOL_IN(in), POOL_OUT(out), .count = COUNT(in)}));
    for (size_t i = 0; i < COUNT(in); i++) {
        int got = 0;
        assert_ok(finish(futures[i], &got));
        assert_int_equal(got, in[i] + 1);
        assert_int_equal(out[i], in[i] + 1);
    }
    pool_destroy(pool);
    dlclose(library);
}

enum { WIDE = 300000 };

static int say_wide_task(const void *in, void *out) {
    (void)out;
    if (!this_node) return 1;
    for (int i = 0; i < WIDE; i++) putchar('a' + *(const int *)in);
    putchar('\n');
    return 0;
}

TEST_CASE(a_line_that_a_host_sends_in_pieces_is_one_line) {
    int out = dup(1);
    FILE *file = tmpfile();
    fflush(stdout);
    dup2(fileno(file), 1);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:1", 1);
    struct future *kept = hold_here(pool, gate, NULL);
    int outcomes[3];
    for (int i = 0; i < 3; i++) outcomes[i] = finish(submit(pool, say_wide_task, &i, sizeof i, 0), NULL);
    release_here(gate, kept);
    pool_destroy(pool);
    dup2(out, 1);
    close(out);
    rewind(file);
    for (int i = 0; i < 3; i++) {
        char tag[8] = "";
        int length = 0;
        assert_int_equal(fread(tag, 1, 7, file), 7);
        assert_string_equal(tag, "local: ");
        while (getc(file) == 'a' + i) length++; /* up to the line feed */
        assert_int_equal(length, WIDE);
        assert_ok(outcomes[i]);
    }
    assert_int_equal(getc(file), EOF);
    fclose(file);
}

static int say_item_task(const void *in, void *out) {
    (void)in, (void)out;
    printf("item %zu\n", task_index());
    if (task_index() == 150) raise(SIGKILL);
    return 0;
}

/* A chunk of a host is a job of its own there, whose items have other numbers. */
TEST_CASE(what_is_captured_on_a_host_has_the_function_and_the_item_of_the_whole_job) {
    int out = dup(1);
    FILE *file = tmpfile();
    fflush(stdout);
    dup2(fileno(file), 1);
    struct gate *gate = shared(sizeof *gate);
    struct pool_options options = test_options(1);
    options.hosts = "local:2";
    options.host_min = 1;
    options.host_start = PATIENCE;
    options.capture = true;
    struct pool *pool = pool_from(&options);
    struct future *kept = hold_here(pool, gate, NULL);
    struct pool_failure why;
    int outcome = pool_map(pool, &(struct pool_job){.fn = say_item_task, .count = 200, .chunk = 20, .failure = &why});
    int said = 0;
    for (int i = 0; i < 200; i++) {
        char line[64];
        snprintf(line, sizeof line, "local: [say_item_task %d] item %d\n", i, i);
        said += is_in(file, line);
    }
    release_here(gate, kept);
    pool_destroy(pool);
    dup2(out, 1);
    close(out);
    fclose(file);
    assert_code(outcome, POOL_EDIED);
    assert_int_equal(why.index, 150);
    assert_contains(why.message, "; it said: item 150");
    assert_int_equal(said, 200);
}

TEST_CASE(many_short_tasks_have_the_results_that_they_have_here) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:2 local:1", 2), *here = pool_of(1);
    struct pool_worker_stats list[8];
    struct pool_stats stats = {.list = list, .room = 8};
    run_short_tasks(pool, here, scaled(200000));
    struct future *kept = hold_here(pool, gate, NULL);
    run_short_tasks(pool, here, scaled(20000));
    assert_ok(pool_stats(pool, &stats));
    release_here(gate, kept);
    assert_int_equal(stats.workers, 1);
    assert_int_equal(stats.listed, 3);
    assert_true(strcmp(list[0].host, "") == 0);
    assert_true(strcmp(list[1].host, "local") == 0);
    assert_true(list[1].tasks + list[2].tasks >= scaled(20000));
    pool_destroy(here);
    pool_destroy(pool);
}

TEST_CASE(a_map_over_hosts_has_the_results_that_it_has_here) {
    struct pool *pool = hosted(1, "local:2,local:2", 2), *here = pool_of(2);
    size_t count = scaled(1000000);
    uint64_t *in = calloc(count, sizeof *in), *out = calloc(count, sizeof *out), *wanted = calloc(count, sizeof *out);
    for (size_t i = 0; i < count; i++) in[i] = i;
    struct pool_job job = {.fn = mixed_task, POOL_IN(in), POOL_OUT(out), .count = count, .seed = 5};
    for (int round = 0; round < 5; round++) {
        memset(out, 0, count * sizeof *out);
        assert_ok(pool_map(pool, &job));
        job.out = wanted;
        if (round == 0) assert_ok(pool_map(here, &job));
        job.out = out;
        assert_memory_equal(out, wanted, count * sizeof *out);
    }
    free(in);
    free(out);
    free(wanted);
    pool_destroy(pool);
    pool_destroy(here);
}

/* A directory in which each worker that comes to a meeting makes a file. */
struct meeting {
    char directory[TEMPORARY_ROOM];
    int workers;
};

static int present(const struct meeting *meeting) {
    int count = 0;
    DIR *directory = opendir(meeting->directory);
    for (struct dirent *entry; directory && (entry = readdir(directory));) count += entry->d_name[0] != '.';
    if (directory) closedir(directory);
    return count;
}

/* Lasts until so many workers are at an item. */
static int meet_task(const void *in, void *out) {
    (void)in;
    const struct meeting *meeting = task_context();
    char path[TEMPORARY_ROOM + 32];
    snprintf(path, sizeof path, "%s/%ld", meeting->directory, (long)getpid());
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    if (file < 0) return 1;
    close(file);
    for (int64_t begin = now_ms(); present(meeting) < meeting->workers; sleep_ms(2))
        if (now_ms() - begin > PATIENCE) return 2;
    *(size_t *)out = task_index();
    return 0;
}

static void remove_all(const char *directory) {
    char path[2 * TEMPORARY_ROOM];
    DIR *open_directory = opendir(directory);
    assert_non_null(open_directory);
    for (struct dirent *entry; (entry = readdir(open_directory));) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.') unlink(path);
    }
    closedir(open_directory);
    assert_int_equal(rmdir(directory), 0);
}

TEST_CASE(long_items_of_a_map_run_on_all_hosts) {
    struct meeting meeting = {.workers = 1 + 2 + 2};
    temporary_name(meeting.directory);
    assert_non_null(mkdtemp(meeting.directory));
    struct pool *pool = hosted(1, "local:2,local:2", 2);
    size_t out[50];
    assert_ok(pool_map(pool, &(struct pool_job){.fn = meet_task, POOL_OUT(out), .count = COUNT(out),
                                                .context = &meeting, .context_size = sizeof meeting}));
    for (size_t i = 0; i < COUNT(out); i++) assert_true(out[i] == i);
    pool_destroy(pool);
    remove_all(meeting.directory);
}

/* More of them than a host is told of at a time. */
TEST_CASE(map_after_map_runs_on_hosts) {
    enum { MAPS = 40, LIMIT_MS = 60000 };
    struct pool *pool = hosted(1, "local:2", 1);
    int ms[40], travelled = 0;
    struct where where[COUNT(ms)];
    for (size_t i = 0; i < COUNT(ms); i++) ms[i] = 1;
    struct pool_job job = {.fn = where_task, POOL_IN(ms), POOL_OUT(where), .count = COUNT(ms)};
    for (int64_t began = now_ms(); travelled < MAPS && now_ms() - began < LIMIT_MS;) {
        struct future *future;
        int there = 0;
        assert_ok(pool_map_async(pool, &job, &future));
        assert_ok(future_get(future, NULL, LIMIT_MS));
        future_free(future);
        for (size_t i = 0; i < COUNT(ms); i++) there += where[i].there;
        travelled += there > 0;
    }
    assert_int_equal(travelled, MAPS);
    pool_destroy(pool);
}

/* in: nothing, or the sum of what comes before. */
static int chain_task(const void *in, void *out) {
    const struct part *before = task_input_count() ? task_input(0, NULL) : NULL;
    (void)in;
    sleep_ms(3);
    *(struct part *)out = (struct part){(double)task_seed() + (double)*(const long *)task_context(),
                                        (before ? before->items : 0) + 1,
                                        (before ? before->there : 0) + (this_node != 0)};
    return 0;
}

TEST_CASE(streams_and_graphs_run_on_hosts) {
    enum { CHAINS = 20, LINKS = 5, ITEMS = 100 };
    static const long context = 1000;
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:2 local:2", 2);
    struct future *links[CHAINS][LINKS], *kept = hold_here(pool, gate, NULL);
    struct part got;
    for (int c = 0; c < CHAINS; c++)
        for (int l = 0; l < LINKS; l++) {
            struct pool_task task = {.fn = chain_task, .out_size = sizeof got, .after = l ? &links[c][l - 1] : NULL,
                                     .after_count = l > 0, .seed = 7, .context = &context,
                                     .context_size = sizeof context};
            assert_ok(pool_submit(pool, &task, &links[c][l]));
        }
    for (int c = 0; c < CHAINS; c++)
        for (int l = 0; l < LINKS; l++) {
            assert_ok(finish(links[c][l], &got));
            assert_int_equal(got.items, l + 1);
            assert_int_equal(got.there, l + 1);
        }
    int ms[ITEMS];
    struct stream *stream;
    struct where where;
    for (int i = 0; i < ITEMS; i++) ms[i] = 3;
    assert_ok(pool_imap(pool, &(struct pool_stream){.fn = where_task, POOL_IN(ms), .count = ITEMS,
                                                    .out_size = sizeof where, .window = 20}, &stream));
    for (size_t i = 0; i < ITEMS; i++) {
        assert_ok(stream_next(stream, &where, PATIENCE));
        assert_true(where.index == i && where.there);
    }
    assert_code(stream_next(stream, &where, PATIENCE), POOL_END);
    release_here(gate, kept);
    stream_free(stream);
    pool_destroy(pool);
}

struct moment {
    int there;
    int64_t at;
};

/* Begins when the file exists that the context names. */
static int moment_task(const void *in, void *out) {
    (void)in;
    while (access(task_context(), F_OK) != 0) sleep_ms(1);
    sleep_ms(10);
    *(struct moment *)out = (struct moment){this_node != 0, now_ms()};
    return 0;
}

TEST_CASE(maps_at_once_have_the_hosts_in_turns) {
    enum { JOBS = 3, ITEMS = 120 };
    static struct moment out[JOBS][ITEMS];
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:2,local:2", 2);
    struct future *jobs[JOBS], *kept = hold_here(pool, gate, NULL);
    int64_t first[JOBS], last[JOBS];
    char all_are_sent[TEMPORARY_ROOM];
    temporary_name(all_are_sent);
    int file = mkstemp(all_are_sent);
    assert_true(file >= 0);
    unlink(all_are_sent);
    for (int j = 0; j < JOBS; j++)
        assert_ok(pool_map_async(pool, &(struct pool_job){.fn = moment_task, .out = out[j],
                                                          .out_size = sizeof **out, .count = ITEMS,
                                                          .context = all_are_sent,
                                                          .context_size = sizeof all_are_sent}, &jobs[j]));
    close(file);
    file = open(all_are_sent, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    close(file);
    for (int j = 0; j < JOBS; j++) assert_ok(finish(jobs[j], NULL));
    unlink(all_are_sent);
    release_here(gate, kept);
    for (int j = 0; j < JOBS; j++) {
        first[j] = INT64_MAX;
        last[j] = 0;
        for (int i = 0; i < ITEMS; i++) {
            assert_true(out[j][i].there);
            if (out[j][i].at < first[j]) first[j] = out[j][i].at;
            if (out[j][i].at > last[j]) last[j] = out[j][i].at;
        }
    }
    for (int j = 0; j < JOBS; j++)
        for (int k = 0; k < JOBS; k++) assert_true(first[j] < last[k]);
    pool_destroy(pool);
}

TEST_CASE(failures_on_hosts_are_those_that_they_are_here) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = hosted(1, "local:2", 1);
    struct future *futures[60], *kept = hold_here(pool, gate, NULL);
    for (long i = 0; i < (long)COUNT(futures); i++) futures[i] = submit(pool, failing_task, &i, sizeof i, 0);
    int there = 0;
    for (long i = 0; i < (long)COUNT(futures); i++) {
        struct pool_failure failure;
        int error = future_get(futures[i], NULL, PATIENCE);
        assert_code(error, i % 3 == 0 ? POOL_EFAILED : i % 3 == 1 ? POOL_EDIED : 0);
        assert_ok(future_failure(futures[i], &failure));
        if (i % 3 == 0) {
            assert_int_equal(failure.code, 7);
            assert_contains(failure.message, "no luck with");
        }
        if (i % 3 == 1) assert_int_equal(failure.signal, SIGABRT);
        there += strncmp(failure.message, "on local: ", 10) == 0;
        future_free(futures[i]);
    }
    assert_int_equal(there, 2 * COUNT(futures) / 3);
    release_here(gate, kept);
    pool_destroy(pool);
}

TEST_CASE(failed_items_on_hosts_are_those_that_they_are_here) {
    struct pool *pool = hosted(1, "local:2", 1);
    long in[100];
    int status[COUNT(in)];
    size_t failed;
    struct pool_failure failures[COUNT(in)];
    for (long i = 0; i < (long)COUNT(in); i++) in[i] = i;
    struct pool_job job = {.fn = failing_task, POOL_IN(in), .count = COUNT(in), .status = status,
                           .failures = failures, .failures_room = COUNT(in), .failed = &failed};
    assert_code(pool_map(pool, &job), POOL_EFAILED);
    for (int i = 0; i < (int)COUNT(in); i++)
        assert_code(status[i], i % 3 == 0 ? POOL_EFAILED : i % 3 == 1 ? POOL_EDIED : 0);
    assert_int_equal(failed, 67);
    for (size_t i = 0; i < failed; i++) {
        assert_int_equal(failures[i].code, failures[i].index % 3 == 0 ? 7 : 0);
        assert_int_equal(failures[i].signal, failures[i].index % 3 == 0 ? 0 : SIGABRT);
    }
    pool_destroy(pool);
}

TEST_CASE(what_dies_on_a_host_is_tried_again) {
    struct pool *pool = hosted(1, "local:2", 1);
    struct future *futures[30];
    for (long i = 0; i < (long)COUNT(futures); i++) {
        struct pool_task task = {.fn = dies_there_task, POOL_IN(&i), .out_size = sizeof i, .retries = 100};
        assert_ok(pool_submit(pool, &task, &futures[i]));
    }
    for (long i = 0; i < (long)COUNT(futures); i++) {
        long got;
        assert_ok(finish(futures[i], &got));
        assert_true(got == i);
    }
    long in[30], out[30];
    for (long i = 0; i < 30; i++) in[i] = i;
    struct pool_job job = {.fn = dies_there_task, POOL_IN(in), POOL_OUT(out), .count = 30, .retries = 100};
    assert_ok(pool_map(pool, &job));
    assert_memory_equal(in, out, sizeof in);
    pool_destroy(pool);
}

TEST_CASE(time_outs_count_on_hosts) {
    struct pool *pool = hosted(1, "local:2", 1);
    struct future *futures[9];
    for (size_t i = 0; i < COUNT(futures); i++)
        assert_ok(pool_submit(pool, &(struct pool_task){.fn = forever_there_task, .timeout = 100}, &futures[i]));
    for (size_t i = 0; i < COUNT(futures); i++) assert_code(finish(futures[i], NULL), POOL_EDEADLINE);
    pool_destroy(pool);
}

TEST_CASE(tasks_on_hosts_are_cancelled_and_killed) {
    struct pool *pool = hosted(1, "local:2", 1);
    struct future *futures[20];
    for (size_t i = 0; i < COUNT(futures); i++)
        assert_ok(pool_submit(pool, &(struct pool_task){.fn = forever_there_task}, &futures[i]));
    int64_t until = now_ms() + PATIENCE;
    for (int running = 0; running < 3 && now_ms() < until; sleep_ms(5)) {
        running = 0;
        for (size_t i = 0; i < COUNT(futures); i++) running += future_running(futures[i]);
    }
    for (size_t i = 0; i < COUNT(futures); i++) assert_ok(future_kill(futures[i]));
    for (size_t i = 0; i < COUNT(futures); i++) assert_code(finish(futures[i], NULL), POOL_ECANCELLED);
    struct future *job;
    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = forever_there_task, .count = 20}, &job));
    sleep_ms(100);
    assert_ok(future_kill(job));
    assert_code(finish(job, NULL), POOL_ECANCELLED);
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
}

TEST_CASE(results_of_any_size_come_back) {
    struct pool *pool = hosted(1, "local:2", 1);
    static const size_t sizes[] = {0, 1, 48, 49, 200, 4096, 5000, 100000, 300000, 3000000};
    struct future *futures[5 * COUNT(sizes)];
    for (size_t i = 0; i < COUNT(futures); i++) {
        struct pool_task task = {.fn = resized_task, POOL_IN(&sizes[i % COUNT(sizes)]), .out_size = 3000000};
        if (i % 2) task.out_size = sizes[i % COUNT(sizes)] + 1;
        assert_ok(pool_submit(pool, &task, &futures[i]));
    }
    char *got = malloc(3000000);
    for (size_t i = 0; i < COUNT(futures); i++) {
        size_t size = sizes[i % COUNT(sizes)];
        assert_ok(future_get(futures[i], got, PATIENCE));
        assert_int_equal(future_size(futures[i]), size);
        assert_true(filled(got, size, size));
        future_free(futures[i]);
    }
    free(got);
    pool_destroy(pool);
}

static int any_size_task(const void *in, void *out) {
    (void)out;
    size_t size = *(const size_t *)in;
    void *result = task_result(size);
    if (size && !result) return 1;
    sleep_ms(1);
    fill(result, size, size);
    return 0;
}

TEST_CASE(tasks_on_hosts_have_results_of_any_size) {
    struct pool *pool = hosted(1, "local:2", 1);
    static const size_t sizes[] = {0, 1, 200, 248, 249, 5000, 300000};
    struct future *futures[10 * COUNT(sizes)];
    for (size_t i = 0; i < COUNT(futures); i++)
        futures[i] = submit(pool, any_size_task, &sizes[i % COUNT(sizes)], sizeof *sizes, POOL_ANY_SIZE);
    char *got = malloc(300000);
    for (size_t i = 0; i < COUNT(futures); i++) {
        size_t size = sizes[i % COUNT(sizes)];
        assert_ok(future_get(futures[i], got, PATIENCE));
        assert_int_equal(future_size(futures[i]), size);
        assert_true(filled(got, size, size));
        future_free(futures[i]);
    }
    free(got);
    pool_destroy(pool);
}

static int triple_block(const void *in, void *out, size_t count) {
    const long *x = in;
    long *y = out;
    for (size_t i = 0; i < count; i++) {
        if (x[i] % 1000 == 999) return 5;
        y[i] = 3 * x[i];
    }
    return 0;
}

#if LINUX
static int socket_there_task(const void *in, void *out) {
    (void)in, (void)out;
    socket(AF_INET, SOCK_STREAM, 0);
    return 0;
}

TEST_CASE(tasks_on_hosts_are_in_the_sandbox_of_their_pool) {
    struct pool_options options = test_options(1);
    struct gate *gate = shared(sizeof *gate);
    struct future *futures[60];
    options.hosts = "local:2";
    options.host_min = 1;
    options.host_start = PATIENCE;
    options.sandbox = POOL_SANDBOX_COMPUTE;
    struct pool *pool = pool_from(&options);
    struct future *kept = hold_here(pool, gate, NULL);
    for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit(pool, socket_there_task, NULL, 0, 0);
    for (size_t i = 0; i < COUNT(futures); i++) {
        struct pool_failure why;
        assert_code(future_get(futures[i], NULL, PATIENCE), POOL_EDIED);
        assert_ok(future_failure(futures[i], &why));
        assert_contains(why.message, "the sandbox refused socket()");
        future_free(futures[i]);
    }
    release_here(gate, kept);
    pool_destroy(pool);
}
#endif

TEST_CASE(block_functions_run_on_hosts) {
    struct pool *pool = hosted(1, "local:2,local:1", 2);
    size_t count = scaled(300000), failed;
    long *in = calloc(count, sizeof *in), *out = calloc(count, sizeof *out);
    int *status = calloc(count, sizeof *status);
    for (size_t i = 0; i < count; i++) in[i] = (long)i;
    struct pool_job job = {.block = triple_block, POOL_IN(in), POOL_OUT(out), .count = count, .status = status,
                           .failed = &failed};
    assert_code(pool_map(pool, &job), POOL_EFAILED);
    assert_int_equal(failed, count / 1000);
    for (size_t i = 0; i < count; i++) {
        assert_code(status[i], i % 1000 == 999 ? POOL_EFAILED : 0);
        if (status[i] == 0) assert_true(out[i] == 3 * (long)i);
    }
    free(in);
    free(out);
    free(status);
    pool_destroy(pool);
}

/* ---- the live view */

static pid_t only_child(void) {
    pid_t pids[64];
    size_t count = descendants(getpid(), pids, COUNT(pids));
    for (size_t i = 0; i < count; i++)
        if (parent_of(pids[i]) == getpid()) return pids[i];
    return 0;
}

TEST_CASE(the_live_view_tells_what_hosts_do) {
    if (!have_proc()) skip();
    char path[TEMPORARY_ROOM], text[4096] = "";
    temporary_name(path);
    int file = mkstemp(path), kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    dup2(file, STDERR_FILENO);
    struct pool *pool = hosted(1, "local:2", 1);
    kill(only_child(), SIGUSR1);
    for (int64_t begin = now_ms(); !strstr(text, "tasks and items") && now_ms() - begin < PATIENCE; sleep_ms(1)) {
        ssize_t got = pread(file, text, sizeof text - 1, 0);
        text[got > 0 ? got : 0] = 0;
    }
    dup2(kept, STDERR_FILENO);
    pool_destroy(pool);
    close(kept);
    close(file);
    unlink(path);
    assert_contains(text, ": 1 workers");
    assert_contains(text, "worker 1, process");
    assert_contains(text, "host local: up, 2 CPUs, ");
    assert_null(strstr(text, "worker 0"));
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(reductions_run_on_hosts_and_give_the_same_bits),
        TEST(a_reduction_that_fails_on_a_host_names_the_item),
        TEST(tasks_run_here_and_on_hosts),
        TEST(what_a_task_prints_on_a_host_is_written_before_its_outcome_is_there),
        TEST(a_function_of_a_library_that_was_loaded_after_pool_serve_stays_here),
        TEST(a_line_that_a_host_sends_in_pieces_is_one_line),
        TEST(what_is_captured_on_a_host_has_the_function_and_the_item_of_the_whole_job),
        TEST(many_short_tasks_have_the_results_that_they_have_here),
        TEST(a_map_over_hosts_has_the_results_that_it_has_here),
        TEST(long_items_of_a_map_run_on_all_hosts),
        TEST(map_after_map_runs_on_hosts),
        TEST(streams_and_graphs_run_on_hosts),
        TEST(maps_at_once_have_the_hosts_in_turns),
        TEST(failures_on_hosts_are_those_that_they_are_here),
        TEST(failed_items_on_hosts_are_those_that_they_are_here),
        TEST(what_dies_on_a_host_is_tried_again),
        TEST(time_outs_count_on_hosts),
        TEST(tasks_on_hosts_are_cancelled_and_killed),
        TEST(results_of_any_size_come_back),
        TEST(tasks_on_hosts_have_results_of_any_size),
#if LINUX
        TEST(tasks_on_hosts_are_in_the_sandbox_of_their_pool),
#endif
        TEST(block_functions_run_on_hosts),
        TEST(the_live_view_tells_what_hosts_do),
    };
    note_node();
    if (pool_serve(argc, argv)) return 1;
    return run_group("hosts_pool", tests, COUNT(tests), argc, argv);
}
