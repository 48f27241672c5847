/* The last words of a worker: what it notes of an end that the code of a task, initializer or finalizer has brought
 * about, and where it was then, in shared memory, for the message of the failure.
 *
 * Invariant: the words and the first address are written before their kind, which is in the record; the text and the
 * other addresses may be missing. Only the kind is cleared when a life begins.
 * Every value is untrusted: a task may have overwritten it.
 * Called by: crash (write), worker_life (read). */
#ifndef PP_LAST_WORDS_H
#define PP_LAST_WORDS_H

#include <stdint.h>

#include "shared/shared.h"

#define PP_LAST_TEXT 160  /* bytes, with the end; a longer text is cut */
#define PP_LAST_FRAMES 24 /* addresses, with the 0 at the end: those of abort() begin deep in the C library */

enum pp_last {
    PP_LAST_NOTHING,
    PP_LAST_FAULT,       /* memory that cannot be accessed */
    PP_LAST_BAD_ADDRESS, /* likewise, at an address that no process can have, and the system does not tell it */
    PP_LAST_OVERFLOW,    /* likewise, where the stack should have been */
    PP_LAST_NO_CODE,     /* a jump to where no code is */
    PP_LAST_TERMINATE,   /* std::terminate() */
    PP_LAST_THREAD_EXIT, /* pthread_exit() or a cancellation has ended its thread */
    PP_LAST_SIGNAL,      /* an instruction that another signal answers */
    PP_LAST_SENT,        /* a signal that it has sent itself, by abort() or raise() */
    PP_LAST_CALL,        /* SIGSYS: a filter has refused a system call */
    PP_LAST_ASKED,       /* nothing: it was to be killed, and asked where it is */
    PP_LAST_REFUSED,     /* likewise the worker's sandbox */
    PP_LAST_EXIT,        /* exit(), in another thread */
    PP_LAST_KINDS
};

struct pp_last_words {
    enum pp_last kind;    /* only in a copy: in shared memory the record has it */
    int32_t signal;       /* that ended it; 0: none */
    uint32_t thread;      /* that did it, if not the one that runs tasks: its number, or 1 if it has none; else 0 */
    uint64_t address;     /* of a memory fault: which could not be accessed; PP_LAST_CALL,
                             PP_LAST_REFUSED: the call's number; see pp_refused_call() */
    /* Of code: where it was, and to where that and its callers return; 0 ends them. */
    uint64_t frames[PP_LAST_FRAMES];
    /* PP_LAST_TERMINATE: the type of the exception that nothing has caught; of abort(): why the C library has called
     * it; "": none, or not known. */
    char text[PP_LAST_TEXT];
};

/* Worker, in signal handlers, too: leaves the words, with one address, frames[0], and this text, which may be NULL. */
void pp_last_words_leave(struct pp_shared *shared, uint32_t worker, const struct pp_last_words *words,
                         const char *text);
/* Worker: the place for the other addresses. It has room for PP_LAST_FRAMES - 1, and ends at the first 0. */
uint64_t *pp_last_words_callers(struct pp_shared *shared, uint32_t worker);
/* Worker: adds a text to words that have none. */
void pp_last_words_add(struct pp_shared *shared, uint32_t worker, const char *text);
/* Supervisor: the words of a worker that has died. The text has an end, and only printable characters. */
struct pp_last_words pp_last_words(const struct pp_shared *shared, uint32_t worker);

#endif
