#include "shared/record.h"

#include "base/sys.h"
#include "shared/last_words.h"
#include "shared/plan.h"

static uint64_t look(const _Atomic uint64_t *field) {
    return atomic_load_explicit(field, memory_order_acquire);
}

/* ---- a worker that lives */

uint32_t pp_record_trace(const struct pp_shared *shared, uint32_t worker) {
    const struct pp_record *record = &shared->records[worker];
    uint64_t current = pp_record_current(record);
    const uint64_t words[] = {current, pp_ticket_word(shared, current), pp_record_job(record), look(&record->item),
                              look(&record->progress), look(&record->tasks)};
    uint64_t trace = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) trace = (trace ^ words[i]) * 0x9e3779b97f4a7c15U;
    return (uint32_t)(trace >> 32) | 1U;
}

struct pp_record_counts pp_record_counts(const struct pp_record *record) {
    struct pp_record_counts counts;
    /* First, and with acquire: the worker writes it last. */
    counts.busy_since = atomic_load_explicit(&record->busy_since, memory_order_acquire);
    counts.busy = atomic_load_explicit(&record->busy, memory_order_relaxed);
    counts.tasks = atomic_load_explicit(&record->tasks, memory_order_relaxed);
    return counts;
}

uint64_t pp_record_count_heirs(const struct pp_shared *shared, uint64_t ticket) {
    uint32_t wanted = atomic_load_explicit(&shared->control->wanted, memory_order_relaxed);
    uint64_t heirs = 0;
    for (uint32_t w = 0; w < wanted; w++) heirs += pp_record_bequest(&shared->records[w]) == ticket;
    return heirs;
}

bool pp_record_anybody_in(const struct pp_shared *shared, uint64_t job) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    for (uint32_t w = 0; w < workers; w++)
        if (pp_record_job(&shared->records[w]) == job) return true;
    return false;
}

/* The swap makes a start that is not known, or was overwritten, known: else what runs would never be due. The worker's
 * own store comes after this swap, or makes it fail. */
uint64_t pp_record_started(struct pp_record *record, uint64_t now) {
    uint64_t started = atomic_load_explicit(&record->started, memory_order_acquire);
    if (started != 0 && started <= now) return started;
    pp_swap(&record->started, started, now);
    return now;
}

/* The order of the looks is the proof. The word is read first, then the life, then the job, and the word is swapped
 * last. The worker writes a new number into the word with each visit and item. So if the swap succeeds, the word was
 * the same all the while: the worker was in this life and, since a visit ends before the job is left, in this job. */
bool pp_record_kill(struct pp_shared *shared, uint32_t worker, uint64_t job, uint32_t *life) {
    struct pp_record *record = &shared->records[worker];
    for (int tries = 0; tries < PP_TRIES; tries++) {
        uint64_t running = atomic_load_explicit(&record->item, memory_order_seq_cst);
        *life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
        PP_POINT("to be killed");
        if (pp_record_job(record) != job || pp_phase_of(running) != PP_RUNNING) return false;
        if (pp_state_kill(&record->item, running, PP_KILLED)) return true;
    }
    return false;
}

/* The life is read first: if the worker has another by now, the kill of the old one does nothing, and the new one has
 * said nothing of itself. */
bool pp_record_may_kill_ending(const struct pp_shared *shared, uint32_t worker, uint64_t job, uint32_t *life) {
    const struct pp_record *record = &shared->records[worker];
    *life = atomic_load_explicit(&shared->control->lives[worker], memory_order_acquire);
    return pp_record_is_ending(record) && (job == 0 || pp_record_job(record) == job);
}

/* ---- a snapshot */

static uint64_t reach_of(const struct pp_record *record, uint64_t bound) {
    enum pp_bound_state state = pp_bound_state(bound);
    if (state == PP_BOUND_NONE || state == PP_BOUND_FIXED) return UINT64_MAX;
    return pp_bound_position(pp_bound_number(bound), pp_record_shift(record, bound));
}

/* `progress` is read before `begin` and `end`: of a worker that lives, it then is rarely of a later chunk than they
 * are. */
struct pp_snapshot pp_record_snapshot(const struct pp_shared *shared, uint32_t worker) {
    const struct pp_record *record = &shared->records[worker];
    uint32_t life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    struct pp_snapshot s = {.current = pp_record_current(record), .job = pp_record_job(record)};
    uint64_t word = look(&record->item);
    s.phase = pp_is_item_of(word, worker, life) ? pp_phase_of(word) : PP_FREE;
    s.position = look(&record->single);
    s.scope = s.position == PP_WHOLE_VISIT ? PP_SCOPE_VISIT : PP_SCOPE_ITEM;
    s.progress = look(&record->progress);
    s.until = look(&record->until);
    s.begin = look(&record->begin);
    s.end = look(&record->end);
    s.bound = look(&record->bound);
    s.reach = reach_of(record, s.bound);
    s.judged = look(&record->judged);
    s.retired = atomic_load_explicit(&record->retired, memory_order_relaxed);
    for (int i = 0; i < PP_CLAIMED_MOST; i++) {
        s.claimed[i] = pp_record_claimed(record, i);
        if (s.claimed[i] == 0) break;
    }
    s.bequest = pp_record_bequest(record);
    return s;
}

/* Whether a chunk may begin here: where a block begins, or within one that a thief has cut. */
static bool may_begin_at(const struct pp_job_plan *plan, uint64_t position) {
    uint64_t block = position / plan->block;
    if (position == block * plan->block) return true;
    return plan->pieces && atomic_load_explicit(&plan->marks[block], memory_order_relaxed) == PP_MARK_PIECES;
}

/* Whether a worker may have claimed so much: blocks of one stripe, and no more than a claim takes. */
static bool is_one_claim(const struct pp_job_plan *plan, uint64_t begin, uint64_t end) {
    uint64_t first = begin / plan->block, last = (end - 1) / plan->block;
    if (first >> plan->stripe_bits != last >> plan->stripe_bits) return false;
    return plan->chunk_blocks == 0 || last - first < plan->chunk_blocks;
}

bool pp_snapshot_chunk(const struct pp_snapshot *s, const struct pp_job_plan *plan, struct pp_chunk *chunk) {
    uint64_t end = s->end ? pp_plan_seal(plan, s->begin, s->end) : 0;
    if (s->begin >= end || end > plan->count || (s->reach > end && s->reach != UINT64_MAX)) return false;
    if (!may_begin_at(plan, s->begin) || !is_one_claim(plan, s->begin, end)) return false;
    if (s->reach < end) end = s->reach;
    if (s->progress < s->begin || s->progress > end) return false;
    *chunk = (struct pp_chunk){.first = s->begin / plan->block, .last = (end + plan->block - 1) / plan->block,
                               .begin = s->begin, .end = end};
    return true;
}

/* A visit: the worker writes progress = until = begin with the chunk, then raises `until` before it starts a part or a
 * call, then raises `progress` after each item or call. So it runs something exactly while they differ, and that begins
 * at `progress`; once all of the chunk is finished, `progress` lies beyond it. Between two calls they are equal, and
 * the worker has started nothing.
 *
 * An item or call with a word of its own: the worker writes its position, then the word, runs it, raises `progress`
 * past it, then ends the word. A death before the word ends finds `progress` at the position or past the last one of
 * the call; in both cases nothing of it counts as finished, since its word may have been swapped to KILLED or OVERDUE
 * before it could end. */
uint64_t pp_snapshot_victim(const struct pp_snapshot *s, const struct pp_chunk *chunk, uint64_t *end) {
    if (s->phase == PP_FREE) return PP_NO_VICTIM;
    bool is_item = s->scope == PP_SCOPE_ITEM;
    uint64_t victim = is_item ? s->position : s->progress, last = pp_begun(victim, s->until);
    bool runs = is_item ? victim == s->progress || last == s->progress : s->progress != s->until;
    if (!runs || victim < chunk->begin || victim >= chunk->end) return PP_NO_VICTIM;
    if (end) *end = last < chunk->end ? last : chunk->end; /* others may have taken the end of a call just before it */
    return victim;
}

/* ---- a life */

void pp_record_begin_life(struct pp_record *record) {
    atomic_store_explicit(&record->retired, 0, memory_order_relaxed);
    atomic_store_explicit(&record->last, PP_LAST_NOTHING, memory_order_relaxed);
    atomic_store_explicit(&record->started, 0, memory_order_relaxed);
    atomic_store_explicit(&record->tasks, 0, memory_order_relaxed);
    atomic_store_explicit(&record->busy, 0, memory_order_relaxed);
    atomic_store_explicit(&record->busy_since, 0, memory_order_relaxed);
}

/* Release: a caller that sees one of them cleared sees that the notice of the death is due; see pp_examine(). */
void pp_record_end_life(struct pp_record *record) {
    atomic_store_explicit(&record->claimed[0], 0, memory_order_release);
    atomic_store_explicit(&record->current, 0, memory_order_release);
    atomic_store_explicit(&record->item, 0, memory_order_release);
    /* Last: a caller that sees the job left finds the notice of the death, which was written before. */
    atomic_store_explicit(&record->job, 0, memory_order_seq_cst);
}
