/* What tasks print, caught: pool_options.capture.
 *
 * stdout and stderr of a worker are two files without a name. After each task or item the worker passes what they have
 * on to the program's own stdout and stderr, line by line, each with the function and the item. Whether they have
 * anything is a look at their first bytes, which the worker has mapped. What is left of a worker that has died its
 * supervisor passes on; the last line of it is what the victim said last.
 *
 * Invariant: what lies in a file before its position was not passed on. All that a worker has written is untrusted: the
 * supervisor reads CAUGHT_MOST bytes of it, and waits for a reader for a short while only.
 * Called by: supervisor, workers, birth; work, work_jobs and worker. */
#ifndef PP_CAPTURE_H
#define PP_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/symbol.h"
#include "shared/notice.h"

/* The supervisor's. */
struct pp_capture {
    int own[2]; /* copies of the program's stdout and stderr; -1: it has none */
    bool is_deaf[2]; /* what the supervisor has last written there is not read */
    int files[PP_WORKERS][2];      /* of each worker; 0: none yet */
    char said[PP_WORKERS][PP_SAID]; /* the last line of a worker that has died; "": none */
};

/* Returns NULL if there is no memory. */
struct pp_capture *pp_capture_new(void);
/* Before a worker of this number is forked. If it fails, the worker prints as without a capture. */
void pp_capture_prepare(struct pp_capture *capture, uint32_t worker);
/* The worker has died: passes on what it has printed. fn: of its victim; NULL: there is none. */
void pp_capture_bury(struct pp_capture *capture, uint32_t worker, pool_fn *fn, uint64_t item);

/* The worker's. */
struct pp_captured {
    const _Atomic uint64_t *first[2]; /* the first bytes of each file: 0 if it has nothing. Writers: whatever prints */
    int own[2], files[2];
    uint32_t worker;
    pool_fn *fn; /* whose label this is; NULL: of none */
    char label[PP_SYMBOL_LABEL];
};

/* In the worker: what it prints is caught from now on. capture: NULL: nothing is. */
void pp_captured_begin(struct pp_captured *captured, struct pp_capture *capture, uint32_t worker);
/* Whether anything was printed since the last time that it was passed on; but for what begins with eight zeros. */
static inline bool pp_captured_any(const struct pp_captured *c) {
    return (atomic_load_explicit(c->first[0], memory_order_relaxed) |
            atomic_load_explicit(c->first[1], memory_order_relaxed)) != 0;
}
/* Passes it on. fn: of the task or item; NULL: it was initializer or finalizer. Waits while the output is not read. */
void pp_captured_pass(struct pp_captured *captured, pool_fn *fn, uint64_t item);

#endif
