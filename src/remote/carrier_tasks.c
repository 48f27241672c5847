/* The carrier's tasks: from the ring to hosts, and their outcomes back; and errands as such. See carrier.h, carry.h. */
#include <string.h>

#include "base/memory.h"
#include "base/sys.h"
#include "remote/carry.h"
#include "shared/extents.h"
#include "shared/park.h"
#include "shared/park_system.h"
#include "worker/fold.h"

#define AHEAD_NS 2500000.0       /* what a host may have with leave beyond its CPUs, and as much without, by its pace */
#define PACE_NS 1000000U         /* a measurement of the pace takes so long at least */
#define SLOW_NS 5000000U         /* after which a pace that has not come true is given up */
#define SHORT_NS 200000.0        /* work below which a host has more than its answers speak for */
#define STILL_NS 200000000U      /* after which what a host has said of its work is not true any more */
#define AHEAD_MOST 100000U       /* items of a host beyond its CPUs */
#define QUEUED_MOST ((size_t)4 << 20) /* bytes that wait for a host's connection */
#define OFFER_NS 1000000U        /* between two offers to workers of this host */
#define ERRANDS_LEAST 64U
#define TAKES_MOST 512           /* tickets before others get their turn */

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

static void forget_context(struct pp_far_host *host, uint16_t context) {
    if (context == 0 || !pp_host_is_up(host)) return;
    pp_host_send(host, PP_SAY_FORGET_CONTEXT, context, NULL, 0);
    host->contexts[host->contexts_free++] = context;
}

void pp_errand_end(struct pp_far_host *host, struct pp_errand *errand) {
    uint32_t place = (uint32_t)(errand - host->errands);
    uint32_t *at = &host->buckets[errand->id & (host->room - 1)];
    while (*at && *at != place + 1) at = &host->errands[*at - 1].next;
    if (*at) *at = errand->next;
    *(has_leave(errand) ? &host->begun : &host->sent) -= errand->items;
    forget_context(host, errand->context);
    if (errand->fold) pp_fold_count(host, errand->fold, -1);
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

/* A host that does not come up to its pace any more gets less at once. */
static void check_pace(struct pp_far_pace *pace, uint64_t now) {
    uint64_t took = now - pace->since;
    if (took < SLOW_NS || pace->rate * (double)took < 4.0 * (double)(pace->ended + 1)) return;
    pace->rate = (double)(pace->ended + 1) / (double)took;
}

/* It had nothing to do until now. */
static void begin_measuring(struct pp_far_host *host, uint64_t now) {
    host->tasks.since = host->items.since = now;
    host->tasks.ended = host->items.ended = 0;
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

static uint64_t running_word(const struct pp_carrier *c, uint64_t ticket) {
    return pp_running_word(&c->claimer, ticket);
}

static bool begin_task(struct pp_carrier *c, uint64_t ticket) {
    _Atomic uint64_t *word = &c->shared->outcomes[pp_ticket_slot(ticket)].state;
    return pp_state_begin(word, pp_ticket_generation(ticket), c->claimer.number, c->claimer.life);
}

/* A task of which another worker was faster, or that was cancelled, is not to be begun. */
void pp_leaves_give(struct pp_carrier *c, struct pp_far_host *host) {
    uint64_t now = pp_now();
    check_pace(&host->tasks, now);
    check_pace(&host->items, now);
    bool is_still = now - host->tasks.since > STILL_NS && now - host->items.since > STILL_NS;
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

/* ---- what can travel */

struct baggage {
    struct pp_task_message message;
    const void *function;
    const struct pp_extra *extra;
    const void *context;
    size_t context_size, inputs_bytes;
    struct pp_recipe recipe; /* of a reduction's task */
};

static uint64_t in_size_of(const struct pp_desc *desc) {
    uint64_t size = desc->item & (((uint64_t)1 << PP_IN_SIZE_BITS) - 1);
    if (size == PP_IN_SIZE_ASIDE) memcpy(&size, desc->argument + sizeof size, sizeof size);
    return size;
}

/* The inputs of a graph's task, and its context. */
static bool pack_extra(const struct pp_carrier *c, const struct pp_extra *extra, struct baggage *b) {
    if (!pp_carrier_reaches(c, extra, sizeof *extra)) return false;
    b->extra = extra;
    b->context = extra->context;
    b->context_size = extra->context_size;
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

/* What the task is. It may have been cancelled, and the caller may be describing another in its slot: what is returned
 * then means nothing, as the state word says afterwards. */
static bool pack(struct pp_carrier *c, uint64_t ticket, struct baggage *b) {
    struct pp_shared *shared = c->shared;
    uint32_t slot = pp_ticket_slot(ticket);
    const struct pp_desc *desc = &shared->descs[slot];
    memset(b, 0, sizeof *b);
    struct pp_task_message *m = &b->message;
    if (desc->shape.fresh || desc->timeout == PP_IS_JOB) return false;
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
    m->any_size = pp_desc_has_any_size(desc);
    m->out_size = m->any_size ? 0 : pp_desc_out_size(desc);
    if (m->has_in && !pp_carrier_reaches(c, m->in, m->in_size)) return false;
    if (is_fold && !pp_fold_pack(c, b->function, m, &b->recipe)) return false;
    size_t most = PP_MESSAGE_MOST / 4;
    return m->in_size < most && m->out_size < most && b->context_size < most;
}

static bool may_take(void *carrier, uint64_t ticket) {
    struct baggage b;
    return pp_ticket_slot(ticket) < PP_SLOTS && pack(carrier, ticket, &b);
}

static bool is_pending(const struct pp_carrier *c, uint64_t ticket) {
    atomic_thread_fence(memory_order_acquire);
    return pp_ticket_word(c->shared, ticket) == pp_state(pp_ticket_generation(ticket), PP_PENDING, 0, 0);
}

/* ---- sending */

static bool send_context(struct pp_far_host *host, struct pp_errand *errand, struct baggage *b) {
    if (!b->context) return true;
    errand->context = host->contexts[--host->contexts_free];
    b->message.context = errand->context;
    struct iovec part = {(void *)(uintptr_t)b->context, b->context_size};
    return pp_host_send(host, PP_SAY_CONTEXT, errand->context, &part, 1);
}

/* Puts sizes and data of the inputs together: `sizes` points to the room. */
static const unsigned char *gather(struct pp_carrier *c, const struct baggage *b, size_t *size) {
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

/* Sends the task. Returns false if it is not to be sent, or its host is lost. */
static bool send_task(struct pp_carrier *c, struct pp_far_host *host, uint64_t ticket) {
    struct baggage b;
    size_t gathered;
    if (!pack(c, ticket, &b)) return false;
    const unsigned char *inputs = gather(c, &b, &gathered);
    if (!inputs || !is_pending(c, ticket)) return false;
    if (b.message.shape != PP_SHAPE_PLAIN) b.message.job = pp_fold_tell(c, host, &b.recipe);
    if (b.message.shape != PP_SHAPE_PLAIN && b.message.job == 0) return false;
    struct pp_errand *errand = pp_errand_new(host, 1);
    if (!errand) return false;
    errand->ticket = ticket;
    errand->fold = (uint16_t)b.message.job;
    if (errand->fold) pp_fold_count(host, errand->fold, 1);
    size_t answer = b.message.any_size ? c->shared->extents_size : b.message.out_size;
    if (host->wire.limits.most < answer) host->wire.limits.most = answer;
    unsigned char fixed[PP_FIXED_MOST];
    if (b.message.function && !pp_host_needs_function(c, host, b.message.function, b.function)) return true;
    if (!send_context(host, errand, &b)) return true;
    size_t sizes = b.message.input_count * sizeof(uint64_t);
    struct iovec parts[] = {{fixed, pp_put_task(fixed, &b.message)},
                            {(void *)(uintptr_t)inputs, sizes},
                            {(void *)(uintptr_t)b.message.in, b.message.has_in ? b.message.in_size : 0},
                            {(void *)(uintptr_t)(inputs + sizes), gathered - sizes}};
    pp_host_send(host, PP_SAY_TASK, errand->id, parts, 4);
    return true;
}

static bool wait_for_host(struct pp_carrier *c, uint64_t ticket) {
    if (c->waiting_count == c->waiting_room) {
        size_t room = c->waiting_room ? 2 * c->waiting_room : ERRANDS_LEAST;
        uint64_t *waiting = pp_realloc(c->waiting, room * sizeof *waiting);
        if (!waiting) return false;
        c->waiting = waiting;
        c->waiting_room = room;
    }
    c->waiting[c->waiting_count++] = ticket;
    return true;
}

static void give_up(struct pp_carrier *c, uint64_t ticket) {
    pp_give_up(c->shared, ticket, c->claimer.life);
    c->must_ring |= pp_announce(&c->claimer, ticket);
}

void pp_tasks_give_back(struct pp_carrier *c) {
    while (c->waiting_count > 0) give_up(c, c->waiting[--c->waiting_count]);
}

/* ---- taking */

/* Workers of this host that sleep, and so will take what waits soon. */
static uint64_t count_idle(const struct pp_shared *shared) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    uint64_t idle = 0;
    for (uint32_t w = PP_CARRIER + 1; w < workers; w++)
        idle += atomic_load_explicit(&shared->status->asleep[w / 64], memory_order_relaxed) >> w % 64 & 1;
    return idle;
}

static bool has_context_room(const struct pp_far_host *host) {
    return host->contexts_free > 0;
}

/* What a lost host has left goes first. */
static bool send_waiting(struct pp_carrier *c) {
    bool moved = false;
    struct pp_far_host *host;
    while (c->waiting_count > 0 && (host = pp_host_for(c, false)) != NULL && has_context_room(host)) {
        uint64_t ticket = c->waiting[--c->waiting_count];
        moved = true;
        if (is_pending(c, ticket) && !send_task(c, host, ticket)) give_up(c, ticket);
    }
    return moved;
}

bool pp_tasks_take(struct pp_carrier *c) {
    if (c->up == 0) return false;
    bool moved = send_waiting(c);
    uint64_t tickets[PP_CLAIMED_MOST];
    for (int taken = 0; taken < TAKES_MOST;) {
        struct pp_far_host *host = pp_host_for(c, false);
        if (!host || !has_context_room(host) || pp_ring_is_empty(c->shared)) break;
        uint64_t length = pp_ring_length(c->shared), idle = count_idle(c->shared);
        if (length <= idle || length > PP_TICKETS) break;
        uint64_t leaves = pp_pace_leaves(host, &host->tasks), most = 2 * leaves - host->sent - host->begun;
        uint64_t share = leaves / 4 > host->cpus ? leaves / 4 : host->cpus; /* other hosts have theirs */
        if (most > share) most = share;
        if (most > length - idle) most = length - idle;
        if (most > host->contexts_free) most = host->contexts_free;
        unsigned limit = most < PP_CLAIMED_MOST ? (unsigned)most : PP_CLAIMED_MOST;
        unsigned count = pp_ring_take_some(c->shared, c->claimer.record, limit, may_take, c, tickets);
        if (count == 0) break;
        for (unsigned i = 0; i < count; i++) pp_carry(c->shared, tickets[i], c->claimer.life);
        for (unsigned i = 0; i < count; i++)
            if (is_pending(c, tickets[i]) && !send_task(c, host, tickets[i])) give_up(c, tickets[i]);
        taken += (int)count;
        moved = true;
    }
    return moved;
}

/* ---- outcomes */

static void finish(struct pp_carrier *c, struct pp_far_host *host, uint64_t ticket, const struct pp_result *result) {
    switch (pp_finish_task(&c->claimer, ticket, result)) {
    case PP_FINISHED: break;
    case PP_FINISHED_RING: c->must_ring = true; break;
    case PP_FINISHED_KILLED: give_up(c, ticket); break;
    }
    pp_count_run(&c->claimer, 1);
    host->ran++;
    atomic_store_explicit(&c->shared->carried->hosts[host->number].tasks, host->ran, memory_order_relaxed);
    pp_pace_note(&host->tasks, 1, pp_now());
}

/* Whether the task still is the carrier's, in a slot that nothing else uses. */
static bool is_ours(const struct pp_carrier *c, uint64_t ticket) {
    uint64_t word = pp_ticket_word(c->shared, ticket);
    return word == running_word(c, ticket);
}

/* The result of a task of POOL_ANY_SIZE: as a worker leaves it, see work_tasks.c. */
static void finish_any_size(struct pp_carrier *c, struct pp_far_host *host, uint64_t ticket,
                            const struct pp_message *message) {
    char text[PP_MESSAGE] = "the arena has no room for the result";
    uint64_t size = message->size, offset = 0;
    struct pp_result result = {.size = &size, .data = message->data, .data_size = message->size};
    if (size > PP_SHORT_RESULT) {
        char *extent = pp_extent_take(c->shared, ticket, message->size);
        if (extent) memcpy(extent, message->data, message->size);
        offset = extent ? (uint64_t)(extent - c->shared->extents) : 0;
        result.data = &offset;
        result.data_size = sizeof offset;
        if (!extent) result = (struct pp_result){.code = pp_far_code(0, 0), .pid = POOL_ENOMEM, .message = text};
    }
    finish(c, host, ticket, &result);
}

void pp_task_done(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                  const struct pp_message *message) {
    uint64_t ticket = errand->ticket, size = message->size;
    const struct pp_desc *desc = &c->shared->descs[pp_ticket_slot(ticket)];
    bool any_size = pp_desc_has_any_size(desc);
    uint64_t room = any_size ? c->shared->extents_size : pp_desc_out_size(desc);
    if (size > room) {
        pp_wire_lose(&host->wire, "it sent a result that is larger than its room");
        return;
    }
    if (!is_ours(c, ticket)) { /* it was killed: the slot stays until this is told */
        give_up(c, ticket);
        return;
    }
    if (any_size) {
        finish_any_size(c, host, ticket, message);
        return;
    }
    struct pp_result result = {.size = size < room ? &size : NULL};
    if (size > 0 && desc->out) memcpy(desc->out, message->data, (size_t)size);
    if (size < room && room > PP_RESULT_PAGE && size <= PP_SHORT_RESULT) {
        result.data = message->data;
        result.data_size = (size_t)size;
    }
    finish(c, host, ticket, &result);
}

void pp_task_failed(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                    const struct pp_failure_message *failure) {
    char text[PP_MESSAGE];
    uint64_t ticket = errand->ticket;
    if (!is_ours(c, ticket)) {
        give_up(c, ticket);
        return;
    }
    pp_fold_note_failure(c, &c->shared->descs[pp_ticket_slot(ticket)], failure->position);
    pp_host_text(host, text, failure->text, failure->text_size, failure->error);
    int32_t worker = failure->worker > 0 ? failure->worker : 1;
    struct pp_result result = {.code = failure->code, .pid = worker, .message = text};
    if (failure->error != POOL_EFAILED) {
        result.code = pp_far_code(failure->signal, failure->code);
        result.pid = pp_is_far_error(failure->error) ? failure->error : POOL_ECORRUPT;
    } else if (failure->code == 0) {
        pp_wire_lose(&host->wire, "it sent a failure that is none");
        return;
    }
    finish(c, host, ticket, &result);
}

void pp_task_host_lost(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand) {
    char text[PP_MESSAGE];
    uint64_t ticket = errand->ticket;
    if (errand->state == PP_ERRAND_SENT) {
        if (!wait_for_host(c, ticket)) give_up(c, ticket);
        return;
    }
    if (errand->state != PP_ERRAND_BEGUN) return;
    if (!is_ours(c, ticket)) {
        give_up(c, ticket);
        return;
    }
    pp_host_lost_text(host, text);
    finish(c, host, ticket, &(struct pp_result){.code = pp_far_code(0, 0), .pid = POOL_EDIED, .message = text});
}

/* ---- kills, offers */

void pp_tasks_look_for_killed(struct pp_carrier *c) {
    for (uint32_t h = 0; h < c->count; h++) {
        struct pp_far_host *host = &c->hosts[h];
        for (uint32_t i = 0; i < host->room && pp_host_is_up(host); i++) {
            struct pp_errand *errand = &host->errands[i];
            if (errand->id == 0 || errand->ticket == 0 || errand->state != PP_ERRAND_BEGUN) continue;
            if (is_ours(c, errand->ticket)) continue;
            pp_host_send(host, PP_SAY_KILL, errand->id, NULL, 0);
            give_up(c, errand->ticket);
            errand->state = PP_ERRAND_KILLED;
        }
    }
}

/* The tickets that were sent last without leave, in the record, where idle workers look for what to steal. */
static unsigned offer_of(struct pp_carrier *c, struct pp_far_host *host, unsigned count) {
    for (uint64_t id = host->last; id > host->leave && count < PP_CLAIMED_MOST; id--) {
        const struct pp_errand *errand = pp_errand_find(host, id);
        if (!errand || errand->state != PP_ERRAND_SENT || errand->ticket == 0) continue;
        if (is_pending(c, errand->ticket))
            atomic_store_explicit(&c->claimer.record->claimed[count++], errand->ticket, memory_order_release);
    }
    return count;
}

void pp_tasks_offer(struct pp_carrier *c, uint64_t now) {
    unsigned count = 0;
    if (now - c->offered_at < OFFER_NS) return;
    c->offered_at = now;
    uint64_t idle = count_idle(c->shared);
    if (idle == 0) return;
    for (size_t i = c->waiting_count; i > 0 && count < PP_CLAIMED_MOST; i--)
        atomic_store_explicit(&c->claimer.record->claimed[count++], c->waiting[i - 1], memory_order_release);
    for (uint32_t h = 0; h < c->count && count < PP_CLAIMED_MOST; h++)
        if (c->hosts[h].sent > 0) count = offer_of(c, &c->hosts[h], count);
    if (count < PP_CLAIMED_MOST) atomic_store_explicit(&c->claimer.record->claimed[count], 0, memory_order_release);
    if (count > 0) pp_park_give(c->shared, c->task_pipe, 0, count < idle ? count : (uint32_t)idle);
}
