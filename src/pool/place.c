#include "pool/place.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/module.h"
#include "base/symbol.h"

#define PLACES 5 /* that a message names at most */

#define LONGEST_CALL 8 /* bytes of an instruction that calls a function, at most */

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool begins_with_one_of(const char *text, const char *const *beginnings, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strncmp(text, beginnings[i], strlen(beginnings[i])) == 0) return true;
    return false;
}

/* Whether it is code that calls abort() for the program: the C library, in a module of its own or not, a
 * sanitizer, the C++ runtime, or this library's handler of its end. */
static bool is_of_runtime(const struct pp_symbol *symbol) {
    static const char *const modules[] = {"libc.so", "libc-", "ld-musl-", "libpthread", "libstdc++", "libc++",
                                          "libgcc_s", "libasan", "libtsan", "libubsan", "liblsan", "libmsan"};
    static const char *const names[] = {"__", "_IO_", "_int_", "_ZSt", "_ZNSt", "_ZN9__gnu_cxx", "_ZN10__cxxabiv1",
                                        "_ZN6__asan", "_ZN7__ubsan", "_ZN6__tsan", "_ZN11__sanitizer",
                                        "malloc_printerr", "malloc_consolidate", "unlink_chunk", "on_terminate"};
    static const char *const whole[] = {"abort", "raise", "gsignal", "pthread_kill", "free", "cfree", "malloc",
                                        "calloc", "realloc", "memalign", "tgkill"};
    if (begins_with_one_of(symbol->module, modules, COUNT(modules))) return true;
    if (begins_with_one_of(symbol->name, names, COUNT(names))) return true;
    for (size_t i = 0; i < COUNT(whole); i++)
        if (strcmp(symbol->name, whole[i]) == 0) return true;
    return false;
}

/* The bytes before a return address are a call: what was found on a stack may also be what a call has left there
 * earlier, or an address that the program keeps. */
static bool is_return_address(uintptr_t address) {
#if defined(__x86_64__)
    const unsigned char *behind = (const unsigned char *)address;
    if (behind[-5] == 0xe8) return true;
    for (int length = 2; length <= LONGEST_CALL; length++)
        if (behind[-length] == 0xff && (behind[1 - length] & 0x38) == 0x10) return true;
    return false;
#elif defined(__aarch64__)
    uint32_t before;
    if (address % 4 != 0) return false;
    memcpy(&before, (const void *)(address - 4), sizeof before);
    return before >> 26 == 0x25 || (before & 0xfffffc1fU) == 0xd63f0000U || (before & 0xfefff800U) == 0xd63f0800U;
#else
    (void)address;
    return true;
#endif
}

/* Looks up where a caller goes on; the symbol is that of its call, right before. Returns false if no code of a module
 * is there. */
static bool find_caller(uint64_t address, struct pp_symbol *symbol) {
    struct pp_module first, last;
    uintptr_t begin = (uintptr_t)address - LONGEST_CALL, end = (uintptr_t)address - 1;
    if (!pp_module_find((const void *)begin, &first) || !first.is_code) return false;
    if (!pp_module_find((const void *)end, &last) || !last.is_code) return false;
    bool may_look = first.is_readable && last.is_readable && first.base == last.base;
    return (!may_look || is_return_address((uintptr_t)address)) && pp_symbol_find(end, symbol);
}

/* A text that is only as long as whole parts fit. */
struct message {
    char *text;
    size_t room;
    char module[sizeof((struct pp_symbol *)0)->module]; /* that was named last */
};

static void add_place(struct message *message, const char *before, const struct pp_symbol *symbol) {
    char part[sizeof(struct pool_failure)];
    size_t used = strlen(message->text);
    unsigned long long offset = symbol->offset, module_offset = symbol->module_offset;
    bool other = strcmp(message->module, symbol->module) != 0;
    if (symbol->module[0] == '\0') snprintf(part, sizeof part, "%s%s", before, symbol->name);
    else if (symbol->name[0] == '\0') snprintf(part, sizeof part, "%s%s+0x%llx", before, symbol->module, module_offset);
    else if (!other) snprintf(part, sizeof part, "%s%s+0x%llx", before, symbol->name, offset);
    else snprintf(part, sizeof part, "%s%s+0x%llx (%s+0x%llx)", before, symbol->name, offset, symbol->module,
                  module_offset);
    if (strlen(part) >= message->room - used) {
        message->room = used; /* nor anything behind it */
        return;
    }
    memcpy(message->text + used, part, strlen(part) + 1);
    memcpy(message->module, symbol->module, sizeof message->module);
}

/* Looks up the i-th address. Returns false if there is nothing to tell of it. */
static bool find_place(const struct pp_last_words *last, size_t i, struct pp_symbol *symbol) {
    uint64_t address = last->frames[i];
    if (i > 0) return address != last->frames[i - 1] && find_caller(address, symbol);
    if (!pp_symbol_find((uintptr_t)address, symbol))
        snprintf(symbol->name, sizeof symbol->name, "0x%llx", (unsigned long long)address);
    return true;
}

/* Finds the first frame that is worth telling: of abort() and raise() the first outside the C library, of a jump to
 * nowhere its caller.
 * Returns how many frames come before it; PP_LAST_FRAMES: all. */
static size_t find_first(const struct pp_last_words *last) {
    struct pp_symbol symbol;
    if (last->kind == PP_LAST_NO_CODE) return 1;
    if (last->kind != PP_LAST_SENT && last->kind != PP_LAST_TERMINATE) return 0;
    for (size_t i = 0; i < PP_LAST_FRAMES && last->frames[i] != 0; i++)
        if (find_place(last, i, &symbol) && !is_of_runtime(&symbol)) return i;
    return PP_LAST_FRAMES;
}

void pp_place_describe(struct pool_failure *failure, const struct pp_last_words *last, const char *before) {
    struct message message = {.text = failure->message, .room = sizeof failure->message};
    struct pp_symbol symbol;
    size_t kept = 0;
    if (last->kind == PP_LAST_NO_CODE) before = ", from ";
    for (size_t i = find_first(last); i < PP_LAST_FRAMES && last->frames[i] != 0; i++) {
        if (!find_place(last, i, &symbol)) continue;
        if (strncmp(symbol.name, "pp_", 3) == 0 || kept == COUNT(failure->frames) - 1) break; /* this library; full */
        failure->frames[kept++] = (uintptr_t)last->frames[i];
        if (kept <= PLACES) add_place(&message, before, &symbol);
        before = ", from ";
    }
}
