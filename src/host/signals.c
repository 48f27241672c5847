#include "host/signals.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"

/* The write end of the pipe. */
static int pipe_end;
static volatile sig_atomic_t was_asked; /* SIGUSR1 has come */

static void on_child(int signal) {
    (void)signal;
    int code = errno;
    ssize_t n = write(pipe_end, "", 1);
    (void)n; /* a full pipe wakes poll() all the same */
    errno = code;
}

static void on_question(int signal) {
    was_asked = 1;
    on_child(signal);
}

bool pp_signals_begin(struct pp_signals *s) {
    if (pp_pipe(s->pipe)) return false;
    pipe_end = s->pipe[1];
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_child;
    action.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &action, NULL);
    action.sa_handler = on_question;
    sigaction(SIGUSR1, &action, &s->question);
    sigset_t others;
    sigfillset(&others);
    sigdelset(&others, SIGCHLD);
    sigdelset(&others, SIGUSR1);
    sigprocmask(SIG_SETMASK, &others, NULL);
    return true;
}

void pp_signals_end(struct pp_signals *s) {
    sigaction(SIGUSR1, &s->question, NULL);
    pp_close(&s->pipe[0]);
    pp_close(&s->pipe[1]);
}

void pp_signals_take(const struct pp_signals *s) {
    char bytes[256];
    while (pp_read(s->pipe[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) continue;
}

bool pp_signals_asked(void) {
    bool asked = was_asked != 0;
    was_asked = 0;
    return asked;
}
