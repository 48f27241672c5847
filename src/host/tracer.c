#include "host/tracer.h"

#include "base/sys.h"
#include "shared/record.h"
#include "shared/ring.h"

#define PAUSE_NS 10000000U

static void note(const struct pp_tracer *t, struct pp_trace_entry entry) {
    pp_trace_note(&t->shared->trace, PP_TRACE_SUPERVISOR, &entry);
}

void pp_tracer_begin(struct pp_tracer *t, const struct pp_shared *shared) {
    t->shared = shared;
    t->next = shared->trace.base ? 0 : UINT64_MAX;
    t->waiting = UINT32_MAX;
}

void pp_tracer_count(struct pp_tracer *t) {
    uint64_t now = t->next == UINT64_MAX ? 0 : pp_now();
    if (now < t->next) return;
    t->next = now + PAUSE_NS;
    uint64_t length = pp_ring_length(t->shared);
    uint32_t waiting = length > PP_TICKETS ? 0 : (uint32_t)length, busy = 0;
    uint32_t workers = atomic_load_explicit(&t->shared->control->workers, memory_order_relaxed);
    for (uint32_t w = 0; w < workers; w++) busy += pp_record_counts(&t->shared->records[w]).busy_since != 0;
    if (waiting == t->waiting && busy == t->busy) return;
    t->waiting = waiting;
    t->busy = busy;
    note(t, (struct pp_trace_entry){.kind = PP_TRACE_COUNTS, .begin = now, .end = now, .count = waiting, .item = busy});
}

/* The end of an idle worker says nothing where the pool ends, or the worker has chosen it. */
void pp_tracer_death(const struct pp_tracer *t, uint32_t worker, const struct pp_activity *at, uint32_t status) {
    uint64_t now = pp_now();
    if (!at->fn && (status == 0 || status == PP_TRACE_AT_END)) return;
    uint64_t since = at->since != 0 && at->since < now ? at->since : now;
    note(t, (struct pp_trace_entry){.kind = PP_TRACE_DEATH, .begin = since, .end = now, .fn = at->fn, .item = at->item,
                                    .count = status, .worker = (uint16_t)worker});
}

void pp_tracer_kill(const struct pp_tracer *t, uint32_t worker, enum pp_trace_why why) {
    uint64_t now = pp_now();
    note(t, (struct pp_trace_entry){.kind = PP_TRACE_KILL, .begin = now, .end = now, .count = why,
                                    .worker = (uint16_t)worker});
}
