/* System calls that need care, in one place: interrupted calls are taken up again, every descriptor is close-on-exec
 * and above the standard three, and a build for tests (PP_FAULTS) can make any of them fail.
 *
 * Invariant: no other file calls fork, pipe, socketpair, mmap, malloc, read, write or poll itself, save in a signal
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
/* Set by the fault-injection test: whether this call, by name, is to fail. It is asked before the call is made. */
extern bool (*pp_fault)(const char *call);
/* Blocks and mappings that were given and not taken back, in this process. */
extern _Atomic long pp_held;
/* A place between two steps of a worker where a death must cost no more than the item that runs: the hook may end
 * it. */
#define PP_POINT(name) ((void)(pp_fault && pp_fault(name)))
#else
#define PP_POINT(name) ((void)0)
#endif

uint64_t pp_now(void); /* ns of CLOCK_MONOTONIC */
/* The same as of the system's last tick, some ms ago at most, which takes a third of the time; where there is no such
 * clock, pp_now(). */
uint64_t pp_last_tick(void);

void *pp_zalloc(size_t count, size_t size); /* zeroed; NULL when there is no memory or the product overflows */
void *pp_realloc(void *old, size_t size);   /* NULL: old is still there */
void pp_release(void *memory);

/* A zeroed table of which perhaps little is touched: a large one costs what is. size: bytes; the same for both. */
void *pp_table(size_t size);
void pp_table_release(void *table, size_t size);

/* Anonymous, zeroed, and taken from memory only as it is touched; of what is shared, on Linux, no core dump has a part.
 * NULL on failure. */
void *pp_map_shared(size_t size);
void *pp_map_private(size_t size);
void pp_unmap(void *address, size_t size);
/* The same zeroed pages at two addresses, to write at one and only read at the other. False, and both NULL: the system
 * cannot, or has no memory. */
bool pp_map_twice(size_t size, char **writable, const char **readable);
/* Whether a filter may end this process for a system call. */
bool pp_is_filtered(void);
/* Copies `size` bytes from the memory of another process. False: the system does not let us, or not all of it is
 * there. */
bool pp_read_process(pid_t process, const char *from, char *to, size_t size);
/* Maps the pages that hold this for writing, all at once. False: the system cannot, or has no memory. */
bool pp_populate(char *begin, size_t size);
/* Bytes of a huge page, on x86-64 and most others; where it is another, the system refuses. */
#define PP_HUGE_PAGE ((size_t)2 << 20)
enum pp_collapsed { PP_COLLAPSED, PP_NOT_NOW, PP_REFUSED };
/* Makes a huge page of the shared memory that begins here, whatever of it was touched. NOT_NOW: somebody is at one of
 * its pages; REFUSED: the system cannot, or has none. */
enum pp_collapsed pp_collapse(char *begin);
/* A zeroed page that is zero again in every process forked from this one. NULL: the system has no such pages. */
uint32_t *pp_map_unforked(void);
void pp_unmap_unforked(uint32_t *page);

/* Both ends close-on-exec and above 2; `end`, 0 or 1 or -1 for both, does not block. 0 or -1. */
int pp_pipe(int fds[2], int nonblocking_end);
int pp_socketpair(int fds[2]);
/* What a descriptor leads to; all zero: nowhere. */
struct pp_file {
    dev_t device;
    ino_t number;
};
struct pp_file pp_file_of(int fd);
void pp_close(int *fd); /* and sets it to -1; nothing if it is -1 */

/* All signals are blocked around it: in the child they stay so, until it has put its own dispositions in place. */
pid_t pp_fork(void);

/* A thread in which no signal is handled that was not its own doing. 0, or the code of pthread_create(). */
int pp_thread(pthread_t *thread, void *(*run)(void *argument), void *argument);

/* Waits for this child; -1: it is none, or not any more. status: NULL or where it goes. */
pid_t pp_wait_child(pid_t pid, int *status);
/* Whether this child has ended. It stays to be waited for. */
bool pp_has_ended(pid_t pid);
/* A descriptor that is readable once this process has ended; -1: the system has none. */
int pp_watch_process(pid_t pid);
/* A descriptor that is readable while one of these two is; -1: the system has none, or has no more. */
int pp_watch_both(int fd, int other);
/* From now on whether this one is readable does not matter. */
void pp_watch_no_more(int both, int fd);

ssize_t pp_read(int fd, void *data, size_t size);        /* one read, taken up again when interrupted */
/* The beginning of a file as text, with room for room - 1 characters. False: there is none. */
bool pp_read_text(const char *path, char *text, size_t room);
ssize_t pp_write(int fd, const void *data, size_t size); /* one write, the same */
ssize_t pp_send(int fd, const void *data, size_t size);  /* one send without SIGPIPE, the same */

/* Waits until `deadline` (ns of pp_now(), UINT64_MAX: for ever). Interrupted waits are resumed. >0, 0: time is over,
 * -1. */
int pp_poll(struct pollfd *fds, nfds_t count, uint64_t deadline);

#endif
