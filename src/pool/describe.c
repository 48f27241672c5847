#include "pool/describe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

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

static void add_last_words(struct pool_failure *failure, const struct pp_last_words *last) {
    char address[40];
    switch (last->kind) {
    case PP_LAST_FAULT:
    case PP_LAST_OVERFLOW:
    case PP_LAST_NO_CODE:
        snprintf(address, sizeof address, " (address 0x%llx)", (unsigned long long)last->address);
        add(failure, address);
        if (last->kind == PP_LAST_OVERFLOW) add(failure, ": stack overflow");
        if (last->kind == PP_LAST_NO_CODE)
            add(failure, ": the worker has no function there: was it loaded or made after pool_create()?");
        break;
    case PP_LAST_TERMINATE:
        add(failure, last->type[0] ? ": an exception was not caught: " : ": std::terminate() was called");
        add(failure, last->type);
        break;
    case PP_LAST_THREAD_EXIT: add(failure, ": its thread ended, by pthread_exit() or a cancellation"); break;
    case PP_LAST_SIGNAL:
    case PP_LAST_EXIT:
    case PP_LAST_NOTHING: break;
    }
    if (!last->thread) return;
    snprintf(address, sizeof address, ", in thread %u", (unsigned)last->thread);
    add(failure, last->thread > 1 ? address : ", in a thread");
    add(failure, " that an earlier or this task had started");
}

static void describe_status(struct pool_failure *failure, int status) {
    if (WIFEXITED(status)) {
        failure->code = WEXITSTATUS(status);
        snprintf(failure->message, sizeof failure->message, "the worker exited with status %d", failure->code);
        return;
    }
    failure->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    char number[32];
    snprintf(number, sizeof number, "signal %d", failure->signal);
    const char *name = number;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].number == failure->signal) name = signals[i].name;
    snprintf(failure->message, sizeof failure->message, "killed by %s", name);
}

/* How a worker ended: its status, and what it has said itself if that explains the status. */
static bool explains(enum pp_last kind, int signal) {
    switch (kind) {
    case PP_LAST_TERMINATE: return signal == SIGABRT;
    case PP_LAST_THREAD_EXIT:
    case PP_LAST_EXIT: return signal == 0;
    case PP_LAST_SIGNAL: return signal == SIGABRT || signal == SIGFPE || signal == SIGILL;
    default: return signal == SIGSEGV || signal == SIGBUS;
    }
}

static void describe_end(struct pool_failure *failure, const struct pp_notice *notice) {
    describe_status(failure, notice->status);
    if (explains(notice->last.kind, failure->signal)) add_last_words(failure, &notice->last);
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
    if (notice->said[0]) add(failure, "; it said: ");
    add(failure, notice->said);
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
        snprintf(text, room, "the initializer does not end: it was killed after many times of what it took before");
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
