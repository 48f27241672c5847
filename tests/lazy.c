/* lazy: the benchmarks' harness must see through a contestant that computes once after its results were spoilt, and
 * then leaves them as they are: in bench_run()'s own runs, and in those of one that measures itself. Each ends the
 * program with status 1. */
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
    static const struct bench_program program = {.about = "How lazily may a contestant compute?", .names = names};
    (void)bench_begin(argc, argv, &program);
    long in[COUNT], out[COUNT], expected[COUNT];
    square_fill(in, COUNT);
    square_plain(in, expected, COUNT);
    struct workload work = {.fn = square,
                            .in = in,
                            .in_size = sizeof *in,
                            .out = out,
                            .out_size = sizeof *out,
                            .count = COUNT,
                            .expected = expected};
    struct bench_contestant lazy = contestant("lazy", run_lazily, &work);
    lazy.prepare = spoil;
    if (!bench_wanted("run")) lazy.measure = measure;
    bench_run(&lazy, 1);
    return bench_end();
}
