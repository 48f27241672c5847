/* lazy: a contestant that computes only once after its results were spoilt. The harness must notice it, both in the
 * runs of bench_run() and in those of a contestant with measure(), and end the program with status 1. */
#include "bench.h"
#include "contestants.h"
#include "kernels.h"

enum { COUNT = 100 };

static bool spoilt;

static void spoil(void *context) {
    workload_spoil(context);
    spoilt = true;
}

static void run_lazily(void *context) {
    if (spoilt) run_sequential(context);
    spoilt = false;
}

static double measure(const struct bench_contestant *contestant) {
    (void)bench_time(contestant, 1);
    return bench_time(contestant, 1);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"run", "measure", NULL};
    static const struct bench_program program = {.about = "A contestant that is too lazy.", .names = names};
    (void)bench_begin(argc, argv, &program);
    long in[COUNT], out[COUNT], expected[COUNT];
    square_fill(in, COUNT);
    square_plain(in, expected, COUNT);
    struct workload work = {.fn = square, POOL_IN(in), POOL_OUT(out), .count = COUNT, .expected = expected};
    struct bench_contestant lazy = contestant("lazy", run_lazily, &work);
    lazy.prepare = spoil;
    if (!bench_wanted("run")) lazy.measure = measure;
    bench_run(&lazy, 1);
    return bench_end();
}
