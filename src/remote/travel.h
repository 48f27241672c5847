/* A function, or an object of the program, as another process of the same program finds it: the module that holds it,
 * by the id of its build, and how far above the module's base it lies.
 *
 * Invariant: a reference leads to the same place of the same build, or nowhere.
 * Called by: the files of the carrier (refer) and of the node (resolve), hosted (what can travel), greeting, serve. */
#ifndef PP_TRAVEL_H
#define PP_TRAVEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/module.h"

struct pp_reference {
    unsigned char id[PP_MODULE_ID];
    uint8_t id_size; /* 0: NULL */
    uint64_t offset;
};

typedef void pp_function(void);
/* POSIX has functions and objects in one address space; C has not. */
static inline const void *pp_address_of(pp_function *function) {
    const void *address;
    memcpy(&address, &function, sizeof address);
    return address;
}
static inline pp_function *pp_function_at(const void *address) {
    pp_function *function;
    memcpy(&function, &address, sizeof function);
    return function;
}

/* What is loaded from here on is not in nodes, which are this program up to here. */
void pp_travel_begin(void);
/* Refers to what lies at the address; NULL is nothing. Returns false if no module that nodes have holds it: it was made
 * at run time, or loaded then, or the system has no list of modules. This takes some µs, or as long as a hash of a
 * library without a build id. */
bool pp_refer(const void *address, struct pp_reference *reference);
/* What the reference is of; NULL if it is of nothing. Returns false if this process has no such module, or nothing
 * there, or no code where code is asked for. The reference may come from anywhere. */
bool pp_resolve(const struct pp_reference *reference, bool is_code, const void **address);
/* The id of the program's build, in hexadecimal digits; "-": not known. build: room for 2 * PP_MODULE_ID + 1 bytes. */
void pp_program_build(char *build);

#endif
