/* Which functions of the program, and which jobs, the hosts have been told of, and by which numbers; and room for
 * messages.
 *
 * Called by: carrier_tasks, carrier_jobs, carrier_folds; carrier (makes the table). */
#include "base/sys.h"
#include "remote/carry.h"

#define FUNCTIONS 4096U        /* places of the table of functions, half of which may be used */

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
