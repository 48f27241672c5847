/* What a host has: errands, a table by id; how much it may have, by its pace; and leave to begin it. See carry.h.
 *
 * Called by: carrier_tasks, carrier_jobs, carrier_answers, carrier_hosts, carrier. */
#include <string.h>

#include "base/memory.h"
#include "base/sys.h"
#include "remote/carry.h"

#define AHEAD_NS 2500000.0       /* what a host may have with leave beyond its CPUs, and as much without, by its pace */
#define PACE_NS 1000000U         /* a measurement of the pace takes so long at least */
#define SLOW_NS 5000000U         /* after which a pace that has not come true is given up */
#define SLOWER_MOST 4.0          /* how many times as long items may seem to take from one report to the next */
#define SHORT_NS 200000.0        /* work below which a host has more than its answers speak for */
#define STILL_NS 200000000U      /* after which what a host has said of its work is not true any more */
#define AHEAD_MOST 100000U       /* items of a host beyond its CPUs */
#define QUEUED_MOST ((size_t)4 << 20) /* bytes that wait for a host's connection */
#define ERRANDS_LEAST 64U

/* ---- errands: a table by id */

static void chain(struct pp_far_host *host, uint32_t place) {
    uint32_t *bucket = &host->buckets[host->errands[place].id & (host->room - 1)];
    host->errands[place].next = *bucket;
    *bucket = place + 1;
}

static bool grow(struct pp_far_host *host) {
    uint32_t room = host->room ? 2 * host->room : ERRANDS_LEAST;
    struct pp_errand *errands = pp_realloc(host->errands, room * sizeof *errands);
    if (!errands) return false;
    host->errands = errands;
    uint32_t *buckets = pp_realloc(host->buckets, room * sizeof *buckets);
    if (!buckets) return false;
    host->buckets = buckets;
    memset(errands + host->room, 0, (room - host->room) * sizeof *errands);
    memset(buckets, 0, room * sizeof *buckets);
    uint32_t had = host->room;
    host->room = room;
    for (uint32_t i = 0; i < had; i++) chain(host, i); /* all are in use: none is free */
    for (uint32_t i = had; i < room; i++) {
        errands[i].next = host->free;
        host->free = i + 1;
    }
    return true;
}

struct pp_errand *pp_errand_new(struct pp_far_host *host, uint32_t items) {
    if (host->free == 0 && !grow(host)) return NULL;
    uint32_t place = host->free - 1;
    struct pp_errand *errand = &host->errands[place];
    host->free = errand->next;
    *errand = (struct pp_errand){.id = ++host->last, .items = items, .state = PP_ERRAND_SENT};
    chain(host, place);
    host->sent += items;
    return errand;
}

struct pp_errand *pp_errand_find(const struct pp_far_host *host, uint64_t id) {
    if (id == 0 || host->room == 0) return NULL;
    uint32_t at = host->buckets[id & (host->room - 1)];
    while (at && host->errands[at - 1].id != id) at = host->errands[at - 1].next;
    return at ? &host->errands[at - 1] : NULL;
}

static bool has_leave(const struct pp_errand *errand) {
    return errand->state == PP_ERRAND_BEGUN || errand->state == PP_ERRAND_KILLED;
}

void pp_errand_end(struct pp_far_host *host, struct pp_errand *errand) {
    uint32_t place = (uint32_t)(errand - host->errands);
    uint32_t *at = &host->buckets[errand->id & (host->room - 1)];
    while (*at && *at != place + 1) at = &host->errands[*at - 1].next;
    if (*at) *at = errand->next;
    *(has_leave(errand) ? &host->begun : &host->sent) -= errand->items;
    pp_known_context_end(host, errand->context);
    if (errand->fold) pp_fold_count(host, errand->fold, -1);
    if (errand->job) host->jobs[errand->job - 1].out--;
    *errand = (struct pp_errand){.next = host->free};
    host->free = place + 1;
}

/* ---- how much a host may have */

void pp_pace_note(struct pp_far_pace *pace, uint64_t ended, uint64_t now) {
    pace->ended += ended;
    uint64_t took = now - pace->since;
    if (took < PACE_NS) return;
    pace->rate = (double)pace->ended / (double)took;
    pace->since = now;
    pace->ended = 0;
}

/* A chunk that is small takes as long to come and go as a large one: by the clock here, a host with small chunks would
 * be slow, and get small ones. One that was held up is not that slow at once. */
void pp_pace_told(struct pp_far_pace *pace, uint64_t ended, uint64_t took, uint64_t now) {
    double some = (double)took, most = pace->rate > 0 ? SLOWER_MOST * (double)ended / pace->rate : some;
    pace->since = now;
    pace->ended += ended;
    pace->took += some < most ? some : most;
    pace->rate = (double)pace->ended / (pace->took + 1);
    if (pace->took < PACE_NS) return;
    pace->ended = (pace->ended + 1) / 2; /* what is long past counts less */
    pace->took /= 2;
}

/* A host that does not come up to its pace any more gets less at once. */
static void check_pace(struct pp_far_pace *pace, uint64_t now) {
    uint64_t took = now > pace->since ? now - pace->since : 0;
    if (took < SLOW_NS || pace->rate * (double)took < 4.0 * (double)(pace->ended + 1)) return;
    pace->rate = (double)(pace->ended + 1) / (double)took;
}

/* It had nothing to do until now. */
static void begin_measuring(struct pp_far_host *host, uint64_t now) {
    host->tasks.since = host->items.since = now;
    host->tasks.ended = 0;
}

uint64_t pp_pace_leaves(const struct pp_far_host *host, const struct pp_far_pace *pace) {
    double more = pace->rate * AHEAD_NS; /* it grows while the host keeps up, but not where the way is long */
    double by_work = host->work > 0 && host->work < SHORT_NS ? AHEAD_NS * host->cpus / host->work : 0;
    if (by_work > more) more = by_work;
    return host->cpus + (uint64_t)(more < AHEAD_MOST ? more : AHEAD_MOST);
}

struct pp_far_host *pp_host_for(struct pp_carrier *c, bool items) {
    struct pp_far_host *best = NULL;
    double least = 0;
    for (uint32_t h = 0; h < c->count; h++) {
        struct pp_far_host *host = &c->hosts[h];
        if (!pp_host_is_up(host)) continue;
        uint64_t has = host->sent + host->begun;
        if (has >= 2 * pp_pace_leaves(host, items ? &host->items : &host->tasks)) continue;
        if (pp_wire_queued(&host->wire) > QUEUED_MOST) continue;
        double load = (double)has / host->cpus;
        if (best && load >= least) continue;
        best = host;
        least = load;
    }
    return best;
}

/* ---- leave */

static bool begin_task(struct pp_carrier *c, uint64_t ticket) {
    _Atomic uint64_t *word = &c->shared->outcomes[pp_ticket_slot(ticket)].state;
    return pp_state_begin(word, pp_ticket_generation(ticket), c->claimer.number, c->claimer.life);
}

/* A task of which another worker was faster, or that was cancelled, is not to be begun. */
void pp_leaves_give(struct pp_carrier *c, struct pp_far_host *host, uint64_t now) {
    check_pace(&host->tasks, now);
    bool is_still = now > host->tasks.since + STILL_NS && now > host->items.since + STILL_NS;
    if (host->begun > 0 && is_still) host->work = 0; /* what it has now takes longer */
    while (host->leave < host->last) {
        struct pp_errand *errand = pp_errand_find(host, host->leave + 1);
        bool is_chunk = errand && errand->parcel;
        uint64_t most = pp_pace_leaves(host, is_chunk ? &host->items : &host->tasks);
        if (errand && errand->state == PP_ERRAND_SENT) {
            if (host->begun > 0 && host->begun + errand->items > most) break;
            if (is_chunk || begin_task(c, errand->ticket)) {
                if (host->begun == 0) begin_measuring(host, now);
                errand->state = PP_ERRAND_BEGUN;
                errand->begun_at = now;
                host->sent -= errand->items;
                host->begun += errand->items;
            } else {
                errand->state = PP_ERRAND_FORGOTTEN;
                errand->ticket = 0;
                pp_host_send(host, PP_SAY_FORGET, errand->id, NULL, 0);
            }
        }
        host->leave++;
    }
    if (host->leave > host->leave_said && pp_host_send(host, PP_SAY_LEAVE, host->leave, NULL, 0))
        host->leave_said = host->leave;
    uint32_t begun = host->begun < UINT32_MAX ? (uint32_t)host->begun : UINT32_MAX;
    _Atomic uint32_t *running = &c->shared->carried->hosts[host->number].running;
    if (atomic_load_explicit(running, memory_order_relaxed) != begun)
        atomic_store_explicit(running, begun, memory_order_relaxed);
}
