/* Starts nodes: this program again, on another host, by a launcher, a command of the shell that carries the node's
 * standard input and output: ssh, srun, or what the user names.
 *
 * A node is told by its environment what it is: PARPOOL_NODE, whose value is PP_NODE_WORDS.
 *
 * Invariant: a launcher leads a process group of its own, inherits no descriptor of the pool but its three, has
 * no terminal to ask at, and dies with the process that has started it where the system can do that. SIGPIPE is ignored
 * in this process.
 * Called by: carrier_hosts; serve, which notes the program's arguments; hosted. */
#ifndef PP_LAUNCH_H
#define PP_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "remote/hosts.h"

#define PP_NODE_VARIABLE "PARPOOL_NODE"
#define PP_NODE_WORDS "1"

/* The arguments that nodes get: those of main(). argv: copied; NULL: none are passed on. Returns false if there is no
 * memory. */
bool pp_program_note(int argc, char **argv);
/* Whether pp_program_note() was called: pool_serve() is in this program. */
bool pp_program_serves(void);

struct pp_launch_setup {
    /* Template: %h host, %n its CPUs, %c the node's command, %% a percent sign. %c is one word, a script, behind ssh
     * and -c, and elsewhere the words of a command. NULL: ssh, or srun for hosts of a Slurm allocation. */
    const char *launcher;
    const char *env;      /* variables of the node, NAME or NAME=value, with commas; NULL: none */
    bool ship;            /* the program is sent over the launcher's standard input */
};

struct pp_launch {
    pid_t pid;   /* the launcher's; 0: it has ended */
    int in, out; /* its standard input and output; -1: closed */
    int program; /* the file that is still to be sent; -1: none */
    size_t sent, size; /* bytes of it */
};

/* Starts the launcher. Its standard error is the program's. Both ends are non-blocking and close-on-exec. Returns 0,
 * POOL_EAGAIN (no process or descriptor), POOL_ENOMEM or POOL_EINVAL (the program's file is not known), and why. */
int pp_launch_start(const struct pp_launch_setup *setup, const struct pp_host_entry *host, struct pp_launch *launch,
                    char *why, size_t room);
/* While `program` is not -1: sends more of it; to be called when `in` takes bytes, before anything else is written
 * there. Returns false if the launcher has gone. */
bool pp_launch_ship(struct pp_launch *launch);
/* Whether the launcher has ended; then `how` tells how ("ended with 255", "was killed by signal 9"), once: pid is 0
 * afterwards. */
bool pp_launch_has_ended(struct pp_launch *launch, char *how, size_t room);
/* Sends a signal to the launcher's group, if it has not ended. */
void pp_launch_signal(const struct pp_launch *launch, int signal);
/* Closes the descriptors. */
void pp_launch_close(struct pp_launch *launch);

#endif
