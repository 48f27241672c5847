#include "worker/crash.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/last_words.h"
#include "worker/backtrace.h"
#include "worker/child.h"

/* The worker that this process is. In the supervisor, and in a child that a task has forked, there is none. */
static struct pp_shared *own_shared;
static uint32_t own_number;

static pthread_t own_thread; /* that runs the tasks */
static bool has_spoken;      /* the first words count: std::terminate() calls abort() */
static bool has_located;     /* likewise of the place */
static bool in_sandbox;
static bool stops;           /* PARPOOL_STOP: a crash stops the worker, for a debugger */

/* The number of this thread if it is not the one that runs the tasks: one that a task has left behind. */
static uint32_t other_thread(void) {
    return pthread_equal(pthread_self(), own_thread) ? 0 : pp_child_thread();
}

static void leave_words(struct pp_last_words words, const char *text) {
    if (!own_shared || pp_child_forked || has_spoken) return;
    has_spoken = true;
    words.thread = other_thread();
    pp_last_words_leave(own_shared, own_number, &words, text);
}

/* ---- where it was */

/* The stack that tasks run on: an address above all of their frames, and how far below it the stack may end. */
static uintptr_t stack_top, stack_reach;
static const uintptr_t *task_base; /* an address in the frame that has called the task */

static sigjmp_buf lost;
static pthread_t walker;

/* The walk along the stack has met memory that is not there, or waits for a lock. Another thread waits for the end. */
static void on_lost(int signal) {
    (void)signal;
    while (!pthread_equal(pthread_self(), walker)) pause();
    siglongjmp(lost, 1);
}

/* How a walk is ended, and then the worker. */
static void set_handlers(void (*handler)(int)) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGALRM};
    struct sigaction action;
    sigset_t mask;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = (int)((unsigned)SA_ONSTACK | (unsigned)SA_NODEFER);
    sigemptyset(&mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaction(signals[i], &action, NULL);
        sigaddset(&mask, signals[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
}

/* The words are there: what this adds is a gift. The process may be in any state, so a walk is given up after 1 s. */
static void leave_place(const struct pp_registers *at, bool aborts) {
    if (!own_shared || pp_child_forked || has_located || !at->known) return;
    has_located = true;
    walker = pthread_self();
    alarm(0); /* one of the task's */
    signal(SIGALRM, SIG_IGN); /* it may be pending already: that is dropped */
    if (sigsetjmp(lost, 0) == 0) { /* before the first signal that on_lost() may get */
        set_handlers(on_lost);
        alarm(1);
        const char *text = aborts ? pp_child_abort_message() : NULL;
        if (text) pp_last_words_add(own_shared, own_number, text);
        struct pp_stack_range stack = {0};
        if (!other_thread()) stack = (struct pp_stack_range){.top = stack_top, .base = task_base ? *task_base : 0};
        pp_backtrace(at, stack, pp_last_words_callers(own_shared, own_number), PP_LAST_FRAMES - 1);
    }
    alarm(0);
    set_handlers(SIG_DFL);
}

/* ---- signals */

#define BELOW ((uintptr_t)65536) /* how far below the stack pointer a function may touch its stack first */
#define LARGEST_FRAME ((uintptr_t)16 << 20)
#define LARGEST_STACK ((uintptr_t)64 << 20) /* if the system sets no limit */
#define STACK_GAP ((uintptr_t)1 << 20)      /* that Linux keeps free below a stack */

/* Whether the address is one of the stack that is not there. The function whose frame did not fit has moved the stack
 * pointer already, and all frames above it are there. Where the stack pointer is not known, any address counts that the
 * stack might have reached. */
static bool is_overflow(uintptr_t address, uintptr_t pointer) {
    if (address >= stack_top) return false;
    if (pointer == 0) return stack_top - address <= stack_reach;
    return address < pointer ? pointer - address <= BELOW : address - pointer <= LARGEST_FRAME;
}

/* Of a memory fault. */
static enum pp_last kind_of(const siginfo_t *info, const struct pp_registers *at) {
    uintptr_t address = (uintptr_t)info->si_addr;
#if defined(__x86_64__) && defined(SI_KERNEL)
    if (info->si_code == SI_KERNEL && address == 0) return PP_LAST_BAD_ADDRESS;
#endif
    if (at->known && address == at->pc) return PP_LAST_NO_CODE;
    return is_overflow(address, at->sp) ? PP_LAST_OVERFLOW : PP_LAST_FAULT;
}

static void speak(int signal, const siginfo_t *info, const struct pp_registers *at) {
    struct pp_last_words words = {.kind = PP_LAST_SENT, .signal = signal, .frames = {at->pc}};
    struct pp_registers from = *at;
    from.sent = info->si_code <= 0;
    if (info->si_code > 0) words.kind = PP_LAST_SIGNAL;
    long call = signal == SIGSYS ? pp_refused_call(info) : -1;
    if (call >= 0) {
        words.kind = in_sandbox ? PP_LAST_REFUSED : PP_LAST_CALL;
        words.address = (uint64_t)call;
    } else if ((signal == SIGSEGV || signal == SIGBUS) && info->si_code > 0) {
        words.kind = kind_of(info, at);
        if (words.kind == PP_LAST_NO_CODE) from.pc = 0;
        words.address = (uint64_t)(uintptr_t)info->si_addr;
    }
    bool aborts = signal == SIGABRT && !has_spoken;
    leave_words(words, NULL);
    leave_place(&from, aborts);
}

/* The signals that this handles, and their handlers before: those of a sanitizer; see child.c. */
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
static struct sigaction before[sizeof faults / sizeof *faults];

/* Ends the worker: by the report of a sanitizer or the signal's default action. A fault happens again after the return,
 * so that a core shows its place; what was sent does not, nor does a trap or a refused call. */
static void end(int number, siginfo_t *info, void *context, bool faulted) {
    for (size_t i = 0; faulted && i < sizeof faults / sizeof *faults; i++)
        if (faults[i] == number && (before[i].sa_flags & SA_SIGINFO)) before[i].sa_sigaction(number, info, context);
    signal(number, SIG_DFL);
    if (info->si_code <= 0 || number == SIGTRAP || number == SIGSYS) raise(number);
}

/* Writes what a person needs to look at the worker, and stops until a debugger or SIGCONT lets it go on. Without
 * stdio, whose locks may be held. */
static void stop_for_debugger(void) {
    char text[80] = "parpool: a worker has crashed and was stopped: gdb -p ", digits[16];
    size_t length = strlen(text), count = 0;
    for (pid_t pid = getpid(); pid > 0; pid /= 10) digits[count++] = (char)('0' + pid % 10);
    while (count > 0) text[length++] = digits[--count];
    text[length++] = '\n';
    pp_child_allow_debugger();
    ssize_t n = write(STDERR_FILENO, text, length);
    (void)n;
    raise(SIGSTOP);
}

/* ---- the question of the supervisor */

static volatile sig_atomic_t was_asked;

/* The system may choose another thread for the signal than that which runs the tasks, which then sends it on. */
static bool is_question(int number, const siginfo_t *info) {
    if (number != PP_QUESTION || !own_shared || pp_child_forked || info->si_code > 0) return false;
    return info->si_pid == getppid() || (was_asked && info->si_pid == getpid());
}

static void answer(const void *context) {
    was_asked = 1;
    if (other_thread()) {
        pthread_kill(own_thread, PP_QUESTION);
        return;
    }
    const struct pp_registers at = pp_registers(context);
    leave_words((struct pp_last_words){.kind = PP_LAST_ASKED, .frames = {at.pc}}, NULL);
    leave_place(&at, false);
    for (;;) kill(getpid(), SIGKILL);
}

void pp_crash_fall_silent(void) {
    has_spoken = has_located = true;
}

/* ---- the handler */

static void on_fault(int number, siginfo_t *info, void *context) {
    if (is_question(number, info)) {
        answer(context);
        return;
    }
    /* What another process sends says nothing about this one. */
    bool own = info->si_code > 0 || info->si_pid == getpid();
    if (own) {
        const struct pp_registers at = pp_registers(context);
        speak(number, info, &at);
        if (stops && !pp_child_forked) stop_for_debugger();
    }
    end(number, info, context, own);
}

void pp_crash_watch(const uintptr_t *base) {
    task_base = base;
}

void pp_crash_exit(void) {
    if (own_shared && other_thread()) leave_words((struct pp_last_words){.kind = PP_LAST_EXIT}, NULL);
}

static void note_stack(void) {
    struct rlimit limit;
    char here;
    stack_top = (uintptr_t)&here;
    bool limited = getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < LARGEST_STACK;
    stack_reach = limited ? (uintptr_t)limit.rlim_cur + STACK_GAP : LARGEST_STACK;
}

/* For the handlers, when the worker's own stack has overflowed. A sanitizer has made one for its own. */
static void use_stack(void) {
    static _Alignas(16) char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack}, present;
    bool present_is_larger = sigaltstack(NULL, &present) == 0 && !(present.ss_flags & SS_DISABLE) &&
                             present.ss_size >= sizeof stack;
    if (!present_is_larger) sigaltstack(&alternate, NULL);
}

static bool handle(int number, unsigned flags, struct sigaction *replaced) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = (int)((unsigned)SA_SIGINFO | (unsigned)SA_ONSTACK | (unsigned)SA_NODEFER | flags);
    return sigaction(number, &action, replaced) == 0;
}

bool pp_crash_enter_sandbox(void) {
    in_sandbox = true;
    return handle(SIGSYS, (unsigned)SA_RESETHAND, NULL); /* since the sandbox lets nothing set it back */
}

void pp_crash_begin_worker(struct pp_shared *shared, uint32_t number) {
    own_shared = shared;
    own_number = number;
    own_thread = pthread_self();
    note_stack();
    use_stack();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) handle(faults[i], 0, &before[i]);
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
    leave_words((struct pp_last_words){.kind = PP_LAST_TERMINATE, .signal = SIGABRT},
                readable && failed == 0 ? readable : name);
    if (_ZN9__gnu_cxx27__verbose_terminate_handlerEv) _ZN9__gnu_cxx27__verbose_terminate_handlerEv();
    abort();
}

static void watch_exceptions(void) {
    if (_ZSt13set_terminatePFvvE) _ZSt13set_terminatePFvvE(on_terminate);
}

#else

static void watch_exceptions(void) {
}

#endif

void pp_crash_begin(void) {
    watch_exceptions();
    pp_child_find_abort_message();
    const char *stop = getenv("PARPOOL_STOP");
    stops = stop && strcmp(stop, "1") == 0;
}

/* ---- the end of a thread */

noreturn void pp_crash_thread_exit(void) {
    if (pp_child_forked) pp_child_exit(0); /* the thread was the last of this process */
    leave_words((struct pp_last_words){.kind = PP_LAST_THREAD_EXIT}, NULL);
    pp_child_flush();
    pp_child_exit(1);
}
