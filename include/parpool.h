/* parpool: parallel maps and futures over a pool of forked worker processes.
 *
 *     #include <parpool.h>
 *     #include <stdio.h>
 *
 *     static int square(const void *in, void *out) {
 *         *(long *)out = *(const long *)in * *(const long *)in;
 *         return 0;
 *     }
 *     int main(void) {
 *         long in[] = {1, 2, 3, 4}, out[4];
 *         int error = pool_map(NULL, &(struct pool_job){.fn = square, POOL_IN(in), POOL_OUT(out), .count = 4});
 *         for (int i = 0; !error && i < 4; i++) printf("%ld\n", out[i]);
 *         return error != 0;
 *     }
 *
 * A worker that crashes, hangs or is killed loses the item that it was running, and nothing else: the item ends with an
 * error that says why, a new worker takes the old one's place, and everything else is completed, exactly once. Only
 * pool_reduce(), which has one result for all items, fails with the first item that fails.
 *
 * Part 1 has what most programs use. Part 2 has the rest: CODES, CONCEPTS, FIELDS of the structs, the other functions,
 * SHARED DATA, OTHER HOSTS, ORDER, GRAPHS, BACKENDS, SANDBOX, SEEING, CAVEATS. */
#ifndef PARPOOL_H
#define PARPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__GNUC__)
#define PARPOOL_API __attribute__((visibility("default")))
#define PARPOOL_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define PARPOOL_API
#define PARPOOL_PRINTF(string, first)
#endif
#ifdef __cplusplus
extern "C" {
#endif

struct pool; struct future; struct stream; struct pool_progress; struct pool_host;

/* ==== Part 1 =========================================================================================================
 *
 * CONTRACTS
 *   parameters  No pointer may be NULL (POOL_EINVAL) unless the contract says what NULL means. In a struct of options
 *               zero or NULL means the default. timeout: ms; -1 waits for ever, 0 only looks; less is POOL_EINVAL.
 *   Returns     0, or a negative POOL_E… code, and then out-parameters are unchanged. CODES explains each code, and
 *               "broken". Where a code has an extra cause in one call, it has a line of its own. errno has no meaning.
 *               A call that has no code to return does nothing, and returns 0, false or NULL, if its pool, future or
 *               stream is NULL, or where a call that has one returns POOL_EFOREIGN.
 *   Blocks      "No": the call waits for no task and no worker. It may run callbacks; with POOL_INLINE, tasks too.
 *   Callable    "Any thread": of the process that made the pool, at the same time as others, also in a callback, but
 *               not in a signal handler or in a task of that pool (POOL_EFOREIGN).
 *   Ownership   "Unchanged": what was passed stays the caller's. */

/* Runs in a worker. in: the argument. out: room for out_size bytes, of undefined content. Both are aligned for any
 * object of their size and valid until the function returns. `in` is NULL without an argument, `out` without a result.
 * Returns 0 on success; any other value is the task's own failure code, which the caller finds in pool_failure.code. */
typedef int pool_fn(const void *in, void *out);
typedef int pool_block_fn(const void *in, void *out, size_t count); /* of neighbouring items: see FIELDS */

struct pool_failure { /* why something failed */
    int error;         /* POOL_E…; 0: nothing failed */
    size_t index;      /* the item, in a job, a stream or a reduction; else 0 */
    int code;          /* what fn returned (POOL_EFAILED), or the initializer (POOL_EINIT); exit status (POOL_EDIED) */
    int signal;        /* that killed the worker (POOL_EDIED); else 0 */
    int cause; size_t dependency; uintptr_t frames[8]; /* see FIELDS; else 0 */
    pid_t worker;      /* the process that ran the task; 0: none, or not known */
    char message[256]; /* one line; text of a task with \n or \x1b for such characters, as given to task_fail() */
};

struct pool_options {
    int workers;                   /* 0: one for each CPU that the process may use; > 0: so many; < 0: see FIELDS */
    int (*initializer)(void *arg); /* runs first in every worker, replacements too; non-zero: unfit, another is tried */
    void *initializer_arg;         /* passed to the initializer; may be NULL */
    unsigned max_tasks_per_worker; /* a worker is replaced after so many tasks or items; 0: no limit */
    int backend;                   /* POOL_PROCESSES, which is 0, POOL_THREADS or POOL_INLINE: see BACKENDS */
    size_t arena_size, memory_limit, memory_soft_limit, min_free_memory, stack_size; /* this and the rest: see FIELDS */
    bool pin, lazy, keep_oom_score, keep_children, fresh_after_failure, capture, ask_killed, ship; int sandbox;
    void (*finalizer)(void *arg); void *finalizer_arg; const char *trace;
    const char *hosts, *launcher, *host_env; int idle_timeout, host_start, host_silence, host_min; double max_load;
    void (*host_event)(const struct pool_host *host, void *arg); void *host_event_arg;
};

/* Makes a pool. This takes as long as one fork. Fewer workers than asked for are no failure: the rest is tried
 * again, see CODES. If the pool never gets even one worker, submitted work ends with POOL_EAGAIN.
 * options: copied; NULL: defaults. pool: receives the pool.
 * Returns: 0, POOL_EINVAL, POOL_ENOMEM, POOL_EAGAIN, POOL_ENOTSUP
 *     POOL_EINIT: with POOL_THREADS, few threads could be made, and the initializer failed in all of them
 * Blocks: no. Callable: any thread; in a task, for a pool of its own. Ownership: the caller's, until pool_destroy(). */
PARPOOL_API int pool_create(const struct pool_options *options, struct pool **pool);

/* Ends the pool and what still runs, in bounded time, and leaves no descriptor, mapping or file, and no process save
 * those of CAVEATS. Work that is not done ends with POOL_ECANCELLED; calls of other threads that wait for it return.
 * Returns: nothing. Blocks: for moments; with POOL_THREADS and POOL_INLINE until running tasks have returned.
 * Callable: any thread, as the last call; not in a progress callback or next(): it waits until these have returned.
 * Ownership: the arena ends. Futures keep their results until they are freed (POOL_ENOMEM: no room to copy one to). */
PARPOOL_API void pool_destroy(struct pool *pool);

struct pool_job {
    pool_fn *fn; pool_block_fn *block; /* one of the two, the other NULL */
    const void *in; size_t in_size; /* count arguments of in_size bytes; NULL: tasks have their task_index() alone */
    void *out; size_t out_size;     /* count results, each written if its item succeeds; NULL: not wanted */
    size_t count;                   /* items; 0: the job is done at once */
    size_t chunk;                   /* items that a worker claims at a time; 0: chosen by measuring; see FIELDS */
    int timeout, cpu_timeout;       /* ms that an item may run, or use the CPU; then its worker is killed */
    unsigned retries;               /* times that an item is run again after its worker died */
    int *status;                    /* count outcomes, 0 or POOL_E…; NULL: not wanted */
    struct pool_failure *failure;   /* of the failed item with the lowest index; error 0: none; NULL: not wanted */
    int workers;                    /* of pool_map(NULL, …): as in struct pool_options */
    uint64_t seed;                  /* see task_seed() */
    struct pool_failure *failures; size_t failures_room, *failed; /* these and the rest: see FIELDS */
    void (*progress)(const struct pool_progress *progress, void *arg); void *progress_arg; int progress_interval;
    const void *context; size_t context_size, *out_sizes;
};

/* Set the pointer and the element size from an array or a pointer. For one object x: POOL_IN(&x). POOL_IN is for
 * pool_job, pool_task, pool_stream, pool_reduction; POOL_OUT for the first and the last. */
#define POOL_IN(array) .in = (array), .in_size = sizeof *(array)
#define POOL_OUT(array) .out = (array), .out_size = sizeof *(array)

/* Runs job->fn or job->block over all items and waits until each has an outcome.
 * pool: NULL: a pool is made for this call. Its workers are forked now, so they see all memory as it is, and arguments
 *   are not copied. job: what it points to stays the caller's; arguments must not change meanwhile: see SHARED DATA.
 * Returns: 0 if all succeeded, else the outcome of the failed item with the lowest index; other results are in place.
 *   If the job could not be begun, nothing runs, status stays as it was, and the code is POOL_EINVAL, POOL_ENOMEM,
 *   POOL_ECLOSED, POOL_EFOREIGN, why the pool is broken, or with a NULL pool a code of pool_create()
 *     POOL_ETIMEDOUT: called in a pool_job.progress of this pool
 * Blocks: yes. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int pool_map(struct pool *pool, const struct pool_job *job);

struct pool_task {
    pool_fn *fn;
    const void *in; size_t in_size; /* the argument; NULL and 0: none */
    size_t out_size;                /* bytes of the result at most: see task_resize(), POOL_ANY_SIZE; 0: none */
    int timeout, cpu_timeout; unsigned retries; uint64_t seed; /* as in struct pool_job */
    int priority; /* waiting tasks start by priority, highest number first; equal ones in the order of submission */
    struct future *const *after; size_t after_count; /* what it comes after: see FIELDS */
    const void *context; size_t context_size; void *arg; bool notify; /* see pool_job, future_arg(), pool_next_done() */
};

/* Submits one task to the pool. Any number may be in flight.
 * task: copied, with its argument and context_size bytes of its context. future: receives the future.
 * Returns: 0, POOL_EINVAL, POOL_ENOMEM, POOL_ECLOSED, POOL_EFOREIGN, or why the pool is broken
 * Blocks: no. Callable: any thread. Ownership: the future is the caller's, until future_free(). */
PARPOOL_API int pool_submit(struct pool *pool, const struct pool_task *task, struct future **future);

/* Waits until the future is done and copies a task's result, future_size() bytes. May be called again.
 * out: room, written on success only; NULL: not wanted; ignored for a job. timeout: ms.
 * Returns: the outcome, 0 or why the task or job failed; or POOL_ETIMEDOUT, POOL_EINVAL, POOL_EFOREIGN
 * Blocks: yes. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int future_get(struct future *future, void *out, int timeout);

/* Gives the future up. Callbacks that have not started never will. Unfinished work, and tasks after it, still run; the
 * outcome is thrown away, and nothing is written to the program's memory except in the arena.
 * Returns: nothing. Blocks: no. Callable: any thread, as the future's last call. Ownership: freed. */
PARPOOL_API void future_free(struct future *future);

/* Tells why the task or job of the future failed.
 * failure: filled in; error is 0 if it did not fail.
 * Returns: 0, POOL_EBUSY, POOL_EINVAL, POOL_EFOREIGN. Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int future_failure(struct future *future, struct pool_failure *failure);

/* Sets the message of the task's failure: return task_fail(3, "no header in %s", name);
 * code: returned; if the task returns 0, the text is dropped. format: as of printf(), cut at 255 bytes; NULL: none.
 * Returns: code. Blocks: no. Callable: a task; elsewhere it only returns code. Ownership: unchanged. */
PARPOOL_API int task_fail(int code, const char *format, ...) PARPOOL_PRINTF(2, 3);

/* The index of the item in its job, stream or reduction; in combine, of the first item on the right.
 * Returns: the index; 0 in a submitted task. Blocks: no. Callable: a task; elsewhere 0. Ownership: unchanged. */
PARPOOL_API size_t task_index(void);

/* A seed for random numbers, another one for each item. It depends on the job's or task's seed and task_index() alone.
 * Returns: a number. Blocks: no. Callable: a task; elsewhere seed and index are 0. Ownership: unchanged. */
PARPOOL_API uint64_t task_seed(void);

struct pool_stream {
    pool_fn *fn; /* task_index() is the number of its item */
    int (*next)(void *next_arg, void *in); /* writes an argument to in; returns 0, or POOL_END: no more; NULL: use in */
    void *next_arg; int (*next_sized)(void *next_arg, void *in, size_t *size); /* see FIELDS */
    const void *in; size_t in_size, count; /* without next: as in struct pool_job; with it: in_size of an argument */
    size_t out_size;                       /* as in struct pool_task */
    int timeout, cpu_timeout; unsigned retries; uint64_t seed; /* as in struct pool_job */
    int priority; const void *context; size_t context_size, window; /* as in struct pool_task; see FIELDS */
};

/* Makes a stream of the pool: fn over an input that may be endless, results in its order. Input is read, and work is
 * submitted, only in stream_next(). pool_shutdown() ends the input with POOL_ECLOSED; items read before are delivered.
 * options: copied. stream: receives the stream.
 * Returns: 0, POOL_EINVAL, POOL_ENOMEM, POOL_ECLOSED, POOL_EFOREIGN, or why the pool is broken
 * Blocks: no. Callable: any thread. Ownership: the caller's, until stream_free(), before or after pool_destroy(). */
PARPOOL_API int pool_imap(struct pool *pool, const struct pool_stream *options, struct stream **stream);

/* Waits for the next item and copies its result, stream_size() bytes.
 * stream: not of future_as_completed(). out: room for out_size bytes, written on success only; NULL: not wanted.
 * timeout: ms; it does not bound the input's next().
 * Returns: 0, why the item failed (the stream goes on), or POOL_EBUSY, POOL_EINVAL, POOL_EFOREIGN, POOL_ETIMEDOUT
 *     POOL_END: there are no more items
 *     POOL_ECANCELLED: also if the stream was freed meanwhile: by the input, a callback or another thread
 *     POOL_ENOMEM: also if there is no room for even one item, which ends the input
 *   An input that fails is reported once, before POOL_END: the code of next(), POOL_ECLOSED, or why the pool is broken
 * Blocks: yes. Callable: any thread, one at a time. Ownership: unchanged. */
PARPOOL_API int stream_next(struct stream *stream, void *out, int timeout);

/* Ends the stream and its work: its items are cancelled or killed. Futures of future_as_completed() are left alone.
 * Returns: nothing. Blocks: no. Callable: any thread, as the last call; it ends one in progress. Ownership: freed. */
PARPOOL_API void stream_free(struct stream *stream);

/* The name and the meaning of a code, in English.
 * code: POOL_E…, POOL_END, 0 or any other number.
 * Returns: a text, never NULL. Blocks: no. Callable: anywhere, in signal handlers too. Ownership: never to be freed. */
PARPOOL_API const char *pool_strerror(int code);

/* ==== Part 2 =========================================================================================================
 *
 * CODES
 *   A pool is broken if it has no worker and can get none: the initializer keeps failing (POOL_EINIT), the supervisor
 *   died, or workers die again and again before they begin anything (POOL_EDIED) or cannot enter their sandbox
 *   (POOL_ENOTSUP), or the system had no process to give from the start (POOL_EAGAIN). All open work ends with that
 *   code. A later shortage of processes passes: work waits, pool_stats() tells why, and the size comes back; at
 *   pool_shutdown() what has no worker ends with POOL_EAGAIN.
 *   A size is POOL_EINVAL if its product with count overflows size_t, or, as arena_size or stack_size, if it is more
 *   than SIZE_MAX / 8. What else does not fit is POOL_ENOMEM, as is a map, before it begins, whose arguments and
 *   results find no room in the arena. */
enum {
    POOL_END = 0x504f4f4c, /* no failure: there are no more; a number that no next() returns by accident */
    POOL_EINVAL = -1,      /* an argument is not allowed: NULL or zero where neither may be, a size that overflows */
    POOL_ENOMEM = -2,      /* no memory, in the caller or in the arena */
    POOL_EAGAIN = -3,      /* the system has no process, thread or descriptor to give */
    POOL_ECLOSED = -4,     /* the pool was shut down */
    POOL_EBUSY = -5,       /* it is already running or done; it is not yet done; the stream is in another call */
    POOL_ETIMEDOUT = -6,   /* the wait is over; what it waited for goes on */
    POOL_ECANCELLED = -7,  /* cancelled before it started, or killed on request */
    POOL_EFAILED = -8,     /* the task's function returned a value other than 0 */
    POOL_EDIED = -9,       /* its worker died; or the supervisor of the pool died before it was done */
    POOL_EDEADLINE = -10,  /* it ran past its own timeout or cpu_timeout, and its worker was killed */
    POOL_EINIT = -11,      /* the initializer keeps failing: the pool has no worker */
    POOL_EFOREIGN = -12,   /* a handle was used in a process that did not make it, or in a task of its pool */
    POOL_ECORRUPT = -13,   /* a worker overwrote the memory that held the outcome */
    POOL_EDEPENDENCY = -14, /* not run, since a task or job that it comes after failed */
    POOL_ENOTSUP = -15     /* the system cannot do what an option asks for */
};

#define PARPOOL_VERSION_MAJOR 0
#define PARPOOL_VERSION_MINOR 2
#define PARPOOL_VERSION_PATCH 0
/* Of the header that a program was compiled with: a number that grows with each version, 200 for 0.2.0. */
#define PARPOOL_VERSION (PARPOOL_VERSION_MAJOR * 10000 + PARPOOL_VERSION_MINOR * 100 + PARPOOL_VERSION_PATCH)

/* CONCEPTS
 *   pool        Worker processes, and the supervisor: the process that forks them, watches them and tells the caller.
 *   task        One call of a pool_fn in a worker: pool_submit().
 *   job         One function over many items: pool_map(), pool_map_async().
 *   started     A worker has begun it. A task or item that is not started can be cancelled; one that runs, killed.
 *   done        It has its outcome: 0, or the code that says why it failed. A job is done when all of its items are.
 *   future      The outcome, one day, of a task or a job.
 *   graph       Tasks that come after others and take their results: pool_task.after.
 *   stream      One function over an input of any length, results taken one at a time: pool_imap(). Or a set of
 *               futures, taken as they become done: future_as_completed().
 *   reduction   One function over many items, its results combined into one, always in the same order: pool_reduce().
 *   arena       Memory that caller and workers see at the same address, never copied: pool_alloc().
 *   backend     Where tasks run: in processes, as described here, in threads, or in the caller: see BACKENDS.
 *
 * FIELDS of struct pool_options
 *   Fields marked * have a meaning with POOL_PROCESSES alone. A limit of 0 is none.
 *   workers  -1: as 0; -2: all CPUs but one; and so on, but at least one. At most 1024. With POOL_INLINE always one.
 *   arena_size  bytes of shared data at most: blocks of pool_alloc(), copies of arguments and results. It is address
 *       space; memory is taken as it is touched. 0: as much as the machine has memory; where address space is limited
 *       (RLIMIT_AS, vm.overcommit_memory=2, valgrind), so little that three quarters of it are left to the program, but
 *       at least 4 MiB. Under qemu-user set a few MiB: the default takes it seconds and much memory.
 *   stack_size  bytes of stack, rounded up, for initializer, tasks and finalizer, which then run in a thread of the
 *       worker. 0: they run in the worker's copy of the thread that called pool_create(), as bindings need, on what is
 *       left of its stack: 8 MiB in many programs, 128 KiB in musl's threads. With POOL_THREADS that of each thread (0:
 *       the C library's default); POOL_INLINE has the caller's. Its overflow is told as that.
 *   memory_limit  bytes of private data that a worker may add to what it inherits (RLIMIT_DATA).
 *   memory_soft_limit  bytes; a worker is replaced once its peak of private memory is so far above that at its start.
 *   max_load  while the system's 1-minute load average is at least that, new tasks and chunks wait, save those of one
 *       worker. The pool looks every 100 ms. No limit where the system has no such number.
 *   min_free_memory  while fewer bytes are available in the system, new tasks and chunks wait, as with max_load.
 *   pin  binds each worker to one of its CPUs, in turn, where the system can (Linux); not with POOL_INLINE.
 *   lazy  * starts workers when there is work for them, not all at once.
 *   idle_timeout  * ms after which a worker that found no work ends, even the last; work starts them again. 0: never.
 *   keep_oom_score  * leaves the workers' oom_score_adj as it is. Else it is 1000: where memory runs out, the kernel
 *       ends them, and what they started, first (Linux).
 *   keep_children  * leaves what tasks have started running when worker or pool end. Else those in the worker's process
 *       group are killed.
 *   fresh_after_failure  a worker whose task or item has failed (POOL_EFAILED) is replaced before it runs anything
 *       else, as one that died always is. Claiming an item takes some 50 ns more. With POOL_THREADS and POOL_INLINE the
 *       initializer runs again, but the memory is the program's.
 *   ask_killed  * a worker that is killed on request may first say where it is, as one past its time-out always may:
 *       message and frames of the failure have it, of tasks on this host. It takes 2 ms (20 without a CPU).
 *   capture  * what initializer, tasks and finalizer, and their children, print to stdout and stderr is passed on to
 *       the program's own once the task or item has ended, each line with the function and task_index(): "[decode 58]
 *       no header". The last line of one that died or was killed, of stderr if it has any, is in its failure's message.
 *       stdout is line-buffered then, and neither is a terminal. Of a death, what is not read within 100 ms is lost. A
 *       worker that cannot have two more descriptors prints as without it.
 *   sandbox  POOL_SANDBOX_COMPUTE: once its initializer has succeeded a worker can only compute: see SANDBOX.
 *   trace  a file for ui.perfetto.dev or speedscope (Chrome trace events), which replaces one of this name when the
 *       pool ends, or moments after the program: what each worker and host ran when, waits of calls, deaths, kills,
 *       retries, how many tasks wait and workers are busy; with POOL_THREADS and POOL_INLINE no deaths, kills and
 *       counts. %p in the name is the process. NULL: $PARPOOL_TRACE, to which the second pool of a process appends .2,
 *       and which workers do not have; "": none. POOL_EINVAL: the file cannot be made. Short tasks take a tenth longer
 *       at most. Of each worker the last 65,536 spans are kept, fewer in pools of more than 16; "lost" counts others.
 *   finalizer  runs last, with finalizer_arg, in each worker that ends by itself: at pool_shutdown(), in a smaller
 *       pool, when idle, at its limit of tasks or memory. Not in one that is killed, dies or calls exit(), nor at
 *       pool_destroy(). Until it returns the worker has no successor, so it is killed on request, past a time-out (see
 *       pool_job.timeout), and once it keeps work waiting for more than 10 s and the longest time-out.
 *   hosts  hosts beside this one; NULL: $PARPOOL_HOSTS; "": none. The pool goes on without those that cannot be
 *       reached. POOL_EINVAL, with the reason on stderr: this is no list, pool_serve() was not called, initializer,
 *       finalizer or what is passed to them is no part of the program, or the backend is not POOL_PROCESSES.
 *       POOL_ENOTSUP: the system does not tell where functions lie. $PARPOOL_HOSTS means nothing to other backends, to
 *       pools of one call (pool NULL) and to those that tasks make.
 *   launcher  the command of the shell that starts a node: %h is the host, %n its CPUs, %c the node's command, quoted
 *       for that shell. NULL: $PARPOOL_LAUNCHER, else ssh, or srun for hosts of an allocation.
 *   host_env  variables that nodes get, NAME or NAME=value, with commas. NULL: those in $PARPOOL_ENV.
 *   host_start  ms that a host has to greet. 0: $PARPOOL_START, else 60,000.
 *   host_silence  ms of silence after which a host is lost. 0: $PARPOOL_SILENCE, else 10,000.
 *   host_min  pool_create() waits for so many hosts, for host_start at most; POOL_EAGAIN, and a line on stderr: they
 *       are not to be had. 0: they join later.
 *   ship  the program is sent to the hosts; else it must be there, at the same path. $PARPOOL_SHIP=1: true.
 *   host_event  called with host_event_arg, in the program's calls, one at a time, when a host is up, lost or refused.
 *       It may make any call but pool_destroy(). NULL: stderr tells of the last two.
 *
 * FIELDS of struct pool_job
 *   block  instead of fn: handles count neighbouring items in one call, arguments side by side at in, results at out;
 *       task_index() is the first. A compiler may vectorise its loop, and time-outs cost nothing an item. A call has as
 *       many items as take 0.2 ms by the worker's clock, or an eighth of the time-out, at most 16,384 or `chunk`. It
 *       returns 0 if all succeeded; see task_fail_item(). If it returns another value, dies, or runs for three quarters
 *       of the time-out, its items are run again, each alone, with a count of 1, and with time-out and retries of their
 *       own: only what fails then has failed. So it must be repeatable: same arguments, same results, no other effect.
 *       A kill on request is of all items of the call; so is one past a time-out if the system does not end the worker.
 *       POOL_EINVAL: in and out overlap, or there are out_sizes.
 *   in_size, out_size  > 0 if in, or out, is not NULL. Else in_size is ignored; fn writes to out_size bytes of scratch.
 *   count  below 2^40. Running jobs need a byte an item, with failures_room above 1000 five: together at most
 *       arena_size or 256 MiB, whichever is more (arena_size where address space is limited); else POOL_ENOMEM.
 *   chunk  no promise that one worker runs these items: while items are slow, a worker without work takes over what
 *       another has claimed and not begun, down to a single item.
 *   timeout  ms by the clock since the item's start, after which its worker is killed (POOL_EDEADLINE): never before,
 *       and in a job up to an eighth of the time-out or 100 ms later, whichever is less. Waits for a CPU count, and so
 *       does writing what the item has printed to stdout: if that is not read, the item that printed ends, not the next
 *       one. Without a time-out, items that a worker runs in one go share the writing; a death or a kill meanwhile
 *       costs the last of them. The longest time-out of open work also bounds finalizers, and an initializer that
 *       exceeds it by 1 s and ten times what any has taken so far counts as failed. Neither costs an item.
 *   cpu_timeout  the same in ms of CPU time of the worker, all its threads, but not its children: never before, and a
 *       quarter or 200 ms later, whichever is less. Sleep uses none. With POOL_THREADS and POOL_INLINE it is that of
 *       the thread. It bounds no finalizer and no initializer.
 *   retries  not for an item that was killed, on request or past its time-out, nor with POOL_THREADS and POOL_INLINE. A
 *       retry is run after the job's other items by a fresh worker, which has run nothing since its initializer: so one
 *       saves what died of a worker that an earlier item had spoilt.
 *   status  POOL_ENOMEM: the item could not be run for lack of memory.
 *   failures  as failure, of the lowest failed items, in their order, failures_room at most; then zeroes. NULL exactly
 *       if failures_room is 0. Texts of task_fail() are kept for 1000. `failed` receives how many failed.
 *   progress  is called with progress_arg in calls of any thread that wait or look (pool_map(), future_done(),
 *       pool_poll() …; with POOL_INLINE in those that run the job): by one thread at a time, progress_interval ms (0:
 *       100) apart. The last call, and only that, has done == count; the future is done when it returns. There is none
 *       for a job without items, nor after future_free(), which does not wait for one in another thread. The function
 *       may make any call but pool_destroy(). One that would wait for this pool returns POOL_ETIMEDOUT (pool_poll():
 *       0), pool_map() and pool_reduce() before they start anything; other pools may be waited for.
 *   out_sizes  receives count sizes: what the item made of out_size with task_resize(), 0 if it failed. The results lie
 *       out_size bytes apart all the same. NULL: task_resize() is refused in the items.
 *   context  what task_context() returns in all tasks of the job. NULL: nothing.
 *   context_size  bytes that are copied, once for the job, to where tasks can only read them; those in the arena are
 *       not. 0: the pointer is passed as it is: into the arena, or to what existed at pool_create().
 *
 * FIELDS of struct pool_failure
 *   cause  the error of the task or job that failed first, by itself. The fields but error describe that.
 *   dependency  which element of `after` ended this task: the one that failed first, or was itself not run.
 *   frames  addresses of code, 0 behind the last. POOL_EDIED: where the worker crashed (of abort(): outside the C
 *       library), then where its callers go on, up to the task. POOL_EDEADLINE, and POOL_ECANCELLED with ask_killed:
 *       where it was, if it has said so. The message has them as functions and offsets; for addr2line(1) it is
 *       prog+0x1234. None: another process has killed the worker, a task handles or blocks the signal (SIGSYS asks), or
 *       this is not Linux on x86-64 or AArch64. Of abort() and assert() the message also has the C library's words:
 *       with musl only by `capture`, with glibc not in a stripped static program or, without `capture`, in a sandbox.
 *
 * FIELDS of struct pool_task
 *   in  is copied before pool_submit() returns. in_size is > 0 exactly if in is not NULL.
 *   out_size  bytes of room. More than 4096 are found when the task is the next to be sent to the workers: it waits
 *       while results that are held leave no room for it in the arena, and others overtake it. If nothing runs that
 *       could make room, a call that would wait for ever ends it with POOL_ENOMEM. With `after` it has its room from
 *       the beginning.
 *   after  after_count tasks and jobs of this pool: the task starts when all have succeeded, and finds their results
 *       with task_input(). One may be named twice. Futures may be freed after pool_submit(). NULL: none.
 *
 * FIELDS of struct pool_stream
 *   next  gets next_arg, which may be NULL, and writes in_size bytes to `in`, aligned for any type; NULL if in_size is
 *       0: tasks have no argument. A value other than 0 and POOL_END, 1 included, means that the input fails:
 *       stream_next() returns it after all that came before, a positive one as POOL_EFAILED. It runs only in
 *       stream_next() of its stream, and may make any call but pool_destroy(). stream_free() of its own stream ends
 *       that stream_next() with POOL_ECANCELLED.
 *   next_sized  instead of next, for arguments of different sizes: *size is in_size, the room, and then what was
 *       written, which task_in_size() tells the task. More than the room: the input fails, POOL_EINVAL.
 *   in  without next: unchanged until the arguments are taken; those in the arena are used in place, until they are
 *       done. NULL: tasks have task_index() alone. With next, count is ignored.
 *   window  items at most that were taken from the input and not delivered: so many arguments and results are in
 *       memory. 0: several a worker, fewer if in_size or out_size is large. With POOL_INLINE always 1.
 *   context  is copied once for the stream, as that of a job. */

/* ---- The pool ---------------------------------------------------------------------------------------------------- */

enum {
    POOL_CANCEL_PENDING = 1, /* work that has not started is cancelled (POOL_ECANCELLED) */
    POOL_KILL_RUNNING = 2    /* running work is killed (POOL_ECANCELLED), finalizers too: at the end they have 1 s */
};

/* Closes the pool to new work, waits until submitted work is done, and ends the workers, after their finalizers.
 * Futures, their results and the arena stay valid. May be called again, also with other flags.
 * flags: POOL_CANCEL_PENDING, POOL_KILL_RUNNING, both, or 0: finish all. timeout: ms.
 * Returns: 0, POOL_EINVAL, POOL_EFOREIGN
 *     POOL_ETIMEDOUT: work is left; the pool is closed all the same; call again
 * Blocks: yes. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int pool_shutdown(struct pool *pool, int flags, int timeout);

/* Interrupts the pool, as for Ctrl-C: what runs is killed, what waits is cancelled, and calls that wait for it return
 * POOL_ECANCELLED. It happens in a call that waits, which need not be in progress yet. Results that are there stay, and
 * the pool can be used on. pool: of this process; pool_destroy() must not have been called.
 * Returns: 0, POOL_EINVAL, POOL_EFOREIGN
 * Blocks: no. Callable: any thread, in signal handlers too. Ownership: unchanged. */
PARPOOL_API int pool_interrupt(struct pool *pool);

/* Counts the CPUs that this process may use, by its affinity mask and its cgroup's quota.
 * Returns: the number, at least 1. Blocks: no. Callable: anywhere but in a signal handler. Ownership: unchanged. */
PARPOOL_API int pool_cpu_count(void);

/* Makes the pool larger or smaller, while work runs. New workers are started at once, in a lazy pool when there is work
 * for them, and join jobs that run. Surplus workers start no further task or chunk, and end when they have finished
 * what they hold. workers: as in struct pool_options.
 * Returns: 0, POOL_EINVAL, POOL_ECLOSED, POOL_EFOREIGN, or why the pool is broken
 *     POOL_EAGAIN: as in future_kill()
 * Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int pool_resize(struct pool *pool, int workers);

struct pool_worker_stats {
    pid_t pid;          /* 0: there is none at the moment; the program's, for threads and with POOL_INLINE */
    bool busy;          /* runs a task or an item */
    uint64_t tasks;     /* tasks and items that this worker has run since it was started or replaced */
    uint64_t busy_ns;   /* ns that it has spent on them, up to now */
    size_t peak_memory; /* most bytes of private memory that process `pid` has had, to a MiB or two; 0: not known */
    pool_fn *fn;        /* what it runs just now, a block function too; NULL: nothing */
    size_t item;        /* task_index() there */
    uint64_t item_ns;   /* ns since it began that or, where tasks and items are short, some at a time; 0: not known */
    const char *host;   /* ""; of a host that is up, which has one element, with pid 0: its name */
};

enum {
    POOL_HOST_UP = 1,     /* it takes work */
    POOL_HOST_LOST = 2,   /* it did not greet, or was lost; it is tried again while there is work */
    POOL_HOST_REFUSED = 3 /* it cannot be used: another build of the program, no pool_serve() */
};
struct pool_host {
    const char *name;
    int cpus, state;    /* POOL_HOST_… */
    const char *reason; /* one line; "": it is up. Both texts are valid until host_event returns */
};

/* A task counts as one, and so does an item of a job. */
struct pool_stats {
    int workers;      /* the pool's size */
    int busy, idle;   /* workers that live, with and without work */
    uint64_t queued, running; /* not started; started and not done */
    uint64_t done, failed;    /* with an outcome, ever; of those, with another outcome than 0 */
    uint64_t retried; /* times that one was run again after its worker died */
    uint64_t died;    /* workers that were killed, crashed or called exit(), ever; not those that ended by themselves.
                         With POOL_THREADS and POOL_INLINE those whose task was killed or overdue, once it returns */
    struct pool_worker_stats *list; /* set before the call: `room` elements for workers, lowest number first; or NULL */
    /* why workers are missing just now; error 0: none is. They are started again, ever more rarely, at last every 5 s.
       POOL_EAGAIN: the system refuses processes. POOL_EDIED: workers die before they begin anything */
    struct pool_failure shortage;
    int room, listed;               /* room: set before the call; listed: elements that were filled in */
};

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* pool_stats() and its struct have one name */
#endif
/* Tells what the pool does and has done. Workers report their figures themselves, at slightly different moments. Costs
 * time in proportion to the jobs that run; workers are not disturbed.
 * stats: list and room are the caller's (list NULL: room 0), the rest is filled in.
 * Returns: 0, POOL_EINVAL, POOL_EFOREIGN. Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int pool_stats(struct pool *pool, struct pool_stats *stats);
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* The name of a code, as it stands in the header: "POOL_EDIED"; "0" and "unknown" for other numbers. code: any.
 * Returns: never NULL. Blocks: no. Callable: anywhere, in signal handlers too. Ownership: never to be freed. */
PARPOOL_API const char *pool_error_name(int code);

/* The version of the library that the program runs with, which may be newer than the header's.
 * Returns: such as "0.2.0". Blocks: no. Callable: anywhere, in signal handlers too. Ownership: never to be freed. */
PARPOOL_API const char *pool_version(void);

/* ---- Jobs -------------------------------------------------------------------------------------------------------- */

/* Submits a job to the pool: pool_map() without waiting. What does not lie in the arena is copied.
 * job: copied; in, out, status, failure and what it uses of the arena stay valid and untouched until the future is
 * done. future: receives the future, whose future_get() returns what pool_map() would.
 * Returns: 0, POOL_EINVAL, POOL_ENOMEM, POOL_ECLOSED, POOL_EFOREIGN, or why the pool is broken
 * Blocks: no. Callable: any thread. Ownership: the future is the caller's, until future_free(). */
PARPOOL_API int pool_map_async(struct pool *pool, const struct pool_job *job, struct future **future);

/* How far a job is, for pool_job.progress. */
struct pool_progress {
    size_t done, failed, count;            /* items with an outcome; of those, with another than 0, so far known; all */
    double seconds, rate;                  /* since the job was submitted; items a second, on average */
    double seconds_left;                   /* at that rate; < 0: not known yet */
    size_t last_done; double last_seconds; /* done and seconds in the previous call; 0 in the first */
};

/* Draws a bar with percentage, items, rate and time left: a ready-made pool_job.progress. On a terminal it is one line,
 * drawn again and again; a program in the background draws nothing. Elsewhere it is a line every 10 % and every 10 s,
 * without control characters. Text that cannot be written at once is dropped, but the last line waits for its reader.
 * SIGPIPE is never raised. arg: a FILE *, which stays the program's; NULL: stderr.
 * Returns: nothing. Blocks: 1 s at most. Callable: anywhere but in a signal handler. Ownership: unchanged. */
PARPOOL_API void pool_progress_bar(const struct pool_progress *progress, void *arg);

/* ---- Futures ----------------------------------------------------------------------------------------------------- */

/* Waits until the future is done. timeout: ms.
 * Returns: 0, POOL_ETIMEDOUT, POOL_EINVAL, POOL_EFOREIGN. Blocks: yes. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int future_wait(struct future *future, int timeout);

/* Tells whether the future has its outcome.
 * Returns: whether it is done. Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API bool future_done(const struct future *future);

/* Tells whether a worker runs the future's task or job now.
 * Returns: whether it is running. Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API bool future_running(const struct future *future);

/* Cancels the future's task or job if that has not started.
 * Returns: 0: it will never run, and is done with POOL_ECANCELLED; or POOL_EINVAL, POOL_EFOREIGN
 *     POOL_EBUSY: it is running or done, perhaps because it was cancelled before
 * Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int future_cancel(struct future *future);

/* Cancels the future's task or job, or ends it by killing the workers that run it; done items keep their results.
 * Returns: 0: it is done, or will be soon, with POOL_ECANCELLED unless it ended first; or POOL_EINVAL, POOL_EFOREIGN
 *     POOL_EBUSY: it was done
 *     POOL_EAGAIN: the supervisor takes no command now; calls that wait tell it again
 * Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int future_kill(struct future *future);

/* The size of the future's result: out_size, or what the task made of that with task_resize() or task_result().
 * Returns: bytes; 0: not done, failed, or a job. Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API size_t future_size(const struct future *future);

enum {                        /* what future_wait_many() waits for */
    POOL_ALL_COMPLETED = 0,   /* all are done */
    POOL_FIRST_COMPLETED = 1, /* one is done, whatever its outcome */
    POOL_FIRST_FAILED = 2     /* one has an outcome other than 0, or all are done */
};

/* Waits for several futures, of tasks and jobs alike; future_done() then tells which are done.
 * futures: of one pool, none NULL; one that is there twice counts once; NULL with a count of 0. count: futures; with 0
 * nothing is waited for. until: one of the above. timeout: ms.
 * Returns: 0 once the condition holds, POOL_ETIMEDOUT, POOL_EINVAL, POOL_ENOMEM, POOL_EFOREIGN
 * Blocks: yes. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int future_wait_many(struct future *const *futures, size_t count, int until, int timeout);

/* Makes a stream of futures in the order in which they become done; those that are done come first, in the order of the
 * array. Each is delivered once; one that is freed before leaves the stream.
 * futures: as in future_wait_many(); the array is not kept. count: futures. stream: receives the stream.
 * Returns: 0, POOL_EINVAL, POOL_ENOMEM, POOL_EFOREIGN
 * Blocks: no. Callable: any thread. Ownership: the stream is the caller's, until stream_free(); so are the futures. */
PARPOOL_API int future_as_completed(struct future *const *futures, size_t count, struct stream **stream);

/* Waits for the next future of such a stream. The cost is the same however many futures there are.
 * stream: not of pool_imap(). future: receives a future that is done. timeout: ms.
 * Returns: 0, POOL_ETIMEDOUT, POOL_EBUSY, POOL_EINVAL, POOL_EFOREIGN
 *     POOL_END: all were delivered
 *     POOL_ECANCELLED: a callback has freed the stream meanwhile
 * Blocks: yes. Callable: any thread, one at a time. Ownership: the future stays its owner's. */
PARPOOL_API int stream_next_future(struct stream *stream, struct future **future, int timeout);

/* Has callback(future, arg) called once the future is done, whatever its outcome: by the first call on the pool, of any
 * thread, that finds it done, before that call returns or while it waits; at once if it is done already. Callbacks of a
 * pool are called one at a time, those of a future in the order in which they were added. One that becomes due while
 * another runs is called after it by the same thread, never inside it. Calls of other threads do not wait for it.
 * callback: holds no lock and may make any call: submit, wait, add callbacks, free any future that no call waits for,
 * its own always, and as the last call on the pool pool_destroy(). arg: passed to it; may be NULL.
 * Returns: 0; else it will not be called: POOL_EINVAL, POOL_ENOMEM, POOL_EFOREIGN
 * Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int future_on_done(struct future *future, void (*callback)(struct future *future, void *arg), void *arg);

/* Shows the result of the future's task where it lies, so that a large one need not be copied.
 * size: receives future_size(); NULL: not wanted.
 * Returns: the result; NULL: it has none, is not done, or is a job. Blocks: no. Callable: any thread.
 * Ownership: the pool's, until future_free() or pool_destroy(); after the latter the result lies elsewhere. */
PARPOOL_API const void *future_data(struct future *future, size_t *size);

/* Tells which task the future is of, in the program's own terms.
 * Returns: pool_task.arg; NULL for a job. Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API void *future_arg(const struct future *future);

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

/* Is pool_imap() with results in the order in which items are done. pool, options, stream: as there.
 * Returns: as pool_imap(). Blocks: no. Callable: any thread. Ownership: as there. */
PARPOOL_API int pool_imap_unordered(struct pool *pool, const struct pool_stream *options, struct stream **stream);

/* Tells of the item that stream_next() delivered last: its index, and error 0 or why it failed. After a failure of the
 * input it tells why, and how many items came before. stream: not of future_as_completed(). failure: filled in.
 * Returns: 0, POOL_EBUSY, POOL_EINVAL, POOL_EFOREIGN
 * Blocks: no. Callable: any thread, one at a time. Ownership: unchanged. */
PARPOOL_API int stream_failure(struct stream *stream, struct pool_failure *failure);

/* The size of the result that stream_next() delivered last from the stream.
 * Returns: bytes; 0: it failed, there is none, or the stream is in another call. Blocks: no.
 * Callable: any thread, one at a time. Ownership: unchanged. */
PARPOOL_API size_t stream_size(struct stream *stream);

/* Shows the result that stream_next(stream, NULL, …) has delivered, where it lies.
 * size: receives its bytes; NULL: not wanted.
 * Returns: the result; NULL: that item failed or has no result, or it was copied. Blocks: no. Callable: any thread.
 * Ownership: the pool's, until the next stream_next() or stream_free(); after pool_destroy() it lies elsewhere. */
PARPOOL_API const void *stream_data(struct stream *stream, size_t *size);

/* ---- Inside a task: for pool_fn and combine, in the thread that runs them ---------------------------------------- */

/* The context of this task or of its job, which it can only read.
 * Returns: it; NULL: none. Blocks: no. Callable: a task; elsewhere NULL. Ownership: valid until the task ends. */
PARPOOL_API const void *task_context(void);

/* How many futures this task comes after.
 * Returns: the number. Blocks: no. Callable: a task; elsewhere 0. Ownership: unchanged. */
PARPOOL_API size_t task_input_count(void);

/* The result of the i-th of the futures that this task comes after, in shared memory, which it can only read; aligned
 * for any type. i: from 0. size: receives the bytes of the result; NULL: not wanted.
 * Returns: the result; NULL, and a size of 0: that future has none or is a job, or there is no i-th.
 * Blocks: no. Callable: a task; elsewhere NULL. Ownership: valid until the task ends. */
PARPOOL_API const void *task_input(size_t i, size_t *size);

/* Says that the result is only the first `size` bytes of out_size; the last call counts. So out_size may be generous:
 * it is address space, of which the task takes memory as it writes. All of it counts against arena_size from when the
 * task is sent to the workers until it is done, and from then on what the result has. size: bytes.
 * Returns: 0
 *     POOL_EINVAL: more than out_size, in an item of a job without out_sizes, or in a reduction
 * Blocks: no. Callable: a task; elsewhere POOL_EINVAL. Ownership: unchanged. */
PARPOOL_API int task_resize(size_t size);

/* An out_size of tasks and streams: `out` is NULL, and task_result() makes room. No program has it by accident. */
#define POOL_ANY_SIZE (SIZE_MAX - 0x504f4f4cU)

/* Room for the result of a task or item with POOL_ANY_SIZE, whose size it knows only now. The last call counts, and
 * gives back what the one before has returned; task_resize() may shorten it; without a call the result is empty. It
 * counts against arena_size once the task is done (POOL_ENOMEM). At least a quarter of arena_size can be used so.
 * size: bytes.
 * Returns: the room, of undefined content, aligned for any type; NULL: size 0, no more room, or another out_size.
 * Blocks: no. Callable: a task; elsewhere NULL. Ownership: the task's, until it returns. */
PARPOOL_API void *task_result(size_t size);

/* In a block function: the i-th item of this call has failed; the call goes on, and the others succeed if it returns 0.
 * If it returns another value, each item is run again, alone, and what was said counts for nothing.
 * i: from 0, below count. code: not 0; returned. format: as of task_fail().
 * Returns: code. Blocks: no. Callable: a block function; elsewhere it only returns code. Ownership: unchanged. */
PARPOOL_API int task_fail_item(size_t i, int code, const char *format, ...) PARPOOL_PRINTF(3, 4);

/* The seed of the i-th item (from 0) of this call of a block function, as of task_seed() in a call of its own.
 * Returns: as task_seed(). Blocks: no. Callable: a task; elsewhere seed and index are 0. Ownership: unchanged. */
PARPOOL_API uint64_t task_seed_item(size_t i);

/* The bytes of the argument of the task, or of the item of a job, stream or reduction.
 * Returns: in_size; 0: none; in combine, of a part. Blocks: no. Callable: a task; elsewhere 0. Ownership: unchanged. */
PARPOOL_API size_t task_in_size(void);

/* The bytes at `out`, or of task_result(), which the task may write.
 * Returns: out_size, or what was asked for. Blocks: no. Callable: a task; elsewhere 0. Ownership: unchanged. */
PARPOOL_API size_t task_out_size(void);

/* ---- Reduction --------------------------------------------------------------------------------------------------- */

/* Items are mapped to parts, and parts combined into one: functools.reduce(combine, map(fn, items)), with the calls of
 * combine in a tree. Each joins neighbours in a worker, the left one first: combine must be associative, not
 * commutative. The tree depends on the number of items and on chunk alone, never on workers or time: even if rounding
 * makes combine not quite associative, the result is the same in each run. */
struct pool_reduction {
    pool_fn *fn;          /* makes an item's part, of out_size bytes; NULL: items are parts, and in_size is out_size */
    /* instead of fn: makes one part of all items of a chunk; repeatable, as pool_job.block. If it fails, each is run
       alone, to find the one to blame; if it dies, the chunk's first item stands for all */
    int (*block)(const void *in, size_t count, void *part);
    /* result holds the left part, and then both; returns as a pool_fn, may use its task_…() functions. Not NULL */
    int (*combine)(void *result, const void *right);
    const void *in;       /* count items of in_size bytes; NULL: items have task_index() alone, or come from next */
    size_t in_size;       /* bytes; > 0 if in is not NULL; with next the room for an item: 0: none */
    size_t count;         /* items of in, or indices; 0 with next */
    /* instead of in: as pool_stream.next, in the thread of pool_reduce(); may make any call. next_arg may be NULL */
    int (*next)(void *next_arg, void *in); void *next_arg;
    size_t chunk;         /* items that a task combines from left to right; 0: by count, out_size, block; 1 with next */
    const void *identity; /* out_size bytes: the result of no items; NULL: no items are POOL_EINVAL */
    void *out;            /* the result, written on success only; not NULL */
    size_t out_size;      /* bytes of a part and of the result; > 0 */
    int timeout, cpu_timeout; unsigned retries; /* of a chunk, or of a call of combine (15 share it): see pool_job */
    struct pool_failure *failure; /* why it failed, with the item, of combine the first on its right; error 0: none */
    uint64_t seed;        /* see task_seed() */
    const void *context; size_t context_size; /* as in struct pool_job */
    int workers;          /* with a NULL pool: as in struct pool_options; else ignored */
    bool skip_failed;     /* items that fail are left out, as if they were not there; of a chunk the others then run
                             again, if one died. A call of combine must not fail. failure tells of the lowest of them */
    size_t *failed;       /* how many items were left out; all, and no identity: the lowest one's error; may be NULL */
};

/* Reduces items to one result and waits for it. Neither items nor parts are ever all in memory. Items in the arena are
 * used in place. After a failure nothing more is started.
 * pool: NULL: one for this call alone, as in pool_map(). options: what it points to stays the caller's.
 * Returns: 0; the failure that comes first in the order of the tree, the same in each run; the code of next; or, if it
 *   could not be begun, a code as of pool_map()
 * Blocks: yes. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int pool_reduce(struct pool *pool, const struct pool_reduction *options);

/* ---- Shared data ------------------------------------------------------------------------------------------------- */

/* SHARED DATA
 *   Arguments and results of pool_map() in the arena are used in place; others are copied by the call. Nothing, not
 *   even a progress callback, may change arguments during the call. */

/* Allocates zeroed memory in the pool's arena, at the same address in caller and workers, aligned for any type. What a
 * job takes or gives of more than a few MiB should lie in it: nothing is copied then. Memory is taken as it is touched,
 * where the system has huge pages for it (Linux 6.1 or later) 2 MiB at a time, a large new block's all at once.
 * size: bytes.
 * Returns: it; NULL: the arena is full, or size is 0. Blocks: no. Callable: any thread; tasks use what they are given.
 * Ownership: the caller's, until pool_free() or pool_destroy(), which ends it in all processes. */
PARPOOL_API void *pool_alloc(struct pool *pool, size_t size);

/* Gives back what pool_alloc() of the pool returned, once no task uses it. On Linux large blocks go back to the system
 * at once or, if the program takes as much again and again, a second after that; all the rest when the pool ends.
 * data: of pool_alloc(); NULL: nothing happens.
 * Returns: nothing. Blocks: no. Callable: any thread. Ownership: the memory is the pool's again. */
PARPOOL_API void pool_free(struct pool *pool, void *data);

/* ---- Other hosts ------------------------------------------------------------------------------------------------- */

/* OTHER HOSTS
 *   A host runs the program once more, up to pool_serve(), and then its tasks. They see what that run has made, and
 *   nothing that the first run did later. Bytes travel, addresses do not: arguments, results and contexts must hold no
 *   pointers, and a context with a context_size of 0 is POOL_EINVAL. Functions that are in no module, or in a library
 *   loaded after pool_serve(), and tasks of more than 512 MiB, stay on this host; stderr is told once. Jobs have the
 *   hosts in turns. What had begun on a host that is lost ends as POOL_EDIED, or is run again where retries allow; it
 *   may have run there to its end. Of a crash there the message tells where; pool_failure.frames is empty. */

/* Makes this program one that other hosts may run tasks of: pool_options.hosts. In a process that was started there it
 * serves the pool that has started it, and never returns; elsewhere it notes the arguments. To be called once, at the
 * begin of main() or where all that tasks rely on has been made, before anything that must happen only once.
 * argc, argv: main's, copied, which the processes there get, too; argv: NULL: they get none.
 * Returns: 0, POOL_EINVAL, POOL_ENOMEM
 * Blocks: no, or for ever. Callable: the program's first thread, before any pool. Ownership: unchanged. */
PARPOOL_API int pool_serve(int argc, char **argv);

/* ---- Event loops ------------------------------------------------------------------------------------------------- */

/* A descriptor of the pool for poll(2) and the like, readable whenever pool_poll() would do something; without Linux's
 * epoll not for the death of the supervisor alone. Never read from it, never close it.
 * Returns: the descriptor, or POOL_EINVAL, POOL_EFOREIGN
 *     POOL_ECLOSED: the workers had ended before the first call
 * Blocks: no. Callable: any thread. Ownership: the pool's, until pool_destroy(). */
PARPOOL_API int pool_fd(const struct pool *pool);

/* Moves the pool's work on, and waits until a future becomes done, and its callbacks have run. timeout: ms.
 * Returns: how many became done since the last call, with items of streams and tasks of reductions; 0: the time is
 *   over, or nothing is in flight; or POOL_EINVAL, POOL_EFOREIGN
 *     POOL_ETIMEDOUT: pool_wake() was called
 * Blocks: yes. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int pool_poll(struct pool *pool, int timeout);

/* Hands out the tasks of the pool that were submitted with `notify`, each once, in the order in which they become done;
 * so a server needs neither callbacks nor a table. Freed ones are not handed out. A later pool_poll() counts only what
 * becomes done after this call. future: receives the future; future_arg() tells which it is. timeout: ms.
 * Returns: 0, POOL_EINVAL, POOL_EFOREIGN
 *     POOL_END: all of them have been handed out or freed
 *     POOL_ETIMEDOUT: also if pool_wake() was called
 * Blocks: yes. Callable: any thread. Ownership: the future is the caller's, as ever. */
PARPOOL_API int pool_next_done(struct pool *pool, struct future **future, int timeout);

/* Ends a pool_poll() or pool_next_done() of the pool with POOL_ETIMEDOUT: one in another thread, else the next.
 * pool_fd() is readable until then.
 * Returns: 0, POOL_EINVAL, POOL_EFOREIGN. Blocks: no. Callable: any thread. Ownership: unchanged. */
PARPOOL_API int pool_wake(struct pool *pool);

/* ORDER
 *   - Tasks start by priority, however many wait: those that were sent ahead to the workers are taken back when one of
 *     a higher priority comes. Only what a worker holds cannot be recalled: at most 8 tasks, if they take microseconds;
 *     idle workers take them over.
 *   - All threads share one queue. A task waits only for tasks that were submitted earlier or have a higher priority;
 *     it may wait for ever while those of a higher one keep coming.
 *   - Jobs have no priority. Workers take turns in tasks and jobs, and among jobs: none waits for another's end.
 *
 * GRAPHS
 *   - A task with `after` is held until these have succeeded. As soon as one has failed or was cancelled, the task ends
 *     without having run, with POOL_EDEPENDENCY, and so do those after it; future_failure() tells what failed first.
 *   - Results that a task takes from others do not pass through the caller. They stay in shared memory until the last
 *     task that comes after is done, even if their futures are freed.
 *   - A task with `after` is sent when a call finds its last dependency done: no graph moves on outside calls.
 *
 * BACKENDS
 *   A program gives the same results and codes wherever its tasks run. What they can do to the program differs.
 *
 *                     POOL_PROCESSES               POOL_THREADS                  POOL_INLINE
 *   tasks run         in processes of their own    in threads of the program     in the call that submits or waits
 *   crash, exit()     POOL_EDIED, the pool goes on ends the program              ends the program
 *   exception (C++)   POOL_EDIED, the pool goes on ends the program              passes to the caller, POOL_EDIED
 *   pthread_exit()    POOL_EDIED, the pool goes on must not be called            must not be called
 *   kill, time-out    at once                      when the task returns         when the task returns
 *   leaks             end with the worker          stay in the program           stay in the program
 *   memory limits     kept                         ignored                       ignored
 *   globals           copies, of pool_create()     shared                        shared
 *   initializer       in each worker               in each thread, at once       in pool_create()
 *   finalizer         in each worker               in each thread                in pool_shutdown()
 *   replaced worker   a new process                initializer run again         initializer run again
 *   environment       threads of libraries limited the program's                 the program's
 *
 *   With POOL_INLINE a future is done when the call that made it returns; if several threads submit, when future_get()
 *   does: one of them runs tasks at a time, and the time-outs of the others hold. A task that cannot be killed, or
 *   stopped at its time-out, has its outcome (POOL_ECANCELLED, POOL_EDEADLINE) once it has returned; items of the same
 *   chunk may run before a kill is seen. Initializers cannot use their own pool in any backend (POOL_EFOREIGN). Threads
 *   handle no signals but those that a task raises by a fault. */
enum { POOL_PROCESSES, POOL_THREADS, POOL_INLINE };

/* SANDBOX
 *   For tasks that read hostile input: a decoder that its input has taken over has the rights of the program, but in a
 *   sandbox it can open or write no file, use no network, start no program or process, signal, trace, read or write no
 *   other process, and gain no right. Tasks are as fast; the start of a worker takes 0.2 ms more.
 *   - The initializer has all rights. Fetch there what tasks need of the system: open files, which tasks may read; load
 *     libraries, locales, time zone (tzset()) and seeds. Before it all descriptors of the program are closed, save
 *     stdout and stderr, to which tasks may write; stdin is at its end. Its threads and the finalizer are sandboxed.
 *   - What libraries try in vain fails, as if there were no such file or right (open, stat, dup, prctl), or no such
 *     system call. Whatever else is refused ends the worker: POOL_EDIED, "the sandbox refused socket()"; without the
 *     name if the task has blocked SIGSYS. Mapped memory cannot be executed: compilers at run time interpret or fail.
 *     Tasks cannot make pools.
 *   - Items of one pool are not protected from each other: a task that was taken over may read arguments and change
 *     results and outcomes of others. Data of different owners belongs into different pools, or into one with workers =
 *     1 and max_tasks_per_worker = 1.
 *   - What the program had in memory at pool_create(), environment and keys included, is not hidden: create the pool
 *     first, or keep secrets out of forks (Linux: MADV_WIPEONFORK). Results, messages and output can carry it away.
 *   - Results are input: the program must check them, and copy before it checks what lies in the arena, which tasks can
 *     still change. Messages are made fit for one line, stdout and stderr are not.
 *   - Time and memory have limits of their own: set timeout, and memory_limit, which does not count shared memory; so
 *     arena_size is 1 GiB at most by default, of each of results, arguments and arena. A trace (3 GB at most) and
 *     captured output, which has no limit, come on top. Covert channels stay open.
 *   - It is as good as the kernel: Linux 5.1, x86-64 or aarch64. Written but never tried: OpenBSD (pledge()), FreeBSD
 *     (cap_enter()), where refused calls are not named. Elsewhere, with other backends, and where the system refuses
 *     seccomp() or memfd_create(), pool_create() returns POOL_ENOTSUP; if only workers are refused, the pool breaks. No
 *     task runs without. */
enum { POOL_SANDBOX_NONE, POOL_SANDBOX_COMPUTE };

/* SEEING
 *   kill -USR1 to the supervisor writes to the stderr that the program had at pool_create() which jobs run and how far
 *   they are, how many tasks wait, and what each worker is at, since when; pool_stats() tells the program the same. In
 *   ps, top and perf (Linux) the supervisor of `render` is render/pool, its workers are render/w0, render/w1, …; a long
 *   name is cut. */

/* CAVEATS
 *   - Workers are forked: they see the program's memory as it was at pool_create(). What a task writes there stays in
 *     its worker; only its result, and what it writes into the arena, reach the caller. A pointer that a task is given
 *     must point into the arena, or to what existed, unchanged since, at pool_create(). A function that was loaded
 *     (dlopen) or generated later is not there: its items are POOL_EDIED, as the message says.
 *   - What a task leaves in its worker, later ones find there. Only this is set back to what the initializer left:
 *     after each task and item the floating point environment (on x86); and, where 1 ms has passed since the last time,
 *     the signal mask, timers of alarm() and setitimer(), and flush-to-zero and the like, set without fenv.h.
 *     Directory, umask, locale, environment, resource limits, signal handlers, timer_create(), descriptors and threads
 *     stay. A crash or exit() in a thread that was left costs the item that runs then; the message names the thread.
 *   - What the program frees after pool_create() stays taken until the pool ends, by supervisor and workers. So create
 *     pools before large data is loaded, or keep it out of forks (MADV_DONTFORK).
 *   - A task may do whatever a process may: allocate, crash, leak, call exit(). It must not use its parent's handles
 *     (POOL_EFOREIGN), but may create a pool of its own; while that exists, a future or stream of the parent that is
 *     younger than the worker is an invalid pointer there. The variable of pool_create() still has its old value in
 *     workers. Descriptors of the program are open there; its threads do not exist.
 *   - A lock that another thread holds at pool_create() stays locked in all workers, in later replacements too, and a
 *     task that takes it hangs. The C library opens some of its own in a child: glibc those of malloc(), stdio and
 *     dlsym(), not those of localtime(), setenv(), random(), setlocale(), syslog(), getpwnam() and their like; musl all
 *     but those of open FILEs. Other libraries open none. So make pools early, before other threads.
 *   - What a task prints to stdout is written when it is done; other files it must flush itself. The program must flush
 *     its own before pool_create(): a task that flushes them would write their buffers once more.
 *   - exit() in a task ends its worker at once where the C library allows that (glibc). Elsewhere it runs the program's
 *     exit handlers and writes its unwritten files, as in any forked process: prefer _exit().
 *   - Functions of the program that run in its own calls, which are progress, next(), host_event and callbacks of
 *     futures, and with POOL_INLINE tasks, initializer and finalizer, may throw an exception (C++). It passes through
 *     the call to the program's handler; pool, futures and streams go on. What the call has submitted is submitted, and
 *     its out-parameter is set. A report counts as made, a callback as called; the others run in the next call. The
 *     next stream_next() asks next() again. pool_map() and pool_reduce() first kill what runs of theirs, and wait for
 *     its end. The task that has thrown is POOL_EDIED. Such a function must not leave by longjmp() or end its thread.
 *   - A C++ exception, pthread_exit() or a cancellation that leaves a task, an initializer or a finalizer ends its
 *     worker, as a crash does, and counts as a failure of the initializer; the message names the type of the exception.
 *     Nothing of the program is unwound in the worker: its destructors, catch blocks, clean-up handlers and
 *     std::terminate_handler do not run there. longjmp() must not leave them: the worker would go on as the program.
 *   - In a worker, handled signals have their default action and no signal is blocked. Each worker leads a process
 *     group of its own, so Ctrl-C reaches the program alone; the terminal can be written to, not read. Ctrl-Z stops the
 *     program alone: workers and time-outs go on. A worker that ends takes its group with it: children that a task left
 *     running are killed, save with keep_children. A child that returns from the task ends there.
 *   - A worker that the system has not ended a second after its kill, since it waits for a dead file system or its
 *     control group is frozen, is left to the system: what it ran has its outcome, and another worker takes its place.
 *     Its system call may still read or write what the task has named to it, in the arena, too; room of argument and
 *     result is not used again before it has gone. At most 1024 such are left. pool_destroy() waits 3 s for one.
 *   - On Linux the supervisor is the parent of children that outlive their worker, and waits for them
 *     (PR_SET_CHILD_SUBREAPER). Those that left their worker's group, as daemons do, live on after the pool's end. A
 *     task that asks to be traced (PTRACE_TRACEME) is let go on at its first stop, and traced no more.
 *   - After unshare(CLONE_NEWPID) the first child leads the new namespace: if that is a supervisor, all processes there
 *     end with its pool, and no more can be made (POOL_EAGAIN). Process numbers are the namespace's.
 *   - Workers may use the CPUs of the thread that called pool_create(). There OMP_NUM_THREADS, the same of OPENBLAS,
 *     MKL, BLIS and NUMEXPR, and VECLIB_MAXIMUM_THREADS, unless set before, are the CPUs for each worker, at least 1.
 *   - mlockall() takes all memory that the arena might ever need, and so do core dumps but on Linux: set arena_size.
 *   - If something stops the supervisor (SIGSTOP), time-outs and kills wait until a call that waits has let it go on by
 *     SIGCONT: within a second, unless a debugger holds it. A stopped worker is let go on when it is to end by itself;
 *     time-outs go on.
 *   - A program may filter its system calls after pool_create(): calls on the pool use none of the network. It must not
 *     kill workers for setitimer(2), rt_sigprocmask(2) or, if they are fewer than CPUs, sched_setaffinity(2).
 *   - The supervisor is a child: wait() for any child waits for it, too, and its exit raises one SIGCHLD.
 *   - Nothing happens in the calling process outside a call: no thread (POOL_THREADS aside), no signal handler, no
 *     global state. A thread must not be cancelled (pthread_cancel) while it is in a call. */

#ifdef __cplusplus
}
#endif

#endif
