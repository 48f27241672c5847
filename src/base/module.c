#include "base/module.h"

#include <string.h>

#define BUILD_ID 3U /* NT_GNU_BUILD_ID */

size_t pp_module_read_notes(const unsigned char *notes, size_t size, size_t alignment, unsigned char *id) {
    struct {
        uint32_t name_size, data_size, type;
    } note;
    size_t step = alignment == 8 ? 8 : 4;
    for (size_t at = 0; at < size && size - at >= sizeof note;) {
        memcpy(&note, notes + at, sizeof note);
        uint64_t name = at + sizeof note;
        uint64_t data = (name + note.name_size + step - 1) / step * step, end = data + note.data_size;
        if (end > size) return 0;
        if (note.type == BUILD_ID && note.name_size == 4 && memcmp(notes + name, "GNU", 4) == 0) {
            size_t length = note.data_size < PP_MODULE_ID ? note.data_size : PP_MODULE_ID;
            memcpy(id, notes + data, length);
            return length;
        }
        at = (size_t)((end + step - 1) / step * step);
    }
    return 0;
}

/* AddressSanitizer forbids what lies between two constants of a module. */
#if defined(__GNUC__)
__attribute__((no_sanitize_address))
#endif
uint64_t pp_module_hash(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * 0x100000001b3U;
    return hash;
}
