/* The function that holds an address: by the program's file, whatever lies in that. */
#include "base/symbol.h"

#include "support.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int __attribute__((noinline)) hidden_function(int x) {
    static volatile int sink;
    sink = x;
    return sink + 1;
}

#define ADDRESS(function) ((uintptr_t)(function))

static struct pp_symbol symbol_at(uintptr_t address) {
    struct pp_symbol symbol;
    memset(&symbol, 0xee, sizeof symbol);
    assert_true(pp_symbol_find(address, &symbol));
    return symbol;
}

static void assert_named(uintptr_t address, const char *name, uintptr_t offset) {
    struct pp_symbol symbol = symbol_at(address);
    if (strcmp(symbol.name, name)) print_error("\"%s\" instead of \"%s\"\n", symbol.name, name);
    assert_int_equal(strcmp(symbol.name, name), 0);
    assert_int_equal(symbol.offset, offset);
    assert_true(symbol.is_code);
}

TEST_CASE(a_static_function_has_its_name) {
    assert_int_equal(hidden_function(1), 2);
    assert_named(ADDRESS(hidden_function), "hidden_function", 0);
    assert_named(ADDRESS(hidden_function) + 3, "hidden_function", 3);
    struct pp_symbol symbol = symbol_at(ADDRESS(hidden_function));
    assert_int_equal(strcmp(symbol.module, "test_symbol"), 0);
    assert_int_equal(symbol.module_offset - symbol_at(ADDRESS(test_begin)).module_offset,
                     ADDRESS(hidden_function) - ADDRESS(test_begin));
}

/* qsort() is the sanitizer's own, where there is one. */
TEST_CASE(a_function_of_the_c_library_has_its_name) {
    assert_contains(symbol_at(ADDRESS(qsort) + 1).name, "qsort");
}

TEST_CASE(data_has_no_name_and_other_addresses_no_module) {
    static int data = 1;
    struct pp_symbol symbol = symbol_at((uintptr_t)&data);
    assert_false(symbol.is_code);
    assert_int_equal(symbol.name[0], '\0');
    assert_int_equal(strcmp(symbol.module, "test_symbol"), 0);
    void *on_heap = malloc(100);
    const uintptr_t nowhere[] = {0, 1, UINTPTR_MAX, (uintptr_t)&symbol, (uintptr_t)on_heap, UINTPTR_MAX / 2 + 1};
    for (size_t i = 0; i < COUNT(nowhere); i++) {
        assert_false(pp_symbol_find(nowhere[i], &symbol));
        assert_int_equal(symbol.name[0] | symbol.module[0], '\0');
    }
    free(on_heap);
}

/* ---- Copies of this program that were spoilt where nothing of them is loaded: section headers, symbols, names. */

static struct {
    char *bytes;
    size_t size, loaded; /* what is loaded lies below */
} program;

static void read_program(void) {
    int fd = open("/proc/self/exe", O_RDONLY);
    struct stat status;
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    program.size = (size_t)status.st_size;
    program.bytes = malloc(program.size);
    program.loaded = 0;
    assert_int_equal(read(fd, program.bytes, program.size), program.size);
    close(fd);
    ElfW(Ehdr) head;
    memcpy(&head, program.bytes, sizeof head);
    for (unsigned i = 0; i < head.e_phnum; i++) {
        ElfW(Phdr) part;
        memcpy(&part, program.bytes + head.e_phoff + i * sizeof part, sizeof part);
        size_t end = part.p_offset + part.p_filesz;
        if (end > program.loaded) program.loaded = end;
    }
    assert_true(program.loaded < program.size);
}

/* Returns the exit status of the copy, which looks for hidden_function(). */
static int run_copy(size_t size) {
    char path[] = "/tmp/test_symbol_XXXXXX";
    int fd = mkstemp(path), status = -1;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, program.bytes, size), size);
    assert_int_equal(fchmod(fd, 0700), 0);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        execl(path, "copy", "--look", (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    unlink(path);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

enum { NAMED = 10, NAMELESS, OTHER_NAME, NO_MODULE }; /* a crash or an error of a sanitizer has none of these */

static int look_for_itself(void) {
    struct pp_symbol symbol;
    if (!pp_symbol_find(ADDRESS(hidden_function), &symbol)) return NO_MODULE;
    if (strcmp(symbol.name, "hidden_function") == 0) return NAMED;
    return symbol.name[0] ? OTHER_NAME : NAMELESS;
}

TEST_CASE(a_file_with_spoilt_symbols_harms_nothing) {
    read_program();
    assert_int_equal(run_copy(program.size), NAMED);
    char *good = malloc(program.size);
    memcpy(good, program.bytes, program.size);
    uint64_t random = 1;
    for (size_t try = 0; try < scaled(200); try++) {
        size_t spoilt = program.size - program.loaded, most = (size_t)1 << try % 12;
        for (size_t i = 0; i < most; i++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            size_t back = (size_t)(random >> 33) % (try % 2 ? spoilt : spoilt < 2048 ? spoilt : 2048);
            program.bytes[program.size - 1 - back] = (char)(try % 3 ? random >> 20 : 255);
        }
        int status = run_copy(program.size);
        assert_true(status >= NAMED && status <= OTHER_NAME);
        memcpy(program.bytes, good, program.size);
    }
    free(good);
    free(program.bytes);
}

TEST_CASE(a_file_that_was_cut_harms_nothing) {
    read_program();
    for (size_t size = program.loaded; size < program.size; size += (program.size - program.loaded) / 10 + 1)
        assert_int_equal(run_copy(size), NAMELESS);
    free(program.bytes);
}

int main(int argc, char **argv) {
    if (!LINUX) return 0; /* POSIX knows no symbols */
    if (argc == 2 && strcmp(argv[1], "--look") == 0) return look_for_itself();
    static const struct CMUnitTest tests[] = {
        TEST(a_static_function_has_its_name),
        TEST(a_function_of_the_c_library_has_its_name),
        TEST(data_has_no_name_and_other_addresses_no_module),
        TEST(a_file_with_spoilt_symbols_harms_nothing),
        TEST(a_file_that_was_cut_harms_nothing),
    };
    return run_group("symbol", tests, COUNT(tests), argc, argv);
}
