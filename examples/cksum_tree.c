/* Python:  for line in sorted(multiprocessing.Pool().imap(cksum, files_below(DIR))): print(line)
 * Shows jobs that are made while others run: `cksum_tree DIR` prints what `find DIR -type f -exec cksum {} + | sort`
 * prints, on all CPUs. It walks the tree while workers read files: each BATCH of names is a job, which has the names as
 * its context and where each begins as its items. So an item is a single file, whose name takes the room that it needs,
 * and the program is not woken for each. */
#define _GNU_SOURCE /* d_type */
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
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

struct sum {
    uint64_t size;
    uint32_t crc;
    int error; /* errno, if the file could not be read; else 0 */
};

/* ---- The checksum: POSIX cksum, sixteen bytes at a time, or 64 if the CPU multiplies polynomials ----------------- */

static uint32_t table[16][256]; /* [n][byte]: what the byte adds to the checksum n bytes later */
static uint32_t x_128, x_192, x_512, x_576; /* powers of x, modulo the polynomial of the checksum */

/* p times x to the n-th. */
static uint32_t shifted(uint32_t p, int n) {
    while (n-- > 0) p = p << 1 ^ (p >> 31 ? UINT32_C(0x04c11db7) : 0);
    return p;
}

static void make_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) table[0][byte] = shifted(byte << 24, 8);
    x_128 = shifted(1, 128);
    x_192 = shifted(1, 192);
    x_512 = shifted(1, 512);
    x_576 = shifted(1, 576);
    for (int n = 1; n < 16; n++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = table[n - 1][byte];
            table[n][byte] = crc << 8 ^ table[0][crc >> 24];
        }
    }
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What four bytes add to the checksum n bytes after the last of them. */
static uint32_t add_four(uint32_t x, int n) {
    return table[n + 3][x >> 24] ^ table[n + 2][x >> 16 & 255] ^ table[n + 1][x >> 8 & 255] ^ table[n][x & 255];
}

static uint32_t update_by_table(uint32_t crc, const unsigned char *p, size_t size) {
    for (; size >= 16; size -= 16, p += 16)
        crc = add_four(crc ^ big_endian(p), 12) ^ add_four(big_endian(p + 4), 8) ^ add_four(big_endian(p + 8), 4) ^
              add_four(big_endian(p + 12), 0);
    for (; size > 0; size--, p++) crc = crc << 8 ^ table[0][crc >> 24 ^ *p];
    return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("pclmul,ssse3"))) static __m128i load(const unsigned char *p) {
    const __m128i big_endian_order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm_shuffle_epi8(_mm_loadu_si128((const void *)p), big_endian_order);
}

/* What the 16 bytes x add to those that come n bits after them. by: x to the n+64th and to the n-th. */
__attribute__((target("pclmul,ssse3"))) static __m128i fold(__m128i x, __m128i by) {
    return _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x11), _mm_clmulepi64_si128(x, by, 0));
}

/* size: 64 bytes or a multiple of them. The last 16 bytes that are left stand for all. */
__attribute__((target("pclmul,ssse3"))) static uint32_t update_by_folding(uint32_t crc, const unsigned char *p,
                                                                          size_t size) {
    __m128i by_64 = _mm_set_epi64x(x_576, x_512), by_16 = _mm_set_epi64x(x_192, x_128);
    __m128i x[4] = {load(p), load(p + 16), load(p + 32), load(p + 48)};
    x[0] = _mm_xor_si128(x[0], _mm_set_epi32((int)crc, 0, 0, 0));
    for (const unsigned char *end = p + size; (p += 64) < end;)
        for (int i = 0; i < 4; i++) x[i] = _mm_xor_si128(fold(x[i], by_64), load(p + 16 * i));
    for (int i = 0; i < 3; i++) x[i + 1] = _mm_xor_si128(fold(x[i], by_16), x[i + 1]);
    unsigned char rest[16];
    _mm_storeu_si128((void *)rest, x[3]);
    _mm_storeu_si128((void *)rest, load(rest));
    return update_by_table(0, rest, sizeof rest);
}
#endif

static uint32_t update(uint32_t crc, const unsigned char *p, size_t size) {
#if defined(__x86_64__) && defined(__GNUC__)
    size_t folded = size / 64 * 64;
    if (size >= 256 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3")) {
        crc = update_by_folding(crc, p, folded);
        p += folded;
        size -= folded;
    }
#endif
    return update_by_table(crc, p, size);
}

/* The task. A file that cannot be read is no failure of the task: the result says why. */
static int checksum(const void *in, void *out) {
    static unsigned char buffer[1 << 17];
    const char *path = (const char *)task_context() + *(const size_t *)in;
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

/* ---- Jobs, each of a batch of files ------------------------------------------------------------------------------ */

enum { BATCH = 256 };

struct batch {
    struct batch *next;
    struct future *future;
    size_t count, size;
    char *names;        /* one behind the other */
    size_t name[BATCH]; /* where each begins */
    struct sum sum[BATCH];
    int status[BATCH];
};

static struct pool *pool;
static struct batch *first, **last = &first, *open_batch;
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
    if (!memory) give_up("memory", pool_strerror(POOL_ENOMEM));
    return memory;
}

static void begin_batch(void) {
    *last = open_batch = need(calloc(1, sizeof *open_batch));
    last = &open_batch->next;
}

static void submit_batch(void) {
    struct batch *batch = open_batch;
    open_batch = NULL;
    if (!batch) return;
    int error = pool_map_async(pool,
                               &(struct pool_job){.fn = checksum,
                                                  POOL_IN(batch->name),
                                                  POOL_OUT(batch->sum),
                                                  .count = batch->count,
                                                  .status = batch->status,
                                                  .context = batch->names,
                                                  .context_size = batch->size},
                               &batch->future);
    if (error) give_up("pool_map_async", pool_strerror(error));
}

static void add_file(const char *path) {
    size_t size = strlen(path) + 1;
    if (!open_batch) begin_batch();
    struct batch *batch = open_batch;
    batch->names = need(realloc(batch->names, batch->size + size));
    memcpy(batch->names + batch->size, path, size);
    batch->name[batch->count++] = batch->size;
    batch->size += size;
    if (batch->count == BATCH) submit_batch();
}

/* ---- The files --------------------------------------------------------------------------------------------------- */

struct list {
    char **text;
    size_t count;
};

static void add(struct list *list, char *line) {
    size_t n = list->count;
    if ((n & (n - 1)) == 0) list->text = need(realloc(list->text, (n ? 2 * n : 1) * sizeof *list->text));
    list->text[list->count++] = line;
}

static char *join(const char *parent, const char *name) {
    size_t length = strlen(parent);
    char *path = need(malloc(length + strlen(name) + 2));
    sprintf(path, "%s%s%s", parent, parent[length - 1] != '/' ? "/" : "", name);
    return path;
}

/* The type of a file in an open directory, as S_IF…; most directories know it. A name for which fstatat() fails counts
 * as a file: its task will report the reason. */
static mode_t type_of(DIR *directory, const struct dirent *entry) {
#ifdef DT_REG
    if (entry->d_type != DT_UNKNOWN) return (mode_t)DTTOIF(entry->d_type);
#endif
    struct stat status;
    if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW)) return S_IFREG;
    return status.st_mode & S_IFMT;
}

static void read_directory(const char *path, struct list *directories) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (errno = 0, entry = readdir(directory))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        mode_t type = type_of(directory, entry);
        if (!S_ISREG(type) && !S_ISDIR(type)) continue;
        char *name = join(path, entry->d_name);
        if (S_ISDIR(type)) {
            add(directories, name);
        } else {
            add_file(name);
            free(name);
        }
    }
    if (errno) complain(path, strerror(errno));
    if (directory) closedir(directory);
}

/* Adds the regular files below root, named as find names them; symbolic links are not followed. */
static void find_files(const char *root) {
    struct list directories = {0};
    struct stat status;
    if (lstat(root, &status)) status.st_mode = S_IFREG;
    if (S_ISREG(status.st_mode)) add_file(root);
    if (S_ISDIR(status.st_mode)) add(&directories, need(strdup(root)));
    for (size_t i = 0; i < directories.count; i++) { /* the loop adds to the list */
        read_directory(directories.text[i], &directories);
        free(directories.text[i]);
    }
    free(directories.text);
    submit_batch();
}

/* ---- The output -------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    int order = strcoll(x, y);
    return order ? order : strcmp(x, y);
}

/* Sorts as sort(1) does: by line, so that a name with a newline in it counts as two. */
static void print_sorted(char *output) {
    struct list lines = {0};
    for (char *end; (end = strchr(output, '\n')); output = end + 1) {
        *end = '\0';
        add(&lines, output);
    }
    if (lines.count > 0) qsort(lines.text, lines.count, sizeof *lines.text, compare);
    for (size_t i = 0; i < lines.count; i++) puts(lines.text[i]);
    free(lines.text);
}

static void write_batch(const struct batch *batch, FILE *stream) {
    for (size_t i = 0; i < batch->count; i++) {
        const struct sum *sum = &batch->sum[i];
        const char *name = batch->names + batch->name[i];
        if (batch->status[i]) complain(name, pool_strerror(batch->status[i]));
        else if (sum->error) complain(name, strerror(sum->error));
        else fprintf(stream, "%" PRIu32 " %" PRIu64 " %s\n", sum->crc, sum->size, name);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: cksum_tree DIR\n"), 2;
    setlocale(LC_ALL, ""); /* strcoll() orders the lines */
    make_table();
    pool_serve(argc, argv); /* on other hosts, which see the same files, this never returns */
    int error = pool_create(NULL, &pool);
    if (error) give_up("pool_create", pool_strerror(error));
    find_files(argv[1]);

    char *output;
    size_t size;
    FILE *stream = need(open_memstream(&output, &size));
    while (first) {
        struct batch *batch = first;
        first = batch->next;
        future_wait(batch->future, -1);
        write_batch(batch, stream);
        future_free(batch->future);
        free(batch->names);
        free(batch);
    }
    if (fclose(stream)) need(NULL);
    pool_destroy(pool);
    print_sorted(output);
    free(output);
    if (fflush(stdout)) complain("output", strerror(errno));
    return exit_code;
}
