/* What a worker in a sandbox may ask of the system: one row for each system call. Linux only.
 *
 * Invariant: what is in no row is refused. A number above all rows fails with ENOSYS, as with a kernel that is older
 * than the call: C libraries then do without. A rule looks at the number and the arguments themselves, never at what an
 * argument points to: another thread could change that after the look.
 * Called by: sandbox_linux. */
#ifndef PP_SANDBOX_POLICY_H
#define PP_SANDBOX_POLICY_H

#include <stddef.h>
#include <stdint.h>

/* What is done about a call. The rules from PP_READS on depend on its arguments: put_rule() in sandbox_linux.c. */
enum pp_rule {
    PP_FORBIDDEN, /* ends the worker, which names the call: no library tries it without need */
    PP_ALLOWED,   /* whatever the arguments */
    PP_NO_ENTRY,  /* fails with EACCES, as if no file could be reached: libraries try it, and go on without */
    PP_NO_RIGHT,  /* fails with EPERM: likewise, of what needs a right */
    PP_NO_CALL,   /* fails with ENOSYS: likewise, of what the kernel need not have */
    PP_READS,     /* not of stdout or stderr: what is open there is the program's */
    PP_WRITES,    /* to stdout, stderr, where they go if they are caught, and the bell; to nothing else that is open */
    PP_REWRITES,  /* the files that catch stdout and stderr; of any other file it ends the worker */
    PP_MAPS,      /* new memory, no file, nothing that can be executed */
    PP_PROTECTS,  /* nothing becomes executable */
    PP_ADVISES,   /* of memory, what does not change its content but for the worker itself */
    PP_SLEEPS,    /* futexes without priorities, in which kernels had most of their faults */
    PP_SIGNALS,   /* to this process */
    PP_SIGNALS_THREAD, /* to its first thread, or the one that runs tasks: the call has no number of a process */
    PP_OWN_CPUS,  /* of those two threads */
    PP_OWN_LIMITS, /* to be read */
    PP_THREADS,   /* clone() of a thread, not of a process */
    PP_TERMINAL,  /* whether it is one: any other request may type into it */
    PP_FLAGS,     /* to be read: F_SETFL would change the program's own descriptor */
    PP_HANDLES,   /* any signal but the one by which the worker learns of a refused call */
    PP_RULES
};

struct pp_policy_row {
    uint16_t number;
    uint8_t rule;
    const char *name;
};

extern const struct pp_policy_row pp_policy[];
extern const size_t pp_policy_rows;

#define PP_POLICY_ROWS 400 /* at most */
#define PP_POLICY_LAST 450U /* the highest number in a row, or above */

#endif
