/* The outermost frame of the supervisor and of workers. They are forked from a thread of the program, so its frames lie
 * above theirs on the stack: destructors, catch blocks and clean-up handlers, all of which are the program's alone.
 *
 * Invariant: nothing unwinds beyond this frame. frame.c is compiled without unwind information, so an exception finds
 * the end of the stack here: the C++ runtime calls std::terminate() where the exception was thrown, as it does for one
 * that nothing catches. Forced unwinding, of pthread_exit() and cancellations, runs the clean-up handlers of the task
 * and then that of this frame, which ends the process. Only longjmp() passes.
 * Called by: supervisor. */
#ifndef PP_FRAME_H
#define PP_FRAME_H

#include <stdnoreturn.h>

/* Calls body(argument), which must not return. */
noreturn void pp_frame_run(void (*body)(void *argument), void *argument);

#endif
