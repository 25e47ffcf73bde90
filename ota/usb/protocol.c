// The headers of the stick protocol as bytes.
#include "ota/usb/protocol.h"

#include "ota/usb/bytes.h"

#define REQUEST_MAGIC 0x51525453u // "STRQ"
#define REPLY_MAGIC   0x50525453u // "STRP"

void sl_stick_put_request(uint8_t out[SL_STICK_REQUEST_SIZE],
                          const struct sl_stick_request *request)
{
    sl_put32(out, REQUEST_MAGIC);
    sl_put32(out + 4, request->serial);
    sl_put32(out + 8, request->verb);
    sl_put32(out + 12, request->index);
    sl_put64(out + 16, request->offset);
    sl_put32(out + 24, request->length);
    sl_put32(out + 28, 0);
}

bool sl_stick_get_request(const uint8_t bytes[SL_STICK_REQUEST_SIZE], struct sl_stick_request *out)
{
    *out = (struct sl_stick_request){.serial = sl_le32(bytes + 4),
                                     .verb = sl_le32(bytes + 8),
                                     .index = sl_le32(bytes + 12),
                                     .offset = sl_le64(bytes + 16),
                                     .length = sl_le32(bytes + 24)};
    return sl_le32(bytes) == REQUEST_MAGIC && sl_le32(bytes + 28) == 0;
}

void sl_stick_put_reply(uint8_t out[SL_STICK_REPLY_SIZE], const struct sl_stick_reply *reply)
{
    sl_put32(out, REPLY_MAGIC);
    sl_put32(out + 4, reply->serial);
    sl_put32(out + 8, reply->status);
    sl_put32(out + 12, reply->length);
}

bool sl_stick_get_reply(const uint8_t bytes[SL_STICK_REPLY_SIZE], struct sl_stick_reply *out)
{
    *out = (struct sl_stick_reply){sl_le32(bytes + 4), sl_le32(bytes + 8), sl_le32(bytes + 12)};
    return sl_le32(bytes) == REPLY_MAGIC;
}
