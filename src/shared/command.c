#include "shared/command.h"

#include <errno.h>

#include "base/sys.h"

bool pp_command_send(int command_socket, const struct pp_command *command) {
    if (command_socket < 0) return false;
    /* A stream socket with any room takes so small a piece whole. The supervisor reads it soon. */
    uint64_t deadline = pp_now() + 1000000000U;
    struct pollfd room = {.fd = command_socket, .events = POLLOUT};
    do
        if (pp_send(command_socket, command, sizeof *command) == (ssize_t)sizeof *command) return true;
    while ((errno == EAGAIN || errno == EWOULDBLOCK) && pp_poll(&room, 1, deadline) > 0 && pp_now() < deadline);
    return false;
}

int pp_command_receive(int command_socket, struct pp_command *command) {
    ssize_t n = pp_read(command_socket, command, sizeof *command);
    if (n == (ssize_t)sizeof *command) return 1;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}
