#include "workload.h"
#include "thread_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void bench_must(int error, const char *what) {
    if (error) bench_fail("%s: %s", what, pool_strerror(error));
}

void *bench_alloc(size_t size) {
    void *memory = malloc(size);
    if (!memory) bench_fail("no memory for %zu bytes", size);
    return memory;
}

/* ---- Before and after turns and runs ----------------------------------------------------------------------------- */

/* Spoils so many bytes from an item on, in the results and where children leave them, or sets the calls back to 0. */
static void spoil_bytes(struct workload *work, size_t item, size_t size) {
    if (work->out) memset(workload_out(work, item), 0x5a, size);
    if (work->shared) memset(work->shared + item * work->out_size, 0x5a, size);
    if (work->calls) atomic_store(work->calls, 0);
}

void workload_spoil(void *context) {
    struct workload *work = context;
    spoil_bytes(work, 0, work->count * work->out_size);
}

static bool each_was_called(const struct workload *work) {
    return !work->calls || atomic_load(work->calls) == work->count;
}

static bool workload_right(void *context) {
    struct workload *work = context;
    if (work->right) return work->right(work->out, 0, work->count);
    if (!work->expected) return each_was_called(work);
    return memcmp(work->out, work->expected, work->count * work->out_size) == 0;
}

/* Only the beginning of a large item is checked, since the check is within the time of short runs. */
static size_t probe_size(const struct workload *work) {
    return work->out_size < 64 ? work->out_size : 64;
}

static void workload_spoil_item(void *context) {
    struct workload *work = context;
    work->probe = work->probe + 1 < work->count ? work->probe + 1 : 0;
    spoil_bytes(work, work->probe, probe_size(work));
}

static bool workload_item_right(void *context) {
    struct workload *work = context;
    if (work->right) return work->right(work->out, work->probe, 1);
    if (!work->expected) return each_was_called(work);
    const unsigned char *expected = (const unsigned char *)work->expected + work->probe * work->out_size;
    return memcmp(workload_out(work, work->probe), expected, probe_size(work)) == 0;
}

struct bench_contestant contestant(const char *name, void (*run)(void *context), struct workload *work) {
    return (struct bench_contestant){.name = name,
                                     .context = work,
                                     .run = run,
                                     .prepare = workload_spoil,
                                     .check = workload_right,
                                     .spoil_item = workload_spoil_item,
                                     .item_right = workload_item_right};
}

/* ---- Making and ending ------------------------------------------------------------------------------------------- */

void *shared_alloc(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) bench_fail("no memory for %zu bytes to share", size);
    return memory;
}

struct pool *bench_pool(int workers) {
    struct pool *pool;
    bench_must(pool_create(&(struct pool_options){.workers = workers}, &pool), "pool_create");
    return pool;
}

void *arena_alloc(struct pool *pool, size_t size) {
    void *memory = pool_alloc(pool, size);
    if (!memory) bench_fail("no room for %zu bytes in the arena", size);
    return memory;
}

void workload_prepare_submits(struct workload *work) {
    work->futures = bench_alloc(work->count * sizeof *work->futures);
    work->tasks = bench_alloc(work->count * sizeof *work->tasks);
}

void workload_free_submits(struct workload *work) {
    free(work->futures);
    free(work->tasks);
    work->futures = NULL;
    work->tasks = NULL;
}
