#include "shared/last_words.h"

#include <string.h>

#include "base/text.h"
#include "shared/record.h"

/* No function of the C library is called, since this may be a signal handler. */
void pp_last_words_add(struct pp_shared *shared, uint32_t worker, const char *text) {
    char *to = shared->last_words[worker].text;
    size_t length = 0;
    for (; text && text[length] && length < PP_LAST_TEXT - 1; length++) to[length] = text[length];
    to[length] = '\0';
}

void pp_last_words_leave(struct pp_shared *shared, uint32_t worker, const struct pp_last_words *words,
                         const char *text) {
    struct pp_last_words *to = &shared->last_words[worker];
    to->signal = words->signal;
    to->thread = words->thread;
    to->address = words->address;
    to->frames[0] = words->frames[0];
    to->frames[1] = 0;
    pp_last_words_add(shared, worker, text);
    atomic_store_explicit(&shared->records[worker].last, (uint32_t)words->kind, memory_order_release);
}

uint64_t *pp_last_words_callers(struct pp_shared *shared, uint32_t worker) {
    return shared->last_words[worker].frames + 1;
}

struct pp_last_words pp_last_words(const struct pp_shared *shared, uint32_t worker) {
    struct pp_last_words words = {.kind = PP_LAST_NOTHING};
    uint32_t kind = atomic_load_explicit(&shared->records[worker].last, memory_order_acquire);
    if (kind == PP_LAST_NOTHING || kind >= PP_LAST_KINDS) return words;
    const struct pp_last_words left = shared->last_words[worker]; /* one look: it is untrusted */
    words = left;
    words.kind = (enum pp_last)kind;
    words.frames[PP_LAST_FRAMES - 1] = 0;
    pp_text_readable(words.text, left.text, sizeof words.text);
    return words;
}
