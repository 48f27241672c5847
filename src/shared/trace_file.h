/* The file of a trace: Chrome's trace events, as ui.perfetto.dev and speedscope open them. A row for each number of a
 * worker, whichever process it is, for each host, and for the caller; spans; deaths, kills, retries and the ups and
 * downs of hosts as marks; counters.
 *
 * Invariant: the file has its name only once it is complete. Spans of a row do not overlap: times count from the pool's
 * beginning, since the readers compute with doubles, and each span ends 1 ns early.
 * Called by: the caller, once the workers have ended; the supervisor, if the caller has gone. */
#ifndef PP_TRACE_FILE_H
#define PP_TRACE_FILE_H

#include "shared/shared.h"

/* Whether the file can be made. */
bool pp_trace_file_can(const char *path);
/* Writes it. Returns false if the system refuses that. workers: one more than the highest number that there was.
 * caller: the process whose pool it is. */
bool pp_trace_file_write(const struct pp_trace *trace, uint32_t workers, pid_t caller);

#endif
