/* POSIX says nothing about registers; see backtrace.h. */
#include "worker/backtrace.h"

const bool pp_places_are_known = false;

struct pp_registers pp_registers(const void *context) {
    (void)context;
    return (struct pp_registers){0};
}

void pp_backtrace(const struct pp_registers *at, struct pp_stack_range stack, uint64_t *frames, size_t room) {
    (void)at, (void)stack, (void)room;
    frames[0] = 0;
}

long pp_refused_call(const void *info) {
    (void)info;
    return -1;
}
