// Framing of signed documents.
#include "ota/bundle/document.h"

#include "ota/usb/bytes.h"

#include <string.h>

enum sl_refusal sl_document_take(struct sl_octets *octets, const char *prefix,
                                 struct sl_document *out, struct sl_bundle_error *error)
{
    struct sl_octets rest = *octets;
    struct sl_document d = {.message = {rest.at, 0}};
    const uint8_t *header;
    uint32_t signatures;
    if (!sl_take(&rest, SL_DOCUMENT_BODY_AT, &header))
        return sl_refuse(error, SL_REFUSED_TRUNCATED, "%s: %zu octets", prefix, rest.left);
    if (memcmp(header, prefix, SL_PREFIX) != 0)
        return sl_refuse(error, SL_REFUSED_FORMAT, "this is no document that starts with %s",
                         prefix);
    d.number = sl_le32(header + SL_DOCUMENT_NUMBER_AT);
    d.body.left = sl_le32(header + SL_DOCUMENT_LENGTH_AT);
    if (!sl_take(&rest, d.body.left, &d.body.at) || !sl_take32(&rest, &signatures) ||
        !sl_take(&rest, signatures, &d.signatures.at))
        return sl_refuse(error, SL_REFUSED_TRUNCATED, "%s %u: its end is missing", prefix,
                         d.number);
    d.signatures.left = signatures;
    d.message.left = SL_DOCUMENT_BODY_AT + d.body.left;
    if (octets->left - rest.left > SL_DOCUMENT_MAX)
        return sl_refuse(error, SL_REFUSED_OVERSIZED, "%s %u: %zu octets; expected at most %d",
                         prefix, d.number, octets->left - rest.left, SL_DOCUMENT_MAX);
    *octets = rest;
    *out = d;
    return SL_ACCEPTED;
}

enum sl_refusal sl_document_read(struct sl_octets octets, const char *prefix,
                                 struct sl_document *out, struct sl_bundle_error *error)
{
    struct sl_document d;
    const enum sl_refusal refusal = sl_document_take(&octets, prefix, &d, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    if (octets.left > 0)
        return sl_refuse(error, SL_REFUSED_OVERSIZED, "%s %u: %zu octets after its end", prefix,
                         d.number, octets.left);
    *out = d;
    return SL_ACCEPTED;
}
