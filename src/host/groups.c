#include "host/groups.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/sys.h"

void pp_groups_note(struct pp_groups *groups, pid_t group) {
    if (!groups->stay && kill(-group, 0) == 0) pp_groups_add(groups, group);
}

void pp_groups_add(struct pp_groups *groups, pid_t group) {
    groups->of[groups->count++ % PP_GROUPS] = group;
}

void pp_groups_await(const struct pp_groups *groups, uint64_t deadline) {
    for (uint32_t i = 0; i < PP_GROUPS; i++)
        if (groups->of[i] != 0) pp_wait_group(groups->of[i], deadline);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}
