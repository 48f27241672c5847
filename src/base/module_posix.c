/* POSIX has no list of modules; see module.h. */
#include "base/module.h"

bool pp_module_of(const void *address, struct pp_module *module) {
    (void)address, (void)module;
    return false;
}

bool pp_module_program(struct pp_module *module) {
    (void)module;
    return false;
}

bool pp_module_find(const void *address, struct pp_module *module) {
    (void)address, (void)module;
    return false;
}

unsigned pp_module_count(void) {
    return 0;
}

const void *pp_module_place(const unsigned char *id, size_t id_size, uintptr_t offset, bool is_code) {
    (void)id, (void)id_size, (void)offset, (void)is_code;
    return NULL;
}
