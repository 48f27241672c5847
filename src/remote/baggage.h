/* What of a task travels to a host, as the carrier reads it from the task's description.
 *
 * A task may be cancelled at any time, and the caller may then describe another in its slot: what was read means
 * something only if the task's state word says PENDING after it was read.
 *
 * Called by: carrier_tasks. */
#ifndef PP_BAGGAGE_H
#define PP_BAGGAGE_H

#include "remote/message.h"
#include "worker/fold.h"

struct pp_carrier;
struct pp_extra;

struct pp_baggage {
    struct pp_task_message message;
    const void *function;
    const struct pp_extra *extra; /* inputs of a graph's task; NULL: none */
    const void *context;
    size_t context_size, inputs_bytes;
    uint64_t context_serial; /* as in struct pp_extra */
    struct pp_recipe recipe; /* of a reduction's task */
    size_t items_bytes;         /* of a leaf's items at message.in, */
    const unsigned char *marks; /* and a byte for each of them: leave it out; NULL: there are none */
};

/* Reads the task's description. Returns false if it cannot travel. */
bool pp_task_pack(struct pp_carrier *c, uint64_t ticket, struct pp_baggage *b);
/* Puts sizes and data of the inputs together: *size bytes, valid until the next call. NULL: there is no memory, or the
 * slot has another task. */
const unsigned char *pp_task_gather(struct pp_carrier *c, const struct pp_baggage *b, size_t *size);

#endif
