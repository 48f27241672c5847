#include "base/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"

typedef long long reader(const char *directory);

long long pp_cgroup_number(const char *directory, const char *file) {
    char path[PP_CGROUP_ROOM], text[32];
    long long number;
    snprintf(path, sizeof path, "%s/%s", directory, file);
    return pp_read_text(path, text, sizeof text) && sscanf(text, "%lld", &number) == 1 ? number : -1;
}

/* Returns the least limit of the group at `path` in the hierarchy at `mount`, and of the groups above it. */
static long long least_upwards(const char *root, const char *mount, const char *path, reader *in) {
    char directory[PATH_MAX];
    size_t top = strlen(root) + strlen(mount);
    if ((size_t)snprintf(directory, sizeof directory, "%s%s%s", root, mount, path) >= sizeof directory)
        return LLONG_MAX;
    long long least = LLONG_MAX;
    for (;;) {
        long long found = in(directory);
        if (found < least) least = found;
        char *slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < top) return least;
        *slash = '\0';
    }
}

/* Whether `controller` is in a list with commas. */
static bool is_among(const char *controllers, const char *controller) {
    size_t length = strlen(controller);
    for (const char *c = controllers; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL)
        if (strncmp(c, controller, length) == 0 && (c[length] == ',' || c[length] == '\0')) return true;
    return false;
}

/* Each line of /proc/self/cgroup is "hierarchy:controllers:path"; version 2 has no controllers. */
long long pp_cgroup_least(const char *root, const char *controller, reader *in_v1, reader *in_v2) {
    char text[8192], mount_v1[64];
    long long least = LLONG_MAX;
    if ((size_t)snprintf(text, sizeof text, "%s/proc/self/cgroup", root) >= sizeof text) return LLONG_MAX;
    if (!pp_read_text(text, text, sizeof text)) return LLONG_MAX;
    snprintf(mount_v1, sizeof mount_v1, "/sys/fs/cgroup/%s", controller);
    for (char *line = text, *end; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end) *end++ = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(++controllers, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        if (strcmp(path, "/") == 0) path = "";
        long long found = LLONG_MAX;
        if (*controllers == '\0') found = least_upwards(root, "/sys/fs/cgroup", path, in_v2);
        else if (is_among(controllers, controller)) found = least_upwards(root, mount_v1, path, in_v1);
        if (found < least) least = found;
    }
    return least;
}
