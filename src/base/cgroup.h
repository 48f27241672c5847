/* Limits from the control groups of this process, versions 1 and 2.
 *
 * Invariant: a limit that cannot be read is no limit.
 * Called by: cpu, memory. */
#ifndef PP_CGROUP_H
#define PP_CGROUP_H

#include <limits.h>

#define PP_CGROUP_ROOM (PATH_MAX + 64) /* characters of the path of a file in such a directory */

/* Calls a reader for the directory of this process' group and of each group above it, and returns the least result;
 * LLONG_MAX if there is no limit. The reader returns the limit of one directory. controller: names the directory in
 * version 1, as "cpu" or "memory". root: "" for the system's own /proc and /sys, or a directory that holds others. */
long long pp_cgroup_least(const char *root, const char *controller, long long (*in_v1)(const char *directory),
                          long long (*in_v2)(const char *directory));
/* Returns the number that a file in the directory begins with; -1 if it has none. */
long long pp_cgroup_number(const char *directory, const char *file);

#endif
