#include "worker/crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/last_words.h"
#include "worker/child.h"

/* The worker that this process is. In the supervisor, and in a child that a task has forked, there is none. */
static struct pp_shared *own_shared;
static uint32_t own_number;

static pthread_t own_thread; /* that runs the tasks */
static bool has_spoken;      /* the first words count: std::terminate() calls abort() */

/* The number of this thread if it is not the one that runs the tasks: one that a task has left behind. */
static uint32_t other_thread(void) {
    return pthread_equal(pthread_self(), own_thread) ? 0 : pp_child_thread();
}

static void leave_words(enum pp_last kind, const void *address, const char *type) {
    if (!own_shared || pp_child_forked || has_spoken) return;
    has_spoken = true;
    pp_last_words_leave(own_shared, own_number, kind, other_thread(), address, type);
}

/* ---- memory faults */

#define BELOW ((uintptr_t)65536) /* how far below the stack pointer a function may touch its stack first */
#define LARGEST_FRAME ((uintptr_t)16 << 20)
#define LARGEST_STACK ((uintptr_t)64 << 20) /* if the system sets no limit */
#define STACK_GAP ((uintptr_t)1 << 20)      /* that Linux keeps free below a stack */

/* The stack that tasks run on: an address above all of their frames, and how far below it the stack may end. */
static uintptr_t stack_top, stack_reach;

/* Whether the address is one of the stack that is not there. The function whose frame did not fit has moved the stack
 * pointer already, and all frames above it are there. Where the stack pointer is not known, any address counts that the
 * stack might have reached. */
static bool is_overflow(uintptr_t address, const void *context) {
    uintptr_t pointer = pp_child_stack_pointer(context);
    if (address >= stack_top) return false;
    if (pointer == 0) return stack_top - address <= stack_reach;
    return address < pointer ? pointer - address <= BELOW : address - pointer <= LARGEST_FRAME;
}

static void note_fault(int signal, siginfo_t *info, void *context) {
    /* SA_RESETHAND has restored the default action, which kills the worker: at once if a process has sent the signal,
     * else when the fault happens again after the return. */
    if (info->si_code <= 0) {
        bool aborts = signal == SIGABRT && info->si_pid == getpid();
        if (aborts && other_thread()) leave_words(PP_LAST_SIGNAL, NULL, NULL);
        raise(signal);
        return;
    }
    uintptr_t address = (uintptr_t)info->si_addr;
    bool is_of_memory = signal == SIGSEGV || signal == SIGBUS;
    if (!is_of_memory && other_thread()) leave_words(PP_LAST_SIGNAL, NULL, NULL);
    else if (!is_of_memory) return;
    else if (address != 0 && address == pp_child_program_counter(context))
        leave_words(PP_LAST_NO_CODE, info->si_addr, NULL);
    else leave_words(is_overflow(address, context) ? PP_LAST_OVERFLOW : PP_LAST_FAULT, info->si_addr, NULL);
}

void pp_crash_exit(void) {
    if (own_shared && other_thread()) leave_words(PP_LAST_EXIT, NULL, NULL);
}

static void note_stack(void) {
    struct rlimit limit;
    char here;
    stack_top = (uintptr_t)&here;
    bool limited = getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < LARGEST_STACK;
    stack_reach = limited ? (uintptr_t)limit.rlim_cur + STACK_GAP : LARGEST_STACK;
}

void pp_crash_begin_worker(struct pp_shared *shared, uint32_t number) {
    own_shared = shared;
    own_number = number;
    own_thread = pthread_self();
    note_stack();
    static _Alignas(16) char stack[16384]; /* for the handler, when the worker's own has overflowed */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = note_fault;
    action.sa_flags =
        (int)((unsigned)SA_SIGINFO | (unsigned)SA_ONSTACK | (unsigned)SA_RESETHAND | (unsigned)SA_NODEFER);
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigaction(faults[i], &action, NULL);
}

/* ---- exceptions */

#if defined(__GNUC__) && defined(__ELF__)

/* The C++ runtime, if the program has one: std::set_terminate(), the default handler of libstdc++, which prints what()
 * and aborts, and functions of the C++ ABI. */
typedef void terminate_fn(void);
struct type_info {
    const void *functions;
    const char *name;
};
#define WEAK __attribute__((weak))
WEAK terminate_fn *_ZSt13set_terminatePFvvE(terminate_fn *handler);
WEAK terminate_fn _ZN9__gnu_cxx27__verbose_terminate_handlerEv;
WEAK const struct type_info *__cxa_current_exception_type(void);
WEAK char *__cxa_demangle(const char *name, char *room, size_t *size, int *status);

/* Not in a signal handler, but in the thread that has thrown the exception. */
static noreturn void on_terminate(void) {
    const struct type_info *type = __cxa_current_exception_type ? __cxa_current_exception_type() : NULL;
    const char *name = type ? type->name + (type->name[0] == '*') : NULL; /* a mark of types of one file alone */
    int failed = -1;
    char *readable = name && __cxa_demangle ? __cxa_demangle(name, NULL, NULL, &failed) : NULL;
    leave_words(PP_LAST_TERMINATE, NULL, readable && failed == 0 ? readable : name);
    if (_ZN9__gnu_cxx27__verbose_terminate_handlerEv) _ZN9__gnu_cxx27__verbose_terminate_handlerEv();
    abort();
}

void pp_crash_begin(void) {
    if (_ZSt13set_terminatePFvvE) _ZSt13set_terminatePFvvE(on_terminate);
}

#else

void pp_crash_begin(void) {
}

#endif

/* ---- the end of a thread */

noreturn void pp_crash_thread_exit(void) {
    if (pp_child_forked) pp_child_exit(0); /* the thread was the last of this process */
    leave_words(PP_LAST_THREAD_EXIT, NULL, NULL);
    pp_child_flush();
    pp_child_exit(1);
}
