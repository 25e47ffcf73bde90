// Prints what the volume reader finds on an image, one JSON line per file with the CRC-32 of its
// contents; or one line with the error. Used by the tests of the reader.
//
//     usb_read [--piece BYTES] [--backwards] IMAGE
#include "ota/usb/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sl_volume volume;
static uint8_t buffer[256 << 10];
static uint64_t reads;

static int read_at(void *context, uint64_t offset, void *bytes, size_t length)
{
    const ssize_t got = pread(*(const int *)context, bytes, length, (off_t)offset);
    reads++;
    return got == (ssize_t)length ? 0 : -EIO;
}

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t length)
{
    static uint32_t table[256];
    for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
        uint32_t row = i;
        for (int bit = 0; bit < 8; bit++)
            row = row >> 1 ^ (0xEDB88320u & (0u - (row & 1)));
        table[i] = row;
    }
    crc = ~crc;
    for (size_t i = 0; i < length; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xFF];
    return ~crc;
}

static int fail(int status, const struct sl_volume_error *error)
{
    printf("error %s %s\n", strerrorname_np(-status), error->text);
    return 1;
}

// The CRC of the whole file; read from its end where `backwards`.
static int sum(uint32_t index, size_t piece, int backwards, uint32_t *out,
               struct sl_volume_error *error)
{
    const uint64_t length = volume.entries[index].length;
    *out = 0;
    for (uint64_t end = length; backwards && end > 0;) {
        const size_t now = end < piece ? (size_t)end : piece;
        const int status = sl_volume_read(&volume, index, end - now, buffer, now, error);
        if (status != 0)
            return status;
        end -= now;
    }
    for (uint64_t at = 0; at < length;) {
        const size_t now = length - at < piece ? (size_t)(length - at) : piece;
        const int status = sl_volume_read(&volume, index, at, buffer, now, error);
        if (status != 0)
            return status;
        *out = crc32(*out, buffer, now);
        at += now;
    }
    return 0;
}

static int print(size_t piece, int backwards)
{
    struct sl_volume_error error;
    int result = 0;
    printf("{\"kind\": \"%s\", \"partition\": %u, \"dirty\": %s, \"files\": %u}\n",
           sl_volume_kind_name(volume.kind), volume.partition, volume.dirty ? "true" : "false",
           volume.count);
    for (uint32_t i = 0; i < volume.count; i++) {
        uint32_t crc;
        const int status = sum(i, piece, backwards, &crc, &error);
        if (status != 0)
            result = fail(status, &error);
        else
            printf("{\"name\": \"%s\", \"length\": %llu, \"crc\": %u}\n", volume.entries[i].name,
                   (unsigned long long)volume.entries[i].length, crc);
    }
    return result;
}

int main(int argc, char **argv)
{
    size_t piece = sizeof(buffer);
    int backwards = 0, i = 1;
    for (; i < argc - 1; i++) {
        if (!strcmp(argv[i], "--piece"))
            piece = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--backwards"))
            backwards = 1;
    }
    if (i != argc - 1 || piece == 0 || piece > sizeof(buffer)) {
        fprintf(stderr, "usage: usb_read [--piece BYTES] [--backwards] IMAGE\n");
        return 2;
    }
    int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        perror(argv[i]);
        return 2;
    }
    const struct sl_volume_source source = {read_at, &fd, (uint64_t)info.st_size};
    struct sl_volume_error error = {""};
    const int status = sl_volume_open(&volume, &source, &error);
    const int result = status != 0 ? fail(status, &error) : print(piece, backwards);
    fprintf(stderr, "%llu reads\n", (unsigned long long)reads);
    close(fd);
    return result;
}
