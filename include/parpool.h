/* parpool: parallel maps and futures over a pool of forked worker processes.
 *
 * CONCEPTS
 *   pool       Worker processes and the queues that feed them. A worker that crashes, hangs or is killed costs the item
 *              it was running and nothing else: the item ends with an error that says why, a new worker takes the place
 *              of the old, and everything else is completed, exactly once.
 *   task       One call of a function, pool_fn, in a worker: pool_submit().
 *   job        One function over many items: pool_map(), pool_map_async().
 *   future     The outcome, one day, of a task or a job that was submitted.
 *   graph      Tasks that come after others and take their results: pool_task.after.
 *   stream     One function over an input of any length, its results taken one at a time: pool_imap(). Or a set of
 *              futures, taken as they are done: future_as_completed().
 *   reduction  One function over many items, and its results combined to one, in an order that does not depend on
 *              workers or time: pool_reduce().
 *   arena      Memory that caller and workers see at the same address: pool_alloc(). Data that lies there is never
 *              copied.
 *   backend    Where tasks run: in processes, which all of this is about, or in threads or the caller itself; see the
 *              end of this file.
 *
 * CONVENTIONS
 *   - Functions that can fail return int: 0, or a negative POOL_E… code, which pool_strerror() names. Results go to
 *     out-parameters, untouched on failure. errno means nothing.
 *   - Time-outs are the last parameter, in milliseconds: -1 waits for ever, 0 only looks; less is POOL_EINVAL.
 *   - In a struct of options, what is zero or NULL has its default. A NULL pointer to struct pool_options means all
 *     defaults.
 *   - A pointer is not NULL where nothing else is said of it, and POOL_EINVAL if it is. …_destroy(NULL) and
 *     …_free(NULL) do nothing.
 *   - "From any thread" is any thread of the process that made the pool, at the same time as others, in callbacks too;
 *     but neither a signal handler nor a task of that pool (POOL_EFOREIGN). pool_destroy() is the pool's last call,
 *     future_free() the future's, stream_free() the stream's.
 *   - "Never blocks" is to wait for no task and no worker. Callbacks that are due run in whatever call comes next; with
 *     POOL_INLINE so do tasks.
 *   - Nothing happens in the calling process outside a call: no thread (POOL_THREADS aside), no signal handler, no
 *     global state.
 *   - No thread may be cancelled (pthread_cancel) while it is in a call.
 *
 * CAVEATS
 *   - Workers are forked: they see the program's memory as it was at pool_create(). What a task writes there stays in
 *     its worker; only its result, and what it writes into the arena, reach the caller. A pointer passed to a task must
 *     point into the arena, or to what existed, unchanged since, at pool_create().
 *   - A task may do whatever a process may: allocate, crash, leak, call exit(). It must not use the handles of its
 *     parent (POOL_EFOREIGN), but may create a pool of its own. Descriptors that were open at pool_create() are open in
 *     workers too. Threads of the program are not there.
 *   - A task that allocates or prints needs a pool that was created while no other thread was in the middle of the
 *     same: the C library makes fork() safe for its own locks, not for those of other libraries.
 *   - What a task prints to stdout is written out when it is done. Other files it must flush itself; and the program
 *     flushes its own before pool_create(), or a task that flushes them writes what was in their buffers once more.
 *   - exit() in a task ends its worker at once where the C library allows that (glibc); elsewhere it runs the program's
 *     exit handlers and writes its unwritten files, as in any forked process: prefer _exit().
 *   - In a worker, handled signals have their default action again, nothing is blocked, and each worker leads a process
 *     group of its own, so Ctrl-C reaches the program alone; the terminal can be written to, not read. A worker that
 *     ends takes its group with it: children that a task left running are killed. A child that returns from the task
 *     ends there.
 *   - In workers OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, BLIS_NUM_THREADS, VECLIB_MAXIMUM_THREADS and
 *     NUMEXPR_NUM_THREADS are set, those that were not, to the CPUs there are for each worker, at least 1. The caller's
 *     environment stays as it is. Workers may use the CPUs that the thread that called pool_create() might use then.
 *   - On Linux, in a pool of no more workers than CPUs, an idle worker may go to another CPU by sched_setaffinity(2),
 *     and gives itself all of its CPUs again by the same call: no filter of system calls may kill it for that.
 *   - Core dumps of the program and of workers have, on Linux, nothing of the arena in them: writing one would take
 *     all memory that the arena might ever need. Elsewhere, and for mlockall(), give arena_size.
 *   - The supervising process is a child of the caller: a wait() for any child waits for it too, so wait for your own
 *     children by pid. Its exit raises one SIGCHLD.
 */
#ifndef PARPOOL_H
#define PARPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PARPOOL_VERSION_MAJOR 0
#define PARPOOL_VERSION_MINOR 1
#define PARPOOL_VERSION_PATCH 0

#if defined(__GNUC__)
#define PARPOOL_API __attribute__((visibility("default")))
#define PARPOOL_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define PARPOOL_API
#define PARPOOL_PRINTF(string, first)
#endif

#ifdef __cplusplus
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* pool_stats() and its struct have one name */
#endif
extern "C" {
#endif

struct pool;
struct future;
struct stream;
struct pool_progress;

enum {
    POOL_END = 1,          /* no failure: there is no more to come */
    POOL_EINVAL = -1,      /* an argument is not allowed: NULL or zero where neither may be, a size that overflows */
    POOL_ENOMEM = -2,      /* no memory, in the caller or in the arena */
    POOL_EAGAIN = -3,      /* the system has no process or descriptor to give */
    POOL_ECLOSED = -4,     /* the pool was shut down */
    POOL_EBUSY = -5,       /* too late: it is running or done; or too early: it is not done */
    POOL_ETIMEDOUT = -6,   /* this wait is over; what was waited for goes on */
    POOL_ECANCELLED = -7,  /* cancelled before it began, or killed on request */
    POOL_EFAILED = -8,     /* the task's function returned a value other than 0 */
    POOL_EDIED = -9,       /* its worker died under it; or, for all that was open, the pool's supervisor died */
    POOL_EDEADLINE = -10,  /* it ran past its own time-out, and its worker was killed */
    POOL_EINIT = -11,      /* the initializer keeps failing: the pool has no worker */
    POOL_EFOREIGN = -12,   /* a handle used in another process than the one that made it, or in a task of its pool */
    POOL_ECORRUPT = -13,   /* a worker overwrote the memory in which the outcome was kept */
    POOL_EDEPENDENCY = -14 /* not run, since a task or job that it comes after failed */
};

/* The name and meaning of a code, in English; also of 0 and of numbers that are no code. Never NULL, never freed. Never
 * blocks. From anywhere, workers and signal handlers included. */
PARPOOL_API const char *pool_strerror(int code);

/* Runs in a worker. `in` is the argument, `out` has room for out_size bytes, both aligned for any type of their size;
 * NULL where the task has none; both are the task's until it returns, and no longer. What out holds at the start is not
 * specified. 0 is success; any other value is the task's own failure code, and reaches the caller in
 * pool_failure.code. */
typedef int pool_fn(const void *in, void *out);

/* Why something failed. */
struct pool_failure {
    int error;         /* POOL_E…; 0: nothing failed */
    size_t index;      /* the item, in a job, a stream or a reduction; else 0 */
    int code;          /* what fn returned (POOL_EFAILED), what the initializer returned (POOL_EINIT), or the exit
                          status (POOL_EDIED by exit) */
    int signal;        /* what killed the worker (POOL_EDIED), else 0 */
    int cause;         /* POOL_EDEPENDENCY: the error of what failed first; index, code, signal and worker are its too,
                          and message names the error and what it said. Else 0 */
    pid_t worker;      /* the process it ran in; 0: none, or not known */
    char message[256]; /* one readable line; what task_fail() said, where the task used it */
};

/* ---- A pool ------------------------------------------------------------------------------------------------------ */

/* Where tasks run: see BACKENDS, at the end. */
enum {
    POOL_PROCESSES, /* in processes that the pool forks */
    POOL_THREADS,   /* in threads of the program */
    POOL_INLINE     /* in the call that submits: to debug, or to run without any concurrency */
};

struct pool_options {
    int workers;                   /* 0 and -1: one for every CPU that this process may use; -2: all but one; …, at
                                      least one; > 0: that many, at most 1024 */
    int (*initializer)(void *arg); /* runs first in every worker, respawned ones too; non-zero: the worker is not fit,
                                      and another is tried; NULL: none */
    void *initializer_arg;         /* passed to it; not looked at; NULL allowed */
    unsigned max_tasks_per_worker; /* 0: no limit; else a worker is replaced after so many tasks or items */
    size_t arena_size;             /* bytes of shared data at most: what pool_alloc() gave, and copies of arguments and
                                      results; 0: a default that no one need tune. Address space: see pool_alloc() */
    size_t memory_limit;           /* bytes of private data a worker may allocate beyond what it inherits (RLIMIT_DATA);
                                      above that its allocations fail; 0: no limit */
    size_t memory_soft_limit;      /* bytes of private memory, at its peak and beyond what it began with, above which a
                                      worker is replaced once its task is done; 0: no limit */
    int backend;                   /* POOL_PROCESSES, which is 0, POOL_THREADS or POOL_INLINE (which has one worker) */
    bool pin;                      /* binds each worker to one CPU of those it may use, in turn; where the system can
                                      (Linux), and not with POOL_INLINE */
    double max_load;               /* while the system's 1-minute load average is at least that, new tasks and chunks
                                      wait; 0: no limit. As with make --load, one worker goes on whatever the load; what
                                      runs is left alone. Workers look every 100 ms; where there is no such number it
                                      limits nothing */
    size_t min_free_memory;        /* bytes of memory that is available, in the system, below which new tasks and chunks
                                      wait, as with max_load; 0: no limit */
    /* These two are for POOL_PROCESSES; elsewhere a worker costs little, and they are ignored. */
    bool lazy;                     /* workers are started when there is work for them, not all at once */
    int idle_timeout;              /* ms after which a worker that found no work ends, to be started again when there
                                      is; 0: never. All of them may end so */
    /* In every backend. */
    void (*finalizer)(void *arg);  /* runs last in every worker that ends of itself: because the pool was shut down or
                                      made smaller, or it was idle, or had its number of tasks or its memory; not in one
                                      that is killed, dies or calls exit(), nor at pool_destroy(); NULL: none */
    void *finalizer_arg;           /* passed to it; not looked at; NULL allowed */
};

/* Makes a pool. options: NULL means defaults; not kept. *pool is the caller's, to be ended with pool_destroy(). Fewer
 * workers than asked for is no failure while one lives; if none can be started, what is submitted ends with
 * POOL_EAGAIN. POOL_EINVAL: pool is NULL, or an option out of range; POOL_ENOMEM: no memory or address space;
 * POOL_EAGAIN: no process, thread or descriptor; POOL_EINIT: with POOL_THREADS, where few could be made and the
 * initializer failed in all of them. Takes as long as a fork, and does not wait for the workers to start. From any
 * thread, and in a task for a pool of its own. */
PARPOOL_API int pool_create(const struct pool_options *options, struct pool **pool);

enum {
    POOL_CANCEL_PENDING = 1, /* what has not begun is cancelled (POOL_ECANCELLED) */
    POOL_KILL_RUNNING = 2    /* what is running is killed (POOL_ECANCELLED) */
};

/* Takes no more work, and waits until what was submitted is done; then ends the workers, and waits for the finalizer
 * where there is one. Futures, their results and the arena stay valid. flags: POOL_CANCEL_PENDING, POOL_KILL_RUNNING,
 * both, or 0: finish all. timeout: ms. May be called again, also with other flags. POOL_ETIMEDOUT: work is left (the
 * pool is closed all the same; call again); POOL_EINVAL: pool is NULL, unknown flags, or timeout < -1; POOL_EFOREIGN.
 * Blocks. From any thread. */
PARPOOL_API int pool_shutdown(struct pool *pool, int flags, int timeout);

/* Ends the pool and whatever still runs, in bounded time (in other backends, once tasks that run have returned); leaves
 * no process, descriptor, mapping or file, but for the private memory of futures. What was not done ends with
 * POOL_ECANCELLED, and calls of other threads that wait for it return. Futures stay valid until they are freed, with
 * their results (POOL_ENOMEM, where there is no memory to keep a large one); arena memory does not.
 * pool: NULL, or in another process or a task of it: nothing. Blocks, for moments. From any thread, but not in a
 * pool_job.progress or a stream's next(); the pool's last call. */
PARPOOL_API void pool_destroy(struct pool *pool);

/* CPUs this process may use: its affinity mask and its cgroup's quota counted; at least 1. Never blocks. From anywhere,
 * workers included, but no signal handler. */
PARPOOL_API int pool_cpu_count(void);

/* ---- One function over many items -------------------------------------------------------------------------------- */

struct pool_job {
    pool_fn *fn;     /* not NULL */
    const void *in;  /* count arguments of in_size bytes each; NULL: tasks have task_index() alone */
    size_t in_size;  /* bytes; > 0 if in is not NULL; else of no meaning */
    void *out;       /* count results of out_size bytes each, written where the item succeeded; NULL: results are not
                        wanted (fn then writes to scratch of out_size bytes) */
    size_t out_size; /* bytes; > 0 if out is not NULL */
    size_t count;    /* items, fewer than 2^40; 0: done at once. 4 bytes an item must find room beside what runs, in
                        arena_size or 256 MiB, whichever is more: POOL_ENOMEM */
    size_t chunk;    /* items a worker takes at a time; 0: chosen by measuring */
    int timeout;     /* ms one item may run, from its start; 0: no limit. The worker is killed: POOL_EDEADLINE */
    unsigned retries;             /* times an item is run again after its worker died under it: not when it was killed,
                                     on request or past its time-out */
    int *status;                  /* count outcomes, 0 or POOL_E…; NULL: not wanted */
    struct pool_failure *failure; /* the failed item with the lowest index; error 0: none failed; NULL: not wanted */
    struct pool_failure *failures; /* the same for all failed items, those with the lowest indices if there is not room
                                      for all: in their order, followed by zeroes. What task_fail() said is kept for at
                                      most 1000 of them. NULL: not wanted */
    size_t failures_room;         /* how many there is room for; 0 exactly if failures is NULL */
    size_t *failed;               /* how many items failed; NULL: not wanted */
    uint64_t seed;                /* what task_seed() starts from */
    /* Told how far the job is, inside calls of any thread that wait or look (pool_map, future_get, future_done,
     * pool_poll …), with POOL_INLINE in those that run it; by one of them at a time, with a pause of progress_interval
     * ms between calls (0: 100); for the last time when all have their outcome, and only then with done == count; the
     * future is done when that call has returned. Not called for a job without items, nor after future_free(), which
     * does not wait for a call that another thread is in. It may call the library, also to cancel or kill, submit and
     * free. What would wait there returns POOL_ETIMEDOUT instead (pool_poll: 0), and pool_map() and pool_reduce() do so
     * before they begin anything; other pools it may wait for. It must not call pool_destroy(). pool_progress_bar() is
     * a ready-made one. NULL: nobody is told */
    void (*progress)(const struct pool_progress *progress, void *arg);
    void *progress_arg;           /* passed to it; not looked at; NULL allowed */
    int progress_interval;        /* ms */
    int workers;                  /* with a NULL pool: as in struct pool_options; else not looked at */
    const void *context;          /* what task_context() is in all tasks of the job; NULL: nothing */
    size_t context_size;          /* bytes that are copied, once for the job, to where tasks can only read them; what
                                     lies in the arena is not copied. 0: the pointer is passed as it is: it leads to the
                                     arena, or to what existed at pool_create() */
};

/* An array, or a pointer to the first of several elements, as the arguments or the results: its address and the size of
 * one element. POOL_IN(&x) passes the single object x. POOL_IN is for struct pool_job, pool_task, pool_stream and
 * pool_reduction, POOL_OUT for pool_job and pool_reduction:
 *     pool_map(NULL, &(struct pool_job){.fn = square, POOL_IN(in), POOL_OUT(out), .count = 10}) */
#define POOL_IN(array) .in = (array), .in_size = sizeof *(array)
#define POOL_OUT(array) .out = (array), .out_size = sizeof *(array)

/* Runs job->fn over all items and blocks until each has an outcome. pool: NULL means one made for this call alone, so
 * that all of the program's memory, inputs included, is the workers' by fork and nothing is copied in. in, out, status,
 * failure and context stay the caller's; in and out that lie in the pool's arena are used in place, others are copied:
 * out by this call, and in, where it and its chunks are large and the system lets them, by workers as they come to it.
 * So nobody, its progress callback included, may change in meanwhile, and a task may read its own argument only, not
 * those beside it. 0 if all succeeded, else the outcome of the first that did not, by index; results of the others are
 * in place. What cannot be run for want of memory ends with POOL_ENOMEM, which status then tells. Or, and then nothing
 * was run, nor status written: POOL_EINVAL, POOL_ENOMEM, POOL_ECLOSED, POOL_EFOREIGN, or why the pool is broken:
 * POOL_EINIT, POOL_EAGAIN, POOL_EDIED; with pool NULL the codes of pool_create(); in a pool_job.progress of this pool
 * POOL_ETIMEDOUT. From any thread. */
PARPOOL_API int pool_map(struct pool *pool, const struct pool_job *job);

/* The same without waiting. *job is copied; in, out, status, failure and what in the arena it uses stay valid and
 * untouched until the future is done. pool: not NULL. *future is the caller's, to be freed with future_free();
 * future_get() on it returns what pool_map() would. POOL_EINVAL, POOL_ENOMEM, POOL_ECLOSED, POOL_EFOREIGN, or why the
 * pool is broken: POOL_EINIT, POOL_EAGAIN, POOL_EDIED. Never blocks, but copies what is not in the arena. From any
 * thread. */
PARPOOL_API int pool_map_async(struct pool *pool, const struct pool_job *job, struct future **future);

/* ---- One call ---------------------------------------------------------------------------------------------------- */

struct pool_task {
    pool_fn *fn;      /* not NULL */
    const void *in;   /* argument, copied before pool_submit() returns; NULL: none */
    size_t in_size;   /* bytes; > 0 exactly if in is not NULL */
    size_t out_size;  /* bytes of result, at most: see task_resize(); 0: none */
    int timeout;      /* ms it may run, from its start; 0: no limit. Its worker is killed: POOL_EDEADLINE */
    unsigned retries; /* times it is run again after its worker died under it: not when it was killed, on request or
                         past its time-out */
    int priority;     /* among tasks that wait, the highest begins first, equal ones in the order of submission */
    uint64_t seed;    /* what task_seed() starts from */
    struct future *const *after; /* after_count tasks and jobs of this pool: it begins when all are done, and finds
                                    their results with task_input(). The futures may be freed, and the array be gone,
                                    once pool_submit() has returned. One may be named twice. NULL: none */
    size_t after_count;
    const void *context; /* as in struct pool_job */
    size_t context_size;
};

/* ORDER AND SHARE
 *   - Tasks begin by priority, however many wait: those sent ahead to the workers are taken back when one comes that
 *     outranks them, and while priorities differ no more than 256 are sent ahead. Beyond recall is only what a worker
 *     holds: at most 8 tasks, several only while tasks take microseconds; whoever is idle takes them over.
 *   - All threads that submit to a pool are one line: who waits for one task at a time never waits for more than what
 *     was submitted before it, or has a higher priority. A lower priority may wait for ever while higher ones keep
 *     coming.
 *   - Jobs have no priority. Workers take tasks and chunks of jobs in turn, and different jobs in turn: none of them
 *     waits for the end of another.
 *
 * GRAPHS
 *   - A task that names others in `after` is held until they have succeeded. As soon as one has failed or was
 *     cancelled, the task ends without having run, with POOL_EDEPENDENCY, and so do those after it; future_failure()
 *     tells of each what failed first. Cycles cannot be made.
 *   - Results that it takes from others do not pass through the caller: one of more than 48 bytes stays where it lies
 *     in shared memory, until the last task that comes after it is done, its future freed or not.
 *   - A task is sent on its way when a call on the pool finds the last of its dependencies done: while the program is
 *     in no call, graphs do not move on.
 *   - There are no queues between tasks: a graph, or a stream, is how one feeds another. */

/* Submits one task; any number may be in flight. *task is copied, and its argument; context_size bytes of the context
 * are too. *future is the caller's, to be freed with future_free(). POOL_EINVAL: also for a future in `after` that is
 * NULL or of another pool; POOL_ENOMEM, POOL_ECLOSED, POOL_EFOREIGN, or why the pool is broken: POOL_EINIT,
 * POOL_EAGAIN, POOL_EDIED. Never blocks. From any thread. */
PARPOOL_API int pool_submit(struct pool *pool, const struct pool_task *task, struct future **future);

/* ---- Futures ----------------------------------------------------------------------------------------------------- */

/* Waits until the future is done, then copies a task's result: future_size() bytes. out: room for them, written on
 * success only; NULL: the result is not wanted; not looked at for a job. timeout: ms. Returns the outcome: 0 or why it
 * failed; or POOL_ETIMEDOUT, POOL_EINVAL, POOL_EFOREIGN. May be called again. Blocks. From any thread. */
PARPOOL_API int future_get(struct future *future, void *out, int timeout);

/* Waits until the future is done. timeout: ms. 0: it is, whatever its outcome; POOL_ETIMEDOUT; POOL_EINVAL;
 * POOL_EFOREIGN. Blocks. From any thread. */
PARPOOL_API int future_wait(struct future *future, int timeout);

/* Whether it has its outcome. NULL, or in another process: false. Never blocks. From any thread. */
PARPOOL_API bool future_done(const struct future *future);

/* Whether a worker is at it now. NULL, or in another process: false. Never blocks. From any thread. */
PARPOOL_API bool future_running(const struct future *future);

/* Cancels what has not begun. 0: it will never run, and is done with POOL_ECANCELLED; POOL_EBUSY: running or done;
 * POOL_EINVAL; POOL_EFOREIGN. Never blocks. From any thread. */
PARPOOL_API int future_cancel(struct future *future);

/* The same, but also what is running is ended, by killing its workers, which are replaced; items of a job that were
 * done keep their results. 0: it is, or within moments will be, done, with POOL_ECANCELLED unless it ended first;
 * POOL_EBUSY: it was done; POOL_EINVAL; POOL_EFOREIGN. Never blocks. From any thread. */
PARPOOL_API int future_kill(struct future *future);

/* Why it failed: fills *failure; failure->error is 0 if it succeeded. Neither may be NULL (POOL_EINVAL). POOL_EBUSY:
 * not done; POOL_EFOREIGN. Never blocks. From any thread. */
PARPOOL_API int future_failure(struct future *future, struct pool_failure *failure);

/* Bytes of the task's result: its out_size, or what it made of that with task_resize(). 0: it is not done, has failed,
 * or is a job; NULL, or in another process. Never blocks. From any thread. */
PARPOOL_API size_t future_size(const struct future *future);

/* Gives the future up; callbacks that have not begun never will. Before it is done the outcome is thrown away: the work
 * goes on, and tasks that come after it run, but nothing of the caller's memory is touched any more, save what lies in
 * the arena. NULL, or in another process: nothing. Never blocks. From any thread; the future's last call. */
PARPOOL_API void future_free(struct future *future);

/* ---- Inside a task ----------------------------------------------------------------------------------------------- */
/* None of these blocks. They are for the functions that a worker runs, pool_fn and combine, in the thread that runs
 * them; from anywhere else they say nothing, as is told of each. */

/* The item's index in its job, stream or reduction (for combine: the first item on its right); 0 in a task that was
 * submitted, and outside of tasks. */
PARPOOL_API size_t task_index(void);

/* A number for seeding: depends on the seed of the job or task and on task_index() alone; not on worker, chunk or
 * retry. Different items have different numbers. Outside of tasks: that of seed 0, index 0. */
PARPOOL_API uint64_t task_seed(void);

/* Sets the message of this task's failure and returns code: return task_fail(3, "no header in %s", name). format: as of
 * printf, cut at 255 bytes; NULL: no message is set. With code 0 nothing fails. Outside of tasks only returns code. */
PARPOOL_API int task_fail(int code, const char *format, ...) PARPOOL_PRINTF(2, 3);

/* The context of this task or of its job, read-only, valid until the task ends; NULL: it has none, and outside of
 * tasks. */
PARPOOL_API const void *task_context(void);

/* How many futures this task comes after; 0 outside of tasks. */
PARPOOL_API size_t task_input_count(void);

/* The result of the i-th of the futures that this task comes after, read-only, in shared memory, aligned for any type,
 * valid until the task ends; its bytes go to *size, if size is not NULL. NULL and 0: that one has no result, or is a
 * job, or there is no i-th; and outside of tasks. */
PARPOOL_API const void *task_input(size_t i, size_t *size);

/* Says that the result is only the first `size` bytes of out_size, in a task that was submitted or is an item of a
 * stream; the last call counts. So out_size may be generous: it is address space, of which memory is taken as the task
 * writes to it; but until the task is done all of it counts against arena_size. Without this call a result has out_size
 * bytes. POOL_EINVAL: more than out_size, or in an item of a job or of a reduction, or outside of tasks. */
PARPOOL_API int task_resize(size_t size);

/* ---- Shared data ------------------------------------------------------------------------------------------------- */

/* size bytes in the arena, at the same address in caller and workers, aligned for any type, zeroed. Where inputs and
 * results of jobs are more than a few MiB, let them lie here: nothing is copied then. Memory is taken
 * as it is touched, but where the system has huge pages of 2 MiB for it (Linux 6.1 or later): those that a large new
 * block fills are taken at once, if it is no more than an eighth of what memory is left, and small blocks, once they
 * are many, lie in such. NULL: the arena is full, size is 0, pool is NULL, or another process. The caller's, to be
 * given back with pool_free() or with the pool. Never blocks. From any thread; tasks use what they are given. */
PARPOOL_API void *pool_alloc(struct pool *pool, size_t size);

/* Gives back what pool_alloc() returned, once no task uses it. pool or data NULL, or in another process: nothing. Never
 * blocks. From any thread. */
PARPOOL_API void pool_free(struct pool *pool, void *data);

/* ---- Several futures, and callbacks ------------------------------------------------------------------------------ */

enum {                        /* what future_wait_many() waits for */
    POOL_ALL_COMPLETED = 0,   /* all are done */
    POOL_FIRST_COMPLETED = 1, /* one is done, whatever its outcome */
    POOL_FIRST_FAILED = 2     /* one has an outcome other than 0, or all are done */
};

/* Waits for several futures, of tasks and jobs alike. futures: count of one pool, none NULL; one that is there twice
 * counts once; NULL is allowed with a count of 0, for which nothing is waited for. until: one of the above. timeout:
 * ms. 0: it is so, and future_done() tells of which; POOL_ETIMEDOUT; POOL_EINVAL: also for futures of several pools;
 * POOL_ENOMEM; POOL_EFOREIGN. Blocks. From any thread. */
PARPOOL_API int future_wait_many(struct future *const *futures, size_t count, int until, int timeout);

/* A stream of these futures in the order in which they become done; those that are done come first, in the order of the
 * array. futures, count: as in future_wait_many(); the array is not kept, the futures stay the caller's. Each is told
 * of once; one that is freed before leaves the stream. *stream is the caller's, to be freed with stream_free(), which
 * leaves the futures alone. POOL_EINVAL, POOL_ENOMEM, POOL_EFOREIGN. Never blocks. From any thread. */
PARPOOL_API int future_as_completed(struct future *const *futures, size_t count, struct stream **stream);

/* The next future of such a stream, which stays its owner's. timeout: ms. 0: *future is done; POOL_END: all were told
 * of; POOL_ETIMEDOUT: none is done yet; POOL_ECANCELLED: a callback has freed the stream meanwhile; POOL_EBUSY: another
 * call on the stream is in progress; POOL_EINVAL: also for a stream of pool_imap(); POOL_EFOREIGN. However many futures
 * there are, each costs the same. Blocks. From any thread, one at a time. */
PARPOOL_API int stream_next_future(struct stream *stream, struct future **future, int timeout);

/* Has callback(future, arg) called once the future is done, whatever its outcome: by the first call on the pool, of any
 * thread, that finds it done, before that call returns or while it waits; at once if it is done already. Callbacks of a
 * pool are called one at a time, those of a future in the order in which they were added. One that becomes due while
 * another runs is called after that one, by the same thread: never inside it. A callback holds no lock and may make any
 * call: submit, wait, free any future that no call is waiting for, its own always, add callbacks, and as the last call
 * on the pool destroy it. While it runs, others wait, but calls of other threads do not. arg: passed on; not looked at;
 * NULL allowed. POOL_EINVAL, POOL_ENOMEM, POOL_EFOREIGN: it will not be called. Never blocks. From any thread. */
PARPOOL_API int future_on_done(struct future *future, void (*callback)(struct future *future, void *arg), void *arg);

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

struct pool_stream {
    pool_fn *fn;      /* not NULL; task_index() is the number of its item */
    /* Writes the next argument, in_size bytes, to `in`, aligned for any type; NULL if in_size is 0. 0: it did;
     * POOL_END: there is no more; any other value: the input fails, which is told after everything that came before: a
     * negative one is returned as it is, a positive one as POOL_EFAILED. Runs only within stream_next() of this stream,
     * and may make any call but pool_destroy(); stream_free() on its own stream ends the stream_next() with
     * POOL_ECANCELLED. NULL: the arguments are those of `in`. */
    int (*next)(void *next_arg, void *in);
    void *next_arg;   /* passed to it; not looked at; NULL allowed */
    const void *in;   /* with a NULL next: count arguments of in_size bytes each, unchanged until they are taken; in the
                         arena they are used in place, until they are done; NULL: tasks have task_index() alone */
    size_t in_size;   /* bytes; > 0 if in is used; 0 with a next: tasks have no argument */
    size_t count;     /* items; not looked at with a next */
    size_t out_size;  /* bytes of a result, at most: see task_resize(); 0: none */
    size_t window;    /* items at most that were taken from the input and not delivered; 0: several a worker,
                         fewer where in_size or out_size is large; with POOL_INLINE always 1. What the stream keeps in
                         memory is so many arguments and results, however long the input */
    int timeout;      /* ms one item may run, from its start; 0: no limit. The worker is killed: POOL_EDEADLINE */
    unsigned retries; /* times an item is run again after its worker died under it, as in struct pool_job */
    int priority;     /* as in struct pool_task */
    uint64_t seed;    /* what task_seed() starts from */
};

/* Makes a stream: fn over an input that may be endless. *options is copied. *stream is the caller's, to be freed with
 * stream_free(), before or after pool_destroy(). Results come in the order of the input, or with pool_imap_unordered()
 * as they are done. The input is read, and work goes to the workers, only within stream_next(). pool_shutdown() ends
 * the input with POOL_ECLOSED; what was taken from it is done and delivered. POOL_EINVAL, POOL_ENOMEM, POOL_ECLOSED,
 * POOL_EFOREIGN, or why the pool is broken: POOL_EINIT, POOL_EAGAIN, POOL_EDIED. Never blocks. From any thread. */
PARPOOL_API int pool_imap(struct pool *pool, const struct pool_stream *options, struct stream **stream);
PARPOOL_API int pool_imap_unordered(struct pool *pool, const struct pool_stream *options, struct stream **stream);

/* Waits for the next item and copies its result: stream_size() bytes. out: room for out_size bytes, written on success
 * only; NULL: the result is not wanted. timeout: ms; it does not bound what the input's next() takes. Returns 0, or why
 * the item failed: the stream goes on with the next; POOL_END: there is no more; POOL_ETIMEDOUT: nothing is lost. An
 * end of the input other than by POOL_END is returned once, then POOL_END: the code of its next(); POOL_ENOMEM: not
 * even one item finds room; POOL_ECLOSED, or why the pool is broken. POOL_ECANCELLED, where no item was killed: the
 * input or a callback has freed the stream. POOL_EBUSY: another call on the stream is in progress, of another thread,
 * or the one that this is made from; POOL_EINVAL: also for a stream of future_as_completed(); POOL_EFOREIGN. Blocks.
 * From any thread, one at a time. */
PARPOOL_API int stream_next(struct stream *stream, void *out, int timeout);

/* Of the item that stream_next() delivered last: its index, and error 0 or why it failed. Of an end of the input other
 * than by POOL_END: why, and how many items came before. failure: not NULL. POOL_EINVAL: also for a stream of
 * future_as_completed(); POOL_EBUSY: another call on the stream is in progress; POOL_EFOREIGN. Never blocks. From any
 * thread, one at a time. */
PARPOOL_API int stream_failure(struct stream *stream, struct pool_failure *failure);

/* Bytes of the result that stream_next() delivered last; 0: it failed, or there is none; NULL, in another process, or
 * while another call on the stream is in progress. Never blocks. From any thread, one at a time. */
PARPOOL_API size_t stream_size(struct stream *stream);

/* Ends the stream and its work: what has not begun is cancelled, what runs is killed, with its worker, which is
 * replaced; a stream that was read to its end has none. A stream of future_as_completed() lets its futures be. NULL, or
 * in another process: nothing. Never blocks. From any thread; the stream's last call, which ends one that is in
 * progress. */
PARPOOL_API void stream_free(struct stream *stream);

/* ---- Reduction --------------------------------------------------------------------------------------------------- */

/* Items are mapped to parts, and parts combined to one: functools.reduce(combine, map(fn, items)), with the calls of
 * combine in a tree. Each call of combine runs in a worker and joins neighbours, the left one first, so combine needs
 * to be associative but not commutative; and for rounding, or what is almost associative, the tree is the same in each
 * run: its shape depends on the number of items and on chunk, never on workers or on time. */
struct pool_reduction {
    pool_fn *fn;          /* an item's part, of out_size bytes; NULL: the items are parts already, and in_size is
                             out_size */
    int (*combine)(void *result, const void *right); /* result holds the left part, and is to hold both; 0 is success,
                                                        as for a pool_fn, whose task_…() functions it may use. Not
                                                        NULL */
    const void *in;       /* count items of in_size bytes each; NULL: items have task_index() alone, or come from
                             next */
    size_t in_size;       /* bytes; > 0 if in is not NULL; with next, the room that it is given: 0: none */
    size_t count;         /* items of in, or indices; 0 with next */
    /* Instead of in: the next item is written to `in`, aligned for any type of in_size bytes. 0: it was; POOL_END:
     * there is no more; else the input failed, with a code if negative, or as POOL_EFAILED. Runs in pool_reduce(), in
     * its thread, holds no lock, and may make any call. */
    int (*next)(void *next_arg, void *in);
    void *next_arg;       /* passed to it; not looked at; NULL allowed */
    size_t chunk;         /* items that one task combines from left to right; 0: 1 with next, else count / 1024, rounded
                             up */
    const void *identity; /* out_size bytes: the result of no items; NULL: no items are POOL_EINVAL */
    void *out;            /* the result, written on success only; not NULL */
    size_t out_size;      /* bytes of a part and of the result; > 0 */
    int timeout;          /* ms one task may run, of a chunk or of one call of combine; 0: no limit. The worker is
                             killed: POOL_EDEADLINE */
    unsigned retries;     /* times such a task is run again after its worker died under it, as in struct pool_job */
    struct pool_failure *failure; /* why it failed, with the item; for a call of combine, the first of those on its
                                     right; error 0: it did not; NULL: not wanted */
    uint64_t seed;        /* what task_seed() starts from */
    const void *context;  /* as in struct pool_job */
    size_t context_size;
    int workers;          /* with a NULL pool: as in struct pool_options; else not looked at */
};

/* Reduces, and blocks until the result is there. pool: NULL means one for this call alone, as in pool_map(). All that
 * options leads to stays the caller's. Neither items nor parts are ever all in memory: besides one part for each time
 * that the number of chunks can be halved, there are those of at most 8 tasks a worker and 16, or of more tasks where 1
 * MiB is enough for them; items in the arena are used in place. A failure ends it: what has not begun is not begun. 0;
 * the failure that comes first in the order of the tree, the same in each run; what next returned; or POOL_EINVAL,
 * POOL_ENOMEM, POOL_ECLOSED, POOL_EFOREIGN, or why the pool is broken: POOL_EINIT, POOL_EAGAIN, POOL_EDIED; with pool
 * NULL the codes of pool_create(); in a pool_job.progress of this pool POOL_ETIMEDOUT. From any thread. */
PARPOOL_API int pool_reduce(struct pool *pool, const struct pool_reduction *options);

/* ---- Event loops ------------------------------------------------------------------------------------------------- */

/* A descriptor for poll(2) and its like, readable whenever pool_poll() would do something; without Linux's epoll not
 * for the death of the supervisor alone. The pool's, until pool_destroy(): never read from it, never close it.
 * POOL_EINVAL: pool is NULL; POOL_ECLOSED: its workers had ended before the first call; POOL_EFOREIGN. Never blocks.
 * From any thread. */
PARPOOL_API int pool_fd(const struct pool *pool);

/* Moves things on. timeout: ms to wait until a future becomes done. Returns how many became done since the last call,
 * items of streams and tasks of reductions counted, 0 when the time is over or nothing is in flight; or POOL_EINVAL,
 * POOL_EFOREIGN. Blocks. From any thread. */
PARPOOL_API int pool_poll(struct pool *pool, int timeout);

/* ---- Size, statistics, progress ---------------------------------------------------------------------------------- */

/* Makes the pool larger or smaller, while work runs. workers: as in struct pool_options. More are started at once, in a
 * lazy pool when there is work for them, and join in jobs that run. Those that are too many begin no further task or
 * chunk of a job, and end when they have finished what they hold. With POOL_INLINE there is one all the same.
 * POOL_EINVAL: pool is NULL, or workers is out of range; POOL_ECLOSED; POOL_EFOREIGN; or why the pool is broken:
 * POOL_EINIT, POOL_EAGAIN, POOL_EDIED. Never blocks. From any thread. */
PARPOOL_API int pool_resize(struct pool *pool, int workers);

struct pool_worker_stats {
    pid_t pid;          /* 0: there is none at the moment; of threads, and with POOL_INLINE, the program's */
    bool busy;          /* it runs a task or an item */
    uint64_t tasks;     /* tasks and items that this worker has run, since it was started or replaced */
    uint64_t busy_ns;   /* ns that it has spent on them, up to now */
    size_t peak_memory; /* most bytes of private memory that process `pid` has had, to a MiB or two; 0: not known */
};

/* A task and an item of a job count alike, as one. */
struct pool_stats {
    int workers;      /* the pool's size */
    int busy, idle;   /* workers that live, with and without work */
    uint64_t queued;  /* not begun */
    uint64_t running; /* begun and not done */
    uint64_t done;    /* that have their outcome, ever */
    uint64_t failed;  /* of those, with another outcome than 0 */
    uint64_t retried; /* times that one was run again after its worker had died */
    uint64_t died;    /* workers that were killed, crashed, or called exit(), ever; those that end of themselves are
                         none */
    struct pool_worker_stats *list; /* set before the call: room for so many workers, lowest number first; NULL: none */
    int room, listed;               /* set before the call; set by it: how many were filled in */
};

/* What the pool does, and has done. *stats: list and room are the caller's, the rest is filled in. Figures of workers
 * are what they say of themselves, and all are of slightly different moments. Costs time in proportion to the jobs that
 * run; workers are not disturbed. POOL_EINVAL: a NULL pointer, room < 0, or list NULL and room > 0; POOL_EFOREIGN.
 * Never blocks. From any thread. */
PARPOOL_API int pool_stats(struct pool *pool, struct pool_stats *stats);

/* How far a job is, for pool_job.progress. */
struct pool_progress {
    size_t done;         /* items that have their outcome */
    size_t failed;       /* of those, with another than 0, as far as known */
    size_t count;        /* all */
    double seconds;      /* since the job was submitted */
    double rate;         /* items a second, on the average */
    double seconds_left; /* at that rate; < 0: nothing is known yet */
    size_t last_done;    /* what the call before was told; 0 at the first */
    double last_seconds;
};

/* A pool_job.progress: draws a bar with percent, items, rate and time left. progress: not NULL. arg: a FILE *, which
 * stays the program's; NULL: stderr. On a terminal it is one line, drawn again and again, and ended with a newline;
 * nothing is drawn by a program in the background. Elsewhere it is a line every 10 % and every 10 s, without control
 * characters. What cannot be written at once is dropped; errors are ignored; SIGPIPE is never raised. Waits for a
 * reader of the last line for 1 s at most. From anywhere but a signal handler. */
PARPOOL_API void pool_progress_bar(const struct pool_progress *progress, void *arg);

/* ---- Backends ---------------------------------------------------------------------------------------------------- */

/* BACKENDS
 *   The same program gives the same results and codes wherever its tasks run; what differs is what they can do to the
 *   program.
 *
 *                     POOL_PROCESSES               POOL_THREADS                  POOL_INLINE
 *   tasks run         in processes of their own    in threads of the program     in the call that submits or waits
 *   crash, exit()     POOL_EDIED, the pool goes on ends the program              ends the program
 *   kill, time-out    at once                      when the task returns         when the task returns
 *   endless task      can be killed                pool_destroy() waits for it   the call that runs it never returns
 *   leaks             end with the worker          stay in the program           stay in the program
 *   memory limits     kept                         ignored                       ignored
 *   globals           a copy for each worker, as   shared, with all that this    shared
 *                     they were at pool_create()   means for the task
 *   initializer       in each worker               in each thread, at once       in pool_create()
 *   finalizer         in each worker               in each thread                in pool_shutdown()
 *   replaced worker   a new process                the same thread, its          the same thread, its initializer run
 *                                                  initializer run again         again
 *   environment       threads of libraries limited the program's                 the program's
 *
 *   A task that could not be killed, or stopped when its time was over, has its outcome (POOL_ECANCELLED,
 *   POOL_EDEADLINE) once it has returned. Items of a job that have been claimed in the same chunk may be run before a
 *   kill is seen. Tasks and initializers cannot use their own pool in any backend (POOL_EFOREIGN). With POOL_INLINE a
 *   future is done when the call that made it returns; if several threads of the program submit, when future_get()
 *   does: one of them runs tasks at a time. In threads no signal is handled but those that a task raises by a fault. */

#ifdef __cplusplus
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#endif

#endif
