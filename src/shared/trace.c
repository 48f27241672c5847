#include "shared/trace.h"

#include "base/sys.h"
#include "shared/shared.h"

_Static_assert((int)PP_TRACE_SUPERVISOR == (int)PP_WORKERS, "each worker has a ring");

/* Entries of a pool's first workers together, so that the file takes a second to write at most, and has 100 MB. */
#define ENTRIES ((uint32_t)1 << 20)
#define BITS_MOST 16U
#define BITS_LEAST 8U

#define GAP_NS 10000U    /* between two spans that become one, at most */
#define SHORT_NS 50000U  /* spans that become part of another take no longer */
#define WHOLE_NS 1000000U /* nor does the whole */

/* Address space: memory is taken as entries are written. Where address space is scarce, rings are shorter. */
bool pp_trace_make(struct pp_trace *trace, uint32_t workers) {
    trace->began = pp_now();
    for (trace->bits = BITS_MOST; trace->bits > BITS_LEAST && workers << trace->bits > ENTRIES;) trace->bits--;
    for (;; trace->bits--) {
        trace->size = PP_TRACE_RINGS * pp_trace_ring_size(trace);
        trace->base = pp_map_shared(trace->size);
        if (trace->base || trace->bits == BITS_LEAST) return trace->base != NULL;
    }
}

void pp_trace_unmake(struct pp_trace *trace) {
    if (trace->base) pp_give_back(trace->base, trace->size);
    pp_unmap(trace->base, trace->size);
    pp_release(trace->path);
    pp_release(trace->hosts);
    *trace = (struct pp_trace){.base = NULL};
}

static void append(const struct pp_trace *trace, struct pp_trace_ring *r, const struct pp_trace_entry *entry) {
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    r->entries[tail & (((uint64_t)1 << trace->bits) - 1)] = *entry;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

void pp_trace_note(const struct pp_trace *trace, uint32_t ring, const struct pp_trace_entry *entry) {
    if (trace->base) append(trace, pp_trace_ring(trace, ring), entry);
}

/* The reader comes once the worker has ended. A worker that is killed between the two stores of a span that grows
 * leaves its count too low. */
static bool extend(struct pp_trace_entry *last, const struct pp_trace_entry *entry) {
    bool follows = last->fn == entry->fn && last->kind == entry->kind && entry->begin - last->end < GAP_NS &&
                   entry->end - entry->begin < SHORT_NS && entry->end - last->begin < WHOLE_NS;
    if (!follows) return false;
    last->end = entry->end;
    last->count += entry->count;
    return true;
}

void pp_trace_span(const struct pp_trace *trace, uint32_t worker, const struct pp_trace_entry *entry, uint64_t *last) {
    struct pp_trace_ring *r = pp_trace_ring(trace, worker);
    uint64_t room = (uint64_t)1 << trace->bits, tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t number = last ? *last : tail;
    bool is_there = number > 0 && tail - number < room;
    if (is_there && extend(&r->entries[(number - 1) & (room - 1)], entry)) return;
    append(trace, r, entry);
    if (last) *last = tail + 1;
}
