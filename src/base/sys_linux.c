/* System calls on Linux; see sys.h. */
#include "base/sys_platform.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel's numbers. Headers may be older than the kernel. */
enum { WIPEONFORK = 18, COLLAPSE = 25, PIDFD_OPEN = 434 };

uint64_t pp_last_tick(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* ---- barriers */

/* The kernel's numbers: of commands, and as bits of what QUERY returns. */
enum { QUERY = 0, GLOBAL_EXPEDITED = 1 << 1, REGISTER_GLOBAL_EXPEDITED = 1 << 2 };

static long membarrier(int command) {
    return FAULT("membarrier", ENOSYS) ? -1 : syscall(SYS_membarrier, command, 0, 0);
}

bool pp_barrier_exists(void) {
    long commands = membarrier(QUERY);
    return commands > 0 && commands & GLOBAL_EXPEDITED && commands & REGISTER_GLOBAL_EXPEDITED;
}

bool pp_barrier_allow(void) {
    return membarrier(REGISTER_GLOBAL_EXPEDITED) == 0;
}

bool pp_barrier(void) {
    return membarrier(GLOBAL_EXPEDITED) == 0;
}

/* ---- memory */

/* Returns an address that begins a huge page and from which `size` bytes are free; NULL if the size is too small for
 * huge pages or there is no such address. */
static void *aligned_place(size_t size) {
    if (size < PP_HUGE_PAGE || size > SIZE_MAX - PP_HUGE_PAGE) return NULL;
    char *place = mmap(NULL, size + PP_HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) return NULL;
    munmap(place, size + PP_HUGE_PAGE);
    return place + (PP_HUGE_PAGE - (uintptr_t)place % PP_HUGE_PAGE) % PP_HUGE_PAGE;
}

static void *map(void *place, size_t size, int sharing) {
    if (FAULT("mmap", ENOMEM)) return NULL;
    void *address = mmap(place, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : pp_sys_given(address);
}

void *pp_map_shared(size_t size) {
    void *address = map(aligned_place(size), size, MAP_SHARED);
    /* A core dump of a worker would contain every page, touched or not: with a default arena, as much as all memory. */
    if (address) pp_sys_keep_from_dumps(address, size);
    return address;
}

void *pp_map_private(size_t size) {
    return map(NULL, size, MAP_PRIVATE);
}

void *pp_sys_map_stack(size_t size) {
    void *address = pp_map_private(size);
    if (address) madvise(address, size, MADV_NOHUGEPAGE);
    return address;
}

bool pp_give_back(char *begin, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (page - (uintptr_t)begin % page) % page;
    if (before > size) before = size;
    size_t behind = (size - before) % page;
    char *first = begin + before, *end = begin + size - behind;
    if (end > first && (FAULT("madvise", ENOMEM) || madvise(first, (size_t)(end - first), MADV_REMOVE))) return false;
    memset(begin, 0, before);
    memset(end, 0, behind);
    return true;
}

/* ---- memory that others can only read */

/* The kernel's flags and seals. Headers may be older than the kernel. */
enum { CLOSE_ON_EXEC = 1, ALLOW_SEALING = 2, NOEXEC_SEAL = 8, ADD_SEALS = 1033 };
enum { SEAL_SEAL = 1, SEAL_SHRINK = 2, SEAL_GROW = 4, SEAL_FUTURE_WRITE = 16 };

int pp_nameless_file(size_t size) {
    if (FAULT("memfd_create", ENOSYS)) return -1;
    int fd = (int)syscall(SYS_memfd_create, "parpool", CLOSE_ON_EXEC | NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = (int)syscall(SYS_memfd_create, "parpool", CLOSE_ON_EXEC | ALLOW_SEALING);
    return pp_sys_sized(fd, size);
}

/* Opens the file of this descriptor once more: another description of it, with rights of its own. */
static int open_again(int fd, int flags) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, flags | O_CLOEXEC);
    if (again >= 0 && pp_sys_above_standard(&again)) pp_close(&again);
    return again;
}

/* Without /proc the file is sealed: its descriptor maps nothing any more that can be written. Then the memory cannot be
 * given back either, so that is the second choice. */
int pp_map_with_reader(char *begin, size_t size, size_t from, void **view, int *fd) {
    int file = pp_nameless_file(size);
    if (file < 0) return errno == EMFILE || errno == ENFILE ? errno : ENOSYS;
    int error = pp_sys_map_file(file, begin, size, from, view);
    if (error) {
        pp_close(&file);
        return error;
    }
    pp_sys_keep_from_dumps(begin, size);
    *fd = open_again(file, O_RDONLY);
    int seals = SEAL_SHRINK | SEAL_GROW | SEAL_SEAL | (*fd < 0 ? SEAL_FUTURE_WRITE : 0);
    bool sealed = fcntl(file, ADD_SEALS, seals) == 0;
    if (*fd < 0 && sealed) *fd = file;
    else pp_close(&file);
    return 0;
}

void pp_sys_keep_from_dumps(char *begin, size_t size) {
    madvise(begin, size, MADV_DONTDUMP);
}

enum pp_collapsed pp_collapse(char *begin) {
    /* The kernel collapses only a range with at least one page in memory: the load brings one in. Atomic, since workers
     * may be writing here. */
    (void)atomic_load_explicit((volatile _Atomic char *)begin, memory_order_relaxed);
    if (!FAULT("madvise", ENOMEM) && madvise(begin, PP_HUGE_PAGE, COLLAPSE) == 0) return PP_COLLAPSED;
    return errno == EAGAIN || errno == EBUSY ? PP_NOT_NOW : PP_REFUSED;
}

bool pp_is_untouched(char *begin) {
    enum { PAGE = 4096 };
    unsigned char present[PP_HUGE_PAGE / PAGE];
    if (sysconf(_SC_PAGESIZE) != PAGE || mincore(begin, PP_HUGE_PAGE, present)) return false;
    return !memchr(present, 1, sizeof present);
}

uint32_t *pp_map_unforked(void) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t *page = map(NULL, size, MAP_PRIVATE);
    if (!page || madvise(page, size, WIPEONFORK) == 0) return page;
    pp_unmap(page, size);
    return NULL;
}

/* ---- processes */

bool pp_sys_detach(pid_t pid, int signal) {
    return ptrace(PTRACE_DETACH, pid, NULL, (void *)(intptr_t)signal) == 0;
}

/* ---- descriptors */

int pp_sys_pipe(int fds[2]) {
    return pipe2(fds, O_CLOEXEC | O_NONBLOCK);
}

/* Each process that others may harm has opened the pipe for itself: pp_own_write_end(). */
int pp_ring(int fd) {
    return pp_write(fd, "", 1) == 1 ? 1 : errno == EAGAIN ? 0 : -1;
}

int pp_watch_process(pid_t pid) {
    if (FAULT("pidfd_open", ENOSYS)) return -1;
    int fd = (int)syscall(PIDFD_OPEN, pid, 0); /* always close-on-exec */
    if (fd >= 0 && pp_sys_above_standard(&fd)) pp_close(&fd);
    return fd;
}

int pp_watch_both(int fd, int other) {
    if (FAULT("epoll", EMFILE)) return -1;
    struct epoll_event readable = {.events = EPOLLIN};
    int both = epoll_create1(EPOLL_CLOEXEC);
    if (both >= 0 && (pp_sys_above_standard(&both) || epoll_ctl(both, EPOLL_CTL_ADD, fd, &readable) ||
                      epoll_ctl(both, EPOLL_CTL_ADD, other, &readable)))
        pp_close(&both);
    return both;
}

void pp_own_write_end(int fd) {
    int own = open_again(fd, O_WRONLY | O_NONBLOCK);
    if (own < 0) return;
    dup3(own, fd, O_CLOEXEC);
    pp_close(&own);
}

void pp_pipe_widen(int fd) {
    fcntl(fd, F_SETPIPE_SZ, PP_WIDE_PIPE);
}

void pp_watch_no_more(int both, int fd) {
    epoll_ctl(both, EPOLL_CTL_DEL, fd, NULL);
}
