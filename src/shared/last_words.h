/* The last words of a worker: what it notes of an end that the code of a task, initializer or finalizer has brought
 * about, in shared memory, for the message of the failure.
 *
 * Invariant: the words are written first, then their kind, in the record. Only the kind is cleared when a life begins.
 * Every value is untrusted: a task may have overwritten it.
 * Called by: crash (write), worker_life (read). */
#ifndef PP_LAST_WORDS_H
#define PP_LAST_WORDS_H

#include <stdint.h>

#include "shared/shared.h"

#define PP_TYPE_NAME 120 /* bytes, with the end; a longer name is cut */

/* What has ended the worker: something of which it could say nothing; a memory fault; one where its stack should have
 * been; std::terminate(); the end of its thread, by pthread_exit() or a cancellation. */
enum pp_last { PP_LAST_NOTHING, PP_LAST_FAULT, PP_LAST_OVERFLOW, PP_LAST_TERMINATE, PP_LAST_THREAD_EXIT };

struct pp_last_words {
    enum pp_last kind;       /* only in a copy: in shared memory the record has it */
    uint64_t address;        /* of a memory fault: which could not be accessed */
    char type[PP_TYPE_NAME]; /* PP_LAST_TERMINATE: of the exception that nothing has caught; "": none, or not known */
};

/* Worker, in signal handlers, too. type: may be NULL. */
void pp_last_words_leave(struct pp_shared *shared, uint32_t worker, enum pp_last kind, const void *address,
                         const char *type);
/* Supervisor: the words of a worker that has died. The type has an end, and only printable characters. */
struct pp_last_words pp_last_words(const struct pp_shared *shared, uint32_t worker);

#endif
