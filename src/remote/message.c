#include "remote/message.h"

#include <string.h>

/* ---- numbers */

static void put_u8(unsigned char **to, uint8_t value) {
    *(*to)++ = value;
}

static void put_bytes(unsigned char *to, uint64_t value, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = (unsigned char)(value >> 8 * i);
}

static void put_u32(unsigned char **to, uint32_t value) {
    put_bytes(*to, value, 4);
    *to += 4;
}

static void put_u64(unsigned char **to, uint64_t value) {
    put_bytes(*to, value, 8);
    *to += 8;
}

static void put_i32(unsigned char **to, int32_t value) {
    put_u32(to, (uint32_t)value);
}

/* As the bits of an IEEE 754 number. */
static void put_double(unsigned char **to, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u64(to, bits);
}

static void put_reference(unsigned char **to, const struct pp_reference *reference) {
    put_u8(to, reference->id_size);
    memcpy(*to, reference->id, PP_MODULE_ID);
    *to += PP_MODULE_ID;
    put_u64(to, reference->offset);
}

/* What is left of a message. */
struct reader {
    const unsigned char *at;
    size_t left;
    bool is_bad;
};

static const unsigned char *get_some(struct reader *r, uint64_t count) {
    const unsigned char *begin = r->at;
    if (count > r->left) r->is_bad = true;
    if (r->is_bad) return NULL;
    r->at += count;
    r->left -= (size_t)count;
    return begin;
}

static uint64_t get_bytes(struct reader *r, size_t count) {
    const unsigned char *from = get_some(r, count);
    uint64_t value = 0;
    for (size_t i = 0; from && i < count; i++) value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static uint8_t get_u8(struct reader *r) {
    return (uint8_t)get_bytes(r, 1);
}

static uint32_t get_u32(struct reader *r) {
    return (uint32_t)get_bytes(r, 4);
}

static uint64_t get_u64(struct reader *r) {
    return get_bytes(r, 8);
}

static int32_t get_i32(struct reader *r) {
    return (int32_t)get_u32(r);
}

/* At most as much as a size_t of any system has, so that sums of a few do not overflow 64 bits. */
static uint64_t get_size(struct reader *r) {
    uint64_t size = get_u64(r);
    if (size > SIZE_MAX / 4) r->is_bad = true;
    return size;
}

static uint32_t get_timeout(struct reader *r) {
    uint32_t ms = get_u32(r);
    if (ms > INT32_MAX) r->is_bad = true;
    return ms;
}

static uint32_t get_name(struct reader *r) {
    uint32_t number = get_u32(r);
    if (number > PP_FAR_NUMBERS) r->is_bad = true;
    return number;
}

static double get_double(struct reader *r) {
    uint64_t bits = get_u64(r);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!(value >= 0 && value <= 1e9)) r->is_bad = true;
    return value;
}

static void get_reference(struct reader *r, struct pp_reference *reference) {
    reference->id_size = get_u8(r);
    const unsigned char *id = get_some(r, PP_MODULE_ID);
    if (reference->id_size > PP_MODULE_ID) r->is_bad = true;
    if (id) memcpy(reference->id, id, PP_MODULE_ID);
    reference->offset = get_u64(r);
}

/* One bit each. Bits of no meaning are refused. */
static uint8_t get_flags(struct reader *r, uint8_t known) {
    uint8_t flags = get_u8(r);
    if (flags & ~known) r->is_bad = true;
    return flags;
}

static struct reader read_from(const unsigned char *data, size_t size) {
    return (struct reader){.at = data, .left = size};
}

static bool is_read(const struct reader *r) {
    return !r->is_bad && r->left == 0;
}

uint64_t pp_get_number(const unsigned char *numbers, size_t i) {
    struct reader r = read_from(numbers + 8 * i, 8);
    return get_u64(&r);
}

void pp_put_number(unsigned char *numbers, size_t i, uint64_t value) {
    put_bytes(numbers + 8 * i, value, 8);
}

/* ---- from the head */

enum { PIN = 1, LAZY = 2, KEEP_OOM_SCORE = 4, KEEP_CHILDREN = 8, FRESH_AFTER_FAILURE = 16, CARRIES_OUTPUT = 32,
       CAPTURE = 64 };

size_t pp_put_setup(unsigned char *to, const struct pp_setup *m) {
    unsigned char *begin = to;
    put_u32(&to, m->silence);
    put_u32(&to, m->workers);
    put_u32(&to, m->max_tasks_per_worker);
    put_u32(&to, m->idle_timeout);
    put_u32(&to, m->sandbox);
    put_u64(&to, m->arena_size);
    put_u64(&to, m->memory_limit);
    put_u64(&to, m->memory_soft_limit);
    put_u64(&to, m->min_free_memory);
    put_u64(&to, m->stack_size);
    put_double(&to, m->max_load);
    put_u8(&to, (uint8_t)(m->pin * PIN | m->lazy * LAZY | m->keep_oom_score * KEEP_OOM_SCORE |
                          m->keep_children * KEEP_CHILDREN | m->fresh_after_failure * FRESH_AFTER_FAILURE |
                          m->carries_output * CARRIES_OUTPUT | m->capture * CAPTURE));
    put_reference(&to, &m->initializer);
    put_reference(&to, &m->finalizer);
    put_reference(&to, &m->initializer_arg);
    put_reference(&to, &m->finalizer_arg);
    return (size_t)(to - begin);
}

bool pp_get_setup(const unsigned char *data, size_t size, struct pp_setup *m) {
    struct reader r = read_from(data, size);
    m->silence = get_timeout(&r);
    m->workers = get_u32(&r);
    m->max_tasks_per_worker = get_u32(&r);
    m->idle_timeout = get_timeout(&r);
    m->sandbox = get_u32(&r);
    m->arena_size = get_size(&r);
    m->memory_limit = get_u64(&r);
    m->memory_soft_limit = get_u64(&r);
    m->min_free_memory = get_u64(&r);
    m->stack_size = get_size(&r);
    m->max_load = get_double(&r);
    uint8_t flags =
        get_flags(&r, PIN | LAZY | KEEP_OOM_SCORE | KEEP_CHILDREN | FRESH_AFTER_FAILURE | CARRIES_OUTPUT | CAPTURE);
    m->pin = flags & PIN;
    m->lazy = flags & LAZY;
    m->keep_oom_score = flags & KEEP_OOM_SCORE;
    m->keep_children = flags & KEEP_CHILDREN;
    m->fresh_after_failure = flags & FRESH_AFTER_FAILURE;
    m->carries_output = flags & CARRIES_OUTPUT;
    m->capture = flags & CAPTURE;
    get_reference(&r, &m->initializer);
    get_reference(&r, &m->finalizer);
    get_reference(&r, &m->initializer_arg);
    get_reference(&r, &m->finalizer_arg);
    return is_read(&r) && m->workers <= INT32_MAX && m->sandbox <= INT32_MAX;
}

size_t pp_put_function(unsigned char *to, const struct pp_function_message *m) {
    unsigned char *begin = to;
    put_reference(&to, &m->function);
    put_u32(&to, (uint32_t)m->module_size);
    return (size_t)(to - begin);
}

bool pp_get_function(const unsigned char *data, size_t size, struct pp_function_message *m) {
    struct reader r = read_from(data, size);
    get_reference(&r, &m->function);
    m->module_size = get_u32(&r);
    m->module = (const char *)get_some(&r, m->module_size);
    return is_read(&r) && m->module_size <= PP_MODULE_PATH && m->function.id_size > 0;
}

enum { WANTS_OUT = 1, HAS_SIZES = 2, IS_BLOCK = 4, IS_FRESH_JOB = 8, SKIPS_FAILED = 16 };

size_t pp_put_job(unsigned char *to, const struct pp_job_message *m) {
    unsigned char *begin = to;
    put_u32(&to, m->function);
    put_u32(&to, m->combine);
    put_u32(&to, m->context);
    put_u32(&to, m->timeout);
    put_u32(&to, m->cpu_timeout);
    put_u32(&to, m->failures);
    put_u64(&to, m->seed);
    put_u64(&to, m->in_size);
    put_u64(&to, m->out_size);
    put_u8(&to, (uint8_t)(m->wants_out * WANTS_OUT | m->has_sizes * HAS_SIZES | m->is_block * IS_BLOCK |
                          m->is_fresh * IS_FRESH_JOB | m->skips_failed * SKIPS_FAILED));
    return (size_t)(to - begin);
}

bool pp_get_job(const unsigned char *data, size_t size, struct pp_job_message *m) {
    struct reader r = read_from(data, size);
    m->function = get_name(&r);
    m->combine = get_name(&r);
    m->context = get_name(&r);
    m->timeout = get_timeout(&r);
    m->cpu_timeout = get_timeout(&r);
    m->failures = get_u32(&r);
    m->seed = get_u64(&r);
    m->in_size = get_size(&r);
    m->out_size = get_size(&r);
    uint8_t flags = get_flags(&r, WANTS_OUT | HAS_SIZES | IS_BLOCK | IS_FRESH_JOB | SKIPS_FAILED);
    m->wants_out = flags & WANTS_OUT;
    m->has_sizes = flags & HAS_SIZES;
    m->is_block = flags & IS_BLOCK;
    m->is_fresh = flags & IS_FRESH_JOB;
    m->skips_failed = flags & SKIPS_FAILED;
    if (((m->wants_out || m->combine) && m->out_size == 0) || (m->has_sizes && !m->wants_out)) return false;
    if (!m->function && (!m->combine || m->is_block || m->in_size != m->out_size)) return false;
    if (m->combine ? m->is_fresh : m->skips_failed) return false;
    return is_read(&r) && !(m->has_sizes && (m->combine || m->is_block));
}

enum { HAS_IN = 1, ANY_SIZE = 2, IS_FRESH_TASK = 4, IS_ALONE = 8 };

size_t pp_put_task(unsigned char *to, const struct pp_task_message *m) {
    unsigned char *begin = to;
    put_u8(&to, m->shape);
    put_u8(&to, (uint8_t)(m->has_in * HAS_IN | m->any_size * ANY_SIZE | m->is_fresh * IS_FRESH_TASK |
                          m->is_alone * IS_ALONE));
    put_u32(&to, m->function);
    put_u32(&to, m->job);
    put_u32(&to, m->context);
    put_u32(&to, m->timeout);
    put_u32(&to, m->cpu_timeout);
    put_i32(&to, m->priority);
    put_u64(&to, m->index);
    put_u64(&to, m->seed);
    put_u64(&to, m->count);
    put_u64(&to, m->out_size);
    put_u64(&to, m->in_size);
    put_u32(&to, m->input_count);
    return (size_t)(to - begin);
}

/* The inputs are all that is left. */
static void get_inputs(struct reader *r, struct pp_task_message *m) {
    m->inputs = r->at;
    for (uint32_t i = 0; !r->is_bad && i < m->input_count; i++) {
        uint64_t size = pp_get_number(m->input_sizes, i);
        if (size != PP_NO_INPUT) get_some(r, size);
    }
}

static bool is_task(const struct pp_task_message *m) {
    if ((m->in_size > 0) != m->has_in || (m->any_size && m->out_size)) return false;
    if (m->shape == PP_SHAPE_PLAIN) return m->function && !m->job && !m->is_alone;
    return m->shape <= PP_SHAPE_JOIN && m->job && !m->function && !m->context && !m->any_size;
}

bool pp_get_task(const unsigned char *data, size_t size, struct pp_task_message *m) {
    struct reader r = read_from(data, size);
    m->shape = get_u8(&r);
    uint8_t flags = get_flags(&r, HAS_IN | ANY_SIZE | IS_FRESH_TASK | IS_ALONE);
    m->has_in = flags & HAS_IN;
    m->any_size = flags & ANY_SIZE;
    m->is_fresh = flags & IS_FRESH_TASK;
    m->is_alone = flags & IS_ALONE;
    m->function = get_name(&r);
    m->job = get_name(&r);
    m->context = get_name(&r);
    m->timeout = get_timeout(&r);
    m->cpu_timeout = get_timeout(&r);
    m->priority = get_i32(&r);
    m->index = get_u64(&r);
    m->seed = get_u64(&r);
    m->count = get_size(&r);
    m->out_size = get_size(&r);
    m->in_size = get_size(&r);
    m->input_count = get_u32(&r);
    m->input_sizes = get_some(&r, (uint64_t)m->input_count * 8);
    m->in = get_some(&r, m->in_size);
    get_inputs(&r, m);
    return is_read(&r) && is_task(m);
}

size_t pp_put_chunk(unsigned char *to, const struct pp_chunk_message *m) {
    unsigned char *begin = to;
    put_u32(&to, m->job);
    put_u32(&to, m->count);
    put_u64(&to, m->first);
    put_u8(&to, m->has_list);
    return (size_t)(to - begin);
}

bool pp_get_chunk(const unsigned char *data, size_t size, struct pp_chunk_message *m) {
    struct reader r = read_from(data, size);
    m->job = get_name(&r);
    m->count = get_u32(&r);
    m->first = get_u64(&r);
    m->has_list = get_flags(&r, 1);
    m->list = get_some(&r, m->has_list ? (uint64_t)m->count * 8 : 0);
    m->in_bytes = r.left;
    m->in = get_some(&r, r.left);
    return is_read(&r) && m->job && m->count > 0 && m->count <= PP_CHUNK_ITEMS;
}

size_t pp_put_end(unsigned char *to, const struct pp_end_message *m) {
    unsigned char *begin = to;
    put_u32(&to, m->patience);
    return (size_t)(to - begin);
}

bool pp_get_end(const unsigned char *data, size_t size, struct pp_end_message *m) {
    struct reader r = read_from(data, size);
    m->patience = get_timeout(&r);
    return is_read(&r);
}

/* ---- from the node */

size_t pp_put_ready(unsigned char *to, const struct pp_ready *m) {
    unsigned char *begin = to;
    put_u32(&to, m->cpus);
    put_u32(&to, m->workers);
    return (size_t)(to - begin);
}

bool pp_get_ready(const unsigned char *data, size_t size, struct pp_ready *m) {
    struct reader r = read_from(data, size);
    m->cpus = get_u32(&r);
    m->workers = get_u32(&r);
    return is_read(&r);
}

size_t pp_put_failure(unsigned char *to, const struct pp_failure_message *m) {
    unsigned char *begin = to;
    put_i32(&to, m->error);
    put_i32(&to, m->code);
    put_i32(&to, m->signal);
    put_i32(&to, m->worker);
    put_u64(&to, m->position);
    put_u8(&to, (uint8_t)m->frame_count);
    for (uint32_t i = 0; i < m->frame_count; i++) put_reference(&to, &m->frames[i]);
    put_u32(&to, (uint32_t)m->text_size);
    return (size_t)(to - begin);
}

bool pp_get_failure(const unsigned char *data, size_t size, struct pp_failure_message *m) {
    struct reader r = read_from(data, size);
    m->error = get_i32(&r);
    m->code = get_i32(&r);
    m->signal = get_i32(&r);
    m->worker = get_i32(&r);
    m->position = get_u64(&r);
    m->frame_count = get_u8(&r);
    if (m->frame_count > PP_FAR_FRAMES) return false;
    for (uint32_t i = 0; i < m->frame_count; i++) get_reference(&r, &m->frames[i]);
    m->text_size = get_u32(&r);
    m->text = (const char *)get_some(&r, m->text_size);
    return is_read(&r) && m->text_size < PP_FAR_TEXT && m->error < 0;
}

size_t pp_put_skipped(unsigned char *to, const struct pp_skipped_message *m) {
    unsigned char *begin = to;
    put_u64(&to, m->failed);
    put_u64(&to, m->first);
    put_i32(&to, m->code);
    put_i32(&to, m->worker);
    put_u32(&to, (uint32_t)m->text_size);
    return (size_t)(to - begin);
}

bool pp_get_skipped(const unsigned char *data, size_t size, struct pp_skipped_message *m) {
    struct reader r = read_from(data, size);
    m->failed = get_u64(&r);
    m->first = get_u64(&r);
    m->code = get_i32(&r);
    m->worker = get_i32(&r);
    m->text_size = get_u32(&r);
    m->text = (const char *)get_some(&r, m->text_size);
    return is_read(&r) && m->text_size < PP_FAR_TEXT && (m->failed == 0 || m->code != 0);
}

size_t pp_put_items(unsigned char *to, const struct pp_items_message *m) {
    unsigned char *begin = to;
    put_u32(&to, m->first);
    put_u32(&to, m->count);
    put_u64(&to, m->took);
    put_u8(&to, m->has_sizes);
    return (size_t)(to - begin);
}

bool pp_get_items(const unsigned char *data, size_t size, struct pp_items_message *m) {
    struct reader r = read_from(data, size);
    m->first = get_u32(&r);
    m->count = get_u32(&r);
    m->took = get_u64(&r);
    m->has_sizes = get_flags(&r, 1);
    m->sizes = get_some(&r, m->has_sizes ? (uint64_t)m->count * 8 : 0);
    m->out_bytes = r.left;
    m->out = get_some(&r, r.left);
    return is_read(&r) && m->count > 0 && m->count <= PP_CHUNK_ITEMS && m->first <= PP_CHUNK_ITEMS - m->count;
}

size_t pp_put_stats(unsigned char *to, const struct pp_stats_message *m) {
    unsigned char *begin = to;
    put_u64(&to, m->tasks);
    put_u64(&to, m->busy);
    put_u64(&to, m->deaths);
    put_u32(&to, m->workers);
    put_u32(&to, m->running);
    return (size_t)(to - begin);
}

bool pp_get_stats(const unsigned char *data, size_t size, struct pp_stats_message *m) {
    struct reader r = read_from(data, size);
    m->tasks = get_u64(&r);
    m->busy = get_u64(&r);
    m->deaths = get_u64(&r);
    m->workers = get_u32(&r);
    m->running = get_u32(&r);
    return is_read(&r);
}
