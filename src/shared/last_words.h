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
 * been; one of a call to where no code is; std::terminate(); the end of its thread, by pthread_exit() or a
 * cancellation; another signal, or exit(), of which there is only to say that it came from another thread. */
enum pp_last {
    PP_LAST_NOTHING, PP_LAST_FAULT, PP_LAST_OVERFLOW, PP_LAST_NO_CODE, PP_LAST_TERMINATE, PP_LAST_THREAD_EXIT,
    PP_LAST_SIGNAL, PP_LAST_EXIT
};

struct pp_last_words {
    enum pp_last kind;       /* only in a copy: in shared memory the record has it */
    uint32_t thread;         /* that did it, if not the one that runs tasks: its number, or 1 if it has none; else 0 */
    uint64_t address;        /* of a memory fault: which could not be accessed */
    char type[PP_TYPE_NAME]; /* PP_LAST_TERMINATE: of the exception that nothing has caught; "": none, or not known */
};

/* Worker, in signal handlers, too. thread: as above. type: may be NULL. */
void pp_last_words_leave(struct pp_shared *shared, uint32_t worker, enum pp_last kind, uint32_t thread,
                         const void *address, const char *type);
/* Supervisor: the words of a worker that has died. The type has an end, and only printable characters. */
struct pp_last_words pp_last_words(const struct pp_shared *shared, uint32_t worker);

#endif
