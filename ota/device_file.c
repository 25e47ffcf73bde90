// A file or block device as storage, read around the page cache.
#include "ota/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sl_device_file *file_of(struct sl_ota_device *device)
{
    return (struct sl_device_file *)(void *)((char *)device -
                                             offsetof(struct sl_device_file, device));
}

static int read_fully(int fd, uint64_t offset, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = pread(fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

// Through the window, in aligned pieces of whole pages.
static int read_direct(struct sl_device_file *file, uint64_t offset, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        uint64_t start = offset & ~UINT64_C(4095);
        size_t skip = (size_t)(offset - start);
        size_t length = size < SL_DEVICE_WINDOW - skip ? size : SL_DEVICE_WINDOW - skip;
        ssize_t n;
        do
            n = pread(file->direct, file->window, (skip + length + 4095) & ~(size_t)4095,
                      (off_t)start);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return -errno;
        if ((size_t)n < skip + length)
            return -EIO;
        memcpy(bytes, file->window + skip, length);
        bytes += length;
        offset += length;
        size -= length;
    }
    return 0;
}

static int flush(struct sl_ota_device *device)
{
    struct sl_device_file *file = file_of(device);
    if (file->dirty && fsync(file->fd) != 0)
        return -errno;
    file->dirty = false;
    return 0;
}

static int read_around_cache(struct sl_ota_device *device, uint64_t offset, void *bytes,
                             size_t size)
{
    struct sl_device_file *file = file_of(device);
    // Pages that were not written back yet would be served from the cache.
    int status = flush(device);
    if (status < 0)
        return status;
    if (file->direct >= 0) {
        status = read_direct(file, offset, bytes, size);
        if (status != -EINVAL && status != -EOPNOTSUPP)
            return status;
        close(file->direct);
        file->direct = -1;
    }
    posix_fadvise(file->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
    return read_fully(file->fd, offset, bytes, size);
}

static int write_fully(struct sl_ota_device *device, uint64_t offset, const void *from, size_t size)
{
    struct sl_device_file *file = file_of(device);
    const uint8_t *bytes = from;
    file->dirty = true;
    while (size > 0) {
        ssize_t n = pwrite(file->fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

static const struct sl_ota_device_ops file_ops = {read_around_cache, write_fully, flush};

static int find_size(int fd, uint64_t *size)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (S_ISBLK(st.st_mode))
        return ioctl(fd, BLKGETSIZE64, size) == 0 ? 0 : -errno;
    if (!S_ISREG(st.st_mode))
        return -ENOTSUP;
    *size = (uint64_t)st.st_size;
    return 0;
}

int sl_device_file_open(struct sl_device_file *file, const char *path, bool writable)
{
    uint64_t size = 0;
    // Nonblocking, so that a pipe in the place of a slot cannot hold the agent.
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int status = find_size(fd, &size);
    if (status == 0 && writable && flock(fd, LOCK_EX | LOCK_NB) != 0)
        status = -errno;
    if (status < 0) {
        close(fd);
        return status;
    }
    file->device = (struct sl_ota_device){&file_ops, size};
    file->fd = fd;
    file->direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
    file->dirty = writable; // what an earlier process left in the cache
    return 0;
}

void sl_device_file_close(struct sl_device_file *file)
{
    if (file->direct >= 0)
        close(file->direct);
    if (file->fd >= 0)
        close(file->fd);
    file->fd = file->direct = -1;
}
