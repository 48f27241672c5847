/* The trace of a pool: what its workers ran, and what happened to them, in rings that keep the last entries.
 *
 * Each ring has one writer: each worker number its own, then one for the supervisor, and one for the caller, under the
 * pool's lock. A worker notes a span where it reads the clock anyway: for each take of tasks, and for each chunk, or
 * several if they are short. Spans that follow each other closely are one, so that many short tasks are few spans. What
 * a worker died in has no span of its own: the supervisor notes it with the death.
 *
 * Invariant: the rings lie where workers can write. Whatever they hold, the reader stays within them; what it shows of
 * a ring that was overwritten is wrong.
 * Called by: work and carrier_trace (spans), tracer, the caller's layer; read by trace_file. */
#ifndef PP_TRACE_H
#define PP_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cacheline.h"
#include "parpool.h"

enum pp_trace_kind {
    PP_TRACE_ITEMS,  /* a worker ran `count` items; `item`: the first, or where they are short one of them */
    PP_TRACE_TASKS,  /* a worker ran `count` tasks, the last of them of fn */
    PP_TRACE_DEATH,  /* a worker has ended; fn, item, begin: what it was at, since when; `count`: as of waitpid(), or
                        PP_TRACE_AT_END */
    PP_TRACE_KILL,   /* the supervisor is to kill a worker; `count`: enum pp_trace_why */
    PP_TRACE_RETRY,  /* a task or item is to be run once more */
    PP_TRACE_WAIT,   /* a call of the caller slept */
    PP_TRACE_COUNTS, /* `count`: tasks sent and not started; `item`: busy workers */
    PP_TRACE_HOST,   /* the carrier, in its own ring, whose `worker` is the number of a host: `count`: POOL_HOST_… */
    PP_TRACE_LOSS,   /* likewise: the host is lost, and `count` tasks and items that it had begun; fn, item: of one */
    PP_TRACE_KINDS
};
#define PP_TRACE_AT_END UINT32_MAX /* the pool ends */
enum pp_trace_why { PP_TRACE_OVERDUE, PP_TRACE_REQUEST, PP_TRACE_RESET, PP_TRACE_WHYS };

struct pp_trace_entry {
    uint64_t begin, end; /* ns of pp_now() */
    pool_fn *fn;
    uint64_t item;
    uint32_t count;
    uint16_t worker, kind;
};

struct pp_trace_ring {
    _Alignas(PP_LINE) _Atomic uint64_t tail; /* entries ever written. Written after the entry (release) */
    struct pp_trace_entry entries[];
};

/* Where the rings lie, and where they are written to in the end. Private to each process, and the same in all. */
struct pp_trace {
    char *base; /* NULL: there is no trace */
    size_t size;
    unsigned bits;  /* a ring has 1 << bits entries */
    uint64_t began; /* ns: time 0 */
    char *path;
    const char **hosts; /* their names, in a pool with a carrier; its ring is of them */
    uint32_t host_count;
};

/* The rings that are not a worker's. */
enum { PP_TRACE_SUPERVISOR = 1024, PP_TRACE_CALLER, PP_TRACE_RINGS };

/* Caller, before the first fork: makes the rings of a pool that begins with so many workers. Returns false if there is
 * no memory. */
bool pp_trace_make(struct pp_trace *trace, uint32_t workers);
void pp_trace_unmake(struct pp_trace *trace);

static inline size_t pp_trace_ring_size(const struct pp_trace *trace) {
    size_t size = sizeof(struct pp_trace_ring) + (sizeof(struct pp_trace_entry) << trace->bits);
    return (size + PP_LINE - 1) / PP_LINE * PP_LINE;
}
static inline struct pp_trace_ring *pp_trace_ring(const struct pp_trace *trace, uint32_t ring) {
    return (struct pp_trace_ring *)(void *)(trace->base + ring * pp_trace_ring_size(trace));
}
/* The writer of that ring: notes it, if there is a trace. */
void pp_trace_note(const struct pp_trace *trace, uint32_t ring, const struct pp_trace_entry *entry);
/* A worker: the same of a span of items or tasks, which may be one with the entry before it. last: the number of that
 * entry, counted from 1, which becomes that of this one; NULL: it is the last of the ring. */
void pp_trace_span(const struct pp_trace *trace, uint32_t worker, const struct pp_trace_entry *entry, uint64_t *last);

#endif
