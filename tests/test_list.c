/* The list keeps the order in which items were added, and any item can be removed at any time. */
#include "support.h"

#include "base/list.h"

enum { ITEMS = 8 };

static struct item {
    int number; /* so that the link is not where the item begins */
    struct pp_link link;
} items[ITEMS];

static struct pp_list list;

static void start_over(void) {
    memset(items, 0, sizeof items);
    memset(&list, 0, sizeof list);
    for (int i = 0; i < ITEMS; i++) items[i].number = i;
}

/* Checks that the list holds exactly these items, forwards and backwards. */
static void assert_list(const int *numbers, size_t count) {
    size_t at = 0;
    assert_int_equal(pp_list_is_empty(&list), count == 0);
    PP_LIST_EACH(item, &list, struct item, link) {
        assert_true(at < count);
        assert_int_equal(item->number, numbers[at++]);
    }
    assert_int_equal(at, count);
    const struct item *last = PP_LIST_LAST(&list, struct item, link);
    while (at > 0) {
        assert_int_equal(last->number, numbers[--at]);
        last = PP_ITEM(last->link.prev, struct item, link);
    }
}

TEST_CASE(a_list_of_zeros_is_empty) {
    start_over();
    assert_true(pp_list_is_empty(&list));
    assert_null(PP_LIST_FIRST(&list, struct item, link));
    PP_LIST_EACH(item, &list, struct item, link) assert_null(item);
}

TEST_CASE(items_can_be_added_at_both_ends) {
    start_over();
    pp_list_add_back(&list, &items[0].link);
    assert_list((int[]){0}, 1);
    pp_list_add_back(&list, &items[1].link);
    pp_list_add_front(&list, &items[2].link);
    assert_list((int[]){2, 0, 1}, 3);
    pp_list_add_back(&list, &items[3].link);
    pp_list_add_front(&list, &items[4].link);
    assert_list((int[]){4, 2, 0, 1, 3}, 5);
    assert_int_equal(PP_LIST_FIRST(&list, struct item, link)->number, 4);
}

TEST_CASE(an_item_can_be_added_in_front_of_none) {
    start_over();
    pp_list_add_front(&list, &items[5].link);
    pp_list_add_front(&list, &items[6].link);
    assert_list((int[]){6, 5}, 2);
}

TEST_CASE(a_link_tells_whether_its_item_is_on_a_list) {
    start_over();
    assert_false(pp_link_is_on(&items[0].link));
    for (int i = 0; i < 3; i++) pp_list_add_back(&list, &items[i].link);
    for (int i = 0; i < 3; i++) assert_true(pp_link_is_on(&items[i].link));
    for (int i = 0; i < 3; i++) {
        pp_list_remove(&list, &items[i].link);
        assert_false(pp_link_is_on(&items[i].link));
    }
    assert_true(pp_list_is_empty(&list));
}

TEST_CASE(a_loop_may_remove_the_item_that_it_is_at) {
    for (int removed = 0; removed < 1 << ITEMS; removed++) {
        int left[ITEMS], seen = 0;
        size_t count = 0;
        start_over();
        for (int i = 0; i < ITEMS; i++) pp_list_add_back(&list, &items[i].link);
        PP_LIST_EACH(item, &list, struct item, link) {
            assert_int_equal(item->number, seen++);
            if (removed >> item->number & 1) pp_list_remove(&list, &item->link);
            else left[count++] = item->number;
        }
        assert_int_equal(seen, ITEMS);
        assert_list(left, count);
    }
}

TEST_CASE(a_head_may_be_moved) {
    start_over();
    for (int i = 0; i < 3; i++) pp_list_add_back(&list, &items[i].link);
    struct pp_list moved = list;
    memset(&list, 0xff, sizeof list);
    pp_list_remove(&moved, &items[0].link);
    pp_list_add_back(&moved, &items[4].link);
    list = moved;
    assert_list((int[]){1, 2, 4}, 3);
}

/* The model is an array of the numbers, in order. */
TEST_CASE(any_sequence_of_changes_leaves_what_it_leaves_in_an_array) {
    int model[ITEMS];
    size_t count = 0;
    uint64_t random = 1;
    start_over();
    for (size_t step = 0; step < scaled(200000); step++) {
        random = scramble(random);
        int number = (int)(random % ITEMS);
        size_t at = 0;
        while (at < count && model[at] != number) at++;
        if (at < count) {
            pp_list_remove(&list, &items[number].link);
            memmove(model + at, model + at + 1, (--count - at) * sizeof *model);
        } else if (random >> 32 & 1) {
            pp_list_add_back(&list, &items[number].link);
            model[count++] = number;
        } else {
            pp_list_add_front(&list, &items[number].link);
            memmove(model + 1, model, count++ * sizeof *model);
            model[0] = number;
        }
        assert_list(model, count);
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_list_of_zeros_is_empty),
        TEST(items_can_be_added_at_both_ends),
        TEST(an_item_can_be_added_in_front_of_none),
        TEST(a_link_tells_whether_its_item_is_on_a_list),
        TEST(a_loop_may_remove_the_item_that_it_is_at),
        TEST(a_head_may_be_moved),
        TEST(any_sequence_of_changes_leaves_what_it_leaves_in_an_array),
    };
    return run_group("list", tests, COUNT(tests), argc, argv);
}
