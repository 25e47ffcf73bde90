// Strict TLV: one form for one content.
#include "ota/bundle/tlv.h"

#include "ota/bundle/format.h"
#include "ota/usb/bytes.h"

#include <string.h>

bool sl_take(struct sl_octets *octets, size_t size, const uint8_t **out)
{
    if (octets->left < size)
        return false;
    *out = octets->at;
    octets->at += size;
    octets->left -= size;
    return true;
}

bool sl_take8(struct sl_octets *octets, uint8_t *out)
{
    const uint8_t *p;
    if (!sl_take(octets, 1, &p))
        return false;
    *out = *p;
    return true;
}

bool sl_take32(struct sl_octets *octets, uint32_t *out)
{
    const uint8_t *p;
    if (!sl_take(octets, 4, &p))
        return false;
    *out = sl_le32(p);
    return true;
}

bool sl_take64(struct sl_octets *octets, uint64_t *out)
{
    const uint8_t *p;
    if (!sl_take(octets, 8, &p))
        return false;
    *out = sl_le64(p);
    return true;
}

static bool is_text(const char *text, bool slash)
{
    static const char allowed[] = "/.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_+-";
    if (text[strspn(text, slash ? allowed : allowed + 1)] != '\0')
        return false;
    for (const char *part = text; slash && part;) {
        const size_t length = strcspn(part, "/");
        if (length == 0 || (length <= 2 && strspn(part, ".") >= length))
            return false;
        part = part[length] ? part + length + 1 : NULL;
    }
    return true;
}

static bool copy_text(const uint8_t *from, size_t length, bool slash, char *out, size_t size)
{
    if (length == 0 || length >= size || memchr(from, '\0', length))
        return false;
    memcpy(out, from, length);
    out[length] = '\0';
    return is_text(out, slash);
}

bool sl_take_text(struct sl_octets *octets, bool slash, char *out, size_t size)
{
    uint8_t length;
    const uint8_t *p;
    return sl_take8(octets, &length) && sl_take(octets, length, &p) &&
           copy_text(p, length, slash, out, size);
}

bool sl_take_whole_text(struct sl_octets *octets, char *out, size_t size)
{
    const size_t length = octets->left;
    const uint8_t *p;
    return sl_take(octets, length, &p) && copy_text(p, length, false, out, size);
}

static enum sl_refusal missing(const struct sl_tlv_row **row, const struct sl_tlv_row *end,
                               uint32_t tag, struct sl_bundle_error *error)
{
    for (; *row < end && (*row)->tag < tag; ++*row)
        if (!(*row)->optional)
            return sl_refuse(error, SL_REFUSED_FORMAT, "%s: missing", (*row)->name);
    return SL_ACCEPTED;
}

static enum sl_refusal read_value(const struct sl_tlv_row *row, struct sl_octets value, void *out,
                                  struct sl_bundle_error *error)
{
    const size_t length = value.left;
    if (!row->read(&value, out) || value.left > 0)
        return sl_refuse(error, SL_REFUSED_FORMAT, "%s: its %zu octets are not a valid value",
                         row->name, length);
    return SL_ACCEPTED;
}

enum sl_refusal sl_tlv_read(struct sl_octets octets, const struct sl_tlv_row *rows, size_t n_rows,
                            void *out, struct sl_bundle_error *error)
{
    const struct sl_tlv_row *row = rows, *const end = rows + n_rows;
    uint32_t previous = 0;
    while (octets.left > 0) {
        const uint8_t *header;
        struct sl_octets value = {NULL, 0};
        if (!sl_take(&octets, SL_TLV_VALUE_AT, &header))
            return sl_refuse(error, SL_REFUSED_TRUNCATED, "%zu octets after tag %u", octets.left,
                             previous);
        const uint32_t tag = sl_le16(header);
        value.left = sl_le32(header + 2);
        if (!sl_take(&octets, value.left, &value.at))
            return sl_refuse(error, SL_REFUSED_TRUNCATED, "tag %u: %zu octets, only %zu are left",
                             tag, value.left, octets.left);
        if (tag <= previous)
            return sl_refuse(error, SL_REFUSED_FORMAT, "tag %u after tag %u", tag, previous);
        previous = tag;
        enum sl_refusal refusal = missing(&row, end, tag, error);
        if (refusal == SL_ACCEPTED && row < end && row->tag == tag)
            refusal = read_value(row++, value, out, error);
        else if (refusal == SL_ACCEPTED && tag < SL_TAG_OPTIONAL)
            refusal = sl_refuse(error, SL_REFUSED_FORMAT, "tag %u is not known", tag);
        if (refusal != SL_ACCEPTED)
            return refusal;
    }
    return missing(&row, end, UINT32_MAX, error);
}
