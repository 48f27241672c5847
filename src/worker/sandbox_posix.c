/* POSIX has no sandboxes; OpenBSD and FreeBSD have one each. See sandbox.h. Both are written after the lists of calls
 * in those systems' sources, and untried: they were compiled against stubs, never run.
 *
 * In its sandbox a worker reads and polls its pipe, writes to the bell and to where its output goes, takes, protects
 * and gives back memory, looks at clocks, limits and its own numbers, sets timers, handlers and signal masks, yields,
 * and signals itself. Both lists have all of that.
 *
 * A task can do more than on Linux: write to what its initializer has left open to be written, make sockets that reach
 * nobody (FreeBSD), and set flags of descriptors that the program has, too (OpenBSD). And a refused call is not named:
 * the worker dies of SIGABRT (OpenBSD), or the call fails with ECAPMODE (FreeBSD). */
#include "worker/sandbox.h"

#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__FreeBSD__)
#include <sys/capsicum.h>
#endif

#if defined(__OpenBSD__) || defined(__FreeBSD__)

bool pp_sandbox_exists(void) {
    return true;
}

bool pp_sandbox_close_range(unsigned first, unsigned last) {
    if (last != ~0U) return false;
    closefrom((int)first);
    return true;
}

#else

bool pp_sandbox_exists(void) {
    return false;
}

bool pp_sandbox_close_range(unsigned first, unsigned last) {
    (void)first, (void)last;
    return false;
}

#endif

#if defined(__OpenBSD__)

/* "stdio" is what is said above, dup() and pipes. It has neither files but /dev/null and time zones, which can be read,
 * nor sockets, processes, other processes' signals or limits. Memory cannot become executable. */
int pp_sandbox_enter(const struct pp_sandbox_open *open) {
    (void)open;
    return pledge("stdio", NULL) ? errno : 0;
}

#elif defined(__FreeBSD__)

/* Takes from each descriptor what the worker does not do with it. Capability mode then has no names of files,
 * addresses, processes or shared memory. It would let a process fork, which the limit forbids, save to root; such a
 * child would be in the mode as well. It also lets a process set the priorities of others of its user. */
int pp_sandbox_enter(const struct pp_sandbox_open *open) {
    static const struct rlimit none;
    cap_rights_t reads, writes, catches;
    cap_rights_init(&reads, CAP_READ, CAP_FSTAT, CAP_EVENT);
    cap_rights_init(&writes, CAP_WRITE, CAP_FSTAT, CAP_EVENT);
    cap_rights_init(&catches, CAP_READ, CAP_WRITE, CAP_SEEK, CAP_FTRUNCATE, CAP_FSTAT);
    const cap_rights_t *output = open->files[0] > 0 ? &catches : &writes;
    const struct {
        int fd;
        const cap_rights_t *rights;
    } all[] = {{STDIN_FILENO, &reads},      {STDOUT_FILENO, output},     {STDERR_FILENO, output},
               {open->task_pipe, &reads},   {open->bell, &writes},       {open->outputs[0], &writes},
               {open->outputs[1], &writes}, {open->files[0], &catches},  {open->files[1], &catches}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (i > STDERR_FILENO && all[i].fd <= 0) continue;
        if (cap_rights_limit(all[i].fd, all[i].rights) && errno != EBADF) return errno;
    }
    return setrlimit(RLIMIT_NPROC, &none) || cap_enter() ? errno : 0;
}

#else

int pp_sandbox_enter(const struct pp_sandbox_open *open) {
    (void)open;
    return ENOSYS;
}

#endif

const char *pp_sandbox_call_name(uint64_t call) {
    (void)call;
    return NULL;
}
