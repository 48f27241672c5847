/* The record of a worker: of one that lives, and of one that died with a chunk. */
#include "support.h"

#include "shared/last_words.h"
#include "shared/plan.h"
#include "shared/record.h"

enum { WORKER = 1, LIFE = 7 };

static struct pp_job_plan plan = {.count = 95, .block = 10, .blocks = 10, .stripe_bits = 4};
static struct pp_shared memory;

static struct pp_record *begin(void) {
    assert_int_equal(pp_shared_make(&memory, (size_t)1 << 20, 0), 0);
    atomic_store(&memory.control->workers, 2);
    atomic_store(&memory.control->lives[WORKER], LIFE);
    return &memory.records[WORKER];
}

/* Records a chunk as a worker does: positions [first, end), of which those below progress are finished. */
static void set_chunk(struct pp_record *record, uint64_t first, uint64_t end, uint64_t progress) {
    atomic_store(&record->begin, first);
    atomic_store(&record->end, end ? pp_plan_seal(&plan, first, end) : 0);
    atomic_store(&record->progress, progress);
}

static bool has_chunk(uint64_t first, uint64_t end, uint64_t progress) {
    struct pp_chunk chunk = {0};
    set_chunk(&memory.records[WORKER], first, end, progress);
    struct pp_snapshot snapshot = pp_record_snapshot(&memory, WORKER);
    if (!pp_snapshot_chunk(&snapshot, &plan, &chunk)) return false;
    assert_true(chunk.begin == first && chunk.end == end);
    assert_int_equal(chunk.first, first / 10);
    assert_int_equal(chunk.last, (end + 9) / 10);
    return true;
}

TEST_CASE(a_chunk_counts_if_it_lies_within_the_plan) {
    begin();
    assert_true(has_chunk(20, 40, 20));
    assert_true(has_chunk(20, 40, 40));
    assert_true(has_chunk(90, 95, 91));
    assert_false(has_chunk(20, 0, 20));  /* the worker is just recording it */
    assert_false(has_chunk(20, 20, 20));
    assert_false(has_chunk(21, 40, 30)); /* not the start of a block */
    assert_false(has_chunk(90, 96, 91));
    assert_false(has_chunk(20, 40, 19));
    assert_false(has_chunk(20, 40, 41));
    assert_false(has_chunk(20, UINT64_MAX, 30));
    pp_shared_unmake(&memory);
}

TEST_CASE(a_chunk_that_no_claim_takes_does_not_count) {
    const struct pp_job_plan before = plan;
    begin();
    plan.stripe_bits = 1;
    assert_true(has_chunk(20, 40, 25));
    assert_false(has_chunk(30, 50, 35)); /* of two stripes */
    assert_false(has_chunk(0, 95, 1));
    plan.chunk_blocks = 1;
    assert_true(has_chunk(20, 30, 25));
    assert_false(has_chunk(20, 40, 25));
    plan = before;
    pp_shared_unmake(&memory);
}

/* Whatever a task writes over one of its words, or over both with those of another chunk. */
TEST_CASE(a_chunk_whose_words_were_overwritten_does_not_count) {
    struct pp_record *record = begin();
    struct pp_job_plan other = plan;
    struct pp_chunk chunk;
    for (uint64_t value = 0; value <= 95; value++) {
        set_chunk(record, 20, 40, 25);
        if (value != 20) atomic_store(&record->begin, value);
        else atomic_store(&record->end, value);
        struct pp_snapshot snapshot = pp_record_snapshot(&memory, WORKER);
        assert_false(pp_snapshot_chunk(&snapshot, &plan, &chunk));
        set_chunk(record, 20, 40, 25);
        atomic_store(&record->end, value);
        snapshot = pp_record_snapshot(&memory, WORKER);
        assert_false(pp_snapshot_chunk(&snapshot, &plan, &chunk));
    }
    set_chunk(record, 20, 40, 25);
    struct pp_snapshot snapshot = pp_record_snapshot(&memory, WORKER);
    assert_true(pp_snapshot_chunk(&snapshot, &plan, &chunk));
    assert_false(pp_snapshot_chunk(&snapshot, &other, &chunk)); /* of another job */
    pp_shared_unmake(&memory);
}

static uint64_t victims_end;

static uint64_t victim_of(enum pp_phase phase, uint32_t life, uint64_t single, uint64_t progress, uint64_t until) {
    struct pp_record *record = &memory.records[WORKER];
    set_chunk(record, 20, 40, progress);
    atomic_store(&record->item, pp_state(3, phase, WORKER, life));
    atomic_store(&record->single, single);
    atomic_store(&record->until, until);
    struct pp_snapshot snapshot = pp_record_snapshot(&memory, WORKER);
    struct pp_chunk chunk;
    assert_true(pp_snapshot_chunk(&snapshot, &plan, &chunk));
    victims_end = 0;
    return pp_snapshot_victim(&snapshot, &chunk, &victims_end);
}

TEST_CASE(the_victim_of_a_visit_is_the_first_item_that_is_not_finished) {
    begin();
    for (uint64_t p = 20; p < 30; p++) {
        assert_int_equal(victim_of(PP_RUNNING, LIFE, PP_WHOLE_VISIT, p, 30), p);
        assert_int_equal(victim_of(PP_KILLED, LIFE, PP_WHOLE_VISIT, p, 30), p);
    }
    pp_shared_unmake(&memory);
}

TEST_CASE(a_worker_between_two_calls_of_a_visit_has_no_victim) {
    begin();
    assert_int_equal(victim_of(PP_RUNNING, LIFE, PP_WHOLE_VISIT, 20, 20), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_RUNNING, LIFE, PP_WHOLE_VISIT, 30, 30), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_KILLED, LIFE, PP_WHOLE_VISIT, 40, 40), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_KILLED, LIFE, PP_WHOLE_VISIT, 40, PP_ONE_BY_ONE), PP_NO_VICTIM);
    pp_shared_unmake(&memory);
}

TEST_CASE(the_victims_of_a_call_are_all_that_it_had_within_the_chunk) {
    const struct {
        uint64_t single, progress, until, victim, end;
    } deaths[] = {{PP_WHOLE_VISIT, 25, 30, 25, 30}, {PP_WHOLE_VISIT, 25, 26, 25, 26}, {PP_WHOLE_VISIT, 39, 40, 39, 40},
                  {PP_WHOLE_VISIT, 25, PP_ONE_BY_ONE, 25, 26}, {PP_WHOLE_VISIT, 25, 45, 25, 40},
                  {25, 25, 30, 25, 30}, {25, 30, 30, 25, 30}, {25, 26, 26, 25, 26}, {25, 26, 20, 25, 26}};
    begin();
    for (size_t i = 0; i < COUNT(deaths); i++) {
        uint64_t victim = victim_of(PP_RUNNING, LIFE, deaths[i].single, deaths[i].progress, deaths[i].until);
        assert_int_equal(victim, deaths[i].victim);
        assert_int_equal(victims_end, deaths[i].end);
    }
    pp_shared_unmake(&memory);
}

TEST_CASE(an_item_with_a_word_of_its_own_is_the_victim_until_the_word_has_ended) {
    begin();
    assert_int_equal(victim_of(PP_RUNNING, LIFE, 25, 25, 20), 25);
    assert_int_equal(victim_of(PP_RUNNING, LIFE, 25, 26, 20), 25);
    assert_int_equal(victim_of(PP_OVERDUE, LIFE, 25, 26, 20), 25);
    assert_int_equal(victim_of(PP_RUNNING, LIFE, 39, 40, 20), 39);
    assert_int_equal(victim_of(PP_FREE, LIFE, 25, 26, 20), PP_NO_VICTIM);
    pp_shared_unmake(&memory);
}

TEST_CASE(a_senseless_record_names_no_victim) {
    begin();
    assert_int_equal(victim_of(PP_RUNNING, LIFE + 1, PP_WHOLE_VISIT, 25, 30), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_DONE, LIFE, PP_WHOLE_VISIT, 25, 30), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_RUNNING, LIFE, PP_WHOLE_VISIT, 40, 45), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_RUNNING, LIFE, 24, 26, 30), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_RUNNING, LIFE, 27, 26, 30), PP_NO_VICTIM);
    assert_int_equal(victim_of(PP_RUNNING, LIFE, 19, 20, 30), PP_NO_VICTIM); /* the item is outside of the chunk */
    assert_int_equal(victim_of(PP_RUNNING, LIFE, 40, 40, 30), PP_NO_VICTIM);
    pp_shared_unmake(&memory);
}

TEST_CASE(a_snapshot_has_the_claimed_and_the_running_tasks) {
    struct pp_record *record = begin();
    for (uint64_t i = 0; i < 3; i++) atomic_store(&record->claimed[i], 100 + i);
    atomic_store(&record->claimed[4], 104); /* left over from earlier claims */
    atomic_store(&record->current, 100);
    atomic_store(&record->job, 50);
    atomic_store(&record->judged, 1);
    struct pp_snapshot snapshot = pp_record_snapshot(&memory, WORKER);
    for (uint64_t i = 0; i < 3; i++) assert_int_equal(snapshot.claimed[i], 100 + i);
    assert_int_equal(snapshot.claimed[3], 0);
    assert_true(snapshot.current == 100 && snapshot.job == 50 && snapshot.judged == 1);
    assert_true(pp_record_anybody_in(&memory, 50));
    assert_false(pp_record_anybody_in(&memory, 51));
    pp_shared_unmake(&memory);
}

TEST_CASE(last_words_are_read_as_they_were_left) {
    struct pp_record *record = begin();
    assert_int_equal(pp_last_words(&memory, WORKER).kind, PP_LAST_NOTHING);
    const struct pp_last_words fault = {.kind = PP_LAST_FAULT, .signal = 11, .address = 16, .frames = {100, 5}};
    pp_last_words_leave(&memory, WORKER, &fault, NULL);
    struct pp_last_words words = pp_last_words(&memory, WORKER);
    assert_true(words.kind == PP_LAST_FAULT && words.signal == 11 && words.address == 16 && !words.text[0]);
    assert_true(words.frames[0] == 100 && words.frames[1] == 0);
    for (uint64_t i = 0; i < PP_LAST_FRAMES - 1; i++) pp_last_words_callers(&memory, WORKER)[i] = 101 + i;
    words = pp_last_words(&memory, WORKER);
    for (uint64_t i = 0; i < PP_LAST_FRAMES - 1; i++) assert_int_equal(words.frames[i], 100 + i);
    assert_int_equal(words.frames[PP_LAST_FRAMES - 1], 0); /* there is an end, whatever was written */
    pp_last_words_leave(&memory, WORKER, &(struct pp_last_words){.kind = PP_LAST_TERMINATE}, "std::exception");
    words = pp_last_words(&memory, WORKER);
    assert_true(words.kind == PP_LAST_TERMINATE && strcmp(words.text, "std::exception") == 0);
    pp_last_words_add(&memory, WORKER, "another");
    assert_true(strcmp(pp_last_words(&memory, WORKER).text, "another") == 0);
    pp_record_begin_life(record);
    assert_int_equal(pp_last_words(&memory, WORKER).kind, PP_LAST_NOTHING);
    pp_shared_unmake(&memory);
}

TEST_CASE(overwritten_last_words_are_cut_and_printable) {
    struct pp_record *record = begin();
    memset(&memory.last_words[WORKER], 0x1b, sizeof memory.last_words[WORKER]);
    atomic_store(&record->last, PP_LAST_TERMINATE);
    struct pp_last_words words = pp_last_words(&memory, WORKER);
    assert_true(strlen(words.text) > sizeof words.text - 5);
    for (size_t i = 0; words.text[i]; i++) assert_int_equal(words.text[i], "\\x1b"[i % 4]);
    atomic_store(&record->last, 12345);
    assert_int_equal(pp_last_words(&memory, WORKER).kind, PP_LAST_NOTHING);
    pp_shared_unmake(&memory);
}

TEST_CASE(a_record_holds_nothing_after_the_end_of_a_life) {
    struct pp_record *record = begin();
    memset(record, 0x11, sizeof *record);
    pp_record_end_life(record);
    pp_record_begin_life(record);
    struct pp_snapshot snapshot = pp_record_snapshot(&memory, WORKER);
    assert_true(snapshot.claimed[0] == 0 && snapshot.current == 0 && snapshot.job == 0);
    assert_true(snapshot.phase == PP_FREE && pp_last_words(&memory, WORKER).kind == PP_LAST_NOTHING &&
                snapshot.retired == 0);
    struct pp_record_counts counts = pp_record_counts(record);
    assert_true(counts.tasks == 0 && counts.busy == 0 && counts.busy_since == 0);
    assert_int_equal(pp_record_started(record, 5), 5);
    pp_shared_unmake(&memory);
}

TEST_CASE(a_kill_hits_the_running_item_of_its_job_and_nothing_else) {
    struct pp_record *record = begin();
    uint32_t life = 0;
    atomic_store(&record->job, 50);
    pp_item_none(&record->item, WORKER, LIFE);
    assert_false(pp_record_kill(&memory, WORKER, 50, &life));
    uint64_t running = pp_item_begin(&record->item, 9, WORKER, LIFE);
    assert_false(pp_record_kill(&memory, WORKER, 51, &life));
    assert_int_equal(atomic_load(pp_record_word(record)), running);
    assert_true(pp_record_kill(&memory, WORKER, 50, &life));
    assert_int_equal(life, LIFE);
    assert_int_equal(atomic_load(pp_record_word(record)), pp_state(9, PP_KILLED, WORKER, LIFE));
    assert_false(pp_record_kill(&memory, WORKER, 50, &life));
    pp_shared_unmake(&memory);
}

TEST_CASE(a_senseless_start_counts_as_now_from_then_on) {
    struct pp_record *record = begin();
    atomic_store(&record->started, 100);
    assert_int_equal(pp_record_started(record, 200), 100);
    atomic_store(&record->started, 0);
    assert_int_equal(pp_record_started(record, 200), 200);
    assert_int_equal(pp_record_started(record, 300), 200);
    atomic_store(&record->started, UINT64_MAX);
    assert_int_equal(pp_record_started(record, 400), 400);
    assert_int_equal(pp_record_started(record, 500), 400);
    pp_shared_unmake(&memory);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_chunk_counts_if_it_lies_within_the_plan),
        TEST(a_chunk_that_no_claim_takes_does_not_count),
        TEST(a_chunk_whose_words_were_overwritten_does_not_count),
        TEST(the_victim_of_a_visit_is_the_first_item_that_is_not_finished),
        TEST(a_worker_between_two_calls_of_a_visit_has_no_victim),
        TEST(the_victims_of_a_call_are_all_that_it_had_within_the_chunk),
        TEST(an_item_with_a_word_of_its_own_is_the_victim_until_the_word_has_ended),
        TEST(a_senseless_record_names_no_victim),
        TEST(a_snapshot_has_the_claimed_and_the_running_tasks),
        TEST(last_words_are_read_as_they_were_left),
        TEST(overwritten_last_words_are_cut_and_printable),
        TEST(a_record_holds_nothing_after_the_end_of_a_life),
        TEST(a_kill_hits_the_running_item_of_its_job_and_nothing_else),
        TEST(a_senseless_start_counts_as_now_from_then_on),
    };
    return run_group("record", tests, COUNT(tests), argc, argv);
}
