/* Python:  for lines in multiprocessing.Pool().imap(grep, files_below(DIR)): sys.stdout.buffer.write(lines)
 * Shows a stream with real input: `parallel_grep DIR PATTERN` prints what `LC_ALL=C grep -rn PATTERN DIR` prints, in
 * the same order, on all CPUs. It walks the tree while it searches. The lines of a file are a result of any length:
 * there is room for ROOM bytes, and only the bytes that are used take memory. A file that contains a zero byte is
 * binary: of such a file, like grep, it only says that it matches. */
#define _XOPEN_SOURCE 700
#include <parpool.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, ROOM = 64 << 20 };
enum { CANNOT_READ = 1, IS_BINARY, TOO_LONG }; /* reasons why a file gives no lines */

static regex_t pattern; /* compiled before the pool is made: the workers inherit it */

/* ---- The task: from a path to the lines that match, each with path and number ------------------------------------ */

static bool load(const char *path, char **text, size_t *size) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    bool loaded = false;
    *size = 0;
    *text = NULL;
    if (fd >= 0 && fstat(fd, &status) == 0 && (*text = malloc((size_t)status.st_size + 1))) {
        ssize_t got = 1;
        while (*size < (size_t)status.st_size && (got = read(fd, *text + *size, (size_t)status.st_size - *size)) > 0)
            *size += (size_t)got;
        loaded = got >= 0;
        (*text)[*size] = '\0';
    }
    if (fd >= 0) close(fd);
    return loaded;
}

/* Writes the lines that match to out and returns their bytes: more than ROOM if they do not fit. With a NULL out it
 * returns 1 if any line matches, else 0. */
static size_t search(const char *path, char *text, size_t size, char *out) {
    size_t written = 0, number = 1;
    for (char *line = text, *end; line < text + size; line = end + 1, number++) {
        end = memchr(line, '\n', (size_t)(text + size - line));
        if (!end) end = text + size;
        *end = '\0';
        if (regexec(&pattern, line, 0, NULL, 0)) continue;
        if (!out) return 1;
        size_t most = strlen(path) + (size_t)(end - line) + 32;
        if (most > ROOM - written) return (size_t)ROOM + 1;
        written += (size_t)sprintf(out + written, "%s:%zu:%s\n", path, number, line);
    }
    return written;
}

static int grep(const void *in, void *out) {
    const char *path = in;
    char *text;
    size_t size, length = 0;
    int code = load(path, &text, &size) ? 0 : task_fail(CANNOT_READ, "%s: %s", path, strerror(errno));
    if (code == 0 && memchr(text, '\0', size)) {
        for (size_t i = 0; i < size; i++)
            if (text[i] == '\0') text[i] = '\n'; /* grep, too, takes it for the end of a line */
        if (search(path, text, size, NULL)) code = task_fail(IS_BINARY, "%s: binary file matches", path);
    } else if (code == 0) {
        length = search(path, text, size, out);
        if (length > ROOM) code = task_fail(TOO_LONG, "%s: more than %d bytes match", path, ROOM);
    }
    free(text);
    return code ? code : task_resize(length);
}

/* ---- The input: the regular files below a directory, in the order in which they lie there ------------------------ */

struct walk {
    struct level {
        DIR *directory;
        size_t length; /* of its path, in bytes */
        struct level *above;
    } * level;
    char path[PATH_ROOM];
    int errors;
};

static void complain(struct walk *walk, const char *path) {
    fprintf(stderr, "parallel_grep: %s: %s\n", path, strerror(errno));
    walk->errors++;
}

static void enter(struct walk *walk) {
    struct level *level = malloc(sizeof *level);
    DIR *directory = opendir(walk->path);
    if (!level || !directory) {
        complain(walk, walk->path);
        if (directory) closedir(directory);
        free(level);
        return;
    }
    *level = (struct level){directory, strlen(walk->path), walk->level};
    walk->level = level;
}

static void leave(struct walk *walk) {
    struct level *level = walk->level;
    walk->level = level->above;
    closedir(level->directory);
    free(level);
}

/* Puts the path of the entry into walk->path. Returns false for . and .. and for a path that is too long. */
static bool name_it(struct walk *walk, const char *name) {
    size_t length = walk->level->length;
    if (!strcmp(name, ".") || !strcmp(name, "..")) return false;
    const char *slash = length > 0 && walk->path[length - 1] == '/' ? "" : "/";
    int room = PATH_ROOM - (int)length;
    walk->path[length] = '\0';
    if (snprintf(walk->path + length, (size_t)room, "%s%s", slash, name) < room) return true;
    errno = ENAMETOOLONG;
    complain(walk, name);
    return false;
}

static int next_file(void *arg, void *in) {
    struct walk *walk = arg;
    while (walk->level) {
        struct stat status;
        struct dirent *entry = readdir(walk->level->directory);
        if (!entry) {
            leave(walk);
            continue;
        }
        if (!name_it(walk, entry->d_name)) continue;
        if (lstat(walk->path, &status)) complain(walk, walk->path);
        else if (S_ISDIR(status.st_mode)) enter(walk);
        else if (S_ISREG(status.st_mode)) {
            memcpy(in, walk->path, strlen(walk->path) + 1);
            return 0;
        }
    }
    return POOL_END;
}

/* ---- The output -------------------------------------------------------------------------------------------------- */

/* Prints the lines of all files. Returns whether any line matched. */
static bool print_all(struct stream *stream, struct walk *walk) {
    char *lines = malloc(ROOM);
    bool found = false;
    int error;
    while (lines && (error = stream_next(stream, lines, -1)) != POOL_END) {
        struct pool_failure failure;
        stream_failure(stream, &failure);
        if (error) fprintf(stderr, "parallel_grep: %s\n", failure.message);
        if (error && failure.code != IS_BINARY) walk->errors++;
        if (failure.code == IS_BINARY || stream_size(stream) > 0) found = true;
        fwrite(lines, 1, stream_size(stream), stdout);
    }
    if (!lines || fflush(stdout) || ferror(stdout)) complain(walk, "output");
    free(lines);
    return found;
}

int main(int argc, char **argv) {
    static struct walk walk;
    if (argc != 3 || strlen(argv[1]) >= PATH_ROOM) return fprintf(stderr, "usage: parallel_grep DIR PATTERN\n"), 2;
    char text[256];
    int error = regcomp(&pattern, argv[2], REG_NOSUB);
    if (error) {
        regerror(error, &pattern, text, sizeof text);
        return fprintf(stderr, "parallel_grep: %s\n", text), 2;
    }
    struct pool *pool;
    struct stream *stream;
    error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "parallel_grep: %s\n", pool_strerror(error)), 2;
    strcpy(walk.path, argv[1]);
    enter(&walk);
    bool found = false;
    error = pool_imap(pool,
                      &(struct pool_stream){
                          .fn = grep, .next = next_file, .next_arg = &walk, .in_size = PATH_ROOM, .out_size = ROOM},
                      &stream);
    if (!error) {
        found = print_all(stream, &walk);
        stream_free(stream);
    }
    while (walk.level) leave(&walk);
    pool_destroy(pool);
    regfree(&pattern);
    return error || walk.errors ? 2 : !found;
}
