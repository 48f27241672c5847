/* Python:  for part in multiprocessing.Pool().imap(statistics_of, blocks(sys.stdin.buffer)): total = merge(total, part)
 * Shows a stream over more data than memory: `out_of_core <FILE` prints statistics of the doubles in FILE. At any time
 * only the blocks of the window are in memory. They are merged in their order, so the result is the same to the last
 * bit for any number of workers, and the same as that of `out_of_core sequential <FILE`, which makes no pool.
 * `out_of_core make N` writes N doubles. */
#include <parpool.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 15 };

struct block {
    size_t count;
    double x[BLOCK];
};

struct statistics {
    uint64_t count;
    double sum, min, max, mean, squares; /* squares: sum of squared distances from the mean */
};

/* The task: the statistics of one block. */
static int statistics_of(const void *in, void *out) {
    const struct block *block = in;
    struct statistics s = {.count = block->count, .min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < block->count; i++) {
        s.sum += block->x[i];
        if (block->x[i] < s.min) s.min = block->x[i];
        if (block->x[i] > s.max) s.max = block->x[i];
    }
    s.mean = s.sum / (double)s.count;
    for (size_t i = 0; i < block->count; i++) s.squares += (block->x[i] - s.mean) * (block->x[i] - s.mean);
    *(struct statistics *)out = s;
    return 0;
}

/* Adds a part's statistics to the total: Chan, Golub, LeVeque 1979. */
static void merge(struct statistics *total, const struct statistics *part) {
    double count = (double)(total->count + part->count), distance = part->mean - total->mean;
    total->squares += part->squares + distance * distance * (double)total->count / count * (double)part->count;
    total->mean += distance * (double)part->count / count;
    total->sum += part->sum;
    total->count += part->count;
    if (part->min < total->min) total->min = part->min;
    if (part->max > total->max) total->max = part->max;
}

/* The input of the stream: writes the next block directly to where a worker will read it. */
static int read_block(void *input, void *in) {
    struct block *block = in;
    block->count = fread(block->x, sizeof *block->x, BLOCK, input);
    return block->count > 0 ? 0 : ferror(input) ? POOL_EFAILED : POOL_END;
}

static int sequentially(struct statistics *total) {
    static struct block block;
    struct statistics part;
    int end;
    while ((end = read_block(stdin, &block)) == 0) {
        statistics_of(&block, &part);
        merge(total, &part);
    }
    return end;
}

static int in_parallel(struct statistics *total) {
    struct pool *pool;
    struct stream *stream;
    struct statistics part;
    int error = pool_create(NULL, &pool);
    if (error) return error;
    error = pool_imap(pool,
                      &(struct pool_stream){.fn = statistics_of,
                                            .next = read_block,
                                            .next_arg = stdin,
                                            .in_size = sizeof(struct block),
                                            .out_size = sizeof part},
                      &stream);
    if (!error) {
        while ((error = stream_next(stream, &part, -1)) == 0) merge(total, &part);
        stream_free(stream);
    }
    pool_destroy(pool);
    return error;
}

static int make(uint64_t count) {
    for (uint64_t i = 0, x = 1; i < count; i++) {
        x = x * 6364136223846793005 + 1442695040888963407; /* Knuth's MMIX */
        double value = (double)(x >> 11) / 9007199254740992.0 - 0.25;
        if (fwrite(&value, sizeof value, 1, stdout) != 1) return 1;
    }
    return fflush(stdout) != 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "make")) return make(strtoull(argv[2], NULL, 10));
    bool is_sequential = argc == 2 && !strcmp(argv[1], "sequential");
    if (argc != 1 && !is_sequential) return fprintf(stderr, "usage: out_of_core [sequential | make N] <DOUBLES\n"), 2;
    struct statistics total = {.min = INFINITY, .max = -INFINITY};
    int end = is_sequential ? sequentially(&total) : in_parallel(&total);
    if (end != POOL_END) return fprintf(stderr, "out_of_core: %s\n", pool_strerror(end)), 1;
    printf("count %" PRIu64 "\nsum %.17g\nmin %.17g\nmax %.17g\nmean %.17g\nvariance %.17g\n", total.count, total.sum,
           total.min, total.max, total.mean, total.squares / (double)total.count);
    return 0;
}
