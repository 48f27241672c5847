/* Shared by sys.c and the platform's file, sys_linux.c or sys_posix.c: the injection of faults, and what both need.
 *
 * Each function of sys.h has one body, in sys.c if it is the same everywhere, else one in each platform's file. CMake
 * chooses the file by PARPOOL_POSIX_ONLY.
 * Called by: sys.c, sys_linux.c, sys_posix.c. */
#ifndef PP_SYS_PLATFORM_H
#define PP_SYS_PLATFORM_H

#include <errno.h>
#include <stdbool.h>

#include "base/sys.h"

#ifdef PP_FAULTS
/* True, with errno set, if the test wants this call to fail. */
#define FAULT(call, code) (pp_fault && pp_fault(call) && (errno = (code), true))
#define HELD(change) (pp_held += (change))
#else
#define FAULT(call, code) false
#define HELD(change) ((void)0)
#endif

/* Counts memory that was given, unless it is NULL. */
static inline void *pp_sys_given(void *memory) {
    if (memory) HELD(1);
    return memory;
}

/* A program that closed its standard descriptors must not find ours in their place: tasks print to them. */
int pp_sys_above_standard(int *fd);

/* ---- by platform */

/* Both ends close-on-exec at once where the system can do that. */
int pp_sys_pipe(int fds[2]);
int pp_sys_socketpair(int fds[2]);

#endif
