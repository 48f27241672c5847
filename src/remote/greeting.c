#include "remote/greeting.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "remote/message.h"

#define MARK "PARPOOL "

static bool is_little_endian(void) {
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

size_t pp_greeting_make(char *text, uint32_t cpus) {
    char build[2 * PP_MODULE_ID + 1], host[64], readable[sizeof host];
    pp_program_build(build);
    if (gethostname(host, sizeof host - 1) != 0) memcpy(host, "?", 2);
    host[sizeof host - 1] = '\0';
    pp_text_readable(readable, host, sizeof host);
    int length = snprintf(text, PP_GREETING_MOST, "\n" MARK "%d %s %u %zu %s %s\n", PP_PROTOCOL, build,
                          (unsigned)cpus, sizeof(void *), is_little_endian() ? "little" : "big", readable);
    return (size_t)length;
}

/* line: from the mark on, without its end. */
static bool parse_greeting(const char *line, size_t length, struct pp_greeting *greeting) {
    char text[PP_GREETING_MOST], endian[8], host[65];
    if (length >= sizeof text) return false;
    memcpy(text, line, length);
    text[length] = '\0';
    unsigned protocol, cpus, pointer_size;
    int end = -1;
    memset(greeting, 0, sizeof *greeting);
    if (sscanf(text, MARK "%9u %n", &protocol, &end) != 1 || end < 0) return false;
    greeting->protocol = protocol;
    if (protocol != PP_PROTOCOL) return true; /* the rest is that protocol's own */
    if (sscanf(text + end, "%64[0-9a-f-] %9u %9u %7[a-z] %64[^\n]", greeting->build, &cpus, &pointer_size, endian,
               host) != 5)
        return false;
    greeting->cpus = cpus;
    greeting->pointer_size = pointer_size;
    greeting->is_little_endian = strcmp(endian, "little") == 0;
    pp_text_readable(greeting->host, host, sizeof host);
    return true;
}

int pp_greeting_find(const char *bytes, size_t size, struct pp_greeting *greeting, size_t *before, size_t *end) {
    const char *at = bytes, *stop = bytes + size, *begin, *line_end;
    while ((begin = memchr(at, '\n', (size_t)(stop - at))) != NULL &&
           (line_end = memchr(begin + 1, '\n', (size_t)(stop - begin - 1))) != NULL) {
        size_t length = (size_t)(line_end - begin - 1);
        if (length > sizeof MARK - 1 && memcmp(begin + 1, MARK, sizeof MARK - 1) == 0 &&
            parse_greeting(begin + 1, length, greeting)) {
            *before = (size_t)(begin - bytes);
            *end = (size_t)(line_end - bytes) + 1;
            return 1;
        }
        at = line_end;
    }
    return 0;
}
