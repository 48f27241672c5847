/* Registers of a signal's context, the unwinder of the program, and chains of frame pointers; see backtrace.h. */
#include "worker/backtrace.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/module.h"

#if defined(__x86_64__) || defined(__aarch64__) || defined(__i386__)
#define HAS_PC true
#else
#define HAS_PC false
#endif

const bool pp_places_are_known = HAS_PC;

struct pp_registers pp_registers(const void *context) {
    const ucontext_t *at = context;
    struct pp_registers found = {0};
#if defined(__x86_64__)
    found.pc = (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
    found.sp = (uintptr_t)at->uc_mcontext.gregs[REG_RSP];
    found.fp = (uintptr_t)at->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    found.pc = (uintptr_t)at->uc_mcontext.pc;
    found.sp = (uintptr_t)at->uc_mcontext.sp;
    found.fp = (uintptr_t)at->uc_mcontext.regs[29];
    found.link = (uintptr_t)at->uc_mcontext.regs[30];
#elif defined(__i386__)
    found.pc = (uintptr_t)at->uc_mcontext.gregs[REG_EIP];
    found.sp = (uintptr_t)at->uc_mcontext.gregs[REG_ESP];
#elif defined(__arm__)
    found.sp = (uintptr_t)at->uc_mcontext.arm_sp;
#elif defined(__riscv)
    found.sp = (uintptr_t)at->uc_mcontext.__gregs[2];
#else
    (void)at;
#endif
    found.known = HAS_PC;
    return found;
}

long pp_refused_call(const void *info) {
#if defined(si_syscall)
    const siginfo_t *of = info;
    if (of->si_code <= 0) return -1;
    bool foreign = sizeof(long) == 8 && !(of->si_arch & 0x80000000U); /* that of no machine of 64 bits */
    return (long)((foreign ? PP_FOREIGN_CALL : 0) | (uint32_t)of->si_syscall);
#else
    (void)info;
    return -1;
#endif
}

#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__GNUC__)

#include <unwind.h>

/* There, if the program was linked with libgcc or libunwind: for an exception that passes through it. */
#pragma weak _Unwind_Backtrace
#pragma weak _Unwind_GetIP
#pragma weak _Unwind_GetCFA

struct walk {
    uintptr_t pc, base;
    bool found;   /* the frame that the signal has interrupted; before it come those of the handler */
    bool is_whole; /* it has come to the base */
    uint64_t *frames;
    size_t count, room;
};

/* Takes the frame whose stack pointer is `sp`. If that lies above the base, the base is in the frame before. Returns
 * whether there may be more. */
static bool take_frame(struct walk *walk, uintptr_t address, uintptr_t sp) {
    walk->is_whole = walk->base != 0 && sp > walk->base;
    if (!walk->is_whole) walk->frames[walk->count++] = address;
    else if (walk->count > 0) walk->count--;
    walk->frames[walk->count] = 0;
    return !walk->is_whole && walk->count + 1 < walk->room;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg) {
    struct walk *walk = arg;
    uintptr_t address = _Unwind_GetIP(context), sp = _Unwind_GetCFA(context);
    if (walk->found) return take_frame(walk, address, sp) ? _URC_NO_REASON : _URC_END_OF_STACK;
    walk->found = address == walk->pc;
    return _URC_NO_REASON;
}

#if defined(__x86_64__)

#define SENDER_SIZE 256 /* bytes of a function that sends, at most */
#define SENDER_STACK 128 /* words of the stack that it and what it calls take, at most */

void __assert_fail(void); /* as the address alone is of interest */
#pragma weak __assert_fail

static bool can_read(uintptr_t address, bool code) {
    struct pp_module module;
    return pp_module_find((const void *)address, &module) && module.is_readable && (module.is_code || !code);
}

/* The word to which an instruction refers that ends at `end`, by the distance in its last four bytes. */
static uintptr_t referred(uintptr_t end) {
    int32_t distance;
    memcpy(&distance, (const void *)(end - sizeof distance), sizeof distance);
    return end + (uintptr_t)(intptr_t)distance;
}

static uintptr_t word_at(uintptr_t address) {
    return can_read(address, false) ? *(const uintptr_t *)address : 0;
}

/* The function whose call ends at the address; 0: none. A function of another module is called through a table, or
 * through code that jumps there by such a table. */
static uintptr_t called_before(uintptr_t address) {
    static const unsigned char begin[] = {0xf3, 0x0f, 0x1e, 0xfa}; /* where a jump may lead to */
    if (!can_read(address - 6, true) || !can_read(address - 1, true)) return 0;
    const unsigned char *code = (const unsigned char *)address;
    uintptr_t target = referred(address);
    if (code[-6] == 0xff && code[-5] == 0x15) return word_at(target);
    if (code[-5] != 0xe8 || !can_read(target, true) || !can_read(target + 10, true)) return 0;
    code = (const unsigned char *)target;
    if (memcmp(code, begin, sizeof begin) == 0) code += sizeof begin;
    return code[0] == 0xff && code[1] == 0x25 ? word_at(referred((uintptr_t)code + 6)) : target;
}

/* Finds where abort(), raise() or assert() was called, which call each other: their frames have no frame pointers. */
__attribute__((no_sanitize_address))
static void find_sender(const struct pp_registers *at, uintptr_t top, struct walk *walk) {
    const uintptr_t senders[] = {(uintptr_t)raise, (uintptr_t)abort, (uintptr_t)__assert_fail};
    const uintptr_t *stack = (const uintptr_t *)at->sp;
    for (size_t i = 0; i < SENDER_STACK && at->sp + (i + 1) * sizeof *stack <= top; i++) {
        uintptr_t called = called_before(stack[i]);
        bool calls = false, is_one = false;
        for (size_t k = 0; k < sizeof senders / sizeof *senders; k++) {
            calls = calls || (called != 0 && called == senders[k]);
            is_one = is_one || stack[i] - senders[k] < SENDER_SIZE;
        }
        if (!calls || is_one) continue;
        take_frame(walk, stack[i], (uintptr_t)(stack + i + 1));
        return;
    }
}

#else

static void find_sender(const struct pp_registers *at, uintptr_t top, struct walk *walk) {
    (void)at, (void)top, (void)walk;
}

#endif

/* A function that has not set up its frame, or sets up none, returns to what lies on top of the stack, or in the link
 * register. The other frames are chained: each begins with the address of the next and a return address. To
 * AddressSanitizer parts of the stack are forbidden. */
__attribute__((no_sanitize_address))
static void follow_frame_pointers(const struct pp_registers *at, uintptr_t top, struct walk *walk) {
    const size_t word = sizeof(uintptr_t);
    uintptr_t fp = at->fp;
    bool on_stack = at->sp < top && at->sp % word == 0;
    if (at->link) take_frame(walk, at->link, at->sp);
    else if (on_stack) take_frame(walk, *(const uintptr_t *)at->sp, at->sp + word);
    while (on_stack && fp >= at->sp && fp < top && top - fp >= 2 * word && fp % word == 0) {
        const uintptr_t *frame = (const uintptr_t *)fp;
        if (!take_frame(walk, frame[1], fp + 2 * word) || frame[0] <= fp) return;
        fp = frame[0];
    }
}

void pp_backtrace(const struct pp_registers *at, struct pp_stack_range stack, uint64_t *frames, size_t room) {
    struct walk walk = {.pc = at->pc, .base = at->sp <= stack.base ? stack.base : 0, .frames = frames, .room = room};
    if (at->pc != 0 && _Unwind_Backtrace && _Unwind_GetIP && _Unwind_GetCFA) _Unwind_Backtrace(step, &walk);
    if (walk.count > 0 || walk.is_whole) return;
    if (at->sent) find_sender(at, stack.top, &walk);
    if (walk.count == 0) follow_frame_pointers(at, stack.top, &walk);
}

#else

void pp_backtrace(const struct pp_registers *at, struct pp_stack_range stack, uint64_t *frames, size_t room) {
    (void)at, (void)stack, (void)room;
    frames[0] = 0;
}

#endif
