// Writes what manifest.h, keychain.h and catalog.h read: for the tool, not for the camera.
#ifndef SL_OTA_BUNDLE_ENCODE_H
#define SL_OTA_BUNDLE_ENCODE_H

#include "ota/bundle/catalog.h"

// Octets written so far; `failed` once they did not fit.
struct sl_writer {
    uint8_t *at;
    size_t size, used;
    bool failed;
};

void sl_write_octets(struct sl_writer *w, const void *octets, size_t size);
void sl_write_u8(struct sl_writer *w, uint8_t value);
void sl_write_u16(struct sl_writer *w, uint16_t value);
void sl_write_u32(struct sl_writer *w, uint32_t value);
void sl_write_u64(struct sl_writer *w, uint64_t value);

// Number of octets, or 0 if `out` is too small or what the manifest holds is not valid: the result
// is read back with the verifier's own reader.
size_t sl_manifest_write(const struct sl_manifest *manifest, uint8_t *out, size_t size);

// Documents without signatures, SL_DOCUMENT_MAX octets of room. 0 as above.
size_t sl_root_write(const struct sl_root *root, uint8_t *out);
size_t sl_catalog_write(const struct sl_catalog *catalog, uint8_t *out);
size_t sl_order_write(const struct sl_order *order, uint8_t *out);

// Adds a signature over `message` to a list of *length octets, at its place; one of the same key is
// replaced. `secret` is libsodium's 64 octets. False: no room within `most`.
bool sl_signature_add(uint8_t *list, size_t *length, size_t most, struct sl_octets message,
                      const uint8_t secret[64]);

// The same for a document of *length octets in SL_DOCUMENT_MAX.
bool sl_document_sign(uint8_t *octets, size_t *length, const char *prefix,
                      const uint8_t secret[64]);

#endif
