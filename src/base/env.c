#include "base/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

extern char **environ;

static const char *const names[] = {"OMP_NUM_THREADS",  "OPENBLAS_NUM_THREADS",   "MKL_NUM_THREADS",
                                    "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"};

#define NAMES (sizeof names / sizeof *names)
#define ROOM 48 /* for the longest name, "=" and a number */

/* Copies the environment but for variables that begin so. Returns how many there are. */
static size_t copy_without(char **made, const char *begin) {
    size_t count = 0;
    for (char **at = environ; at && *at; at++)
        if (strncmp(*at, begin, strlen(begin)) != 0) made[count++] = *at;
    return count;
}

char **pp_env_make(int threads) {
    size_t count = 0;
    while (environ && environ[count]) count++;
    char **made = pp_zalloc(1, (count + NAMES + 1) * sizeof *made + NAMES * ROOM);
    if (!made) return NULL;
    char *text = (char *)(made + count + NAMES + 1);
    count = copy_without(made, "PARPOOL_TRACE=");
    for (size_t i = 0; i < NAMES; i++) {
        if (getenv(names[i])) continue;
        snprintf(text, ROOM, "%s=%d", names[i], threads > 1 ? threads : 1);
        made[count++] = text;
        text += ROOM;
    }
    return made;
}

void pp_env_use(char **made) {
    environ = made;
}
