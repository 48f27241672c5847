/* contestants: every way to compute the same workload that the benchmarks put beside each other.
 *
 * A workload is one function over an array of items. Each run_… below does all of it once, in its own way, and is what
 * bench_run() times; what it needs (a pool, threads, processes) is made before and lies in the workload. All but the
 * workload's own loop call the function through a pointer, as they must where the function is not known in advance. */
#ifndef PARPOOL_BENCH_CONTESTANTS_H
#define PARPOOL_BENCH_CONTESTANTS_H

#include "bench.h"
#include "thread_pool.h"

#include <errno.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include <parpool.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process that computes what comes down a pipe. */
struct pipe_worker {
    int to, from;
    pid_t pid;
    size_t item; /* what it has to compute */
};

enum { MOST_FORKED_AT_ONCE = 64 };

struct workload {
    pool_fn *fn;
    const void *in; /* NULL: none, and in_size 0 */
    size_t in_size;
    void *out; /* the same */
    size_t out_size;
    size_t count;
    void (*loop)(const void *in, void *out, size_t count); /* over items, with or without a call for each; or NULL */
    const void *expected; /* what must come out; NULL: right() or calls say whether it did */
    bool (*right)(const void *out, size_t first, size_t count); /* are these items of out right? */
    size_t probe;                                               /* the item that was spoilt before this run */
    atomic_size_t *calls; /* for a function without results: where all processes count its calls; or NULL */

    /* What the contestants need; each may be missing where its contestant does not take part. */
    int workers;
    struct pool *pool;
    size_t chunk;            /* for pool_map */
    size_t window;           /* futures in flight at most; 0: all */
    struct future **futures; /* count of them */
    struct thread_pool *threads;
    struct thread_task *tasks;        /* count of them */
    struct pipe_worker *pipe_workers; /* one for each worker */
    unsigned char *shared;            /* room for all results, where children can write */

    /* Of all runs of which only a median is told. */
    double seconds;
    size_t runs;
};

static inline const void *workload_in(const struct workload *work, size_t item) {
    return work->in ? (const unsigned char *)work->in + item * work->in_size : NULL;
}

static inline void *workload_out(const struct workload *work, size_t item) {
    return work->out ? (unsigned char *)work->out + item * work->out_size : NULL;
}

/* What a loop over a workload needs: a copy that stays in registers, whatever the function writes. */
struct items {
    pool_fn *fn;
    const unsigned char *in;
    size_t in_size;
    unsigned char *out;
    size_t out_size;
};

static inline struct items workload_items(const struct workload *work) {
    return (struct items){work->fn, work->in, work->in_size, work->out, work->out_size};
}

static inline void item_run(struct items items, size_t item) {
    (void)items.fn(items.in ? items.in + item * items.in_size : NULL,
                   items.out ? items.out + item * items.out_size : NULL);
}

static inline void bench_must(int error, const char *what) {
    if (error) bench_fail("%s: %s", what, pool_strerror(error));
}

static inline void *bench_alloc(size_t size) {
    void *memory = malloc(size);
    if (!memory) bench_fail("no memory for %zu bytes", size);
    return memory;
}

/* ---- Before and after turns and runs ----------------------------------------------------------------------------- */

/* Spoils so many bytes from an item on, where results are left and where children leave them, or forgets the calls. */
static inline void spoil_bytes(struct workload *work, size_t item, size_t size) {
    if (work->out) memset(workload_out(work, item), 0x5a, size);
    if (work->shared) memset(work->shared + item * work->out_size, 0x5a, size);
    if (work->calls) atomic_store(work->calls, 0);
}

static inline void workload_spoil(void *context) {
    struct workload *work = context;
    spoil_bytes(work, 0, work->count * work->out_size);
}

static inline bool each_was_called(const struct workload *work) {
    return !work->calls || atomic_load(work->calls) == work->count;
}

static inline bool workload_right(void *context) {
    struct workload *work = context;
    if (work->right) return work->right(work->out, 0, work->count);
    if (!work->expected) return each_was_called(work);
    return memcmp(work->out, work->expected, work->count * work->out_size) == 0;
}

/* Of a large item the beginning: short runs are not to be made longer. */
static inline size_t probe_size(const struct workload *work) {
    return work->out_size < 64 ? work->out_size : 64;
}

static inline void workload_spoil_item(void *context) {
    struct workload *work = context;
    work->probe = work->probe + 1 < work->count ? work->probe + 1 : 0;
    spoil_bytes(work, work->probe, probe_size(work));
}

static inline bool workload_item_right(void *context) {
    struct workload *work = context;
    if (work->right) return work->right(work->out, work->probe, 1);
    if (!work->expected) return each_was_called(work);
    const unsigned char *expected = (const unsigned char *)work->expected + work->probe * work->out_size;
    return memcmp(workload_out(work, work->probe), expected, probe_size(work)) == 0;
}

/* A contestant that computes a workload, its results spoilt before each turn, an item before each run, and checked. */
static inline struct bench_contestant contestant(const char *name, void (*run)(void *context), struct workload *work) {
    return (struct bench_contestant){.name = name,
                                     .context = work,
                                     .run = run,
                                     .prepare = workload_spoil,
                                     .check = workload_right,
                                     .spoil_item = workload_spoil_item,
                                     .item_right = workload_item_right};
}

/* ---- One after another ------------------------------------------------------------------------------------------- */

static inline void run_sequential(void *context) {
    struct workload *work = context;
    if (work->loop) {
        work->loop(work->in, work->out, work->count);
        return;
    }
    struct items items = workload_items(work);
    size_t count = work->count;
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

/* ---- This library ------------------------------------------------------------------------------------------------ */

static inline void run_pool_map(void *context) {
    struct workload *work = context;
    bench_must(pool_map(work->pool, &(struct pool_job){.fn = work->fn,
                                                       .in = work->in,
                                                       .in_size = work->in_size,
                                                       .out = work->out,
                                                       .out_size = work->out_size,
                                                       .count = work->count,
                                                       .chunk = work->chunk}),
               "pool_map");
}

static inline void workload_collect(struct workload *work, size_t item) {
    bench_must(future_get(work->futures[item], workload_out(work, item), -1), "future_get");
    future_free(work->futures[item]);
}

/* One task and one future for each item. */
static inline void run_pool_submit(void *context) {
    struct workload *work = context;
    size_t window = work->window ? work->window : work->count;
    for (size_t i = 0; i < work->count; i++) {
        if (i >= window) workload_collect(work, i - window);
        bench_must(pool_submit(work->pool,
                               &(struct pool_task){.fn = work->fn,
                                                   .in = workload_in(work, i),
                                                   .in_size = work->in_size,
                                                   .out_size = work->out_size},
                               &work->futures[i]),
                   "pool_submit");
    }
    for (size_t i = work->count > window ? work->count - window : 0; i < work->count; i++) workload_collect(work, i);
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

static inline void run_thread_pool(void *context) {
    struct workload *work = context;
    for (size_t i = 0; i < work->count; i++) {
        struct thread_task *task = &work->tasks[i];
        task->fn = work->fn;
        task->in = workload_in(work, i);
        task->out = workload_out(work, i);
        thread_pool_submit(work->threads, task);
    }
    for (size_t i = 0; i < work->count; i++) thread_pool_wait(work->threads, &work->tasks[i]);
}

#ifdef _OPENMP
static inline void run_openmp_static(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel for schedule(static) num_threads(work->workers) firstprivate(items)
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

static inline void run_openmp_dynamic(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel for schedule(dynamic) num_threads(work->workers) firstprivate(items)
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

static inline void run_openmp_guided(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel for schedule(guided) num_threads(work->workers) firstprivate(items)
    for (size_t i = 0; i < count; i++) item_run(items, i);
}

/* The workload's own loop, in each thread over its share, as under schedule(static): its function may be inlined. */
static inline void run_openmp_loop(void *context) {
    struct workload *work = context;
#pragma omp parallel num_threads(work->workers)
    {
        size_t threads = (size_t)omp_get_num_threads(), own = (size_t)omp_get_thread_num();
        size_t from = work->count * own / threads, to = work->count * (own + 1) / threads;
        work->loop(workload_in(work, from), workload_out(work, from), to - from);
    }
}

/* One thread makes the tasks, as a caller of pool_submit() would. */
static inline void run_openmp_task(void *context) {
    const struct workload *work = context;
    struct items items = workload_items(work);
    size_t count = work->count;
#pragma omp parallel num_threads(work->workers) firstprivate(items)
#pragma omp single
    {
        for (size_t i = 0; i < count; i++) {
#pragma omp task firstprivate(i, items)
            item_run(items, i);
        }
#pragma omp taskwait
    }
}
#endif

/* ---- Processes without a library --------------------------------------------------------------------------------- */

/* The status that a child ended with. */
static inline int wait_for(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) bench_fail("waitpid: %s", strerror(errno));
    }
    return status;
}

/* For what a child should not have ended with. */
static inline void bench_died(const char *who, int status) {
    if (WIFSIGNALED(status)) bench_fail("%s was killed by signal %d", who, WTERMSIG(status));
    bench_fail("%s ended with status %d", who, WEXITSTATUS(status));
}

static inline void bench_pipe(int ends[2]) {
    if (pipe(ends) != 0) bench_fail("pipe: %s", strerror(errno));
}

/* Waits until at least one of some descriptors is ready; their revents say which. Those < 0 do not count. */
static inline void wait_for_some(struct pollfd *descriptors, size_t count) {
    while (poll(descriptors, count, -1) < 0) {
        if (errno != EINTR) bench_fail("poll: %s", strerror(errno));
    }
}

/* A process that computes an item. The pipe's other end is the child's alone, so this one becomes readable when the
 * child ends; to wait for any child would be to wait for a pool's supervisor, too. */
static inline pid_t fork_item(const struct workload *work, size_t item, struct pollfd *end) {
    int ends[2];
    bench_pipe(ends);
    pid_t child = fork();
    if (child < 0) bench_fail("fork: %s", strerror(errno));
    if (child == 0) {
        (void)work->fn(workload_in(work, item), work->shared ? work->shared + item * work->out_size : NULL);
        _exit(0);
    }
    close(ends[1]);
    *end = (struct pollfd){.fd = ends[0], .events = POLLIN};
    return child;
}

static inline void reap_item(pid_t child, struct pollfd *end) {
    int status = wait_for(child);
    if (status != 0) bench_died("a child forked for an item", status);
    close(end->fd);
    end->fd = -1;
}

/* A fork for each item, as many at once as there are workers. Results come back through shared memory. */
static inline void run_fork(void *context) {
    struct workload *work = context;
    pid_t children[MOST_FORKED_AT_ONCE];
    struct pollfd ends[MOST_FORKED_AT_ONCE];
    size_t next = 0, most = work->workers < MOST_FORKED_AT_ONCE ? (size_t)work->workers : MOST_FORKED_AT_ONCE;
    if (most > work->count) most = work->count;
    for (; next < most; next++) children[next] = fork_item(work, next, &ends[next]);
    for (size_t running = most; running > 0;) {
        wait_for_some(ends, most);
        for (size_t i = 0; i < most; i++) {
            if (!ends[i].revents) continue;
            reap_item(children[i], &ends[i]);
            if (next < work->count)
                children[i] = fork_item(work, next++, &ends[i]);
            else
                running--;
        }
    }
    if (work->out) memcpy(work->out, work->shared, work->count * work->out_size);
}

/* This and pipe_write() say false if nobody has the pipe's other end any more. */
static inline bool pipe_read(int descriptor, void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t got = read(descriptor, (char *)data + done, size - done);
        if (got == 0) return false;
        if (got < 0 && errno != EINTR) bench_fail("read: %s", strerror(errno));
        if (got > 0) done += (size_t)got;
    }
    return true;
}

static inline bool pipe_write(int descriptor, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t put = write(descriptor, (const char *)data + done, size - done);
        if (put < 0 && errno == EPIPE) return false;
        if (put < 0 && errno != EINTR) bench_fail("write: %s", strerror(errno));
        if (put > 0) done += (size_t)put;
    }
    return true;
}

/* One byte stands for an item or a result that has no bytes. */
static inline size_t pipe_size(size_t size) {
    return size ? size : 1;
}

/* The life of a pipe worker: ends when its pipe does. */
static inline void pipe_serve(const struct workload *work, int in, int out) {
    void *argument = bench_alloc(pipe_size(work->in_size));
    void *result = bench_alloc(pipe_size(work->out_size));
    memset(result, 0, pipe_size(work->out_size));
    while (pipe_read(in, argument, pipe_size(work->in_size))) {
        (void)work->fn(argument, result);
        if (!pipe_write(out, result, pipe_size(work->out_size))) break;
    }
    _exit(0);
}

static inline void pipe_workers_start(struct workload *work) {
    work->pipe_workers = calloc((size_t)work->workers, sizeof *work->pipe_workers);
    if (!work->pipe_workers) bench_fail("no memory");
    signal(SIGPIPE, SIG_IGN); /* that one has died is to be said, not to be died of */
    for (int i = 0; i < work->workers; i++) {
        int down[2], up[2];
        bench_pipe(down);
        bench_pipe(up);
        pid_t child = fork();
        if (child < 0) bench_fail("fork: %s", strerror(errno));
        if (child == 0) {
            /* Ends of its sisters' pipes would keep them from ending. */
            for (int j = 0; j < i; j++) close(work->pipe_workers[j].to);
            close(down[1]);
            close(up[0]);
            pipe_serve(work, down[0], up[1]);
        }
        close(down[0]);
        close(up[1]);
        work->pipe_workers[i] = (struct pipe_worker){.to = down[1], .from = up[0], .pid = child};
    }
}

static inline void pipe_workers_stop(struct workload *work) {
    for (int i = 0; work->pipe_workers && i < work->workers; i++) {
        close(work->pipe_workers[i].to);
        close(work->pipe_workers[i].from);
        kill(work->pipe_workers[i].pid, SIGTERM); /* others may hold the pipe open: whoever was forked since */
        wait_for(work->pipe_workers[i].pid);
    }
    signal(SIGPIPE, SIG_DFL);
    free(work->pipe_workers);
    work->pipe_workers = NULL;
}

static inline void pipe_worker_must(bool good, const struct pipe_worker *worker) {
    if (!good) bench_died("a pipe worker", wait_for(worker->pid));
}

static inline void pipe_send(const struct workload *work, struct pipe_worker *worker, size_t item) {
    static const char nothing;
    worker->item = item;
    const void *from = work->in ? workload_in(work, item) : &nothing;
    pipe_worker_must(pipe_write(worker->to, from, pipe_size(work->in_size)), worker);
}

static inline void pipe_receive(const struct workload *work, const struct pipe_worker *worker) {
    char nothing;
    void *to = work->out ? workload_out(work, worker->item) : &nothing;
    pipe_worker_must(pipe_read(worker->from, to, pipe_size(work->out_size)), worker);
}

/* One worker has nothing that would have to be waited for before its answer. */
static inline void ping_pong(struct workload *work, struct pipe_worker *worker) {
    for (size_t i = 0; i < work->count; i++) {
        pipe_send(work, worker, i);
        pipe_receive(work, worker);
    }
}

/* Each worker has one item at a time, and gets the next when it answers. What any pool over pipes must pay at least. */
static inline void run_pipes(void *context) {
    struct workload *work = context;
    struct pollfd ends[BENCH_MAX_WORKERS];
    size_t next = 0, workers = (size_t)work->workers < work->count ? (size_t)work->workers : work->count;
    if (workers == 1) {
        ping_pong(work, work->pipe_workers);
        return;
    }
    for (; next < workers; next++) {
        pipe_send(work, &work->pipe_workers[next], next);
        ends[next] = (struct pollfd){.fd = work->pipe_workers[next].from, .events = POLLIN};
    }
    for (size_t busy = workers; busy > 0;) {
        wait_for_some(ends, workers);
        for (size_t i = 0; i < workers; i++) {
            if (!ends[i].revents) continue;
            pipe_receive(work, &work->pipe_workers[i]);
            if (next < work->count) {
                pipe_send(work, &work->pipe_workers[i], next++);
            } else {
                ends[i].fd = -1;
                busy--;
            }
        }
    }
}

/* ---- Making and ending ------------------------------------------------------------------------------------------- */

/* Memory that forked children share with their parent. */
static inline void *shared_alloc(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) bench_fail("no memory for %zu bytes to share", size);
    return memory;
}

static inline struct pool *bench_pool(int workers) {
    struct pool *pool;
    bench_must(pool_create(&(struct pool_options){.workers = workers}, &pool), "pool_create");
    return pool;
}

static inline void *arena_alloc(struct pool *pool, size_t size) {
    void *memory = pool_alloc(pool, size);
    if (!memory) bench_fail("no room for %zu bytes in the arena", size);
    return memory;
}

/* Room for a future and a thread's task for each item. */
static inline void workload_prepare_submits(struct workload *work) {
    work->futures = bench_alloc(work->count * sizeof *work->futures);
    work->tasks = bench_alloc(work->count * sizeof *work->tasks);
}

static inline void workload_free_submits(struct workload *work) {
    free(work->futures);
    free(work->tasks);
    work->futures = NULL;
    work->tasks = NULL;
}

#endif
