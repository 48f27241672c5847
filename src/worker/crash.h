/* How a worker ends that the code of a task, initializer or finalizer brings to an end: by a memory fault, by an
 * exception that nothing catches, or by the end of its thread. It leaves last words, and ends as any process would.
 *
 * Invariant: a signal handler here only writes to shared memory what the system has told it. A handler that a task
 * installs for itself takes its place.
 * Called by: supervisor, birth and worker (begin), child, frame, work and sandbox_linux (ends). */
#ifndef PP_CRASH_H
#define PP_CRASH_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct pp_shared;

/* Supervisor, for its workers: std::terminate() ends a process, and runs no handler of the program. */
void pp_crash_begin(void);
/* In the thread of a worker that runs tasks: memory faults leave last words. */
void pp_crash_begin_worker(struct pp_shared *shared, uint32_t number);
/* Worker: it notes there an address in the frame of the function that calls a task or an item, where the frames end
 * that are worth telling; 0: they end nowhere. */
void pp_crash_watch(const uintptr_t *base);
/* A signal that the supervisor sends a worker before it kills it: the worker says where it is, and ends. A task has no
 * other use for it, unless it filters its system calls. */
#define PP_QUESTION SIGSYS
/* The worker only waits to be killed: where it is, is of no interest. */
void pp_crash_fall_silent(void);
/* The worker is about to enter its sandbox: SIGSYS is the signal of that from now on. Returns false, with errno, if it
 * cannot be handled. */
bool pp_crash_enter_sandbox(void);
/* exit() was called, in whatever thread. */
void pp_crash_exit(void);
/* The last act of a thread that ends by pthread_exit() or a cancellation: ends the process. */
noreturn void pp_crash_thread_exit(void);

#endif
