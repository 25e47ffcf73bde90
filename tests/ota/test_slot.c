// Slots: the superblock is there only over the whole bundle. And files as devices.
#include "device_sim.h"

#include "ota/sha256.h"

#include "ota/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <sodium.h>

enum { HEAD = 4096 + 512, CHUNK = 1000, CHUNKS = 5, PAYLOAD = 4 * CHUNK + 300 };

static uint8_t bundle[HEAD + PAYLOAD], room[4096];
static struct sim_power power;
static struct sim_device slot;
static struct sl_slot_writer writer;
static struct sl_slot_image image = {bundle, HEAD, CHUNK, PAYLOAD, bundle + 4096};

static size_t length_of(unsigned chunk)
{
    return chunk + 1 < CHUNKS ? CHUNK : PAYLOAD - (CHUNKS - 1) * CHUNK;
}

static int set_up(void **state)
{
    (void)state;
    power = (struct sim_power){.random = 5};
    for (size_t i = 0; i < sizeof bundle; i++)
        bundle[i] = (uint8_t)sim_random(&power);
    for (unsigned i = 0; i < CHUNKS; i++)
        sl_sha256(bundle + 4096 + i * 32, bundle + HEAD + i * CHUNK, length_of(i));
    sim_device_init(&slot, &power, SIM_MAX, false);
    memset(slot.cache, 0xAA, sizeof slot.cache);
    return sl_slot_begin(&writer, &slot.device, &image, room, sizeof room);
}

static void put(unsigned chunk)
{
    assert_int_equal(sl_slot_put(&writer, chunk, bundle + HEAD + chunk * CHUNK, length_of(chunk)),
                     0);
}

static void put_all(void)
{
    for (unsigned i = CHUNKS; i-- > 0;)
        put(i);
}

static bool has_superblock(void)
{
    return memcmp(slot.cache, bundle, SL_SLOT_SUPERBLOCK) == 0;
}

static void a_slot_is_the_bundle(void **unused)
{
    (void)unused;
    put_all();
    assert_false(has_superblock());
    assert_int_equal(sl_slot_finish(&writer), 0);
    assert_memory_equal(slot.medium, bundle, sizeof bundle);
}

static void begin_takes_the_superblock_away(void **unused)
{
    (void)unused;
    put_all();
    assert_int_equal(sl_slot_finish(&writer), 0);
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &image, room, sizeof room), 0);
    assert_false(has_superblock());
    assert_int_equal(slot.medium[0] | slot.medium[4095], 0);
}

static void a_fetch_goes_on_where_it_was(void **unused)
{
    (void)unused;
    put(1);
    put(4);
    slot.cache[HEAD + CHUNK] ^= 1;
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &image, room, sizeof room), 0);
    assert_false(sl_slot_has(&writer, 1));
    assert_true(sl_slot_has(&writer, 4));
    assert_false(sl_slot_has(&writer, CHUNKS));
}

static void a_wrong_chunk_is_not_written(void **unused)
{
    (void)unused;
    uint8_t wrong[CHUNK];
    memcpy(wrong, bundle + HEAD, CHUNK);
    wrong[CHUNK - 1] ^= 1;
    assert_int_equal(sl_slot_put(&writer, 0, wrong, CHUNK), -EBADMSG);
    assert_int_equal(slot.cache[HEAD], 0xAA);
    assert_int_equal(sl_slot_put(&writer, 1, bundle + HEAD, CHUNK), -EBADMSG);
    assert_int_equal(sl_slot_put(&writer, 0, bundle + HEAD, CHUNK - 1), -EINVAL);
    assert_int_equal(sl_slot_put(&writer, CHUNKS, bundle + HEAD, CHUNK), -EINVAL);
}

static void a_missing_chunk_keeps_the_superblock_off(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < CHUNKS - 1; i++)
        put(i);
    assert_int_equal(sl_slot_finish(&writer), -EAGAIN);
    assert_false(has_superblock());
}

static void what_does_not_come_back_is_fetched_again(void **unused)
{
    (void)unused;
    put_all();
    slot.cache[HEAD + 2 * CHUNK + 17] ^= 4;
    assert_int_equal(sl_slot_finish(&writer), -EAGAIN);
    assert_false(has_superblock());
    assert_false(sl_slot_has(&writer, 2));
    put(2);
    assert_int_equal(sl_slot_finish(&writer), 0);
}

static void sections_that_do_not_come_back_are_refused(void **unused)
{
    (void)unused;
    put_all();
    slot.cache[4096 + 500] ^= 4;
    assert_int_equal(sl_slot_finish(&writer), -EBADMSG);
    assert_false(has_superblock());
}

static void a_superblock_that_does_not_come_back_is_taken_off(void **unused)
{
    (void)unused;
    put_all();
    slot.flip_in = 1;
    assert_int_equal(sl_slot_finish(&writer), -EBADMSG);
    assert_int_equal(slot.medium[0] | slot.medium[4095], 0);
}

static void impossible_images_are_refused(void **unused)
{
    (void)unused;
    struct sl_slot_image bad = image;
    bad.head_size = 4095;
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &bad, room, sizeof room), -EINVAL);
    bad = image;
    bad.chunk_size = 0;
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &bad, room, sizeof room), -EINVAL);
    bad = image;
    bad.payload = 0;
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &bad, room, sizeof room), -EINVAL);
    bad = image;
    bad.payload = UINT64_MAX;
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &bad, room, sizeof room), -EINVAL);
    bad = image;
    bad.payload = SIM_MAX - HEAD + 1;
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &bad, room, sizeof room), -ENOSPC);
    assert_int_equal(sl_slot_begin(&writer, &slot.device, &image, room, 4095), -ENOSPC);
    assert_int_equal(slot.medium[0], 0); // nothing was written but by the first begin
}

static void nothing_reaches_beyond_the_device(void **unused)
{
    (void)unused;
    uint8_t byte = 0;
    assert_int_equal(sl_device_read(&slot.device, SIM_MAX, &byte, 1), -ERANGE);
    assert_int_equal(sl_device_write(&slot.device, UINT64_MAX, &byte, 1), -ERANGE);
    assert_int_equal(sl_device_write(&slot.device, 0, &byte, SIM_MAX + 1), -ERANGE);
    assert_int_equal(sl_device_read(&slot.device, SIM_MAX - 1, &byte, 1), 0);
}

static void a_file_is_a_slot(void **unused)
{
    (void)unused;
    static struct sl_device_file file, second;
    char path[] = "/tmp/sl-slot-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIM_MAX + 100), 0);
    close(fd);
    assert_int_equal(sl_device_file_open(&file, path, true), 0);
    assert_int_equal(file.device.size, SIM_MAX + 100);
    assert_int_equal(sl_device_file_open(&second, path, true), -EWOULDBLOCK);
    assert_int_equal(sl_slot_begin(&writer, &file.device, &image, room, sizeof room), 0);
    put_all();
    assert_int_equal(sl_slot_finish(&writer), 0);
    sl_device_file_close(&file);

    uint8_t found[sizeof bundle];
    assert_int_equal(sl_device_file_open(&file, path, false), 0);
    assert_int_equal(sl_device_read(&file.device, 0, found, sizeof found), 0);
    assert_memory_equal(found, bundle, sizeof bundle);
    assert_int_equal(sl_device_read(&file.device, 4097, found, sizeof found - 4097), 0);
    assert_memory_equal(found, bundle + 4097, sizeof bundle - 4097);
    assert_int_equal(sl_device_read(&file.device, SIM_MAX + 1, found, 99), 0);
    assert_int_equal(sl_device_write(&file.device, 0, found, 1), -EBADF);
    // Somebody cuts the file short.
    assert_int_equal(truncate(path, 8192), 0);
    assert_int_equal(sl_device_read(&file.device, 8000, found, 400), -EIO);
    sl_device_file_close(&file);
    unlink(path);
}

static void what_is_no_file_is_refused(void **unused)
{
    (void)unused;
    static struct sl_device_file file;
    char path[] = "/tmp/sl-pipe-XXXXXX";
    assert_non_null(mkdtemp(path));
    assert_int_equal(sl_device_file_open(&file, path, false), -ENOTSUP);
    assert_int_equal(sl_device_file_open(&file, path, true), -EISDIR);
    rmdir(path);
    assert_int_equal(sl_device_file_open(&file, path, false), -ENOENT);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sl_device_file_open(&file, path, false), -ENOTSUP);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_slot_is_the_bundle, set_up),
        cmocka_unit_test_setup(begin_takes_the_superblock_away, set_up),
        cmocka_unit_test_setup(a_fetch_goes_on_where_it_was, set_up),
        cmocka_unit_test_setup(a_wrong_chunk_is_not_written, set_up),
        cmocka_unit_test_setup(a_missing_chunk_keeps_the_superblock_off, set_up),
        cmocka_unit_test_setup(what_does_not_come_back_is_fetched_again, set_up),
        cmocka_unit_test_setup(sections_that_do_not_come_back_are_refused, set_up),
        cmocka_unit_test_setup(a_superblock_that_does_not_come_back_is_taken_off, set_up),
        cmocka_unit_test_setup(impossible_images_are_refused, set_up),
        cmocka_unit_test_setup(nothing_reaches_beyond_the_device, set_up),
        cmocka_unit_test_setup(a_file_is_a_slot, set_up),
        cmocka_unit_test_setup(what_is_no_file_is_refused, set_up),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
