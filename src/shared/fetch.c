#include "shared/fetch.h"

#include <unistd.h>

#include "base/sys.h"

/* Not where the attempt may do harm: Yama, if it lets only a parent look into a child, writes a line to the system's
 * log for each, and a filter of system calls may kill who makes one that it does not know. */
static bool may_try(void) {
    char scope[8];
    return (!pp_read_text("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof scope) || scope[0] == '0') &&
           !pp_is_filtered();
}

pid_t pp_fetch_try(pid_t parent, const void *address) {
    char byte;
    /* In another namespace it has another number, or none. */
    return getppid() == parent && may_try() && pp_read_process(parent, address, &byte, 1) ? parent : 0;
}

const char *pp_fetch(struct pp_fetched *fetched, pid_t process, const char *from, size_t size) {
    bool has_room = fetched->writable || pp_map_twice(PP_FETCH, &fetched->writable, &fetched->readable);
    return has_room && pp_read_process(process, from, fetched->writable, size) ? fetched->readable : NULL;
}
