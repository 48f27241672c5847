/* Whatever arrives over a connection, from a head or from a node, the other side neither crashes nor reads memory that
 * is not part of a message.
 *
 * The first byte of the input says which side reads, and in which steps the rest arrives. Each message that is whole is
 * decoded as that side does, and all of it is read.
 *
 * A libFuzzer target, see CMakeLists.txt; test_wire.c runs the same on pseudo-random inputs. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "remote/wire.h"
#include "remote/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned seen; /* what is read must be read */

static void read_all(const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++) sum += at[i];
    seen += sum;
}

static void read_task(const struct pp_task_message *m) {
    const unsigned char *at = m->inputs;
    read_all(m->in, (size_t)m->in_size);
    for (uint32_t i = 0; i < m->input_count; i++) {
        uint64_t size = pp_get_number(m->input_sizes, i);
        if (size == PP_NO_INPUT) continue;
        read_all(at, (size_t)size);
        at += size;
    }
}

static bool decode_at_node(const struct pp_message *m) {
    union {
        struct pp_setup setup;
        struct pp_function_message function;
        struct pp_job_message job;
        struct pp_task_message task;
        struct pp_chunk_message chunk;
        struct pp_end_message end;
    } as;
    const void *address;
    switch (m->kind) {
    case PP_SAY_SETUP: return pp_get_setup(m->data, m->size, &as.setup);
    case PP_SAY_FUNCTION:
        if (!pp_get_function(m->data, m->size, &as.function)) return false;
        read_all(as.function.module, as.function.module_size);
        pp_resolve(&as.function.function, true, &address);
        return true;
    case PP_SAY_CONTEXT: read_all(m->data, m->size); return true;
    case PP_SAY_JOB: return pp_get_job(m->data, m->size, &as.job);
    case PP_SAY_TASK:
        if (!pp_get_task(m->data, m->size, &as.task)) return false;
        read_task(&as.task);
        return true;
    case PP_SAY_CHUNK:
        if (!pp_get_chunk(m->data, m->size, &as.chunk)) return false;
        for (uint32_t i = 0; as.chunk.has_list && i < as.chunk.count; i++)
            seen += (unsigned)pp_get_number(as.chunk.list, i);
        read_all(as.chunk.in, as.chunk.in_bytes);
        return true;
    case PP_SAY_END: return pp_get_end(m->data, m->size, &as.end);
    case PP_SAY_FORGET_CONTEXT:
    case PP_SAY_END_JOB:
    case PP_SAY_LEAVE:
    case PP_SAY_FORGET:
    case PP_SAY_KILL: return m->size == 0;
    default: return false;
    }
}

static bool decode_at_head(const struct pp_message *m) {
    union {
        struct pp_ready ready;
        struct pp_failure_message failure;
        struct pp_items_message items;
        struct pp_skipped_message skipped;
        struct pp_stats_message stats;
    } as;
    switch (m->kind) {
    case PP_SAY_READY: return pp_get_ready(m->data, m->size, &as.ready);
    case PP_SAY_BROKEN:
    case PP_SAY_FAILED:
    case PP_SAY_ITEM_FAILED:
        if (!pp_get_failure(m->data, m->size, &as.failure)) return false;
        read_all(as.failure.text, as.failure.text_size);
        return true;
    case PP_SAY_ITEMS:
        if (!pp_get_items(m->data, m->size, &as.items)) return false;
        for (uint32_t i = 0; as.items.has_sizes && i < as.items.count; i++)
            seen += (unsigned)pp_get_number(as.items.sizes, i);
        read_all(as.items.out, as.items.out_bytes);
        return true;
    case PP_SAY_STATS: return pp_get_stats(m->data, m->size, &as.stats);
    case PP_SAY_DONE:
        if (pp_get_skipped(m->data, m->size, &as.skipped)) read_all(as.skipped.text, as.skipped.text_size);
        read_all(m->data, m->size);
        return true;
    case PP_SAY_OUTPUT: read_all(m->data, m->size); return true;
    case PP_SAY_CPUS: return m->size == 0;
    default: return false;
    }
}

/* The pipe takes at least this at a time. */
#define STEP_MOST 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int pipe_to[2], pipe_back[2];
    if (size == 0 || pp_pipe(pipe_to) != 0) return 0;
    if (pp_pipe(pipe_back) != 0) abort();
    bool is_head = data[0] & 1, good = true;
    size_t step = (size_t)1 << (data[0] >> 1) % 13;
    struct pp_wire wire;
    struct pp_wire_limits limits = {.silence = 1000, .most = 1 << 20, .gives_credit = !is_head, .credit = is_head};
    pp_wire_begin(&wire, pipe_to[0], pipe_back[1], &limits, is_head);
    for (size_t at = 1; at < size && good; at += step) {
        struct pp_greeting greeting;
        struct pp_message message;
        size_t left = size - at, some = left < step ? left : step;
        if (pp_write(pipe_to[1], data + at, some) != (ssize_t)some) abort();
        if (pp_wire_read(&wire) != 1) abort();
        if (pp_wire_greeting(&wire, &greeting)) read_all(wire.noise, wire.noise_size);
        while (good && pp_wire_next(&wire, &message))
            good = is_head ? decode_at_head(&message) : decode_at_node(&message);
        good = good && !wire.lost;
        pp_wire_write(&wire);
    }
    pp_wire_end(&wire);
    for (int i = 0; i < 2; i++) {
        pp_close(&pipe_to[i]);
        pp_close(&pipe_back[i]);
    }
    return 0;
}
