/* What a function of the program does that does not return: it throws an exception, in C++ or another language, which
 * passes through the library to the program's own handler. Each function of the library that such an exception may pass
 * through, and that has something to take back, has a guard:
 *
 *     PP_GUARD(guard, undo, of);        from here on undo(of) is called if an exception passes through this block
 *     ...                               functions of the program may run
 *     pp_release_guard(&guard);         it will not be called any more
 *
 * So the guards of a call are undone from the innermost to the outermost, and the state is as if each function had
 * returned. Meanwhile no other function of the program is called, as pp_is_undoing() says: a second exception would end
 * the program. What is due waits for the next call.
 *
 * Invariant: no goto leads past a guard into its block.
 * This needs a compiler that unwinds C (gcc, clang: -fexceptions). A longjmp() calls no guard. */
#ifndef PP_UNDO_H
#define PP_UNDO_H

#include <stdbool.h>
#include <stddef.h>

struct pp_guard {
    void (*undo)(void *of); /* NULL: released */
    void *of;
};

#if defined(__GNUC__)
#define PP_GUARD(name, undo, of) struct pp_guard name __attribute__((cleanup(pp_undo))) = {undo, of}
#else
#define PP_GUARD(name, undo, of) struct pp_guard name = {undo, of}
#endif

static inline void pp_release_guard(struct pp_guard *guard) {
    guard->undo = NULL;
}

/* Called by the compiler at the end of the guard's block. */
void pp_undo(struct pp_guard *guard);

/* Whether an exception passes through a call of this thread just now. */
bool pp_is_undoing(void);

#endif
