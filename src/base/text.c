#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_within(unsigned char c, unsigned char first, unsigned char last) {
    return first <= c && c <= last;
}

/* Bytes of the character that begins here, by its first byte; 0: none begins with it. */
static size_t length_of(unsigned char c) {
    return is_within(c, 0x20, 0x7e) ? 1 : is_within(c, 0xc2, 0xdf) ? 2 : is_within(c, 0xe0, 0xef) ? 3
         : is_within(c, 0xf0, 0xf4) ? 4 : 0;
}

/* Whether these bytes, which begin as a character of that length does, are one: neither longer than need be, nor a
 * surrogate, nor too large, nor one that does something to a terminal or to the line. */
static bool is_character(const unsigned char *s, size_t length) {
    for (size_t i = 1; i < length; i++)
        if (!is_within(s[i], 0x80, 0xbf)) return false;
    switch (s[0]) {
    case 0xc2: return s[1] >= 0xa0;
    case 0xe0: return s[1] >= 0xa0;
    case 0xe2: return !(s[1] == 0x80 && is_within(s[2], 0xa8, 0xae)) && !(s[1] == 0x81 && is_within(s[2], 0xa6, 0xa9));
    case 0xed: return s[1] <= 0x9f;
    case 0xf0: return s[1] >= 0x90;
    case 0xf4: return s[1] <= 0x8f;
    default: return true;
    }
}

/* Writes how the byte is shown, at most 4 characters. */
static size_t show(char *to, unsigned char c) {
    static const char named[] = "\a\b\t\n\v\f\r", names[] = "abtnvfr";
    const char *at = c ? strchr(named, c) : NULL;
    return (size_t)(at ? snprintf(to, 5, "\\%c", names[at - named]) : snprintf(to, 5, "\\x%02x", (unsigned)c));
}

void pp_text_readable(char *to, const char *from, size_t room) {
    const unsigned char *text = (const unsigned char *)from;
    size_t end = 0, used = 0, step;
    while (end < room && text[end]) end++;
    for (size_t i = 0; i < end; i += step) {
        unsigned char c[4] = {0}; /* read once: a worker may write there meanwhile */
        char shown[5];
        memcpy(c, text + i, end - i < sizeof c ? end - i : sizeof c);
        size_t length = length_of(c[0]), size;
        if (length > end - i && end + 1 >= room) break; /* the text was cut here when it was written */
        bool stays = length > 0 && length <= end - i && is_character(c, length);
        step = stays ? length : 1;
        size = stays ? length : show(shown, c[0]);
        if (used + size >= room) break;
        memcpy(to + used, stays ? (const void *)c : shown, size);
        used += size;
    }
    to[used] = '\0';
}
