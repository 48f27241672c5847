#include "shared/trace_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/symbol.h"
#include "base/sys.h"
#include "shared/trace.h"

#define ROOM ((size_t)1 << 16) /* bytes that are written at a time */
#define EVENT 512              /* bytes of an event, at most */
#define NAMES 256              /* functions that are named: the file of a module is read for each */
#define CALLER_ROW 0           /* that of worker w is w + 1 */
#define HOST_ROW 2000U         /* and that of host h is HOST_ROW + h */

struct file {
    const struct pp_trace *trace;
    long pid;
    int fd;
    bool failed;
    uint64_t now;
    size_t used;
    unsigned names;
    struct {
        pool_fn *fn;
        char label[2 * PP_SYMBOL_LABEL];
    } known[NAMES];
    char unnamed[32]; /* the address of another function */
    char text[ROOM];
};

/* ---- text */

static void flush(struct file *f) {
    for (size_t at = 0; at < f->used && !f->failed;) {
        ssize_t n = pp_write(f->fd, f->text + at, f->used - at);
        if (n <= 0) f->failed = true;
        else at += (size_t)n;
    }
    f->used = 0;
}

__attribute__((format(printf, 2, 3))) static void put(struct file *f, const char *format, ...) {
    va_list values;
    if (f->used + EVENT > ROOM) flush(f);
    va_start(values, format);
    int length = vsnprintf(f->text + f->used, EVENT, format, values);
    va_end(values);
    if (length < 0 || length >= EVENT) f->failed = true;
    else f->used += (size_t)length;
}

/* A function's name as a string of JSON has it. */
static void escape(char *to, const char *from) {
    for (; *from; from++) {
        bool is_plain = (unsigned char)*from >= 0x20 && (unsigned char)*from < 0x7f;
        if (*from == '"' || *from == '\\') *to++ = '\\';
        *to++ = is_plain ? *from : '?';
    }
    *to = '\0';
}

static const char *name_of(struct file *f, pool_fn *fn) {
    char label[PP_SYMBOL_LABEL];
    unsigned n = 0;
    while (n < f->names && f->known[n].fn != fn) n++;
    if (n == NAMES) { /* a ring that was overwritten may name any number */
        snprintf(f->unnamed, sizeof f->unnamed, "0x%" PRIxPTR, (uintptr_t)fn);
        return f->unnamed;
    }
    if (n == f->names) {
        f->names++;
        f->known[n].fn = fn;
        pp_symbol_label(fn, label);
        escape(f->known[n].label, label);
    }
    return f->known[n].label;
}

/* ---- events */

static uint64_t since_began(const struct file *f, uint64_t at) {
    return at > f->trace->began ? at - f->trace->began : 0;
}

/* What all events have: the row, the kind, the time in µs. */
static void begin_event(struct file *f, char kind, uint32_t row, uint64_t at) {
    uint64_t ns = since_began(f, at);
    put(f, ",\n{\"ph\":\"%c\",\"pid\":%ld,\"tid\":%" PRIu32 ",\"ts\":%" PRIu64 ".%03u", kind, f->pid, row, ns / 1000,
        (unsigned)(ns % 1000));
}

/* After that: the end of a span. */
static void put_duration(struct file *f, uint64_t begin, uint64_t end) {
    uint64_t took = end > begin ? end - begin - 1 : 0;
    put(f, ",\"dur\":%" PRIu64 ".%03u", took / 1000, (unsigned)(took % 1000));
}

static void put_work(struct file *f, uint32_t row, const struct pp_trace_entry *e) {
    begin_event(f, 'X', row, e->begin);
    put_duration(f, e->begin, e->end);
    put(f, ",\"name\":\"%s\",\"args\":{", name_of(f, e->fn));
    if (e->kind == PP_TRACE_ITEMS) put(f, "\"item\":%" PRIu64 ",\"items\":%" PRIu32 "}}", e->item, e->count);
    else put(f, "\"tasks\":%" PRIu32 "}}", e->count);
}

static void put_mark(struct file *f, uint32_t row, uint64_t at, const char *what, int number) {
    begin_event(f, 'i', row, at);
    put(f, ",\"s\":\"t\",\"name\":\"%s\",\"args\":{\"number\":%d}}", what, number);
}

/* What a worker or host was at when it was lost. */
static void put_victim(struct file *f, uint32_t row, const struct pp_trace_entry *e) {
    begin_event(f, 'X', row, e->begin);
    put_duration(f, e->begin, e->end);
    put(f, ",\"name\":\"%s\",\"args\":{\"item\":%" PRIu64 ",\"died\":true}}", name_of(f, e->fn), e->item);
}

static void put_death(struct file *f, const struct pp_trace_entry *e) {
    int status = (int)e->count;
    bool killed = WIFSIGNALED(status);
    int number = killed ? WTERMSIG(status) : WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (e->fn) put_victim(f, e->worker + 1U, e);
    if (e->count == PP_TRACE_AT_END) put_mark(f, e->worker + 1U, e->end, "the pool ends", 0);
    else put_mark(f, e->worker + 1U, e->end, killed ? "died: killed by a signal" : "died: exited", number);
}

static void put_counter(struct file *f, const char *what, uint64_t at, uint64_t number) {
    begin_event(f, 'C', CALLER_ROW, at);
    put(f, ",\"name\":\"%s\",\"args\":{\"n\":%" PRIu64 "}}", what, number);
}

static void put_entry(struct file *f, const struct pp_trace_entry *e) {
    static const char *const why[PP_TRACE_WHYS] = {"kill: it is past its limit", "kill: on request", "kill: a reset"};
    switch ((enum pp_trace_kind)e->kind) {
    case PP_TRACE_DEATH: put_death(f, e); break;
    case PP_TRACE_KILL: put_mark(f, e->worker + 1U, e->end, why[e->count % PP_TRACE_WHYS], (int)e->worker); break;
    case PP_TRACE_RETRY:
        begin_event(f, 'i', CALLER_ROW, e->end);
        put(f, ",\"s\":\"t\",\"name\":\"retry of %s\",\"args\":{\"item\":%" PRIu64 "}}", name_of(f, e->fn), e->item);
        break;
    case PP_TRACE_WAIT:
        begin_event(f, 'X', CALLER_ROW, e->begin);
        put_duration(f, e->begin, e->end);
        put(f, ",\"name\":\"waits\"}");
        break;
    case PP_TRACE_COUNTS:
        put_counter(f, "tasks waiting", e->end, e->count);
        put_counter(f, "busy workers", e->end, e->item);
        break;
    default: break;
    }
}

/* ---- rings */

static void name_row(struct file *f, uint32_t row, const char *kind, uint32_t number, const char *name) {
    char label[80], escaped[2 * sizeof label];
    snprintf(label, sizeof label, "%s %" PRIu32 "%s%.40s", kind, number, *name ? ": " : "", name);
    escape(escaped, label);
    put(f, ",\n{\"ph\":\"M\",\"pid\":%ld,\"tid\":%" PRIu32 ",\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}",
        f->pid, row, escaped);
}

/* What a row of work may have: spans one after another, up to now. */
static bool is_next(const struct file *f, const struct pp_trace_entry *e, uint64_t *last) {
    if (e->begin < *last || e->begin > e->end || e->end > f->now) return false;
    *last = e->end;
    return true;
}

static void put_host_entry(struct file *f, const struct pp_trace_entry *e) {
    static const char *const states[] = {[POOL_HOST_UP] = "up", [POOL_HOST_LOST] = "lost",
                                         [POOL_HOST_REFUSED] = "refused"};
    uint32_t row = HOST_ROW + e->worker;
    if (e->kind <= PP_TRACE_TASKS) put_work(f, row, e);
    else if (e->kind == PP_TRACE_LOSS) put_victim(f, row, e);
    else if (e->kind == PP_TRACE_HOST && e->count >= POOL_HOST_UP && e->count <= POOL_HOST_REFUSED)
        put_mark(f, row, e->end, states[e->count], e->worker);
}

/* The carrier's ring: entries of all hosts. */
static void put_hosts(struct file *f, const struct pp_trace_ring *r, uint64_t first, uint64_t tail) {
    uint32_t count = f->trace->host_count;
    uint64_t *last = pp_map_private(count * sizeof *last);
    for (uint32_t h = 0; h < count; h++) name_row(f, HOST_ROW + h, "host", h, f->trace->hosts[h]);
    for (uint64_t i = first; i < tail && last; i++) {
        const struct pp_trace_entry e = r->entries[i & (((uint64_t)1 << f->trace->bits) - 1)]; /* as below */
        if (e.worker < count && is_next(f, &e, &last[e.worker])) put_host_entry(f, &e);
    }
    pp_unmap(last, count * sizeof *last);
}

static void put_worker(struct file *f, uint32_t worker, const struct pp_trace_ring *r, uint64_t first, uint64_t tail) {
    uint64_t last = f->trace->began;
    if (tail > 0) name_row(f, worker + 1, "worker", worker, "");
    for (uint64_t i = first; i < tail; i++) {
        const struct pp_trace_entry e = r->entries[i & (((uint64_t)1 << f->trace->bits) - 1)]; /* one look: untrusted */
        if (e.kind <= PP_TRACE_TASKS && is_next(f, &e, &last)) put_work(f, worker + 1, &e);
    }
}

/* Returns how many entries are lost. */
static uint64_t put_ring(struct file *f, uint32_t ring) {
    const struct pp_trace_ring *r = pp_trace_ring(f->trace, ring);
    uint64_t room = (uint64_t)1 << f->trace->bits;
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire), first = tail > room ? tail - room : 0;
    if (ring == 0 && f->trace->host_count > 0) {
        put_hosts(f, r, first, tail);
    } else if (ring < PP_TRACE_SUPERVISOR) {
        put_worker(f, ring, r, first, tail);
    } else {
        for (uint64_t i = first; i < tail; i++) {
            const struct pp_trace_entry e = r->entries[i & (room - 1)]; /* likewise */
            if (e.begin <= e.end && e.end <= f->now && e.worker < PP_WORKERS) put_entry(f, &e);
        }
    }
    return first;
}

/* A ring of a worker that there never was has been written by one that means harm. */
static void put_all(struct file *f, uint32_t workers) {
    uint64_t lost = 0;
    put(f, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    put(f, "{\"ph\":\"M\",\"pid\":%ld,\"name\":\"process_name\",\"args\":{\"name\":\"pool of process %ld\"}}", f->pid,
        f->pid);
    put(f, ",\n{\"ph\":\"M\",\"pid\":%ld,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"caller\"}}", f->pid,
        CALLER_ROW);
    for (uint32_t ring = 0; ring < PP_TRACE_RINGS; ring++)
        if (ring < workers || ring >= PP_TRACE_SUPERVISOR) lost += put_ring(f, ring);
    put(f, "\n],\"otherData\":{\"lost\":%" PRIu64 "}}\n", lost);
    flush(f);
}

/* ---- the file */

static int open_beside(const char *path, char *beside, size_t room) {
    snprintf(beside, room, "%s.%ld.tmp", path, (long)getpid());
    return open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

bool pp_trace_file_can(const char *path) {
    char beside[4096];
    struct stat there;
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode)) return false;
    int fd = strlen(path) < sizeof beside - 40 ? open_beside(path, beside, sizeof beside) : -1;
    if (fd < 0) return false;
    pp_close(&fd);
    return unlink(beside) == 0;
}

bool pp_trace_file_write(const struct pp_trace *trace, uint32_t workers, pid_t caller) {
    char beside[4096];
    struct file *f = pp_map_private(sizeof *f);
    if (!f) return false;
    f->trace = trace;
    f->pid = (long)caller;
    f->now = pp_now();
    f->fd = open_beside(trace->path, beside, sizeof beside);
    f->failed = f->fd < 0;
    if (!f->failed) put_all(f, workers);
    pp_close(&f->fd);
    bool written = !f->failed && rename(beside, trace->path) == 0;
    if (!written) unlink(beside);
    pp_unmap(f, sizeof *f);
    return written;
}
