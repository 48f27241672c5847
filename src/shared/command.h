/* What the caller tells the supervisor, on a socket of their own that no worker has: fixed-size commands. The other way
 * go notices, through shared memory that workers cannot write, and end of file, when either side has gone.
 *
 * Invariant: a command is sent whole or not at all; the socket's buffer holds more than the caller ever has under way.
 * Called by: pool (send), supervisor (receive). */
#ifndef PP_COMMAND_H
#define PP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

enum pp_command_kind {
    PP_KILL,  /* this life of this worker: the caller has swapped what it runs to KILLED */
    PP_TIMER, /* something with a time-out of `value` ms has been submitted */
    PP_ROOM,  /* notices were read */
    PP_RESIZE, /* control->workers and control->wanted have changed */
    PP_START, /* there is work for `value` workers more than live */
    PP_END    /* kill all workers and exit */
};

struct pp_command {
    uint32_t kind, worker, life, value;
};

/* False: the supervisor has gone, or does not read. */
bool pp_command_send(int command_socket, const struct pp_command *command);
/* 1: one was received; 0: none is there; -1: the caller has gone. */
int pp_command_receive(int command_socket, struct pp_command *command);

#endif
