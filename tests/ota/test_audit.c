// The audit log's chain: what is written is read, and what was changed is seen.
#include "ota/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/dev/shm/sl-audit-XXXXXX";
static struct sl_audit audit;
static struct sl_audit_check check;

static int set_up(void **unused)
{
    (void)unused;
    strcpy(path, "/dev/shm/sl-audit-XXXXXX");
    close(mkstemp(path));
    return sl_audit_open(&audit, path, true);
}

static int tear_down(void **unused)
{
    (void)unused;
    sl_audit_close(&audit);
    return unlink(path);
}

static void write_some(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(sl_audit_add(&audit, "event %u", i), 0);
}

static void open_again(void)
{
    sl_audit_close(&audit);
    assert_int_equal(sl_audit_open(&audit, path, true), 0);
}

static uint64_t broken(void)
{
    open_again();
    assert_int_equal(sl_audit_read(&audit, NULL, NULL, &check), 0);
    return check.broken;
}

static void spoil(uint64_t record, unsigned at)
{
    uint8_t octet;
    const off_t place = (off_t)(record * SL_AUDIT_RECORD + at);
    assert_int_equal(pread(audit.fd, &octet, 1, place), 1);
    octet ^= 1;
    assert_int_equal(pwrite(audit.fd, &octet, 1, place), 1);
}

static void note(void *ctx, const struct sl_audit_entry *entry)
{
    struct sl_audit_entry *last = ctx;
    assert_true(last->sequence == 0 || entry->sequence == last->sequence + 1);
    *last = *entry;
}

static void what_is_written_is_read_in_order(void **unused)
{
    (void)unused;
    struct sl_audit_entry last = {0};
    assert_int_equal(broken(), 0);
    assert_int_equal(check.last, 0);
    write_some(3);
    open_again();
    write_some(2);
    assert_int_equal(sl_audit_read(&audit, note, &last, &check), 0);
    assert_int_equal(check.first, 1);
    assert_int_equal(check.last, 5);
    assert_int_equal(check.broken, 0);
    assert_string_equal(last.text, "event 1");
}

static void the_ring_goes_round(void **unused)
{
    (void)unused;
    write_some(SL_AUDIT_RECORDS + 7);
    assert_int_equal(broken(), 0);
    assert_int_equal(check.first, 8);
    assert_int_equal(check.last, SL_AUDIT_RECORDS + 7);
}

static void every_change_is_seen(void **unused)
{
    (void)unused;
    static const unsigned places[] = {0, 8, 16, 24, 32, 63, 64, 200, 480, 511};
    write_some(9);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        spoil(4, places[i]);
        assert_true(broken() > 0);
        spoil(4, places[i]);
        assert_int_equal(broken(), 0);
    }
}

static void a_record_that_is_left_out_or_moved_is_seen(void **unused)
{
    (void)unused;
    uint8_t record[SL_AUDIT_RECORD], zeros[SL_AUDIT_RECORD] = {0};
    write_some(9);
    assert_int_equal(pread(audit.fd, record, sizeof(record), 4 * SL_AUDIT_RECORD), 512);
    assert_int_equal(pwrite(audit.fd, zeros, sizeof(zeros), 4 * SL_AUDIT_RECORD), 512);
    assert_true(broken() > 0);
    assert_int_equal(pwrite(audit.fd, record, sizeof(record), 5 * SL_AUDIT_RECORD), 512);
    assert_true(broken() > 0);
}

static void a_record_torn_by_a_power_cut_is_begun_anew(void **unused)
{
    (void)unused;
    write_some(4);
    spoil(3, 500);
    assert_int_equal(broken(), 0);
    assert_int_equal(check.last, 3);
    write_some(1);
    assert_int_equal(broken(), 0);
    assert_int_equal(check.last, 4);
}

static void long_texts_are_cut_and_places_that_cannot_be_are_refused(void **unused)
{
    (void)unused;
    struct sl_audit other;
    struct sl_audit_entry last = {0};
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(sl_audit_add(&audit, "%s", text), 0);
    assert_int_equal(sl_audit_read(&audit, note, &last, &check), 0);
    assert_int_equal(strlen(last.text), SL_AUDIT_TEXT - 1);
    assert_int_equal(sl_audit_open(&other, "/nowhere/audit", true), -ENOENT);
    assert_int_equal(sl_audit_add(&other, "x"), -EBADF);
    assert_int_equal(sl_audit_open(&other, path, false), 0);
    assert_int_equal(sl_audit_add(&other, "x"), -EIO);
    sl_audit_close(&other);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(what_is_written_is_read_in_order),
        CASE(the_ring_goes_round),
        CASE(every_change_is_seen),
        CASE(a_record_that_is_left_out_or_moved_is_seen),
        CASE(a_record_torn_by_a_power_cut_is_begun_anew),
        CASE(long_texts_are_cut_and_places_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
