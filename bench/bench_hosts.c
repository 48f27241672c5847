/* bench_hosts: what workers on other hosts cost, beside the launcher's own pipe.
 *
 * The hosts are those of $PARPOOL_HOSTS, or two nodes on this machine. The pool's one worker here is kept busy, so that
 * all work goes there. The floor is a `cat` started by the same launcher. */
#include "head.h"
#include "judge.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 1 << 20, MOST = 64, SILENCE_MS = 1000 };

/* ---- A pool whose work goes to its hosts ------------------------------------------------------------------------- */

static atomic_int *hold; /* NULL in nodes: there is nothing to hold */

static int stay(const void *in, void *out) {
    (void)in, (void)out;
    if (!hold) return 1;
    atomic_store(hold, 1);
    while (atomic_load(hold)) usleep(1000);
    return 0;
}

struct far {
    struct pool *pool;
    struct future *held;
};

static void say_nothing(const struct pool_host *host, void *arg) {
    (void)host, (void)arg;
}

static struct far far_pool(const char *hosts, int least, int silence) {
    struct far far;
    struct pool_options options = {.workers = 1, .hosts = hosts, .host_min = least, .host_silence = silence,
                                   .host_event = say_nothing};
    bench_must(pool_create(&options, &far.pool), "pool_create");
    while (!atomic_load(hold)) {
        bench_must(pool_submit(far.pool, &(struct pool_task){.fn = stay}, &far.held), "pool_submit");
        while (!atomic_load(hold) && !future_done(far.held)) usleep(1000);
        if (!atomic_load(hold)) future_free(far.held);
    }
    return far;
}

static void far_end(struct far *far) {
    atomic_store(hold, 0);
    bench_must(future_get(far->held, NULL, -1), "future_get");
    future_free(far->held);
    pool_destroy(far->pool);
}

/* ---- The launcher's pipe ----------------------------------------------------------------------------------------- */

struct pipe {
    int to, from;
    pid_t pid;
};

/* What the launcher of the hosts runs instead of a node: `command` on the first of them. */
static void launcher_line(char *line, size_t room, const char *command) {
    const char *launcher = getenv("PARPOOL_LAUNCHER"), *hosts = getenv("PARPOOL_HOSTS");
    bool local = !hosts || !*hosts || strncmp(hosts, "local", 5) == 0;
    size_t size = 0;
    if (local) launcher = "exec %c";
    else if (!launcher || !*launcher) launcher = "exec ssh -T -oBatchMode=yes %h %c";
    for (; *launcher && size + strlen(command) + 256 < room; launcher++) {
        if (*launcher != '%') line[size++] = *launcher;
        else if (*++launcher == 'h') size += (size_t)sprintf(line + size, "%.*s", (int)strcspn(hosts, ",: "), hosts);
        else if (*launcher == 'c') size += (size_t)sprintf(line + size, "%s", command);
        else if (*launcher == 'n') line[size++] = '1';
    }
    line[size] = '\0';
}

static struct pipe pipe_start(const char *command) {
    char line[4096];
    int to[2], from[2];
    launcher_line(line, sizeof line, command);
    if (pipe(to) || pipe(from)) bench_fail("pipe");
    struct pipe made = {.to = to[1], .from = from[0], .pid = fork()};
    if (made.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 64; fd++) close(fd);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    return made;
}

static void pipe_end(struct pipe *made) {
    close(made->to);
    close(made->from);
    kill(made->pid, SIGTERM);
    while (waitpid(made->pid, NULL, 0) < 0) continue;
}

/* Reads so many bytes. */
static void drain(const struct pipe *from, size_t size) {
    static char bytes[1 << 16];
    while (size > 0) {
        ssize_t got = read(from->from, bytes, size < sizeof bytes ? size : sizeof bytes);
        if (got <= 0) bench_fail("the launcher's pipe ended early");
        size -= (size_t)got;
    }
}

/* ---- Contestants ------------------------------------------------------------------------------------------------- */

struct run {
    struct far far;
    struct pipe pipe;
    pool_fn *fn;
    size_t count, out_size;
    long argument;
    struct future **futures;
    char *in, *out;
    double head;  /* seconds of CPU time that the head has used, */
    size_t tasks; /* for so many tasks */
};

static int nothing(const void *in, void *out) {
    *(long *)out = *(const long *)in;
    return 0;
}

static int fill(const void *in, void *out) {
    (void)in;
    memset(out, 1, LARGE);
    return 0;
}

static int nap(const void *in, void *out) {
    *(long *)out = *(const long *)in;
    nanosleep(&(struct timespec){.tv_nsec = *(const long *)in * 1000}, NULL);
    return 0;
}

static int square_byte(const void *in, void *out) {
    unsigned char x = *(const unsigned char *)in;
    *(unsigned char *)out = (unsigned char)(x * x);
    return 0;
}

/* All in flight at once. */
static void run_submits(void *context) {
    struct run *run = context;
    struct pool_task task = {.fn = run->fn, .in = &run->argument, .in_size = sizeof run->argument,
                             .out_size = run->out_size};
    for (size_t i = 0; i < run->count; i++)
        bench_must(pool_submit(run->far.pool, &task, &run->futures[i]), "pool_submit");
    for (size_t i = 0; i < run->count; i++) {
        bench_must(future_get(run->futures[i], run->out, -1), "future_get");
        future_free(run->futures[i]);
    }
}

static void run_map(void *context) {
    struct run *run = context;
    struct pool_job job = {.fn = square_byte, .in = run->in, .in_size = 1, .out = run->out, .out_size = 1,
                           .count = run->count};
    bench_must(pool_map(run->far.pool, &job), "pool_map");
    if (run->out[run->count - 1] != 1) bench_fail("pool_map: a wrong result");
}

static void run_ping(void *context) {
    struct run *run = context;
    if (write(run->pipe.to, "12345678", 8) != 8) bench_fail("the launcher's pipe ended early");
    drain(&run->pipe, 8);
}

static void run_zeros(void *context) {
    struct run *run = context;
    drain(&run->pipe, run->count * run->out_size);
}

/* As many bytes as a map sends there and gets back. */
static void run_echo(void *context) {
    struct run *run = context;
    size_t sent = 0, got = 0;
    static char bytes[1 << 16];
    while (got < run->count) {
        struct pollfd fds[] = {{.fd = run->pipe.from, .events = POLLIN},
                               {.fd = sent < run->count ? run->pipe.to : -1, .events = POLLOUT}};
        poll(fds, 2, -1);
        size_t left = run->count - sent, piece = left < 4096 ? left : 4096; /* what poll() promises to take */
        if (fds[1].revents) sent += (size_t)write(run->pipe.to, bytes, piece);
        if (fds[0].revents) got += (size_t)read(run->pipe.from, bytes, sizeof bytes);
    }
}

static double timed(const struct bench_contestant *contestant) {
    return bench_time(contestant, 1);
}

static struct bench_contestant of(const char *name, void (*run)(void *), struct run *context) {
    return (struct bench_contestant){.name = name, .context = context, .run = run, .measure = timed};
}

static double several(const struct bench_contestant *contestant) {
    return bench_time(contestant, 200);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static const char *two_hosts(void) {
    const char *hosts = getenv("PARPOOL_HOSTS");
    return hosts && *hosts ? hosts : "local:2,local:2";
}

static size_t sized(size_t count) {
    return limits.options->quick ? count / 100 + 1 : count;
}

static struct run begin(const char *hosts, int least, pool_fn *fn, size_t count, size_t out_size) {
    struct run run = {.far = far_pool(hosts, least, 0), .fn = fn, .count = count, .out_size = out_size};
    run.futures = bench_alloc(count * sizeof *run.futures);
    run.out = bench_alloc(out_size);
    return run;
}

static void end(struct run *run) {
    far_end(&run->far);
    free(run->futures);
    free(run->out);
    free(run->in);
}

static void measure_submit(void) {
    struct run run = begin(two_hosts(), 2, nothing, sized(300000), sizeof(long));
    struct bench_contestant own[] = {of("empty tasks", run_submits, &run)};
    bench_run(own, 1);
    judge("hosts-submit", "empty tasks a second, 2 hosts", RATE, rate_of(own, (double)run.count), AT_LEAST, 1e6);
    record("hosts-submit", run.count, 2, own, NULL);
    end(&run);
}

static void measure_round(void) {
    struct run run = begin(two_hosts(), 1, nothing, 1, sizeof(long));
    run.pipe = pipe_start("cat");
    struct bench_contestant own[] = {of("submit, get", run_submits, &run), of("launcher cat", run_ping, &run)};
    own[0].measure = own[1].measure = several;
    bench_run(own, 2);
    judge("hosts-round", "submit to get, launcher cat = 1", RATIO, multiple_of(&own[0], &own[1], 1), AT_MOST, 1.3);
    print_beside(own, 2, 1);
    record("hosts-round", 1, 1, &own[0], &own[1]);
    pipe_end(&run.pipe);
    end(&run);
}

static void measure_large(void) {
    struct run run = begin(two_hosts(), 2, fill, sized(200), LARGE);
    run.pipe = pipe_start("cat /dev/zero");
    struct bench_contestant own[] = {of("results of 1 MiB", run_submits, &run), of("launcher cat", run_zeros, &run)};
    bench_run(own, 2);
    judge("hosts-large", "results of 1 MiB, launcher cat = 1", RATIO, bench_speedup(&own[1], &own[0]), AT_LEAST, 0.9);
    print_beside(own, 2, (double)run.count);
    record("hosts-large", run.count, 2, &own[0], &own[1]);
    pipe_end(&run.pipe);
    end(&run);
}

/* Its CPU time counts, too. */
static double accounted(const struct bench_contestant *contestant) {
    struct run *run = contestant->context;
    double before = head_seconds(), took = bench_time(contestant, 1);
    run->head += head_seconds() - before;
    run->tasks += run->count;
    return took;
}

/* The first hosts, with so many CPUs each; nodes here, if none is named. Returns whether there are enough. */
static bool list_hosts(char *list, int count, int cpus) {
    const char *hosts = getenv("PARPOOL_HOSTS"), *at = hosts && *hosts ? hosts : "local";
    for (int i = 0; i < count; i++) {
        if (!*at) return false;
        list += sprintf(list, "%s%.*s:%d", i ? " " : "", (int)(strcspn(at, ":, ") % 64), at, cpus);
        if (strncmp(at, "local", 5) == 0) continue; /* as many as are wanted */
        at += strcspn(at, ", ");
        at += strspn(at, ", ");
    }
    return true;
}

/* Simulated CPUs: tasks that sleep. */
static void measure_nap(const char *name, const char *what, int hosts, int cpus, long us, double target) {
    char list[MOST * 80];
    if (!list_hosts(list, hosts, cpus)) return; /* this row has no figure */
    struct run run = begin(list, hosts, nap, sized((size_t)(hosts * cpus) * 1000000 / (size_t)us), sizeof(long));
    run.argument = us;
    struct bench_contestant own[] = {of("tasks that sleep", run_submits, &run)};
    own[0].measure = accounted;
    bench_run_rounds(own, 1, hosts > 2 ? 3 : limits.options->rounds);
    double ideal = (double)run.count * (double)us * 1e-6 / (hosts * cpus);
    struct bench_stats time = own[0].stats;
    judge(name, what, RATIO,
          (struct bench_stats){ideal / time.max, ideal / time.q3, ideal / time.median, ideal / time.q1,
                               ideal / time.min},
          AT_LEAST, target);
    record(name, run.count, hosts * cpus, own, NULL);
    double mean = run.head / (double)run.tasks;
    if (hosts == MOST)
        judge("hosts-head", "CPU time of caller and carrier, a task", SECONDS,
              (struct bench_stats){mean, mean, mean, mean, mean}, AT_MOST, 1e-6);
    end(&run);
}

static void measure_naps(void) {
    measure_nap("hosts-sleep-1ms", "sleep of 1 ms, 2 hosts of 8, ideal = 1", 2, 8, 1000, 0.9);
    measure_nap("hosts-sleep-10ms", "sleep of 10 ms, 2 hosts of 8, ideal = 1", 2, 8, 10000, 0.97);
}

static void measure_many(void) {
    if (limits.options->quick) return; /* a thousand processes */
    measure_nap("hosts-many", "sleep of 10 ms, 64 hosts of 16, ideal = 1", MOST, 16, 10000, 0.8);
}

static void measure_map(void) {
    struct run run = begin(two_hosts(), 2, square_byte, sized(10000000), 1);
    free(run.out);
    run.in = bench_alloc(run.count);
    run.out = bench_alloc(run.count);
    memset(run.in, 1, run.count);
    run.pipe = pipe_start("cat");
    struct bench_contestant own[] = {of("pool_map", run_map, &run), of("launcher cat", run_echo, &run)};
    bench_run(own, 2);
    judge("hosts-map", "map of bytes, launcher cat = 1", RATIO, bench_speedup(&own[1], &own[0]), AT_LEAST, 0.5);
    print_beside(own, 2, (double)run.count);
    record("hosts-map", run.count, 2, &own[0], &own[1]);
    pipe_end(&run.pipe);
    end(&run);
}

/* ---- Start ------------------------------------------------------------------------------------------------------- */

struct start {
    int hosts;
    char list[MOST * 80];
};

static void start_pool(void *context) {
    const struct start *start = context;
    struct pool *pool;
    struct pool_options options = {.workers = 1, .hosts = start->list, .host_min = start->hosts};
    bench_must(pool_create(&options, &pool), "pool_create");
    pool_destroy(pool);
}

/* The same launches of `true`, at most 8 at once, by a shell. */
static void start_shell(void *context) {
    const struct start *start = context;
    char line[2048], command[4096];
    launcher_line(line, sizeof line, "true");
    snprintf(command, sizeof command, "seq %d | xargs -P8 -I@ sh -c '%s'", start->hosts, line);
    if (system(command) != 0) bench_fail("the launcher cannot be started");
}

static void measure_start(void) {
    static const int numbers[] = {1, 16, MOST};
    static const char *const names[] = {"hosts-start-1", "hosts-start-16", "hosts-start-64"};
    for (size_t i = 0; i < (limits.options->quick ? 1 : sizeof numbers / sizeof *numbers); i++) {
        struct start start = {.hosts = numbers[i]};
        if (!list_hosts(start.list, start.hosts, 1)) break;
        struct bench_contestant own[] = {
            {.name = "pool_create", .context = &start, .run = start_pool, .measure = timed},
            {.name = "a shell", .context = &start, .run = start_shell, .measure = timed}};
        bench_run_rounds(own, 2, numbers[i] > 16 ? 3 : 5);
        judge(names[i], "start of hosts, a shell's launches = 1", RATIO, multiple_of(&own[0], &own[1], 1), AT_MOST,
              1.2);
        print_beside(own, 2, numbers[i]);
        record(names[i], (size_t)numbers[i], 1, &own[0], &own[1]);
    }
}

/* ---- Loss -------------------------------------------------------------------------------------------------------- */

static int sleep_on(const void *in, void *out) {
    (void)in, (void)out;
    sleep(60);
    return 0;
}

/* From a signal to the launcher of the only host until its task has failed. */
static double lose(int signal_number) {
    char list[80];
    list_hosts(list, 1, 1);
    struct far far = far_pool(list, 1, SILENCE_MS);
    struct future *future;
    bench_must(pool_submit(far.pool, &(struct pool_task){.fn = sleep_on}, &future), "pool_submit");
    bench_sleep(0.3);
    pid_t launcher = head_launcher();
    if (launcher <= 0) bench_fail("the launcher cannot be found");
    double from = bench_now();
    kill(launcher, signal_number);
    if (future_get(future, NULL, -1) != POOL_EDIED) bench_fail("the loss of a host was not noticed");
    double took = bench_now() - from;
    future_free(future);
    far_end(&far);
    return took;
}

static double lost(const struct bench_contestant *contestant) {
    return lose(*(const int *)contestant->context);
}

static void measure_loss(void) {
    int ended = SIGKILL, silent = SIGSTOP;
    struct bench_contestant own[] = {{.name = "its launcher killed", .context = &ended, .measure = lost},
                                     {.name = "its launcher stopped", .context = &silent, .measure = lost}};
    bench_run_rounds(own, 2, limits.options->quick ? 1 : 5);
    judge("hosts-lost", "a killed launcher, until its task has failed", SECONDS, own[0].stats, AT_MOST, 0.2);
    judge("hosts-silent", "a stopped one, with a limit of 1 s", SECONDS, own[1].stats, AT_MOST, 1 + SILENCE_MS * 1e-3);
    record("hosts-lost", 1, 1, &own[0], NULL);
    record("hosts-silent", 1, 1, &own[1], NULL);
}

int main(int argc, char **argv) {
    pool_serve(argc, argv);
    static const struct {
        const char *name;
        void (*measure)(void);
    } rows[] = {{"hosts-submit", measure_submit}, {"hosts-round", measure_round}, {"hosts-large", measure_large},
                {"hosts-sleep", measure_naps},    {"hosts-many", measure_many},   {"hosts-map", measure_map},
                {"hosts-start", measure_start},   {"hosts-lost", measure_loss}};
    enum { ROWS = sizeof rows / sizeof *rows };
    const char *names[ROWS + 1] = {NULL};
    for (size_t i = 0; i < ROWS; i++) names[i] = rows[i].name;
    limits.options = bench_begin(
        argc, argv,
        &(struct bench_program){.about = "Workers on other hosts: those of $PARPOOL_HOSTS, or two nodes on this "
                                         "machine, beside a cat by the same launcher.",
                                .names = names});
    hold = shared_alloc(sizeof *hold);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ROWS; i++)
        if (bench_wanted(rows[i].name)) rows[i].measure();
    print_summary();
    return bench_end();
}
