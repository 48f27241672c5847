#include "pool/tracing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "pool/hosted.h"
#include "pool/pool.h"
#include "remote/carrier.h"
#include "shared/trace_file.h"

#define ROOM 4096

/* Pools of this process that have a trace by the environment: the second one has a file of its own. */
static _Atomic unsigned traces;

/* The file's whole name: absolute, since the program may change its directory; %p is the process. */
static char *name_file(const char *pattern, unsigned nth) {
    char *path = pp_zalloc(1, ROOM);
    if (!path) return NULL;
    size_t used = 0;
    if (pattern[0] != '/' && getcwd(path, ROOM / 2)) {
        used = strlen(path);
        path[used++] = '/';
    }
    for (const char *at = pattern; *at && used < ROOM - 40; at++) {
        if (at[0] == '%' && at[1] == 'p') {
            used += (size_t)snprintf(path + used, 24, "%ld", (long)getpid());
            at++;
        } else {
            path[used++] = *at;
        }
    }
    path[used] = '\0';
    if (nth > 1) snprintf(path + used, 16, ".%u", nth);
    return path;
}

/* The program has not asked for the trace, and so gets no code. */
static void complain(const char *path) {
    char line[ROOM];
    int length = snprintf(line, sizeof line, "parpool: no trace: %.4000s cannot be made: is its directory there and "
                          "writable?\n", path);
    if (length > 0) pp_write(STDERR_FILENO, line, (size_t)length);
}

/* Returns false if there is no memory. */
static bool name_hosts(struct pool *pool) {
    struct pp_trace *trace = &pool->shared.trace;
    uint32_t count = pp_hosted_count(pool->carrier);
    if (count == 0) return true;
    trace->hosts = pp_zalloc(count, sizeof *trace->hosts);
    if (!trace->hosts) return false;
    trace->host_count = count;
    for (uint32_t h = 0; h < count; h++) trace->hosts[h] = pool->carrier->hosts.list[h].name;
    return true;
}

int pp_tracing_begin(struct pool *pool) {
    bool is_own = pool->options.trace != NULL;
    const char *wanted = is_own ? pool->options.trace : getenv("PARPOOL_TRACE");
    struct pp_trace *trace = &pool->shared.trace;
    pool->options.trace = NULL; /* the program's string may go */
    if (!wanted || !*wanted) return 0;
    trace->path = name_file(wanted, is_own ? 1 : atomic_fetch_add_explicit(&traces, 1, memory_order_relaxed) + 1);
    if (!trace->path) return POOL_ENOMEM;
    if (pp_trace_file_can(trace->path))
        return pp_trace_make(trace, pool->workers) && name_hosts(pool) ? 0 : POOL_ENOMEM;
    if (is_own) return POOL_EINVAL;
    complain(trace->path);
    return 0;
}

static void note(struct pool *pool, struct pp_trace_entry entry) {
    entry.end = pp_now();
    if (entry.begin == 0) entry.begin = entry.end;
    pp_trace_note(&pool->shared.trace, PP_TRACE_CALLER, &entry);
}

void pp_tracing_wait(struct pool *pool, uint64_t since) {
    if (pool->shared.trace.base) note(pool, (struct pp_trace_entry){.kind = PP_TRACE_WAIT, .begin = since});
}

void pp_tracing_retry(struct pool *pool, pool_fn *fn, uint64_t item) {
    if (pool->shared.trace.base) note(pool, (struct pp_trace_entry){.kind = PP_TRACE_RETRY, .fn = fn, .item = item});
}

void pp_tracing_write(struct pool *pool) {
    if (pool->shared.trace.base) pp_trace_file_write(&pool->shared.trace, pool->workers, pool->owner);
}
