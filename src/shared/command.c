#include "shared/command.h"

#include <errno.h>

#include "base/sys.h"

/* A supervisor that runs soon makes room in a full pipe. */
bool pp_command_send(int command_pipe, const struct pp_command *command) {
    if (command_pipe < 0) return false;
    uint64_t deadline = pp_now() + 10000000U;
    struct pollfd room = {.fd = command_pipe, .events = POLLOUT};
    do
        if (pp_write(command_pipe, command, sizeof *command) == (ssize_t)sizeof *command) return true;
    while ((errno == EAGAIN || errno == EWOULDBLOCK) && pp_poll(&room, 1, deadline) > 0 && pp_now() < deadline);
    return false;
}

int pp_command_receive(int command_pipe, struct pp_command *command) {
    ssize_t n = pp_read(command_pipe, command, sizeof *command);
    if (n == (ssize_t)sizeof *command) return 1;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}
