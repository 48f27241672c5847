/* Process groups of workers that have ended and left children, which were killed with them: in the end the supervisor
 * waits for those, since they would become zombies of a program that adopts orphans itself. A process that has left its
 * worker's group, or cannot be killed, is left to itself.
 *
 * Called by: supervisor, workers. */
#ifndef PP_GROUPS_H
#define PP_GROUPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PP_GROUPS 1024 /* the last ones; so many that in the end each worker may have left children */

struct pp_groups {
    bool stay; /* children of tasks are not killed, nor waited for */
    pid_t of[PP_GROUPS]; /* 0: none */
    uint32_t count;
};

/* A worker has ended, and its group was killed. Its children, if it left any, are the supervisor's now. */
void pp_groups_note(struct pp_groups *groups, pid_t group);
/* Another group that was killed. */
void pp_groups_add(struct pp_groups *groups, pid_t group);
/* Waits for all, but not beyond the deadline. */
void pp_groups_await(const struct pp_groups *groups, uint64_t deadline);

#endif
