#include "worker/child.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/symbol.h"
#include "shared/shared.h"

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

/* Is there, if the program was built with a sanitizer. */
#if defined(__GNUC__) && defined(__ELF__)
extern __attribute__((weak)) void __sanitizer_report_error_summary(const char *summary);
#define HAS_SANITIZER (__sanitizer_report_error_summary != NULL)
#else
#define HAS_SANITIZER false
#endif

/* Whether it reports errors in the program's memory: a worker calls it when it crashes. The program's own handlers are
 * no business of a worker. */
static bool is_of_sanitizer(const struct sigaction *action) {
    struct pp_symbol symbol;
    if (!(action->sa_flags & SA_SIGINFO) || !pp_symbol_find((uintptr_t)action->sa_sigaction, &symbol)) return false;
    return strstr(symbol.module, "san.so") || (strncmp(symbol.name, "_ZN", 3) == 0 && strstr(symbol.name, "san"));
}

static void reset_signals(void) {
    for (int s = 1; s <= SIGNAL_LAST; s++) {
        struct sigaction action;
        if (sigaction(s, NULL, &action)) continue;
        if (!(action.sa_flags & SA_SIGINFO) && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) continue;
        if (HAS_SANITIZER && is_of_sanitizer(&action)) continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        sigaction(s, &action, NULL);
    }
}

int pp_child_forked;
_Atomic int pp_child_pools = 1;
bool pp_child_is_here;

static void note_fork(void) {
    pp_child_forked = 1;
}

/* The C library sets a variable in each child: a look at it costs a task less than getpid(). */
static void watch_forks(void) {
    static bool watched; /* true if this pool was made in a worker of another */
    if (!watched) watched = pthread_atfork(NULL, NULL, note_fork) == 0;
}

/* A worker is not in the terminal's foreground group: with the default actions it would be stopped for ever. With these
 * signals ignored, it gets an error for reading from the terminal, and may write to it. */
static void leave_terminal(void) {
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
}

void pp_child_begin(void) {
    atomic_store_explicit(&pp_child_pools, 0, memory_order_relaxed);
    pp_child_is_here = true;
    setpgid(0, 0);
    reset_signals();
    pp_child_set_name("/pool");
    pp_child_drop_output();
    pp_child_adopt_orphans();
    /* The rest is for workers, which inherit it. Done here, it costs none of them a page. */
    leave_terminal();
    watch_forks();
    pp_child_catch_exit();
}

void pp_child_begin_worker(pid_t parent, uint32_t number, bool keep_oom_score) {
    char suffix[8];
    setpgid(0, 0);
    pp_child_end_with_parent();
    if (getppid() != parent) pp_child_exit(1); /* the supervisor ended before that call */
    signal(SIGCHLD, SIG_DFL); /* the only signal that the supervisor handles; a task may wait for children of its own */
    if (!keep_oom_score) pp_child_offer_memory();
    snprintf(suffix, sizeof suffix, "/w%u", (unsigned)(number % PP_WORKERS));
    pp_child_set_name(suffix);
    pp_child_forked = 0; /* it was set by the fork of the supervisor, which is no task's */
}

void pp_child_accept_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

void pp_child_exit(int status) {
    WRITE_COVERAGE();
    _exit(status);
}
