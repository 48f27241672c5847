/* What sys.c, sys_linux.c and sys_posix.c share: the injection of faults, and steps of pp_pipe().
 * CMake chooses one of the two platforms' files by PARPOOL_POSIX_ONLY. */
#ifndef PP_SYS_PLATFORM_H
#define PP_SYS_PLATFORM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/sys.h"

#ifdef PP_FAULTS
/* Whether a test makes this call fail; then errno is set to the code. */
#define FAULT(call, code) (pp_fault && pp_fault(call) && (errno = (code), true))
#define HELD(change) (pp_held += (change))
#else
#define FAULT(call, code) false
#define HELD(change) ((void)0)
#endif

/* Counts memory that was obtained; nothing for NULL. Returns it. */
static inline void *pp_sys_given(void *memory) {
    if (memory) HELD(1);
    return memory;
}

/* Moves a descriptor above the standard three: a program may have closed those, and its tasks print to them. Returns 0
 * or -1. */
int pp_sys_above_standard(int *fd);

/* Gives a new file its size, and a descriptor above the standard three. Returns that; -1, with errno and the file
 * closed, if it cannot. file: may be -1. */
int pp_sys_sized(int file, size_t size);
/* pp_map_with_reader() once there is a file for the memory. Returns 0 or ENOMEM. */
int pp_sys_map_file(int file, char *begin, size_t size, size_t from, void **view);

/* ---- by platform */

/* Returns private memory as pp_map_private() does, but in pages as small as there are: most of a stack is never
 * touched. */
void *pp_sys_map_stack(size_t size);
/* Leaves this memory out of core dumps, if the system can. */
void pp_sys_keep_from_dumps(char *begin, size_t size);
/* Returns 0 or -1. Neither end blocks, and both are close-on-exec, from the start where the system can do that. */
int pp_sys_pipe(int fds[2]);
/* Ends the tracing of a child that has stopped, which then receives the signal; 0: none. Returns false if the system
 * does not allow it. */
bool pp_sys_detach(pid_t pid, int signal);

#endif
