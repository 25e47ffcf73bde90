// Strict TLV, and reading numbers and texts from a value. Nothing is allocated; what is given out
// points into the octets that were given.
#ifndef SL_OTA_BUNDLE_TLV_H
#define SL_OTA_BUNDLE_TLV_H

#include "ota/bundle/refusal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Octets that are left to read.
struct sl_octets {
    const uint8_t *at;
    size_t left;
};

// Takes `size` octets from the front; false and nothing taken if there are fewer.
bool sl_take(struct sl_octets *octets, size_t size, const uint8_t **out);
bool sl_take8(struct sl_octets *octets, uint8_t *out);
bool sl_take32(struct sl_octets *octets, uint32_t *out);
bool sl_take64(struct sl_octets *octets, uint64_t *out);

// A u8 length and that many characters, copied with a NUL. Between 1 and `size` - 1 characters of
// a-z A-Z 0-9 and . _ + -; with `slash` also '/', as a relative path without empty, "." or ".."
// parts. False: not such a text.
bool sl_take_text(struct sl_octets *octets, bool slash, char *out, size_t size);

// All octets as one such text without '/'.
bool sl_take_whole_text(struct sl_octets *octets, char *out, size_t size);

// One tag that is known: how its value is read (all of it must be consumed), and whether the tag
// may be missing. Rows stand in the order of tags.
struct sl_tlv_row {
    uint16_t tag;
    bool optional;
    const char *name; // in messages
    bool (*read)(struct sl_octets *value, void *out);
};

// Reads `octets` into `out`. Refused (SL_REFUSED_FORMAT, SL_REFUSED_TRUNCATED): a tag that does not
// ascend, is unknown and not optional, is missing; a value that its reader does not take, or of
// which something is left.
enum sl_refusal sl_tlv_read(struct sl_octets octets, const struct sl_tlv_row *rows, size_t n_rows,
                            void *out, struct sl_bundle_error *error);

#endif
