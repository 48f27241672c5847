/* Extents: workers take room for results by themselves, the caller takes it over and gives it back. Threads play both:
 * no page has two owners at a time, and what a worker leaves is found. */
#include "threads.h"

#include "shared/extents.h"

enum { WORKERS = 4, SLOTS = 64, MOST = 20000 };

/* What a worker hands to the caller: one entry a slot. */
static struct {
    struct pp_shared memory;
    struct use {
        atomic_uint state; /* 0: the caller's; 1: a worker's; 2: it is done */
        uint32_t generation;
        uint64_t offset, size;
        bool given_up; /* the worker has died with it */
    } uses[SLOTS];
    atomic_size_t wrong, refused;
    atomic_bool over;
} all;

static uint64_t ticket_of(uint32_t slot) {
    return pp_ticket(slot, all.uses[slot].generation);
}

static void work_on(uint32_t slot, uint64_t *random) {
    struct use *use = &all.uses[slot];
    size_t size = 1 + (size_t)(next_random(random) % MOST);
    char *extent = pp_extent_take(&all.memory, ticket_of(slot), size);
    use->size = 0;
    use->given_up = false;
    if (!extent) {
        atomic_fetch_add(&all.refused, 1);
        return;
    }
    fill(extent, size, ticket_of(slot));
    stumble(random);
    if (!filled(extent, size, ticket_of(slot))) atomic_fetch_add(&all.wrong, 1);
    uint64_t fate = next_random(random) % 8;
    use->given_up = fate == 0;
    if (fate == 1) {
        pp_extent_drop(&all.memory, ticket_of(slot), extent, size, 0);
        return;
    }
    size_t keep = fate == 2 ? 1 + size / 2 : size;
    pp_extent_drop(&all.memory, ticket_of(slot), extent, size, keep);
    use->offset = (uint64_t)(extent - all.memory.extents);
    use->size = keep;
}

static void *work(void *argument) {
    uint64_t random = scramble((uintptr_t)argument);
    while (!atomic_load(&all.over)) {
        uint32_t slot = (uint32_t)(next_random(&random) % SLOTS);
        unsigned mine = 0;
        if (!atomic_compare_exchange_strong(&all.uses[slot].state, &mine, 1)) continue;
        work_on(slot, &random);
        atomic_store(&all.uses[slot].state, 2);
    }
    return NULL;
}

/* The caller's. */
static uint32_t current[SLOTS];

static uint32_t generation_of(const void *pool, uint32_t slot) {
    (void)pool;
    return current[slot];
}

/* Takes the result of the slot, or leaves it to the sweep, and lets the slot be used again. */
static void collect(uint32_t slot) {
    struct use *use = &all.uses[slot];
    char *extent = NULL;
    if (use->size && !use->given_up) {
        extent = pp_extent_adopt(&all.memory, ticket_of(slot), use->offset, use->size);
        if (!extent || !filled(extent, (size_t)use->size, ticket_of(slot))) atomic_fetch_add(&all.wrong, 1);
        /* It is taken over once. */
        if (pp_extent_adopt(&all.memory, ticket_of(slot), use->offset, use->size)) atomic_fetch_add(&all.wrong, 1);
    }
    if (extent) pp_extent_free(&all.memory, extent, (size_t)use->size);
    current[slot] = ++use->generation;
    atomic_store(&use->state, 0);
}

static size_t count_owned(void) {
    size_t owned = 0;
    for (size_t page = 0; page < all.memory.extents_size / PP_EXTENT_PAGE; page++)
        owned += atomic_load(&all.memory.owners->of[page]) != 0;
    return owned;
}

TEST_CASE(no_page_has_two_owners_and_none_is_lost) {
    memset(&all, 0, sizeof all);
    all.memory = make_memory(WORKERS);
    for (uint32_t slot = 0; slot < SLOTS; slot++) current[slot] = all.uses[slot].generation = 1;
    struct threads threads = {.count = 0};
    for (uintptr_t i = 0; i < WORKERS; i++) start_thread(&threads, work, (void *)(i + 1)); /* NOLINT: a number */
    for (size_t collected = 0, enough = scaled(200000), looks = 0; collected < enough;) {
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if (atomic_load(&all.uses[slot].state) == 2) collect(slot), collected++;
        if (++looks % 4 == 0) pp_extents_sweep(&all.memory, generation_of, NULL);
    }
    atomic_store(&all.over, true);
    join_all(&threads);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (atomic_load(&all.uses[slot].state) == 2) collect(slot);
    pp_extents_sweep(&all.memory, generation_of, NULL);
    assert_int_equal(all.wrong, 0);
    assert_int_equal(count_owned(), 0);
    assert_true(atomic_load(&all.memory.owners->end) <= all.memory.extents_size / PP_EXTENT_PAGE);
    pp_shared_unmake(&all.memory);
}

TEST_CASE(all_room_can_be_taken_at_once_and_again_in_parts) {
    struct pp_shared memory = make_memory(1);
    uint64_t ticket = pp_ticket(3, 7);
    size_t size = memory.extents_size;
    for (int round = 0; round < 3; round++) {
        char *whole = pp_extent_take(&memory, ticket, size);
        assert_true(whole == memory.extents);
        assert_null(pp_extent_take(&memory, ticket, 1));
        pp_extent_drop(&memory, ticket, whole, size, size / 2); /* the upper half is free */
        char *half = pp_extent_take(&memory, ticket, size / 2);
        assert_true(half == whole + size / 2);
        pp_extent_drop(&memory, ticket, whole, size / 2, 0);
        pp_extent_drop(&memory, ticket, half, size / 2, 0);
        size_t taken = 0;
        while (pp_extent_take(&memory, pp_ticket((uint32_t)taken, 1), PP_EXTENT_PAGE)) taken++;
        assert_int_equal(taken, size / PP_EXTENT_PAGE);
        for (size_t i = 0; i < taken; i++)
            pp_extent_drop(&memory, pp_ticket((uint32_t)i, 1), memory.extents + i * PP_EXTENT_PAGE, 1, 0);
    }
    assert_null(pp_extent_take(&memory, ticket, size + 1));
    pp_shared_unmake(&memory);
}

TEST_CASE(only_the_whole_room_of_that_task_is_taken_over) {
    struct pp_shared memory = make_memory(1);
    uint64_t mine = pp_ticket(3, 7), other = pp_ticket(4, 7);
    char *first = pp_extent_take(&memory, mine, 5000), *second = pp_extent_take(&memory, other, 5000);
    uint64_t at = (uint64_t)(first - memory.extents), beside = (uint64_t)(second - memory.extents);
    assert_null(pp_extent_adopt(&memory, mine, beside, 5000));
    assert_null(pp_extent_adopt(&memory, mine, at, 9000)); /* it would reach into the other's */
    assert_null(pp_extent_adopt(&memory, mine, at + 1, 1));
    assert_null(pp_extent_adopt(&memory, mine, memory.extents_size, 1));
    assert_null(pp_extent_adopt(&memory, mine, UINT64_MAX - 4095, 8192));
    assert_null(pp_extent_adopt(&memory, mine, 0, UINT64_MAX));
    assert_true(pp_extent_adopt(&memory, other, beside, 5000) == second);
    pp_extent_free(&memory, second, 5000);
    pp_shared_unmake(&memory);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(no_page_has_two_owners_and_none_is_lost),
        TEST(all_room_can_be_taken_at_once_and_again_in_parts),
        TEST(only_the_whole_room_of_that_task_is_taken_over),
    };
    return run_group("shared_extents", tests, COUNT(tests), argc, argv);
}
