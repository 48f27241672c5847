#include "host/question.h"

#include <signal.h>

#include "base/sys.h"
#include "worker/backtrace.h"
#include "worker/crash.h"

#define ANSWER_NS 2000000U /* of the worker's CPU time */
#define ANSWER_MOST_NS 20000000U

bool pp_question_ask(struct pp_questions *questions, uint32_t worker, pid_t pid) {
    if (questions->until[worker] != 0) return true;
    if (!pp_places_are_known || kill(pid, PP_QUESTION) != 0) return false;
    questions->asked[worker] = pp_now();
    questions->used[worker] = pp_cpu_time_of(pid);
    questions->until[worker] = questions->asked[worker] + ANSWER_NS;
    questions->open++;
    return true;
}

bool pp_question_is_over(struct pp_questions *questions, uint32_t worker, pid_t pid, uint64_t now) {
    if (questions->until[worker] == 0 || now < questions->until[worker]) return false;
    uint64_t used = pp_cpu_time_of(pid) - questions->used[worker];
    if (used >= ANSWER_NS || now - questions->asked[worker] >= ANSWER_MOST_NS) return true;
    questions->until[worker] = now + (ANSWER_NS - used);
    return false;
}

void pp_question_close(struct pp_questions *questions, uint32_t worker) {
    if (questions->open == 0 || questions->until[worker] == 0) return;
    questions->until[worker] = 0;
    questions->open--;
}

uint64_t pp_question_next(const struct pp_questions *questions) {
    uint64_t next = UINT64_MAX;
    for (uint32_t w = 0; w < PP_WORKERS && questions->open > 0; w++)
        if (questions->until[w] != 0 && questions->until[w] < next) next = questions->until[w];
    return next;
}
