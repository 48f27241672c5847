/* What of a task travels: its description as a message, its context, its inputs; which task cannot. See baggage.h. */
#include <string.h>

#include "remote/baggage.h"
#include "remote/carry.h"

static uint64_t in_size_of(const struct pp_desc *desc) {
    uint64_t size = desc->item & (((uint64_t)1 << PP_IN_SIZE_BITS) - 1);
    if (size == PP_IN_SIZE_ASIDE) memcpy(&size, desc->argument + sizeof size, sizeof size);
    return size;
}

/* The inputs of a graph's task, and its context. */
static bool pack_extra(const struct pp_carrier *c, const struct pp_extra *extra, struct pp_baggage *b) {
    if (!pp_carrier_reaches(c, extra, sizeof *extra)) return false;
    b->extra = extra;
    b->context = extra->context;
    b->context_size = extra->context_size;
    b->context_serial = extra->context_serial;
    if (b->context && (b->context_size == 0 || !pp_carrier_reaches(c, b->context, b->context_size))) return false;
    size_t count = extra->count;
    if (count > c->shared->size / sizeof(struct pp_input) || count > UINT32_MAX) return false;
    if (!pp_carrier_reaches(c, extra, sizeof *extra + count * sizeof(struct pp_input))) return false;
    for (size_t i = 0; i < count; i++) {
        const struct pp_input *input = &extra->inputs[i];
        if (input->data && !pp_carrier_reaches(c, input->data, input->size)) return false;
        b->inputs_bytes += input->data ? input->size : 0;
    }
    b->message.input_count = (uint32_t)count;
    b->message.in = extra->in;
    return b->inputs_bytes < PP_MESSAGE_MOST / 4;
}

bool pp_task_pack(struct pp_carrier *c, uint64_t ticket, struct pp_baggage *b) {
    struct pp_shared *shared = c->shared;
    uint32_t slot = pp_ticket_slot(ticket);
    const struct pp_desc *desc = &shared->descs[slot];
    memset(b, 0, sizeof *b);
    struct pp_task_message *m = &b->message;
    if (desc->timeout == PP_IS_JOB) return false;
    memcpy(&b->function, &desc->fn, sizeof b->function);
    bool is_fold = pp_is_fold(b->function);
    m->function = is_fold ? 0 : pp_carrier_function(c, b->function);
    m->in = desc->in;
    if ((m->function == 0 && !is_fold) || (desc->shape.has_extra && !pack_extra(c, desc->in, b))) return false;
    bool has_limits = desc->timeout == PP_HAS_LIMITS;
    m->timeout = (uint32_t)(has_limits ? shared->limits[slot].timeout : desc->timeout);
    m->cpu_timeout = has_limits ? (uint32_t)shared->limits[slot].cpu_timeout : 0;
    m->index = desc->item >> PP_IN_SIZE_BITS;
    m->seed = desc->seed;
    m->in_size = in_size_of(desc);
    m->has_in = m->in_size > 0;
    m->is_fresh = pp_desc_is_fresh(desc);
    m->any_size = pp_desc_has_any_size(desc);
    m->out_size = m->any_size ? 0 : pp_desc_out_size(desc);
    if (m->has_in && !pp_carrier_reaches(c, m->in, (size_t)m->in_size)) return false;
    if (is_fold && !pp_fold_pack(c, b)) return false;
    size_t most = PP_MESSAGE_MOST / 4;
    return m->in_size < most && m->out_size < most && b->context_size < most;
}

const unsigned char *pp_task_gather(struct pp_carrier *c, const struct pp_baggage *b, size_t *size) {
    size_t count = b->message.input_count;
    *size = count * sizeof(uint64_t) + b->inputs_bytes;
    unsigned char *room = pp_carrier_room(c, *size ? *size : 1), *at = room;
    if (!room) return NULL;
    for (size_t i = 0; i < count; i++) {
        const struct pp_input *input = &b->extra->inputs[i];
        pp_put_number(room, i, input->data ? input->size : PP_NO_INPUT);
    }
    at += count * sizeof(uint64_t);
    for (size_t i = 0; i < count; i++) {
        const struct pp_input *input = &b->extra->inputs[i];
        size_t left = *size - (size_t)(at - room), bytes = input->data ? input->size : 0;
        if (bytes > left) return NULL; /* the caller has described another task meanwhile */
        if (bytes) memcpy(at, input->data, bytes);
        at += bytes;
    }
    return room;
}
