// Reads keys from files.
#include "ota/bundle/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 128 };

static enum sl_refusal parse(const char *line, const char *text, size_t size, uint8_t out[32],
                             struct sl_bundle_error *error)
{
    const size_t start = strlen(line);
    size_t n = 0;
    if (size != start + 65 || memcmp(text, line, start) != 0 || text[size - 1] != '\n' ||
        sodium_hex2bin(out, 32, text + start, 64, NULL, &n, NULL) != 0 || n != 32)
        return sl_refuse(error, SL_REFUSED_KEY, "expected one line '%s…'", line);
    return SL_ACCEPTED;
}

static enum sl_refusal read_line(int fd, const char *line, uint8_t out[32],
                                 struct sl_bundle_error *error)
{
    char text[LINE_MAX_OCTETS];
    size_t used = 0;
    ssize_t n;
    do {
        n = read(fd, text + used, sizeof(text) - used);
        used += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && used < sizeof(text)) || (n < 0 && errno == EINTR));
    const enum sl_refusal refusal = n < 0 ? sl_refuse(error, SL_REFUSED_KEY, "%s", strerror(errno))
                                          : parse(line, text, used, out, error);
    sodium_memzero(text, sizeof(text));
    return refusal;
}

static enum sl_refusal read_file(const char *path, const char *line, bool secret, uint8_t out[32],
                                 struct sl_bundle_error *error)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO does not hold it up
    if (fd < 0)
        return sl_refuse(error, SL_REFUSED_KEY, "%s", strerror(errno));
    enum sl_refusal refusal;
    if (fstat(fd, &info) < 0)
        refusal = sl_refuse(error, SL_REFUSED_KEY, "%s", strerror(errno));
    else if (!S_ISREG(info.st_mode))
        refusal = sl_refuse(error, SL_REFUSED_KEY, "not a file");
    else if (secret && info.st_mode & 077)
        refusal = sl_refuse(error, SL_REFUSED_KEY,
                            "a secret key that others may read or write (mode %03o); expected 600",
                            info.st_mode & 0777u);
    else
        refusal = read_line(fd, line, out, error);
    close(fd);
    return refusal;
}

enum sl_refusal sl_key_file_public(const char *path, uint8_t key[32], struct sl_bundle_error *error)
{
    return read_file(path, SL_KEY_LINE_PUBLIC, false, key, error);
}

enum sl_refusal sl_key_file_secret(const char *path, uint8_t key[64], struct sl_bundle_error *error)
{
    uint8_t seed[32], public[32];
    const enum sl_refusal refusal = read_file(path, SL_KEY_LINE_SECRET, true, seed, error);
    if (refusal == SL_ACCEPTED)
        crypto_sign_seed_keypair(public, key, seed);
    sodium_memzero(seed, sizeof(seed));
    return refusal;
}
