/* Python:  for lines in multiprocessing.Pool().imap(grep, batches(files_below(DIR))): sys.stdout.buffer.write(lines)
 * Shows a stream with real input: `parallel_grep DIR PATTERN` prints what `LC_ALL=C grep -rn PATTERN DIR` prints, in
 * the same order, on all CPUs. It walks the tree while workers search. An item is a batch of paths, since to search a
 * short file takes hardly longer than to pass on an item. The lines of a batch are a result of any length: there is
 * room for ROOM bytes, and only the bytes that are used take memory. A file that contains a zero byte is binary: of
 * such a file, like grep, it only says that it matches. */
#define _GNU_SOURCE /* memmem() */
#include <parpool.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, FILES = 16, ROOM = 64 << 20, PIECE = 1 << 14 };

struct batch {
    int files;
    char paths[FILES * 128 + PATH_ROOM]; /* each ends with a zero byte */
};

struct found {
    int matches, errors; /* files */
    char lines[ROOM];
};

/* ---- The pattern, compiled before the pool is made: the workers inherit it --------------------------------------- */

static regex_t pattern; /* with REG_NEWLINE: a text of many lines is searched in one call */
static struct {
    char text[256]; /* is in each line that matches */
    size_t length;
    bool suffices; /* each line that it is in matches */
} literal;

/* Finds the longest text that each match contains; none if the expression has a backslash or a bracket. */
static void find_literal(const char *expression) {
    if (strpbrk(expression, "\\[")) return;
    for (const char *at = expression; *at;) {
        size_t length = strcspn(at, ".*^$");
        const char *end = at + length;
        if (*end == '*' && length > 0) length--; /* of the last character there may be none */
        if (length > literal.length && length < sizeof literal.text) {
            memcpy(literal.text, at, length);
            literal.length = length;
        }
        at = *end ? end + 1 : end;
    }
    literal.suffices = literal.length > 0 && literal.length == strlen(expression);
}

static char *line_end(char *at, char *end) {
    char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline : end;
}

static char *line_begin(char *begin, char *at) {
    while (at > begin && at[-1] != '\n') at--;
    return at;
}

/* Whether the text from `begin` to `end`, where it may be written to, matches. match: of the whole text. */
static bool matches(char *begin, char *end, regmatch_t *match) {
    char after = *end;
    *end = '\0';
    int differs = regexec(&pattern, begin, match != NULL, match, 0);
    *end = after;
    return !differs;
}

/* These return a place in the first line from `begin` on that matches; NULL: none does. `begin` is the beginning of a
 * line. */
static char *find_by_literal(char *begin, char *end) {
    char *at = begin;
    while ((at = memmem(at, (size_t)(end - at), literal.text, literal.length)) != NULL) {
        char *stop = line_end(at, end);
        if (literal.suffices || matches(line_begin(begin, at), stop, NULL)) return at;
        at = stop;
    }
    return NULL;
}

/* In pieces, since regexec() first looks for the end of its text. What matches may go beyond the end of a line, as
 * [[:space:]] does: then the line must match alone. */
static char *find_by_pattern(char *begin, char *end) {
    for (char *at = begin, *stop; at <= end; at = stop + 1) {
        regmatch_t match;
        stop = end - at > PIECE ? line_end(at + PIECE, end) : end;
        if (!matches(at, stop, &match)) continue;
        char *hit = at + match.rm_so;
        stop = line_end(hit, end);
        if (at + match.rm_eo <= stop || matches(line_begin(at, hit), stop, NULL)) return hit;
    }
    return NULL;
}

static char *find(char *begin, char *end) {
    return literal.length ? find_by_literal(begin, end) : find_by_pattern(begin, end);
}

/* ---- The task: from paths to the lines that match, each with path and number ------------------------------------- */

static struct {
    char *text;
    size_t size, room;
} file; /* the content of the last one; its room serves for the next */

static bool load(const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? -1 : 0;
    file.size = 0;
    while (got >= 0) {
        if (file.room - file.size < 2) {
            size_t room = file.room ? 2 * file.room : 1 << 17;
            char *text = realloc(file.text, room);
            if (!text) break;
            file.text = text;
            file.room = room;
        }
        got = read(fd, file.text + file.size, file.room - file.size - 1);
        if (got <= 0) break;
        file.size += (size_t)got;
    }
    int error = errno;
    if (fd >= 0) close(fd);
    errno = error;
    return got == 0;
}

/* Adds the line to the result. Returns false if there is no room. */
static bool add_line(char *lines, size_t *length, const char *path, size_t number, const char *line, size_t size) {
    if (strlen(path) + size + 32 > ROOM - *length) return false;
    *length += (size_t)sprintf(lines + *length, "%s:%zu:", path, number);
    memcpy(lines + *length, line, size);
    lines[*length + size] = '\n';
    *length += size + 1;
    return true;
}

/* Searches the file for all lines that match. Returns whether one does. */
static bool search(const char *path, struct found *found, size_t *length) {
    char *at = file.text, *end = at + file.size - (at[file.size - 1] == '\n'), *counted = at;
    size_t number = 1, before = *length;
    *end = '\0';
    bool is_binary = memchr(at, '\0', (size_t)(end - at)) != NULL;
    for (char *p = at; is_binary && (p = memchr(p, '\0', (size_t)(end - p))) != NULL;) *p = '\n'; /* as grep has it */
    for (char *hit; at <= end && (hit = find(at, end)) != NULL; at++) {
        if (is_binary) return fprintf(stderr, "parallel_grep: %s: binary file matches\n", path), true;
        char *line = line_begin(at, hit);
        for (; counted < line; counted++) number += *counted == '\n';
        at = line_end(hit, end);
        if (add_line(found->lines, length, path, number, line, (size_t)(at - line))) continue;
        *length = before;
        found->errors++;
        return fprintf(stderr, "parallel_grep: %s: more lines match than there is room for\n", path), true;
    }
    return *length > before;
}

static int grep(const void *in, void *out) {
    const struct batch *batch = in;
    struct found *found = out;
    const char *path = batch->paths;
    size_t length = 0;
    found->matches = found->errors = 0;
    for (int i = 0; i < batch->files; i++, path += strlen(path) + 1) {
        if (!load(path)) {
            fprintf(stderr, "parallel_grep: %s: %s\n", path, strerror(errno));
            found->errors++;
        } else if (file.size > 0) {
            found->matches += search(path, found, &length);
        }
    }
    return task_resize(offsetof(struct found, lines) + length);
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

/* The type of the file walk->path, as S_IF…; most directories know it. 0: it cannot be told. */
static mode_t type_of(struct walk *walk, const struct dirent *entry) {
#ifdef DT_REG
    if (entry->d_type != DT_UNKNOWN) return (mode_t)DTTOIF(entry->d_type);
#else
    (void)entry;
#endif
    struct stat status;
    if (lstat(walk->path, &status) == 0) return status.st_mode & S_IFMT;
    complain(walk, walk->path);
    return 0;
}

/* Returns whether there is another file, whose path is then in walk->path. */
static bool next_file(struct walk *walk) {
    while (walk->level) {
        struct dirent *entry = readdir(walk->level->directory);
        if (!entry) leave(walk);
        if (!entry || !name_it(walk, entry->d_name)) continue;
        mode_t type = type_of(walk, entry);
        if (S_ISDIR(type)) enter(walk);
        if (S_ISREG(type)) return true;
    }
    return false;
}

static int next_batch(void *walk, void *in) {
    struct batch *batch = in;
    size_t length = 0;
    batch->files = 0;
    while (batch->files < FILES && sizeof batch->paths - length >= PATH_ROOM && next_file(walk)) {
        size_t size = strlen(((struct walk *)walk)->path) + 1;
        memcpy(batch->paths + length, ((struct walk *)walk)->path, size);
        length += size;
        batch->files++;
    }
    return batch->files ? 0 : POOL_END;
}

/* ---- The output -------------------------------------------------------------------------------------------------- */

/* Prints the lines of all files. Returns whether any line matched. */
static bool print_all(struct stream *stream, struct walk *walk) {
    struct found *found = malloc(sizeof *found);
    bool any = false;
    int error;
    while (found && (error = stream_next(stream, found, -1)) != POOL_END) {
        struct pool_failure failure;
        stream_failure(stream, &failure);
        if (error) fprintf(stderr, "parallel_grep: %s\n", failure.message);
        if (error) walk->errors++;
        if (error) continue;
        any |= found->matches > 0;
        walk->errors += found->errors;
        fwrite(found->lines, 1, stream_size(stream) - offsetof(struct found, lines), stdout);
    }
    if (!found || fflush(stdout) || ferror(stdout)) complain(walk, "output");
    free(found);
    return any;
}

int main(int argc, char **argv) {
    static struct walk walk;
    if (argc != 3 || strlen(argv[1]) >= PATH_ROOM) return fprintf(stderr, "usage: parallel_grep DIR PATTERN\n"), 2;
    char text[256];
    int error = regcomp(&pattern, argv[2], REG_NEWLINE);
    if (error) {
        regerror(error, &pattern, text, sizeof text);
        return fprintf(stderr, "parallel_grep: %s\n", text), 2;
    }
    find_literal(argv[2]);
    struct pool *pool;
    struct stream *stream;
    error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "parallel_grep: %s\n", pool_strerror(error)), 2;
    strcpy(walk.path, argv[1]);
    enter(&walk);
    bool any = false;
    error = pool_imap(pool,
                      &(struct pool_stream){.fn = grep, .next = next_batch, .next_arg = &walk,
                                            .in_size = sizeof(struct batch), .out_size = sizeof(struct found)},
                      &stream);
    if (!error) {
        any = print_all(stream, &walk);
        stream_free(stream);
    }
    while (walk.level) leave(&walk);
    pool_destroy(pool);
    regfree(&pattern);
    return error || walk.errors ? 2 : !any;
}
