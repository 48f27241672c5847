#include "host/live.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/symbol.h"
#include "base/sys.h"
#include "remote/carrier.h"
#include "shared/activity.h"
#include "shared/carried.h"
#include "shared/plan.h"
#include "shared/ring.h"

#define LIVE_NS 100000000U /* for a reader of a full pipe */
#define LINE 400           /* bytes; less than what a pipe takes as a whole */

struct view {
    int fd;
    uint64_t deadline; /* 0: nothing more is written */
};

__attribute__((format(printf, 2, 3))) static void say(struct view *view, const char *format, ...) {
    char line[LINE];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (view->deadline == 0 || length <= 0) return;
    if (length >= LINE) line[length = LINE - 1] = '\n';
    if (pp_write_until(view->fd, line, (size_t)length, view->deadline) <= 0) view->deadline = 0;
}

static void say_jobs(struct view *view, const struct pp_shared *shared) {
    uint32_t end = atomic_load_explicit(&shared->control->job_table_end, memory_order_acquire);
    for (uint32_t entry = 0; entry < end && entry < PP_JOB_TABLE; entry++) {
        struct pp_job_plan plan;
        uint64_t done, failed;
        char label[PP_SYMBOL_LABEL];
        if (!pp_plan_copy(shared, entry, &plan)) continue;
        pp_plan_count(&plan, &done, &failed);
        pp_symbol_label(pp_plan_function(&plan), label);
        say(view, "  job of %s: %" PRIu64 " of %" PRIu64 " items done (%.1f %%), %" PRIu64 " failed%s\n", label, done,
            plan.count, 100 * (double)done / (double)plan.count, failed,
            plan.index ? "; those that deaths have left over" : "");
    }
}

/* What a worker that lives does. */
static void tell_busy(char text[LINE], const struct pp_shared *shared, uint32_t worker, uint64_t now) {
    struct pp_activity at = pp_activity_of(shared, worker);
    char label[PP_SYMBOL_LABEL] = "";
    if (at.fn) pp_symbol_label(at.fn, label);
    double since = at.since != 0 && at.since < now ? (double)(now - at.since) / 1e6 : 0;
    if (!atomic_load_explicit(&shared->starts[worker].ready, memory_order_relaxed)) snprintf(text, LINE, "starts");
    else if (pp_record_is_ending(&shared->records[worker])) snprintf(text, LINE, "ends");
    else if (!at.fn) snprintf(text, LINE, "idle");
    else if (!at.is_item) snprintf(text, LINE, "at a task of %s for %.1f ms", label, since);
    else snprintf(text, LINE, "at item %" PRIu64 " of %s for %.1f ms", at.item, label, since);
}

static void say_worker(struct view *view, const struct pp_staff *staff, uint32_t worker, pid_t pid, uint64_t now) {
    static const char *const absent[] = {[PP_EMPTY] = "is to be started", [PP_DEAD] = "has died",
                                         [PP_GIVEN_UP] = "keeps dying, is started no more",
                                         [PP_RESTING] = "is started once there is work"};
    char busy[LINE];
    if (staff->states[worker] == PP_ALIVE) {
        uint64_t done = pp_record_counts(&staff->shared->records[worker]).tasks;
        tell_busy(busy, staff->shared, worker, now);
        say(view, "  worker %u, process %ld: %" PRIu64 " done, %.300s\n", (unsigned)worker, (long)pid, done, busy);
    } else if (worker < staff->wanted) {
        say(view, "  worker %u: %s\n", (unsigned)worker, absent[staff->states[worker]]);
    }
}

/* The carrier, whose number the workers' come behind, and what its hosts do. */
static void say_hosts(struct view *view, const struct pp_shared *shared, const struct pp_hosts *hosts, pid_t pid) {
    static const char *const states[] = {"not heard of yet", "up", "lost, tried again while there is work", "refused"};
    say(view, "  hosts, process %ld\n", (long)pid);
    for (uint32_t h = 0; h < shared->hosts; h++) {
        const struct pp_host_state *host = &shared->carried->hosts[h];
        uint32_t state = atomic_load_explicit(&host->state, memory_order_relaxed);
        say(view, "  host %.200s: %s, %u CPUs, %" PRIu64 " done, at %u tasks and items\n", hosts->list[h].name,
            states[state <= POOL_HOST_REFUSED ? state : 0],
            (unsigned)atomic_load_explicit(&host->cpus, memory_order_relaxed),
            atomic_load_explicit(&host->tasks, memory_order_relaxed),
            (unsigned)atomic_load_explicit(&host->running, memory_order_relaxed));
    }
}

void pp_live_write(int fd, const struct pp_supervisor_setup *setup, const struct pp_staff *staff, const pid_t *pids) {
    uint32_t carriers = pp_carriers(staff->shared);
    uint64_t now = pp_now(), waiting = pp_ring_length(staff->shared);
    struct view view = {.fd = fd, .deadline = now + LIVE_NS};
    say(&view, "pool of process %ld: %u workers, %" PRIu64 " tasks sent and not started\n", (long)setup->caller,
        (unsigned)(staff->wanted > carriers ? staff->wanted - carriers : 0), waiting > PP_TICKETS ? 0 : waiting);
    say_jobs(&view, staff->shared);
    for (uint32_t w = carriers; w < staff->workers; w++) say_worker(&view, staff, w, pids[w], now);
    if (carriers) say_hosts(&view, staff->shared, &setup->carrier->hosts, pids[PP_CARRIER]);
}
