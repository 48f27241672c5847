/* Relief: a worker without work takes over what others have claimed in a job and not begun, if their items are slow.
 *
 * Chunks are as large as the clock says of the items before them, so items that turn out slow in the middle of a chunk
 * would be run by one worker while the others are idle. A worker without work therefore looks at the others, and at
 * those that had something left once more after PATIENCE_NS. If what a worker has not begun would take it at least as
 * long again, by what it has begun meanwhile, half of it is taken over (stretch.h).
 *
 * Between two looks the worker sleeps, as long as any worker has something left: ever longer while nothing comes of it.
 * If no worker has, it sleeps until it is woken. No worker comes to have something left unseen: one that is about to
 * claim says so (its bound is NONE), and one that has taken over has changed `thefts`.
 *
 * Invariant: see stretch.h.
 * Called by: worker. */
#include "base/sys.h"
#include "shared/placement.h"
#include "shared/stretch.h"
#include "worker/work.h"

#define PATIENCE_NS 100000U /* to take over costs some us; and a chunk of short items takes twice as long */
#define PAUSE_MOST 50000000U

static uint32_t count_workers(const struct worker *w) {
    return atomic_load_explicit(&w->claimer.shared->control->workers, memory_order_relaxed);
}

/* What was seen of the worker; NULL: nothing, and there is no room to note it. */
static struct pp_relief_seen *find_seen(struct pp_worker_relief *relief, uint32_t worker) {
    struct pp_relief_seen *free = NULL;
    for (int i = 0; i < PP_RELIEF_SEEN; i++) {
        struct pp_relief_seen *seen = &relief->seen[i];
        if (seen->at != 0 && seen->worker == worker) return seen;
        if (seen->at == 0) free = seen;
    }
    return free;
}

/* Whether the worker is slow: what it has left would take at least PATIENCE_NS, by its steps since it was seen. */
static bool is_slow(struct pp_worker_relief *relief, uint32_t worker, const struct pp_prospect *prospect,
                    uint64_t now) {
    struct pp_relief_seen *seen = find_seen(relief, worker);
    if (!seen) return false;
    seen->again = true;
    bool same = seen->at != 0 && prospect->number >= seen->number;
    uint64_t took = same ? now - seen->at : 0, steps = same ? prospect->number - seen->number : 0;
    if (same && took < PATIENCE_NS) return false;
    if (same && prospect->left >= steps / (took / PATIENCE_NS)) return true;
    *seen = (struct pp_relief_seen){.number = prospect->number, .at = now, .worker = worker, .again = true};
    return false;
}

static void forget_unseen(struct pp_worker_relief *relief) {
    for (int i = 0; i < PP_RELIEF_SEEN; i++) {
        if (!relief->seen[i].again) relief->seen[i].at = 0;
        relief->seen[i].again = false;
    }
}

bool pp_work_find_slow(struct worker *w, uint32_t *from, uint64_t *job) {
    uint32_t workers = count_workers(w);
    uint64_t now = 0;
    bool found = false;
    for (uint32_t i = 1; i < workers && !found; i++) {
        *from = (w->claimer.number + i) % workers; /* each begins behind itself: several find several */
        struct pp_prospect prospect = pp_stretch_look(w->claimer.shared, *from);
        if (prospect.left == 0) continue;
        *job = prospect.job;
        if (now == 0) now = pp_now();
        found = is_slow(&w->relief, *from, &prospect, now);
    }
    if (!found) forget_unseen(&w->relief);
    return found && pp_work_may_start(w);
}

/* Whether any worker has something left, or may have claimed it just now. */
static bool may_be_needed(const struct worker *w) {
    const struct pp_shared *shared = w->claimer.shared;
    /* Both with sequential consistency, as the count of a thief. */
    uint64_t thefts = atomic_load_explicit(&shared->status->thefts, memory_order_seq_cst);
    uint32_t workers = count_workers(w);
    for (uint32_t other = 0; other < workers; other++) {
        struct pp_prospect prospect = pp_stretch_look(shared, other);
        if (other != w->claimer.number && (prospect.left > 0 || prospect.may_claim)) return true;
    }
    return atomic_load_explicit(&shared->status->thefts, memory_order_seq_cst) != thefts;
}

/* The more workers share a CPU, the rarer are the looks of each. */
uint64_t pp_work_relief_due(struct worker *w, uint64_t now) {
    struct pp_worker_relief *relief = &w->relief;
    if (!may_be_needed(w)) {
        relief->pause = 0;
        return UINT64_MAX;
    }
    uint32_t cpus = (uint32_t)pp_placement_cpus(w->claimer.shared), share = cpus ? count_workers(w) / cpus : 1;
    if (relief->pause == 0) relief->pause = PATIENCE_NS * (share ? share : 1);
    else if (relief->pause < PAUSE_MOST) relief->pause *= 2;
    return now + relief->pause;
}
