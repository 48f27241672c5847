#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
#include <sys/epoll.h>
#endif
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LARGE_TABLE 65536 /* bytes */

#ifdef PP_FAULTS
bool (*pp_fault)(const char *call);
_Atomic long pp_held;
#define FAULT(call, code) (pp_fault && pp_fault(call) && (errno = (code), true))
#define HELD(change) (pp_held += (change))
#else
#define FAULT(call, code) false
#define HELD(change) ((void)0)
#endif

static void *given(void *memory) {
    if (memory) HELD(1);
    return memory;
}

uint64_t pp_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

uint64_t pp_last_tick(void) {
#if defined(CLOCK_MONOTONIC_COARSE) && !defined(PARPOOL_POSIX_ONLY)
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
#else
    return pp_now();
#endif
}

void *pp_zalloc(size_t count, size_t size) {
    return FAULT("malloc", ENOMEM) ? NULL : given(calloc(count, size));
}

void *pp_realloc(void *old, size_t size) {
    if (FAULT("malloc", ENOMEM)) return NULL;
    void *memory = realloc(old, size);
    return old ? memory : given(memory);
}

void pp_release(void *memory) {
    if (memory) HELD(-1);
    free(memory);
}

/* An address at which nothing is mapped, and from which on huge pages begin where their multiples do. NULL: it does not
 * matter, or there is none. */
static void *aligned_place(size_t size) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    if (size < PP_HUGE_PAGE || size > SIZE_MAX - PP_HUGE_PAGE) return NULL;
    char *place = mmap(NULL, size + PP_HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) return NULL;
    munmap(place, size + PP_HUGE_PAGE);
    return place + (PP_HUGE_PAGE - (uintptr_t)place % PP_HUGE_PAGE) % PP_HUGE_PAGE;
#else
    (void)size;
    return NULL;
#endif
}

static void *map(void *place, size_t size, int sharing) {
    if (FAULT("mmap", ENOMEM)) return NULL;
#ifdef MAP_ANONYMOUS
    int flags = sharing | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    void *address = mmap(place, size, PROT_READ | PROT_WRITE, flags, -1, 0);
#else
    /* What systems without the flag have: memory without a name, and without a file system that could be full. */
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    if (zero < 0) return NULL;
    void *address = mmap(place, size, PROT_READ | PROT_WRITE, sharing, zero, 0);
    close(zero);
#endif
    return address == MAP_FAILED ? NULL : given(address);
}

/* A dump of a worker's memory would take every page of it, touched or not: with a default arena more than there is. */
static void leave_out_of_dumps(void *address, size_t size) {
#if defined(MADV_DONTDUMP) && !defined(PARPOOL_POSIX_ONLY)
    madvise(address, size, MADV_DONTDUMP);
#else
    (void)address, (void)size;
#endif
}

void *pp_map_shared(size_t size) {
    void *address = map(aligned_place(size), size, MAP_SHARED);
    if (address) leave_out_of_dumps(address, size);
    return address;
}

void *pp_map_private(size_t size) {
    return map(NULL, size, MAP_PRIVATE);
}

void pp_unmap(void *address, size_t size) {
    if (!address) return;
    HELD(-1);
    munmap(address, size);
}

bool pp_map_twice(size_t size, char **writable, const char **readable) {
    *writable = NULL;
    *readable = NULL;
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    char *first = pp_map_shared(size);
    if (!first) return false;
    /* Of shared memory, mremap() from a size of 0 makes a second mapping. */
    void *second = FAULT("mremap", ENOMEM) ? MAP_FAILED : mremap(first, 0, size, MREMAP_MAYMOVE);
    if (second != MAP_FAILED && mprotect(second, size, PROT_READ) == 0) {
        *writable = first;
        *readable = given(second);
        return true;
    }
    if (second != MAP_FAILED) munmap(second, size);
    pp_unmap(first, size);
#else
    (void)size;
#endif
    return false;
}

bool pp_is_filtered(void) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    char status[4096]; /* not prctl(PR_GET_SECCOMP), which a filter may end it for */
    if (!pp_read_text("/proc/self/status", status, sizeof status)) return true;
    const char *mode = strstr(status, "\nSeccomp:");
    if (!mode) return strlen(status) == sizeof status - 1; /* behind many groups, perhaps */
    return strtol(mode + 9, NULL, 10) != 0;
#else
    return false;
#endif
}

bool pp_read_process(pid_t process, const char *from, char *to, size_t size) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    if (FAULT("process_vm_readv", EPERM)) return false;
    while (size > 0) {
        struct iovec here = {.iov_base = to, .iov_len = size},
                     there = {.iov_base = (void *)(uintptr_t)from, .iov_len = size};
        ssize_t got = process_vm_readv(process, &here, 1, &there, 1, 0);
        if (got <= 0) return false;
        from += got;
        to += got;
        size -= (size_t)got;
    }
    return true;
#else
    (void)process, (void)from, (void)to, (void)size;
    return false;
#endif
}

bool pp_populate(char *begin, size_t size) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    enum { POPULATE_WRITE = 23 }; /* the kernel's number: its headers are not everywhere where its calls are */
    size_t before = (uintptr_t)begin % (size_t)sysconf(_SC_PAGESIZE);
    return madvise(begin - before, size + before, POPULATE_WRITE) == 0;
#else
    (void)begin, (void)size;
    return false;
#endif
}

enum pp_collapsed pp_collapse(char *begin) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    enum { COLLAPSE = 25 }; /* likewise */
    /* Where there is nothing, there is nothing to collapse. Others may be writing here. */
    (void)atomic_load_explicit((volatile _Atomic char *)begin, memory_order_relaxed);
    if (!FAULT("madvise", ENOMEM) && madvise(begin, PP_HUGE_PAGE, COLLAPSE) == 0) return PP_COLLAPSED;
    return errno == EAGAIN || errno == EBUSY ? PP_NOT_NOW : PP_REFUSED;
#else
    (void)begin;
    return PP_REFUSED;
#endif
}

/* From malloc a large one would be cleared, where it was in use before. */
void *pp_table(size_t size) {
    return size < LARGE_TABLE ? pp_zalloc(1, size) : pp_map_private(size);
}

void pp_table_release(void *table, size_t size) {
    if (size < LARGE_TABLE) pp_release(table);
    else pp_unmap(table, size);
}

uint32_t *pp_map_unforked(void) {
#if defined(MADV_WIPEONFORK) && defined(MAP_ANONYMOUS) && !defined(PARPOOL_POSIX_ONLY)
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = FAULT("mmap", ENOMEM) ? MAP_FAILED
                                       : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return NULL;
    if (madvise(page, size, MADV_WIPEONFORK) == 0) return given(page);
    munmap(page, size);
#endif
    return NULL;
}

void pp_unmap_unforked(uint32_t *page) {
    if (page) pp_unmap(page, (size_t)sysconf(_SC_PAGESIZE));
}

/* A program that closed its standard descriptors must not find ours in their place: tasks print to them. */
static int above_standard(int *fd) {
    if (*fd > 2) return 0;
    int higher = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    if (higher < 0) return -1;
    close(*fd);
    *fd = higher;
    return 0;
}

static int set_up_pair(int fds[2], int nonblocking_end) {
    for (int end = 0; end < 2; end++) {
        if (above_standard(&fds[end])) goto fail;
        if (fcntl(fds[end], F_SETFD, FD_CLOEXEC)) goto fail;
        if (nonblocking_end != end && nonblocking_end != -1) continue;
        int flags = fcntl(fds[end], F_GETFL);
        if (flags < 0 || fcntl(fds[end], F_SETFL, flags | O_NONBLOCK)) goto fail;
    }
    return 0;
fail:
    pp_close(&fds[0]);
    pp_close(&fds[1]);
    return -1;
}

int pp_pipe(int fds[2], int nonblocking_end) {
    if (FAULT("pipe", EMFILE)) return -1;
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    if (pipe2(fds, O_CLOEXEC)) return -1;
#else
    if (pipe(fds)) return -1;
#endif
    return set_up_pair(fds, nonblocking_end);
}

int pp_socketpair(int fds[2]) {
    if (FAULT("socketpair", EMFILE)) return -1;
    int type = SOCK_STREAM;
#ifdef SOCK_CLOEXEC
    type |= SOCK_CLOEXEC;
#endif
    return socketpair(AF_UNIX, type, 0, fds) ? -1 : set_up_pair(fds, -1);
}

struct pp_file pp_file_of(int fd) {
    struct stat status;
    if (fstat(fd, &status)) return (struct pp_file){0};
    return (struct pp_file){status.st_dev, status.st_ino};
}

void pp_close(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

pid_t pp_fork(void) {
    if (FAULT("fork", EAGAIN)) return -1;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid != 0) {
        int code = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        errno = code;
    }
    return pid;
}

int pp_thread(pthread_t *thread, void *(*run)(void *argument), void *argument) {
    if (FAULT("thread", EAGAIN)) return EAGAIN;
    sigset_t blocked, before;
    sigfillset(&blocked);
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

pid_t pp_wait_child(pid_t pid, int *status) {
    pid_t got;
    do got = waitpid(pid, status, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

bool pp_has_ended(pid_t pid) {
    siginfo_t info;
    info.si_pid = 0;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid;
}

int pp_watch_process(pid_t pid) {
    int fd = -1;
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    enum { PIDFD_OPEN = 434 }; /* the kernel's number: its headers are not everywhere where its calls are */
    if (!FAULT("pidfd_open", ENOSYS)) fd = (int)syscall(PIDFD_OPEN, pid, 0); /* close-on-exec by itself */
    if (fd >= 0 && above_standard(&fd)) pp_close(&fd);
#else
    (void)pid;
#endif
    return fd;
}

int pp_watch_both(int fd, int other) {
    int both = -1;
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    struct epoll_event readable = {.events = EPOLLIN};
    if (!FAULT("epoll", EMFILE)) both = epoll_create1(EPOLL_CLOEXEC);
    if (both >= 0 && (above_standard(&both) || epoll_ctl(both, EPOLL_CTL_ADD, fd, &readable) ||
                      epoll_ctl(both, EPOLL_CTL_ADD, other, &readable)))
        pp_close(&both);
#else
    (void)fd, (void)other;
#endif
    return both;
}

void pp_watch_no_more(int both, int fd) {
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
    epoll_ctl(both, EPOLL_CTL_DEL, fd, NULL);
#else
    (void)both, (void)fd;
#endif
}

ssize_t pp_read(int fd, void *data, size_t size) {
    if (FAULT("read", EIO)) return -1;
    ssize_t n;
    do n = read(fd, data, size);
    while (n < 0 && errno == EINTR);
    return n;
}

bool pp_read_text(const char *path, char *text, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = pp_read(fd, text, room - 1);
    pp_close(&fd);
    if (n < 0) return false;
    text[n] = '\0';
    return true;
}

ssize_t pp_write(int fd, const void *data, size_t size) {
    if (FAULT("write", EAGAIN)) return -1;
    ssize_t n;
    do n = write(fd, data, size);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t pp_send(int fd, const void *data, size_t size) {
    if (FAULT("write", EAGAIN)) return -1;
    ssize_t n;
    do n = send(fd, data, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

int pp_poll(struct pollfd *fds, nfds_t count, uint64_t deadline) {
    for (;;) {
        int timeout = -1;
        if (deadline != UINT64_MAX) {
            uint64_t now = pp_now();
            uint64_t left = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
            timeout = left > INT_MAX ? INT_MAX : (int)left;
        }
        int n = poll(fds, count, timeout);
        if (n > 0 || (n < 0 && errno != EINTR)) return n;
        if (deadline != UINT64_MAX && pp_now() >= deadline) return 0;
    }
}
