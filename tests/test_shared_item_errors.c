/* The set of what failed items have said: however many threads add to it, it keeps the lowest, each with its own
 * words. */
#include "threads.h"

#include <stdio.h>

#include "shared/item_errors.h"

enum { ADDERS = 4, POSITIONS = 4000 };

static struct {
    struct pp_item_errors *flaws;
    uint32_t room;
    atomic_uint next; /* into `order` */
    uint32_t order[POSITIONS];
} set;

static void make_set(size_t wanted) {
    set.room = pp_item_errors_room(wanted);
    set.flaws = aligned_alloc(PP_LINE, (pp_item_errors_size(set.room) + PP_LINE - 1) / PP_LINE * PP_LINE);
    assert_non_null(set.flaws);
    pp_item_errors_begin(set.flaws, set.room);
}

static void note(uint32_t position) {
    char message[PP_MESSAGE];
    snprintf(message, sizeof message, "said by %u", (unsigned)position);
    pp_item_errors_note(set.flaws, set.room, position, message);
}

static void check(uint32_t position) {
    char expected[64];
    snprintf(expected, sizeof expected, "said by %u", (unsigned)position);
    const struct pp_item_error *flaw = pp_item_errors_find(set.flaws, set.room, position);
    assert_non_null(flaw);
    assert_string_equal(flaw->message, expected);
    assert_int_equal(flaw->pid, getpid());
}

static void *add(void *argument) {
    (void)argument;
    for (unsigned i; (i = atomic_fetch_add(&set.next, 1)) < POSITIONS;) note(set.order[i]);
    return NULL;
}

static void shuffle(uint64_t *random) {
    for (uint32_t i = 0; i < POSITIONS; i++) {
        uint32_t j = (uint32_t)(next_random(random) % (i + 1));
        set.order[i] = set.order[j];
        set.order[j] = i;
    }
}

TEST_CASE(the_lowest_positions_are_kept_whoever_adds_them) {
    static const size_t wanted[] = {1, 2, 7, 64, 1000};
    uint64_t random = 21;
    for (uint64_t round = 0; round < scaled(100); round++) {
        struct threads threads = {.count = 0};
        size_t kept = wanted[round % COUNT(wanted)];
        make_set(kept);
        shuffle(&random);
        atomic_store(&set.next, 0);
        for (int i = 0; i < ADDERS; i++) start_thread(&threads, add, NULL);
        join_all(&threads);
        for (uint32_t p = 0; p < kept; p++) check(p);
        assert_null(pp_item_errors_find(set.flaws, set.room, POSITIONS - 1));
        free(set.flaws);
    }
}

/* What a worker that dies while it writes leaves behind. */
TEST_CASE(places_of_the_dead_displace_nobody) {
    for (int way = 0; way < 2; way++) {
        make_set(3);
        for (int i = 0; i < 3; i++)
            atomic_store(&set.flaws->entries[2 * i].position, (uint64_t)1 << 63 | (way ? 1U : 100U));
        for (uint32_t p = 50; p > 0; p--) note(p - 1);
        for (uint32_t p = 0; p < 3; p++) check(p);
        free(set.flaws);
    }
}

TEST_CASE(whatever_is_scribbled_on_it_only_messages_are_lost) {
    uint64_t random = 22;
    make_set(8);
    for (uint64_t round = 0; round < scaled(20000); round++) {
        unsigned char *byte = (unsigned char *)set.flaws + next_random(&random) % pp_item_errors_size(set.room);
        *byte = (unsigned char)random;
        note((uint32_t)(next_random(&random) % 100));
        pp_item_errors_find(set.flaws, set.room, random % 100);
    }
    pp_item_errors_begin(set.flaws, set.room);
    note(5);
    check(5);
    free(set.flaws);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_lowest_positions_are_kept_whoever_adds_them),
        TEST(places_of_the_dead_displace_nobody),
        TEST(whatever_is_scribbled_on_it_only_messages_are_lost),
    };
    return run_group("shared_item_errors", tests, COUNT(tests), argc, argv);
}
