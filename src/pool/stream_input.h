/* How a stream of pool_imap() gets its items: from an array, or from a function of the program.
 *
 * Room for argument and result is found before the input is asked for the item: if there is none, the stream waits
 * until results are taken, and no item is lost. */
#ifndef PP_STREAM_INPUT_H
#define PP_STREAM_INPUT_H

#include "pool/stream.h"

/* Whether items come from a function, not from an array. */
static inline bool pp_stream_has_function(const struct pool_stream *options) {
    return options->next || options->next_sized;
}

/* Takes the next item from the input, if there is memory for it, and submits it. Returns whether another may be tried.
 * Releases the lock for the program's function. */
bool pp_stream_pull(struct stream *stream);

#endif
