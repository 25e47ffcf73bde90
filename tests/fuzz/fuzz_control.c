// Fuzz target: bytes are messages on the socket between agent, daemon and self-test, with
// descriptors that do or do not belong there.
#include "ota/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { HEAD = offsetof(struct sl_control_message, components), DESCRIPTORS = 5 };

static struct sl_control_message message, received;
static int memory = -1;

// A sealed memfd of a page, which the messages' components are about.
static void make_memory(void)
{
    memory = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0 || ftruncate(memory, 4096) < 0 ||
        fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        abort();
}

static void send_raw(int socket, const void *octets, size_t size, unsigned descriptors)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } ancillary = {.align = {0}};
    struct iovec part = {(void *)(uintptr_t)octets, size};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptors > 0) {
        m.msg_control = ancillary.room;
        m.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        for (unsigned i = 0; i < descriptors; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &memory, sizeof(int));
    }
    sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// What was taken is what a reader may rely on.
static void check_received(int fd)
{
    if (received.verb == 0 || received.verb >= SL_CONTROL_VERBS ||
        received.n_components > SL_CONTROL_COMPONENTS ||
        strlen(received.text) >= sizeof(received.text))
        abort();
    for (uint32_t i = 0; i < received.n_components; i++)
        if (strlen(received.components[i].name) >= sizeof(received.components[i].name))
            abort();
    if (sl_control_check(fd, &received) != 0)
        return;
    for (uint32_t i = 0; i < received.n_components; i++)
        if (received.components[i].offset > 4096 || received.components[i].length > 4096)
            abort();
}

static void receive_all(int socket)
{
    int fd = -1, status;
    while ((status = sl_control_receive(socket, &received, &fd, MSG_DONTWAIT)) == 0 ||
           status == -EPROTO) {
        if (status != 0)
            continue;
        check_received(fd);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
}

// A message that is right but for what the input says: octets are laid over it.
static size_t make_message(const uint8_t *bytes, size_t size)
{
    memset(&message, 0, sizeof(message));
    message.version = SL_CONTROL_VERSION;
    message.verb = bytes[1];
    message.n_components = bytes[2] % 8;
    for (uint32_t i = 0; i < message.n_components; i++)
        message.components[i].length = bytes[3] * 64u;
    const size_t whole = HEAD + message.n_components * sizeof(message.components[0]);
    for (size_t i = 4; i + 4 <= size; i += 4)
        ((uint8_t *)&message)[(bytes[i] | (size_t)bytes[i + 1] << 8) % whole] = bytes[i + 2];
    return bytes[0] & 8 ? whole - bytes[3] % whole : whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int pair[2];
    if (memory < 0)
        make_memory();
    if (size < 4)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    if (bytes[0] & 16)
        send_raw(pair[0], bytes + 1, size - 1, bytes[0] % 8 % (DESCRIPTORS + 1));
    else
        send_raw(pair[0], &message, make_message(bytes, size), bytes[0] % 8 % (DESCRIPTORS + 1));
    close(pair[0]);
    receive_all(pair[1]);
    close(pair[1]);
    const int next = dup(memory);
    if (next != pair[0])
        abort(); // a descriptor was not closed
    close(next);
    return 0;
}
