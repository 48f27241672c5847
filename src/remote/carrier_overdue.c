/* A host that is alive and does not answer: what has a time-out, or was killed, must have an outcome; see carry.h.
 *
 * A node has one queue, and begins what has leave in the order of ids. So of the work that must end, what was sent
 * first runs, if the work that may run for ever leaves a worker free: at the latest once what that worker is at ends.
 * The time-out is counted from when the carrier first sees it in this place; an honest node has long ended it then. Its
 * answer may still be behind others, or the leave behind arguments: while bytes flow, nothing is late.
 * Nothing is known of a node that may wait with its queue, because its machine has too much load or too little memory.
 *
 * Called by: carrier_hosts. */
#include <stdio.h>

#include "remote/carry.h"

#define LOOK_NS 100000000U   /* between two looks at a host */
#define PAUSE_NS 1000000000U /* a look that comes so late was preceded by a pause of this process */
#define FLOW_LEAST 1024U     /* bytes between two looks that are more than heartbeats and accounts */
#define FLOW_MOST ((uint64_t)256 << 20) /* bytes behind which nothing is kept that is not a message of its own */

/* How long it may run, ms; 0: for ever. A call of a block function has its time-out for each of its items. */
static uint64_t limit_of(const struct pp_errand *errand) {
    return errand->timeout * (uint64_t)(errand->parcel ? errand->parcel->left : 1);
}

/* What must end and was sent first; NULL: there is none. *longest: ms that work may run which must end. */
static const struct pp_errand *find_first(const struct pp_far_host *host, uint64_t *longest) {
    const struct pp_errand *timed = NULL, *over = NULL;
    uint64_t endless = 0;
    *longest = 0;
    for (uint32_t i = 0; i < host->room; i++) {
        const struct pp_errand *errand = &host->errands[i];
        if (errand->id == 0 || errand->state == PP_ERRAND_SENT) continue;
        uint64_t limit = limit_of(errand);
        const struct pp_errand **first = errand->state == PP_ERRAND_BEGUN ? &timed : &over;
        if (limit > *longest) *longest = limit;
        if (first == &timed && limit == 0) endless += errand->items;
        else if (!*first || errand->id < (*first)->id) *first = errand;
    }
    if (endless >= host->cpus || (over && timed && over->id < timed->id)) timed = NULL;
    return timed ? timed : over;
}

/* ms that the host may take besides: for the way, a new worker, and its initializer. */
static uint64_t grace(const struct pp_carrier *c) {
    uint64_t silence = c->setup->silence;
    return c->options->initializer ? silence + c->setup->start : silence;
}

/* Notes what is first now, and since when. */
static void note(struct pp_far_watch *watch, const struct pp_far_host *host, const struct pp_errand *first,
                 uint64_t now) {
    uint64_t id = first ? first->id : 0, left = first && first->parcel ? first->parcel->left : 0;
    uint64_t flow = host->wire.read + host->wire.returned;
    bool has_paused = now - watch->looked > PAUSE_NS;
    if (has_paused || flow - watch->flow >= FLOW_LEAST) watch->flowed = now;
    if (has_paused || id != watch->id || left != watch->left) {
        watch->since = now;
        watch->flow_then = flow;
    }
    watch->id = id;
    watch->left = left;
    watch->flow = flow;
    watch->looked = now;
}

bool pp_host_is_overdue(struct pp_carrier *c, struct pp_far_host *host, uint64_t now) {
    struct pp_far_watch *watch = &host->watch;
    uint64_t longest, patience = grace(c);
    bool may_wait = c->setup->silence == 0 || c->message.max_load > 0 || c->message.min_free_memory > 0;
    if (may_wait || now - watch->looked < LOOK_NS) return false;
    const struct pp_errand *first = find_first(host, &longest);
    note(watch, host, first, now);
    if (!first) return false;
    uint64_t own = limit_of(first), kept = (now - watch->since) / PP_NS_PER_MS;
    bool flows = (now - watch->flowed) / PP_NS_PER_MS < patience &&
                 watch->flow - watch->flow_then < FLOW_MOST + host->wire.limits.most;
    if (flows || kept < own + longest + patience) return false;
    char reason[sizeof host->wire.reason], limit[40] = "was cancelled";
    if (first->state == PP_ERRAND_BEGUN) snprintf(limit, sizeof limit, "has a time-out of %g s", (double)own / 1000);
    snprintf(reason, sizeof reason, "it has kept what %s for %.3g s", limit, (double)kept / 1000);
    pp_wire_lose(&host->wire, reason);
    watch->has_kept = true;
    return true;
}
