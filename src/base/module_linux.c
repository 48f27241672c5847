/* Modules as the dynamic linker lists them, or the C library of a static program; see module.h. */
#include "base/module.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

typedef ElfW(Phdr) program_header;

/* The segment that is loaded at the address; NULL: none. */
static const program_header *segment_at(const struct dl_phdr_info *info, uintptr_t address) {
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const program_header *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && address - info->dlpi_addr - segment->p_vaddr < segment->p_memsz)
            return segment;
    }
    return NULL;
}

static size_t read_build_id(const struct dl_phdr_info *info, unsigned char *id) {
    size_t size = 0;
    for (unsigned i = 0; i < info->dlpi_phnum && size == 0; i++) {
        const program_header *notes = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + notes->p_vaddr;
        if (notes->p_type != PT_NOTE || notes->p_memsz == 0) continue;
        const program_header *segment = segment_at(info, begin), *last = segment_at(info, begin + notes->p_memsz - 1);
        if (!segment || segment != last || !(segment->p_flags & PF_R)) continue;
        size = pp_module_read_notes((const unsigned char *)begin, notes->p_memsz, notes->p_align, id);
    }
    return size;
}

static uint64_t hash_segments(const struct dl_phdr_info *info) {
    uint64_t hash = PP_HASH_BEGIN;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const program_header *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_R) || (segment->p_flags & PF_W)) continue;
        hash = pp_module_hash(hash, (const void *)(info->dlpi_addr + segment->p_vaddr), segment->p_filesz);
    }
    return hash;
}

/* Of the program it is kept: a process has one program for all of its life. */
static size_t make_hash(const struct dl_phdr_info *info, bool is_program, unsigned char *id) {
    static _Atomic uint64_t of_program;
    uint64_t hash = is_program ? atomic_load_explicit(&of_program, memory_order_relaxed) : 0;
    if (hash == 0) hash = hash_segments(info);
    if (is_program) atomic_store_explicit(&of_program, hash, memory_order_relaxed);
    memcpy(id, &hash, sizeof hash);
    return sizeof hash;
}

/* The C library does not name the program, or by argv[0]. */
static void copy_path(struct pp_module *module, const char *name) {
    ssize_t length = module->is_program ? readlink("/proc/self/exe", module->path, sizeof module->path - 1) : -1;
    if (length >= 0) module->path[length] = '\0';
    else snprintf(module->path, sizeof module->path, "%s", name && *name ? name : program_invocation_name);
}

/* What is looked for: the module that holds the address, or that has the id. The program comes first in the list. */
struct search {
    struct pp_module *module; /* is filled in; NULL: search by id */
    const unsigned char *id;
    size_t id_size;
    uintptr_t address; /* by id: the offset; in the end the address, 0: none */
    bool hash, code, found;
    unsigned looked;
};

static int look_for_address(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    struct search *search = arg;
    unsigned position = search->looked++;
    bool is_program = position == 0;
    const program_header *segment = segment_at(info, search->address);
    if (!segment) return 0;
    struct pp_module *module = search->module;
    module->position = position;
    module->base = info->dlpi_addr;
    module->is_program = is_program;
    module->is_code = (segment->p_flags & PF_X) != 0;
    module->is_readable = (segment->p_flags & PF_R) != 0;
    module->id_size = read_build_id(info, module->id);
    if (module->id_size == 0 && search->hash) module->id_size = make_hash(info, is_program, module->id);
    module->layout = pp_module_hash(PP_HASH_BEGIN, info->dlpi_phdr, info->dlpi_phnum * sizeof *info->dlpi_phdr);
    copy_path(module, info->dlpi_name);
    search->found = true;
    return 1;
}

static int look_for_id(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    struct search *search = arg;
    bool is_program = search->looked++ == 0;
    unsigned char id[PP_MODULE_ID];
    size_t id_size = read_build_id(info, id);
    if (id_size == 0 && search->id_size == sizeof(uint64_t)) id_size = make_hash(info, is_program, id);
    if (id_size == 0 || id_size != search->id_size || memcmp(id, search->id, id_size) != 0) return 0;
    const program_header *segment = segment_at(info, info->dlpi_addr + search->address);
    search->found = segment && (!search->code || (segment->p_flags & PF_X));
    if (search->found) search->address += info->dlpi_addr;
    return 1;
}

static bool find(const void *address, struct pp_module *module, bool hash) {
    struct search search = {.module = module, .address = (uintptr_t)address, .hash = hash};
    dl_iterate_phdr(look_for_address, &search);
    return search.found;
}

static int count_one(struct dl_phdr_info *info, size_t size, void *count) {
    (void)info, (void)size;
    ++*(unsigned *)count;
    return 0;
}

unsigned pp_module_count(void) {
    unsigned count = 0;
    dl_iterate_phdr(count_one, &count);
    return count;
}

bool pp_module_of(const void *address, struct pp_module *module) {
    return find(address, module, true);
}

bool pp_module_program(struct pp_module *module) {
    return find((const void *)getauxval(AT_ENTRY), module, true);
}

bool pp_module_find(const void *address, struct pp_module *module) {
    return find(address, module, false);
}

const void *pp_module_place(const unsigned char *id, size_t id_size, uintptr_t offset, bool is_code) {
    struct search search = {.id = id, .id_size = id_size, .address = offset, .code = is_code};
    dl_iterate_phdr(look_for_id, &search);
    return search.found ? (const void *)search.address : NULL;
}
