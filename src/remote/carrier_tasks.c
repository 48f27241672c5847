/* The carrier's tasks: from the ring to hosts, and their outcomes back. See carrier.h, carry.h. */
#include <string.h>

#include "base/memory.h"
#include "base/sys.h"
#include "remote/baggage.h"
#include "remote/carry.h"
#include "shared/extents.h"
#include "shared/park.h"
#include "shared/park_system.h"

#define OFFER_NS 1000000U        /* between two offers to workers of this host */
#define WAITING_LEAST 64U
#define TAKES_MOST 512           /* tickets before others get their turn */

static bool is_pending(const struct pp_carrier *c, uint64_t ticket) {
    atomic_thread_fence(memory_order_acquire);
    return pp_ticket_word(c->shared, ticket) == pp_state(pp_ticket_generation(ticket), PP_PENDING, 0, 0);
}

static bool may_take(void *carrier, uint64_t ticket) {
    struct pp_baggage b;
    struct pp_carrier *c = carrier;
    if (pp_ticket_slot(ticket) >= PP_SLOTS) return false;
    if (pp_task_pack(c, ticket, &b)) return true;
    bool is_job = c->shared->descs[pp_ticket_slot(ticket)].timeout == PP_IS_JOB;
    if (!c->has_kept && !is_job && is_pending(c, ticket)) pp_carrier_keeps(c, "a task");
    return false;
}

/* ---- sending */

/* Sends the task. Returns false if it is not to be sent, or its host is lost. */
static bool send_task(struct pp_carrier *c, struct pp_far_host *host, uint64_t ticket) {
    struct pp_baggage b;
    size_t gathered;
    if (!pp_task_pack(c, ticket, &b)) return false;
    const unsigned char *inputs = pp_task_gather(c, &b, &gathered);
    if (!inputs || !is_pending(c, ticket)) return false;
    if (b.message.shape != PP_SHAPE_PLAIN) b.message.job = pp_fold_tell(c, host, &b.recipe);
    if (b.message.shape != PP_SHAPE_PLAIN && b.message.job == 0) return false;
    struct pp_errand *errand = pp_errand_new(host, 1);
    if (!errand) return false;
    errand->ticket = ticket;
    errand->timeout = b.message.timeout;
    errand->fold = (uint16_t)b.message.job;
    if (errand->fold) pp_fold_count(host, errand->fold, 1);
    size_t answer = b.message.any_size ? c->shared->extents_size : (size_t)b.message.out_size;
    if (b.marks) answer += PP_FIXED_MOST; /* which items have failed */
    if (host->wire.limits.most < answer) host->wire.limits.most = answer;
    unsigned char fixed[PP_FIXED_MOST];
    if (b.message.function && !pp_host_needs_function(c, host, b.message.function, b.function)) return true;
    if (!pp_host_needs_context(host, errand, &b)) return true;
    size_t sizes = b.message.input_count * sizeof(uint64_t), in_size = (size_t)b.message.in_size;
    size_t marks = b.marks ? in_size - b.items_bytes : 0;
    struct iovec parts[] = {{fixed, pp_put_task(fixed, &b.message)},
                            {(void *)(uintptr_t)inputs, sizes},
                            {(void *)(uintptr_t)b.message.in, in_size - marks},
                            {(void *)(uintptr_t)b.marks, marks},
                            {(void *)(uintptr_t)(inputs + sizes), gathered - sizes}};
    pp_host_send(host, PP_SAY_TASK, errand->id, parts, 5);
    return true;
}

static bool wait_for_host(struct pp_carrier *c, uint64_t ticket) {
    if (c->waiting_count == c->waiting_room) {
        size_t room = c->waiting_room ? 2 * c->waiting_room : WAITING_LEAST;
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

/* Whether the task still is the carrier's. One that is not was killed, and its slot has no other use until the carrier
 * has told that (shared/carried.h). No errand is PP_ERRAND_BEGUN with its ticket any longer then: so while an answer is
 * taken, the description in its slot is the one that was sent, even if the task is killed meanwhile. */
static bool is_ours(const struct pp_carrier *c, uint64_t ticket) {
    uint64_t word = pp_ticket_word(c->shared, ticket);
    return word == pp_running_word(&c->claimer, ticket);
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
    bool is_ours_still = is_ours(c, ticket); /* else it was killed: the slot stays until this is told */
    if (is_ours_still && !pp_fold_take_skipped(c, host, desc, message->data, &size)) {
        pp_wire_lose(&host->wire, "it sent a part of a reduction that no reader understands");
        return;
    }
    if (is_ours_still && size > room) {
        pp_wire_lose(&host->wire, "it sent a result that is larger than its room");
        return;
    }
    if (!is_ours_still) {
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
    /* The carrier may have been given the wake-up for a task that it leaves to a worker of this host. */
    if (!pp_ring_is_empty(c->shared)) count++;
    if (count > 0) pp_park_give(c->shared, c->task_pipe, 0, count < idle ? count : (uint32_t)idle);
}
