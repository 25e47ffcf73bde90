// The manifest: what the bundle is for, and the hashes of all that is in it.
#ifndef SL_OTA_BUNDLE_MANIFEST_H
#define SL_OTA_BUNDLE_MANIFEST_H

#include "ota/bundle/format.h"
#include "ota/bundle/tlv.h"

// What is newer is decided by this alone, never by a date.
struct sl_bundle_number {
    uint32_t epoch;
    uint64_t seq;
};

enum sl_element { SL_ELEMENT_FLOAT32 = 1, SL_ELEMENT_UINT8, SL_ELEMENT_INT8 };
enum sl_layout { SL_LAYOUT_NCHW = 1, SL_LAYOUT_NHWC };

struct sl_tensor_abi {
    uint8_t element, layout; // enum sl_element, enum sl_layout
    uint8_t rank;
    uint32_t dims[SL_RANK_MAX];
};

struct sl_component {
    char name[SL_NAME_MAX + 1];
    uint64_t offset, length; // octets; the offset is in the payload
    uint8_t hash[SL_HASH];
};

// Acceptance of a trial.
struct sl_limits {
    uint32_t overlap_ppm;      // least overlap of a box with the golden one
    uint32_t score_ppm;        // most difference of its score
    uint32_t shadow_frames;    // frames beside the old model
    uint32_t probation_frames; // frames until it is committed
};

// What the model says it needs.
struct sl_claims {
    uint32_t latency_us; // 99th percentile
    uint64_t memory;     // octets
};

// See encryption.h.
struct sl_encryption {
    uint8_t cipher; // enum sl_cipher; 0: not encrypted
    uint16_t n_recipients;
    uint8_t check[SL_HASH];
    const uint8_t *recipients; // into the octets that were read
};

struct sl_manifest {
    char product[SL_TEXT_MAX + 1];
    char version[SL_TEXT_MAX + 1]; // for people
    uint8_t n_hardware;
    char hardware[SL_HARDWARE_MAX][SL_TEXT_MAX + 1];
    struct sl_tensor_abi tensor;
    struct sl_bundle_number number, floor; // floor ≤ number
    uint64_t payload;
    uint8_t chunk_list_hash[SL_HASH];
    uint16_t n_components;
    struct sl_component components[SL_COMPONENTS_MAX]; // by name, which is by offset too
    struct sl_limits limits;
    struct sl_claims claims;
    struct sl_encryption encryption;
};

// < 0, 0, > 0 as a is before b, the same, after b.
int sl_bundle_number_compare(struct sl_bundle_number a, struct sl_bundle_number b);
bool sl_take_bundle_number(struct sl_octets *octets, struct sl_bundle_number *out);

bool sl_tensor_abi_equal(const struct sl_tensor_abi *a, const struct sl_tensor_abi *b);

// Reads octets whose signatures have been checked (or, for display, not). Components must be packed
// from offset 0, each at the next page, and fill the payload.
enum sl_refusal sl_manifest_read(struct sl_octets octets, struct sl_manifest *out,
                                 struct sl_bundle_error *error);

// NULL if there is none.
const struct sl_component *sl_manifest_component(const struct sl_manifest *manifest,
                                                 const char *name);

#endif
