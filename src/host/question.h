/* Workers that are about to be killed, and are first asked where they are: by a signal, which a worker answers with its
 * last words, and then ends itself. A worker that does not answer, since a task blocks the signal or it is in a system
 * call that nothing interrupts, is killed after 2 ms of its CPU time, since a busy machine may not let it run at once;
 * after 20 ms at most. The supervisor does not wait for the answer.
 *
 * Invariant: only a worker is asked that may not begin anything more: the state word of what it runs was swapped.
 * Called by: supervisor, workers. */
#ifndef PP_QUESTION_H
#define PP_QUESTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/shared.h"

struct pp_questions {
    uint64_t until[PP_WORKERS]; /* ns: when to look whether it is to be killed; 0: it was not asked */
    uint64_t asked[PP_WORKERS]; /* ns */
    uint64_t used[PP_WORKERS];  /* ns of CPU time, by then */
    uint32_t open;              /* how many were asked */
};

/* Asks the worker, unless that was done. Returns false if it cannot be asked: it must be killed. */
bool pp_question_ask(struct pp_questions *questions, uint32_t worker, pid_t pid);
/* Whether the worker has had its time. */
bool pp_question_is_over(struct pp_questions *questions, uint32_t worker, pid_t pid, uint64_t now);
/* The worker has ended, or is killed. */
void pp_question_close(struct pp_questions *questions, uint32_t worker);
/* When to look at the next worker; UINT64_MAX: none was asked. */
uint64_t pp_question_next(const struct pp_questions *questions);

#endif
