/* Traces: the file is JSON whatever happens, spans of a row do not overlap, and it has what happened. */
#include "support.h"

#include <ctype.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "pool/pool.h"

enum { ITEMS = 500, TASKS = 300, SPANS = 100000 };

/* ---- JSON, by the letter */

static const char *value_at(const char *at);

static const char *blank(const char *at) {
    while (at && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
    return at;
}

static const char *string_at(const char *at) {
    if (*at++ != '"') return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e) return NULL;
        if (*at == '\\' && !strchr("\"\\/bfnrt", *++at)) return NULL;
    }
    return at + 1;
}

static const char *number_at(const char *at) {
    if (*at == '-') at++;
    if (!isdigit((unsigned char)*at) || (*at == '0' && isdigit((unsigned char)at[1]))) return NULL;
    while (isdigit((unsigned char)*at)) at++;
    if (*at != '.') return at;
    if (!isdigit((unsigned char)*++at)) return NULL;
    while (isdigit((unsigned char)*at)) at++;
    return at;
}

static const char *list_at(const char *at, char last, bool has_names) {
    at = blank(at + 1);
    if (*at == last) return at + 1;
    for (;;) {
        if (has_names) {
            at = string_at(at);
            at = at ? blank(at) : NULL;
            if (!at || *at++ != ':') return NULL;
        }
        at = blank(value_at(blank(at)));
        if (!at) return NULL;
        if (*at == last) return at + 1;
        if (*at++ != ',') return NULL;
        at = blank(at);
    }
}

static const char *value_at(const char *at) {
    switch (*at) {
    case '{': return list_at(at, '}', true);
    case '[': return list_at(at, ']', false);
    case '"': return string_at(at);
    case 't': return strncmp(at, "true", 4) == 0 ? at + 4 : NULL;
    default: return number_at(at);
    }
}

static bool is_json(const char *text) {
    const char *end = value_at(text);
    end = end ? blank(end) : NULL;
    return end && *end == '\0';
}

/* ---- what a trace says */

struct span {
    int row;
    uint64_t begin, end; /* ns */
};

struct trace {
    char *text;
    struct span *spans;
    size_t count;
    uint64_t items, tasks, lost;
};

static uint64_t number_of(const char *line, const char *name) {
    char key[40];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(line, key), *end = strchr(line, '\n');
    return at && (!end || at < end) ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* Of a number with three decimals. */
static uint64_t thousandths_of(const char *line, const char *name) {
    char key[40];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(line, key), *point = at ? strchr(at, '.') : NULL;
    return at && point ? strtoull(at + strlen(key), NULL, 10) * 1000 + strtoull(point + 1, NULL, 10) : 0;
}

static int by_row_and_begin(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    if (x->row != y->row) return x->row < y->row ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    struct stat status;
    if (!file || fstat(fileno(file), &status)) return NULL;
    char *text = calloc(1, (size_t)status.st_size + 1);
    if (!text || fread(text, 1, (size_t)status.st_size, file) != (size_t)status.st_size) abort();
    fclose(file);
    return text;
}

/* Reads the trace, which must be JSON, and whose spans must not overlap; removes the file. */
static struct trace read_trace(const char *path) {
    struct trace trace = {.text = read_file(path)};
    assert_non_null(trace.text);
    assert_true(is_json(trace.text));
    unlink(path);
    trace.spans = malloc(SPANS * sizeof *trace.spans);
    for (const char *line = trace.text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, "{\"ph\":\"X\"", 9) != 0) continue;
        assert_true(trace.count < SPANS);
        uint64_t begin = thousandths_of(line, "ts");
        trace.spans[trace.count++] = (struct span){(int)number_of(line, "tid"), begin,
                                                   begin + thousandths_of(line, "dur")};
        trace.items += number_of(line, "items");
        trace.tasks += number_of(line, "tasks");
    }
    trace.lost = number_of(strstr(trace.text, "otherData"), "lost");
    qsort(trace.spans, trace.count, sizeof *trace.spans, by_row_and_begin);
    for (size_t i = 1; i < trace.count; i++)
        assert_true(trace.spans[i].row != trace.spans[i - 1].row || trace.spans[i].begin > trace.spans[i - 1].end);
    return trace;
}

static void free_trace(struct trace *trace) {
    free(trace->text);
    free(trace->spans);
}

static void name_trace(char path[TEMPORARY_ROOM]) {
    temporary_name(path);
    int made = mkstemp(path);
    assert_true(made >= 0);
    close(made);
    unlink(path);
}

static struct pool *tracing_pool(int workers, int backend, const char *path) {
    struct pool_options options = test_options(workers);
    options.trace = path;
    options.backend = backend;
    return pool_from(&options);
}

/* ---- tests */

/* A worker publishes an outcome before it notes the span. */
static void settle(struct pool *pool) {
    struct pool_stats stats = {.busy = 1};
    for (int64_t since = now_ms(); stats.busy > 0 && now_ms() - since < PATIENCE; sleep_ms(1))
        assert_ok(pool_stats(pool, &stats));
}

static int spin_task(const void *in, void *out) {
    (void)in, (void)out;
    for (volatile int i = 0; i < 20000; i++) continue;
    return 0;
}

static int spin_all(const void *in, void *out, size_t count) {
    for (size_t i = 0; i < count; i++) spin_task(in, out);
    return 0;
}

TEST_CASE(each_item_and_task_is_in_a_span_and_no_spans_overlap) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        char path[TEMPORARY_ROOM];
        name_trace(path);
        struct pool *pool = tracing_pool(3, backend, path);
        for (size_t chunk = 0; chunk <= 7; chunk += 7)
            for (int timeout = 0; timeout <= PATIENCE; timeout += PATIENCE)
                assert_ok(pool_map(pool, &(struct pool_job){.fn = spin_task, .count = ITEMS, .chunk = chunk,
                                                            .timeout = timeout}));
        assert_ok(pool_map(pool, &(struct pool_job){.block = spin_all, .count = ITEMS}));
        struct future *futures[TASKS];
        for (int i = 0; i < TASKS; i++) futures[i] = submit_square(pool, i);
        for (int i = 0; i < TASKS; i++) assert_ok(finish(futures[i], &(long){0}));
        settle(pool);
        assert_null(read_file(path));
        pool_destroy(pool);
        struct trace trace = read_trace(path);
        assert_int_equal(trace.items, 5 * ITEMS);
        assert_int_equal(trace.tasks, TASKS);
        assert_int_equal(trace.lost, 0);
        assert_contains(trace.text, "\"name\":\"worker 0\"");
#if LINUX
        assert_contains(trace.text, "\"name\":\"spin_task\"");
        assert_contains(trace.text, "\"name\":\"spin_all\"");
        assert_contains(trace.text, "\"name\":\"square_task\"");
#endif
        free_trace(&trace);
    }
}

/* 1: dies; 2: hangs; else spins. */
static int do_badly(const void *in, void *out) {
    int how = *(const int *)in;
    int *volatile nowhere = (int *)(uintptr_t)(16 * how);
    if (how == 1) *nowhere = 0;
    return how == 2 ? forever_task(NULL, NULL) : spin_task(in, out);
}

TEST_CASE(deaths_kills_retries_and_waits_are_in_the_trace) {
    char path[TEMPORARY_ROOM];
    struct gate *gate = shared(sizeof *gate);
    name_trace(path);
    struct pool *pool = tracing_pool(2, POOL_PROCESSES, path);
    int in[20] = {[7] = 1, [11] = 2};
    assert_code(pool_map(pool, &(struct pool_job){.fn = do_badly, POOL_IN(in), .count = 20, .timeout = 1000,
                                                  .retries = 1}), POOL_EDIED);
    struct future *hangs = block_worker(pool, gate);
    assert_ok(future_kill(hangs));
    assert_code(finish(hangs, NULL), POOL_ECANCELLED);
    struct future *blocks = block_worker(pool, gate);
    sleep_ms(50); /* so that it is counted as busy */
    pool_destroy(pool);
    future_free(blocks);
    struct trace trace = read_trace(path);
    const char *const parts[] = {"\"args\":{\"item\":7,\"died\":true}", "\"args\":{\"item\":11,\"died\":true}",
                                 "kill: it is past its limit", "kill: on request", "died: killed by a signal",
                                 "\"args\":{\"number\":11}", "\"name\":\"retry of ", "\"name\":\"waits\"",
                                 "the pool ends", "\"name\":\"tasks waiting\"", "\"name\":\"busy workers\""};
    for (size_t i = 0; i < COUNT(parts); i++) assert_contains(trace.text, parts[i]);
    free_trace(&trace);
}

static int spin_long(const void *in, void *out) {
    int64_t begin = now_ms();
    while (now_ms() == begin) spin_task(in, out);
    return 0;
}

TEST_CASE(the_last_spans_are_kept_and_the_others_counted) {
    enum { RUN = 2500 }; /* 1024 are kept in a pool of so many workers */
    char path[TEMPORARY_ROOM];
    name_trace(path);
    struct pool_options options = test_options(1024);
    options.lazy = true;
    options.trace = path;
    struct pool *pool = pool_from(&options);
    for (int i = 0; i < RUN; i++) assert_ok(finish(submit(pool, spin_long, NULL, 0, 0), NULL));
    pool_destroy(pool);
    struct trace trace = read_trace(path);
    /* Of those lost, some are waits of the caller. */
    assert_true(trace.lost > 0 && trace.tasks < RUN && trace.tasks + trace.lost >= RUN);
    free_trace(&trace);
}

/* The program ends without pool_destroy() after this. */
static int end_badly(char *path, struct gate *gate) {
    struct pool_options options = test_options(2);
    struct pool *pool;
    struct future *future;
    options.trace = path;
    EXPECT(pool_create(&options, &pool) == 0);
    EXPECT(pool_map(pool, &(struct pool_job){.fn = spin_task, .count = ITEMS}) == 0);
    EXPECT(pool_submit(pool, &(struct pool_task){.fn = forever_task, POOL_IN(&gate)}, &future) == 0);
    EXPECT(gate_reached(gate, 1));
    return 0;
}

TEST_CASE(the_file_is_complete_if_the_program_ends_without_destroying_the_pool) {
    for (int how = 0; how < 2; how++) {
        char path[TEMPORARY_ROOM];
        struct gate *gate = shared(sizeof *gate);
        name_trace(path);
        pid_t child = fork();
        if (child == 0) {
            int code = end_badly(path, gate);
            if (how) raise(SIGKILL);
            _exit(code);
        }
        int status;
        waitpid(child, &status, 0);
        struct stat there;
        for (int64_t begin = now_ms(); stat(path, &there) != 0 && now_ms() - begin < PATIENCE;) sleep_ms(5);
        struct trace trace = read_trace(path);
        assert_int_equal(trace.items, ITEMS);
        assert_contains(trace.text, "\"died\":true");
        free_trace(&trace);
        sleep_ms(50); /* for the supervisor to go, which is no child of this process */
    }
}

static int has_variable(const void *in, void *out) {
    (void)in;
    *(int *)out = getenv("PARPOOL_TRACE") != NULL;
    return 0;
}

TEST_CASE(the_environment_asks_for_a_trace_and_each_pool_has_a_file) {
    char path[TEMPORARY_ROOM], pattern[TEMPORARY_ROOM + 8], expected[TEMPORARY_ROOM + 40];
    name_trace(path);
    snprintf(pattern, sizeof pattern, "%s.%%p", path);
    setenv("PARPOOL_TRACE", pattern, 1);
    struct pool *none = tracing_pool(1, POOL_PROCESSES, "");
    pool_destroy(none);
    for (int i = 0; i < 2; i++) {
        struct pool *pool = pool_of(1);
        int has = -1;
        assert_ok(finish(submit(pool, has_variable, NULL, 0, sizeof has), &has));
        assert_int_equal(has, 0);
        settle(pool);
        pool_destroy(pool);
    }
    setenv("PARPOOL_TRACE", "/nowhere/at/all", 1);
    pool_destroy(pool_of(1));
    unsetenv("PARPOOL_TRACE");
    struct pool *pool;
    struct pool_options options = test_options(1);
    options.trace = "/nowhere/at/all";
    assert_code(pool_create(&options, &pool), POOL_EINVAL);
    options.trace = "/tmp/"; /* a file beside it could be made, but not take its place */
    assert_code(pool_create(&options, &pool), POOL_EINVAL);
    options.trace = "/tmp";
    assert_code(pool_create(&options, &pool), POOL_EINVAL);
    /* The number depends on how many pools the tests before have traced: of this process, the last two. */
    int found = 0;
    for (int nth = 1; nth < 200; nth++) {
        if (nth == 1) snprintf(expected, sizeof expected, "%s.%ld", path, (long)getpid());
        else snprintf(expected, sizeof expected, "%s.%ld.%d", path, (long)getpid(), nth);
        struct stat there;
        if (stat(expected, &there) != 0) continue;
        struct trace trace = read_trace(expected);
        assert_int_equal(trace.tasks, 1);
        free_trace(&trace);
        found++;
    }
    assert_int_equal(found, 2);
}

/* Overwrites the rings with what looks like entries, and is none. */
static int scribble(const void *in, void *out) {
    const struct pp_trace *trace = in;
    (void)out;
    for (uint32_t ring = 0; ring < PP_TRACE_RINGS; ring++) {
        if (ring > 2 && ring < PP_TRACE_SUPERVISOR) continue;
        struct pp_trace_ring *r = pp_trace_ring(trace, ring);
        uint64_t *words = (uint64_t *)(void *)r->entries;
        for (size_t i = 0; i < 5000; i++) words[i] = i % 3 ? scramble(i + ring) : trace->began + scramble(i) % 1000000;
        atomic_store(&r->tail, ring == 1 ? UINT64_MAX : ring == 2 ? 900 : scramble(ring));
    }
    return 0;
}

TEST_CASE(a_worker_that_overwrites_the_trace_spoils_only_the_picture) {
    char path[TEMPORARY_ROOM];
    name_trace(path);
    struct pool *pool = tracing_pool(2, POOL_PROCESSES, path);
    assert_ok(finish(submit(pool, scribble, &pool->shared.trace, sizeof pool->shared.trace, 0), NULL));
    pool_destroy(pool);
    char *text = read_file(path);
    assert_true(text && is_json(text));
    assert_null(strstr(text, "\"worker 2\"")); /* there is none */
    unlink(path);
    free(text);
}

#if LINUX
TEST_CASE(a_sandboxed_pool_has_a_trace_and_places_of_crashes) {
    char path[TEMPORARY_ROOM];
    name_trace(path);
    struct pool_options options = test_options(2);
    options.trace = path;
    options.sandbox = POOL_SANDBOX_COMPUTE;
    options.capture = true;
    struct pool *pool;
    int created = pool_create(&options, &pool);
    if (created == POOL_ENOTSUP) skip();
    assert_ok(created);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = spin_task, .count = ITEMS}));
    assert_ok(finish(submit(pool, spin_task, NULL, 0, 0), NULL));
    int how = 1;
    struct pool_failure failure;
    struct future *dies = submit(pool, do_badly, &how, sizeof how, 0);
    assert_int_equal(future_wait(dies, PATIENCE), 0);
    assert_ok(future_failure(dies, &failure));
    assert_contains(failure.message, "SIGSEGV");
    assert_contains(failure.message, "do_badly");
    future_free(dies);
    settle(pool);
    pool_destroy(pool);
    struct trace trace = read_trace(path);
    assert_int_equal(trace.items, ITEMS);
    assert_int_equal(trace.tasks, 1);
    assert_contains(trace.text, "\"name\":\"do_badly\",\"args\":{\"item\":0,\"died\":true}");
    free_trace(&trace);
}

/* On a host, the first that finds this file ends the node, which is the parent of the worker's supervisor. */
static int sleep_task(const void *path, void *out) {
    char name[40];
    int node = 0;
    (void)out;
    sleep_ms(3);
    if (!path || !this_node || unlink(path)) return 0;
    snprintf(name, sizeof name, "/proc/%ld/stat", (long)getppid());
    FILE *stat = fopen(name, "r");
    return !stat || fscanf(stat, "%*d (%*[^)]) %*c %d", &node) != 1 || kill(node, SIGKILL);
}

static struct pool *tracing_with_hosts(const char *path) {
    struct pool_options options = test_options(1);
    options.trace = path;
    options.hosts = "local:2 local:2";
    options.host_min = 2;
    options.host_start = PATIENCE;
    return pool_from(&options);
}

/* How many spans each of the two hosts has. */
static void count_there(const struct trace *trace, int spans[2]) {
    memset(spans, 0, 2 * sizeof *spans);
    for (size_t i = 0; i < trace->count; i++)
        for (int h = 0; h < 2; h++) spans[h] += trace->spans[i].row == 2000 + h;
}

/* Maps until each host has run some. Returns how many. */
static int run_on_each_host(struct pool *pool) {
    struct pool_worker_stats list[8];
    struct pool_stats stats = {.list = list, .room = 8};
    int maps = 0;
    do {
        assert_ok(pool_map(pool, &(struct pool_job){.fn = sleep_task, .count = ITEMS}));
        assert_ok(pool_stats(pool, &stats));
        assert_int_equal(stats.listed, 3);
        maps++;
    } while ((list[1].tasks == 0 || list[2].tasks == 0) && maps < 50);
    return maps;
}

TEST_CASE(hosts_have_rows_of_what_came_back_from_them) {
    char path[TEMPORARY_ROOM];
    int spans[2];
    name_trace(path);
    struct pool *pool = tracing_with_hosts(path);
    int maps = run_on_each_host(pool);
    struct future *futures[TASKS];
    for (int i = 0; i < TASKS; i++) futures[i] = submit(pool, sleep_task, NULL, 0, 0);
    for (int i = 0; i < TASKS; i++) assert_ok(finish(futures[i], NULL));
    settle(pool);
    pool_destroy(pool);
    struct trace trace = read_trace(path);
    assert_int_equal(trace.items, maps * ITEMS);
    assert_int_equal(trace.tasks, TASKS);
    count_there(&trace, spans);
    assert_true(spans[0] > 0 && spans[1] > 0);
    assert_contains(trace.text, "\"tid\":2000,\"name\":\"thread_name\",\"args\":{\"name\":\"host 0: local\"}");
    assert_contains(trace.text, "\"tid\":2001,\"name\":\"thread_name\",\"args\":{\"name\":\"host 1: local\"}");
    assert_contains(trace.text, "\"name\":\"up\",\"args\":{\"number\":1}");
    assert_null(strstr(trace.text, "\"name\":\"lost\""));
    free_trace(&trace);
}

TEST_CASE(hosts_that_are_lost_are_marked_in_the_trace) {
    char path[TEMPORARY_ROOM], token[TEMPORARY_ROOM];
    struct gate *gate = shared(sizeof *gate);
    int spans[2], keepers = 1;
    temporary_name(token);
    close(mkstemp(token));
    name_trace(path);
    struct pool *pool = tracing_with_hosts(path);
    run_on_each_host(pool);
    struct future *futures[TASKS], *kept = hold_here(pool, gate, &keepers);
    for (int i = 0; i < TASKS; i++) {
        struct pool_task task = {.fn = sleep_task, .in = token, .in_size = sizeof token, .retries = 3};
        assert_ok(pool_submit(pool, &task, &futures[i]));
    }
    for (int i = 0; i < TASKS; i++) assert_ok(finish(futures[i], NULL));
    gate_open(gate);
    assert_ok(finish(kept, NULL));
    settle(pool);
    pool_destroy(pool);
    struct trace trace = read_trace(path);
    assert_int_equal(trace.tasks, TASKS + keepers);
    count_there(&trace, spans);
    assert_true(spans[0] > 0 && spans[1] > 0);
    assert_contains(trace.text, "\"name\":\"sleep_task\",\"args\":{\"item\":0,\"died\":true}");
    assert_contains(trace.text, "\"name\":\"lost\"");
    free_trace(&trace);
}
#endif

/* Spans as there are, each of another function, in each entry of a ring. */
static int invent_functions(const void *in, void *out) {
    const struct pp_trace *trace = in;
    (void)out;
    struct pp_trace_ring *r = pp_trace_ring(trace, 5);
    uintptr_t code = (uintptr_t)invent_functions;
    for (uint64_t i = 0; i < (uint64_t)1 << trace->bits; i++) {
        struct pp_trace_entry entry = {.begin = trace->began + 2 * i, .end = trace->began + 2 * i + 1, .count = 1};
        uintptr_t at = code + i % 4096 * 4 + i / 4096;
        memcpy(&entry.fn, &at, sizeof at);
        r->entries[i] = entry;
    }
    atomic_store(&r->tail, (uint64_t)1 << trace->bits);
    return 0;
}

static double cpu_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

TEST_CASE(functions_that_a_worker_has_invented_cost_the_caller_little) {
    char path[TEMPORARY_ROOM];
    name_trace(path);
    struct pool *pool = tracing_pool(6, POOL_PROCESSES, path);
    assert_ok(finish(submit(pool, invent_functions, &pool->shared.trace, sizeof pool->shared.trace, 0), NULL));
    double before = cpu_seconds();
    pool_destroy(pool);
    if (!instrumented()) assert_true(cpu_seconds() - before < 1);
    char *text = read_file(path);
    assert_true(text && is_json(text));
    assert_contains(text, "worker 5");
    unlink(path);
    free(text);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(each_item_and_task_is_in_a_span_and_no_spans_overlap),
        TEST(deaths_kills_retries_and_waits_are_in_the_trace),
        TEST(the_last_spans_are_kept_and_the_others_counted),
        TEST(the_file_is_complete_if_the_program_ends_without_destroying_the_pool),
        TEST(the_environment_asks_for_a_trace_and_each_pool_has_a_file),
        TEST(a_worker_that_overwrites_the_trace_spoils_only_the_picture),
#if LINUX
        TEST(a_sandboxed_pool_has_a_trace_and_places_of_crashes),
        TEST(hosts_have_rows_of_what_came_back_from_them),
        TEST(hosts_that_are_lost_are_marked_in_the_trace),
#endif
        TEST(functions_that_a_worker_has_invented_cost_the_caller_little),
    };
#if LINUX
    note_node();
#endif
    if (pool_serve(argc, argv)) return 1;
    return run_group("trace", tests, COUNT(tests), argc, argv);
}
