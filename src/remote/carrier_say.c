/* What the carrier says: to a host, and of a host to the caller and to stderr. See carry.h.
 *
 * Called by: carrier_hosts, carrier_answers, carrier_errands, carrier_tasks, carrier_jobs, carrier_folds. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "remote/carry.h"

/* ---- to a host */

bool pp_host_send(struct pp_far_host *host, uint16_t kind, uint64_t id, const struct iovec *parts, int count) {
    host->dirty = true;
    if (pp_wire_send(&host->wire, kind, id, parts, count)) return true;
    pp_wire_lose(&host->wire, "no memory for what is to be sent");
    return false;
}

bool pp_host_needs_function(struct pp_carrier *c, struct pp_far_host *host, uint32_t number, const void *function) {
    (void)c;
    unsigned char *known = &host->functions[number / 8];
    if (*known >> number % 8 & 1) return true;
    struct pp_module module;
    struct pp_function_message m = {.module = ""};
    if (!pp_refer(function, &m.function)) return false;
    if (pp_module_find(function, &module)) {
        const char *name = strrchr(module.path, '/');
        m.module = name ? name + 1 : module.path;
        m.module_size = strlen(m.module);
    }
    unsigned char fixed[PP_FIXED_MOST];
    struct iovec parts[] = {{fixed, pp_put_function(fixed, &m)}, {(void *)(uintptr_t)m.module, m.module_size}};
    *known |= (unsigned char)(1U << number % 8);
    return pp_host_send(host, PP_SAY_FUNCTION, number, parts, 2);
}

/* ---- of a host */

void pp_host_tell(struct pp_carrier *c, struct pp_far_host *host, uint32_t state, const char *reason) {
    struct pp_carried *carried = c->shared->carried;
    if (c->shared->trace.base) pp_host_trace_state(c, host, state);
    struct pp_host_state *seen = &carried->hosts[host->number];
    uint64_t tail = atomic_load_explicit(&carried->notices_tail, memory_order_relaxed);
    struct pp_host_notice *notice = &carried->notices[tail % PP_HOST_NOTICES];
    *notice = (struct pp_host_notice){.host = host->number, .state = state, .cpus = host->cpus};
    pp_text_readable(notice->reason, reason, sizeof notice->reason);
    atomic_store_explicit(&seen->cpus, host->cpus, memory_order_relaxed);
    atomic_store_explicit(&seen->running, 0, memory_order_relaxed);
    atomic_store_explicit(&seen->state, state, memory_order_release);
    /* Release: pairs with the acquire in read_notice(), hosted.c. */
    atomic_store_explicit(&carried->notices_tail, tail + 1, memory_order_release);
    if (c->setup->is_told || state == POOL_HOST_UP) return;
    char line[2 * PP_HOST_REASON];
    int size = snprintf(line, sizeof line, "parpool: %s: %s\n", host->entry->name, notice->reason);
    if (size > 0) pp_output_add(c, NULL, 2, (const unsigned char *)line, strlen(line));
}

void pp_carrier_keeps(struct pp_carrier *c, const char *what) {
    char line[PP_HOST_REASON];
    if (c->has_kept) return;
    c->has_kept = true;
    snprintf(line, sizeof line, "parpool: hosts: %s stays on this machine: its function is in no module, or in one "
             "that was loaded after pool_serve(), or it is larger than 512 MiB\n", what);
    pp_output_add(c, NULL, 2, (const unsigned char *)line, strlen(line));
}

void pp_host_text(const struct pp_far_host *host, char *room, const char *text, size_t size, int error) {
    char readable[PP_MESSAGE] = "";
    char copy[PP_MESSAGE] = "";
    memcpy(copy, text, size < sizeof copy ? size : sizeof copy - 1);
    pp_text_readable(readable, copy, sizeof readable);
    memset(room, 0, PP_MESSAGE);
    snprintf(room, PP_MESSAGE, "on %.80s: %.160s", host->entry->name, readable[0] ? readable : pool_strerror(error));
}

void pp_host_lost_text(const struct pp_far_host *host, char *room) {
    memset(room, 0, PP_MESSAGE);
    snprintf(room, PP_MESSAGE, "was running on %.60s when that host was lost (%.80s); set retries to have it run again",
             host->entry->name, host->wire.reason);
}
