/* Which functions of the program the hosts have been told of, and by which numbers; and room for messages.
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
