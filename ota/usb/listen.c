// The socket at which sticks are offered.
#include "ota/usb/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_PASSED = 3, MOST_PASSED = 64, BACKLOG = 4 };

static int fail(struct sl_volume_error *error, const char *path, int code)
{
    if (error)
        snprintf(error->text, sizeof(error->text), "socket '%s': %s", path, strerror(code));
    return -code;
}

// The number of ours among the names, which colons separate; -1: not there.
static int passed_number(const char *names, int count)
{
    for (int i = 0; names && i < count; i++) {
        const size_t length = strcspn(names, ":");
        if (length == 5 && strncmp(names, "stick", 5) == 0)
            return i;
        names = names[length] ? names + length + 1 : NULL;
    }
    return -1;
}

static int passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    if (!pid || !fds || strtol(pid, NULL, 10) != getpid())
        return -1;
    const long count = strtol(fds, NULL, 10);
    if (count < 1 || count > MOST_PASSED)
        return -1;
    const int number = passed_number(getenv("LISTEN_FDNAMES"), (int)count);
    return number < 0 ? -1 : FIRST_PASSED + number;
}

static int make(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat old;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    if (lstat(path, &old) == 0 && (!S_ISSOCK(old.st_mode) || unlink(path) != 0))
        return -EEXIST;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    // The mode of the socket is set before anybody can connect.
    if (fchmod(fd, 0600) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        const int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

int sl_stick_listen(const char *path, struct sl_volume_error *error)
{
    int fd = passed();
    if (fd < 0)
        fd = make(path);
    if (fd < 0)
        return fail(error, path, -fd);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        return fail(error, path, errno);
    return fd;
}

int sl_stick_accept(int listener, int timeout_ms, struct sl_stick **out, uid_t *user,
                    struct sl_volume_error *error)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return fail(error, "sticks", errno == EWOULDBLOCK ? EAGAIN : errno);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        const int code = errno;
        close(fd);
        return fail(error, "sticks", code);
    }
    const int status = sl_stick_adopt(fd, timeout_ms, out, error);
    if (status == 0)
        *user = peer.uid;
    return status;
}
