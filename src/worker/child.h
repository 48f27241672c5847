/* What every forked process of the library does first and last.
 *
 * Invariant: a child never returns into the program's main(), runs none of its exit handlers, and writes none of the
 * output that the program had buffered.
 * Called by: supervisor, birth, carrier, launch (processes), worker, work, crash and frame (output, ends). */
#ifndef PP_CHILD_H
#define PP_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

/* Whether a task has forked this process. Then it is no worker, though it returns from the task into the worker's loop.
 * An int, since job items test it together with their code. Hidden from the linker, so that the test is one instruction
 * and needs no register of a loop that has none to spare (bench_limits, "squares-arena"). */
#if defined(__GNUC__)
__attribute__((visibility("hidden")))
#endif
extern int pp_child_forked;

/* The struct pools that this process has made and not freed; and one more in the program itself. So it is 0 in a worker
 * that has no pool of its own: every handle there is foreign, and the memory that it points to may not even exist. */
#if defined(__GNUC__)
__attribute__((visibility("hidden")))
#endif
extern _Atomic int pp_child_pools;

/* Whether this process is a supervisor, or was forked by one: pools that tasks make are made there. */
#if defined(__GNUC__)
__attribute__((visibility("hidden")))
#endif
extern bool pp_child_is_here;

/* The supervisor's first act. It leads a process group of its own, sets handled signals back to default, ignores those
 * of the terminal, drops the output that the program had buffered, becomes the parent of what tasks leave behind, and
 * prepares for tasks that call exit() or fork(). Signals stay blocked. */
void pp_child_begin(void);
/* A worker's first act, in a child of the supervisor. It dies with its parent where the system can do that. Signals
 * stay blocked. keep_oom_score: as in struct pool_options. */
void pp_child_begin_worker(pid_t parent, uint32_t number, bool keep_oom_score);
/* In the thread that runs tasks: blocks no signal. */
void pp_child_accept_signals(void);
noreturn void pp_child_exit(int status);

/* ---- by platform: child_linux.c, child_posix.c */

/* Drops output that the program had buffered before the fork: the program itself will write it. */
void pp_child_drop_output(void);
/* Whether a task may have printed what is not written yet. Called by the worker, too, as is: */
bool pp_child_has_output(void);
/* Where stdout keeps its place and the begin of its buffer, for a look at the price of some loads: if the two differ,
 * it may have output. They always differ where only a call can tell. Output that escapes the look, since a task has
 * turned stdout to wide characters or to another stream, is written with that of the chunk. */
struct pp_child_output {
    char *const *place, *const *begin;
};
struct pp_child_output pp_child_output(void);
/* Writes the output that a task has printed. Waits for as long as the reader of a full pipe does not read. */
void pp_child_flush(void);
/* Makes exit() in a task end the worker at once: exit handlers and unwritten files belong to the program. Does nothing
 * where the C library cannot do that. */
void pp_child_catch_exit(void);
/* Makes children that tasks leave behind children of this process, which waits for them: else the program would have
 * to, if it is the first process of a container or a subreaper itself. Does nothing where the system cannot do that. */
void pp_child_adopt_orphans(void);
/* Makes the kernel end this process before others when memory runs out. Does nothing where the system cannot do
 * that. */
void pp_child_offer_memory(void);
/* Makes the kernel kill this process when its parent ends. Does nothing where the system cannot do that. */
void pp_child_end_with_parent(void);
/* Names this process, as ps and top show it: the program's name, cut where it is long, and a suffix of at most 7
 * characters, such as "/pool". Does nothing where the system cannot do that. */
void pp_child_set_name(const char *suffix);
/* Supervisor: prepares the next. */
void pp_child_find_abort_message(void);
/* In a signal handler: why the C library has called abort(), in its own words, of which each may be overwritten by a
 * task; NULL: not known. */
const char *pp_child_abort_message(void);
/* Lets any process of the same user debug this one. Does nothing where the system allows that anyway. */
void pp_child_allow_debugger(void);
/* The system's number of this thread; 1: it has none. */
uint32_t pp_child_thread(void);

#endif
