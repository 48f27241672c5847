#include "children.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_FORKED_AT_ONCE = 64 };

/* ---- Children ---------------------------------------------------------------------------------------------------- */

int wait_for(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) bench_fail("waitpid: %s", strerror(errno));
    }
    return status;
}

/* Reports that a child has failed. */
static void bench_died(const char *child, int status) {
    if (WIFSIGNALED(status)) bench_fail("%s was killed by signal %d", child, WTERMSIG(status));
    bench_fail("%s ended with status %d", child, WEXITSTATUS(status));
}

static void bench_pipe(int ends[2]) {
    if (pipe(ends) != 0) bench_fail("pipe: %s", strerror(errno));
}

/* Waits until at least one descriptor is ready; their revents say which. Negative ones do not count. */
static void wait_for_some(struct pollfd *descriptors, size_t count) {
    while (poll(descriptors, count, -1) < 0) {
        if (errno != EINTR) bench_fail("poll: %s", strerror(errno));
    }
}

/* Forks a process that computes an item. Only the child has the pipe's other end, so `end` becomes readable when the
 * child ends; a wait for any child could find a pool's supervisor. */
static pid_t fork_item(const struct workload *work, size_t item, struct pollfd *end) {
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

static void reap_item(pid_t child, struct pollfd *end) {
    int status = wait_for(child);
    if (status != 0) bench_died("a child forked for an item", status);
    close(end->fd);
    end->fd = -1;
}

void run_fork(void *context) {
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

/* ---- Pipes ------------------------------------------------------------------------------------------------------- */

bool pipe_read(int descriptor, void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t got = read(descriptor, (char *)data + done, size - done);
        if (got == 0) return false;
        if (got < 0 && errno != EINTR) bench_fail("read: %s", strerror(errno));
        if (got > 0) done += (size_t)got;
    }
    return true;
}

bool pipe_write(int descriptor, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t put = write(descriptor, (const char *)data + done, size - done);
        if (put < 0 && errno == EPIPE) return false;
        if (put < 0 && errno != EINTR) bench_fail("write: %s", strerror(errno));
        if (put > 0) done += (size_t)put;
    }
    return true;
}

/* An item or a result without bytes is sent as one byte. */
static size_t pipe_size(size_t size) {
    return size ? size : 1;
}

/* The body of a pipe worker, which ends when its pipe does. */
static void pipe_serve(const struct workload *work, int in, int out) {
    void *argument = bench_alloc(pipe_size(work->in_size));
    void *result = bench_alloc(pipe_size(work->out_size));
    memset(result, 0, pipe_size(work->out_size));
    while (pipe_read(in, argument, pipe_size(work->in_size))) {
        (void)work->fn(argument, result);
        if (!pipe_write(out, result, pipe_size(work->out_size))) break;
    }
    _exit(0);
}

void pipe_workers_start(struct workload *work) {
    work->pipe_workers = calloc((size_t)work->workers, sizeof *work->pipe_workers);
    if (!work->pipe_workers) bench_fail("no memory");
    signal(SIGPIPE, SIG_IGN); /* a worker that has died is reported by write() */
    for (int i = 0; i < work->workers; i++) {
        int down[2], up[2];
        bench_pipe(down);
        bench_pipe(up);
        pid_t child = fork();
        if (child < 0) bench_fail("fork: %s", strerror(errno));
        if (child == 0) {
            /* Without this the other workers' pipes would not end. */
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

void pipe_workers_stop(struct workload *work) {
    for (int i = 0; work->pipe_workers && i < work->workers; i++) {
        close(work->pipe_workers[i].to);
        close(work->pipe_workers[i].from);
        kill(work->pipe_workers[i].pid, SIGTERM); /* processes forked since may hold the pipe open */
        wait_for(work->pipe_workers[i].pid);
    }
    signal(SIGPIPE, SIG_DFL);
    free(work->pipe_workers);
    work->pipe_workers = NULL;
}

static void pipe_worker_must(bool good, const struct pipe_worker *worker) {
    if (!good) bench_died("a pipe worker", wait_for(worker->pid));
}

static void pipe_send(const struct workload *work, struct pipe_worker *worker, size_t item) {
    static const char nothing;
    worker->item = item;
    const void *from = work->in ? workload_in(work, item) : &nothing;
    pipe_worker_must(pipe_write(worker->to, from, pipe_size(work->in_size)), worker);
}

static void pipe_receive(const struct workload *work, const struct pipe_worker *worker) {
    char nothing;
    void *to = work->out ? workload_out(work, worker->item) : &nothing;
    pipe_worker_must(pipe_read(worker->from, to, pipe_size(work->out_size)), worker);
}

/* With one worker there is nothing to wait for but its answer. */
static void ping_pong(struct workload *work, struct pipe_worker *worker) {
    for (size_t i = 0; i < work->count; i++) {
        pipe_send(work, worker, i);
        pipe_receive(work, worker);
    }
}

void run_pipes(void *context) {
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
