/* The function that holds an address of this process: by the symbol table of the module's file, so that static
 * functions have their names too, unless the file was stripped. No debug information is read, and no program is run.
 *
 * Invariant: what is asked for may be any number, and the file may be any bytes: it is read, never mapped, and each of
 * its offsets is checked. A file that is not the one that was loaded gives no names.
 * Called by: place, live, capture and trace_file (names for a person), child (the handler of a signal), worker. */
#ifndef PP_SYMBOL_H
#define PP_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parpool.h"

#define PP_SYMBOL_NAME 128
#define PP_SYMBOL_LABEL 96

struct pp_symbol {
    char module[64];         /* the name of the module's file, without its folder; cut if it is longer */
    uintptr_t module_offset; /* how far above the module's base, as addr2line(1) expects it */
    char name[PP_SYMBOL_NAME]; /* of the function, as the linker knows it, on one line; cut; "": not known */
    uintptr_t offset;          /* how far behind the function's begin, if that is known */
    bool is_code;              /* what lies at the address may be executed */
};

/* Returns false if no module holds the address. */
bool pp_symbol_find(uintptr_t address, struct pp_symbol *symbol);

/* The address of the variable, which is a pointer, of the program or library that this code is linked into; 0: not
 * known. In a signal handler, too. */
uintptr_t pp_symbol_variable(const char *name);

/* From now on functions of the program have names in this process, though it may open no file. */
void pp_symbol_keep_open(void);

/* The short name of a function for a person: "decode"; of a stripped program "prog+0x3360"; else the address. Takes up
 * to half a millisecond. */
void pp_symbol_label(pool_fn *fn, char label[PP_SYMBOL_LABEL]);

#endif
