// Writing beside the file, then renaming.
#include "inference/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_beside(const char *path, char **partial, struct sl_error *error)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return sl_error_set(error, -EINVAL, "%s: not a regular file", path);
    if (asprintf(partial, "%s.partial-XXXXXX", path) < 0) {
        *partial = NULL;
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    const int fd = mkostemp(*partial, O_CLOEXEC);
    if (fd >= 0)
        return fd;
    const int status = sl_error_set(error, -errno, "%s: %s", path, strerror(errno));
    free(*partial);
    *partial = NULL;
    return status;
}

int atomic_file_check(const char *path, struct sl_error *error)
{
    char *partial;
    const int fd = open_beside(path, &partial, error);
    if (fd < 0)
        return fd;
    close(fd);
    unlink(partial);
    free(partial);
    return 0;
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        size -= (size_t)n;
    }
    return fchmod(fd, 0644) == 0 && fsync(fd) == 0 ? 0 : -errno;
}

int atomic_file_write(const char *path, const void *bytes, size_t size, struct sl_error *error)
{
    char *partial;
    const int fd = open_beside(path, &partial, error);
    if (fd < 0)
        return fd;
    int status = write_all(fd, bytes, size);
    if (close(fd) != 0 && status == 0)
        status = -errno;
    if (status == 0 && rename(partial, path) != 0)
        status = -errno;
    if (status < 0) {
        unlink(partial);
        sl_error_set(error, status, "%s: %s", path, strerror(-status));
    }
    free(partial);
    return status;
}
