/* What workers can write may change at any moment, also between two reads of the caller: while a program of
 * fuzz_shared.c runs, a thread that stands for a hostile worker changes one word after another, to and fro, among
 * values that make sense there. The caller, under AddressSanitizer, touches no memory that is not its own, no call
 * hangs, and once the thread stops all ends, as there.
 *
 * The thread writes where workers can, and nowhere else. It keeps to one word for thousands of changes, so that the
 * caller meets each of its values between any two instructions.
 *
 * A libFuzzer target, see CMakeLists.txt; test_race.c runs the same on pseudo-random inputs. */
#include "fuzz_shared.c" /* NOLINT */

#include <pthread.h>

enum { HITS = 3000 };

static struct {
    pthread_t thread;
    bool started;
    _Atomic bool runs, stands; /* the thread is to write; it does not */
    uint64_t random;
} race = {.stands = true};

static uint64_t draw(void) {
    race.random = race.random * 6364136223846793005U + 1442695040888963407U;
    return race.random >> 20;
}

/* ---- the words, and what makes sense there */

enum { VALUES = 4 };
struct hit {
    char *at;
    size_t size;
    uint64_t values[VALUES];
};

static uint64_t read_there(const struct hit *hit) {
    uint64_t value = 0;
    memcpy(&value, hit->at, hit->size);
    return value;
}

static void hit_any(struct hit *hit) {
    uint64_t old = read_there(hit);
    for (int i = 1; i < VALUES; i++) {
        switch (draw() % 7) {
        case 0: hit->values[i] = 0; break;
        case 1: hit->values[i] = UINT64_MAX; break;
        case 2: hit->values[i] = old + 1 - draw() % 3; break;
        case 3: hit->values[i] = old ^ (uint64_t)1 << draw() % 64; break;
        case 4: hit->values[i] = draw() % 70000; break;
        case 5: hit->values[i] = 0 - draw() % 70000; break;
        default: hit->values[i] = draw() << 32 ^ draw();
        }
    }
}

/* The phases of a state word, and another worker. */
static void hit_phases(struct hit *hit) {
    uint64_t old = read_there(hit);
    for (int i = 1; i < VALUES; i++) {
        hit->values[i] = (old & ~(uint64_t)15) | draw() % 9;
        if (draw() % 4 == 0) hit->values[i] ^= (uint64_t)(1 + draw() % 3) << 4;
        if (draw() % 8 == 0) hit->values[i] += (uint64_t)1 << 32;
    }
}

/* A chunk that bears the seal of the plan that the worker is at: its end is written, the beginning with it. */
static void hit_chunk(struct hit *hit, struct pp_record *record) {
    const struct pp_shared *s = &world.pool->shared;
    uint32_t slot = pp_ticket_slot(atomic_load(&record->job));
    hit->at = (char *)&record->end;
    const char *in = slot < PP_SLOTS && slot ? s->descs[slot].in : NULL;
    if (!in || in < s->inputs || in >= s->inputs + s->inputs_size) return;
    struct pp_job_plan plan;
    memcpy(&plan, in, sizeof plan); /* it may be another's by now */
    uint64_t most = plan.count && plan.count < 100000 ? plan.count + 2 : 200, begin = draw() % most;
    atomic_store(&record->begin, begin);
    atomic_store(&record->progress, begin + draw() % 4);
    for (int i = 1; i < VALUES; i++) hit->values[i] = pp_plan_seal(&plan, begin, begin + draw() % most);
}

#define OFFSET(room) ((size_t)(draw() % (room)) / 8 * 8)

/* Its tail, or a word of one of the first entries. */
static void hit_trace(struct hit *hit) {
    static const uint32_t rings[] = {0, 1, WORKERS - 1, PP_TRACE_SUPERVISOR, PP_TRACE_CALLER};
    const struct pp_trace *trace = &world.pool->shared.trace;
    if (!trace->base) return;
    struct pp_trace_ring *r = pp_trace_ring(trace, rings[draw() % (sizeof rings / sizeof *rings)]);
    hit->at = (char *)r + (draw() % 4 ? OFFSET(1024) : 0);
}

/* The words of room that tasks take by themselves: a page's owner, where to look for a free page, and how far. */
static char *word_of_room(const struct pp_shared *s, size_t *size) {
    *size = 4;
    switch (draw() % 4) {
    case 0: return (char *)&s->owners->hint;
    case 1: return (char *)&s->owners->end;
    default: return (char *)&s->owners->of[draw() % 64];
    }
}

static struct hit choose_hit(void) {
    struct pp_shared *s = &world.pool->shared;
    struct pp_record *record = &s->records[draw() % WORKERS];
    struct pp_outcome *outcome = &s->outcomes[draw() % 32];
    struct hit hit = {.size = 8};
    void (*values)(struct hit *hit) = hit_any;
    switch (draw() % 18) {
    case 0: hit.at = (char *)&outcome->state, values = hit_phases; break;
    case 1: hit.at = (char *)&record->item, values = hit_phases; break;
    case 2:
        hit_chunk(&hit, record);
        hit.values[0] = read_there(&hit);
        return hit;
    case 3: hit.at = (char *)&outcome->code, hit.size = 4; break;
    case 4: hit.at = (char *)&outcome->resized, hit.size = 4; break;
    case 5: hit.at = s->messages[draw() % 32]; break; /* the size of a result */
    case 6: hit.at = s->messages[draw() % 32] + OFFSET(PP_MESSAGE); break;
    case 7: hit.at = (char *)&record->done_tail; break;
    case 8: hit.at = (char *)pp_done_entry(s, (uint32_t)(draw() % WORKERS), draw() % 64); break;
    case 9: hit.at = (char *)&s->status->head; break;
    case 10: hit.at = (char *)s->status + OFFSET(256); break;
    case 11: hit.at = (char *)&s->last_words[draw() % WORKERS] + OFFSET(sizeof(struct pp_last_words)); break;
    case 12: hit.at = s->work + OFFSET(16384); break;
    case 13: hit.at = word_of_room(s, &hit.size); break;
    case 14: hit.at = s->messages[draw() % 32] + 8; break; /* where a result of any size lies */
    case 15:
        hit.at = s->work;
        hit_trace(&hit);
        break;
    case 16: hit.at = (char *)&record->last, hit.size = 4; break;
    default: hit.at = (char *)record + OFFSET(sizeof *record);
    }
    values(&hit);
    hit.values[0] = read_there(&hit);
    return hit;
}

/* ---- the thread */

static void strike(const struct hit *hit) {
    for (int i = 0; i < HITS && atomic_load_explicit(&race.runs, memory_order_relaxed); i++) {
        uint64_t value = hit->values[draw() % VALUES];
        if (hit->size == 8) atomic_store_explicit((_Atomic uint64_t *)(void *)hit->at, value, memory_order_relaxed);
        else atomic_store_explicit((_Atomic uint32_t *)(void *)hit->at, (uint32_t)value, memory_order_relaxed);
    }
}

static void *be_hostile(void *unused) {
    (void)unused;
    for (;;) {
        while (!atomic_load(&race.runs)) {
            atomic_store(&race.stands, true);
            sched_yield();
        }
        atomic_store(&race.stands, false);
        if (!atomic_load(&race.runs)) continue; /* the world may have gone: race_ends() waits for `stands` */
        struct hit hit = choose_hit();
        strike(&hit);
    }
    return NULL;
}

static void race_begins(void) {
    if (!race.started) MUST(pthread_create(&race.thread, NULL, be_hostile, NULL) == 0);
    race.started = true;
    race.random = word(8);
    world.scribbled = true;
    atomic_store(&race.runs, true);
}

static void race_ends(void) {
    atomic_store(&race.runs, false);
    do sched_yield();
    while (!atomic_load(&race.stands));
}

/* One program in four has a trace. Its rings are written to until the file is there, by whatever is in them by then. */
static int run_race(const uint8_t *data, size_t size) {
    char path[] = "/tmp/fuzz_race.XXXXXX";
    int file = size > 0 && data[size - 1] % 4 == 0 ? mkstemp(path) : -1;
    on_begin = race_begins;
    on_end = race_ends;
    trace_path = file >= 0 ? path : NULL;
    int result = LLVMFuzzerTestOneInput(data, size);
    if (file >= 0) unlink(path);
    pp_close(&file);
    return result;
}
