/* What tasks print on other hosts: whole lines, which become lines of the program's stdout and stderr with the name of
 * their host. Nothing waits for the reader of these: what it does not take is kept, up to a limit; lines beyond that
 * are dropped, and that is said.
 *
 * Called by: carrier, carrier_hosts. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/sys.h"
#include "remote/carry.h"

#define KEPT_MOST ((size_t)16 << 20)
#define WRITE_MOST 4096U /* a pipe that can be written takes so much without waiting (PIPE_BUF) */

struct pp_far_output {
    char *text;
    size_t begin, end, room;
    const struct pp_far_host *open; /* of which a line was begun that has more than a message; NULL: none */
    bool dropped, gone;
};

bool pp_outputs_make(struct pp_carrier *c) {
    c->outputs = pp_zalloc(2, sizeof *c->outputs);
    return c->outputs != NULL;
}

static bool make_room(struct pp_far_output *o, size_t size) {
    if (o->room - o->end >= size) return true;
    if (o->begin > 0) memmove(o->text, o->text + o->begin, o->end - o->begin);
    o->end -= o->begin;
    o->begin = 0;
    size_t room = o->room ? o->room : WRITE_MOST;
    while (room - o->end < size && room < KEPT_MOST) room *= 2;
    if (room - o->end < size) return false;
    char *text = pp_realloc(o->text, room);
    if (!text) return false;
    o->text = text;
    o->room = room;
    return true;
}

static void add(struct pp_far_output *o, const char *text, size_t size) {
    if (!make_room(o, size)) {
        o->dropped = true;
        return;
    }
    memcpy(o->text + o->end, text, size);
    o->end += size;
}

void pp_output_add(struct pp_carrier *c, const struct pp_far_host *host, uint64_t which, const unsigned char *text,
                   size_t size) {
    struct pp_far_output *o = &c->outputs[which == 2];
    char tag[96];
    int tag_size = host ? snprintf(tag, sizeof tag, "%.80s: ", host->entry->name) : 0;
    if (o->gone || tag_size < 0) return;
    bool goes_on = size >= PP_OUTPUT_MOST;
    if (o->open && o->open != host) {
        add(o, "\n", 1);
        o->open = NULL;
    }
    while (size > 0) {
        const unsigned char *line_end = memchr(text, '\n', size);
        size_t line = line_end ? (size_t)(line_end - text) + 1 : size;
        if (make_room(o, (size_t)tag_size + line + 1)) {
            if (!o->open) add(o, tag, (size_t)tag_size);
            add(o, (const char *)text, line);
            if (!line_end && !goes_on) add(o, "\n", 1);
        } else {
            o->dropped = true;
        }
        o->open = line_end || !goes_on ? NULL : host;
        text += line;
        size -= line;
    }
}

static bool write_some(struct pp_far_output *o, int fd) {
    static const char dropped[] = "parpool: lines of tasks on other hosts were dropped, since nothing has read them\n";
    while (o->begin < o->end) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        if (pp_poll(&ready, 1, 0) <= 0) return true;
        size_t size = o->end - o->begin < WRITE_MOST ? o->end - o->begin : WRITE_MOST;
        ssize_t written = ready.revents & POLLOUT ? pp_write(fd, o->text + o->begin, size) : -1;
        if (written < 0) {
            o->gone = true;
            o->begin = o->end = 0;
            return false;
        }
        o->begin += (size_t)written;
    }
    o->begin = o->end = 0;
    if (o->dropped) {
        o->dropped = false;
        add(o, dropped, sizeof dropped - 1);
    }
    return false;
}

bool pp_outputs_write(struct pp_carrier *c) {
    bool left = write_some(&c->outputs[0], 1);
    return write_some(&c->outputs[1], 2) || left;
}
