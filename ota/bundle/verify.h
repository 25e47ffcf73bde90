// Verifies a bundle before anything in it is believed.
//
// Order: superblock (bounds), key chain, signatures over the manifest's octets, and only then the
// manifest is parsed; then chunk list, padding and policy. Nothing is allocated; all state is in
// one struct, which is large: make it static.
#ifndef SL_OTA_BUNDLE_VERIFY_H
#define SL_OTA_BUNDLE_VERIFY_H

#include "ota/bundle/keychain.h"
#include "ota/bundle/manifest.h"
#include "ota/bundle/superblock.h"

// Where the octets come from: a file, a slot, a stick.
struct sl_bundle_source {
    // All of `size` octets at `offset`; 0, or a negative errno. Never asked beyond `size` below.
    int (*read)(void *ctx, uint64_t offset, void *out, size_t size);
    void *ctx;
    uint64_t size; // octets there are
    bool exact;    // a file: what is after the bundle's end refuses it; a slot is larger
};

// What this camera takes. Times and dates are absent on purpose.
struct sl_bundle_policy {
    const char *product, *hardware;     // NULL: any
    const struct sl_tensor_abi *tensor; // NULL: any
    struct sl_bundle_number floor;      // the highest of state, catalog and site orders
    const uint8_t (*denied)[SL_HASH];
    size_t n_denied;
};

struct sl_bundle {
    // valid after sl_bundle_verify
    struct sl_superblock super;
    struct sl_manifest manifest;
    struct sl_root root;        // the newest of the chain, to be trusted from the commit on
    struct sl_trust trust_next; // the same as trust; its document points into `head`
    uint8_t head[SL_HEAD_MAX];  // the octets before the payload, as they were verified
    // room to work in
    struct sl_root next_root;
    uint8_t message[SL_PREFIX + SL_MANIFEST_MAX];
    uint8_t chunk[SL_CHUNK];
};

// Everything but the payload. On refusal the contents of *bundle mean nothing.
enum sl_refusal sl_bundle_verify(struct sl_bundle *bundle, const struct sl_bundle_source *source,
                                 const struct sl_trust *trust,
                                 const struct sl_bundle_policy *policy,
                                 struct sl_bundle_error *error);

// Whether a verified bundle may run here: also used when only the policy has changed.
enum sl_refusal sl_bundle_check_policy(const struct sl_bundle *bundle,
                                       const struct sl_bundle_policy *policy,
                                       struct sl_bundle_error *error);

// Chunks of the payload of a verified bundle, and the length of one: SL_CHUNK but for the last.
uint32_t sl_bundle_n_chunks(const struct sl_bundle *bundle);
uint32_t sl_bundle_chunk_length(const struct sl_bundle *bundle, uint32_t index);

// One chunk that was fetched, before it is written anywhere.
enum sl_refusal sl_bundle_check_chunk(const struct sl_bundle *bundle, uint32_t index,
                                      const void *octets, struct sl_bundle_error *error);

#endif
