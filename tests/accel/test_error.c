// The error type: bounded, prefixed, cut at characters.
#include "accel/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_set_formats_and_returns_status(void **state)
{
    (void)state;
    struct sl_error error = {""};
    assert_int_equal(sl_error_set(&error, -EINVAL, "key '%s': %d", "width", 3), -EINVAL);
    assert_string_equal(error.message, "key 'width': 3");
}

static void test_prefix_grows_the_message(void **state)
{
    (void)state;
    struct sl_error error = {""};
    sl_error_set(&error, -EIO, "no memory");
    assert_int_equal(sl_error_prefix(&error, -ENOMEM, "node '%s'", "c1"), -ENOMEM);
    sl_error_prefix(&error, -ENOMEM, "model");
    assert_string_equal(error.message, "model: node 'c1': no memory");
}

static void test_null_is_accepted(void **state)
{
    (void)state;
    assert_int_equal(sl_error_set(NULL, -EINVAL, "x"), -EINVAL);
    assert_int_equal(sl_error_prefix(NULL, -EIO, "x"), -EIO);
}

static void test_long_messages_are_cut(void **state)
{
    (void)state;
    struct sl_error error;
    char text[2 * SL_ERROR_MAX];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    sl_error_set(&error, -EINVAL, "%s", text);
    assert_int_equal(strlen(error.message), SL_ERROR_MAX - 1);
    sl_error_prefix(&error, -EINVAL, "%s", text);
    assert_int_equal(strlen(error.message), SL_ERROR_MAX - 1);
}

// Two-, three- and four-byte characters at every offset around the end.
static void test_cut_keeps_characters_whole(void **state)
{
    (void)state;
    static const char *const characters[] = {"ü", "…", "😀"};
    for (size_t c = 0; c < 3; c++)
        for (size_t lead = 0; lead < 5; lead++) {
            struct sl_error error;
            char text[2 * SL_ERROR_MAX] = "";
            memset(text, 'a', lead);
            text[lead] = '\0';
            while (strlen(text) < SL_ERROR_MAX + 10)
                strcat(text, characters[c]);
            sl_error_set(&error, -EINVAL, "%s", text);
            size_t length = strlen(error.message), width = strlen(characters[c]);
            assert_int_equal((length - lead) % width, 0);
            assert_true(length + width >= SL_ERROR_MAX);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_formats_and_returns_status),
        cmocka_unit_test(test_prefix_grows_the_message),
        cmocka_unit_test(test_null_is_accepted),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_cut_keeps_characters_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
