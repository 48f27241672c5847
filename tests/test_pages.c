/* Pages that a worker maps before it writes to them: which, how often, and what happens where that cannot be. */
#include "support.h"

#include <sys/mman.h>

#include "pages.h"
#include "sys.h"

#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
#define LINUX 1
#else
#define LINUX 0
#endif

enum { GRANULES = 8, PAGE = 4096, PAGES = GRANULES * (int)PP_GRANULE / PAGE };

static struct pp_shared memory;
static struct pp_pages pages;

static void begin(void) {
    memory = (struct pp_shared){.size = GRANULES * PP_GRANULE};
    memory.base = pp_map_shared(memory.size);
    assert_non_null(memory.base);
    pages = (struct pp_pages){.shared = &memory};
}

static void end(void) {
    if (pages.asked) pp_unmap(pages.asked, memory.size / PP_GRANULE + 1);
    if (memory.base) pp_unmap(memory.base, memory.size);
}

/* Asks for bytes [from, to) of a result that lies in [first, last). */
static void ask(size_t from, size_t to, size_t first, size_t last) {
    char *base = memory.base;
    pp_pages_map(&pages, base + from, base + to, base + first, base + last);
}

/* Whether pages [from, to) are there, and no others. */
static bool are_there(size_t from, size_t to) {
#if LINUX
    unsigned char there[PAGES];
    if (sysconf(_SC_PAGESIZE) != PAGE || mincore(memory.base, memory.size, there)) return true; /* not to be seen */
    for (size_t i = 0; i < PAGES; i++)
        if ((there[i] & 1) != (i >= from && i < to)) return false;
#else
    (void)from, (void)to;
#endif
    return true;
}

static void whole_granules_are_mapped_but_nothing_beyond_the_results(void **state) {
    (void)state;
    enum { OF_GRANULE = (int)PP_GRANULE / PAGE };
    begin();
    ask(2 * PP_GRANULE + 100, 2 * PP_GRANULE + 200, 100, memory.size);
    assert_true(are_there(2 * OF_GRANULE, 3 * OF_GRANULE));
    ask(3 * PP_GRANULE - 8, 4 * PP_GRANULE + 8, 100, 4 * PP_GRANULE + 2 * PAGE);
    assert_true(are_there(2 * OF_GRANULE, 4 * OF_GRANULE + 2));
    ask(PP_GRANULE + 3 * PAGE + 7, 2 * PP_GRANULE + 1, PP_GRANULE + 3 * PAGE + 7, memory.size);
    assert_true(are_there(OF_GRANULE + 3, 4 * OF_GRANULE + 2));
    assert_true(pages.useless == !LINUX);
    assert_true(LINUX || !pages.asked);
    end();
}

static void what_is_small_is_left_to_be_touched(void **state) {
    (void)state;
    begin();
    ask(0, PP_GRANULE / 2, 0, PP_GRANULE - 1);
    assert_true(are_there(0, 0));
    assert_null(pages.asked);
    end();
}

static void a_granule_is_asked_for_once(void **state) {
    (void)state;
    begin();
    ask(0, memory.size, 0, memory.size);
    assert_true(are_there(0, PAGES));
    if (LINUX) assert_int_equal(madvise(memory.base, memory.size, MADV_REMOVE), 0);
    ask(0, memory.size, 0, memory.size);
    if (LINUX) assert_true(are_there(0, 0));
    end();
}

static void where_the_system_refuses_it_is_not_asked_again(void **state) {
    (void)state;
    begin();
    pp_unmap(memory.base, memory.size); /* it has no memory there any more */
    ask(0, memory.size, 0, memory.size);
    assert_true(pages.useless);
    assert_null(pages.asked);
    memory.base = NULL;
    end();
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(whole_granules_are_mapped_but_nothing_beyond_the_results),
        TEST(what_is_small_is_left_to_be_touched),
        TEST(a_granule_is_asked_for_once),
        TEST(where_the_system_refuses_it_is_not_asked_again),
    };
    return run_group("pages", tests, COUNT(tests), argc, argv);
}
