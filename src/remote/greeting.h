/* The greeting: a line of text, the first that a node writes. What a launcher or a shell writes before it is noise.
 *
 * Called by: wire, node. */
#ifndef PP_GREETING_H
#define PP_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/module.h"

#define PP_GREETING_MOST 512 /* bytes of a greeting, with its two ends of line */

struct pp_greeting {
    uint32_t protocol, cpus, pointer_size;
    bool is_little_endian;
    char build[2 * PP_MODULE_ID + 1]; /* of the program, in hexadecimal digits; "-": not known */
    char host[128];                   /* made fit for one line */
};

/* This process's. text: room for PP_GREETING_MOST bytes. Returns its length. */
size_t pp_greeting_make(char *text, uint32_t cpus);
/* Looks for a greeting among other bytes. Returns 1 and the bytes before it and up to its end; 0: there is none yet. */
int pp_greeting_find(const char *bytes, size_t size, struct pp_greeting *greeting, size_t *before, size_t *end);

#endif
