// A small signed document: a root, a catalog, an order. Framing only; what is in the body is read
// once its signatures hold.
#ifndef SL_OTA_BUNDLE_DOCUMENT_H
#define SL_OTA_BUNDLE_DOCUMENT_H

#include "ota/bundle/signature.h"

struct sl_document {
    uint32_t number;
    struct sl_octets message, body, signatures; // message: what is signed, prefix to body
};

// Takes the document at the front of `octets`; the prefix must be `prefix`. At most SL_DOCUMENT_MAX
// octets with signatures.
enum sl_refusal sl_document_take(struct sl_octets *octets, const char *prefix,
                                 struct sl_document *out, struct sl_bundle_error *error);

// The same, and nothing after it.
enum sl_refusal sl_document_read(struct sl_octets octets, const char *prefix,
                                 struct sl_document *out, struct sl_bundle_error *error);

#endif
