/* What a trace has of hosts: what of each came back when, and whether it was up; see carry.h.
 *
 * A host runs several errands at a time, and says nothing of when it began one. So its row is of answers: the span of
 * an answer goes back to the one before, or to when the host got leave to begin the errand. Idle times are seen, and
 * each item counts once.
 *
 * Called by: carrier_errands, carrier_answers, carrier_hosts, carrier_say. */
#include "base/sys.h"
#include "remote/carry.h"
#include "shared/plan.h"
#include "shared/trace.h"

/* Of an errand whose state is not FORGOTTEN or KILLED. */
static pool_fn *function_of(const struct pp_carrier *c, const struct pp_errand *errand) {
    if (errand->ticket) return c->shared->descs[pp_ticket_slot(errand->ticket)].fn;
    return c->job.plan ? pp_plan_function(c->job.plan) : NULL;
}

static uint64_t later(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static struct pp_trace_entry entry_of(const struct pp_carrier *c, const struct pp_far_host *host,
                                      const struct pp_errand *errand, uint64_t now) {
    const struct pp_parcel *parcel = errand->parcel;
    return (struct pp_trace_entry){.kind = parcel ? PP_TRACE_ITEMS : PP_TRACE_TASKS, .fn = function_of(c, errand),
                                   .begin = later(errand->begun_at, host->traced_to), .end = now,
                                   .item = parcel ? parcel->chunk.begin : 0, .worker = (uint16_t)host->number};
}

void pp_host_trace_answer(const struct pp_carrier *c, struct pp_far_host *host, const struct pp_errand *errand,
                          uint32_t items) {
    uint64_t now = pp_now();
    struct pp_trace_entry entry = entry_of(c, host, errand, now);
    entry.count = items;
    pp_trace_span(&c->shared->trace, PP_CARRIER, &entry, &host->traced);
    host->traced_to = now;
}

/* The mark follows, as soon as the caller is told. */
void pp_host_trace_loss(const struct pp_carrier *c, struct pp_far_host *host) {
    const struct pp_errand *oldest = NULL;
    for (uint32_t i = 0; i < host->room; i++) {
        const struct pp_errand *errand = &host->errands[i];
        if (errand->id == 0 || errand->state != PP_ERRAND_BEGUN) continue;
        if (!oldest || errand->begun_at < oldest->begun_at) oldest = errand;
    }
    if (!oldest) return;
    struct pp_trace_entry entry = entry_of(c, host, oldest, pp_now());
    entry.kind = PP_TRACE_LOSS;
    entry.count = host->begun < UINT32_MAX ? (uint32_t)host->begun : UINT32_MAX;
    pp_trace_note(&c->shared->trace, PP_CARRIER, &entry);
    host->traced_to = entry.end;
}

void pp_host_trace_state(const struct pp_carrier *c, const struct pp_far_host *host, uint32_t state) {
    uint64_t now = pp_now();
    pp_trace_note(&c->shared->trace, PP_CARRIER,
                  &(struct pp_trace_entry){.kind = PP_TRACE_HOST, .begin = now, .end = now, .count = state,
                                           .worker = (uint16_t)host->number});
}
