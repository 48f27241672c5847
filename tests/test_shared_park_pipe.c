/* The tests of test_shared_park.c for the code of systems without a futex, also where there is one. */
#define GROUP "shared_park_pipe"
#define FUTEX 0
#include "../src/shared/park_pipe.c" /* NOLINT: these are linked instead of the library's */

#include "test_shared_park.c" /* NOLINT */
