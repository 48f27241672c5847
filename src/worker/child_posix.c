/* Forked processes as POSIX knows them; see child.h. */
#include "worker/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* POSIX has no way to drop buffered output, so it is written to /dev/null. */
void pp_child_drop_output(void) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int kept = null < 0 ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (kept >= 0) {
        dup2(null, STDOUT_FILENO);
        if (ftrylockfile(stdout) == 0) {
            fflush(stdout);
            funlockfile(stdout);
        }
        dup2(kept, STDOUT_FILENO);
        close(kept);
    }
    if (null >= 0) close(null);
}

/* POSIX has no way to tell. */
bool pp_child_has_output(void) {
    return true;
}

struct pp_child_output pp_child_output(void) {
    static char end;
    static char *const begin = NULL, *const place = &end;
    return (struct pp_child_output){.place = &place, .begin = &begin};
}

void pp_child_flush(void) {
    fflush(stdout);
}

void pp_child_catch_exit(void) {
}

void pp_child_adopt_orphans(void) {
}

void pp_child_offer_memory(void) {
}

void pp_child_end_with_parent(void) {
}

void pp_child_set_name(const char *suffix) {
    (void)suffix;
}

void pp_child_find_abort_message(void) {
}

const char *pp_child_abort_message(void) {
    return NULL;
}

void pp_child_allow_debugger(void) {
}

uint32_t pp_child_thread(void) {
    return 1;
}
