#include "worker/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/text.h"

#ifndef PIPE_BUF
#define PIPE_BUF 512
#endif
#define SIDES 2
#define TAG_ROOM (PP_SYMBOL_LABEL + 32)
#define WINDOW ((size_t)4096)         /* bytes of a file that are mapped */
#define KEPT_MOST ((off_t)1 << 20)    /* bytes of a file that are kept for the next output */
#define CAUGHT_MOST ((off_t)1 << 20)  /* bytes of each side of a dead worker that are passed on: the last */
#define PATIENCE_NS 100000000U        /* how long the supervisor waits for a reader */

/* ---- lines */

/* Lines on their way, each with the tag. What is written at once are whole lines, where they are not too long: the
 * lines of other workers then come before or after them. */
struct lines {
    int to;
    uint64_t deadline; /* ns; UINT64_MAX: it waits for as long as the output is not read */
    const char *tag;
    size_t tag_length, used, whole; /* of `text`: bytes, and how many of them are whole lines */
    bool within, failed; /* a line; to write */
    char text[PIPE_BUF];
};

static void write_out(struct lines *l, size_t size) {
    for (size_t at = 0; at < size && !l->failed;) {
        ssize_t n = l->deadline == UINT64_MAX ? pp_write(l->to, l->text + at, size - at)
                                              : pp_write_until(l->to, l->text + at, size - at, l->deadline);
        if (n <= 0) {
            struct pollfd out = {.fd = l->to, .events = POLLOUT}; /* it may be one that does not block */
            l->failed = l->deadline != UINT64_MAX || errno != EAGAIN || pp_poll(&out, 1, UINT64_MAX) <= 0;
        } else {
            at += (size_t)n;
        }
    }
    memmove(l->text, l->text + size, l->used - size);
    l->used -= size;
    l->whole = 0;
}

static void make_room(struct lines *l, size_t size) {
    if (l->used + size > sizeof l->text) write_out(l, l->whole ? l->whole : l->used);
    if (l->used + size > sizeof l->text) write_out(l, l->used);
}

static void put(struct lines *l, char c) {
    if (!l->within) {
        make_room(l, l->tag_length + 1);
        memcpy(l->text + l->used, l->tag, l->tag_length);
        l->used += l->tag_length;
    }
    make_room(l, 1);
    l->text[l->used++] = c;
    l->within = c != '\n';
    if (!l->within) l->whole = l->used;
}

/* Passes on what the file has between the two places. */
static void pass_file(struct lines *l, int file, off_t at, off_t end) {
    char piece[4096];
    while (at < end && !l->failed) {
        ssize_t got = pread(file, piece, sizeof piece, at);
        if (got <= 0) break;
        for (ssize_t i = 0; i < got && at < end; i++, at++) put(l, piece[i]);
    }
    if (l->within) put(l, '\n');
    write_out(l, l->used);
}

/* ---- the worker */

static const _Atomic uint64_t nothing;

static const _Atomic uint64_t *map_first(int file) {
    void *window = mmap(NULL, WINDOW, PROT_READ, MAP_SHARED, file, 0);
    return window == MAP_FAILED ? NULL : window;
}

/* The files of other workers are not this one's. */
static void close_others(struct pp_capture *capture, uint32_t worker) {
    for (uint32_t w = 0; w < PP_WORKERS; w++)
        for (int side = 0; side < SIDES && w != worker; side++)
            if (capture->files[w][side] > 0) pp_close(&capture->files[w][side]);
}

void pp_captured_begin(struct pp_captured *c, struct pp_capture *capture, uint32_t worker) {
    *c = (struct pp_captured){.first = {&nothing, &nothing}, .worker = worker};
    if (!capture) return;
    close_others(capture, worker);
    const _Atomic uint64_t *first[SIDES];
    for (int side = 0; side < SIDES; side++) {
        int file = capture->files[worker][side];
        if (file <= 0 || !(first[side] = map_first(file)) || dup2(file, STDOUT_FILENO + side) < 0) return;
        c->files[side] = file;
        c->own[side] = capture->own[side];
    }
    memcpy(c->first, first, sizeof first);
    /* So that a line is in the file once it is printed: what kills the worker then does not take it along. */
    setvbuf(stdout, NULL, _IOLBF, 0);
}

static void make_tag(struct pp_captured *c, pool_fn *fn, uint64_t item, char tag[TAG_ROOM]) {
    if (fn && fn != c->fn) pp_symbol_label(fn, c->label);
    if (fn) c->fn = fn;
    if (fn) snprintf(tag, TAG_ROOM, "[%s %" PRIu64 "] ", c->label, item);
    else snprintf(tag, TAG_ROOM, "[worker %u] ", (unsigned)c->worker);
}

/* A death just before it has the supervisor pass the same on once more. */
static void begin_again(int file, off_t length) {
    static const uint64_t none;
    lseek(file, 0, SEEK_SET);
    if (pwrite(file, &none, sizeof none, 0) < 0 || length <= KEPT_MOST) return;
    if (ftruncate(file, (off_t)WINDOW)) return; /* it only takes memory */
}

void pp_captured_pass(struct pp_captured *c, pool_fn *fn, uint64_t item) {
    char tag[TAG_ROOM];
    make_tag(c, fn, item, tag);
    for (int side = 0; side < SIDES; side++) {
        off_t length = lseek(c->files[side], 0, SEEK_CUR);
        if (length <= 0) continue;
        struct lines lines = {.to = c->own[side], .deadline = UINT64_MAX, .tag = tag, .tag_length = strlen(tag)};
        pass_file(&lines, c->files[side], 0, length);
        begin_again(c->files[side], length);
    }
}

/* ---- the supervisor */

struct pp_capture *pp_capture_new(void) {
    struct pp_capture *capture = pp_map_private(sizeof *capture);
    for (int side = 0; capture && side < SIDES; side++)
        capture->own[side] = fcntl(STDOUT_FILENO + side, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return capture;
}

void pp_capture_prepare(struct pp_capture *capture, uint32_t worker) {
    for (int side = 0; side < SIDES; side++) {
        int *file = &capture->files[worker][side];
        if (*file > 0) continue;
        int made = pp_nameless_file(WINDOW);
        if (made >= 0) *file = made;
    }
}

/* The last line before `end` that is not empty. */
static void find_last_line(int file, off_t end, char said[PP_SAID]) {
    char text[1024];
    off_t from = end > (off_t)sizeof text ? end - (off_t)sizeof text : 0;
    ssize_t got = pread(file, text, (size_t)(end - from), from);
    while (got > 0 && text[got - 1] == '\n') got--;
    if (got <= 0) return;
    ssize_t begin = got;
    while (begin > 0 && text[begin - 1] != '\n') begin--;
    char line[PP_SAID] = "";
    size_t length = (size_t)(got - begin);
    memcpy(line, text + begin, length < sizeof line ? length : sizeof line - 1);
    pp_text_readable(said, line, PP_SAID);
}

static void bury_side(struct pp_capture *capture, uint32_t worker, int side, const char *tag) {
    int file = capture->files[worker][side];
    off_t length = file > 0 ? lseek(file, 0, SEEK_CUR) : 0;
    if (length <= 0) return;
    find_last_line(file, length, capture->said[worker]);
    struct lines lines = {.to = capture->own[side], .tag = tag, .tag_length = strlen(tag)};
    lines.deadline = pp_now() + (capture->is_deaf[side] ? 0 : PATIENCE_NS);
    pass_file(&lines, file, length > CAUGHT_MOST ? length - CAUGHT_MOST : 0, length);
    capture->is_deaf[side] = lines.failed;
    begin_again(file, length);
}

/* stderr comes last: its last line is the one that counts. */
void pp_capture_bury(struct pp_capture *capture, uint32_t worker, pool_fn *fn, uint64_t item) {
    struct pp_captured whose = {.worker = worker};
    char tag[TAG_ROOM];
    make_tag(&whose, fn, item, tag);
    capture->said[worker][0] = '\0';
    for (int side = 0; side < SIDES; side++) bury_side(capture, worker, side, tag);
    if (!fn) capture->said[worker][0] = '\0'; /* it is no item's */
}
