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

static void describe_status(struct pool_failure *failure, int status, bool faulted, uint64_t fault) {
    char *text = failure->message;
    size_t room = sizeof failure->message;
    if (WIFEXITED(status)) {
        failure->code = WEXITSTATUS(status);
        snprintf(text, room, "the worker exited with status %d", failure->code);
        return;
    }
    failure->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    char number[32];
    snprintf(number, sizeof number, "signal %d", failure->signal);
    const char *name = number;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].number == failure->signal) name = signals[i].name;
    if (faulted) snprintf(text, room, "killed by %s (address 0x%llx)", name, (unsigned long long)fault);
    else snprintf(text, room, "killed by %s", name);
}

void pp_describe_death(struct pool_failure *failure, const struct pp_notice *notice, enum pp_phase ended, int timeout) {
    memset(failure, 0, sizeof *failure);
    failure->worker = notice->pid;
    switch (ended) {
    case PP_KILLED:
        failure->error = POOL_ECANCELLED;
        snprintf(failure->message, sizeof failure->message, "killed while it ran");
        break;
    case PP_OVERDUE:
        failure->error = POOL_EDEADLINE;
        snprintf(failure->message, sizeof failure->message, "it ran longer than %d ms", timeout);
        break;
    default:
        failure->error = notice->reset ? POOL_ECORRUPT : POOL_EDIED;
        if (notice->reset) return;
        bool fault = notice->left.faulted && WIFSIGNALED(notice->status);
        describe_status(failure, notice->status, fault, notice->left.fault);
    }
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
    } else if (notice->code == POOL_EAGAIN) {
        describe_refusal(failure, notice->status);
    } else {
        describe_status(failure, notice->status, false, 0);
        char how[200];
        snprintf(how, sizeof how, "%.199s", text);
        snprintf(text, room, "workers die before they begin anything: %s", how);
    }
}
