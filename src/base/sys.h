/* System calls that need care, in one place: an interrupted call is resumed, every descriptor is close-on-exec and not
 * one of the standard three, and a build for tests (PP_FAULTS) can make any call fail.
 *
 * A function that is the same everywhere is in sys.c, any other in both sys_linux.c and sys_posix.c. Where POSIX has
 * nothing to offer, the function says in sys_posix.c that the system cannot.
 *
 * Invariant: no other file calls fork, pipe, mmap, malloc, read, write or poll itself, except in a signal
 * handler.
 * Called by: every layer. */
#ifndef PP_SYS_H
#define PP_SYS_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef PP_FAULTS
/* Set by tests. Called before each system call with its name; returns whether the call must fail. */
extern bool (*pp_fault)(const char *call);
/* The number of blocks and mappings that this process has obtained and not released. */
extern _Atomic long pp_held;
/* A point between two steps of a worker, or of the supervisor or the caller, named for tests. A death of the worker
 * here must cost no more than the item that runs: the hook may kill it. It may also hold the process here for a
 * while. */
#define PP_POINT(name) ((void)(pp_fault && pp_fault(name)))
#else
#define PP_POINT(name) ((void)0)
#endif

/* ---- clock */

/* Returns ns of CLOCK_MONOTONIC. */
uint64_t pp_now(void);
/* Returns ns of CPU time that the process, or this thread, has used; 0: not known. */
uint64_t pp_cpu_time_of(pid_t pid);
uint64_t pp_cpu_time_here(void);
/* Returns the time of the system's last tick, a few ms ago at most. It takes a third of the time of pp_now(), which it
 * equals where the system has no such clock. */
uint64_t pp_last_tick(void);

/* ---- barriers in other processes and threads */

/* Whether the system has pp_barrier(). */
bool pp_barrier_exists(void);
/* Lets pp_barrier() reach the threads of this process. Returns false if the system cannot. With several threads the
 * first call takes some ms. */
bool pp_barrier_allow(void);
/* Lets a full memory barrier pass through the caller and through each thread that runs, at any moment between two of
 * its instructions, of all processes that have allowed it. Returns false if the system cannot. */
bool pp_barrier(void);

/* ---- memory */

/* Returns zeroed memory; NULL if there is none or the product overflows. */
void *pp_zalloc(size_t count, size_t size);
/* Returns NULL if there is no memory; `old` is then unchanged. */
void *pp_realloc(void *old, size_t size);
/* memory: may be NULL. */
void pp_release(void *memory);

/* Returns a zeroed table, or NULL. A large one is mapped, so that pages which are never touched cost nothing. size:
 * bytes; the same for both functions. */
void *pp_table(size_t size);
void pp_table_release(void *table, size_t size);

/* Return anonymous, zeroed memory, or NULL. The system provides a page when it is first touched. On Linux, shared
 * mappings are left out of core dumps. */
void *pp_map_shared(size_t size);
void *pp_map_private(size_t size);
/* address: may be NULL. */
void pp_unmap(void *address, size_t size);
/* Gives the memory of this range back to the system: it is zero from then on, in all processes that have this shared
 * mapping. Returns false, with the memory as it was, if the system cannot. */
bool pp_give_back(char *begin, size_t size);
/* Bytes of a huge page on x86-64 and most other machines; elsewhere the system refuses pp_collapse(). */
#define PP_HUGE_PAGE ((size_t)2 << 20)
enum pp_collapsed { PP_COLLAPSED, PP_NOT_NOW, PP_REFUSED };
/* Turns the memory that begins here into a huge page, whether it was touched or not. Returns NOT_NOW if another
 * process is using one of its pages, REFUSED if the system cannot or has no huge page. */
enum pp_collapsed pp_collapse(char *begin);
/* Whether no page of the huge page of memory that begins here was touched, as far as the system says. */
bool pp_is_untouched(char *begin);
/* Puts other shared memory in the place of a shared mapping that was not touched, and sets *fd to a descriptor by which
 * that memory can be read, but not written. What lies from `from` on is mapped a second time, to be written: *view.
 * Returns 0; else a code of errno: ENOSYS if the system has no such descriptors, and then the mapping is as it was. */
int pp_map_with_reader(char *begin, size_t size, size_t from, void **view, int *fd);
/* Maps that memory in the same place, to be read: nothing makes such a mapping writable, or takes pages from the memory
 * behind it. Returns false if there is no memory. */
bool pp_map_reader(int fd, char *begin, size_t size);
/* Returns a zeroed page that is zeroed again in every process forked from this one; NULL if the system has no such
 * pages. */
uint32_t *pp_map_unforked(void);
/* page: may be NULL. */
void pp_unmap_unforked(uint32_t *page);

/* ---- descriptors */

/* Returns 0 or -1. Both ends are close-on-exec and above 2, and do not block. */
int pp_pipe(int fds[2]);
/* Gives the pipe room for PP_WIDE_PIPE bytes, if the system can and grants it. fd: either end. */
#define PP_WIDE_PIPE (256 << 10)
void pp_pipe_widen(int fd);
/* The identity of an open file; all zero: the descriptor is not open. */
struct pp_file {
    dev_t device;
    ino_t number;
};
struct pp_file pp_file_of(int fd);
/* Opens the file of a write end once more, in its place: so a process that sets it to block, or makes it ring on a
 * signal, does that to no other. Does nothing if the system cannot. */
void pp_own_write_end(int fd);
/* Closes the descriptor and sets it to -1; does nothing if it is -1. */
void pp_close(int *fd);

/* One call each, repeated if a signal interrupts it. */
ssize_t pp_read(int fd, void *data, size_t size);
ssize_t pp_write(int fd, const void *data, size_t size);
/* The same, at most as much as a pipe takes as a whole, but waits for a reader until the deadline only, ns of pp_now().
 * Returns the bytes written; 0 or less: none. */
ssize_t pp_write_until(int fd, const void *data, size_t size, uint64_t deadline);
/* Writes a byte to a pipe of pp_pipe(), without waiting, even if another process has made the pipe block. Returns 1; 0
 * if the pipe is full, and so has been rung; -1 if it cannot be written to. */
int pp_ring(int fd);
/* Returns a new file of so many zeros that has no name, or -1. It is close-on-exec and above 2. */
int pp_nameless_file(size_t size);
/* Reads the beginning of a file, at most room - 1 characters, as a string. Returns false if it cannot be read. */
bool pp_read_text(const char *path, char *text, size_t room);

/* As poll(), until `deadline` (ns of pp_now(); UINT64_MAX: for ever); an interrupted wait is resumed. Returns more than
 * 0 if a descriptor is ready, 0 if the time is over, -1 on error. */
int pp_poll(struct pollfd *fds, nfds_t count, uint64_t deadline);
/* Returns a descriptor that is readable while one of the two is; -1 if the system has none. */
int pp_watch_both(int fd, int other);
/* Takes `fd` out of what pp_watch_both() returned. */
void pp_watch_no_more(int both, int fd);

/* ---- processes and threads */

/* As fork(). All signals are blocked in the child, which unblocks them once its own dispositions are in place. The
 * child cannot be cancelled: the request to cancel the thread that forks would be copied. */
pid_t pp_fork(void);
/* Waits for this child. Returns -1 if it is no child, or was waited for before. status: may be NULL. */
pid_t pp_wait_child(pid_t pid, int *status);
/* Waits until this process has no child in the process group, but not beyond the deadline. */
void pp_wait_group(pid_t group, uint64_t deadline);
/* Lets a child go on that has stopped because it asked this process to trace it. It is traced no more, and receives the
 * signal that stopped it. A child that cannot be let go is killed. */
void pp_let_go(pid_t pid);
/* Returns whether this process is a child that was not waited for. */
bool pp_is_child(pid_t pid);
/* Returns whether this child has ended; it must still be waited for. */
bool pp_has_ended(pid_t pid);
/* Returns a descriptor that is readable once this process has ended; -1 if the system has none. */
int pp_watch_process(pid_t pid);

/* A stack for a thread: a mapping, of which each process that is forked later has a copy, or what the C library
 * makes. */
struct pp_stack {
    char *base;  /* lowest address of the mapping, where a guard begins; NULL: the C library makes the stack */
    size_t size; /* bytes; of the C library's stack those that the thread may use itself, 0: its default */
};
/* Maps a stack of which a thread may use `size` bytes itself. Returns false if there is no memory. */
bool pp_stack_map(struct pp_stack *stack, size_t size);
void pp_stack_unmap(struct pp_stack *stack);

/* Starts a thread that handles only the signals that it causes itself. Returns 0 or the code of pthread_create(). */
int pp_thread(pthread_t *thread, const struct pp_stack *stack, void *(*run)(void *argument), void *argument);

#endif
