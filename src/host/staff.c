#include "host/staff.h"

#include <string.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "shared/backlog.h"
#include "shared/carried.h"
#include "shared/plan.h"
#include "shared/worker_life.h"

#define FUTILE_TRIES 12          /* times in a row that a worker may die for nothing */
#define FUTILE_AT_ONCE 2         /* of those, after how many the next is started without a pause */
#define LONG_LIFE_NS 1000000000U /* a worker that has lived for so long would have begun what waits */
#define FORK_TRIES 5             /* times that the system may refuse a process before that counts as a shortage */
#define PAUSE_LEAST 10000000U    /* ns after the first refusal or futile death; doubled with each */
#define PAUSE_MOST 5000000000U

uint32_t pp_staff_count(const struct pp_staff *staff, enum pp_staff_state state, uint32_t end) {
    uint32_t count = 0;
    for (uint32_t w = 0; w < end; w++) count += staff->states[w] == state;
    return count;
}

/* ---- the size */

static void tell_resting(const struct pp_staff *staff) {
    uint32_t resting = pp_staff_count(staff, PP_RESTING, staff->wanted);
    uint32_t given_up = pp_staff_count(staff, PP_GIVEN_UP, staff->wanted);
    atomic_store_explicit(&staff->shared->control->given_up, given_up, memory_order_relaxed);
    atomic_store_explicit(&staff->shared->control->resting, resting, memory_order_release);
}

void pp_staff_call(struct pp_staff *staff, uint32_t count) {
    for (uint32_t w = 0; w < staff->wanted && count > 0; w++) {
        if (staff->states[w] != PP_RESTING) continue;
        staff->states[w] = PP_EMPTY;
        count--;
    }
    tell_resting(staff);
}

/* After some have come to rest. The caller publishes work, then looks for them: either it sees them or the supervisor
 * sees the work. */
static void call_for_work(struct pp_staff *staff) {
    tell_resting(staff);
    /* Orders the count before the look at the work; pairs with the fence in pp_wake(). */
    atomic_thread_fence(memory_order_seq_cst);
    pp_staff_call(staff, pp_backlog_workers(staff->shared));
}

void pp_staff_begin(struct pp_staff *staff, struct pp_shared *shared, bool lazy) {
    staff->shared = shared;
    staff->lazy = staff->had_worker = lazy;
    staff->workers = staff->wanted = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    for (uint32_t w = pp_carriers(shared); w < staff->wanted && lazy; w++) staff->states[w] = PP_RESTING;
}

/* Those that had given up are tried again. */
void pp_staff_resize(struct pp_staff *staff) {
    uint32_t before = staff->wanted;
    staff->wanted = atomic_load_explicit(&staff->shared->control->wanted, memory_order_acquire);
    staff->workers = atomic_load_explicit(&staff->shared->control->workers, memory_order_acquire);
    staff->fork_again = 0;
    for (uint32_t w = 0; w < staff->workers; w++) {
        enum pp_staff_state *state = &staff->states[w];
        staff->init_failures[w] = staff->futile_deaths[w] = 0;
        staff->start_again[w] = 0;
        if (*state == PP_GIVEN_UP || (*state == PP_RESTING && w >= staff->wanted)) *state = PP_EMPTY;
        if (*state == PP_EMPTY && w >= before && w < staff->wanted && staff->lazy) *state = PP_RESTING;
    }
    call_for_work(staff);
}

/* ---- starts */

/* The pause after so many failures in a row. */
static uint64_t pause_after(unsigned failures) {
    uint64_t pause = PAUSE_LEAST;
    while (failures-- > 1 && pause < PAUSE_MOST) pause *= 2;
    return pause < PAUSE_MOST ? pause : PAUSE_MOST;
}

/* When a worker of this number is due; UINT64_MAX: not until something happens. */
static uint64_t due_at(const struct pp_staff *staff, uint32_t worker) {
    if (staff->states[worker] != PP_EMPTY || staff->paused) return UINT64_MAX;
    uint64_t at = staff->start_again[worker];
    return at > staff->fork_again ? at : staff->fork_again;
}

bool pp_staff_is_due(const struct pp_staff *staff, uint32_t worker, uint64_t now) {
    return due_at(staff, worker) <= now;
}

uint64_t pp_staff_next(const struct pp_staff *staff) {
    uint64_t next = UINT64_MAX;
    for (uint32_t w = 0; w < staff->wanted; w++) {
        uint64_t at = due_at(staff, w);
        if (at < next) next = at;
    }
    return next;
}

void pp_staff_started(struct pp_staff *staff, uint32_t worker) {
    staff->states[worker] = PP_ALIVE;
    staff->started[worker] = pp_now();
    staff->had_worker = true;
    staff->refusals = 0;
}

void pp_staff_refused(struct pp_staff *staff, int code) {
    staff->refusal = code;
    staff->fork_again = pp_now() + pause_after(++staff->refusals);
}

/* ---- deaths */

bool pp_staff_is_futile(const struct pp_staff *staff, const struct pp_notice *death) {
    const struct pp_snapshot *left = &death->left;
    uint32_t w = death->worker;
    if (!atomic_load_explicit(&staff->shared->starts[w].ready, memory_order_relaxed)) return true;
    if (left->retired || pp_record_counts(&staff->shared->records[w]).tasks > 0) return false;
    struct pp_chunk chunk = {.begin = left->begin, .end = left->end};
    bool ran_item = left->job != 0 && pp_snapshot_victim(left, &chunk, NULL) != PP_NO_VICTIM;
    /* Whether the task that it tried to claim, or ran, was its own. */
    uint64_t word = pp_ticket_word(staff->shared, left->current);
    bool held_task = word != 0 && pp_is_held_by(word, w, death->life);
    return !ran_item && !held_task && pp_now() - staff->started[w] < LONG_LIFE_NS;
}

/* Whether any worker has run anything since the last futile death. */
static bool has_succeeded(struct pp_staff *staff) {
    uint64_t successes = 0;
    for (uint32_t w = 0; w < staff->workers; w++) successes += pp_record_counts(&staff->shared->records[w]).tasks;
    bool any = successes != staff->successes; /* fewer: a worker that had run some has ended */
    staff->successes = successes;
    return any;
}

/* Of a worker that was not ready: whether its initializer returned a failure, was overdue, crashed, or ended the
 * process; or whether the worker could not enter its sandbox. A kill from outside is none of these. */
static bool start_failed(const struct pp_staff *staff, const struct pp_notice *death) {
    const struct pp_start *start = &staff->shared->starts[death->worker];
    bool has_begun = atomic_load_explicit(&start->began, memory_order_relaxed) != 0;
    bool ended_itself = death->last.kind != PP_LAST_NOTHING || WIFEXITED(death->status);
    return death->init_code != 0 || death->sandbox_code != 0 || death->init_overdue || (has_begun && ended_itself);
}

/* Whether the number gets another worker; after a pause if its workers keep dying for nothing. */
static bool deserves_another(struct pp_staff *staff, const struct pp_notice *death, bool futile) {
    uint32_t w = death->worker;
    bool ready = atomic_load_explicit(&staff->shared->starts[w].ready, memory_order_relaxed) != 0;
    if (ready || staff->paused) staff->init_failures[w] = 0;
    if (!futile || staff->paused) {
        staff->futile_deaths[w] = 0;
        return true;
    }
    if (has_succeeded(staff)) memset(staff->futile_deaths, 0, sizeof staff->futile_deaths);
    staff->last_was_ready = ready;
    staff->last_futile = *death;
    if (!ready && start_failed(staff, death)) staff->init_failures[w]++;
    unsigned deaths = ++staff->futile_deaths[w];
    if (deaths > FUTILE_AT_ONCE) staff->start_again[w] = pp_now() + pause_after(deaths - FUTILE_AT_ONCE);
    return staff->init_failures[w] < PP_INIT_TRIES && deaths < FUTILE_TRIES;
}

void pp_staff_buried(struct pp_staff *staff, const struct pp_notice *death, bool futile, bool rests) {
    bool fit = deserves_another(staff, death, futile), wanted = death->worker < staff->wanted;
    staff->states[death->worker] = !wanted ? PP_EMPTY : !fit ? PP_GIVEN_UP : rests ? PP_RESTING : PP_EMPTY;
    if (wanted && fit && rests) call_for_work(staff);
    if (wanted && !fit) pp_staff_call(staff, 1); /* another in its place */
    /* There is one process less: the system may grant another. */
    staff->refusals = 0;
    staff->fork_again = 0;
}

void pp_staff_give_up(struct pp_staff *staff, uint32_t worker) {
    if (worker < staff->wanted) staff->states[worker] = PP_GIVEN_UP;
}

/* ---- what the caller is told */

void pp_staff_tell_shortage(const struct pp_staff *staff) {
    uint64_t why = 0, now = pp_now();
    if (staff->refusals > 0 && pp_staff_count(staff, PP_EMPTY, staff->wanted) > 0) {
        why = pp_shortage(POOL_EAGAIN, staff->refusal);
    } else {
        for (uint32_t w = 0; w < staff->wanted && !why; w++)
            if (staff->states[w] == PP_GIVEN_UP || (staff->states[w] == PP_EMPTY && now < staff->start_again[w]))
                why = pp_shortage(POOL_EDIED, staff->last_futile.status);
    }
    atomic_store_explicit(&staff->shared->control->shortage, why, memory_order_release);
}

/* A shortage of processes passes: then what was submitted waits, unless the pool never had a worker or is being shut
 * down. */
bool pp_staff_is_lost(const struct pp_staff *staff, bool has_initializer, struct pp_notice *notice) {
    bool closing = atomic_load_explicit(&staff->shared->control->closing, memory_order_acquire) != 0;
    bool may_end = (!staff->had_worker || closing) && staff->refusals > FORK_TRIES;
    bool none_lives =
        pp_staff_count(staff, PP_EMPTY, staff->wanted) > 0 && pp_staff_count(staff, PP_ALIVE, staff->workers) == 0;
    bool no_process = may_end && none_lives;
    bool none_is_fit = staff->wanted > 0 && pp_staff_count(staff, PP_GIVEN_UP, staff->wanted) == staff->wanted;
    bool unfit = has_initializer && !staff->last_was_ready;
    *notice = staff->last_futile;
    notice->kind = PP_POOL_BROKEN;
    bool shut_out = !staff->last_was_ready && notice->sandbox_code != 0;
    notice->code = no_process ? POOL_EAGAIN : shut_out ? POOL_ENOTSUP : unfit ? POOL_EINIT : POOL_EDIED;
    if (no_process) notice->status = staff->refusal;
    return no_process || none_is_fit;
}
