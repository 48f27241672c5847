/* Python:  asyncio.start_unix_server(), loop.run_in_executor(ProcessPoolExecutor(), …)
 * Shows pool_next_done() and pool_fd(): a server on a unix socket that runs each request in a worker. Whatever a
 * request does, its client gets an answer. Run it; then in another shell:
 *     for r in 12 crash hang 7; do echo $r | nc -U -N square.sock; done */
#include <parpool.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ROOM = 256 };

static int handle(const void *in, void *out) {
    const char *request = in;
    if (strncmp(request, "crash", 5) == 0) abort();
    while (strncmp(request, "hang", 4) == 0) pause();
    long x = strtol(request, NULL, 10);
    return snprintf(out, ROOM, "%ld\n", x * x) < 0;
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", argc > 1 ? argv[1] : "square.sock");
    unlink(address.sun_path);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    struct pool *pool;
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 64)) return perror("bind"), 1;
    int error = pool_create(&(struct pool_options){.workers = 2}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;
    struct pollfd fds[] = {{.fd = server, .events = POLLIN}, {.fd = pool_fd(pool), .events = POLLIN}};
    while (poll(fds, 2, -1) > 0) {
        char request[ROOM] = "", answer[ROOM + ROOM];
        struct future *future;
        if (fds[0].revents) { /* a request, which is one short line */
            int client = accept(server, NULL, NULL);
            setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 100000}, sizeof(struct timeval));
            struct pool_task task = {.fn = handle, POOL_IN(&request), .out_size = ROOM, .timeout = 500,
                                     .arg = (void *)(long)client, .notify = true};
            if (client < 0 || read(client, request, ROOM - 1) <= 0 || pool_submit(pool, &task, &future)) close(client);
        }
        while (pool_next_done(pool, &future, 0) == 0) {
            int client = (int)(long)future_arg(future);
            struct pool_failure failure;
            if (future_get(future, answer, 0) && future_failure(future, &failure) == 0)
                snprintf(answer, sizeof answer, "%s: %s\n", pool_error_name(failure.error), failure.message);
            if (write(client, answer, strlen(answer)) < 0) perror("write");
            close(client);
            future_free(future);
        }
    }
    pool_destroy(pool);
    return 0;
}
