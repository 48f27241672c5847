/* The same as test_shared_park.c with the way of systems without a futex, whatever this system has. */
#define GROUP "shared_park_pipe"
#define FUTEX 0
#include "../src/shared/park_pipe.c" /* NOLINT: these are linked instead of the library's */

#include "test_shared_park.c" /* NOLINT */
