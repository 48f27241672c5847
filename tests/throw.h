/* What test_frame.c needs of C++: tasks that throw, and a program that would catch. */
#ifndef THROW_H
#define THROW_H

#ifdef __cplusplus
extern "C" {
#endif

enum thrown {
    STANDARD_EXCEPTION, /* std::runtime_error */
    OWN_EXCEPTION,      /* a type that only throw.cpp knows */
    NUMBER,             /* an int */
    FOREIGN_EXCEPTION,  /* of another language: _Unwind_RaiseException(); aborts if that returns */
    FORCED_UNWINDING,   /* _Unwind_ForcedUnwind(), as of a coroutine that is ended; aborts at the end of the stack */
    NOEXCEPT_BROKEN,    /* out of a function that throws nothing */
    THROWN
};
int throw_it(enum thrown what);

/* What of the program's own has run in other processes than the program's, which end there. In shared memory. */
struct intrusions {
    int catches, destructors, terminations;
};
/* Calls body(argument) within a try block that catches everything, among objects with destructors. */
int call_guarded(int (*body)(void *argument), void *argument, struct intrusions *intrusions);
/* Sets a terminate handler that counts its calls. NULL: that of the runtime is set again. */
void set_terminate_handler(struct intrusions *intrusions);

#ifdef __cplusplus
}
#endif

#endif
