// The payload of a verified bundle: checked where it lies, or copied into memory that nobody can
// change, checked while it is copied.
#ifndef SL_OTA_BUNDLE_LOAD_H
#define SL_OTA_BUNDLE_LOAD_H

#include "ota/bundle/verify.h"

// Told after each chunk, with those that are done; may be NULL.
typedef void sl_bundle_progress(void *ctx, uint32_t done, uint32_t total);

// Every chunk, every component's hash, and that padding is zero.
enum sl_refusal sl_bundle_verify_payload(struct sl_bundle *bundle,
                                         const struct sl_bundle_source *source,
                                         sl_bundle_progress *progress, void *ctx,
                                         struct sl_bundle_error *error);

// The same, into a memfd that is sealed against every change. It holds the whole bundle: the head
// as it was verified and the chunks as they were hashed, so nothing is read twice. Components that
// are encrypted are decrypted there and nowhere else, once their octets' hashes were right; the
// manifest's hashes remain those of the encrypted octets. `device` is the camera's secret device
// key, 64 octets, or NULL: then what is encrypted is refused. *fd is the caller's to close;
// untouched on refusal.
enum sl_refusal sl_bundle_load(struct sl_bundle *bundle, const struct sl_bundle_source *source,
                               const uint8_t *device, int *fd, struct sl_bundle_error *error);

#endif
