#include "base/sys_platform.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LARGE_TABLE 65536 /* bytes */
/* Below a stack, so large that few frames reach over it: as much as Linux keeps free below that of a program. */
#define STACK_GUARD ((size_t)1 << 20)
#define STACK_OF_WORKER ((size_t)1 << 16) /* bytes */

#ifdef PP_FAULTS
bool (*pp_fault)(const char *call);
_Atomic long pp_held;
#endif

static uint64_t time_of(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) return 0;
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

uint64_t pp_now(void) {
    return time_of(CLOCK_MONOTONIC);
}

uint64_t pp_cpu_time_of(pid_t pid) {
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) ? 0 : time_of(clock);
}

uint64_t pp_cpu_time_here(void) {
    return time_of(CLOCK_THREAD_CPUTIME_ID);
}

void *pp_zalloc(size_t count, size_t size) {
    return FAULT("malloc", ENOMEM) ? NULL : pp_sys_given(calloc(count, size));
}

void *pp_realloc(void *old, size_t size) {
    if (FAULT("malloc", ENOMEM)) return NULL;
    void *memory = realloc(old, size);
    return old ? memory : pp_sys_given(memory);
}

void pp_release(void *memory) {
    if (memory) HELD(-1);
    free(memory);
}

void pp_unmap(void *address, size_t size) {
    if (!address) return;
    HELD(-1);
    munmap(address, size);
}

/* A large block from calloc() would be cleared page by page if it had been in use before. */
void *pp_table(size_t size) {
    return size < LARGE_TABLE ? pp_zalloc(1, size) : pp_map_private(size);
}

void pp_table_release(void *table, size_t size) {
    if (size < LARGE_TABLE) pp_release(table);
    else pp_unmap(table, size);
}

void pp_unmap_unforked(uint32_t *page) {
    if (page) pp_unmap(page, (size_t)sysconf(_SC_PAGESIZE));
}

int pp_sys_above_standard(int *fd) {
    if (*fd > 2) return 0;
    int higher = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    if (higher < 0) return -1;
    close(*fd);
    *fd = higher;
    return 0;
}

/* A file that is too long for the limit would end the program by a signal. */
int pp_sys_sized(int file, size_t size) {
    struct rlimit limit;
    if (file < 0) return -1;
    bool fits = getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur >= size;
    if (!fits) errno = EFBIG;
    if (!fits || pp_sys_above_standard(&file) || ftruncate(file, (off_t)size)) pp_close(&file);
    return file;
}

int pp_sys_map_file(int file, char *begin, size_t size, size_t from, void **view) {
    const int all = PROT_READ | PROT_WRITE;
    if (mmap(begin, size, all, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED) return ENOMEM;
    *view = mmap(NULL, size - from, all, MAP_SHARED, file, (off_t)from);
    if (*view == MAP_FAILED) *view = NULL;
    return pp_sys_given(*view) ? 0 : ENOMEM;
}

bool pp_map_reader(int fd, char *begin, size_t size) {
    if (FAULT("mmap", ENOMEM)) return false;
    if (mmap(begin, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) return false;
    pp_sys_keep_from_dumps(begin, size);
    return true;
}

int pp_pipe(int fds[2]) {
    if (FAULT("pipe", EMFILE)) return -1;
    if (pp_sys_pipe(fds)) return -1;
    if (pp_sys_above_standard(&fds[0]) == 0 && pp_sys_above_standard(&fds[1]) == 0) return 0;
    pp_close(&fds[0]);
    pp_close(&fds[1]);
    return -1;
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
    if (pid == 0) {
        int cancelled;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelled);
    } else {
        int code = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        errno = code;
    }
    return pid;
}

/* Adds what the C library needs, and the worker's own frames. */
static size_t whole_stack(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    long least = sysconf(_SC_THREAD_STACK_MIN);
    size_t others = (least > 0 ? (size_t)least : 0) + STACK_OF_WORKER;
    return (size + others + page - 1) / page * page;
}

bool pp_stack_map(struct pp_stack *stack, size_t size) {
    stack->size = whole_stack(size);
    stack->base = pp_sys_map_stack(STACK_GUARD + stack->size);
    if (stack->base && mprotect(stack->base, STACK_GUARD, PROT_NONE)) pp_stack_unmap(stack);
    return stack->base != NULL;
}

void pp_stack_unmap(struct pp_stack *stack) {
    pp_unmap(stack->base, STACK_GUARD + stack->size);
    stack->base = NULL;
}

static int set_stack(pthread_attr_t *attributes, const struct pp_stack *stack) {
    if (stack->base) return pthread_attr_setstack(attributes, stack->base + STACK_GUARD, stack->size);
    return stack->size ? pthread_attr_setstacksize(attributes, whole_stack(stack->size)) : 0;
}

int pp_thread(pthread_t *thread, const struct pp_stack *stack, void *(*run)(void *argument), void *argument) {
    if (FAULT("thread", EAGAIN)) return EAGAIN;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return error;
    error = set_stack(&attributes, stack);
    sigset_t blocked, before;
    sigfillset(&blocked);
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    if (!error) error = pthread_create(thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* waitpid() tells of a traced child's stops as well, unasked. */
pid_t pp_wait_child(pid_t pid, int *status) {
    pid_t got;
    int ended = 0;
    do got = waitpid(pid, &ended, 0);
    while ((got < 0 && errno == EINTR) || (got > 0 && WIFSTOPPED(ended)));
    if (status) *status = ended;
    return got;
}

void pp_wait_group(pid_t group, uint64_t deadline) {
    pid_t got;
    while ((got = waitpid(-group, NULL, WNOHANG)) >= 0)
        if (got == 0 && pp_now() >= deadline) return;
        else if (got == 0) pp_poll(NULL, 0, pp_now() + 1000000U);
}

void pp_let_go(pid_t pid) {
    siginfo_t info;
    info.si_pid = 0;
    /* Without WEXITED: should the child have been killed meanwhile, its end is still to be waited for. */
    if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG) || info.si_pid != pid) return;
    if (!pp_sys_detach(pid, info.si_status)) kill(pid, SIGKILL);
}

bool pp_is_child(pid_t pid) {
    siginfo_t info;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

bool pp_has_ended(pid_t pid) {
    siginfo_t info;
    info.si_pid = 0;
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT)) return true;
    return info.si_pid == pid && info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED;
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

#ifndef PIPE_BUF
#define PIPE_BUF 512
#endif

/* Where so many bytes can be written, a write of them does not block. */
ssize_t pp_write_until(int fd, const void *data, size_t size, uint64_t deadline) {
    struct pollfd out = {.fd = fd, .events = POLLOUT};
    if (pp_poll(&out, 1, deadline) <= 0) return 0;
    return pp_write(fd, data, size < PIPE_BUF ? size : PIPE_BUF);
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
