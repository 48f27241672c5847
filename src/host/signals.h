/* The signals that the supervisor handles: SIGCHLD, which tells of an end, and SIGUSR1, by which a person asks what the
 * pool does. Either makes a pipe readable, for poll().
 *
 * Invariant: all other signals are blocked in the supervisor. Workers have what the program had for both.
 * Called by: supervisor, workers; birth, in a child. */
#ifndef PP_SIGNALS_H
#define PP_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct pp_signals {
    int pipe[2];
    struct sigaction question; /* what SIGUSR1 did in the program */
};

/* Returns false if the system has no pipe. All signals are blocked before. */
bool pp_signals_begin(struct pp_signals *signals);
/* In a worker, which handles SIGCHLD itself. */
void pp_signals_end(struct pp_signals *signals);
/* Once the pipe, whose read end is pipe[0], was readable. */
void pp_signals_take(const struct pp_signals *signals);
/* Whether SIGUSR1 has come since the last look. */
bool pp_signals_asked(void);

#endif
