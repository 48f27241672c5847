/* What every forked process of the library does first and last.
 *
 * Invariant: a child never returns into the program's main(), runs none of its exit handlers, and writes none of the
 * output that the program had buffered.
 * Called by: supervisor, worker. */
#ifndef PP_CHILD_H
#define PP_CHILD_H

#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/types.h>

struct pp_record;

/* Whether this process was forked by a worker, or by a child of its: then it is no worker, whatever it returns from.
 * An int: job items look at it together with their code. Hidden from the linker, so that the look is one instruction
 * and needs no register of a loop that has none to spare: bench_limits, "squares-arena". */
#if defined(__GNUC__)
__attribute__((visibility("hidden")))
#endif
extern int pp_child_forked;

/* A supervisor's: own process group; handled signals back to default, those of the terminal ignored; inherited
 * unwritten output dropped; exit() in a task, and children that a task forks, seen to. Signals stay blocked. */
void pp_child_begin(void);
/* A worker's, after that of its supervisor: ends with its parent where the system can do that, nothing blocked, notes
 * the address of a memory fault in its record. */
void pp_child_begin_worker(struct pp_record *record, pid_t parent);
/* Writes what a task printed. */
void pp_child_flush(void);
noreturn void pp_child_exit(int status);

/* ---- by platform, for child.c: child_linux.c, child_posix.c */

/* The program's unwritten output is the program's to write. */
void pp_child_drop_output(void);
/* Whether something that was printed is not written yet; true: the system does not tell. */
bool pp_child_has_output(void);
/* exit() in a task: the program's own exit handlers and unwritten files are not the worker's to run and write. Nothing
 * where the C library cannot. */
void pp_child_catch_exit(void);
/* The kernel kills this process once its parent has ended. Nothing where the system cannot. */
void pp_child_end_with_parent(void);

#endif
