/* What a node says to its head, and how it ends; see node.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/text.h"
#include "host/node.h"
#include "worker/fold.h"

#define FLUSH_NS 1000000000U /* how long the last message may take */

void pp_node_end(struct pp_node_self *node, int status) {
    if (node->pool) pool_destroy(node->pool);
    _exit(status);
}

void pp_node_flush(struct pp_node_self *node) {
    uint64_t until = pp_now() + FLUSH_NS;
    struct pollfd out = {.fd = node->wire.out, .events = POLLOUT};
    while (pp_wire_queued(&node->wire) > 0 && pp_now() < until)
        if (pp_wire_write(&node->wire) < 0 || pp_poll(&out, 1, until) <= 0) return;
}

void pp_node_say(struct pp_node_self *node, uint16_t kind, uint64_t id, const unsigned char *fixed, size_t size,
                 const void *rest, size_t rest_size) {
    const struct iovec parts[] = {{(void *)(uintptr_t)fixed, size}, {(void *)(uintptr_t)rest, rest_size}};
    if (!pp_wire_send(&node->wire, kind, id, parts, 2)) pp_wire_lose(&node->wire, "no memory");
}

void pp_node_say_failed(struct pp_node_self *node, uint16_t kind, uint64_t id, uint64_t position,
                        const struct pool_failure *failure) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_failure_message m = {.error = failure->error, .code = failure->code, .signal = failure->signal,
                                   .worker = (int32_t)failure->worker, .position = position,
                                   .text_size = strnlen(failure->message, PP_FAR_TEXT - 1)};
    const size_t most = sizeof failure->frames / sizeof *failure->frames;
    _Static_assert(sizeof failure->frames / sizeof *failure->frames <= PP_FAR_FRAMES, "all frames travel");
    while (m.frame_count < most && failure->frames[m.frame_count] &&
           pp_refer((const void *)failure->frames[m.frame_count], &m.frames[m.frame_count]))
        m.frame_count++;
    pp_node_say(node, kind, id, fixed, pp_put_failure(fixed, &m), failure->message, m.text_size);
}

/* Workers could write anything into the spot. */
void pp_node_say_part(struct pp_node_self *node, const struct pp_node_work *work) {
    struct pp_spot *spot = work->spot;
    char text[PP_FAR_TEXT] = "";
    unsigned char fixed[PP_FIXED_MOST];
    int code = pp_read_code(&spot->code);
    struct pp_skipped_message m = {.failed = pp_read_word(&spot->failed), .first = pp_read_word(&spot->failed_at),
                                   .code = code ? code : 1, .worker = pp_read_code(&spot->pid), .text = text};
    pp_text_readable(text, spot->message, sizeof text);
    if (!text[0]) snprintf(text, sizeof text, "the task returned %d", m.code);
    m.text_size = m.failed ? strlen(text) : 0;
    struct iovec parts[] = {{work->future->result, work->future->out_size}, {fixed, pp_put_skipped(fixed, &m)},
                            {text, m.text_size}};
    if (!pp_wire_send(&node->wire, PP_SAY_DONE, work->id, parts, 3)) pp_wire_lose(&node->wire, "no memory");
}

void pp_node_break_down(struct pp_node_self *node, const struct pool_failure *why, int status) {
    pp_node_say_failed(node, PP_SAY_BROKEN, 0, 0, why);
    pp_node_flush(node);
    pp_node_end(node, status);
}

void pp_node_refuse(struct pp_node_self *node, const char *what) {
    struct pool_failure why = {.error = POOL_EINVAL};
    snprintf(why.message, sizeof why.message, "it was told %s", what);
    pp_node_break_down(node, &why, PP_NODE_REFUSED);
}

void *pp_node_find(struct pp_node_self *node, const struct pp_node_table *table, uint64_t number) {
    void *entry = number < table->room ? table->entries[number] : NULL;
    if (!entry) pp_node_refuse(node, "a name that it has not told");
    return entry;
}
