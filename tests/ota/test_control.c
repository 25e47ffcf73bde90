// The control socket's messages: what is not one, and which descriptors are taken.
#include "ota/control.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct sl_control_message sent, found;
static int ends[2];

static int set_up(void **unused)
{
    (void)unused;
    memset(&sent, 0, sizeof(sent));
    memset(&found, 0, sizeof(found));
    sent.version = SL_CONTROL_VERSION;
    sent.verb = SL_CONTROL_SHADOW;
    sent.n_components = 2;
    strcpy(sent.components[1].name, "model.onnx");
    sent.components[1].length = 4096;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int tear_down(void **unused)
{
    (void)unused;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int memory(int seals)
{
    const int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(fd, 8192), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void a_message_arrives_with_its_descriptor(void **unused)
{
    (void)unused;
    int fd = -1;
    const int seals = memory(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    assert_int_equal(sl_control_send(ends[0], &sent, seals), 0);
    assert_int_equal(sl_control_receive(ends[1], &found, &fd, 0), 0);
    assert_true(fd >= 0 && fd != seals);
    assert_int_equal(found.verb, SL_CONTROL_SHADOW);
    assert_string_equal(found.components[1].name, "model.onnx");
    assert_int_equal(sl_control_check(fd, &found), 0);
    close(fd);
    close(seals);
    assert_int_equal(sl_control_receive(ends[1], &found, &fd, MSG_DONTWAIT), -EAGAIN);
}

static void what_could_change_or_is_outside_is_refused(void **unused)
{
    (void)unused;
    const int seals[] = {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_WRITE | F_SEAL_GROW};
    for (size_t i = 0; i < 4; i++) {
        const int fd = memory(seals[i]);
        assert_int_equal(sl_control_check(fd, &sent), -EPERM);
        close(fd);
    }
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(sl_control_check(file, &sent), -EPERM);
    assert_int_equal(sl_control_check(-1, &sent), -EPERM);
    close(file);
    const int fd = memory(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    sent.components[1].offset = 4097;
    assert_int_equal(sl_control_check(fd, &sent), -ERANGE);
    sent.components[1].offset = UINT64_MAX;
    assert_int_equal(sl_control_check(fd, &sent), -ERANGE);
    sent.components[1] = (struct sl_control_component){.offset = 1, .length = UINT64_MAX};
    assert_int_equal(sl_control_check(fd, &sent), -ERANGE);
    sent.n_components = 0;
    assert_int_equal(sl_control_check(fd, &sent), -ERANGE);
    close(fd);
}

static void refuse(size_t size)
{
    int fd = -1;
    assert_int_equal(send(ends[0], &sent, size, 0), (ssize_t)size);
    assert_int_equal(sl_control_receive(ends[1], &found, &fd, 0), -EPROTO);
    assert_int_equal(fd, -1);
}

static void what_is_not_a_message_is_refused(void **unused)
{
    (void)unused;
    const size_t head = offsetof(struct sl_control_message, components);
    const size_t whole = head + 2 * sizeof(sent.components[0]);
    refuse(1);
    refuse(head - 1);
    refuse(whole - 1);
    refuse(whole + 1);
    refuse(head);
    sent.n_components = SL_CONTROL_COMPONENTS + 1;
    refuse(sizeof(sent));
    sent.n_components = UINT32_MAX;
    refuse(whole);
    sent.n_components = 2;
    sent.version++;
    refuse(whole);
    sent.version--;
    sent.verb = 0;
    refuse(whole);
    sent.verb = SL_CONTROL_VERBS;
    refuse(whole);
    sent.verb = SL_CONTROL_SWAP;
    memset(sent.text, 'x', sizeof(sent.text));
    refuse(whole);
    sent.text[0] = '\0';
    memset(sent.components[0].name, 'x', sizeof(sent.components[0].name));
    refuse(whole);
    sent.components[0].name[3] = '\0';
    int fd = -1;
    assert_int_equal(sl_control_send(ends[0], &sent, -1), 0);
    assert_int_equal(sl_control_receive(ends[1], &found, &fd, 0), 0);
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void two_descriptors_are_refused_and_not_kept(void **unused)
{
    (void)unused;
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } u = {.align = {.cmsg_level = SOL_SOCKET,
                     .cmsg_type = SCM_RIGHTS,
                     .cmsg_len = CMSG_LEN(2 * sizeof(int))}};
    struct iovec part = {&sent, offsetof(struct sl_control_message, components)};
    const struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)};
    const int before = descriptors();
    int fd = -1;
    sent.n_components = 0;
    memcpy(CMSG_DATA(&u.align), (int[]){ends[0], ends[1]}, 2 * sizeof(int));
    assert_true(sendmsg(ends[0], &m, 0) > 0);
    assert_int_equal(sl_control_receive(ends[1], &found, &fd, 0), -EPROTO);
    assert_int_equal(fd, -1);
    assert_int_equal(descriptors(), before);
}

static void the_end_is_told(void **unused)
{
    (void)unused;
    int fd = -1;
    sent.n_components = SL_CONTROL_COMPONENTS + 1;
    assert_int_equal(sl_control_send(ends[0], &sent, -1), -EMSGSIZE);
    sent.n_components = 0;
    shutdown(ends[0], SHUT_RDWR);
    assert_int_equal(sl_control_receive(ends[1], &found, &fd, 0), -EPIPE);
    assert_int_equal(sl_control_send(ends[1], &sent, -1), -EPIPE);
}

static void a_socket_takes_the_place_of_a_socket_and_of_nothing_else(void **unused)
{
    (void)unused;
    char folder[] = "/tmp/sl-control-XXXXXX", path[64], long_path[200];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(sl_control_connect(path), -ENOENT);
    assert_int_equal(sl_control_listen(long_path, NULL), -ENAMETOOLONG);
    const int first = sl_control_listen(path, NULL), second = sl_control_listen(path, NULL);
    assert_true(first >= 0 && second >= 0);
    const int client = sl_control_connect(path), server = sl_control_accept(second, NULL);
    assert_true(client >= 0 && server >= 0);
    close(client);
    close(server);
    close(first);
    close(second);
    unlink(path);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(sl_control_listen(path, NULL), -EEXIST);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_message_arrives_with_its_descriptor),
        CASE(what_could_change_or_is_outside_is_refused),
        CASE(what_is_not_a_message_is_refused),
        CASE(two_descriptors_are_refused_and_not_kept),
        CASE(the_end_is_told),
        CASE(a_socket_takes_the_place_of_a_socket_and_of_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
