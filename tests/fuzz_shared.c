/* What workers can write is not to be trusted: whatever stands there, caller and supervisor neither crash nor touch
 * memory that is not theirs, and everything ends once workers are honest again.
 *
 * A pool is made without processes. The input is a program of steps: what the caller does, what workers do, honestly
 * and one step at a time, where they die, and what a worker writes over records, outcomes, ring, results and the memory
 * of jobs. After the last step the workers are honest and the pool is examined until all is done; then it is destroyed.
 * Without any scribbling, each outcome has to be the right one, too.
 *
 * A libFuzzer target, see CMakeLists.txt; test_fuzz.c runs the same on pseudo-random inputs. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/backend.h"
#include "pool/bell.h"
#include "pool/integrity.h"
#include "pool/call.h"
#include "shared/command.h"
#include "shared/extents.h"
#include "shared/park.h"
#include "shared/item_errors.h"
#include "shared/worker_life.h"
#include "shared/notice.h"
#include "pool/pool.h"
#include "shared/ring.h"
#include "base/sys.h"
#include "shared/timer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { WORKERS = 3, FLIGHTS = 24, ITEMS = 200, LARGE = 300, HEALING = 1000 };

/* Something submitted, and where its data lies. */
struct flight {
    struct future *future; /* NULL: none */
    bool is_job, in_arena, any_size;
    int kind;
    size_t count, out_size;
    unsigned retries;
    bool killed; /* or cancelled, or timed */
    long *in, *out;
    int status[ITEMS];
    struct pool_failure failure;
};

struct hand { /* a worker, as far as it is not in its record */
    uint64_t announced;
    uint32_t items;
    bool parkings;
    bool stopped; /* in the middle of something, until it dies */
};

static struct {
    struct pool *pool;
    int task_end, control_end; /* the supervisor's ends */
    struct hand hands[WORKERS];
    struct flight flights[FLIGHTS];
    bool scribbled, resetting;
    unsigned resets;
    uint64_t now;
    struct pp_timer timer;
    const uint8_t *input, *input_end;
} world;

/* Set by fuzz_race.c: called once the world is there, and before its workers become honest; the trace of the pool. */
static void (*on_begin)(void), (*on_end)(void);
static const char *trace_path;

static unsigned byte(void) {
    return world.input < world.input_end ? *world.input++ : 0;
}

static uint64_t word(unsigned bytes) {
    uint64_t value = 0;
    while (bytes--) value = value << 8 | byte();
    return value;
}

/* ---- tasks. They run in this process; a worker dies by what the step says */

enum kind { WELL, FAILS, DIES, KINDS };

static int good_fn(const void *in, void *out) {
    unsigned long value = in ? *(const unsigned long *)in : 0; /* which may be anything */
    value = value * 2 + 1;
    if (out) memcpy(out, &value, sizeof value);
    return 0;
}
static int bad_fn(const void *in, void *out) {
    (void)in, (void)out;
    return 7;
}
static int deadly_fn(const void *in, void *out) {
    (void)in, (void)out;
    abort(); /* never called */
}
static pool_fn *const fns[KINDS] = {good_fn, bad_fn, deadly_fn};

/* ---- the supervisor */

static struct pp_record *record_of(uint32_t w) {
    return &world.pool->shared.records[w];
}

static uint32_t life_of(uint32_t w) {
    return atomic_load(&world.pool->shared.control->lives[w]);
}

static void start(uint32_t w) {
    uint32_t life = pp_life_begin(&world.pool->shared, w);
    world.hands[w] = (struct hand){.announced = atomic_load(&record_of(w)->done_tail)};
    pp_item_none(&record_of(w)->item, w, life);
    world.pool->shared.starts[w].ready = 1;
}

static void end(uint32_t w, int status) {
    struct pp_notice notice = pp_life_describe(&world.pool->shared, w, (pid_t)(1000 + w), status);
    notice.reset = world.resetting;
    while (!pp_life_end(&world.pool->shared, w, &notice)) MUST(pool_poll(world.pool, 0) >= 0);
}

static void die(uint32_t w, int status) {
    if (world.resetting) return;
    end(w, status);
    start(w);
}

static void end_all(void) {
    world.resetting = true;
    world.resets++;
    for (uint32_t w = 0; w < WORKERS; w++) end(w, SIGKILL);
    struct pp_notice all = {.kind = PP_ALL_DIED};
    while (!pp_notice_write(&world.pool->shared, &all)) MUST(pool_poll(world.pool, 0) >= 0);
}

static void start_all(void) {
    world.resetting = false;
    for (uint32_t w = 0; w < WORKERS; w++) start(w);
}

static void killed_by_clock(void *context, uint32_t w) {
    (void)context;
    die(w, SIGKILL);
}

static uint64_t cpu_time(void *context, uint32_t w) {
    (void)context;
    return world.now / (w + 1);
}

static void check_clock(void) {
    static const struct pp_timer_hands hands = {.kill = killed_by_clock, .cpu_time = cpu_time};
    uint64_t next = pp_timer_check(&world.pool->shared, world.now, &world.timer, &hands);
    MUST(next > world.now);
}

static void obey(void) {
    struct pp_command command;
    while (pp_command_receive(world.control_end, &command) > 0) {
        if (command.kind == PP_TIMER && (world.timer.shortest == 0 || command.value < world.timer.shortest))
            world.timer.shortest = command.value;
        if (command.kind == PP_KILL && command.worker < WORKERS && command.life == life_of(command.worker) &&
            (!command.value || command.value == pp_record_trace(&world.pool->shared, command.worker)))
            die(command.worker, SIGKILL);
        if (command.kind == PP_RESET) end_all();
        if (command.kind == PP_RESUME) start_all();
    }
    char bytes[64];
    struct pollfd pipe = {.fd = world.task_end, .events = POLLIN};
    while (poll(&pipe, 1, 0) > 0 && pp_read(world.task_end, bytes, sizeof bytes) > 0) continue;
}

/* ---- a worker, as in work_tasks.c and work_jobs.c; it stops for good at its stops_at-th point, if that is not 0 */

static unsigned stops_at;
#define POINT()                                                                                                        \
    do {                                                                                                               \
        if (stops_at && --stops_at == 0) {                                                                             \
            world.hands[w].stopped = true;                                                                             \
            return false;                                                                                              \
        }                                                                                                              \
    } while (0)

static void announce(uint32_t w, uint64_t ticket) {
    struct hand *hand = &world.hands[w];
    *pp_done_entry(&world.pool->shared, w, hand->announced) = ticket;
    atomic_store(&record_of(w)->done_tail, ++hand->announced);
}

/* As place_any_size() of work_tasks.c. */
static void place_any_size(uint64_t ticket) {
    struct pp_shared *s = &world.pool->shared;
    uint64_t words[2] = {pp_ticket_generation(ticket) * 97 % 20000, 0};
    char *extent = words[0] > PP_SHORT_RESULT ? pp_extent_take(s, ticket, words[0]) : NULL;
    if (extent) words[1] = (uint64_t)(extent - s->extents);
    else words[0] %= PP_SHORT_RESULT + 1;
    memcpy(s->messages[pp_ticket_slot(ticket)], words, sizeof words);
}

static bool run_ticket(uint32_t w, uint64_t ticket) {
    struct pp_shared *s = &world.pool->shared;
    uint32_t slot = pp_ticket_slot(ticket), generation = pp_ticket_generation(ticket);
    MUST(slot < PP_SLOTS); /* tickets come from where no worker writes */
    struct pp_outcome *outcome = &s->outcomes[slot];
    const struct pp_desc *desc = &s->descs[slot];
    record_of(w)->current = ticket;
    POINT();
    if (!pp_state_begin(&outcome->state, generation, w, life_of(w))) return true;
    POINT();
    if (desc->timeout) record_of(w)->started = world.now;
    if (desc->fn == deadly_fn) return false;
    int code = desc->fn(desc->in, desc->out);
    if (code) memset(s->messages[slot], 'm', 9), s->messages[slot][9] = 0;
    outcome->code = code;
    if (code == 0 && pp_desc_has_any_size(desc)) {
        place_any_size(ticket);
    } else if (code == 0) {
        uint64_t shorter = 16 + generation * 97 % (2 * LARGE);
        outcome->resized = desc->out && desc->out != outcome->out && shorter <= LARGE;
        if (outcome->resized) memcpy(s->messages[slot], &shorter, sizeof shorter);
    }
    POINT();
    if (!pp_state_end(&outcome->state, pp_state(generation, PP_RUNNING, w, life_of(w)))) return false;
    POINT();
    announce(w, ticket);
    return true;
}

static bool run_tickets(uint32_t w) {
    uint64_t tickets[PP_CLAIMED_MOST];
    unsigned count;
    while ((count = pp_ring_take(&world.pool->shared, record_of(w), PP_CLAIMED_MOST, tickets)) > 0)
        for (unsigned i = 0; i < count; i++)
            if (!run_ticket(w, tickets[i])) return false;
    record_of(w)->claimed[0] = record_of(w)->current = 0;
    return true;
}

static void note_flaw(uint32_t w, const struct pp_job_plan *plan, const struct pp_chunk *chunk, uint64_t p) {
    struct pp_record *r = record_of(w);
    for (uint64_t i = r->judged ? r->judged : chunk->begin; i < p; i++) plan->failed[i] = 0;
    plan->failed[p] = 1;
    r->judged = p + 1;
    pp_item_errors_note(plan->errors, plan->errors_room, p, 7, 1, (char[PP_MESSAGE]){"flawed"});
}

static bool run_items(uint32_t w, const struct pp_job_plan *plan, const struct pp_chunk *chunk) {
    struct pp_record *r = record_of(w);
    r->single = UINT64_MAX;
    r->until = UINT64_MAX;
    uint64_t running = pp_item_begin(&r->item, ++world.hands[w].items, w, life_of(w));
    char *scratch = plan->scratch ? plan->scratch + w % plan->scratch_parts * plan->scratch_size : NULL;
    for (uint64_t p = chunk->begin; p < chunk->end; p++) {
        uint64_t item = plan->index ? plan->index[p] : p;
        POINT();
        if (plan->fn == deadly_fn && item % 16 == 5) return false;
        if (plan->fn == bad_fn ? item % 16 == 5 : false) note_flaw(w, plan, chunk, p);
        else good_fn(plan->in ? plan->in + item * plan->in_size : NULL,
                     plan->out ? plan->out + item * plan->out_size : scratch);
        r->progress = p + 1;
    }
    POINT();
    for (uint64_t i = r->judged; r->judged && i < chunk->end; i++) plan->failed[i] = 0;
    pp_plan_mark(plan, chunk->first, chunk->last, r->judged != 0);
    POINT();
    return pp_item_end(&r->item, running);
}

static bool run_job(uint32_t w, uint64_t ticket) {
    struct pp_shared *s = &world.pool->shared;
    struct pp_record *r = record_of(w);
    uint32_t slot = pp_ticket_slot(ticket), generation = pp_ticket_generation(ticket);
    MUST(slot < PP_SLOTS);
    r->end = 0;
    r->job = ticket;
    POINT();
    pp_state_begin(&s->outcomes[slot].state, generation, w, life_of(w));
    uint64_t seen = s->outcomes[slot].state;
    if (pp_generation_of(seen) == generation && pp_phase_of(seen) == PP_RUNNING) {
        const struct pp_job_plan *plan = s->descs[slot].in;
        struct pp_pace pace = {.items = 8 * plan->block};
        struct pp_chunk chunk;
        while (pp_plan_claim(plan, w, &pace, UINT64_MAX, &chunk)) {
            POINT();
            r->end = 0;
            r->begin = r->progress = chunk.begin;
            r->judged = 0;
            POINT();
            r->end = pp_plan_seal(plan, chunk.begin, chunk.end);
            if (!run_items(w, plan, &chunk)) return false;
        }
    }
    r->job = 0;
    POINT();
    announce(w, ticket);
    return true;
}

static bool look_for_work(uint32_t w) {
    struct pp_shared *s = &world.pool->shared;
    if (world.hands[w].parkings) pp_park_end(s, w);
    world.hands[w].parkings = false;
    if (!run_tickets(w)) return false;
    for (uint32_t place = 0; place < atomic_load(&s->control->job_table_end); place++) {
        uint64_t ticket = s->job_table[place];
        if (ticket && !run_job(w, ticket)) return false;
    }
    /* It rests. */
    pp_park_begin(s, w);
    world.hands[w].parkings = true;
    return true;
}

static void step(uint32_t w, unsigned until) {
    stops_at = until;
    if (world.resetting) return;
    if (!world.hands[w].stopped && !look_for_work(w) && !world.hands[w].stopped) die(w, SIGSEGV);
    stops_at = 0;
}

/* ---- scribbling */

/* What may be worth a hit: 8-byte words near the fields that are read. */
static char *target(void) {
    struct pp_shared *s = &world.pool->shared;
    unsigned kind = byte();
    uint64_t offset = word(2);
    switch (kind % 8) {
    case 0: return (char *)record_of(kind / 8 % WORKERS) + offset % 320;
    case 1: return (char *)pp_done_entry(s, kind / 8 % WORKERS, offset % 64);
    case 2: return (char *)&s->outcomes[kind / 8 % 32] + offset % 64;
    case 3: return (char *)s->status + offset % 32 * 8;
    case 4: return (char *)s->messages[kind / 8 % 32] + offset % PP_MESSAGE;
    case 5: return s->work + offset % 16384;
    case 6: return s->results + offset % 16384;
    default: return s->arena + offset % 16384;
    }
}

static void scribble(void) {
    char *to = target();
    unsigned how = byte();
    uint64_t value, old;
    memcpy(&old, to, sizeof old);
    switch (how % 6) {
    case 0: value = old ^ (uint64_t)1 << how / 6 % 64; break;
    case 1: value = old + how / 6 - 20; break;
    case 2:
        value = 0 - (uint64_t)(how / 6 % 2);
        if (how / 6 % 4 == 1) memset(to, 'x', PP_MESSAGE);
        break;
    case 3: memcpy(&value, target(), sizeof value); break;
    case 4: value = word(2); break;
    default: value = word(8); break;
    }
    memcpy(to, &value, how & 0x80 ? 4 : sizeof value);
    world.scribbled = true;
}

/* ---- the caller */

static struct flight *some_flight(void) {
    return &world.flights[byte() % FLIGHTS];
}

static void forget(struct flight *f) {
    if (f->in_arena) {
        pool_free(world.pool, f->in);
        pool_free(world.pool, f->out);
    } else {
        free(f->in);
        free(f->out);
    }
    memset(f, 0, sizeof *f);
}

static void *room(struct flight *f, size_t size) {
    return f->in_arena ? pool_alloc(world.pool, size) : calloc(1, size);
}

static void submit_some(struct flight *f) {
    unsigned shape = byte(), more = byte();
    f->kind = (int)(shape % KINDS);
    f->count = 1;
    f->out_size = shape & 0x10 ? LARGE : shape & 0x20 ? sizeof(long) : 0;
    f->any_size = more & 0x10;
    if (f->any_size) f->out_size = 0;
    f->retries = more % 4 == 1 ? 2 : 0;
    f->in = room(f, LARGE);
    f->out = room(f, LARGE);
    f->in[0] = (long)more;
    struct pool_task task = {.fn = fns[f->kind], .in = shape & 0x40 ? f->in : NULL,
                             .out_size = f->any_size ? POOL_ANY_SIZE : f->out_size,
                             .priority = (int)(more / 4 % 4), .retries = f->retries,
                             .timeout = more & 0x80 ? 1 + (int)(more % 3) : 0,
                             .cpu_timeout = more & 0x40 ? 1 + (int)(more % 5) : 0};
    task.in_size = task.in ? (shape & 0x80 ? LARGE : sizeof(long)) : 0;
    if (!task.in) f->in[0] = 0;
    f->killed = task.timeout != 0 || task.cpu_timeout != 0;
    if (pool_submit(world.pool, &task, &f->future) != 0) forget(f);
}

static void map_some(struct flight *f) {
    unsigned shape = byte(), more = byte();
    f->is_job = true;
    f->kind = (int)(shape % KINDS);
    f->count = byte() % ITEMS;
    f->in_arena = shape & 0x10;
    f->out_size = shape & 0x20 ? sizeof(long) : 0;
    f->retries = more % 4 == 1 ? 2 : 0;
    f->in = room(f, ITEMS * sizeof(long));
    f->out = room(f, ITEMS * sizeof(long));
    MUST(f->in && f->out);
    for (long i = 0; i < ITEMS; i++) f->in[i] = i + (long)more;
    struct pool_job job = {.fn = fns[f->kind], .in = f->in, .in_size = sizeof(long), .count = f->count,
                           .retries = f->retries,
                           .chunk = more / 4 % 8, .status = f->status, .failure = &f->failure,
                           .timeout = more & 0x80 ? 1 + (int)(more % 3) : 0,
                           .cpu_timeout = more & 0x40 ? 1 + (int)(more % 5) : 0};
    if (f->out_size || shape & 0x80) job.out_size = sizeof(long);
    if (f->out_size) job.out = f->out;
    f->killed = job.timeout != 0 || job.cpu_timeout != 0;
    if (pool_map_async(world.pool, &job, &f->future) != 0) forget(f);
}

static void submit_to_free_flight(bool job) {
    for (size_t i = 0; i < FLIGHTS; i++) {
        struct flight *f = &world.flights[i];
        if (f->future) continue;
        forget(f);
        if (job) map_some(f);
        else submit_some(f);
        return;
    }
}

static void check_failure(const struct pool_failure *failure, int code, size_t count) {
    MUST(failure->error == code && code <= 0 && code >= POOL_ECORRUPT);
    MUST(memchr(failure->message, 0, sizeof failure->message));
    MUST((code == 0) == (failure->message[0] == 0) && failure->index < (count ? count : 1));
}

/* Without scribbling: what came is what had to. */
static void check_item(const struct flight *f, int code, bool special, long in, long out) {
    int natural = !special || f->kind == WELL ? 0 : f->kind == FAILS ? POOL_EFAILED : POOL_EDIED;
    /* EDIED: workers die of other things, too; or the supervisor did. */
    MUST(code == natural || code == POOL_EDIED || (f->killed && (code == POOL_ECANCELLED || code == POOL_EDEADLINE)));
    if (code == 0 && f->out_size) MUST(out == in * 2 + 1);
}

/* It may be of any size, but all of it is there. */
static void touch_result(struct future *future) {
    size_t size = future_size(future);
    const volatile char *data = future_data(future, NULL);
    MUST((data == NULL) == (size == 0));
    if (size > 0) (void)(data[0] + data[size - 1]);
}

static void check_outcome(struct flight *f) {
    long small[LARGE / sizeof(long) + 1] = {0};
    int code = future_get(f->future, f->any_size ? NULL : small, 0);
    MUST(code != POOL_ETIMEDOUT);
    struct pool_failure failure;
    MUST(future_failure(f->future, &failure) == 0);
    check_failure(&failure, code, f->count);
    if (f->any_size && code == 0 && world.pool) touch_result(f->future);
    if (!f->is_job) {
        if (!world.scribbled) check_item(f, code, true, f->in[0], small[0]);
        return;
    }
    if (f->count == 0) return;
    check_failure(&f->failure, code, f->count);
    int first = 0;
    for (size_t i = 0; i < f->count; i++) {
        MUST(f->status[i] <= 0 && f->status[i] >= POOL_ECORRUPT);
        if (first == 0) first = f->status[i];
        if (!world.scribbled) check_item(f, f->status[i], i % 16 == 5, f->in[i], f->out[i]);
    }
    MUST(first == code);
}

static void examine(void) {
    pp_lock(world.pool);
    world.pool->looks.strays_at = 0; /* or the look would not count as another */
    pp_examine(world.pool);
    pp_unlock(world.pool);
    MUST(world.scribbled || !world.pool->reset.under_way);
}

static void wake(void) {
    struct pool *pool = world.pool;
    if (byte() % 2) pp_wake(&pool->shared, pool->fds.task_pipe, &pool->wakes, byte());
    else pp_wake_another(&pool->shared, pool->fds.task_pipe, &pool->wakes);
}

static void act(unsigned what) {
    struct flight *f;
    switch (what % 24) {
    case 0:
    case 1:
    case 2: submit_to_free_flight(false); break;
    case 3:
    case 4: submit_to_free_flight(true); break;
    case 5:
        f = some_flight();
        if (f->future && future_cancel(f->future) == 0) f->killed = true;
        break;
    case 6:
        f = some_flight();
        if (f->future && future_kill(f->future) == 0) f->killed = true;
        break;
    case 7:
        f = some_flight();
        if (!f->future || f->in_arena) break; /* arena data must stay while the job may run */
        if (future_done(f->future)) check_outcome(f);
        future_free(f->future);
        forget(f);
        break;
    case 8: MUST(pool_poll(world.pool, 0) >= 0); break;
    case 9:
        f = some_flight();
        if (f->future) (void)future_running(f->future);
        break;
    case 10: examine(); break;
    case 11:
        world.now += word(1) * 100000;
        check_clock();
        break;
    case 12:
    case 13:
    case 14: step(byte() % WORKERS, 0); break;
    case 15:
    case 16: {
        uint32_t w = byte() % WORKERS;
        step(w, 1 + byte());
        break;
    }
    case 17: die(byte() % WORKERS, (int)(byte() << 8)); break;
    case 18: wake(); break;
    default: scribble(); break;
    }
    obey();
}

/* ---- the whole */

/* A backend without workers. */
static int start_nobody(struct pool *pool) {
    int tasks[2], control[2];
    MUST(pp_pipe(tasks) == 0 && pp_bell_make(pool) && pp_pipe(control) == 0);
    pool->fds.task_pipe = tasks[1];
    pool->fds.task_pipe_end = world.task_end = tasks[0];
    pool->fds.command_pipe = control[1];
    world.control_end = control[0];
    pool->supervisor = getpid(); /* no process that could be waited for or killed */
    return 0;
}

static void end_nobody(struct pool *pool) {
    (void)pool;
}

/* Linked instead of the library's. */
const struct pp_backend *pp_backend_of(int kind) {
    static const struct pp_backend nobody = {.start = start_nobody, .end = end_nobody};
    (void)kind;
    return &nobody;
}

static void make_world(const uint8_t *data, size_t size) {
    memset(&world, 0, sizeof world);
    world.input = data;
    world.input_end = data ? data + size : NULL;
    world.now = pp_now();
    struct pool_options options = {.workers = WORKERS, .arena_size = (size_t)4 << 20, .trace = trace_path};
    MUST(pool_create(&options, &world.pool) == 0);
    for (uint32_t w = 0; w < WORKERS; w++) start(w);
}

static bool all_done(void) {
    return world.pool->open == 0;
}

/* What is it that does not end? */
static void tell_of_open_ones(void) {
    for (size_t i = 0; i < FLIGHTS; i++) {
        const struct future *f = world.flights[i].future;
        if (!f || atomic_load(&f->done)) continue;
        fprintf(stderr, "open: %s in slot %ld", f->is_job ? "job" : "task",
                f->slot == PP_NO_SLOT ? -1L : (long)f->slot);
        if (f->slot != PP_NO_SLOT)
            fprintf(stderr, ", state %llx, generation %x",
                    (unsigned long long)world.pool->shared.outcomes[f->slot].state,
                    (unsigned)world.pool->slots.table[f->slot].generation);
        fputc('\n', stderr);
    }
    for (uint32_t w = 0; w < WORKERS; w++)
        fprintf(stderr, "worker %u: life %u, current %llx, job %llx, item %llx\n", (unsigned)w, (unsigned)life_of(w),
                (unsigned long long)record_of(w)->current, (unsigned long long)record_of(w)->job,
                (unsigned long long)record_of(w)->item);
}

static void heal(void) {
    for (int round = 0; !all_done(); round++) {
        if (round == HEALING) tell_of_open_ones();
        MUST(round < HEALING); /* else something would never end */
        for (uint32_t w = 0; w < WORKERS; w++) {
            if (world.hands[w].stopped && round == 2) die(w, SIGKILL);
            step(w, 0);
        }
        obey();
        examine();
        obey();
        world.now += 10000000;
        check_clock();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    make_world(data, size);
    bool heals = byte() % 8 != 0; /* or the pool ends with all of it under way */
    if (on_begin) on_begin();
    while (world.input < world.input_end) act(byte());
    if (on_end) on_end();
    if (heals) heal();
    unsigned ending = byte();
    if (ending & 1) pp_close(&world.control_end); /* the supervisor has gone */
    if (ending & 2) (void)pool_shutdown(world.pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, 0);
    if (ending & 4) MUST(pool_poll(world.pool, 0) >= 0);
    bool kept[FLIGHTS];
    for (size_t i = 0; i < FLIGHTS; i++) {
        struct flight *f = &world.flights[i];
        kept[i] = f->future && (!heals || i % 2);
        if (!heals) f->killed = true;
        if (f->future && !kept[i]) check_outcome(f);
        future_free(kept[i] ? NULL : f->future);
        if (f->in_arena) f->in = f->out = NULL; /* it goes with the pool */
    }
    pool_destroy(world.pool);
    pp_close(&world.control_end);
    world.pool = NULL;
    for (size_t i = 0; i < FLIGHTS; i++) {
        struct flight *f = &world.flights[i];
        if (kept[i] && f->in) check_outcome(f);
        if (kept[i]) future_free(f->future);
        if (!f->in_arena) forget(f);
    }
    return 0;
}
