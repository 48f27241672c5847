/* fuzz_shared.c on pseudo-random programs. test_fuzz whatever COUNT SEED runs COUNT of them from SEED on; a failure names
 * its seed. */
#include "support.h"

#include "fuzz_shared.c" /* NOLINT */

enum { BATCH = 100, MOST = 700 };

static uint64_t first_seed = 1, runs = 6000;

static void run_seed(uint64_t seed) {
    uint8_t program[MOST + 8];
    uint64_t random = scramble(seed);
    fill(program, sizeof program, random);
    /* One in four does not scribble: then all outcomes have to be right. */
    for (size_t i = 0; seed % 4 == 0 && i < sizeof program; i++)
        if (program[i] % 24 > 18) program[i] = (uint8_t)(program[i] - 12);
    LLVMFuzzerTestOneInput(program, 20 + random % (MOST - 20));
}

static int run_batch(void *argument) {
    _Atomic uint64_t *seed = argument;
    for (int i = 0; i < BATCH; i++, ++*seed) run_seed(*seed);
    return 0;
}

static void whatever_workers_write_everything_ends(void **state) {
    (void)state;
    _Atomic uint64_t *seed = shared(sizeof *seed);
    *seed = first_seed;
    for (uint64_t end = first_seed + scaled(runs); *seed < end;) {
        struct ending ending = run_child(run_batch, seed, PATIENCE);
        if (ending.timed_out || ending.code != 0)
            print_error("seed %llu: %s, signal %d\n", (unsigned long long)*seed, ending.timed_out ? "it hung" : "it ended",
                        ending.signal);
        assert_false(ending.timed_out);
        assert_int_equal(ending.code, 0);
        allow_seconds(120);
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(whatever_workers_write_everything_ends),
    };
    if (argc > 2) runs = strtoull(argv[2], NULL, 10);
    if (argc > 3) first_seed = strtoull(argv[3], NULL, 10);
    return run_group("fuzz", tests, COUNT(tests), argc < 2 ? argc : 2, argv);
}
