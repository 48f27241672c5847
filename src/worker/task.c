#include "worker/task.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "parpool.h"
#include "shared/extents.h"

static _Thread_local struct pp_call call;

struct pp_call *pp_call_here(void) {
    return &call;
}

bool pp_call_is_within(const struct pp_shared *shared) {
    for (const struct pp_call *c = &call; c; c = c->outer)
        if (c->shared == shared) return true;
    return false;
}

static size_t item_here(void) {
    uint64_t position = atomic_load_explicit(call.position, memory_order_relaxed);
    return (size_t)(call.items ? call.items[position] : position);
}

/* The index of the i-th item of the call. */
static size_t index_of(size_t i) {
    if (!call.position) return call.index + i;
    size_t item = item_here();
    if (!call.names) return (size_t)call.first_name + item + i;
    return (size_t)(i < call.count ? call.names[item + i] : call.names[item] + i);
}

size_t task_index(void) {
    return call.running ? index_of(0) : 0;
}

const void *task_context(void) {
    return call.running ? call.context : NULL;
}

size_t task_input_count(void) {
    return call.running && call.extra ? call.extra->count : 0;
}

const void *task_input(size_t i, size_t *size) {
    static const struct pp_input none;
    const struct pp_input *input = i < task_input_count() ? &call.extra->inputs[i] : &none;
    if (size) *size = input->size;
    return input->data;
}

int task_fail(int code, const char *format, ...) {
    if (!call.running || !format) return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call.message, sizeof call.message, format, arguments);
    va_end(arguments);
    call.has_message = true;
    call.message_index = task_index();
    return code;
}

int task_fail_item(size_t i, int code, const char *format, ...) {
    char message[sizeof call.message] = "";
    if (!call.running || i >= call.count || code == 0) return code;
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message, sizeof message, format, arguments);
        va_end(arguments);
    }
    call.fail_item(call.owner, i, code, message);
    return code;
}

size_t task_in_size(void) {
    if (!call.running) return 0;
    if (call.position) return call.in_size;
    if (!call.desc) return 0;
    uint64_t size = call.desc->item & PP_IN_SIZE_ASIDE;
    if (size == PP_IN_SIZE_ASIDE) memcpy(&size, call.desc->argument + sizeof size, sizeof size);
    return (size_t)size;
}

size_t task_out_size(void) {
    if (!call.running) return 0;
    if (call.position) return call.out_size;
    if (!call.desc) return 0;
    uint64_t size = pp_desc_out_size(call.desc);
    return size == POOL_ANY_SIZE ? call.extent_size : (size_t)size;
}

void pp_call_drop_extent(size_t keep) {
    if (!call.extent) return;
    pp_extent_drop(call.shared, call.ticket, call.extent, call.extent_size, keep);
    if (keep == 0) call.extent = NULL;
}

void *task_result(size_t size) {
    if (!call.running || call.position || !call.desc || !pp_desc_has_any_size(call.desc)) return NULL;
    pp_call_drop_extent(0);
    if (size > 0) call.extent = pp_extent_take(call.shared, call.ticket, size);
    call.size = call.extent_size = call.extent ? size : 0;
    call.resized = true;
    return call.extent;
}

int task_resize(size_t size) {
    if (!call.running || size > task_out_size()) return POOL_EINVAL;
    if (call.position && call.sizes) {
        call.sizes[item_here()] = size + 1;
        return 0;
    }
    if (call.position || !call.desc) return POOL_EINVAL;
    call.size = size;
    call.resized = true;
    return 0;
}

/* The output function of SplitMix64 (Steele, Lea, Flood 2014): a bijection, so that different items differ. */
static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

uint64_t task_seed_item(size_t i) {
    uint64_t seed = call.running ? call.seed : 0;
    size_t index = call.running ? index_of(i) : i;
    return mixed(mixed(seed) + (index + 1) * 0x9e3779b97f4a7c15U);
}

uint64_t task_seed(void) {
    return task_seed_item(0);
}
