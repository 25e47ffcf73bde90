// Files of `sightline bundle`: whole or not at all, and keys.
#include "ota/bundle/key_file.h"
#include "ota/bundle/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What is there may be replaced if it is a file, and no secret key that nobody has a copy of.
static int may_replace(const char *path)
{
    struct stat info;
    char line[sizeof(SL_KEY_LINE_SECRET)] = "";
    if (stat(path, &info) < 0)
        return 0;
    if (!S_ISREG(info.st_mode))
        return tool_fail("%s: expected a file or nothing there, found something else", path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && strcmp(line, SL_KEY_LINE_SECRET) == 0
               ? tool_fail("%s: a secret key, which is not replaced", path)
               : 0;
}

int tool_output_open(struct tool_output *out, const char *path)
{
    out->path = path;
    if (may_replace(path) != 0)
        return 1;
    if (snprintf(out->temporary, sizeof(out->temporary), "%s.XXXXXX", path) >=
        (int)sizeof(out->temporary))
        return tool_fail("%s: name too long", path);
    out->fd = mkostemp(out->temporary, O_CLOEXEC); // mode 0600
    return out->fd < 0 ? tool_fail("%s: %s", path, strerror(errno)) : 0;
}

int tool_output_write(struct tool_output *out, uint64_t offset, const void *octets, size_t size)
{
    const uint8_t *p = octets;
    while (size > 0) {
        const ssize_t n = pwrite(out->fd, p, size, (off_t)offset);
        if (n < 0 && errno != EINTR)
            return tool_fail("%s: %s", out->path, strerror(errno));
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            size -= (size_t)n;
        }
    }
    return 0;
}

void tool_output_drop(struct tool_output *out)
{
    close(out->fd);
    unlink(out->temporary);
}

static int sync_folder(const char *path)
{
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", path);
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int status = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return status;
}

// A link, unlike a rename, does not replace.
static int take_name(const struct tool_output *out, bool fresh)
{
    if (!fresh)
        return rename(out->temporary, out->path);
    if (link(out->temporary, out->path) < 0)
        return -1;
    return unlink(out->temporary);
}

int tool_output_commit(struct tool_output *out, unsigned mode, bool fresh)
{
    const mode_t mask = umask(0);
    umask(mask);
    if (fchmod(out->fd, mode & ~mask) < 0 || fsync(out->fd) < 0 || take_name(out, fresh) < 0) {
        tool_fail("%s: %s", out->path, strerror(errno));
        tool_output_drop(out);
        return 1;
    }
    close(out->fd);
    return sync_folder(out->path) < 0 ? tool_fail("%s: %s", out->path, strerror(errno)) : 0;
}

static int write_file(const char *path, const void *octets, size_t size, unsigned mode, bool fresh)
{
    struct tool_output out;
    if (tool_output_open(&out, path) != 0)
        return 1;
    if (tool_output_write(&out, 0, octets, size) != 0) {
        tool_output_drop(&out);
        return 1;
    }
    return tool_output_commit(&out, mode, fresh);
}

int tool_output_file(const char *path, const void *octets, size_t size)
{
    return write_file(path, octets, size, 0666, false);
}

static int read_open(const char *path, int fd, uint8_t *out, size_t most, size_t *size)
{
    size_t used = 0;
    uint8_t more;
    while (used < most) {
        const ssize_t n = read(fd, out + used, most - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tool_fail("%s: %s", path, strerror(errno));
        if (n == 0)
            break;
        used += (size_t)n;
    }
    if (used == most && read(fd, &more, 1) > 0)
        return tool_fail("%s: more than %zu octets", path, most);
    *size = used;
    return 0;
}

int tool_read(const char *path, uint8_t *out, size_t most, size_t *size)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO does not hold it up
    if (fd < 0)
        return tool_fail("%s: %s", path, strerror(errno));
    const int status = fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)
                           ? tool_fail("%s: not a file", path)
                           : read_open(path, fd, out, most, size);
    close(fd);
    return status;
}

static int write_key(const char *path, const char *line, const uint8_t *octets, unsigned mode)
{
    char text[128], hex[65];
    tool_hex(octets, 32, hex);
    const int n = snprintf(text, sizeof(text), "%s%s\n", line, hex);
    const int status = write_file(path, text, (size_t)n, mode, true);
    sodium_memzero(text, sizeof(text));
    sodium_memzero(hex, sizeof(hex));
    return status;
}

int tool_write_keys(const char *path)
{
    uint8_t public[32], secret[64];
    char public_path[4096];
    if (snprintf(public_path, sizeof(public_path), "%s.pub", path) >= (int)sizeof(public_path))
        return tool_fail("%s: name too long", path);
    if (access(public_path, F_OK) == 0)
        return tool_fail("%s: %s", public_path, strerror(EEXIST));
    crypto_sign_keypair(public, secret);
    int status = write_key(path, SL_KEY_LINE_SECRET, secret, 0600); // the seed is the first half
    if (status == 0)
        status = write_key(public_path, SL_KEY_LINE_PUBLIC, public, 0644);
    sodium_memzero(secret, sizeof(secret));
    return status;
}

int tool_read_public(const char *path, uint8_t key[32])
{
    struct sl_bundle_error error;
    return sl_key_file_public(path, key, &error) == SL_ACCEPTED
               ? 0
               : tool_fail("%s: %s", path, error.message);
}

int tool_read_secret(const char *path, uint8_t key[64])
{
    struct sl_bundle_error error;
    return sl_key_file_secret(path, key, &error) == SL_ACCEPTED
               ? 0
               : tool_fail("%s: %s", path, error.message);
}

static int read_at(void *ctx, uint64_t offset, void *out, size_t size)
{
    const int *fd = ctx;
    uint8_t *p = out;
    while (size > 0) {
        const ssize_t n = pread(*fd, p, size, (off_t)offset);
        if (n == 0)
            return -EIO; // shorter than it was
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            p += n;
            offset += (uint64_t)n;
            size -= (size_t)n;
        }
    }
    return 0;
}

int tool_open_source(const char *path, struct sl_bundle_source *source, int *fd)
{
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return tool_fail("%s: %s", path, strerror(errno));
    const off_t size = fstat(*fd, &info) < 0 ? -1 : lseek(*fd, 0, SEEK_END);
    if (size < 0 || !(S_ISREG(info.st_mode) || S_ISBLK(info.st_mode))) {
        close(*fd);
        return tool_fail("%s: not a file", path);
    }
    *source = (struct sl_bundle_source){read_at, fd, (uint64_t)size, S_ISREG(info.st_mode)};
    return 0;
}
