/* POSIX has no sandboxes; see sandbox.h. */
#include "worker/sandbox.h"

#include <errno.h>
#include <stddef.h>

bool pp_sandbox_exists(void) {
    return false;
}

void pp_sandbox_close_others(const struct pp_sandbox_open *open) {
    (void)open;
}

int pp_sandbox_enter(const struct pp_sandbox_open *open) {
    (void)open;
    return ENOSYS;
}

const char *pp_sandbox_call_name(uint64_t call) {
    (void)call;
    return NULL;
}
