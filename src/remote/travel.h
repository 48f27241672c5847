/* A function, or an object of the program, as another process of the same program finds it: the module that holds it,
 * by the id of its build, and how far above the module's base it lies.
 *
 * Invariant: a reference leads to the same place of the same build, or nowhere.
 * Called by: carrier (refers), node (resolves). */
#ifndef PP_TRAVEL_H
#define PP_TRAVEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/module.h"

typedef void pp_function(void);

struct pp_reference {
    unsigned char id[PP_MODULE_ID];
    uint8_t id_size; /* 0: the function is NULL */
    uint64_t offset;
};

/* Refers to the function; NULL is nothing. Returns false if no module holds it: it was made at run time, or the system
 * has no list of modules. This costs some µs, or a hash of the module if it has no build id: once a function. */
bool pp_refer(pp_function *function, struct pp_reference *reference);
/* The function that the reference is of; *function is NULL if it is of none. Returns false if this process has no such
 * module, or no code there. The reference may come from anywhere. */
bool pp_resolve(const struct pp_reference *reference, pp_function **function);
/* The reference to the program itself, with the id of its build alone. Returns false as pp_refer(). */
bool pp_refer_to_program(struct pp_reference *reference);

#endif
