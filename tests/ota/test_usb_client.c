// The agent's side of the stick reader: good sticks, changing and vanishing ones, and readers that
// die, hang, lie or leave their sandbox.
#include "ota/usb/client.h"
#include "ota/usb/listen.h"
#include "usb_image.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define READER SL_BUILD_DIR "/sightline-stick"
#define ROGUE  SL_BUILD_DIR "/tests/ota/usb_rogue"

enum { BIG = 1200003, SMALL = 700, BIG_CLUSTER = 3, SMALL_CLUSTER = 4000, WAIT_MS = 20000 };

static char path[] = "/tmp/sightline-stick-XXXXXX";
static uint8_t image[USB_IMAGE_BYTES];
static uint8_t bytes[BIG];
static struct sl_volume_error error;

static void write_file(const void *data, size_t length, off_t at)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, length, at), length);
    close(fd);
}

static int make_image(void **state)
{
    (void)state;
    usb_image_format(image);
    usb_image_add(image, 0, "MODEL   SLB", BIG_CLUSTER, BIG, 1);
    usb_image_add(image, 1, "SMALL   SLC", SMALL_CLUSTER, SMALL, 2);
    usb_image_add(image, 2, "OTHER   TXT", SMALL_CLUSTER + 10, 5, 3);
    usb_image_add(image, 3, "EMPTY   SLB", 0, 0, 4);
    assert_int_equal(truncate(path, 0), 0);
    write_file(image, sizeof(image), 0);
    return 0;
}

static struct sl_stick *spawn(const char *program, const char *device, int timeout_ms)
{
    struct sl_stick *stick = NULL;
    assert_int_equal(sl_stick_spawn(program, device, timeout_ms, &stick, &error), 0);
    return stick;
}

static const struct sl_stick_listing *list(struct sl_stick *stick)
{
    const struct sl_stick_listing *listing = NULL;
    if (sl_stick_list(stick, &listing, &error) != 0)
        fail_msg("%s", error.text);
    return listing;
}

static void assert_content(unsigned seed, uint32_t at, size_t length)
{
    for (uint32_t i = 0; i < length; i++)
        if (bytes[i] != usb_image_byte(seed, at + i))
            fail_msg("byte %u: expected %02x, found %02x", at + i, usb_image_byte(seed, at + i),
                     bytes[i]);
}

static void assert_says(const char *words)
{
    if (!strstr(error.text, words))
        fail_msg("expected '%s' in '%s'", words, error.text);
}

static void test_lists_and_reads(void **state)
{
    (void)state;
    struct sl_stick *stick = spawn(READER, path, WAIT_MS);
    const struct sl_stick_listing *listing = list(stick);
    assert_int_equal(listing->kind, SL_VOLUME_FAT16);
    assert_int_equal(listing->count, 3);
    assert_string_equal(listing->files[0].name, "MODEL.SLB");
    assert_int_equal(listing->files[0].length, BIG);
    assert_string_equal(listing->files[1].name, "SMALL.SLC");
    assert_string_equal(listing->files[2].name, "EMPTY.SLB");
    assert_int_equal(listing->device_length, USB_IMAGE_BYTES);
    assert_int_equal(sl_stick_read(stick, 0, 0, bytes, BIG, &error), 0);
    assert_content(1, 0, BIG);
    assert_int_equal(sl_stick_read(stick, 0, 262143, bytes, 3, &error), 0);
    assert_content(1, 262143, 3);
    assert_int_equal(sl_stick_read(stick, 0, BIG - 1, bytes, 1, &error), 0);
    assert_content(1, BIG - 1, 1);
    assert_int_equal(sl_stick_read(stick, 1, 0, bytes, SMALL, &error), 0);
    assert_content(2, 0, SMALL);
    assert_int_equal(sl_stick_read(stick, 2, 0, bytes, 0, &error), 0);
    assert_ptr_equal(list(stick), listing);
    sl_stick_close(stick);
}

static void test_refuses_ranges(void **state)
{
    (void)state;
    struct sl_stick *stick = spawn(READER, path, WAIT_MS);
    assert_int_equal(sl_stick_read(stick, 0, 0, bytes, 1, &error), -EINVAL); // not listed yet
    list(stick);
    assert_int_equal(sl_stick_read(stick, 3, 0, bytes, 1, &error), -EINVAL);
    assert_int_equal(sl_stick_read(stick, 1, SMALL, bytes, 1, &error), -EINVAL);
    assert_int_equal(sl_stick_read(stick, 1, UINT64_MAX, bytes, 1, &error), -EINVAL);
    assert_int_equal(sl_stick_read(stick, 1, 1, bytes, SIZE_MAX, &error), -EINVAL);
    assert_int_equal(sl_stick_read(stick, 1, 0, bytes, SMALL, NULL), 0);
    sl_stick_close(stick);
    sl_stick_close(NULL);
}

static void test_damaged_file_leaves_the_others(void **state)
{
    (void)state;
    write_file("\0", 2, USB_IMAGE_FAT_AT + 2 * (BIG_CLUSTER + 9));
    struct sl_stick *stick = spawn(READER, path, WAIT_MS);
    list(stick);
    assert_int_equal(sl_stick_read(stick, 0, 0, bytes, 100, &error), -EBADMSG);
    assert_says("after cluster 12");
    assert_int_equal(sl_stick_read(stick, 1, 0, bytes, SMALL, &error), 0);
    assert_content(2, 0, SMALL);
    sl_stick_close(stick);
}

static void test_changed_data(void **state)
{
    (void)state;
    struct sl_stick *stick = spawn(READER, path, WAIT_MS);
    list(stick);
    assert_int_equal(sl_stick_read(stick, 0, 0, bytes, BIG, &error), 0);
    const uint8_t other = (uint8_t)~usb_image_byte(1, 300000);
    write_file(&other, 1, (off_t)usb_image_cluster_at(BIG_CLUSTER) + 300000);
    assert_int_equal(sl_stick_read(stick, 0, 0, bytes, 262144, &error), 0);
    assert_int_equal(sl_stick_read(stick, 0, 262144, bytes, 10, &error), -ESTALE);
    assert_says("changed while the stick was read");
    assert_int_equal(sl_stick_read(stick, 1, 0, bytes, 1, &error), -ESTALE); // it is over
    sl_stick_close(stick);
}

static void test_changed_listing(void **state)
{
    (void)state;
    const struct sl_stick_listing *listing;
    struct sl_stick *stick = spawn(READER, path, WAIT_MS);
    list(stick);
    write_file("N", 1, USB_IMAGE_HOME_AT);
    assert_int_equal(sl_stick_list(stick, &listing, &error), -ESTALE);
    assert_says("files changed");
    sl_stick_close(stick);
}

// The device shrinks at `length` after so many pieces; then it is whole again.
static void test_pulled_out(void **state)
{
    (void)state;
    static const off_t lengths[] = {0,     1, 512, USB_IMAGE_ROOT_AT, USB_IMAGE_HEAP_AT + 70000,
                                    400000};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const struct sl_stick_listing *listing;
        struct sl_stick *stick = spawn(READER, path, WAIT_MS);
        list(stick);
        assert_int_equal(truncate(path, lengths[i]), 0);
        assert_int_equal(sl_stick_read(stick, 0, 0, bytes, BIG, &error), -EIO);
        assert_says("byte ");
        if (lengths[i] < USB_IMAGE_HEAP_AT)
            assert_int_equal(sl_stick_list(stick, &listing, &error), -EIO);
        make_image(NULL);
        list(stick);
        assert_int_equal(sl_stick_read(stick, 0, 0, bytes, BIG, &error), 0);
        sl_stick_close(stick);
        stick = spawn(READER, path, WAIT_MS);
        list(stick);
        assert_int_equal(sl_stick_read(stick, 0, 0, bytes, BIG, &error), 0);
        assert_content(1, 0, BIG);
        sl_stick_close(stick);
    }
}

static void test_no_stick(void **state)
{
    (void)state;
    static const char *const devices[] = {"/nonexistent/sdz", "/dev/null", "/tmp", ""};
    const struct sl_stick_listing *listing;
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        struct sl_stick *stick = spawn(READER, devices[i], WAIT_MS);
        assert_int_equal(sl_stick_list(stick, &listing, &error), -EPIPE);
        assert_says("it ended with status 1");
        sl_stick_close(stick);
    }
    assert_int_equal(truncate(path, 0), 0);
    struct sl_stick *stick = spawn(READER, path, WAIT_MS);
    assert_int_equal(sl_stick_list(stick, &listing, &error), -EPIPE);
    sl_stick_close(stick);
    stick = NULL;
    assert_int_equal(sl_stick_spawn("/nonexistent/reader", path, WAIT_MS, &stick, &error), -ENOENT);
    assert_null(stick);
}

static void test_not_a_file_system(void **state)
{
    (void)state;
    const struct sl_stick_listing *listing;
    write_file("\0\0", 2, 510);
    struct sl_stick *stick = spawn(READER, path, WAIT_MS);
    assert_int_equal(sl_stick_list(stick, &listing, &error), -ENOTSUP);
    assert_says("byte 510: first sector: expected the mark 55 aa");
    assert_int_equal(sl_stick_read(stick, 0, 0, bytes, 1, &error), -EINVAL);
    sl_stick_close(stick);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_rogues(void **state)
{
    (void)state;
    static const struct {
        const char *mode;
        int status;
        const char *words;
    } rows[] = {
        {"wrong_serial", -EPROTO, "not to this request"},
        {"wrong_magic", -EPROTO, "not to this request"},
        {"too_long", -EPROTO, "found 398361"},
        {"longest", -EPROTO, "found 4294967295"},
        {"too_short", -EPROTO, "found 3"},
        {"unknown_status", -EPROTO, "unknown status"},
        {"long_message", -EPROTO, "message of 512 bytes"},
        {"dirty_message", -EIO, "bad??[2J?ä"},
        {"cut_reply", -EPIPE, "it ended with status 0"},
        {"stalled_reply", -ETIMEDOUT, "no answer within"},
        {"unknown_kind", -EPROTO, "kind of file system 9"},
        {"no_kind", -EPROTO, "kind of file system 0"},
        {"strange_mark", -EPROTO, "mark 2"},
        {"too_many_files", -EPROTO, "number of files 513"},
        {"missing_file", -EPROTO, "end at byte"},
        {"bytes_after", -EPROTO, "bytes after its end"},
        {"name_overrun", -EPROTO, "length of a name 700"},
        {"name_path", -EPROTO, "name at byte"},
        {"name_control", -EPROTO, "name at byte"},
        {"name_zero", -EPROTO, "name at byte"},
        {"name_not_utf8", -EPROTO, "name at byte"},
        {"name_overlong", -EPROTO, "name at byte"},
        {"name_other", -EPROTO, "name at byte"},
        {"name_empty", -EPROTO, "length of a name 0"},
        {"dies", -EPIPE, "it ended with status 7"},
        {"crashes", -EPIPE, "it was ended by signal 11"},
        {"hangs", -ETIMEDOUT, "no answer within"},
        {"spins", -ETIMEDOUT, "no answer within"},
        {"calls_open", -EPIPE, "it was ended by signal 31"},
        {"calls_socket", -EPIPE, "it was ended by signal 31"},
        {"calls_fork", -EPIPE, "it was ended by signal 31"},
        {"calls_execve", -EPIPE, "it was ended by signal 31"},
        {"calls_mmap", -EPIPE, "it was ended by signal 31"},
        {"calls_kill", -EPIPE, "it was ended by signal 31"},
        {"calls_ptrace", -EPIPE, "it was ended by signal 31"},
        {"calls_ioctl", -EPIPE, "it was ended by signal 31"},
        {"writes_device", -EPIPE, "it was ended by signal 31"},
        {"writes_elsewhere", -EPIPE, "it was ended by signal 31"},
        {"reads_elsewhere", -EPIPE, "it was ended by signal 31"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct sl_stick_listing *listing;
        const int limit = rows[i].status == -ETIMEDOUT ? 300 : WAIT_MS;
        const int64_t begin = now_ms();
        struct sl_stick *stick = spawn(ROGUE, rows[i].mode, limit);
        const int status = sl_stick_list(stick, &listing, &error);
        if (status != rows[i].status || !strstr(error.text, rows[i].words))
            fail_msg("%s: expected %d '%s', found %d '%s'", rows[i].mode, rows[i].status,
                     rows[i].words, status, error.text);
        if (status != -EIO)
            assert_int_equal(sl_stick_list(stick, &listing, NULL), status); // it stays over
        sl_stick_close(stick);
        assert_true(now_ms() - begin < WAIT_MS);
    }
}

static void test_a_rogue_may_do_what_is_allowed(void **state)
{
    (void)state;
    struct sl_stick *stick = spawn(ROGUE, "stays_within", WAIT_MS);
    assert_int_equal(list(stick)->count, 1);
    sl_stick_close(stick);
}

static void test_adopted_connection(void **state)
{
    (void)state;
    const struct sl_stick_listing *listing;
    struct sl_stick *stick = NULL;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(sl_stick_adopt(ends[0], 100, &stick, &error), 0);
    assert_int_equal(sl_stick_list(stick, &listing, &error), -ETIMEDOUT);
    sl_stick_close(stick);
    close(ends[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(sl_stick_adopt(ends[0], 100, &stick, &error), 0);
    close(ends[1]);
    assert_int_equal(sl_stick_list(stick, &listing, &error), -EPIPE);
    assert_says("closed the connection");
    sl_stick_close(stick);
}

static void test_offered_over_a_socket(void **state)
{
    (void)state;
    char at[sizeof(path) + 8];
    struct sl_stick *stick = NULL;
    uid_t user = 12345;
    snprintf(at, sizeof(at), "%s.sock", path);
    int listener = sl_stick_listen(at, &error);
    assert_true(listener >= 0);
    assert_int_equal(sl_stick_accept(listener, WAIT_MS, &stick, &user, &error), -EAGAIN);
    close(listener);
    listener = sl_stick_listen(at, &error); // over the old one
    assert_true(listener >= 0);
    const pid_t child = fork();
    if (child == 0) {
        execl(READER, READER, "--connect", at, path, NULL);
        _exit(127);
    }
    struct pollfd wait = {listener, POLLIN, 0};
    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    assert_int_equal(sl_stick_accept(listener, WAIT_MS, &stick, &user, &error), 0);
    assert_int_equal(user, getuid()); // of the time when it connected
    assert_int_equal(list(stick)->count, 3);
    assert_int_equal(sl_stick_read(stick, 1, 0, bytes, SMALL, &error), 0);
    assert_content(2, 0, SMALL);
    sl_stick_close(stick);
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    close(listener);
    unlink(at);
}

static void test_refuses_places_to_listen(void **state)
{
    (void)state;
    char longest[200];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(sl_stick_listen(path, &error), -EEXIST); // a file is not replaced
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(sl_stick_listen(longest, &error), -ENAMETOOLONG);
    assert_int_equal(sl_stick_listen("/nonexistent/sock", &error), -ENOENT);
    assert_says("socket '/nonexistent/sock'");
}

// The service manager's socket is taken by its name among others, and only when it is for us.
static void test_passed_socket(void **state)
{
    (void)state;
    char pid[24];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(dup2(fd, 40), 40);
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "38", 1);
    char names[64] = "";
    memset(names, ':', 37);
    strcpy(names + 37, "stick");
    setenv("LISTEN_FDNAMES", names, 1);
    assert_int_equal(sl_stick_listen("/nonexistent/sock", &error), 40);
    setenv("LISTEN_FDS", "37", 1);
    assert_int_equal(sl_stick_listen("/nonexistent/sock", &error), -ENOENT);
    setenv("LISTEN_FDS", "38", 1);
    setenv("LISTEN_PID", "1", 1);
    assert_int_equal(sl_stick_listen("/nonexistent/sock", &error), -ENOENT);
    unsetenv("LISTEN_PID");
    close(40);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lists_and_reads, make_image),
        cmocka_unit_test_setup(test_refuses_ranges, make_image),
        cmocka_unit_test_setup(test_damaged_file_leaves_the_others, make_image),
        cmocka_unit_test_setup(test_changed_data, make_image),
        cmocka_unit_test_setup(test_changed_listing, make_image),
        cmocka_unit_test_setup(test_pulled_out, make_image),
        cmocka_unit_test_setup(test_no_stick, make_image),
        cmocka_unit_test_setup(test_not_a_file_system, make_image),
        cmocka_unit_test(test_rogues),
        cmocka_unit_test(test_a_rogue_may_do_what_is_allowed),
        cmocka_unit_test(test_adopted_connection),
        cmocka_unit_test_setup(test_offered_over_a_socket, make_image),
        cmocka_unit_test_setup(test_refuses_places_to_listen, make_image),
        cmocka_unit_test(test_passed_socket),
    };
    const int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    fchmod(fd, 0644);
    close(fd);
    const int failures = cmocka_run_group_tests_name("usb_client", tests, NULL, NULL);
    unlink(path);
    return failures;
}
