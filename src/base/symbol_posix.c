/* POSIX knows no symbols; see symbol.h. */
#include "base/symbol.h"

#include <string.h>

bool pp_symbol_find(uintptr_t address, struct pp_symbol *symbol) {
    (void)address;
    memset(symbol, 0, sizeof *symbol);
    return false;
}

void pp_symbol_keep_open(void) {
}
