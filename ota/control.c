// Messages between daemon, agent and self-test, and the socket they go over.
#include "ota/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4, HEAD = offsetof(struct sl_control_message, components) };

union ancillary {
    struct cmsghdr align;
    char room[CMSG_SPACE(4 * sizeof(int))]; // more than one is refused, but must be seen
};

static size_t size_of(uint32_t n_components)
{
    return HEAD + n_components * sizeof(struct sl_control_component);
}

int sl_control_send(int socket, const struct sl_control_message *message, int fd)
{
    union ancillary ancillary = {.align = {0}};
    if (message->n_components > SL_CONTROL_COMPONENTS)
        return -EMSGSIZE;
    struct iovec part = {(void *)(uintptr_t)message, size_of(message->n_components)};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = ancillary.room;
        m.msg_controllen = CMSG_SPACE(sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    ssize_t n;
    do
        n = sendmsg(socket, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return 0;
}

// Takes one descriptor; any further one is closed and makes the message invalid.
static bool take_descriptors(struct msghdr *m, int *fd)
{
    bool good = !(m->msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    *fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int next;
            memcpy(&next, CMSG_DATA(c) + i * sizeof(int), sizeof(next));
            if (*fd < 0) {
                *fd = next;
            } else {
                close(next);
                good = false;
            }
        }
    }
    return good;
}

static bool is_valid(const struct sl_control_message *m, size_t size)
{
    if (size < HEAD || m->version != SL_CONTROL_VERSION || m->verb == 0 ||
        m->verb >= SL_CONTROL_VERBS || m->n_components > SL_CONTROL_COMPONENTS ||
        size != size_of(m->n_components) || !memchr(m->text, 0, sizeof(m->text)))
        return false;
    for (uint32_t i = 0; i < m->n_components; i++)
        if (!memchr(m->components[i].name, 0, sizeof(m->components[i].name)))
            return false;
    return true;
}

int sl_control_receive(int socket, struct sl_control_message *message, int *fd, int flags)
{
    union ancillary ancillary;
    struct iovec part = {message, sizeof(*message)};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = ancillary.room,
                       .msg_controllen = sizeof(ancillary.room)};
    ssize_t n;
    do
        n = recvmsg(socket, &m, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 || errno == ECONNRESET ? -EPIPE : -errno;
    int found;
    if (take_descriptors(&m, &found) && is_valid(message, (size_t)n)) {
        *fd = found;
        return 0;
    }
    if (found >= 0)
        close(found);
    return -EPROTO;
}

int sl_control_check(int fd, const struct sl_control_message *message)
{
    const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    struct stat info;
    const int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &info) < 0)
        return -EPERM;
    const uint64_t size = (uint64_t)info.st_size;
    for (uint32_t i = 0; i < message->n_components; i++) {
        const struct sl_control_component *c = &message->components[i];
        if (c->offset > size || c->length > size - c->offset)
            return -ERANGE;
    }
    return message->n_components > 0 ? 0 : -ERANGE;
}

static int address_of(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(out->sun_path))
        return -ENAMETOOLONG;
    strcpy(out->sun_path, path);
    return 0;
}

// Nobody can connect before owner and mode are right, because it listens only then.
static int bind_at(int fd, const struct sockaddr_un *address, const char *group)
{
    const struct group *g = group ? getgrnam(group) : NULL;
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return -errno;
    if (g && chown(address->sun_path, (uid_t)-1, g->gr_gid) < 0)
        g = NULL; // not ours to give: the owner alone
    if (chmod(address->sun_path, g ? 0660 : 0600) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return 0;
}

int sl_control_listen(const char *path, const char *group)
{
    struct sockaddr_un address;
    struct stat old;
    int status = address_of(path, &address);
    if (status < 0)
        return status;
    if (lstat(path, &old) == 0 && (!S_ISSOCK(old.st_mode) || unlink(path) < 0))
        return -EEXIST;
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    status = bind_at(fd, &address, group);
    if (status == 0)
        return fd;
    close(fd);
    return status;
}

static bool in_group(uid_t user, gid_t own, const char *name)
{
    const struct group *g = name ? getgrnam(name) : NULL;
    const struct passwd *p = getpwuid(user);
    if (!g)
        return false;
    if (own == g->gr_gid || (p && p->pw_gid == g->gr_gid))
        return true;
    for (char **member = g->gr_mem; p && *member; member++)
        if (!strcmp(*member, p->pw_name))
            return true;
    return false;
}

int sl_control_accept(int listener, const char *group)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
        (peer.uid == 0 || peer.uid == geteuid() || in_group(peer.uid, peer.gid, group)))
        return fd;
    close(fd);
    return -EPERM;
}

int sl_control_connect(const char *path)
{
    struct sockaddr_un address;
    const int status = address_of(path, &address);
    if (status < 0)
        return status;
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    const int code = errno;
    close(fd);
    return -code;
}
