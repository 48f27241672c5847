/* The modules of this process, which are the program and the shared libraries that are loaded: which of them holds an
 * address, and where the same place is in another process that has the same module.
 *
 * Where the system has no list of modules (module_posix.c), no address is in any.
 * Called by: symbol, place and backtrace (addresses), travel and carrier_say (functions on other hosts). */
#ifndef PP_MODULE_H
#define PP_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PP_MODULE_PATH 1024
#define PP_MODULE_ID 32
#define PP_HASH_BEGIN 0xcbf29ce484222325U

struct pp_module {
    char path[PP_MODULE_PATH]; /* of its file; cut if it is longer */
    uintptr_t base;            /* an address minus this is the address in the file; 0: both are the same */
    bool is_program;           /* and no library */
    unsigned position;         /* in the list of modules, in which those that are loaded later come later */
    bool is_code, is_readable; /* what lies at the address may be executed, read */
    /* What tells the module from all others, and from another build of itself: its GNU build id, of which a long one is
     * cut. If it has none, a hash of its read-only segments in memory. */
    unsigned char id[PP_MODULE_ID];
    size_t id_size;
    uint64_t layout; /* hash of its program headers: pp_module_hash() from PP_HASH_BEGIN on */
};

/* Returns false if no module holds the address, which may be any. */
bool pp_module_of(const void *address, struct pp_module *module);
/* The same of the program itself; false if that is not known. */
bool pp_module_program(struct pp_module *module);
/* As pp_module_of(), without a hash: id_size is 0 if the module has no build id. */
bool pp_module_find(const void *address, struct pp_module *module);
/* Returns how many modules there are. */
unsigned pp_module_count(void);
/* Returns the address that lies so far above the base of the module with this id; NULL: there is no such module, or
 * nothing of it there, or no code if code is asked for. Id and offset may come from another process. */
const void *pp_module_place(const unsigned char *id, size_t id_size, uintptr_t offset, bool is_code);

/* Copies the build id that lies in the notes of an ELF file or module. The notes are `size` bytes, each aligned as
 * said; they are checked. Returns its length, at most PP_MODULE_ID; 0: there is none. */
size_t pp_module_read_notes(const unsigned char *notes, size_t size, size_t alignment, unsigned char *id);

/* FNV-1a: the hash of what was hashed before, and of so many bytes more. */
uint64_t pp_module_hash(uint64_t hash, const void *bytes, size_t size);

#endif
