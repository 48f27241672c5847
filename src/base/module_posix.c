/* POSIX has no list of modules; see module.h. */
#include "base/module.h"

bool pp_module_of(const void *address, struct pp_module *module) {
    (void)address, (void)module;
    return false;
}

bool pp_module_find(const void *address, struct pp_module *module) {
    (void)address, (void)module;
    return false;
}

const void *pp_module_code(const unsigned char *id, size_t id_size, uintptr_t offset) {
    (void)id, (void)id_size, (void)offset;
    return NULL;
}
