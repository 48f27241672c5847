/* Python:  nothing like it: the first crash ends the pool, and says neither where nor of what input.
 * Shows what a fuzz run tells of a parser with bugs: 5,000 inputs, and a table of what is wrong with it, where, how
 * often, and with which input first. `crash_report INDEX` parses that one in the program itself, for a debugger. */
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>

#undef NDEBUG
#include <assert.h>

enum { INPUTS = 5000, SIZE = 8, ROOM = 1000 };

/* ---- The parser: a record is a type, and what the type needs. */

static int parse_number(const unsigned char *at) {
    return at[0] << 8 | at[1];
}

static int parse_ratio(const unsigned char *at) { /* bug: of nothing */
    return parse_number(at) / (parse_number(at + 2) & 0x3f);
}

static int parse_colour(const unsigned char *at) { /* bug: there is a number without a name */
    static const char *const names[] = {"red", "green", "blue", "black", "white", "grey", "brown", NULL};
    return names[at[0] % 8][at[1] % 3];
}

static int parse_text(const unsigned char *at) {
    int length = at[0] % 32;
    assert(length < 31); /* a bug that its author has foreseen */
    return length;
}

static int parse_list(const unsigned char *at) { /* bug: a list may contain itself */
    const unsigned char *element = at + at[0] % 3;
    int sum = element[0] % 7 == 0 ? parse_list(element) : 0;
    return sum + element[1];
}

static int parse_padding(const unsigned char *at) { /* bug: steps of 0 never end */
    int i = 1;
    for (volatile int steps = 0; i < 5; steps++) i += at[0];
    return i;
}

static int parse(const unsigned char *input) {
    static int (*const parsers[])(const unsigned char *at) = {parse_number, parse_ratio, parse_colour, parse_text,
                                                              parse_list, parse_padding};
    return input[0] < 192 ? parsers[input[0] % 6](input + 1) : -1;
}

/* ---- The fuzz run */

static void make_input(size_t index, unsigned char *input) {
    uint64_t random = index * 0x9e3779b97f4a7c15U + 1;
    for (int i = 0; i < SIZE; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        input[i] = (unsigned char)(random >> 56);
    }
}

static int try_input(const void *unused, void *out) {
    (void)unused;
    unsigned char input[SIZE];
    make_input(task_index(), input);
    *(int *)out = parse(input);
    return 0;
}

/* The same bug: the same end at the same place. A loop may be left at any of its instructions, but its caller tells. */
static bool is_same(const struct pool_failure *a, const struct pool_failure *b) {
    int frame = a->error == POOL_EDEADLINE;
    return a->error == b->error && a->signal == b->signal && a->frames[frame] == b->frames[frame];
}

int main(int argc, char **argv) {
    if (argc > 1) {
        unsigned char input[SIZE];
        make_input(strtoul(argv[1], NULL, 10), input);
        return parse(input) < 0;
    }
    static int parsed[INPUTS];
    static struct pool_failure failures[ROOM];
    size_t failed = 0, counts[ROOM] = {0}, rejected = 0;
    struct pool_job job = {.fn = try_input, POOL_OUT(parsed), .count = INPUTS, .timeout = 200, .failures = failures};
    job.failures_room = ROOM;
    job.failed = &failed;
    pool_map(NULL, &job);

    for (size_t i = 0; i < INPUTS; i++) rejected += parsed[i] < 0;
    printf("%d inputs: %zu rejected, %zu crashed or hung\n", INPUTS, rejected, failed);
    if (failed > ROOM) failed = ROOM;
    for (size_t i = 0; i < failed; i++) {
        size_t first = 0;
        while (!is_same(&failures[first], &failures[i])) first++;
        counts[first]++;
    }
    printf("%6s %7s   %s\n", "times", "first", "what");
    for (;;) { /* the most frequent first */
        size_t most = 0;
        for (size_t i = 1; i < failed; i++)
            if (counts[i] > counts[most]) most = i;
        if (counts[most] == 0) break;
        printf("%6zu %7zu   %s\n", counts[most], failures[most].index, failures[most].message);
        counts[most] = 0;
    }
    return 0;
}
