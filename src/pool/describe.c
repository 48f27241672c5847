#include "pool/describe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "pool/place.h"
#include "shared/carried.h"
#include "worker/sandbox.h"

#define FIRST_FOREIGN 0x40000000U /* the lowest number of a system call that is none of this machine: of x32 */

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGABRT, "SIGABRT"}, {SIGALRM, "SIGALRM"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
               {SIGHUP, "SIGHUP"},   {SIGILL, "SIGILL"},   {SIGINT, "SIGINT"},   {SIGKILL, "SIGKILL"},
               {SIGPIPE, "SIGPIPE"}, {SIGQUIT, "SIGQUIT"}, {SIGSEGV, "SIGSEGV"}, {SIGTERM, "SIGTERM"},
               {SIGTRAP, "SIGTRAP"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"},
               {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},   {SIGVTALRM, "SIGVTALRM"}};

static void add(struct pool_failure *failure, const char *text) {
    size_t length = strlen(failure->message);
    snprintf(failure->message + length, sizeof failure->message - length, "%s", text);
}

static void add_signal(struct pool_failure *failure, int signal) {
    char number[32];
    snprintf(number, sizeof number, "signal %d", signal);
    const char *name = number;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].number == signal) name = signals[i].name;
    add(failure, name);
}

static void describe_status(struct pool_failure *failure, int status) {
    if (WIFEXITED(status)) {
        failure->code = WEXITSTATUS(status);
        snprintf(failure->message, sizeof failure->message, "the worker exited with status %d", failure->code);
        return;
    }
    failure->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    add(failure, "killed by ");
    add_signal(failure, failure->signal);
}

/* What abort() was called for, without the name of the program and the end of the line, which the C library adds. */
static void add_abort_text(struct pool_failure *failure, const char *text) {
    char reason[PP_LAST_TEXT];
    const char *behind = strstr(text, ": Assertion `") ? strstr(text, ": ") + 2 : text;
    snprintf(reason, sizeof reason, "%s", behind);
    size_t length = strlen(reason);
    if (length >= 2 && strcmp(reason + length - 2, "\\n") == 0) reason[length -= 2] = '\0';
    if (length >= 1 && reason[length - 1] == '.') reason[length - 1] = '\0';
    if (reason[0]) add(failure, ": ");
    add(failure, reason);
}

/* Adds what the words say of the signal that they are of. Returns what stands between that and the place. */
static const char *add_cause(struct pool_failure *failure, const struct pp_last_words *last) {
    char number[64] = "";
    switch (last->kind) {
    case PP_LAST_FAULT:
    case PP_LAST_OVERFLOW:
    case PP_LAST_NO_CODE:
        snprintf(number, sizeof number, " (address 0x%llx)", (unsigned long long)last->address);
        add(failure, number);
        if (last->kind == PP_LAST_FAULT) return " in ";
        if (last->kind == PP_LAST_OVERFLOW) add(failure, ": stack overflow");
        else add(failure, ": jump to nowhere");
        if (last->kind == PP_LAST_NO_CODE && last->address != 0)
            add(failure, ": the worker has no function there: was it loaded or made after pool_create()?");
        return ", in ";
    case PP_LAST_BAD_ADDRESS: add(failure, " (address not canonical, or not aligned)"); return " in ";
    case PP_LAST_CALL:
    case PP_LAST_REFUSED:
        snprintf(number, sizeof number, ": system call %lld was refused", (long long)last->address);
        add(failure, number);
        return ", in ";
    case PP_LAST_TERMINATE:
        add(failure, last->text[0] ? ": an exception was not caught: " : ": std::terminate() was called");
        add(failure, last->text);
        return ", in ";
    default: add_abort_text(failure, last->text); return last->text[0] ? ", in " : " in ";
    }
}

static void add_thread(struct pool_failure *failure, uint32_t thread) {
    char text[40];
    if (thread == 0) return;
    snprintf(text, sizeof text, ", in thread %u", (unsigned)thread);
    add(failure, thread > 1 ? text : ", in a thread");
    add(failure, " that an earlier or this task had started");
}

/* Instead of the signal, which says less. */
static void describe_refused_call(struct pool_failure *failure, const struct pp_last_words *last) {
    char *text = failure->message;
    const char *name = pp_sandbox_call_name(last->address);
    unsigned number = (unsigned)last->address;
    if (name) snprintf(text, sizeof failure->message, "the sandbox refused %s()", name);
    else snprintf(text, sizeof failure->message, "the sandbox refused system call %u", number);
    if (last->address >= FIRST_FOREIGN) add(failure, " of another ABI");
    add_thread(failure, last->thread);
    pp_place_describe(failure, last, ", in ");
}

/* How a worker ended: its status, and what it has said itself. A worker that has said that a signal ends it may have
 * ended otherwise: by the report of a sanitizer, or since a filter of system calls let it do no more. */
static void describe_end(struct pool_failure *failure, const struct pp_notice *notice) {
    const struct pp_last_words *last = &notice->last;
    describe_status(failure, notice->status);
    if (last->kind == PP_LAST_NOTHING || last->kind == PP_LAST_ASKED) return;
    if (last->kind == PP_LAST_REFUSED && failure->signal == SIGSYS) {
        describe_refused_call(failure, last);
        return;
    }
    if (last->kind == PP_LAST_THREAD_EXIT && failure->signal == 0)
        add(failure, ": its thread ended, by pthread_exit() or a cancellation");
    bool same = last->signal == failure->signal;
    if (!same && last->kind == PP_LAST_TERMINATE) return;
    if (!same && last->signal != 0) {
        add(failure, ", after ");
        add_signal(failure, last->signal);
    }
    if (last->signal != 0) {
        const char *before = add_cause(failure, last);
        add_thread(failure, last->thread);
        pp_place_describe(failure, last, before);
    } else if (same) {
        add_thread(failure, last->thread);
    }
}

void pp_describe_death(struct pool_failure *failure, const struct pp_notice *notice, enum pp_phase ended,
                       struct pp_limits limits) {
    memset(failure, 0, sizeof *failure);
    failure->worker = notice->pid;
    switch (ended) {
    case PP_KILLED:
        failure->error = POOL_ECANCELLED;
        snprintf(failure->message, sizeof failure->message, "killed while it ran");
        break;
    case PP_OVERDUE:
        failure->error = POOL_EDEADLINE;
        snprintf(failure->message, sizeof failure->message, "it ran longer than %d ms", limits.timeout);
        break;
    case PP_SPENT:
        failure->error = POOL_EDEADLINE;
        snprintf(failure->message, sizeof failure->message, "it used more than %d ms of CPU time", limits.cpu_timeout);
        break;
    default:
        failure->error = notice->reset ? POOL_ECORRUPT : POOL_EDIED;
        if (notice->reset) return;
        describe_end(failure, notice);
    }
    if (ended != PP_RUNNING && notice->last.kind == PP_LAST_ASKED)
        pp_place_describe(failure, &notice->last, ", in ");
    if (notice->said[0]) add(failure, "; it said: ");
    add(failure, notice->said);
}

void pp_describe_far(struct pool_failure *failure, int error, int32_t code, const char *message) {
    memset(failure, 0, sizeof *failure);
    failure->error = error;
    if (code & PP_FAR_EXITED) failure->code = code & 0xff;
    else failure->signal = code & 0xff;
    pp_text_readable(failure->message, message, PP_MESSAGE);
}

static void describe_refusal(struct pool_failure *failure, int code) {
    char number[32] = "";
    if (code > 0) snprintf(number, sizeof number, ": error %d", code);
    const char *name = code == EAGAIN ? ": EAGAIN" : code == ENOMEM ? ": ENOMEM" : number;
    snprintf(failure->message, sizeof failure->message, "no worker process could be started%s", name);
}

void pp_describe_shortage(struct pool_failure *failure, uint64_t shortage) {
    struct pp_notice notice = {.code = (int32_t)(shortage >> 32), .status = (int32_t)(shortage & 0xffffffffU)};
    memset(failure, 0, sizeof *failure);
    if (shortage != 0) pp_describe_break(failure, &notice);
}

void pp_describe_break(struct pool_failure *failure, const struct pp_notice *notice) {
    char *text = failure->message;
    size_t room = sizeof failure->message;
    memset(failure, 0, sizeof *failure);
    failure->error = notice->code;
    if (notice->code == POOL_EINIT && notice->init_code != 0) {
        failure->code = notice->init_code;
        snprintf(text, room, "the initializer returned %d", failure->code);
    } else if (notice->code == POOL_EINIT && notice->init_overdue) {
        snprintf(text, room, "the initializer was killed: it ran longer than the longest time-out, 1 s and ten times "
                             "what others took");
    } else if (notice->code == POOL_ENOTSUP) {
        failure->code = notice->sandbox_code;
        snprintf(text, room, "the workers cannot enter the sandbox: error %d", failure->code);
    } else if (notice->code == POOL_EAGAIN) {
        describe_refusal(failure, notice->status);
    } else {
        describe_end(failure, notice);
        char how[200];
        snprintf(how, sizeof how, "%.199s", text);
        bool init = notice->code == POOL_EINIT;
        snprintf(text, room, "%s: %s", init ? "the initializer fails" : "workers die before they begin anything", how);
    }
}
