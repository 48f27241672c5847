/* State words: whichever threads race, each task starts at most once and ends exactly once. */
#include "threads.h"

#include "shared/state.h"

/* ---- One use of each word */

enum { MOST_WORDS = 50000 };

static struct {
    _Atomic uint64_t words[MOST_WORDS];
    atomic_uchar begun[MOST_WORDS], ended[MOST_WORDS];
    long results[MOST_WORDS]; /* not atomic: ordered by the word */
    size_t count;
    struct barrier start;
} race;

struct racer {
    uint32_t number;
    enum pp_phase reason;
};

static uint32_t generation_at(size_t i) {
    return (uint32_t)i * 77773 + 1;
}

static void *race_to_run(void *argument) {
    const struct racer *racer = argument;
    uint64_t random = racer->number;
    meet(&race.start);
    for (size_t i = 0; i < race.count; i++) {
        stumble(&random);
        if (!pp_state_begin(&race.words[i], generation_at(i), racer->number, 7)) continue;
        atomic_fetch_add(&race.begun[i], 1);
        race.results[i] = (long)i;
        stumble(&random);
        if (pp_state_end(&race.words[i], pp_state(generation_at(i), PP_RUNNING, racer->number, 7)))
            atomic_fetch_add(&race.ended[i], 1);
    }
    return NULL;
}

static void *race_to_cancel(void *argument) {
    uint64_t random = (uintptr_t)argument;
    meet(&race.start);
    for (size_t i = 0; i < race.count; i++) {
        stumble(&random);
        if (next_random(&random) % 2 && pp_state_cancel(&race.words[i], generation_at(i)))
            atomic_fetch_add(&race.ended[i], 1);
    }
    return NULL;
}

static void *race_to_kill(void *argument) {
    const struct racer *racer = argument;
    uint64_t random = 100 + racer->number;
    meet(&race.start);
    for (size_t i = 0; i < race.count; i++) {
        stumble(&random);
        uint64_t seen = atomic_load_explicit(&race.words[i], memory_order_acquire);
        if (next_random(&random) % 2 && pp_state_kill(&race.words[i], seen, racer->reason))
            atomic_fetch_add(&race.ended[i], 1);
    }
    return NULL;
}

TEST_CASE(each_task_ends_exactly_once) {
    race.count = scaled(MOST_WORDS);
    race.start.count = 5;
    struct racer runners[2] = {{1, 0}, {2, 0}}, killers[2] = {{3, PP_KILLED}, {4, PP_OVERDUE}};
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < race.count; i++) {
            race.begun[i] = race.ended[i] = 0;
            race.results[i] = -1;
            pp_state_submit(&race.words[i], generation_at(i));
        }
        struct threads threads = {.count = 0};
        for (int i = 0; i < 2; i++) start_thread(&threads, race_to_run, &runners[i]);
        for (int i = 0; i < 2; i++) start_thread(&threads, race_to_kill, &killers[i]);
        start_thread(&threads, race_to_cancel, (void *)(uintptr_t)round);
        join_all(&threads);
        for (size_t i = 0; i < race.count; i++) {
            enum pp_phase phase = pp_phase_of(race.words[i]);
            assert_int_equal(race.ended[i], 1);
            assert_int_equal(race.begun[i], phase == PP_CANCELLED ? 0 : 1);
            assert_int_equal(pp_generation_of(race.words[i]), generation_at(i));
            assert_true(phase == PP_DONE || phase == PP_CANCELLED || phase == PP_KILLED || phase == PP_OVERDUE);
            if (phase == PP_DONE) assert_int_equal(race.results[i], (long)i);
        }
    }
}

/* ---- Slots that are used again and again */

enum { SLOTS = 16 };

static struct {
    struct {
        _Atomic uint64_t word;
        long argument, result; /* not atomic */
        atomic_uint dead;      /* the generation in which a killed worker has stopped */
    } slots[SLOTS];
    atomic_bool over;
} uses;

static void *work_on_slots(void *argument) {
    const struct racer *worker = argument;
    uint64_t random = worker->number;
    while (!atomic_load(&uses.over)) {
        size_t i = next_random(&random) % SLOTS;
        uint64_t seen = atomic_load_explicit(&uses.slots[i].word, memory_order_relaxed);
        uint32_t generation = pp_generation_of(seen);
        if (pp_phase_of(seen) != PP_PENDING) sched_yield();
        if (!pp_state_begin(&uses.slots[i].word, generation, worker->number, 1)) continue;
        uses.slots[i].result = uses.slots[i].argument * 3;
        stumble(&random);
        if (!pp_state_end(&uses.slots[i].word, pp_state(generation, PP_RUNNING, worker->number, 1)))
            atomic_store_explicit(&uses.slots[i].dead, generation, memory_order_release);
    }
    return NULL;
}

static void *kill_in_slots(void *argument) {
    uint64_t random = (uintptr_t)argument;
    while (!atomic_load(&uses.over)) {
        size_t i = next_random(&random) % SLOTS;
        uint64_t seen = atomic_load_explicit(&uses.slots[i].word, memory_order_acquire);
        stumble(&random);
        pp_state_kill(&uses.slots[i].word, seen, PP_OVERDUE);
        sched_yield();
    }
    return NULL;
}

TEST_CASE(workers_see_the_arguments_and_the_caller_sees_the_results) {
    struct racer workers[2] = {{1, 0}, {2, 0}};
    struct threads threads = {.count = 0};
    atomic_store(&uses.over, false);
    for (int i = 0; i < 2; i++) start_thread(&threads, work_on_slots, &workers[i]);
    start_thread(&threads, kill_in_slots, (void *)(uintptr_t)9);
    uint32_t generations[SLOTS] = {0};
    size_t wanted = scaled(200000), submitted = 0, done = 0, cancelled = 0, killed = 0;
    uint64_t random = 5;
    int64_t start = now_ms();
    while ((done + cancelled + killed < wanted || done == 0) && now_ms() - start < PATIENCE) {
        size_t i = next_random(&random) % SLOTS;
        uint64_t seen = atomic_load_explicit(&uses.slots[i].word, memory_order_acquire);
        if (generations[i] != 0) {
            if (pp_phase_of(seen) == PP_PENDING && next_random(&random) % 64 == 0 &&
                pp_state_cancel(&uses.slots[i].word, generations[i]))
                seen = atomic_load_explicit(&uses.slots[i].word, memory_order_acquire);
            if (pp_phase_of(seen) == PP_PENDING || pp_phase_of(seen) == PP_RUNNING) continue;
            assert_int_equal(pp_generation_of(seen), generations[i]);
            if (pp_phase_of(seen) == PP_OVERDUE) {
                if (atomic_load_explicit(&uses.slots[i].dead, memory_order_acquire) != generations[i]) continue;
                killed++;
            } else if (pp_phase_of(seen) == PP_DONE) {
                assert_int_equal(uses.slots[i].result, uses.slots[i].argument * 3);
                done++;
            } else {
                assert_int_equal(pp_phase_of(seen), PP_CANCELLED);
                cancelled++;
            }
        }
        uses.slots[i].argument = (long)++submitted;
        pp_state_submit(&uses.slots[i].word, ++generations[i]);
    }
    atomic_store(&uses.over, true);
    join_all(&threads);
    assert_true(done + cancelled + killed >= wanted && done > 0);
}

/* ---- The word of a worker's item */

static struct {
    _Atomic uint64_t word;
    atomic_size_t killed;
    atomic_bool over;
} item;

static void *kill_items(void *unused) {
    (void)unused;
    uint64_t random = 3;
    while (!atomic_load(&item.over)) {
        uint64_t seen = atomic_load_explicit(&item.word, memory_order_acquire);
        stumble(&random);
        if (pp_state_kill(&item.word, seen, PP_KILLED)) atomic_fetch_add(&item.killed, 1);
        else sched_yield();
    }
    return NULL;
}

TEST_CASE(a_kill_hits_the_intended_item_or_none) {
    struct threads threads = {.count = 0};
    atomic_store(&item.over, false);
    start_thread(&threads, kill_items, NULL);
    start_thread(&threads, kill_items, NULL);
    size_t lost = 0;
    uint64_t random = 8;
    for (uint32_t i = 1; i <= scaled(300000); i++) {
        uint64_t running = pp_item_begin(&item.word, i, 5, 6);
        stumble(&random);
        if (!pp_item_end(&item.word, running)) {
            assert_true(item.word == ((running & ~(uint64_t)0xf) | PP_KILLED));
            lost++;
        }
    }
    atomic_store(&item.over, true);
    join_all(&threads);
    assert_int_equal(lost, item.killed);
}

/* ---- The word itself */

TEST_CASE(a_word_keeps_its_parts) {
    uint64_t random = 1;
    for (int i = 0; i < 100000; i++) {
        uint32_t generation = (uint32_t)next_random(&random), worker = (uint32_t)next_random(&random) % PP_WORKERS;
        uint32_t life = (uint32_t)next_random(&random) & 0xffffU;
        enum pp_phase phase = (enum pp_phase)(next_random(&random) % (PP_SPENT + 1));
        uint64_t word = pp_state(generation, phase, worker, life);
        assert_true(pp_generation_of(word) == generation && pp_phase_of(word) == phase && pp_worker_of(word) == worker);
        assert_true(pp_is_held_by(word, worker, life) && pp_is_held_by(word, worker, life + 0x10000));
        assert_false(pp_is_held_by(word, worker, life + 1));
        assert_false(pp_is_held_by(word, worker + 1, life));
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(each_task_ends_exactly_once),
        TEST(workers_see_the_arguments_and_the_caller_sees_the_results),
        TEST(a_kill_hits_the_intended_item_or_none),
        TEST(a_word_keeps_its_parts),
    };
    return run_group("shared_state", tests, COUNT(tests), argc, argv);
}
