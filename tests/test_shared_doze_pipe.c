/* The same as test_shared_doze.c with the way of systems without a futex, whatever this system has. */
#ifndef PARPOOL_POSIX_ONLY
#define PARPOOL_POSIX_ONLY
#endif
#define GROUP "shared_doze_pipe"
#include "../src/doze.c" /* NOLINT: these are linked instead of the library's */

#include "test_shared_doze.c" /* NOLINT */
