#include "worker/sandbox.h"

#include <fcntl.h>
#include <unistd.h>

static void close_range_of(unsigned first, unsigned last) {
    if (first > last || pp_sandbox_close_range(first, last)) return;
    long most = sysconf(_SC_OPEN_MAX);
    for (unsigned fd = first; fd <= last && fd < (unsigned long)most; fd++) close((int)fd);
}

void pp_sandbox_close_others(const struct pp_sandbox_open *kept) {
    int all[] = {kept->task_pipe, kept->bell, kept->outputs[0], kept->outputs[1], kept->files[0], kept->files[1]};
    enum { COUNT = sizeof all / sizeof *all };
    for (unsigned first = STDERR_FILENO + 1, next; first != 0; first = next + 1) {
        next = ~0U;
        for (int i = 0; i < COUNT; i++)
            if (all[i] >= (int)first && (unsigned)all[i] < next) next = (unsigned)all[i];
        close_range_of(first, next == ~0U ? next : next - 1);
    }
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null > STDIN_FILENO) dup2(null, STDIN_FILENO);
    else if (null < 0) close(STDIN_FILENO);
    if (null > STDERR_FILENO) close(null);
}
