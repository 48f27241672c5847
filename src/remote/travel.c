#include "remote/travel.h"

#include <stdio.h>

/* How many modules there were; 0: all count. */
static unsigned travelling;

void pp_travel_begin(void) {
    travelling = pp_module_count();
}

bool pp_refer(const void *address, struct pp_reference *reference) {
    struct pp_module module;
    memset(reference, 0, sizeof *reference);
    if (!address) return true;
    if (!pp_module_of(address, &module) || module.id_size == 0) return false;
    if (travelling > 0 && module.position >= travelling) return false;
    memcpy(reference->id, module.id, module.id_size);
    reference->id_size = (uint8_t)module.id_size;
    reference->offset = (uintptr_t)address - module.base;
    return true;
}

bool pp_resolve(const struct pp_reference *reference, bool is_code, const void **address) {
    *address = NULL;
    if (reference->id_size == 0) return true;
    if (reference->id_size > PP_MODULE_ID || reference->offset > UINTPTR_MAX) return false;
    *address = pp_module_place(reference->id, reference->id_size, (uintptr_t)reference->offset, is_code);
    return *address != NULL;
}

/* A library that is a file of its own is in the program all the same: so what is looked for is the program's begin. */
void pp_program_build(char *build) {
    struct pp_module module;
    size_t size = pp_module_program(&module) ? module.id_size : 0;
    for (size_t i = 0; i < size; i++) snprintf(build + 2 * i, 3, "%02x", module.id[i]);
    if (size == 0) memcpy(build, "-", 2);
}
