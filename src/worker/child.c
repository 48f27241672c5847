#include "worker/child.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/record.h"

#if defined(PP_COVERAGE)
void __gcov_dump(void);
#define WRITE_COVERAGE() __gcov_dump()
#else
#define WRITE_COVERAGE() ((void)0)
#endif

#ifdef SIGRTMAX
#define SIGNAL_LAST SIGRTMAX
#else
#define SIGNAL_LAST 31
#endif

static void reset_signals(void) {
    for (int s = 1; s <= SIGNAL_LAST; s++) {
        struct sigaction action;
        if (sigaction(s, NULL, &action)) continue;
        if (!(action.sa_flags & SA_SIGINFO) && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        sigaction(s, &action, NULL);
    }
}

/* The record of the worker that this process is, for its fault handler. */
static struct pp_record *own_record;

static void note_fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    /* Sent by somebody: the default action, which SA_RESETHAND has restored. Else the fault happens again at return. */
    if (info->si_code <= 0) {
        raise(signal);
        return;
    }
    if (pp_child_forked) return;
    pp_record_set_fault(own_record, info->si_addr);
}

static void catch_faults(void) {
    static _Alignas(16) char stack[16384]; /* a stack that has overflowed has no room for the handler */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = note_fault;
    action.sa_flags =
        (int)((unsigned)SA_SIGINFO | (unsigned)SA_ONSTACK | (unsigned)SA_RESETHAND | (unsigned)SA_NODEFER);
    const int faults[] = {SIGSEGV, SIGBUS};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigaction(faults[i], &action, NULL);
}

int pp_child_forked;

static void note_fork(void) {
    pp_child_forked = 1;
}

/* Asked of the C library, not of the system: a look costs a task nothing. */
static void watch_forks(void) {
    static bool watched; /* in the worker whose task made this pool, maybe */
    if (!watched) watched = pthread_atfork(NULL, NULL, note_fork) == 0;
}

/* A worker is not in the terminal's foreground, and would be stopped for ever: ignored, reading from there is an error,
 * writing and setting are allowed. */
static void leave_terminal(void) {
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
}

void pp_child_begin(void) {
    setpgid(0, 0);
    reset_signals();
    pp_child_drop_output();
    /* The rest is for workers, which inherit it: each would touch some pages more for it. */
    leave_terminal();
    watch_forks();
    pp_child_catch_exit();
}

void pp_child_begin_worker(struct pp_record *record, pid_t parent) {
    setpgid(0, 0);
    pp_child_end_with_parent();
    if (getppid() != parent) pp_child_exit(1); /* it ended before it could be bound to */
    signal(SIGCHLD, SIG_DFL); /* all else the supervisor has reset; a task that waits for its children must find them */
    own_record = record;
    pp_child_forked = 0; /* this is no child of a worker, though the C library has told it so */
    catch_faults();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void pp_child_flush(void) {
    if (pp_child_has_output()) fflush(stdout);
}

void pp_child_exit(int status) {
    WRITE_COVERAGE();
    _exit(status);
}
