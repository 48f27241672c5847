/* Where a thread was when a signal came: its registers, and the code that had called the code that it ran.
 *
 * Only addresses are collected: a signal handler may do no more, and a worker that crashes has nothing that can be
 * relied on. Names are found in the caller (pool/place.h).
 * Where the processor is not x86-64 or AArch64, and with POSIX alone (backtrace_posix.c), nothing is known.
 * Called by: crash, in signal handlers. */
#ifndef PP_BACKTRACE_H
#define PP_BACKTRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether pc and sp can be known here. */
extern const bool pp_places_are_known;

struct pp_registers {
    bool known;     /* pc and sp are; else those that are not are 0 */
    uintptr_t pc;   /* address of the instruction */
    uintptr_t sp;   /* stack pointer */
    uintptr_t fp;   /* frame pointer, unless the code uses the register for something else */
    uintptr_t link; /* the register with the return address, in a function that has called no other */
    bool sent;      /* the thread has sent itself the signal: the registers are those of a function of the C library */
};

/* context: what the handler was given. */
struct pp_registers pp_registers(const void *context);

/* A stack; 0: not known. */
struct pp_stack_range {
    uintptr_t top;  /* all frames lie below */
    uintptr_t base; /* lies in the frame of the function that has called what is of interest */
};

/* Writes the addresses to which the code at these registers and its callers return, the innermost first, and 0 behind
 * the last; room: how many fit, with the 0. The frame that holds stack.base and its callers are left out. It may fault,
 * or wait for a lock of the C library: the caller sees to that.
 * By the program's unwinder, if it has one: so the whole chain. Else, and if at->pc is 0, by frame pointers, which code
 * need not have; what is found then may be no address of code. Behind abort(), raise() and assert() of a C library that
 * cannot be unwound (musl) only their caller is found, and that on x86-64. at->pc must be 0 where no code is. */
void pp_backtrace(const struct pp_registers *at, struct pp_stack_range stack, uint64_t *frames, size_t room);

#define PP_FOREIGN_CALL ((uint64_t)1 << 32) /* of a number: that of programs of 32 bits, in a program of 64 */
/* The number of the system call that a filter has refused, from what the handler of SIGSYS was given; -1: none. */
long pp_refused_call(const void *info);

#endif
