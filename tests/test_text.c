/* Text from tasks, made fit for one line. */
#include "base/text.h"

#include "support.h"

#define ROOM 32

static void expect(const char *text, size_t size, const char *expected) {
    char from[ROOM] = "", to[ROOM];
    assert_true(size <= ROOM);
    memcpy(from, text, size);
    memset(to, 'x', sizeof to);
    pp_text_readable(to, from, ROOM);
    if (strcmp(to, expected)) print_error("\"%s\" instead of \"%s\"\n", to, expected);
    assert_int_equal(strcmp(to, expected), 0);
}

#define BECOMES(text, expected) expect(text, sizeof(text) - 1, expected)

TEST_CASE(printable_text_stays) {
    BECOMES("", "");
    BECOMES("no header in a\\b.txt ~", "no header in a\\b.txt ~");
    BECOMES("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
}

TEST_CASE(what_is_not_printable_becomes_visible) {
    BECOMES("a\nb\r\tc", "a\\nb\\r\\tc");
    BECOMES("\x1b[31mred\x07\x7f", "\\x1b[31mred\\a\\x7f");
    BECOMES("\xc2\x9b" "1m", "\\xc2\\x9b" "1m");          /* a control character of Latin 1 */
    BECOMES("\xe2\x80\xa8\xe2\x80\xae", "\\xe2\\x80\\xa8\\xe2\\x80\\xae"); /* ends a line; turns the writing around */
}

TEST_CASE(what_is_not_utf_8_becomes_visible) {
    BECOMES("\xff\xe4 \x80", "\\xff\\xe4 \\x80");
    BECOMES("\xc0\xaf \xe0\x80\xaf", "\\xc0\\xaf \\xe0\\x80\\xaf"); /* longer than need be */
    BECOMES("\xed\xa0\x80", "\\xed\\xa0\\x80");                     /* a surrogate */
    BECOMES("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");            /* beyond the last */
    BECOMES("\xe2\x82", "\\xe2\\x82");
}

TEST_CASE(what_does_not_fit_is_cut_between_characters) {
    BECOMES("0123456789012345678901234567890", "0123456789012345678901234567890");
    BECOMES("01234567890123456789012345678\xe2\x82", "01234567890123456789012345678"); /* cut when it was written */
    BECOMES("0123456789012345678901234567\n\n", "0123456789012345678901234567\\n");
    BECOMES("01234567890123456789012345678901", "0123456789012345678901234567890"); /* it has no end */
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(printable_text_stays),
        TEST(what_is_not_printable_becomes_visible),
        TEST(what_is_not_utf_8_becomes_visible),
        TEST(what_does_not_fit_is_cut_between_characters),
    };
    return run_group("text", tests, COUNT(tests), argc, argv);
}
