/* What hosts say to the carrier, message by message; see carry.h. What makes no sense loses the host.
 *
 * Called by: carrier. */
#include <stdio.h>

#include "remote/carry.h"

#define READS_MOST 64           /* of one host before others get their turn */

static void is_broken(struct pp_carrier *c, struct pp_far_host *host, const struct pp_message *message) {
    struct pp_failure_message failure;
    char text[PP_MESSAGE], reason[sizeof host->wire.reason];
    if (!pp_get_failure(message->data, message->size, &failure)) return;
    pp_host_text(host, text, failure.text, failure.text_size, failure.error);
    bool is_final = failure.error == POOL_EINIT; /* the initializer fails there whenever it is tried */
    snprintf(reason, sizeof reason, "its pool is broken (%.120s)%s", text, is_final ? "; it is not used again" : "");
    pp_wire_lose(&host->wire, reason);
    if (is_final && host->phase == PP_HOST_GREETED) pp_host_close(c, host); /* it has nothing, and one line is enough */
    else pp_host_lost(c, host);
    if (!is_final) return;
    host->phase = PP_HOST_UNFIT;
    pp_host_tell(c, host, POOL_HOST_REFUSED, reason);
}

static void note_stats(struct pp_carrier *c, struct pp_far_host *host, const struct pp_message *message) {
    struct pp_stats_message stats;
    if (!pp_get_stats(message->data, message->size, &stats)) return;
    if (stats.tasks > host->said_tasks && stats.busy >= host->said_busy)
        host->work = (double)(stats.busy - host->said_busy + 1) / (double)(stats.tasks - host->said_tasks);
    host->said_tasks = stats.tasks;
    host->said_busy = stats.busy;
    atomic_store_explicit(&c->shared->carried->hosts[host->number].busy, stats.busy, memory_order_relaxed);
}

/* What no honest host says of an errand that was not cancelled: otherwise a host could keep work going round for ever.
 * failure: NULL: it is done. Returns NULL if it may be. */
static const char *lie_in(const struct pp_errand *errand, const struct pp_failure_message *failure) {
    if (failure && failure->error == POOL_ECANCELLED) return "it has cancelled what nobody has cancelled";
    bool lacks_items = !failure && errand->parcel && errand->parcel->left > 0;
    return lacks_items ? "it has ended a chunk without its items" : NULL;
}

/* An answer to an errand, or a part of one. Returns false if it cannot be. */
static bool take_answer(struct pp_carrier *c, struct pp_far_host *host, const struct pp_message *m) {
    struct pp_errand *errand = pp_errand_find(host, m->id);
    struct pp_failure_message failure;
    struct pp_items_message items;
    bool is_failure = m->kind == PP_SAY_FAILED || m->kind == PP_SAY_ITEM_FAILED;
    if (!errand || (is_failure && !pp_get_failure(m->data, m->size, &failure))) return false;
    if (errand->state == PP_ERRAND_SENT && m->kind != PP_SAY_FAILED) return false; /* it had no leave */
    bool is_chunk = errand->ticket == 0, counts = errand->state < PP_ERRAND_FORGOTTEN;
    bool is_traced = c->shared->trace.base && errand->state == PP_ERRAND_BEGUN;
    if (m->kind == PP_SAY_ITEMS || m->kind == PP_SAY_ITEM_FAILED) {
        if (!is_chunk || (m->kind == PP_SAY_ITEMS && !pp_get_items(m->data, m->size, &items))) return false;
        if (!counts) return true;
        if (is_traced) pp_host_trace_answer(c, host, errand, m->kind == PP_SAY_ITEMS ? items.count : 1);
        if (m->kind == PP_SAY_ITEMS) pp_chunk_items(c, host, errand, &items);
        else pp_chunk_item_failed(c, host, errand, &failure);
        return !host->wire.lost;
    }
    if (is_traced && !is_chunk) pp_host_trace_answer(c, host, errand, 1);
    bool is_due = counts && host->phase == PP_HOST_READY;
    const char *lie = is_due ? lie_in(errand, is_failure ? &failure : NULL) : NULL;
    if (lie) pp_wire_lose(&host->wire, lie);
    else if (counts && is_chunk) pp_chunk_ended(c, host, errand, is_failure ? &failure : NULL);
    else if (counts && is_failure) pp_task_failed(c, host, errand, &failure);
    else if (counts) pp_task_done(c, host, errand, m);
    if (host->wire.lost) return false;
    pp_errand_end(host, errand);
    return true;
}

static void take(struct pp_carrier *c, struct pp_far_host *host, const struct pp_message *m) {
    bool is_ready = host->phase == PP_HOST_READY || host->phase == PP_HOST_ENDING;
    switch (m->kind) {
    case PP_SAY_READY: pp_host_become_ready(c, host, m); return;
    case PP_SAY_BROKEN: is_broken(c, host, m); return;
    case PP_SAY_OUTPUT:
        if (m->id != 1 && m->id != 2) {
            pp_wire_lose(&host->wire, "it sent what it must not send: OUTPUT");
            return;
        }
        pp_output_add(c, host, m->id, m->data, m->size);
        pp_outputs_write(c); /* before the outcome is published: the program may then end the pool, and this process */
        return;
    case PP_SAY_CPUS:
        if (!is_ready || m->id == 0 || m->id > PP_HOSTS_MOST) return;
        host->cpus = (uint32_t)m->id;
        atomic_store_explicit(&c->shared->carried->hosts[host->number].cpus, host->cpus, memory_order_relaxed);
        return;
    case PP_SAY_STATS: note_stats(c, host, m); return;
    case PP_SAY_DONE:
    case PP_SAY_FAILED:
    case PP_SAY_ITEMS:
    case PP_SAY_ITEM_FAILED:
        if (is_ready && take_answer(c, host, m)) return;
        pp_wire_lose(&host->wire, "it sent an answer to nothing that it was asked, or that no reader understands");
        return;
    default: pp_wire_lose(&host->wire, "it sent a message of an unknown kind");
    }
}

void pp_host_read(struct pp_carrier *c, struct pp_far_host *host) {
    struct pp_message message;
    bool more = true;
    for (int i = 0; i < READS_MOST && more; i++) {
        int got = pp_wire_read(&host->wire);
        more = got > 0 && host->wire.has_more;
        host->heard |= got > 0;
        if (host->phase == PP_HOST_LAUNCHED) pp_host_greet(c, host);
        if (host->phase == PP_HOST_UNFIT) return;
        while (host->phase > PP_HOST_LAUNCHED && host->phase < PP_HOST_UNFIT && pp_wire_next(&host->wire, &message))
            take(c, host, &message);
        if (host->phase == PP_HOST_UNFIT) return;
    }
    if (host->wire.lost) pp_host_lost(c, host);
}
