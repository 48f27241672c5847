/* bench_limits: the library's figures against their targets.
 *
 * Each row measures one promise beside its floor or its best rival, in one interleaved run. Use it to tune the library:
 * --only ROW takes seconds. */
#include "judge.h"
#include "limits_blocks.h"
#include "limits_maps.h"
#include "limits_processes.h"
#include "limits_sandbox.h"
#include "limits_tasks.h"

enum { MOST_NAMES = 4 };

static const struct {
    void (*measure)(void);
    const char *names[MOST_NAMES]; /* of its rows */
} measurements[] = {
    /* First the rows that depend on the size of the program, while it is small. */
    {limit_memory, {"memory"}},
    {limit_create_2, {"create-2", "create-2-ready", "create-destroy"}},
    {limit_create_64, {"create-64", "create-64-ready"}},
    {limit_create_large, {"create-1GiB"}},
    {limit_pi_8ms, {"pi-8ms"}},
    {limit_pi_1ms, {"pi-1ms"}},
    {limit_pi_100us, {"pi-100us"}},
    {limit_pi_8ms_asleep, {"pi-8ms-asleep"}},
    {limit_pi_1ms_asleep, {"pi-1ms-asleep"}},
    {limit_pi_100us_asleep, {"pi-100us-asleep"}},
    {limit_squares, {"squares-arena", "squares-arena-inlined", "squares-malloc", "squares-malloc-inlined"}},
    {limit_squares_first, {"squares-first", "squares-first-inlined"}},
    {limit_blocks_squares, {"blocks-squares", "blocks-squares-timeout", "items-timeout"}},
    {limit_blocks_saxpy, {"blocks-saxpy", "blocks-saxpy-timeout"}},
    {limit_blocks_sum, {"blocks-sum", "blocks-sum-timeout"}},
    {limit_blocks_toupper, {"blocks-toupper", "blocks-toupper-timeout"}},
    {limit_blocks_crash, {"blocks-crash"}},
    {limit_blocks_crashes, {"blocks-crashes"}},
    {limit_blocks_hang, {"blocks-hang"}},
    {limit_items, {"items", "items-chunk1"}},
    {limit_submit, {"submit", "submit-openmp"}},
    {limit_round_awake, {"round-awake"}},
    {limit_round_asleep, {"round-asleep", "round-asleep-all"}},
    {limit_skewed_first, {"skewed-first"}},
    {limit_skewed_middle, {"skewed-middle"}},
    {limit_skewed_region, {"skewed-region"}},
    {limit_skewed_last, {"skewed-last"}},
    {limit_skewed_rising, {"skewed-rising"}},
    {limit_generous, {"generous"}},
    {limit_echo, {"echo"}},
    {limit_random_mean, {"random-mean"}},
    {limit_flat_in_flight, {"flat-in-flight"}},
    {limit_flat_submit, {"flat-submit"}},
    {limit_flat_map, {"flat-map"}},
    {limit_flat_workers, {"flat-workers-submit"}},
    {limit_flat_workers_map, {"flat-workers-map"}},
    {limit_sandbox_submit, {"sandbox-submit"}},
    {limit_sandbox_items, {"sandbox-items"}},
    {limit_sandbox_round, {"sandbox-round"}},
    {limit_sandbox_call, {"sandbox-call"}},
    {limit_idle, {"idle"}},
};

/* The names of all rows; NULL ends them. */
static void list_names(const char **names) {
    for (size_t i = 0; i < sizeof measurements / sizeof *measurements; i++) {
        for (size_t j = 0; j < MOST_NAMES && measurements[i].names[j]; j++) *names++ = measurements[i].names[j];
    }
    *names = NULL;
}

int main(int argc, char **argv) {
    const char *names[sizeof measurements / sizeof *measurements * MOST_NAMES + 1];
    list_names(names);
    limits.options = bench_begin(
        argc, argv,
        &(struct bench_program){.about = "The targets, row by row: the figure, its floor or rival from the same "
                                         "interleaved run, the target, and\nwhether it is met.",
                                .names = names});
    limits.workers = limits.options->workers ? limits.options->workers : 2;
    for (size_t i = 0; i < sizeof measurements / sizeof *measurements; i++) {
        bool wanted = false;
        for (size_t j = 0; j < MOST_NAMES && measurements[i].names[j]; j++) {
            wanted = wanted || bench_wanted(measurements[i].names[j]);
        }
        if (wanted) measurements[i].measure();
    }
    print_summary();
    return bench_end();
}
