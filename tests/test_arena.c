/* Memory that caller and workers see at the same address: pool_alloc(), pool_free(). */
#include "support.h"

#include <inttypes.h>

static struct pool *pool_with_arena(int workers, size_t size) {
    struct pool_options options = {.workers = workers, .arena_size = size};
    return pool_from(&options);
}

static bool is_zero(const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i]) return false;
    }
    return true;
}

TEST_CASE(blocks_are_aligned_zeroed_and_apart) {
    struct pool *pool = pool_of(1);
    static const size_t some[] = {1, 2, 7, 8, 15, 16, 17, 100, 1000, 4095, 4096, 4097, 100000, 1 << 20};
    char *blocks[COUNT(some)][3];
    for (int round = 0; round < 5; round++) { /* later rounds get the blocks that earlier ones freed */
        for (size_t i = 0; i < COUNT(some); i++) {
            for (size_t k = 0; k < 3; k++) {
                blocks[i][k] = pool_alloc(pool, some[i]);
                assert_non_null(blocks[i][k]);
                assert_int_equal((uintptr_t)blocks[i][k] % _Alignof(max_align_t), 0);
                assert_true(is_zero(blocks[i][k], some[i]));
                fill(blocks[i][k], some[i], 10 * i + k);
            }
        }
        for (size_t i = 0; i < COUNT(some); i++) {
            for (size_t k = 0; k < 3; k++) {
                assert_true(filled(blocks[i][k], some[i], 10 * i + k));
                pool_free(pool, blocks[i][k]);
            }
        }
    }
    pool_destroy(pool);
}

TEST_CASE(blocks_of_no_bytes_or_too_many_are_refused) {
    struct pool *pool = pool_of(1);
    assert_null(pool_alloc(pool, 0));
    assert_null(pool_alloc(NULL, 8));
    pool_free(pool, NULL);
    pool_free(NULL, NULL);
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096, SIZE_MAX / 2, SIZE_MAX / 4};
    for (size_t i = 0; i < COUNT(huge); i++) assert_null(pool_alloc(pool, huge[i]));
    void *data = pool_alloc(pool, 8);
    assert_non_null(data);
    pool_free(pool, data);
    pool_destroy(pool);
}

/* The size of the largest block that there is room for. */
static size_t largest(struct pool *pool, size_t most) {
    size_t fits = 0, fits_not = most + 1;
    while (fits_not - fits > 1) {
        size_t size = fits + (fits_not - fits) / 2;
        void *data = pool_alloc(pool, size);
        if (data)
            fits = size;
        else
            fits_not = size;
        pool_free(pool, data);
    }
    return fits;
}

TEST_CASE(a_full_arena_refuses_blocks_until_some_are_freed) {
    enum { ARENA = 16 << 20, BLOCK = 64 << 10 };
    struct pool *pool = pool_with_arena(1, ARENA);
    size_t at_first = largest(pool, 2 * ARENA);
    assert_true(at_first >= ARENA / 2);
    void *blocks[2 * ARENA / BLOCK];
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        while (count < COUNT(blocks) && (blocks[count] = pool_alloc(pool, BLOCK))) count++;
        assert_true(count < COUNT(blocks) && count * BLOCK >= ARENA / 2);
        assert_null(pool_alloc(pool, BLOCK));
        pool_free(pool, blocks[count / 2]);
        blocks[count / 2] = pool_alloc(pool, BLOCK);
        assert_non_null(blocks[count / 2]);
        for (size_t k = 0; k < count; k++) { /* in order, in reverse, every third */
            size_t i = round == 0 ? k : round == 1 ? count - 1 - k : k;
            if (round < 2 || i % 3 == 0) pool_free(pool, blocks[i]);
        }
        if (round == 2) {
            for (size_t i = 0; i < count; i++) {
                if (i % 3) pool_free(pool, blocks[i]);
            }
        }
        assert_true(largest(pool, 2 * ARENA) >= at_first); /* free neighbours were merged */
    }
    pool_destroy(pool);
}

TEST_CASE(blocks_of_random_sizes_and_lives_keep_their_bytes) {
    enum { BLOCKS = 500 };
    struct pool *pool = pool_with_arena(1, 64 << 20);
    size_t at_first = largest(pool, 128 << 20);
    struct {
        char *data;
        size_t size;
        uint64_t seed;
    } blocks[BLOCKS];
    memset(blocks, 0, sizeof blocks);
    uint64_t random = 1;
    size_t steps = scaled(30000), given = 0;
    for (size_t step = 0; step < steps; step++) {
        random = scramble(random + step);
        size_t i = (size_t)(random % BLOCKS);
        if (blocks[i].data) {
            assert_true(filled(blocks[i].data, blocks[i].size, blocks[i].seed));
            pool_free(pool, blocks[i].data);
            blocks[i].data = NULL;
        } else {
            size_t size = 1 + (size_t)(random >> 32) % (1U << (4 + (random >> 20) % 16));
            blocks[i].data = pool_alloc(pool, size);
            if (!blocks[i].data) continue;
            assert_true(is_zero(blocks[i].data, size));
            given++;
            blocks[i].size = size;
            blocks[i].seed = random;
            fill(blocks[i].data, size, random);
        }
    }
    assert_true(given > steps / 4);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (!blocks[i].data) continue;
        assert_true(filled(blocks[i].data, blocks[i].size, blocks[i].seed));
        pool_free(pool, blocks[i].data);
    }
    assert_true(largest(pool, 128 << 20) >= at_first);
    pool_destroy(pool);
}

TEST_CASE(room_does_not_shrink_with_use) {
    struct pool *pool = pool_with_arena(1, 16 << 20);
    void *kept = NULL;
    for (size_t i = 0; i < scaled(20000); i++) {
        void *data = pool_alloc(pool, 1 + (size_t)scramble(i) % (3 << 20));
        assert_non_null(data);
        if (i % 100 == 0) {
            pool_free(pool, kept);
            kept = pool_alloc(pool, 1000);
            assert_non_null(kept);
        }
        pool_free(pool, data);
    }
    pool_free(pool, kept);
    pool_destroy(pool);
}

TEST_CASE(fifty_thousand_small_blocks_fit) {
    enum { BLOCKS = 50000 };
    struct pool *pool = pool_with_arena(1, 64 << 20);
    long **blocks = malloc(BLOCKS * sizeof *blocks);
    for (long i = 0; i < BLOCKS; i++) {
        blocks[i] = pool_alloc(pool, sizeof(long));
        assert_non_null(blocks[i]);
        *blocks[i] = i;
    }
    for (long i = 0; i < BLOCKS; i++) {
        assert_int_equal(*blocks[i], i);
        pool_free(pool, blocks[i]);
    }
    free(blocks);
    pool_destroy(pool);
}

/* A list whose nodes are spread over the arena: pointers mean the same everywhere. */
struct node {
    struct node *next;
    long value;
};

static int walk_task(const void *in, void *out) {
    long sum = 0;
    for (struct node *node = *(struct node *const *)in; node; node = node->next) {
        sum += node->value;
        node->value = -node->value;
    }
    *(long *)out = sum;
    return 0;
}

TEST_CASE(pointers_into_the_arena_mean_the_same_in_tasks) {
    struct pool *pool = pool_of(2); /* the workers start before the memory is allocated */
    for (long round = 0; round < 20; round++) {
        struct node *list = NULL;
        for (long i = 1; i <= 1000; i++) {
            struct node *node = pool_alloc(pool, i % 10 ? sizeof *node : 20000);
            assert_non_null(node);
            *node = (struct node){list, i};
            list = node;
        }
        long sum = 0;
        assert_ok(finish(submit(pool, walk_task, &list, sizeof list, sizeof sum), &sum));
        assert_int_equal(sum, 1000 * 1001 / 2);
        for (long i = 1000; i >= 1; i--) {
            struct node *next = list->next;
            assert_int_equal(list->value, -i); /* the caller reads what the task wrote */
            pool_free(pool, list);
            list = next;
        }
    }
    pool_destroy(pool);
}

static struct place { char *in, *out; } * place;

static int in_place_task(const void *in, void *out) {
    return in == place->in + 24 * task_index() && out == place->out + 40 * task_index() ? 0 : 1;
}

TEST_CASE(items_in_the_arena_are_used_in_place) {
    place = shared(sizeof *place);
    struct pool *pool = pool_of(2);
    place->in = pool_alloc(pool, 24 * 1001);
    place->out = pool_alloc(pool, 40 * 1000);
    for (int shift = 0; shift < 2; shift++, place->in += 24) { /* also from the middle of a block */
        struct pool_job job = {
            .fn = in_place_task, .in = place->in, .in_size = 24, .out = place->out, .out_size = 40, .count = 1000};
        assert_ok(pool_map(pool, &job));
    }
    pool_destroy(pool);
}

static int sum_task(const void *in, void *out) {
    const unsigned char *bytes = in;
    unsigned long sum = 0;
    for (size_t i = 0; i < (1 << 20); i += 512) sum += bytes[i];
    *(unsigned long *)out = sum;
    return 0;
}

static int large_result_task(const void *in, void *out) {
    memset(out, *(const unsigned char *)in, 1 << 20);
    return 0;
}

TEST_CASE(submit_and_map_fail_without_room_and_work_once_there_is_some) {
    enum { ARENA = 32 << 20, LARGE = 1 << 20 };
    struct pool *pool = pool_with_arena(1, ARENA);
    void *blocks[2 * ARENA / 4096];
    unsigned char *data = malloc(4 * LARGE);
    memset(data, 3, 4 * LARGE);
    unsigned long sums[4];
    struct pool_task large_in = {.fn = sum_task, .in = data, .in_size = LARGE, .out_size = sizeof sums[0]};
    struct pool_task large_out = {.fn = large_result_task, .in = data, .in_size = 1, .out_size = LARGE};
    struct pool_job job = {.fn = sum_task, .in = data, .in_size = LARGE, POOL_OUT(sums), .count = 4};
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        for (size_t size = LARGE; size >= 4096; size /= 16)
            while (count < COUNT(blocks) && (blocks[count] = pool_alloc(pool, size))) count++;
        struct future *const untouched = (struct future *)data;
        struct future *future = untouched;
        assert_code(pool_submit(pool, &large_in, &future), POOL_ENOMEM);
        assert_code(pool_submit(pool, &large_out, &future), POOL_ENOMEM);
        assert_code(pool_map_async(pool, &job, &future), POOL_ENOMEM);
        assert_code(pool_map(pool, &job), POOL_ENOMEM);
        assert_true(future == untouched);
        while (count) pool_free(pool, blocks[--count]);

        assert_ok(pool_submit(pool, &large_in, &future));
        assert_ok(finish(future, &sums[0]));
        assert_int_equal(sums[0], 3 * 2048);
        assert_ok(pool_submit(pool, &large_out, &future));
        assert_ok(finish(future, data));
        assert_int_equal(data[LARGE - 1], 3);
        assert_ok(pool_map(pool, &job));
        for (int i = 0; i < 4; i++) assert_int_equal(sums[i], 3 * 2048);
    }
    free(data);
    pool_destroy(pool);
}

/* The library takes room for arguments and results of its own calls, and must give it back. */
TEST_CASE(room_for_large_items_comes_back) {
    enum { ARENA = 32 << 20, LARGE = 1 << 20 };
    struct pool *pool = pool_with_arena(2, ARENA);
    unsigned char *data = malloc(4 * LARGE);
    memset(data, 3, 4 * LARGE);
    unsigned long sums[4];
    for (size_t round = 0; round < scaled(200); round++) {
        struct pool_task large_out = {.fn = large_result_task, .in = data, .in_size = 1, .out_size = LARGE};
        struct future *given_up, *cancelled;
        assert_ok(pool_submit(pool, &large_out, &given_up));
        assert_ok(pool_submit(pool, &large_out, &cancelled));
        (void)future_kill(cancelled);
        future_free(given_up);
        struct pool_job job = {.fn = sum_task, .in = data, .in_size = LARGE, POOL_OUT(sums), .count = 4};
        assert_ok(pool_map(pool, &job));
        for (int i = 0; i < 4; i++) assert_int_equal(sums[i], 3 * 2048);
        (void)future_wait(cancelled, PATIENCE);
        future_free(cancelled);
    }
    free(data);
    pool_destroy(pool);
}

/* Where a task has found its argument, and room for its result. */
static struct {
    const char *in;
    char *out;
} * places;

enum { HEAVY = 64 << 20 };

static int heavy_task(const void *in, void *out) {
    places->in = in;
    places->out = out;
    memset(out, 1, HEAVY);
    return 0;
}

TEST_CASE(large_blocks_arguments_and_results_go_back_to_the_system_when_they_are_freed) {
    places = shared(sizeof *places);
    if (pages_in(places, 1) < 0) return;
    struct pool *pool = pool_of(1);
    char *data = pool_alloc(pool, HEAVY), *copy = calloc(1, HEAVY);
    assert_non_null(data);
    memset(data, 1, HEAVY);
    assert_int_equal(pages_in(data, HEAVY), HEAVY / sysconf(_SC_PAGESIZE));
    pool_free(pool, data);
    assert_int_equal(pages_in(data, HEAVY), 0);
    assert_ok(finish(submit(pool, heavy_task, copy, HEAVY, HEAVY), copy));
    assert_int_equal(copy[HEAVY - 1], 1);
    assert_int_equal(pages_in(places->in, HEAVY), 0);
    assert_int_equal(pages_in(places->out, HEAVY), 0);
    free(copy);
    pool_destroy(pool);
}

TEST_CASE(what_a_loop_of_large_jobs_has_used_goes_back_a_second_after_its_end) {
    places = shared(sizeof *places);
    if (pages_in(places, 1) < 0) return;
    struct pool *pool = pool_of(1);
    char *copy = calloc(1, HEAVY);
    for (int i = 0; i < 5; i++) assert_ok(finish(submit(pool, heavy_task, copy, HEAVY, HEAVY), copy));
    sleep_ms(1100);
    assert_squares_in_turn(pool, 1);
    assert_int_equal(pages_in(places->in, HEAVY), 0);
    assert_int_equal(pages_in(places->out, HEAVY), 0);
    free(copy);
    pool_destroy(pool);
}

struct inheritance {
    struct gate gate;
    const char *arena;
};

static int watch_arena(void *argument) {
    struct inheritance *left = argument;
    const char *arena = left->arena;
    EXPECT(pages_in(arena, HEAVY) == HEAVY / sysconf(_SC_PAGESIZE));
    EXPECT(gate_pass(&left->gate) == 0);
    EXPECT(pages_in(arena, HEAVY) == 0);
    return 0;
}

TEST_CASE(a_pool_that_has_ended_keeps_no_memory_though_a_child_of_the_program_has_the_mapping) {
    struct inheritance *left = shared(sizeof *left);
    if (pages_in(left, 1) < 0) return;
    struct pool *pool = pool_of(1);
    char *data = pool_alloc(pool, HEAVY);
    assert_non_null(data);
    memset(data, 1, HEAVY);
    left->arena = data;
    pid_t child = start_child(watch_arena, left);
    assert_true(gate_reached(&left->gate, 1));
    pool_destroy(pool);
    gate_open(&left->gate);
    assert_int_equal(end_child(child, PATIENCE).code, 0);
}

static size_t allocate_often(struct pool *pool, uint64_t number) {
    uint64_t seed = 100000 * number;
    size_t errors = 0;
    char *blocks[20] = {NULL};
    size_t sizes[20] = {0};
    for (uint64_t step = 0; step < 2000; step++) {
        uint64_t random = scramble(seed + step);
        size_t i = (size_t)(random % 20);
        if (blocks[i]) {
            errors += !filled(blocks[i], sizes[i], seed + i);
            pool_free(pool, blocks[i]);
            blocks[i] = NULL;
        } else {
            sizes[i] = 1 + (size_t)(random >> 32) % 10000;
            blocks[i] = pool_alloc(pool, sizes[i]);
            errors += !blocks[i] || !is_zero(blocks[i], sizes[i]);
            if (blocks[i]) fill(blocks[i], sizes[i], seed + i);
        }
    }
    for (size_t i = 0; i < 20; i++) pool_free(pool, blocks[i]);
    return errors;
}

TEST_CASE(threads_may_allocate_at_the_same_time) {
    struct pool *pool = pool_of(1);
    assert_no_errors_in_threads(4, allocate_often, pool);
    pool_destroy(pool);
}

#if LINUX
/* Whether the kernel would leave the mapping that holds this address out of a core dump; -1: there is no such
 * mapping. */
static int is_left_out_of_dumps(const void *address) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    if (!maps) return -1;
    char line[4096];
    bool here = false;
    int left_out = -1;
    while (left_out < 0 && fgets(line, sizeof line, maps)) {
        uintptr_t begin, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
            here = begin <= (uintptr_t)address && (uintptr_t)address < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0) left_out = strstr(line, " dd") != NULL;
    }
    fclose(maps);
    return left_out;
}

/* in: a pointer into the arena. The argument itself lies in memory that workers can only read. */
static int dump_task(const void *in, void *out) {
    int *left_out = out;
    left_out[0] = is_left_out_of_dumps(in);
    left_out[1] = is_left_out_of_dumps(*(void *const *)in);
    left_out[2] = is_left_out_of_dumps(&left_out);
    return 0;
}

/* A core dump with the arena would be as large as the arena, whether its pages were touched or not. */
TEST_CASE(the_arena_is_left_out_of_core_dumps) {
    struct pool *pool = pool_with_arena(1, 0);
    void *data = pool_alloc(pool, 1);
    assert_non_null(data);
    int left_out[3];
    assert_ok(finish(submit(pool, dump_task, &data, sizeof data, sizeof left_out), left_out));
    assert_int_equal(left_out[0], 1);
    assert_int_equal(left_out[1], 1);
    assert_int_equal(left_out[2], 0);
    assert_int_equal(is_left_out_of_dumps(data), 1);
    pool_destroy(pool);
}
#endif

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(blocks_are_aligned_zeroed_and_apart),
        TEST(blocks_of_no_bytes_or_too_many_are_refused),
        TEST(a_full_arena_refuses_blocks_until_some_are_freed),
        TEST(blocks_of_random_sizes_and_lives_keep_their_bytes),
        TEST(room_does_not_shrink_with_use),
        TEST(fifty_thousand_small_blocks_fit),
        TEST(pointers_into_the_arena_mean_the_same_in_tasks),
        TEST(items_in_the_arena_are_used_in_place),
        TEST(submit_and_map_fail_without_room_and_work_once_there_is_some),
        TEST(room_for_large_items_comes_back),
        TEST(large_blocks_arguments_and_results_go_back_to_the_system_when_they_are_freed),
        TEST(what_a_loop_of_large_jobs_has_used_goes_back_a_second_after_its_end),
        TEST(a_pool_that_has_ended_keeps_no_memory_though_a_child_of_the_program_has_the_mapping),
        TEST(threads_may_allocate_at_the_same_time),
#if LINUX
        TEST(the_arena_is_left_out_of_core_dumps),
#endif
    };
    return run_group("arena", tests, COUNT(tests), argc, argv);
}
