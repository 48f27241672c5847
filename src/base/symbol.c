#include "base/symbol.h"

#include <stdio.h>

void pp_symbol_label(pool_fn *fn, char label[PP_SYMBOL_LABEL]) {
    struct pp_symbol symbol;
    uintptr_t address = (uintptr_t)fn;
    if (!pp_symbol_find(address, &symbol)) snprintf(label, PP_SYMBOL_LABEL, "0x%jx", (uintmax_t)address);
    else if (symbol.name[0] != '\0') snprintf(label, PP_SYMBOL_LABEL, "%.*s", PP_SYMBOL_LABEL - 1, symbol.name);
    else snprintf(label, PP_SYMBOL_LABEL, "%s+0x%jx", symbol.module, (uintmax_t)symbol.module_offset);
}
