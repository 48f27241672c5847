#include "shared/last_words.h"

#include <string.h>

#include "base/text.h"
#include "shared/record.h"

/* No function of the C library is called, since this may be a signal handler. */
void pp_last_words_leave(struct pp_shared *shared, uint32_t worker, enum pp_last kind, uint32_t thread,
                         const void *address, const char *type) {
    struct pp_last_words *words = &shared->last_words[worker];
    size_t length = 0;
    for (; type && type[length] && length < sizeof words->type - 1; length++) words->type[length] = type[length];
    words->type[length] = '\0';
    words->thread = thread;
    words->address = (uint64_t)(uintptr_t)address;
    atomic_store_explicit(&shared->records[worker].last, (uint32_t)kind, memory_order_release);
}

struct pp_last_words pp_last_words(const struct pp_shared *shared, uint32_t worker) {
    struct pp_last_words words = {.kind = PP_LAST_NOTHING};
    uint32_t kind = atomic_load_explicit(&shared->records[worker].last, memory_order_acquire);
    if (kind == PP_LAST_NOTHING || kind > PP_LAST_EXIT) return words;
    const struct pp_last_words left = shared->last_words[worker]; /* one look: it is untrusted */
    words = (struct pp_last_words){.kind = (enum pp_last)kind, .thread = left.thread, .address = left.address};
    pp_text_readable(words.type, left.type, sizeof words.type);
    return words;
}
