/* What tasks of a node print: two pipes, which the node reads, sends to the head by lines, and never leaves unread for
 * long; see node.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "host/node.h"

#define LINE_MOST PP_OUTPUT_MOST        /* bytes that are kept of a line without an end */
#define QUEUED_MOST ((size_t)4 << 20)   /* bytes that may wait for the head before nothing more is read */
#define OLD_NS 200000000U               /* a rest of a line this old is sent without its end */

bool pp_node_output_begin(struct pp_node_output *output) {
    for (int i = 0; i < 2; i++) output->fds[i] = output->ends[i] = -1;
    for (int i = 0; i < 2; i++) {
        int ends[2];
        if (pp_pipe(ends) != 0) return false;
        fcntl(ends[1], F_SETFL, fcntl(ends[1], F_GETFL) & ~O_NONBLOCK); /* tasks write as to any file */
        output->fds[i] = ends[0];
        output->ends[i] = ends[1];
    }
    return true;
}

void pp_node_output_redirect(const struct pp_node_output *output) {
    for (int i = 0; i < 2; i++)
        if (output->ends[i] >= 0) dup2(output->ends[i], 1 + i);
}

bool pp_node_output_may_read(const struct pp_node_self *node) {
    return pp_wire_queued(&node->wire) < QUEUED_MOST;
}

/* Sends the first `size` bytes of what was read. */
static void send_lines(struct pp_node_self *node, int i, size_t size) {
    struct pp_buffer *lines = &node->output.lines[i];
    if (size == 0) return;
    pp_node_say(node, PP_SAY_OUTPUT, (uint64_t)(1 + i), NULL, 0, lines->bytes, size);
    lines->end -= size;
    memmove(lines->bytes, lines->bytes + size, lines->end);
}

static size_t length_of_lines(const struct pp_buffer *lines) {
    size_t size = lines->end;
    while (size > 0 && lines->bytes[size - 1] != '\n') size--;
    return size;
}

/* Returns whether there may be more. */
static bool read_some(struct pp_node_self *node, int i) {
    struct pp_buffer *lines = &node->output.lines[i];
    if (!lines->bytes) {
        lines->bytes = pp_zalloc(1, LINE_MOST);
        lines->room = lines->bytes ? LINE_MOST : 0;
    }
    if (lines->end == lines->room) send_lines(node, i, lines->end);
    ssize_t count = lines->room ? pp_read(node->output.fds[i], lines->bytes + lines->end, lines->room - lines->end) : 0;
    if (count <= 0) return false;
    lines->end += (size_t)count;
    send_lines(node, i, length_of_lines(lines));
    return true;
}

bool pp_node_output_waits(const struct pp_node_self *node) {
    const int *ends = node->output.fds;
    struct pollfd fds[] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
    return fds[0].fd >= 0 && pp_poll(fds, 2, 0) > 0;
}

uint64_t pp_node_output_pass(struct pp_node_self *node, uint64_t now, bool look) {
    struct pp_node_output *output = &node->output;
    uint64_t due = UINT64_MAX;
    for (int i = 0; i < 2; i++) {
        if (output->fds[i] < 0) continue;
        bool is_new = false;
        while (look && pp_node_output_may_read(node) && read_some(node, i)) is_new = true;
        if (output->lines[i].end == 0) output->since[i] = 0;
        else if (is_new || output->since[i] == 0) output->since[i] = now;
        else if (now - output->since[i] >= OLD_NS) send_lines(node, i, output->lines[i].end);
        if (output->lines[i].end > 0 && output->since[i] + OLD_NS < due) due = output->since[i] + OLD_NS;
    }
    return due;
}
