/* What the control groups of this process say, of versions 1 and 2.
 *
 * Invariant: what cannot be read limits nothing.
 * Called by: cpu, memory. */
#ifndef PP_CGROUP_H
#define PP_CGROUP_H

#include <limits.h>

#define PP_CGROUP_ROOM (PATH_MAX + 64) /* characters of the path of a file in a directory */

/* The least that a reader returns, of those for which it is asked: for the directory of the group in which this process
 * is, and for those of the groups above. controller: whose directory that is in version 1. root: "" for the system's
 * own /proc and /sys, or a directory that holds others. LLONG_MAX: no limit. */
long long pp_cgroup_least(const char *root, const char *controller, long long (*in_v1)(const char *directory),
                          long long (*in_v2)(const char *directory));
/* The number that a file in the directory begins with; -1: there is none. */
long long pp_cgroup_number(const char *directory, const char *file);

#endif
