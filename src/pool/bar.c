/* pool_progress_bar(): progress as text, for people at a terminal and for log files.
 *
 * Invariant: nothing is kept between calls; what was told last is in the progress itself. A call writes only what can
 * be written at once, and never raises SIGPIPE. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/sys.h"
#include "parpool.h"

#define COLUMNS 79
#define BAR_MOST 30
#define LINE 256

/* ---- text */

static void put_time(char *text, size_t room, double seconds) {
    unsigned long s = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (s < 3600) snprintf(text, room, "%lu:%02lu", s / 60, s % 60);
    else snprintf(text, room, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

/* "  45 %  450/1000  90.2/s  0:06 left  2 failed", with `bar` behind the percentage. */
static size_t put_line(char *text, const struct pool_progress *p, const char *bar) {
    char when[32], failed[40] = "";
    bool over = p->done >= p->count;
    put_time(when, sizeof when, over ? p->seconds : p->seconds_left);
    if (!over && p->seconds_left < 0) strcpy(when, "?");
    if (p->failed) snprintf(failed, sizeof failed, "  %zu failed", p->failed);
    int percent = p->count ? (int)((double)p->done / (double)p->count * 100) : 100;
    int n = snprintf(text, LINE, "%3d %%%s  %zu/%zu  %.*f/s  %s%s%s", percent, bar, p->done, p->count,
                     p->rate < 100 ? 1 : 0, p->rate, over ? "in " : "", when, over ? "" : " left");
    size_t length = n > 0 && n < LINE ? (size_t)n : 0;
    return length + (size_t)snprintf(text + length, LINE - length, "%s", failed);
}

static void put_bar(char bar[BAR_MOST + 5], int width, const struct pool_progress *p) {
    bar[0] = '\0';
    if (width < 5) return;
    int full = p->count ? (int)((double)p->done / (double)p->count * width) : width;
    char *at = bar;
    *at++ = ' ', *at++ = ' ', *at++ = '[';
    for (int i = 0; i < width; i++) *at++ = i < full ? '#' : '.';
    *at++ = ']', *at = '\0';
}

/* ---- writing */

/* A SIGPIPE that the write raises is taken away again; one that was pending before stays. */
static void write_quietly(int fd, const char *text, size_t size, int patience) {
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (pp_poll(&ready, 1, pp_now() + (uint64_t)patience * 1000000U) <= 0 || (ready.revents & (POLLNVAL | POLLERR)))
        return;
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    pp_write(fd, text, size);
    sigpending(&pending);
    int signal;
    if (!was_pending && sigismember(&pending, SIGPIPE) == 1) sigwait(&pipe_signal, &signal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool draws_on(int fd) {
    const char *kind = getenv("TERM");
    return isatty(fd) && !(kind && strcmp(kind, "dumb") == 0);
}

static int columns_of(int fd) {
#ifdef TIOCGWINSZ
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && size.ws_col <= COLUMNS) return size.ws_col - 1;
#endif
    (void)fd;
    return COLUMNS;
}

static void draw(int fd, const struct pool_progress *p) {
    char line[LINE], bar[BAR_MOST + 5] = "", text[LINE + 4];
    int columns = columns_of(fd), room = columns - (int)put_line(line, p, "") - 4;
    if (tcgetpgrp(fd) != getpgrp()) return; /* in the background */
    put_bar(bar, room < BAR_MOST ? room : BAR_MOST, p);
    put_line(line, p, bar);
    bool over = p->done >= p->count;
    /* Padded, not erased: that needs no escape code, and overwrites a longer line. */
    int n = snprintf(text, sizeof text, "\r%-*.*s%s", columns, columns, line, over ? "\n" : "");
    if (n > 0 && (size_t)n < sizeof text) write_quietly(fd, text, (size_t)n, over ? 1000 : 0);
}

static bool is_worth_a_line(const struct pool_progress *p) {
    if (p->done >= p->count) return true;
    bool tenth = (double)p->done * 10 / (double)p->count >= (double)(p->last_done * 10 / p->count + 1);
    return tenth || (long)(p->seconds / 10) != (long)(p->last_seconds / 10);
}

void pool_progress_bar(const struct pool_progress *progress, void *arg) {
    FILE *file = arg ? arg : stderr;
    int fd = fileno(file);
    if (fd < 0) return;
    if (draws_on(fd)) {
        draw(fd, progress);
        return;
    }
    if (!is_worth_a_line(progress)) return;
    char line[LINE];
    size_t size = put_line(line, progress, "");
    if (size >= LINE - 1) return;
    line[size++] = '\n';
    write_quietly(fd, line, size, progress->done >= progress->count ? 1000 : 0);
}
