/* Commands from the caller to the supervisor, of fixed size, through a pipe that no worker has. In the other direction
 * the supervisor writes notices to shared memory that workers cannot write.
 *
 * A pipe, not a socket: a program that filters its system calls after pool_create() still has write(2). The caller
 * keeps the read end as well: a write must never raise SIGPIPE.
 *
 * Invariant: a command is sent whole or not at all, as it is shorter than PIPE_BUF.
 * Called by: tell (sends), processes (makes the pipe), supervisor (receives). */
#ifndef PP_COMMAND_H
#define PP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

enum pp_command_kind {
    PP_KILL,   /* kill this worker in this life: the caller has swapped the state word of what it runs to KILLED. With
                  a value, kill it only if that is the trace of its record; see pp_record_trace() */
    PP_TIMER,  /* a task or job with a time-out of `value` ms was submitted */
    PP_ROOM,   /* there is room for notices again */
    PP_RESIZE, /* control->workers and control->wanted have changed */
    PP_START,  /* start `value` of the workers that rest: there is work for them */
    PP_CLOSE,  /* control->closing was set */
    PP_RESET,  /* kill all workers and start none; then write a notice of PP_ALL_DIED */
    PP_RESUME, /* start workers again */
    PP_END     /* kill all workers and exit */
};

struct pp_command {
    uint32_t kind, worker, life, value;
};

/* Returns false if there is no supervisor (the pipe is -1), it does not read, or the system refuses the call. */
bool pp_command_send(int command_pipe, const struct pp_command *command);
/* Returns 1 if it has received a command, 0 if there is none, -1 if the caller has gone. */
int pp_command_receive(int command_pipe, struct pp_command *command);

#endif
