/* The sandbox of a worker, for tasks that hostile input may take over: once the initializer has succeeded, nothing is
 * left to the worker but computing.
 *
 * On Linux it is a filter of system calls, an allowlist: sandbox_policy_linux.c; on OpenBSD and FreeBSD what those
 * systems have: sandbox_posix.c. It relies on pp_shared_protect(): a filter cannot tell mappings. The supervisor and
 * the caller are in no sandbox: what a worker needs of the system meanwhile, they do for it, or it is open before.
 *
 * Invariant: no task starts in a process of a sandboxed pool before pp_sandbox_enter() has returned 0 there, in all
 * threads of the process.
 * Called by: lifetime (whether there is one), birth (descriptors), worker (enters it), describe (names). */
#ifndef PP_SANDBOX_H
#define PP_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* Descriptors of a worker that stay open beside the standard three; 0 or -1: there is none. */
struct pp_sandbox_open {
    int task_pipe, bell;
    int outputs[2], files[2]; /* where captured output goes, and what catches it; see capture.h */
};

/* Caller: returns whether the system has sandboxes. */
bool pp_sandbox_exists(void);
/* Before the initializer: closes all descriptors but those and the standard three. Nothing can be read from stdin from
 * then on. */
void pp_sandbox_close_others(const struct pp_sandbox_open *open);
/* After the initializer, in the thread that runs tasks. Returns 0, or errno: then the worker must end. */
int pp_sandbox_enter(const struct pp_sandbox_open *open);
/* Returns the name of a system call, as pp_refused_call() tells it; NULL: it is not known. */
const char *pp_sandbox_call_name(uint64_t call);

/* ---- by platform, for pp_sandbox_close_others() */

/* Closes these descriptors. Returns false, with all of them open, if the system cannot close many by one call. */
bool pp_sandbox_close_range(unsigned first, unsigned last);

#endif
