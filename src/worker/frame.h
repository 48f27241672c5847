/* The outermost frame of the supervisor and of workers. They are forked from a thread of the program, so its frames lie
 * above theirs on the stack: destructors, catch blocks and clean-up handlers, all of which are the program's alone.
 *
 * Invariant: nothing unwinds beyond this frame. frame.c is compiled without unwind information, so an exception finds
 * the end of the stack here: the C++ runtime calls std::terminate() where the exception was thrown, as it does for one
 * that nothing catches. Forced unwinding, of pthread_exit() and cancellations, runs the clean-up handlers of the task
 * and then that of this frame, which ends the process. Only longjmp() passes.
 * Called by: supervisor, birth. */
#ifndef PP_FRAME_H
#define PP_FRAME_H

#include <stdnoreturn.h>

#include "base/sys.h"

/* Calls body(argument), which must not return. */
noreturn void pp_frame_run(void (*body)(void *argument), void *argument);
/* The same in a thread of its own on this stack, while the calling thread, which must block all signals, only waits. As
 * long as the system refuses the thread, tries again, ever more rarely. */
noreturn void pp_frame_run_on(const struct pp_stack *stack, void (*body)(void *argument), void *argument);

#endif
