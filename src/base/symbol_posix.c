/* POSIX knows no symbols; see symbol.h. */
#include "base/symbol.h"

#include <string.h>

bool pp_symbol_find(uintptr_t address, struct pp_symbol *symbol) {
    (void)address;
    memset(symbol, 0, sizeof *symbol);
    return false;
}

uintptr_t pp_symbol_variable(const char *name) {
    (void)name;
    return 0;
}

void pp_symbol_keep_open(void) {
}
