// Sending and receiving messages with a descriptor.
#include "accel/isolated/message.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHORT offsetof(struct iso_message, text)

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

int iso_send(int socket, const struct iso_message *message, int fd)
{
    const size_t text = strnlen(message->text, sizeof(message->text) - 1);
    union constless {
        const struct iso_message *in;
        void *out;
    } base = {.in = message};
    struct iovec part = {base.out, SHORT + text};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    union control control;
    memset(&control, 0, sizeof(control));
    if (fd >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    ssize_t sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : 0;
}

static int descriptor(struct msghdr *header)
{
    int fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

int iso_receive(int socket, struct iso_message *message, int *fd, int flags)
{
    struct iovec part = {message, sizeof(*message) - 1};
    union control control;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
    *fd = -1;
    if (got < 0)
        return -errno;
    *fd = descriptor(&header);
    if (got == 0)
        return -ENOTCONN;
    if ((size_t)got < SHORT || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return -EPROTO;
    }
    message->text[(size_t)got - SHORT] = '\0';
    return 0;
}
