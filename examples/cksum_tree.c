/* Python:  for line in sorted(multiprocessing.Pool().map(cksum, files_below(DIR))): print(line)
 * Shows pool_map() with real input: `cksum_tree DIR` prints what `find DIR -type f -exec cksum {} + | sort` prints, on
 * all CPUs. The program makes the list of names and the checksum's table before the pool, so the workers inherit both,
 * and only sums move between processes. */
#define _XOPEN_SOURCE 700
#include <parpool.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sum {
    uint64_t size;
    uint32_t crc;
    int error; /* errno, if the file could not be read; else 0 */
};

/* ---- The checksum: POSIX cksum, eight bytes at a time ------------------------------------------------------------ */

static uint32_t table[8][256]; /* [n][byte]: what the byte adds to the checksum n bytes later */

static void make_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte << 24;
        for (int bit = 0; bit < 8; bit++) crc = crc << 1 ^ (crc >> 31 ? UINT32_C(0x04c11db7) : 0);
        table[0][byte] = crc;
    }
    for (int n = 1; n < 8; n++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = table[n - 1][byte];
            table[n][byte] = crc << 8 ^ table[0][crc >> 24];
        }
    }
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t update(uint32_t crc, const unsigned char *p, size_t size) {
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t a = crc ^ big_endian(p), b = big_endian(p + 4);
        crc = table[7][a >> 24] ^ table[6][a >> 16 & 255] ^ table[5][a >> 8 & 255] ^ table[4][a & 255] ^
              table[3][b >> 24] ^ table[2][b >> 16 & 255] ^ table[1][b >> 8 & 255] ^ table[0][b & 255];
    }
    for (; size > 0; size--, p++) crc = crc << 8 ^ table[0][crc >> 24 ^ *p];
    return crc;
}

/* The task. A file that cannot be read is no failure of the task: the result says why. */
static int checksum(const void *in, void *out) {
    static unsigned char buffer[1 << 17];
    const char *path = *(char *const *)in;
    struct sum sum = {0};
    ssize_t got = -1;
    int fd = open(path, O_RDONLY);
    while (fd >= 0 && (got = read(fd, buffer, sizeof buffer)) > 0) {
        sum.crc = update(sum.crc, buffer, (size_t)got);
        sum.size += (uint64_t)got;
    }
    if (got < 0) sum.error = errno;
    if (fd >= 0) close(fd);
    for (uint64_t size = sum.size; size > 0; size >>= 8) { /* POSIX appends the size to the content */
        sum.crc = update(sum.crc, &(unsigned char){(unsigned char)size}, 1);
    }
    sum.crc = ~sum.crc;
    *(struct sum *)out = sum;
    return 0;
}

/* ---- The files --------------------------------------------------------------------------------------------------- */

struct list {
    char **path;
    size_t count;
};

static int exit_code;

static void complain(const char *path, const char *reason) {
    fprintf(stderr, "cksum_tree: %s: %s\n", path, reason);
    exit_code = 1;
}

static void give_up(const char *what, const char *reason) {
    complain(what, reason);
    exit(1);
}

static void *need(void *memory) {
    if (!memory) give_up("memory", strerror(errno));
    return memory;
}

static void add(struct list *list, const char *parent, const char *name) {
    size_t n = list->count, length = strlen(parent);
    const char *slash = length > 0 && parent[length - 1] != '/' ? "/" : "";
    if ((n & (n - 1)) == 0) list->path = need(realloc(list->path, (n ? 2 * n : 1) * sizeof *list->path));
    list->path[list->count++] = need(malloc(length + strlen(name) + 2));
    sprintf(list->path[n], "%s%s%s", parent, slash, name);
}

static void free_list(struct list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->path[i]);
    free(list->path);
}

/* Returns the regular files below root, named as find names them; symbolic links are not followed. A name for which
 * lstat() fails counts as a file: its task will report the reason. */
static struct list find_files(const char *root) {
    struct list files = {.path = need(malloc(sizeof *files.path))}; /* not NULL, even if there is no file */
    struct list directories = {0};
    struct stat status;
    if (lstat(root, &status)) status.st_mode = S_IFREG;
    if (S_ISREG(status.st_mode)) add(&files, "", root);
    if (S_ISDIR(status.st_mode)) add(&directories, "", root);

    for (size_t i = 0; i < directories.count; i++) { /* the loop adds to the list */
        const char *path = directories.path[i];
        DIR *directory = opendir(path);
        struct dirent *entry;
        while (directory && (errno = 0, entry = readdir(directory))) {
            const char *name = entry->d_name;
            if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
            if (fstatat(dirfd(directory), name, &status, AT_SYMLINK_NOFOLLOW)) status.st_mode = S_IFREG;
            if (S_ISREG(status.st_mode)) add(&files, path, name);
            if (S_ISDIR(status.st_mode)) add(&directories, path, name);
        }
        if (errno) complain(path, strerror(errno));
        if (directory) closedir(directory);
    }
    free_list(&directories);
    return files;
}

/* ---- The output -------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    int order = strcoll(x, y);
    return order ? order : strcmp(x, y);
}

/* Sorts as sort(1) does: by line, so that a name with a newline in it counts as two. */
static void print_sorted(char *text) {
    struct list lines = {0};
    for (char *end; (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        add(&lines, "", text);
    }
    if (lines.count > 0) qsort(lines.path, lines.count, sizeof *lines.path, compare);
    for (size_t i = 0; i < lines.count; i++) puts(lines.path[i]);
    free_list(&lines);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: cksum_tree DIR\n"), 2;
    setlocale(LC_ALL, ""); /* strcoll() orders the lines */
    make_table();
    struct list files = find_files(argv[1]);
    struct sum *sums = need(calloc(files.count + 1, sizeof *sums));
    int *status = need(calloc(files.count + 1, sizeof *status));
    struct pool_failure failure = {0};
    int error = pool_map(NULL, &(struct pool_job){.fn = checksum,
                                                  POOL_IN(files.path),
                                                  POOL_OUT(sums),
                                                  .count = files.count,
                                                  .status = status,
                                                  .failure = &failure});
    if (error && !failure.error) give_up("pool_map", pool_strerror(error));

    char *text;
    size_t size;
    FILE *stream = need(open_memstream(&text, &size));
    for (size_t i = 0; i < files.count; i++) {
        if (status[i] || sums[i].error) continue;
        fprintf(stream, "%" PRIu32 " %" PRIu64 " %s\n", sums[i].crc, sums[i].size, files.path[i]);
    }
    if (fclose(stream)) need(NULL);
    print_sorted(text);
    if (fflush(stdout)) complain("output", strerror(errno));
    for (size_t i = 0; i < files.count; i++) {
        if (status[i]) complain(files.path[i], pool_strerror(status[i]));
        if (!status[i] && sums[i].error) complain(files.path[i], strerror(sums[i].error));
    }

    free(text);
    free(status);
    free(sums);
    free_list(&files);
    return exit_code;
}
