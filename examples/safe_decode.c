/* Python:  nothing like it.
 * Shows a decoder whose input was not checked, in a pool whose workers can only compute. Two of the pictures are
 * honest, one is broken, and four take the decoder over: it then does what the picture wants. Each of these is refused,
 * and told; the honest pictures are decoded all the same. Run it without arguments. */
#include <errno.h>
#include <fcntl.h>
#include <parpool.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIXELS = 64, SIZE = 256 };

/* "PIC", then runs: so many pixels of that brightness. 0 ends them. */
struct file {
    unsigned char bytes[SIZE];
};
struct picture {
    int pixels, mean;
};

/* ---- what a hostile picture may want */

static int nothing(void) {
    return 0;
}

static int read_secrets(void) {
    int fd = open("/etc/passwd", O_RDONLY);
    return fd < 0 ? task_fail(1, "/etc/passwd: %s", strerror(errno)) : 0;
}

static int call_home(void) {
    return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int start_shell(void) {
    return execl("/bin/sh", "sh", "-c", "echo pwned", (char *)NULL);
}

static int kill_program(void) {
    return kill(getppid(), SIGKILL);
}

static int (*const wishes[])(void) = {nothing, read_secrets, call_home, start_shell, kill_program};
enum { WISHES = sizeof wishes / sizeof *wishes };

/* ---- the decoder */

/* It trusts the lengths of the runs. Behind the pixels lies where it goes on: which function, here, for a picture that
 * runs over them; in a real decoder it would be a return address. */
static int decode(const void *in, void *out) {
    const unsigned char *at = ((const struct file *)in)->bytes;
    struct picture *picture = out;
    unsigned char memory[PIXELS + SIZE] = {0};
    int pixels = 0, sum = 0;
    if (memcmp(at, "PIC", 3) != 0) return task_fail(2, "no picture");
    for (at += 3; at[0] > 0; at += 2) {
        memset(memory + pixels, at[1], at[0]); /* not checked */
        pixels += at[0];
    }
    int error = wishes[memory[PIXELS] % WISHES]();
    for (int i = 0; i < PIXELS; i++) sum += memory[i];
    *picture = (struct picture){.pixels = pixels, .mean = sum / PIXELS};
    return error;
}

static struct file make_file(const char *magic, unsigned char brightness, unsigned char wish) {
    struct file file = {{0}};
    memcpy(file.bytes, magic, 3);
    file.bytes[3] = PIXELS;
    file.bytes[4] = brightness;
    file.bytes[5] = wish > 0; /* one pixel too many */
    file.bytes[6] = wish;
    return file;
}

int main(void) {
    struct file files[] = {make_file("PIC", 10, 0), make_file("GIF", 20, 0), make_file("PIC", 30, 1),
                           make_file("PIC", 40, 2), make_file("PIC", 50, 3), make_file("PIC", 60, 4),
                           make_file("PIC", 70, 0)};
    enum { COUNT = sizeof files / sizeof *files };
    struct picture pictures[COUNT];
    struct pool_failure failures[COUNT];
    int status[COUNT];

    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = 2, .sandbox = POOL_SANDBOX_COMPUTE}, &pool);
    if (error) return printf("%s\n", pool_strerror(error)), error != POOL_ENOTSUP;
    struct pool_job job = {.fn = decode, POOL_IN(files), POOL_OUT(pictures), .count = COUNT, .status = status};
    job.timeout = 1000;
    job.failures = failures;
    job.failures_room = COUNT;
    pool_map(pool, &job);

    const struct pool_failure *failure = failures;
    for (int i = 0; i < COUNT; i++) {
        if (status[i]) {
            int length = (int)strcspn(failure->message, ","); /* then follows where it was */
            printf("file %d: %s: %.*s\n", i, pool_error_name(status[i]), length, failure->message);
            failure++;
        } else if (pictures[i].pixels == PIXELS) { /* a result is input, too */
            printf("file %d: %d pixels, mean %d\n", i, pictures[i].pixels, pictures[i].mean);
        }
    }
    pool_destroy(pool);
    return 0;
}
