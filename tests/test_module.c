/* The modules of the process: addresses, names, identities. */
#include "base/module.h"

#include "support.h"

static int own_function(int x) {
    return x + 1;
}

static const struct pp_module *module_of(const void *address) {
    static struct pp_module module;
    memset(&module, 0xee, sizeof module);
    assert_true(pp_module_of(address, &module));
    return &module;
}

#define CODE(function) ((const void *)(uintptr_t)(function))

TEST_CASE(code_and_data_of_the_program_are_told_apart) {
    static int data = 1;
    const struct pp_module *module = module_of(CODE(own_function));
    assert_true(module->is_program && module->is_code);
    assert_contains(module->path, "/test_module");
    assert_true(module->id_size >= 8 && module->id_size <= sizeof module->id);
    assert_true(module->base <= (uintptr_t)CODE(own_function));
    module = module_of(&data);
    assert_true(module->is_program && !module->is_code);
}

TEST_CASE(what_lies_in_no_module_is_in_none) {
    struct pp_module module;
    int on_stack = 0;
    void *on_heap = malloc(100);
    assert_false(pp_module_of(&on_stack, &module));
    assert_false(pp_module_of(on_heap, &module));
    assert_false(pp_module_of(NULL, &module));
    assert_false(pp_module_of((const void *)UINTPTR_MAX, &module));
    free(on_heap);
}

static void assert_comes_back(const void *code) {
    const struct pp_module module = *module_of(code);
    uintptr_t offset = (uintptr_t)code - module.base;
    assert_true(pp_module_place(module.id, module.id_size, offset, true) == code);
    struct pp_module other = module;
    other.id[module.id_size - 1] ^= 1;
    assert_null(pp_module_place(other.id, other.id_size, offset, true));
    assert_null(pp_module_place(module.id, module.id_size - 1, offset, true));
    assert_null(pp_module_place(module.id, 0, offset, true));
    assert_null(pp_module_place(module.id, module.id_size, UINTPTR_MAX - module.base, true));
}

TEST_CASE(code_is_found_again_by_identity_and_offset) {
    assert_comes_back(CODE(own_function));
    assert_comes_back(CODE(qsort)); /* of a shared library, unless the program is static */
}

TEST_CASE(only_code_is_found_where_code_is_asked_for) {
    static int data = 1;
    const struct pp_module *module = module_of(&data);
    uintptr_t offset = (uintptr_t)&data - module->base;
    assert_true(pp_module_place(module->id, module->id_size, offset, false) == &data);
    assert_null(pp_module_place(module->id, module->id_size, offset, true));
}

TEST_CASE(the_program_is_the_module_of_its_own_functions) {
    struct pp_module program;
    const struct pp_module *own = module_of(CODE(own_function));
    assert_true(pp_module_program(&program));
    assert_int_equal(program.id_size, own->id_size);
    assert_memory_equal(program.id, own->id, own->id_size);
}

TEST_CASE(an_identity_is_the_same_at_each_look) {
    const struct pp_module first = *module_of(CODE(own_function));
    const struct pp_module *again = module_of(CODE(module_of));
    assert_int_equal(first.id_size, again->id_size);
    assert_memory_equal(first.id, again->id, first.id_size);
}

/* A note has three words: the length of its name, that of its data, its type. */
static size_t read_notes(const uint32_t *notes, size_t words) {
    unsigned char id[PP_MODULE_ID];
    return pp_module_read_notes((const unsigned char *)notes, words * sizeof *notes, 4, id);
}

TEST_CASE(notes_that_make_no_sense_have_no_build_id) {
    enum { GNU = 0x554e47, BUILD_ID = 3 };
    const uint32_t good[] = {4, 4, 1, GNU, 0, 4, 8, BUILD_ID, GNU, 1, 2};
    const uint32_t long_name[] = {UINT32_MAX, 8, BUILD_ID, GNU, 1, 2}, long_data[] = {4, UINT32_MAX, BUILD_ID, GNU, 1};
    const uint32_t no_name[] = {0, 8, BUILD_ID, 1, 2}, endless[] = {UINT32_MAX - 11, 0, 1, GNU};
    assert_int_equal(read_notes(good, COUNT(good)), 8);
    for (size_t words = 0; words < COUNT(good); words++) assert_int_equal(read_notes(good, words), 0);
    assert_int_equal(read_notes(long_name, COUNT(long_name)), 0);
    assert_int_equal(read_notes(long_data, COUNT(long_data)), 0);
    assert_int_equal(read_notes(no_name, COUNT(no_name)), 0);
    assert_int_equal(read_notes(endless, COUNT(endless)), 0);
}

int main(int argc, char **argv) {
    if (!LINUX) return 0; /* POSIX has no list of modules */
    static const struct CMUnitTest tests[] = {
        TEST(code_and_data_of_the_program_are_told_apart),
        TEST(what_lies_in_no_module_is_in_none),
        TEST(code_is_found_again_by_identity_and_offset),
        TEST(only_code_is_found_where_code_is_asked_for),
        TEST(the_program_is_the_module_of_its_own_functions),
        TEST(an_identity_is_the_same_at_each_look),
        TEST(notes_that_make_no_sense_have_no_build_id),
    };
    return run_group("module", tests, COUNT(tests), argc, argv);
}
