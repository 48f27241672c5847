/* Runs fuzz_race.c on pseudo-random programs, for 2 seconds. `test_race all SECONDS SEED` runs them for so long, from
 * SEED on; a failure names its seed. It is worth most under AddressSanitizer:
 *     cmake -B asan "-DPARPOOL_SANITIZE=address;undefined" && cmake --build asan -t test_race
 *     asan/tests/test_race all 600 */
#include "support.h"

#include "fuzz_race.c" /* NOLINT */

enum { BATCH = 50, MOST = 700 };

static uint64_t seconds = 2, first_seed = 1;

static int run_batch(void *argument) {
    _Atomic uint64_t *seed = argument;
    for (int i = 0; i < BATCH; i++, ++*seed) {
        uint8_t program[MOST + 8];
        fill(program, sizeof program, scramble(*seed));
        run_race(program, 20 + (size_t)(scramble(*seed) % (MOST - 20)));
    }
    return 0;
}

TEST_CASE(all_tasks_end_whatever_changes_while_it_is_read) {
    _Atomic uint64_t *seed = shared(sizeof *seed);
    *seed = first_seed;
    for (int64_t start = now_ms(); now_ms() - start < (int64_t)seconds * 1000;) {
        struct ending ending = run_child(run_batch, seed, PATIENCE);
        if (ending.timed_out || ending.code != 0)
            print_error("seed %llu: %s, signal %d\n", (unsigned long long)*seed,
                        ending.timed_out ? "it hung" : "it ended", ending.signal);
        assert_false(ending.timed_out);
        assert_int_equal(ending.signal, 0);
        assert_int_equal(ending.code, 0);
        allow_seconds(120);
    }
    if (seconds > 2) print_error("%llu programs\n", (unsigned long long)(*seed - first_seed));
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {TEST(all_tasks_end_whatever_changes_while_it_is_read)};
    if (argc > 2) seconds = strtoull(argv[2], NULL, 10);
    if (argc > 3) first_seed = strtoull(argv[3], NULL, 10);
    return run_group("race", tests, COUNT(tests), argc > 2 ? 1 : argc, argv);
}
