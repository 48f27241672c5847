/* Huge pages: which memory is taken in them, that it keeps its bytes, and the case that the kernel refuses. */
#include "support.h"

#include <sys/mman.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "shared/pages.h"
#include "base/copy.h"
#include "base/sys.h"

enum { PAGE = 4096, HUGE = (int)PP_HUGE_PAGE, HUGE_PAGES = 4 };

static atomic_bool refused;

/* Returns how many pages of these bytes are present; -1: the kernel does not say. */
static int count_there(char *begin, size_t size) {
    int count = 0;
#if LINUX
    static unsigned char there[HUGE_PAGES * HUGE / PAGE];
    if (sysconf(_SC_PAGESIZE) != PAGE || mincore(begin, size, there)) return -1;
    for (size_t i = 0; i < size / PAGE; i++) count += there[i] & 1;
#else
    (void)begin, (void)size;
#endif
    return count;
}

/* Whether huge pages can be taken here: the block is aligned to them, and the system has memory for some. */
static bool may_take_some(const char *block) {
    size_t left = pp_memory_left("");
    return LINUX && (uintptr_t)block % HUGE == 0 && left != SIZE_MAX && left / 32 > HUGE_PAGES * HUGE;
}

TEST_CASE(huge_pages_are_taken_whole_and_keep_their_bytes) {
    char *block = pp_map_shared(HUGE_PAGES * HUGE);
    assert_non_null(block);
    for (size_t i = HUGE + 5; i < HUGE + 100 * PAGE; i += 3 * PAGE) block[i] = (char)(i / PAGE);
    refused = false;
    pp_pages_take(&refused, (struct pp_huge_pages){block + HUGE, 2 * HUGE});
    if (may_take_some(block) && !refused) {
        assert_any_of(count_there(block, HUGE), 0, -1);
        assert_any_of(count_there(block + 3 * HUGE, HUGE), 0, -1);
        assert_any_of(count_there(block + 2 * HUGE, HUGE), HUGE / PAGE, -1);
    }
    pid_t child = fork();
    if (child == 0) {
        bool same = true;
        for (size_t i = HUGE + 5; i < HUGE + 100 * PAGE; i += 3 * PAGE) same &= block[i] == (char)(i / PAGE);
        block[2 * HUGE] = 7;
        _exit(!same);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(block[2 * HUGE], 7);
    assert_int_equal(block[HUGE], 0);
    pp_unmap(block, HUGE_PAGES * HUGE);
}

TEST_CASE(the_first_huge_page_of_a_region_is_taken_once_it_is_used_a_little_and_others_when_they_are_begun) {
    enum { SMALL = (int)PP_PAGES_SMALL };
    static const struct {
        size_t from, upto, begin, size; /* the memory that is used; the huge pages to take */
    } cases[] = {
        {0, 100, 0, 0},
        {SMALL - 64, SMALL, 0, 0},
        {SMALL - 64, SMALL + 64, 0, HUGE},
        {SMALL, SMALL + 64, 0, HUGE},
        {0, HUGE - 1, 0, HUGE},
        {SMALL + 64, HUGE, 0, 0}, /* the first was taken before, or page faults were paid for most of it */
        {HUGE - 64, HUGE + 64, HUGE, HUGE},
        {HUGE, HUGE + 1, HUGE, HUGE},
        {HUGE + 1, 2 * HUGE, 0, 0},
        {2 * HUGE, 3 * HUGE, 2 * HUGE, HUGE},
        {0, HUGE, 0, HUGE},
        {0, HUGE + 1, 0, 2 * HUGE},
        {1, 3 * HUGE, 0, 3 * HUGE},
        {HUGE + PAGE, 3 * HUGE - PAGE, 2 * HUGE, HUGE},
        {3 * HUGE - 64, 3 * HUGE + 64, 0, 0}, /* it is not wholly in the region */
        {2 * HUGE, 3 * HUGE + 64, 2 * HUGE, HUGE},
    };
    char *block = pp_map_shared(HUGE_PAGES * HUGE);
    assert_non_null(block);
    struct pp_region region = {.base = block, .size = 3 * HUGE + HUGE / 2};
    for (size_t c = 0; (uintptr_t)block % HUGE == 0 && c < COUNT(cases); c++) {
        struct pp_huge_pages pages = pp_pages_begun(region, block + cases[c].from, block + cases[c].upto);
        assert_int_equal(pages.size, cases[c].size);
        if (pages.size) assert_ptr_equal(pages.begin, block + cases[c].begin);
    }
    pp_unmap(block, HUGE_PAGES * HUGE);
}

TEST_CASE(huge_pages_that_are_too_much_of_what_is_left_are_not_taken) {
    char *block = pp_map_shared(HUGE_PAGES * HUGE);
    assert_non_null(block);
    bool can = may_take_some(block);
    pp_unmap(block, HUGE_PAGES * HUGE);
    size_t size = pp_memory_left("") / 2 / HUGE * HUGE;
    char *much = can ? pp_map_shared(size) : NULL;
    if (!much) return;
    refused = false;
    pp_pages_take(&refused, (struct pp_huge_pages){much, size});
    assert_any_of(count_there(much, HUGE_PAGES * HUGE), 0, -1);
    assert_false(refused);
    pp_unmap(much, size);
}

TEST_CASE(huge_pages_are_not_tried_again_after_a_refusal) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *block = pp_map_shared(HUGE_PAGES * HUGE);
    assert_non_null(block);
    bool can = may_take_some(block);
    refused = true;
    pp_pages_take(&refused, (struct pp_huge_pages){block, HUGE_PAGES * HUGE});
    assert_any_of(count_there(block, HUGE_PAGES * HUGE), 0, -1);
    pp_unmap(block, HUGE_PAGES * HUGE);
    if (!can) return;
    /* Memory that is not aligned to huge pages can have none. */
    char *askew = mmap(block + page, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON | MAP_FIXED, -1, 0);
    assert_ptr_equal(askew, block + page);
    refused = false;
    pp_pages_take(&refused, (struct pp_huge_pages){block + HUGE, HUGE});
    assert_true(refused);
    assert_any_of(count_there(block + HUGE, HUGE), 1, -1); /* the page touched in order to try */
    munmap(askew, 3 * HUGE);
}

/* A copy within the target, whose first pages were touched and whose other pages were not. */
static void check_copy(const char *from, size_t offset, size_t size, size_t touched) {
    size_t room = size + 3 * HUGE;
    char *block = pp_map_private(room + HUGE);
    assert_non_null(block);
    char *to = block + (HUGE - (uintptr_t)block % HUGE) % HUGE;
    memset(to, 1, touched);
    if (count_there(to, PAGE) == 1) {
        assert_false(pp_is_untouched(to));
        assert_true(pp_is_untouched(to + (touched + HUGE - 1) / HUGE * HUGE));
    }
    pp_copy(to + offset, from + offset % 7, size);
    assert_memory_equal(to + offset, from + offset % 7, size);
    for (size_t i = 0; i < offset; i++) assert_int_equal(to[i], i < touched);
    assert_int_equal(to[offset + size], offset + size < touched);
    assert_int_equal(to[room - 1], 0);
    pp_unmap(block, room + HUGE);
}

TEST_CASE(large_copies_are_whole_wherever_they_begin_and_whatever_was_touched) {
    enum { MOST = 10 * HUGE + 100 };
    static const size_t sizes[] = {0, 1, HUGE - 1, HUGE, 3 * HUGE + 77, 8 * HUGE - 1, 8 * HUGE, MOST - 7};
    char *from = pp_map_private(MOST);
    assert_non_null(from);
    for (size_t i = 0; i < MOST; i++) from[i] = (char)(i * 7 + i / 4099);
    for (size_t s = 0; s < COUNT(sizes); s++)
        for (size_t offset = 0; offset < 200; offset += 61) check_copy(from, offset, sizes[s], (size_t)PAGE << s);
#ifdef PR_SET_THP_DISABLE
    assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0); /* the kernel refuses huge pages */
    check_copy(from, 3, MOST - 7, PAGE);
    assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
#endif
    pp_unmap(from, MOST);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(huge_pages_are_taken_whole_and_keep_their_bytes),
        TEST(the_first_huge_page_of_a_region_is_taken_once_it_is_used_a_little_and_others_when_they_are_begun),
        TEST(huge_pages_that_are_too_much_of_what_is_left_are_not_taken),
        TEST(huge_pages_are_not_tried_again_after_a_refusal),
        TEST(large_copies_are_whole_wherever_they_begin_and_whatever_was_touched),
    };
    return run_group("pages", tests, COUNT(tests), argc, argv);
}
