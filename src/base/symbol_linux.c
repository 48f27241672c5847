/* Symbols from ELF files; see symbol.h. */
#include "base/symbol.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/module.h"
#include "base/text.h"

#define BLOCK 4096 /* bytes of the file that are looked at in one go */

struct file {
    int fd;
    uint64_t size;
    ElfW(Ehdr) head;
};

/* Reads so many bytes from there. Returns false if the file does not have them. */
static bool read_at(const struct file *file, uint64_t offset, void *to, size_t size) {
    if (offset > file->size || size > file->size - offset) return false;
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(file->fd, (char *)to + got, size - got, (off_t)(offset + got));
        if (n <= 0) return false;
        got += (size_t)n;
    }
    return true;
}

static int open_program(void) {
    /* By this name also if the program was moved, removed or written anew since it was started. */
    return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

/* The size of the file; 0: it is none that can be read. */
static uint64_t size_of(int fd) {
    struct stat status;
    bool is_file = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
    return is_file ? (uint64_t)status.st_size : 0;
}

static struct file kept = {.fd = -1}; /* the program's, of a worker in a sandbox, which can open no file */

void pp_symbol_keep_open(void) {
    kept.fd = open_program();
    kept.size = size_of(kept.fd);
}

static bool open_file(struct file *file, const struct pp_module *module) {
    if (module->is_program && kept.size > 0) {
        *file = kept;
    } else {
        file->fd = module->is_program ? open_program() : -1;
        if (file->fd < 0) file->fd = open(module->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        file->size = size_of(file->fd);
    }
    if (file->size == 0) return false;
    const ElfW(Ehdr) *head = &file->head;
    return read_at(file, 0, &file->head, sizeof file->head) && memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
           head->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
           head->e_shentsize == sizeof(ElfW(Shdr)) && head->e_phentsize == sizeof(ElfW(Phdr));
}

static bool read_section(const struct file *file, unsigned number, ElfW(Shdr) *section) {
    if (number >= file->head.e_shnum) return false;
    return read_at(file, (uint64_t)file->head.e_shoff + (uint64_t)number * sizeof *section, section, sizeof *section);
}

/* Whether it is the file that was loaded: another build may lie there by now. */
static bool is_loaded(const struct file *file, const struct pp_module *module) {
    ElfW(Phdr) part;
    uint64_t hash = PP_HASH_BEGIN;
    unsigned char notes[1024], id[PP_MODULE_ID];
    size_t id_size = 0;
    for (unsigned i = 0; i < file->head.e_phnum; i++) {
        if (!read_at(file, (uint64_t)file->head.e_phoff + i * sizeof part, &part, sizeof part)) return false;
        hash = pp_module_hash(hash, &part, sizeof part);
        size_t size = part.p_filesz < sizeof notes ? part.p_filesz : sizeof notes;
        if (part.p_type != PT_NOTE || id_size > 0 || !read_at(file, part.p_offset, notes, size)) continue;
        id_size = pp_module_read_notes(notes, size, part.p_align, id);
    }
    if (hash != module->layout) return false;
    return id_size == module->id_size && memcmp(id, module->id, id_size) == 0;
}

/* The best function so far. */
struct best {
    ElfW(Sym) symbol;
    bool found;
    uint64_t nearest; /* where the last function begins that does not begin behind the address */
};

/* A function of an unknown size holds the address unless another begins between them. */
static void look_at(struct best *best, const ElfW(Sym) *symbol, uint64_t address) {
    unsigned type = symbol->st_info & 0xfU;
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF || symbol->st_value > address)
        return;
    if (symbol->st_value > best->nearest) best->nearest = symbol->st_value;
    if (symbol->st_size > 0 && address - symbol->st_value >= symbol->st_size) return;
    if (best->found && symbol->st_value < best->symbol.st_value) return;
    if (best->found && symbol->st_value == best->symbol.st_value) { /* two names */
        bool is_global = symbol->st_info >> 4 == STB_GLOBAL, was_global = best->symbol.st_info >> 4 == STB_GLOBAL;
        if (was_global || !is_global) return;
    }
    best->symbol = *symbol;
    best->found = true;
}

static bool find_in(const struct file *file, const ElfW(Shdr) *table, uint64_t address, struct best *best) {
    ElfW(Sym) block[BLOCK / sizeof(ElfW(Sym))];
    *best = (struct best){.found = false};
    uint64_t count = table->sh_size / sizeof *block, at = 0;
    while (at < count) {
        size_t n = count - at < sizeof block / sizeof *block ? (size_t)(count - at) : sizeof block / sizeof *block;
        if (!read_at(file, (uint64_t)table->sh_offset + at * sizeof *block, block, n * sizeof *block)) return false;
        for (size_t i = 0; i < n; i++) look_at(best, &block[i], address);
        at += n;
    }
    return best->found && (best->symbol.st_size > 0 || best->symbol.st_value == best->nearest);
}

/* The file may end within the name, or the name's section. */
static void copy_name(const struct file *file, const ElfW(Shdr) *names, const ElfW(Sym) *symbol, char *name) {
    char raw[PP_SYMBOL_NAME];
    memset(raw, 0, sizeof raw);
    uint64_t offset = (uint64_t)names->sh_offset + symbol->st_name;
    if (symbol->st_name >= names->sh_size || offset >= file->size) return;
    uint64_t section = names->sh_size - symbol->st_name, rest = file->size - offset;
    uint64_t most = section < rest ? section : rest;
    if (read_at(file, offset, raw, most < sizeof raw - 1 ? (size_t)most : sizeof raw - 1))
        pp_text_readable(name, raw, sizeof raw);
}

/* Looks in the tables of this type: a table of all symbols, or of those that the dynamic linker needs. */
static bool find_by_type(const struct file *file, unsigned type, uint64_t address, struct pp_symbol *symbol) {
    for (unsigned i = 0; i < file->head.e_shnum; i++) {
        ElfW(Shdr) table, names;
        struct best best;
        if (!read_section(file, i, &table)) return false;
        if (table.sh_type != type || !read_section(file, table.sh_link, &names)) continue;
        if (!find_in(file, &table, address, &best)) continue;
        copy_name(file, &names, &best.symbol, symbol->name);
        symbol->offset = (uintptr_t)(address - best.symbol.st_value);
        return symbol->name[0] != '\0';
    }
    return false;
}

/* Looks in this table for a variable of the size of a pointer. Returns its address in the file; 0: none. */
static uint64_t find_variable(const struct file *file, const ElfW(Shdr) *table, const char *wanted) {
    ElfW(Shdr) names;
    ElfW(Sym) block[BLOCK / sizeof(ElfW(Sym))];
    char name[PP_SYMBOL_NAME] = "";
    if (!read_section(file, table->sh_link, &names)) return 0;
    for (uint64_t at = 0, count = table->sh_size / sizeof *block, n; at < count; at += n) {
        n = count - at < sizeof block / sizeof *block ? count - at : sizeof block / sizeof *block;
        if (!read_at(file, (uint64_t)table->sh_offset + at * sizeof *block, block, (size_t)n * sizeof *block)) return 0;
        for (uint64_t i = 0; i < n; i++) {
            bool may_be = (block[i].st_info & 0xfU) == STT_OBJECT && block[i].st_size == sizeof(void *);
            if (!may_be || block[i].st_shndx == SHN_UNDEF) continue;
            copy_name(file, &names, &block[i], name);
            if (strcmp(name, wanted) == 0) return block[i].st_value;
        }
    }
    return 0;
}

uintptr_t pp_symbol_variable(const char *name) {
    struct pp_module module, place;
    struct file file = {.fd = -1};
    ElfW(Shdr) table;
    uint64_t found = 0;
    if (!pp_module_find((const void *)(uintptr_t)pp_symbol_variable, &module)) return 0;
    if (open_file(&file, &module) && is_loaded(&file, &module)) {
        for (unsigned i = 0; found == 0 && read_section(&file, i, &table); i++)
            if (table.sh_type == SHT_SYMTAB) found = find_variable(&file, &table, name);
    }
    if (file.fd >= 0 && file.fd != kept.fd) close(file.fd);
    uintptr_t address = module.base + (uintptr_t)found;
    bool is_there = found != 0 && pp_module_find((const void *)address, &place) && place.base == module.base;
    return is_there && place.is_readable && address % sizeof(void *) == 0 ? address : 0;
}

bool pp_symbol_find(uintptr_t address, struct pp_symbol *symbol) {
    struct pp_module module;
    struct file file;
    memset(symbol, 0, sizeof *symbol);
    if (!pp_module_find((const void *)address, &module)) return false;
    const char *slash = strrchr(module.path, '/');
    pp_text_readable(symbol->module, slash ? slash + 1 : module.path, sizeof symbol->module);
    symbol->module_offset = address - module.base;
    symbol->is_code = module.is_code;
    if (!module.is_code) return true;
    if (open_file(&file, &module) && is_loaded(&file, &module) &&
        !find_by_type(&file, SHT_SYMTAB, symbol->module_offset, symbol))
        find_by_type(&file, SHT_DYNSYM, symbol->module_offset, symbol);
    if (file.fd >= 0 && file.fd != kept.fd) close(file.fd);
    return true;
}
