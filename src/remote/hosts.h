/* Lists of hosts, as $PARPOOL_HOSTS and pool_options.hosts have them:
 *
 *     w1  alice@w1  w1:16  w[1-3,07-09]  [::1]  @file  slurm  auto  local:4
 *
 * with commas or blanks between them. A name that comes again adds to the CPUs of the first.
 *
 * Invariant: what a list says is bounded and checked: a name never looks like an option of a launcher, and has no
 * character that a shell or a terminal would take for more than itself.
 * Called by: hosted, which refuses a bad list. The carrier has the list that was read. */
#ifndef PP_HOSTS_H
#define PP_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#define PP_HOSTS_MOST 16384U /* hosts of a list, and CPUs of one */

struct pp_hosts {
    struct pp_host_entry {
        char *name;  /* as the launcher is told it, perhaps with a user's name; unique, but for local ones */
        int cpus;    /* 0: all that the host has */
        bool local;  /* a node on this machine, without a launcher */
        bool slurm;  /* of the Slurm allocation that this process runs in */
    } *list;
    size_t count;
    bool counted; /* each mention of a name is one CPU, as in $PBS_NODEFILE */
};

/* Reads a list. NULL and "" are lists without hosts. Returns 0, POOL_ENOMEM, or POOL_EINVAL and why: a text that names
 * the entry. Unless it returns 0, *hosts is empty. */
int pp_hosts_parse(const char *list, struct pp_hosts *hosts, char *why, size_t room);
/* Frees what pp_hosts_parse() has made; *hosts is empty then. */
void pp_hosts_release(struct pp_hosts *hosts);

#endif
