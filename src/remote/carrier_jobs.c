/* The carrier's jobs: chunks of one job at a time, in turns, to hosts, and what came of their items; see carry.h.
 *
 * A chunk that was claimed is a parcel until all of its items have an outcome; then its blocks are marked, as by any
 * worker; those that a report of the host covers are before. Items that a lost host had begun have failed with it; of
 * those that it had not begun, the parcel goes to another host, or the caller is told that they must be run
 * (PP_NOT_BEGUN). */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/sys.h"
#include "remote/carry.h"
#include "shared/item_errors.h"
#include "shared/plan.h"
#include "shared/stretch.h"

#define PATIENCE_NS 100000U     /* a job that has something left after it is worth a way to a host */
#define CHUNK_NS 1000000.0      /* how long a host is to be at a chunk */
#define BYTES_MOST ((size_t)16 << 20) /* arguments and results of a chunk, unless a single block is more */
#define TURN_NS 20000000U       /* how long a job is worked on before others get their turn, at least, */
#define TURN_OF_DRAIN 4U        /* and so many times as long as hosts took to end what they had of the last one */
#define FORGET_NS 1000000U      /* between two looks for jobs that are over */
#define CLAIMS_MOST 64          /* chunks before others get their turn */

/* ---- parcels */

static void free_parcel(struct pp_parcel *parcel) {
    pp_release(parcel->told);
    pp_release(parcel);
}

static struct pp_parcel *make_parcel(const struct pp_chunk *chunk) {
    struct pp_parcel *parcel = pp_zalloc(1, sizeof *parcel);
    if (!parcel) return NULL;
    parcel->chunk = *chunk;
    parcel->count = parcel->left = (uint32_t)(chunk->end - chunk->begin);
    parcel->told = pp_zalloc(parcel->count, sizeof *parcel->told);
    if (parcel->told) return parcel;
    pp_release(parcel);
    return NULL;
}

static uint64_t item_of(const struct pp_job_plan *plan, uint64_t position) {
    return plan->index ? plan->index[position] : position;
}

/* kind: as in carried.h; details: NULL: there are none. */
static void fail_item(struct pp_carrier *c, struct pp_parcel *parcel, uint32_t at, unsigned char kind,
                      const struct pp_result *details) {
    const struct pp_job_plan *plan = c->job.plan;
    uint64_t begin = parcel->chunk.begin, position = begin + at;
    if (parcel->told[at]) return;
    parcel->told[at] = true;
    parcel->left--;
    if (!parcel->judged)
        for (uint64_t p = begin; p < parcel->chunk.end; p++)
            atomic_store_explicit(&plan->failed[p], 0, memory_order_relaxed);
    parcel->judged = true;
    atomic_store_explicit(&plan->failed[position], kind, memory_order_relaxed);
    if (!details) return;
    if (plan->codes) atomic_store_explicit(&plan->codes[position], details->code, memory_order_relaxed);
    pp_item_errors_note(plan->errors, plan->errors_room, position, details->code, details->pid, details->message);
}

static void fail_rest(struct pp_carrier *c, struct pp_parcel *parcel, unsigned char kind,
                      const struct pp_result *details) {
    for (uint32_t i = 0; i < parcel->count && parcel->left > 0; i++) fail_item(c, parcel, i, kind, details);
}

/* All of its items have an outcome. */
static void end_parcel(struct pp_carrier *c, struct pp_parcel *parcel) {
    pp_plan_finish(c->job.plan, &parcel->chunk, parcel->judged);
    pp_count_run(&c->claimer, parcel->count);
    free_parcel(parcel);
}

/* ---- what came of items */

/* Copies results to where the job wants them. Returns false if one does not fit. */
static bool place_results(const struct pp_job_plan *plan, const struct pp_parcel *parcel,
                          const struct pp_items_message *items) {
    uint64_t begin = parcel->chunk.begin + items->first;
    size_t size = plan->out ? plan->out_size : 0;
    if (!plan->index && size) memcpy(plan->out + begin * size, items->out, items->count * size);
    for (uint32_t i = 0; i < items->count && plan->index && size; i++)
        memcpy(plan->out + plan->index[begin + i] * size, items->out + i * size, size);
    for (uint32_t i = 0; i < items->count && plan->sizes; i++) {
        uint64_t said = pp_get_number(items->sizes, i);
        if (said > plan->out_size) return false;
        plan->sizes[item_of(plan, begin + i)] = (size_t)said + 1;
    }
    return true;
}

/* Whole blocks of these items count as the job's progress before the parcel has ended. Its end marks them once more. */
static void note_progress(struct pp_carrier *c, const struct pp_parcel *parcel, uint32_t first, uint32_t count) {
    const struct pp_job_plan *plan = c->job.plan;
    uint64_t begin = parcel->chunk.begin + first, end = begin + count;
    uint64_t from = (begin + plan->block - 1) / plan->block, to = end == plan->count ? plan->blocks : end / plan->block;
    if (from < to && parcel->left > 0) pp_plan_mark(plan, from, to, parcel->judged);
}

void pp_chunk_items(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                    const struct pp_items_message *items) {
    const struct pp_job_plan *plan = c->job.plan;
    struct pp_parcel *parcel = errand->parcel;
    size_t bytes = plan->out ? (size_t)items->count * plan->out_size : 0;
    if (items->first > parcel->count || items->count > parcel->count - items->first || items->out_bytes != bytes ||
        items->has_sizes != (plan->sizes != NULL)) {
        pp_wire_lose(&host->wire, "it sent results of items that it does not have");
        return;
    }
    if (memchr(parcel->told + items->first, true, items->count) || !place_results(plan, parcel, items)) {
        pp_wire_lose(&host->wire, "it sent the result of an item twice, or one that is larger than its room");
        return;
    }
    memset(parcel->told + items->first, true, items->count);
    parcel->left -= items->count;
    host->ran += items->count;
    atomic_store_explicit(&c->shared->carried->hosts[host->number].tasks, host->ran, memory_order_relaxed);
    note_progress(c, parcel, items->first, items->count);
    uint64_t now = pp_now(), most = now - errand->begun_at;
    pp_pace_told(&host->items, items->count, items->took < most ? items->took : most, now);
}

void pp_chunk_item_failed(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                          const struct pp_failure_message *failure) {
    char text[PP_MESSAGE];
    struct pp_parcel *parcel = errand->parcel;
    bool is_own = failure->error == POOL_EFAILED;
    if (failure->position >= parcel->count) {
        pp_wire_lose(&host->wire, "it sent the failure of an item that it does not have");
        return;
    }
    pp_host_text(host, text, failure->text, failure->text_size, failure->error);
    struct pp_result details = {.code = is_own ? failure->code : pp_far_code(failure->signal, failure->code),
                                .pid = failure->worker > 0 ? failure->worker : 1, .message = text};
    int error = pp_is_far_error(failure->error) ? failure->error : POOL_ECORRUPT;
    fail_item(c, parcel, (uint32_t)failure->position, is_own ? 1 : (unsigned char)-error, &details);
    note_progress(c, parcel, (uint32_t)failure->position, 1);
    host->ran++;
    uint64_t now = pp_now();
    pp_pace_told(&host->items, 1, now - host->items.since, now);
}

void pp_chunk_ended(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                    const struct pp_failure_message *failure) {
    char text[PP_MESSAGE];
    struct pp_parcel *parcel = errand->parcel;
    struct pp_result details = {.message = text};
    bool is_begun = errand->state == PP_ERRAND_BEGUN;
    bool is_far = is_begun && failure && pp_is_far_error(failure->error) && failure->error != POOL_ECANCELLED;
    if (is_far) {
        pp_host_text(host, text, failure->text, failure->text_size, failure->error);
        details.code = pp_far_code(failure->signal, failure->code);
    }
    fail_rest(c, parcel, is_far ? (unsigned char)-failure->error : PP_NOT_BEGUN, is_far ? &details : NULL);
    end_parcel(c, parcel);
    errand->parcel = NULL;
    c->job.out--;
}

void pp_chunk_host_lost(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand) {
    char text[PP_MESSAGE];
    struct pp_parcel *parcel = errand->parcel;
    errand->parcel = NULL;
    c->job.out--;
    if (errand->state == PP_ERRAND_SENT) {
        parcel->next = c->job.waiting;
        c->job.waiting = parcel;
        return;
    }
    pp_host_lost_text(host, text);
    fail_rest(c, parcel, (unsigned char)-POOL_EDIED,
              &(struct pp_result){.code = pp_far_code(0, 0), .pid = 1, .message = text});
    end_parcel(c, parcel);
}

/* ---- a host and a job */

static const void *function_of(const struct pp_job_plan *plan) {
    pp_function *function = plan->block_fn ? (pp_function *)plan->block_fn : (pp_function *)plan->fn;
    return pp_address_of(function);
}

/* Tells the host of the job. Returns NULL if it cannot have it now. */
static struct pp_far_job *tell_job(struct pp_carrier *c, struct pp_far_host *host) {
    const struct pp_job_plan *plan = c->job.plan;
    struct pp_far_job *known = pp_known_job(host, c->job.ticket);
    if (known) return known;
    known = pp_known_job_place(c, host);
    const void *function = function_of(plan);
    if (!known || !pp_host_needs_function(c, host, c->job.function, function)) return NULL;
    *known = (struct pp_far_job){.ticket = c->job.ticket, .entry = c->job.entry, .has_context = plan->context != NULL};
    struct iovec context = {(void *)(uintptr_t)plan->context, plan->context_size};
    if (plan->context && !pp_host_send(host, PP_SAY_CONTEXT, pp_known_number(host, known), &context, 1)) return NULL;
    struct pp_job_message m = {.function = c->job.function, .context = plan->context ? pp_known_number(host, known) : 0,
                               .timeout = (uint32_t)plan->timeout, .cpu_timeout = (uint32_t)plan->cpu_timeout,
                               .seed = plan->seed, .in_size = plan->in ? plan->in_size : 0, .out_size = plan->out_size,
                               .wants_out = plan->out != NULL, .has_sizes = plan->sizes != NULL,
                               .is_block = plan->block_fn != NULL, .is_fresh = plan->fresh,
                               .failures = plan->codes ? UINT32_MAX : plan->errors_room};
    unsigned char fixed[PP_FIXED_MOST];
    struct iovec part = {fixed, pp_put_job(fixed, &m)};
    host->items = (struct pp_far_pace){.since = pp_now()};
    return pp_host_send(host, PP_SAY_JOB, pp_known_number(host, known), &part, 1) ? known : NULL;
}

/* What the chunk message of a parcel has besides its fixed part. */
struct contents {
    struct iovec list, in;
};

/* Items that are no neighbours go with a list of them, and their arguments are put together. Returns false if there is
 * no memory. */
static bool pack_parcel(struct pp_carrier *c, const struct pp_parcel *parcel, struct pp_chunk_message *m,
                        struct contents *contents) {
    const struct pp_job_plan *plan = c->job.plan;
    uint64_t begin = parcel->chunk.begin;
    size_t in_size = plan->in ? plan->in_size : 0, count = parcel->count, list_size = count * sizeof(uint64_t);
    m->count = parcel->count;
    m->first = item_of(plan, begin);
    m->has_list = item_of(plan, begin + count - 1) - m->first != count - 1; /* positions are in the order of items */
    const char *in = plan->in ? plan->in + m->first * in_size : NULL;
    *contents = (struct contents){.in = {(void *)(uintptr_t)in, count * in_size}};
    if (!m->has_list) return true;
    unsigned char *room = pp_carrier_room(c, list_size + count * in_size), *at = room + list_size;
    if (!room) return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t item = item_of(plan, begin + i);
        pp_put_number(room, i, item);
        if (in_size) memcpy(at + i * in_size, plan->in + item * in_size, in_size);
    }
    *contents = (struct contents){.list = {room, list_size}, .in = {at, count * in_size}};
    return true;
}

/* Sends the parcel. Returns false if the host cannot have it. */
static bool send_parcel(struct pp_carrier *c, struct pp_far_host *host, struct pp_parcel *parcel) {
    const struct pp_job_plan *plan = c->job.plan;
    struct pp_far_job *known = tell_job(c, host);
    struct pp_chunk_message m = {.has_list = false};
    struct contents contents;
    bool packed = known && pack_parcel(c, parcel, &m, &contents);
    struct pp_errand *errand = packed ? pp_errand_new(host, parcel->count) : NULL;
    if (!errand) return false;
    m.job = pp_known_number(host, known);
    errand->parcel = parcel;
    errand->timeout = (uint32_t)plan->timeout;
    errand->job = (uint8_t)pp_known_number(host, known);
    known->out++;
    c->job.out++;
    size_t most = parcel->count * (plan->out_size + sizeof(uint64_t)) + PP_FIXED_MOST;
    if (host->wire.limits.most < most) host->wire.limits.most = most;
    unsigned char fixed[PP_FIXED_MOST];
    struct iovec parts[] = {{fixed, pp_put_chunk(fixed, &m)}, contents.list, contents.in};
    pp_host_send(host, PP_SAY_CHUNK, errand->id, parts, 3);
    return true;
}

/* ---- claiming */

/* Items for the host at a time: as many as take it a while, by its pace, but a small share of what is left. */
static uint64_t items_for(const struct pp_carrier *c, const struct pp_far_host *host) {
    const struct pp_job_plan *plan = c->job.plan;
    double by_pace = host->items.rate * CHUNK_NS;
    uint64_t items = by_pace < PP_CHUNK_ITEMS ? (uint64_t)by_pace : PP_CHUNK_ITEMS;
    uint64_t share = pp_plan_left(plan) * plan->block / (4 * (uint64_t)(c->up + 1));
    if (items > share) items = share;
    size_t bytes = (plan->in ? plan->in_size : 0) + plan->out_size;
    if (bytes && items > BYTES_MOST / bytes) items = BYTES_MOST / bytes;
    return items ? items : 1;
}

/* claims: false: what lost hosts have left, and no more. */
static bool claim_parcels(struct pp_carrier *c, bool claims) {
    const struct pp_job_plan *plan = c->job.plan;
    struct pp_far_host *host;
    bool moved = false;
    for (int i = 0; i < CLAIMS_MOST && (host = pp_host_for(c, true)) != NULL; i++) {
        struct pp_parcel *parcel = c->job.waiting;
        if (parcel) {
            c->job.waiting = parcel->next;
        } else if (!claims) {
            break;
        } else {
            uint64_t items = items_for(c, host);
            struct pp_pace pace = {.items = items};
            struct pp_chunk chunk;
            if (!pp_plan_claim(plan, PP_CARRIER, &pace, items, &chunk)) break;
            parcel = make_parcel(&chunk);
            if (!parcel) break; /* the caller finds that its blocks have no mark */
        }
        bool sent = send_parcel(c, host, parcel);
        moved |= sent;
        if (sent) continue;
        parcel->next = c->job.waiting; /* until the host has answered chunks of other jobs, or is lost */
        c->job.waiting = parcel;
        break;
    }
    return moved;
}

/* ---- entering and leaving */

static bool can_travel(struct pp_carrier *c, const struct pp_job_plan *plan) {
    c->job.function = pp_carrier_function(c, function_of(plan));
    bool fits = plan->block <= PP_CHUNK_ITEMS &&
                (plan->in ? plan->in_size : 0) + plan->out_size < PP_MESSAGE_MOST / 2 / (plan->block ? plan->block : 1);
    bool is_address = plan->context && plan->context_size == 0;
    return c->job.function != 0 && fits && !is_address;
}

static void leave(struct pp_carrier *c, enum pp_leaving found) {
    if (found != PP_NOT_ENTERED) pp_end_visit(&c->claimer, c->job.visit); /* it does not matter if it was killed */
    pp_item_none(pp_record_word(c->claimer.record), c->claimer.number, c->claimer.life);
    c->must_ring |= pp_leave_job(&c->claimer, c->job.ticket, c->job.entry, found);
    c->job.plan = NULL;
    c->job.ticket = 0;
}

/* No thief can take anything of what hosts have. */
static void fix_bound(struct pp_carrier *c) {
    atomic_store_explicit(&c->claimer.record->bound, PP_BOUND_FIXED, memory_order_release);
}

static void enter(struct pp_carrier *c, uint32_t entry, uint64_t ticket, uint64_t now) {
    fix_bound(c);
    c->job.entry = entry;
    c->job.ticket = ticket;
    c->job.plan = pp_claim_job(&c->claimer, ticket);
    fix_bound(c);
    c->job.out = 0;
    if (!c->job.plan || !can_travel(c, c->job.plan)) {
        if (c->job.plan) pp_carrier_keeps(c, "a map");
        c->job.used_up[entry] = ticket;
        leave(c, PP_NOT_ENTERED);
        return;
    }
    c->job.visit = pp_begin_visit(&c->claimer);
    c->job.turn_ends_at = now + (c->job.turn > TURN_NS ? c->job.turn : TURN_NS);
    c->job.ended_at = 0;
}

/* Enters the next job in which something is left although it has been there for a while. *look_at: when the next may
 * be worth it. */
static void find_job_to_enter(struct pp_carrier *c, uint64_t now, uint64_t *look_at) {
    uint32_t end = atomic_load_explicit(&c->shared->control->job_table_end, memory_order_acquire);
    if (end > PP_JOB_TABLE) end = PP_JOB_TABLE;
    for (uint32_t n = 1, last = c->job.entry; n <= end && !c->job.plan; n++) {
        uint32_t i = (last + n) % end;
        uint64_t ticket = pp_job_in(c, i);
        if (ticket == 0 || ticket == c->job.used_up[i]) continue;
        if (c->job.seen[i] != ticket) {
            c->job.seen[i] = ticket;
            c->job.seen_at[i] = now;
        }
        uint64_t at = c->job.seen_at[i] + PATIENCE_NS;
        if (now >= at) enter(c, i, ticket, now);
        else if (at < *look_at) *look_at = at;
    }
}

/* Whether no more of the job is to be claimed for now, since another waits for the hosts, too. */
static bool turn_is_over(struct pp_carrier *c, uint64_t now) {
    if (c->job.ended_at) return true;
    if (now < c->job.turn_ends_at) return false;
    uint32_t end = atomic_load_explicit(&c->shared->control->job_table_end, memory_order_acquire);
    for (uint32_t i = 0; i < end && i < PP_JOB_TABLE && !c->job.ended_at; i++) {
        uint64_t ticket = pp_job_in(c, i);
        if (ticket != 0 && i != c->job.entry && ticket != c->job.used_up[i]) c->job.ended_at = now;
    }
    if (!c->job.ended_at) c->job.turn_ends_at = now + TURN_NS;
    return c->job.ended_at != 0;
}

/* What a lost host has not begun, and no other host is there for. */
static void leave_waiting(struct pp_carrier *c) {
    while (c->job.waiting) {
        struct pp_parcel *parcel = c->job.waiting;
        c->job.waiting = parcel->next;
        fail_rest(c, parcel, PP_NOT_BEGUN, NULL);
        end_parcel(c, parcel);
    }
}

static void forget_jobs(struct pp_carrier *c, uint64_t now) {
    c->job.forgets_at = now + FORGET_NS;
    for (uint32_t h = 0; h < c->count; h++)
        if (pp_host_is_up(&c->hosts[h])) pp_known_jobs_forget(c, &c->hosts[h]);
}

bool pp_jobs_take(struct pp_carrier *c, uint64_t now, uint64_t *look_at) {
    if (now >= c->job.forgets_at) forget_jobs(c, now);
    bool has_job = c->job.plan != NULL;
    if (!has_job && c->up > 0 && pp_host_for(c, true)) find_job_to_enter(c, now, look_at);
    if (!c->job.plan) return false;
    bool moved = !has_job, is_over = turn_is_over(c, now);
    if (!pp_job_must_stop(c->job.plan)) moved |= claim_parcels(c, !is_over);
    if (c->up == 0) leave_waiting(c);
    if (c->job.out > 0 || c->job.waiting) return moved;
    bool used_up = pp_plan_is_used_up(c->job.plan);
    if (!used_up && !is_over && c->up > 0 && !pp_job_must_stop(c->job.plan)) return moved;
    if (is_over) c->job.turn = (now - c->job.ended_at) * TURN_OF_DRAIN;
    if (used_up) c->job.used_up[c->job.entry] = c->job.ticket;
    leave(c, used_up ? PP_NOTHING_LEFT : PP_SOMETHING_LEFT);
    return true;
}

/* ---- kills */

/* The items that hosts have are killed there; the caller need not wait for that. */
static void kill_errands(struct pp_carrier *c, struct pp_far_host *host) {
    char text[PP_MESSAGE] = "killed while it ran";
    for (uint32_t i = 0; i < host->room; i++) {
        struct pp_errand *errand = &host->errands[i];
        struct pp_parcel *parcel = errand->parcel;
        if (errand->id == 0 || !parcel) continue;
        bool begun = errand->state == PP_ERRAND_BEGUN;
        pp_host_send(host, begun ? PP_SAY_KILL : PP_SAY_FORGET, errand->id, NULL, 0);
        if (begun)
            fail_rest(c, parcel, (unsigned char)-POOL_ECANCELLED,
                      &(struct pp_result){.code = pp_far_code(0, 0), .pid = 1, .message = text});
        else fail_rest(c, parcel, PP_NOT_BEGUN, NULL);
        end_parcel(c, parcel);
        errand->parcel = NULL;
        errand->state = begun ? PP_ERRAND_KILLED : PP_ERRAND_FORGOTTEN;
        c->job.out--;
    }
}

void pp_jobs_look_for_killed(struct pp_carrier *c) {
    if (!c->job.plan) return;
    bool stopped = pp_job_must_stop(c->job.plan);
    if (!stopped && !pp_visit_was_killed(&c->claimer, c->job.visit)) return;
    for (uint32_t h = 0; h < c->count; h++) kill_errands(c, &c->hosts[h]);
    leave_waiting(c);
    if (!stopped) c->job.visit = pp_begin_visit(&c->claimer);
}
