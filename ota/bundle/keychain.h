// Roots: who may sign what. Each is signed by the thresholds of the root before it and by its own.
#ifndef SL_OTA_BUNDLE_KEYCHAIN_H
#define SL_OTA_BUNDLE_KEYCHAIN_H

#include "ota/bundle/document.h"

struct sl_root {
    uint32_t version;
    uint8_t hash[SL_HASH]; // SHA-256 of what its signatures are over
    struct sl_role root, release, site;
};

// What a camera knows before it looks at a bundle: which root it trusts.
struct sl_trust {
    uint32_t version;
    uint8_t hash[SL_HASH];
    // That root's document, or NULL: then a chain must contain it. With it, a bundle that was made
    // before the root was replaced can still be judged by the new one's keys.
    struct sl_octets document;
};

// Reads a root that is trusted, or whose signatures have been checked. `own` signatures are checked
// here too: a root that its own keys did not sign could never be replaced.
enum sl_refusal sl_root_read(const struct sl_document *document, struct sl_root *out,
                             struct sl_bundle_error *error);

// From the trusted root to the newest in `chain`. Versions that are older than the trusted one are
// skipped unread; those after it must follow without a gap. `next` is room to work in.
enum sl_refusal sl_keychain_walk(const struct sl_trust *trust, struct sl_octets chain,
                                 struct sl_root *newest, struct sl_root *next,
                                 struct sl_bundle_error *error);

// Trust in one root document, for a first installation or a command line.
enum sl_refusal sl_trust_document(struct sl_octets octets, struct sl_trust *out,
                                  struct sl_bundle_error *error);

#endif
