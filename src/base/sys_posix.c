/* System calls that POSIX has; see sys.h. What POSIX does not have returns NULL, -1 or false. */
#include "base/sys_platform.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

uint64_t pp_last_tick(void) {
    return pp_now();
}

/* ---- barriers */

bool pp_barrier_exists(void) {
    return false;
}

bool pp_barrier_allow(void) {
    return false;
}

bool pp_barrier(void) {
    return false;
}

/* ---- memory */

#ifdef MAP_ANONYMOUS /* since POSIX.1-2024 */

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

static void *map(size_t size, int sharing) {
    if (FAULT("mmap", ENOMEM)) return NULL;
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : pp_sys_given(address);
}

#else

/* Systems without MAP_ANONYMOUS have this device. Its memory has no name and cannot fill up a file system. */
static void *map(size_t size, int sharing) {
    if (FAULT("mmap", ENOMEM)) return NULL;
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    if (zero < 0) return NULL;
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, sharing, zero, 0);
    close(zero);
    return address == MAP_FAILED ? NULL : pp_sys_given(address);
}

#endif

void *pp_map_shared(size_t size) {
    return map(size, MAP_SHARED);
}

void *pp_map_private(size_t size) {
    return map(size, MAP_PRIVATE);
}

void *pp_sys_map_stack(size_t size) {
    return pp_map_private(size);
}

bool pp_give_back(char *begin, size_t size) {
    (void)begin, (void)size;
    return false;
}

void pp_sys_keep_from_dumps(char *begin, size_t size) {
    (void)begin, (void)size;
}

/* Shared memory has a name for as long as it takes to open it twice, the second time to be read: a process
 * that has only that descriptor can never write. Both are close-on-exec. */
static int open_twice(int *reader) {
    static atomic_uint number;
    int file;
    do {
        char name[32]; /* some systems take no longer one */
        snprintf(name, sizeof name, "/parpool-%lx-%x", (unsigned long)getpid(), atomic_fetch_add(&number, 1));
        file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
        if (file < 0) continue;
        *reader = shm_open(name, O_RDONLY, 0);
        shm_unlink(name);
    } while (file < 0 && errno == EEXIST);
    return file;
}

/* Shared memory may lie in a file system, which may be small: then a page that it has no room for ends the process. */
static bool has_room(int file, size_t size) {
    struct statvfs system;
    return fstatvfs(file, &system) || system.f_frsize == 0 || system.f_bavail >= size / system.f_frsize;
}

int pp_map_with_reader(char *begin, size_t size, size_t from, void **view, int *fd) {
    if (FAULT("shm_open", ENOSYS)) return ENOSYS;
    *fd = -1;
    int file = open_twice(fd), error = ENOSYS;
    if (file < 0 || *fd < 0 || pp_sys_above_standard(fd)) error = errno == EMFILE || errno == ENFILE ? errno : ENOSYS;
    else if (has_room(file, size) && (file = pp_sys_sized(file, size)) >= 0)
        error = pp_sys_map_file(file, begin, size, from, view);
    pp_close(&file);
    if (error) pp_close(fd);
    return error;
}

enum pp_collapsed pp_collapse(char *begin) {
    (void)begin;
    return PP_REFUSED;
}

bool pp_is_untouched(char *begin) {
    (void)begin;
    return false;
}

uint32_t *pp_map_unforked(void) {
    return NULL;
}

/* ---- processes */

bool pp_sys_detach(pid_t pid, int signal) {
    (void)pid, (void)signal;
    return false;
}

/* ---- descriptors */

int pp_sys_pipe(int fds[2]) {
    if (pipe(fds)) return -1;
    for (int end = 0; end < 2; end++) {
        int flags = fcntl(fds[end], F_GETFL);
        if (fcntl(fds[end], F_SETFD, FD_CLOEXEC) == 0 && flags >= 0 &&
            fcntl(fds[end], F_SETFL, flags | O_NONBLOCK) == 0)
            continue;
        pp_close(&fds[0]);
        pp_close(&fds[1]);
        return -1;
    }
    return 0;
}

int pp_nameless_file(size_t size) {
    char name[] = "/tmp/parpool-XXXXXX";
    if (FAULT("file", ENOSYS)) return -1;
    int fd = mkstemp(name);
    if (fd >= 0) unlink(name);
    fd = pp_sys_sized(fd, size);
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC)) pp_close(&fd);
    return fd;
}

/* All processes have one description of the pipe, so any may have made it block. Where it has no room, it is left
 * alone. */
int pp_ring(int fd) {
    struct pollfd out = {.fd = fd, .events = POLLOUT};
    if (pp_poll(&out, 1, 0) == 0) return 0;
    return pp_write(fd, "", 1) == 1 ? 1 : errno == EAGAIN ? 0 : -1;
}

int pp_watch_process(pid_t pid) {
    (void)pid;
    return -1;
}

int pp_watch_both(int fd, int other) {
    (void)fd, (void)other;
    return -1;
}

void pp_own_write_end(int fd) {
    (void)fd;
}

void pp_pipe_widen(int fd) {
    (void)fd;
}

void pp_watch_no_more(int both, int fd) {
    (void)both, (void)fd;
}
