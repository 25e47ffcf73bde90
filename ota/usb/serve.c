// The reader's side of the stick protocol.
#include "ota/usb/serve.h"

#include "ota/usb/bytes.h"
#include "ota/usb/protocol.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct sl_volume volume;
// The reply's header and what follows it, so that one write sends both.
static uint8_t answer[SL_STICK_REPLY_SIZE + SL_STICK_LIST_MAX];
_Static_assert(SL_STICK_LIST_MAX >= SL_STICK_PIECE, "a reply must fit");

static int read_device(void *context, uint64_t offset, void *bytes, size_t length)
{
    const int fd = *(const int *)context;
    for (size_t done = 0; done < length;) {
        const ssize_t got =
            pread(fd, (uint8_t *)bytes + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? -ENODATA : -errno;
        done += (size_t)got;
    }
    return 0;
}

// 1: all read, 0: closed before the first byte, -1: closed within or failed.
static int read_all(int fd, uint8_t *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        const ssize_t got = read(fd, bytes + done, length - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 && done == 0 ? 0 : -1;
        done += (size_t)got;
    }
    return 1;
}

static int write_all(int fd, const uint8_t *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        const ssize_t put = write(fd, bytes + done, length - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        done += (size_t)put;
    }
    return 0;
}

static uint32_t write_listing(uint8_t *out)
{
    uint8_t *p = out + SL_STICK_LIST_HEAD;
    sl_put32(out, volume.kind);
    sl_put32(out + 4, volume.partition);
    sl_put32(out + 8, volume.dirty);
    sl_put32(out + 12, volume.count);
    sl_put64(out + 16, volume.source.length);
    for (uint32_t i = 0; i < volume.count; i++) {
        const struct sl_volume_entry *entry = &volume.entries[i];
        const size_t length = strlen(entry->name);
        sl_put64(p, entry->length);
        sl_put16(p + 8, (uint16_t)length);
        memcpy(p + 10, entry->name, length);
        p += 10 + length;
    }
    return (uint32_t)(p - out);
}

static int run(const struct sl_volume_source *source, const struct sl_stick_request *request,
               uint8_t *body, uint32_t *length, struct sl_volume_error *error)
{
    int status;
    switch (request->verb) {
    case SL_STICK_LIST:
        volume.count = 0;
        status = sl_volume_open(&volume, source, error);
        if (status == 0)
            *length = write_listing(body);
        else
            volume.count = 0;
        return status;
    case SL_STICK_READ:
        if (request->length > SL_STICK_PIECE) {
            strcpy(error->text, "a read is longer than one piece");
            return -EINVAL;
        }
        *length = request->length;
        return sl_volume_read(&volume, request->index, request->offset, body, request->length,
                              error);
    default:
        strcpy(error->text, "a request of an unknown kind");
        return -EINVAL;
    }
}

static int reply(int out, const struct sl_volume_source *source,
                 const struct sl_stick_request *request)
{
    struct sl_volume_error error = {""};
    struct sl_stick_reply head = {.serial = request->serial};
    uint8_t *body = answer + SL_STICK_REPLY_SIZE;
    const int status = run(source, request, body, &head.length, &error);
    if (status != 0) {
        head.status = (uint32_t)-status;
        head.length = (uint32_t)strlen(error.text);
        memcpy(body, error.text, head.length);
    }
    sl_stick_put_reply(answer, &head);
    return write_all(out, answer, SL_STICK_REPLY_SIZE + head.length);
}

int sl_stick_serve(int device, uint64_t length, int in, int out)
{
    const struct sl_volume_source source = {read_device, &device, length};
    uint8_t bytes[SL_STICK_REQUEST_SIZE];
    struct sl_stick_request request;
    int got;
    while ((got = read_all(in, bytes, sizeof(bytes))) == 1)
        if (!sl_stick_get_request(bytes, &request) || reply(out, &source, &request) != 0)
            return -1;
    return got;
}
