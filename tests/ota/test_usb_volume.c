// The volume reader over a device that fails at any read, answers differently the next time, or
// ends anywhere; and the rules for names.
#include "ota/usb/bytes.h"
#include "ota/usb/volume_impl.h"
#include "usb_image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MODEL = 70001, SMALL = 700, FIRST = 3, SMALL_FIRST = 2000 };

static struct sl_volume volume;
static struct sl_volume_error error;
static uint8_t image[USB_IMAGE_BYTES], other[USB_IMAGE_BYTES], bytes[MODEL];

// The device of these tests: read number `fail_from` and the `fail_count` after it fail; from read
// number `change_at` on, `other` stands in its place.
static struct {
    unsigned long reads, fail_from, fail_count, change_at;
    uint64_t length;
} device;

static int read_at(void *context, uint64_t offset, void *out, size_t length)
{
    (void)context;
    assert_true(offset <= device.length && length <= device.length - offset);
    const unsigned long number = device.reads++;
    if (number >= device.fail_from && number - device.fail_from < device.fail_count)
        return -EIO;
    memcpy(out, (number >= device.change_at ? other : image) + offset, length);
    return 0;
}

static struct sl_volume_source source(void)
{
    return (struct sl_volume_source){read_at, NULL, device.length};
}

static int prepare(void **state)
{
    (void)state;
    usb_image_format(image);
    usb_image_add(image, 0, "MODEL   SLB", FIRST, MODEL, 1);
    usb_image_add(image, 1, "SMALL   SLC", SMALL_FIRST, SMALL, 2);
    memcpy(other, image, sizeof(other));
    memset(&device, 0, sizeof(device));
    device.length = USB_IMAGE_BYTES;
    device.change_at = device.fail_from = ~0UL;
    return 0;
}

// Everything an agent does: lists, reads both files.
static int all(void)
{
    const struct sl_volume_source from = source();
    int status = sl_volume_open(&volume, &from, &error);
    for (uint32_t i = 0; status == 0 && i < volume.count; i++) {
        const uint64_t length = volume.entries[i].length;
        if (length > sizeof(bytes))
            return -EBADMSG; // another stick
        status = sl_volume_read(&volume, i, 0, bytes, (size_t)length, &error);
        if (status == 0 && volume.count == 2 && length > 0 && device.change_at == ~0UL)
            for (uint32_t k = 0; k < length; k++)
                assert_int_equal(bytes[k], usb_image_byte(i + 1, k));
    }
    return status;
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    assert_int_equal(all(), 0);
    assert_int_equal(volume.kind, SL_VOLUME_FAT16);
    assert_int_equal(volume.count, 2);
    assert_true(device.reads < 40); // clusters in a row are one read
}

static void test_every_read_fails_once_and_for_ever(void **state)
{
    (void)state;
    assert_int_equal(all(), 0);
    const unsigned long needed = device.reads;
    for (unsigned long n = 0; n < needed; n++) {
        for (unsigned long count = 1; count != 0; count = count == 1 ? ~0UL : 0) {
            device.reads = 0;
            device.fail_from = n;
            device.fail_count = count;
            assert_int_equal(all(), -EIO);
            assert_non_null(strstr(error.text, "the device did not give"));
            assert_int_equal(strncmp(error.text, "byte ", 5), 0);
        }
        device.fail_count = 0;
        assert_int_equal(all(), 0);
    }
}

// At every read the rest may become another stick: a longer chain, a shorter one, none, noise.
static void test_changes_at_every_read(void **state)
{
    (void)state;
    unsigned refused = 0;
    assert_int_equal(all(), 0);
    const unsigned long needed = device.reads;
    for (unsigned kind = 0; kind < 5; kind++) {
        memcpy(other, image, sizeof(other));
        if (kind == 0)
            memset(other + USB_IMAGE_FAT_AT, 0, USB_IMAGE_FAT_SECTORS * 512);
        if (kind == 1)
            for (unsigned i = 0; i < USB_IMAGE_FAT_SECTORS * 256; i++)
                sl_put16(other + USB_IMAGE_FAT_AT + 2 * i, FIRST);
        if (kind == 2)
            sl_put32(other + USB_IMAGE_HOME_AT + 28, UINT32_MAX);
        if (kind == 3)
            memset(other, 0xFF, sizeof(other));
        if (kind == 4)
            for (uint32_t i = 0; i < sizeof(other); i++)
                other[i] = usb_image_byte(9, i);
        for (unsigned long n = 0; n < needed; n++) {
            device.reads = 0;
            device.change_at = n;
            const int status = all();
            assert_true(status == 0 || status == -EBADMSG || status == -ENOTSUP ||
                        status == -ENOENT);
            refused += status != 0;
        }
    }
    assert_true(refused > 10);
}

static void test_a_device_that_ends_anywhere(void **state)
{
    (void)state;
    for (uint64_t length = 0; length < USB_IMAGE_BYTES; length += length < 20000 ? 97 : 65521) {
        device.length = length;
        const struct sl_volume_source from = source();
        const int status = sl_volume_open(&volume, &from, &error);
        assert_true(status == -EBADMSG || status == -ENOTSUP);
    }
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        uint64_t offset;
        size_t length;
    } rows[] = {
        {2, 0, 0},          {UINT32_MAX, 0, 0},       {0, MODEL + 1, 0}, {0, MODEL, 1},
        {0, UINT64_MAX, 1}, {0, 1, SIZE_MAX},         {1, 0, SMALL + 1}, {1, SMALL, SIZE_MAX},
        {0, 0, MODEL + 1},  {0, UINT64_MAX, SIZE_MAX}};
    assert_int_equal(all(), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(
            sl_volume_read(&volume, rows[i].index, rows[i].offset, bytes, rows[i].length, &error),
            -EINVAL);
    assert_int_equal(sl_volume_read(&volume, 0, MODEL, bytes, 0, &error), 0);
    for (uint32_t at = 0; at < MODEL - 3; at += 509) { // over every border of clusters
        assert_int_equal(sl_volume_read(&volume, 0, at, bytes, 3, NULL), 0);
        for (uint32_t k = 0; k < 3; k++)
            assert_int_equal(bytes[k], usb_image_byte(1, at + k));
    }
}

static void test_errors_need_no_buffer(void **state)
{
    (void)state;
    const struct sl_volume_source from = source();
    image[510] = 0;
    assert_int_equal(sl_volume_open(&volume, &from, NULL), -ENOTSUP);
    image[510] = 0x55;
    image[13] = 3;
    assert_int_equal(sl_volume_open(&volume, &from, NULL), -EBADMSG);
}

static void test_names_from_utf16(void **state)
{
    (void)state;
    static const struct {
        uint16_t units[4];
        unsigned count;
        const char *name; // NULL: refused
    } rows[] = {
        {{'a', '.', 'b'}, 3, "a.b"},
        {{0xE4, 0x20AC}, 2, "\xC3\xA4\xE2\x82\xAC"},
        {{0xD83D, 0xDE42}, 2, "\xF0\x9F\x99\x82"},
        {{0xDBFF, 0xDFFD}, 2, "\xF4\x8F\xBF\xBD"},
        {{'a', 0xD83D}, 2, NULL},
        {{0xD83D, 'a'}, 2, NULL},
        {{0xDE42, 'a'}, 2, NULL},
        {{0xD83D, 0xD83D}, 2, NULL},
        {{'a', 0}, 2, NULL},
        {{'a', '/', 'b'}, 3, NULL},
        {{'a', '\\', 'b'}, 3, NULL},
        {{'a', ':', 'b'}, 3, NULL},
        {{'a', 0x1F}, 2, NULL},
        {{'a', 0x7F}, 2, NULL},
        {{'a', 0x85}, 2, NULL},
        {{'a', 0x202E, 'b'}, 3, NULL},
        {{'a', 0xFEFF}, 2, NULL},
        {{0}, 0, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[SL_VOLUME_NAME_SIZE];
        assert_int_equal(sl_name_from_utf16(rows[i].units, rows[i].count, name),
                         rows[i].name != NULL);
        if (rows[i].name) {
            assert_string_equal(name, rows[i].name);
            assert_true(sl_name_is_sound(name, strlen(name)));
        }
    }
    uint16_t longest[256];
    char name[SL_VOLUME_NAME_SIZE];
    for (unsigned i = 0; i < 256; i++)
        longest[i] = 0x20AC;
    assert_true(sl_name_from_utf16(longest, 255, name));
    assert_int_equal(strlen(name), 765);
    assert_false(sl_name_from_utf16(longest, 256, name));
}

static void test_unsound_utf8(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "\x80",
                                       "\xC3",
                                       "\xC3(",
                                       "\xC0\xAF",
                                       "\xE0\x80\xAF",
                                       "\xED\xA0\x80",
                                       "\xF0\x80\x80\x80",
                                       "\xF4\x90\x80\x80",
                                       "\xF8\x88\x80\x80\x80",
                                       "\xFF",
                                       "a/b",
                                       "a\nb",
                                       "\xC2\x85",
                                       "\xE2\x80\xAE"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_false(sl_name_is_sound(rows[i], strlen(rows[i])));
    char text[] = "a\n\xC3\xA4\xFF/\xE2\x80\xAE.";
    sl_name_clean(text, strlen(text));
    assert_string_equal(text, "a?\xC3\xA4?/???.");
}

static void test_wanted_names(void **state)
{
    (void)state;
    static const char *const wanted[] = {"a.slb", "A.SLB", "b.Slc", "a.b.slb", "a .slb"};
    static const char *const others[] = {"",       "slb",     ".slb",   "a.sl",  "a.slbx",
                                         "a.slb ", "._a.slb", ".a.slb", "a_slb", "a.slb.txt"};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_true(sl_name_is_wanted(wanted[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(sl_name_is_wanted(others[i]));
    assert_true(sl_name_is_directory("SightLine"));
    assert_false(sl_name_is_directory("SIGHTLIN"));
    assert_false(sl_name_is_directory("SIGHTLINES"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reads_what_was_written, prepare),
        cmocka_unit_test_setup(test_every_read_fails_once_and_for_ever, prepare),
        cmocka_unit_test_setup(test_changes_at_every_read, prepare),
        cmocka_unit_test_setup(test_a_device_that_ends_anywhere, prepare),
        cmocka_unit_test_setup(test_ranges, prepare),
        cmocka_unit_test_setup(test_errors_need_no_buffer, prepare),
        cmocka_unit_test(test_names_from_utf16),
        cmocka_unit_test(test_unsound_utf8),
        cmocka_unit_test(test_wanted_names),
    };
    return cmocka_run_group_tests_name("usb_volume", tests, NULL, NULL);
}
