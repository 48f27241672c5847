/* Which functions of the program, which jobs and which contexts of tasks the hosts have been told of, and by which
 * numbers; and room for messages.
 *
 * Called by: carrier_tasks, carrier_jobs, carrier_folds, carrier_errands, carrier_hosts; carrier (makes the table). */
#include "base/sys.h"
#include "remote/baggage.h"
#include "remote/carry.h"

#define FUNCTIONS 4096U        /* places of the table of functions, half of which may be used */
#define STILL_NS 1000000000U   /* after which a context that no task has is forgotten */

bool pp_functions_make(struct pp_carrier *c) {
    c->functions = pp_zalloc(FUNCTIONS, sizeof *c->functions);
    return c->functions != NULL;
}

unsigned char *pp_carrier_room(struct pp_carrier *c, size_t size) {
    if (size <= c->piece_room) return c->piece;
    unsigned char *room = pp_realloc(c->piece, size);
    if (!room) return NULL;
    c->piece = room;
    c->piece_room = size;
    return room;
}

uint32_t pp_carrier_function(struct pp_carrier *c, const void *function) {
    size_t at = (size_t)(((uint64_t)(uintptr_t)function * 0x9e3779b97f4a7c15U) >> 52) % FUNCTIONS;
    while (c->functions[at].address && c->functions[at].address != function) at = (at + 1) % FUNCTIONS;
    if (c->functions[at].address) return c->functions[at].number;
    if (!function || c->function_count >= FUNCTIONS / 2) return 0;
    struct pp_reference reference;
    c->functions[at].address = function;
    c->function_count++;
    if (pp_refer(function, &reference)) c->functions[at].number = c->function_count;
    return c->functions[at].number;
}

/* ---- jobs */

struct pp_far_job *pp_known_job(struct pp_far_host *host, uint64_t ticket) {
    for (int i = 0; i < PP_JOBS_KNOWN; i++)
        if (host->jobs[i].ticket == ticket) return &host->jobs[i];
    return NULL;
}

uint32_t pp_known_number(const struct pp_far_host *host, const struct pp_far_job *known) {
    return (uint32_t)(known - host->jobs) + 1;
}

static void forget(struct pp_far_host *host, struct pp_far_job *known) {
    pp_host_send(host, PP_SAY_END_JOB, pp_known_number(host, known), NULL, 0);
    if (known->has_context) pp_host_send(host, PP_SAY_FORGET_CONTEXT, pp_known_number(host, known), NULL, 0);
    *known = (struct pp_far_job){0};
}

void pp_known_jobs_forget(struct pp_carrier *c, struct pp_far_host *host) {
    for (int i = 0; i < PP_JOBS_KNOWN; i++) {
        struct pp_far_job *known = &host->jobs[i];
        if (known->ticket == 0 || known->out > 0 || known->ticket == c->job.ticket) continue;
        if (pp_job_in(c, known->entry) != known->ticket) forget(host, known);
    }
}

struct pp_far_job *pp_known_job_place(const struct pp_carrier *c, struct pp_far_host *host) {
    struct pp_far_job *known = pp_known_job(host, 0);
    for (int i = 0; i < PP_JOBS_KNOWN && !known; i++) {
        if (host->jobs[i].out > 0 || host->jobs[i].ticket == c->job.ticket) continue;
        forget(host, known = &host->jobs[i]);
    }
    return known;
}

/* ---- contexts of tasks */

/* Where the host has the context of several tasks, or a place for it: that of the oldest which no task there has. NULL:
 * there is none. */
static struct pp_far_context *find_place(struct pp_far_host *host, uint64_t serial) {
    struct pp_far_context *best = NULL;
    for (int i = 0; i < PP_STREAMS_KNOWN; i++) {
        struct pp_far_context *at = &host->streams[i];
        if (at->serial == serial) return at;
        if (at->out == 0 && (!best || at->serial < best->serial)) best = at;
    }
    return best;
}

static uint16_t number_of(const struct pp_far_host *host, const struct pp_far_context *at) {
    return (uint16_t)(PP_CONTEXT_OF_STREAM + (size_t)(at - host->streams));
}

static void forget_context(struct pp_far_host *host, struct pp_far_context *at) {
    if (at->serial) pp_host_send(host, PP_SAY_FORGET_CONTEXT, number_of(host, at), NULL, 0);
    *at = (struct pp_far_context){0};
}

bool pp_host_needs_context(struct pp_far_host *host, struct pp_errand *errand, struct pp_baggage *b) {
    if (!b->context) return true;
    struct pp_far_context *at = b->context_serial ? find_place(host, b->context_serial) : NULL;
    bool is_known = at && at->serial == b->context_serial;
    if (at && !is_known) forget_context(host, at);
    errand->context = at ? number_of(host, at) : host->contexts[--host->contexts_free];
    b->message.context = errand->context;
    if (at) {
        at->serial = b->context_serial;
        at->still_since = 0;
        at->out++;
    }
    struct iovec part = {(void *)(uintptr_t)b->context, b->context_size};
    return is_known || pp_host_send(host, PP_SAY_CONTEXT, errand->context, &part, 1);
}

void pp_known_context_end(struct pp_far_host *host, uint16_t context) {
    if (context >= PP_CONTEXT_OF_STREAM) {
        host->streams[context - PP_CONTEXT_OF_STREAM].out--;
    } else if (context && pp_host_is_up(host)) {
        pp_host_send(host, PP_SAY_FORGET_CONTEXT, context, NULL, 0);
        host->contexts[host->contexts_free++] = context;
    }
}

void pp_known_contexts_forget(struct pp_far_host *host, uint64_t now) {
    for (int i = 0; i < PP_STREAMS_KNOWN; i++) {
        struct pp_far_context *at = &host->streams[i];
        if (at->serial == 0 || at->out > 0) continue;
        if (at->still_since == 0) at->still_since = now;
        else if (now - at->still_since > STILL_NS) forget_context(host, at);
    }
}
