/* The set of errors of failed items: however many threads add to it, it keeps those of the lowest positions, each with
 * its own message. */
#include "threads.h"

#include <stdio.h>

#include "shared/item_errors.h"

enum { ADDERS = 4, POSITIONS = 4000 };

static struct {
    struct pp_item_errors *errors;
    uint32_t room;
    atomic_uint next; /* into `order` */
    uint32_t order[POSITIONS];
} set;

static void make_set(size_t wanted) {
    set.room = pp_item_errors_room(wanted);
    set.errors = aligned_alloc(PP_LINE, (pp_item_errors_size(set.room) + PP_LINE - 1) / PP_LINE * PP_LINE);
    assert_non_null(set.errors);
    pp_item_errors_begin(set.errors, set.room);
}

static void note(uint32_t position) {
    char message[PP_MESSAGE];
    snprintf(message, sizeof message, "said by %u", (unsigned)position);
    pp_item_errors_note(set.errors, set.room, position, (int32_t)position + 1, (int32_t)getpid(), message);
}

static void check(uint32_t position) {
    char expected[64];
    snprintf(expected, sizeof expected, "said by %u", (unsigned)position);
    const struct pp_item_error *error = pp_item_errors_find(set.errors, set.room, position);
    assert_non_null(error);
    assert_string_equal(error->message, expected);
    assert_int_equal(error->pid, getpid());
    assert_int_equal(error->code, position + 1);
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

TEST_CASE(the_lowest_positions_are_kept_in_any_order_of_additions) {
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
        assert_null(pp_item_errors_find(set.errors, set.room, POSITIONS - 1));
        free(set.errors);
    }
}

/* Entries as a worker leaves them that dies while it writes. */
TEST_CASE(entries_of_dead_workers_displace_no_error) {
    for (int way = 0; way < 2; way++) {
        make_set(3);
        for (int i = 0; i < 3; i++)
            atomic_store(&set.errors->entries[2 * i].position, (uint64_t)1 << 63 | (way ? 1U : 100U));
        for (uint32_t p = 50; p > 0; p--) note(p - 1);
        for (uint32_t p = 0; p < 3; p++) check(p);
        free(set.errors);
    }
}

TEST_CASE(scribbling_on_the_set_costs_only_what_it_holds) {
    uint64_t random = 22;
    make_set(8);
    for (uint64_t round = 0; round < scaled(20000); round++) {
        unsigned char *byte = (unsigned char *)set.errors + next_random(&random) % pp_item_errors_size(set.room);
        *byte = (unsigned char)random;
        note((uint32_t)(next_random(&random) % 100));
        pp_item_errors_find(set.errors, set.room, random % 100);
    }
    pp_item_errors_begin(set.errors, set.room);
    note(5);
    check(5);
    free(set.errors);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_lowest_positions_are_kept_in_any_order_of_additions),
        TEST(entries_of_dead_workers_displace_no_error),
        TEST(scribbling_on_the_set_costs_only_what_it_holds),
    };
    return run_group("shared_item_errors", tests, COUNT(tests), argc, argv);
}
