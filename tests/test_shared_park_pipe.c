/* The same as test_shared_park.c with the way of systems without a futex, whatever this system has. */
#ifndef PARPOOL_POSIX_ONLY
#define PARPOOL_POSIX_ONLY
#endif
#define GROUP "shared_park_pipe"
#include "../src/shared/park.c" /* NOLINT: these are linked instead of the library's */

#include "test_shared_park.c" /* NOLINT */
