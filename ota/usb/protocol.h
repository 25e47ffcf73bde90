// What passes between the update agent and the stick reader: fixed headers, little endian, one
// request in flight. Both sides check every number; only the agent believes the other's lengths
// after it has compared them with what it asked for.
#ifndef SL_OTA_USB_PROTOCOL_H
#define SL_OTA_USB_PROTOCOL_H

#include "ota/usb/volume.h"

#define SL_STICK_PIECE        (256u << 10) // most bytes of one read
#define SL_STICK_REQUEST_SIZE 32u
#define SL_STICK_REPLY_SIZE   16u
#define SL_STICK_ERROR_MAX    511u
// A listing: kind, partition, dirty, count (4 bytes each), device length (8); then for each file
// its length (8), the length of its name (2) and the name in UTF-8.
#define SL_STICK_LIST_HEAD 24u
#define SL_STICK_LIST_MAX  (SL_STICK_LIST_HEAD + SL_VOLUME_ENTRIES * (10u + SL_VOLUME_NAME_SIZE))

enum sl_stick_verb { SL_STICK_LIST = 1, SL_STICK_READ = 2 };

struct sl_stick_request {
    uint32_t serial, verb, index, length;
    uint64_t offset;
};

// `status` 0: `length` bytes of what was asked for follow. Else a positive errno, and `length`
// bytes of a message.
struct sl_stick_reply {
    uint32_t serial, status, length;
};

void sl_stick_put_request(uint8_t out[SL_STICK_REQUEST_SIZE],
                          const struct sl_stick_request *request);
bool sl_stick_get_request(const uint8_t bytes[SL_STICK_REQUEST_SIZE], struct sl_stick_request *out);
void sl_stick_put_reply(uint8_t out[SL_STICK_REPLY_SIZE], const struct sl_stick_reply *reply);
bool sl_stick_get_reply(const uint8_t bytes[SL_STICK_REPLY_SIZE], struct sl_stick_reply *out);

#endif
