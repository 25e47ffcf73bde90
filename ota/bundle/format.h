// The bundle on disk: every offset, tag and limit. All numbers are little-endian.
//
//     superblock   4 KiB     layout below, rest zero
//     key chain    ≤ 64 KiB  signed documents of kind root, versions ascending by one
//     manifest     ≤ 64 KiB  TLV; SHA-256 of it is the bundle's id
//     signatures   4 KiB     of SL_PREFIX_MANIFEST and the manifest's octets
//     chunk list   ≤ 256 KiB SHA-256 of each 256 KiB of the payload
//     payload      ≤ 2 GiB   components one after the other in the order of their names
//
// Every section and component starts at a multiple of 4 KiB, directly after the one before it; what
// is between is zero. So offsets follow from lengths and there are none to lie about.
#ifndef SL_OTA_BUNDLE_FORMAT_H
#define SL_OTA_BUNDLE_FORMAT_H

#include <stdint.h>

#define SL_BUNDLE_MAGIC "SLBUNDL1"

// What a signature is over starts with one of these eight octets, so that none can stand for
// another. The first is not in the file; a document's are where it starts.
#define SL_PREFIX_MANIFEST "SLMANIF1"
#define SL_PREFIX_ROOT     "SLROOTS1"
#define SL_PREFIX_CATALOG  "SLCATLG1"
#define SL_PREFIX_ORDER    "SLORDER1"

// In front of a content key where its hash is taken.
#define SL_PREFIX_CONTENT "SLCONTK1"

enum {
    SL_PAGE = 4096,
    SL_CHUNK = 256 << 10,
    SL_PREFIX = 8,
    SL_HASH = 32,
    SL_KEY = 32,

    // superblock
    SL_SUPER_VERSION_AT = 8,     // u32, 1
    SL_SUPER_CHUNK_AT = 12,      // u32, SL_CHUNK
    SL_SUPER_TOTAL_AT = 16,      // u64, octets of the whole bundle
    SL_SUPER_KEY_CHAIN_AT = 24,  // u32, lengths of the sections without padding
    SL_SUPER_MANIFEST_AT = 28,   // u32
    SL_SUPER_SIGNATURES_AT = 32, // u32
    SL_SUPER_CHUNK_LIST_AT = 36, // u32
    SL_SUPER_PAYLOAD_AT = 40,    // u64
    SL_SUPER_ID_AT = 48,         // SHA-256 of the manifest
    SL_SUPER_CRC_AT = 80,        // u32, CRC-32C of the octets before it
    SL_SUPER_END = 84,

    SL_KEY_CHAIN_MAX = 64 << 10,
    SL_MANIFEST_MAX = 64 << 10,
    SL_SIGNATURES_MAX = 4096,
    SL_CHUNKS_MAX = 8192,
    SL_HEAD_MAX =
        SL_PAGE + SL_KEY_CHAIN_MAX + SL_MANIFEST_MAX + SL_SIGNATURES_MAX + SL_CHUNKS_MAX * SL_HASH,

    // one signature
    SL_SIGNATURE_KEY_AT = 0,        // key id: SHA-256 of the public key
    SL_SIGNATURE_ALGORITHM_AT = 32, // u8
    SL_SIGNATURE_AT = 33,           // 64 octets
    SL_SIGNATURE_SIZE = 97,
    SL_ALGORITHM_ED25519 = 1,

    // document: prefix, number, body length, body; then u32 length of the signatures, signatures.
    // What is signed is all that stands before the length of the signatures.
    SL_DOCUMENT_NUMBER_AT = 8,  // u32: version of a root, serial number of the others
    SL_DOCUMENT_LENGTH_AT = 12, // u32
    SL_DOCUMENT_BODY_AT = 16,
    SL_DOCUMENT_MAX = 4096,

    // TLV: u16 tag, u32 length, value. Tags ascend; those from SL_TAG_OPTIONAL on may be ignored.
    SL_TLV_VALUE_AT = 6,
    SL_TAG_OPTIONAL = 0x8000,

    SL_TEXT_MAX = 63,
    SL_NAME_MAX = 127,
    SL_COMPONENTS_MAX = 256,
    SL_HARDWARE_MAX = 8,
    SL_RANK_MAX = 6,
    SL_ROLE_KEYS_MAX = 12,
    SL_REVOKED_MAX = 80, // so that all of them fit into a state record
    SL_CAMERAS_MAX = 32,

    // encryption: for each camera the id of its device key, and the content key sealed for it
    SL_SEALED = 80,
    SL_RECIPIENT = SL_HASH + SL_SEALED,
    SL_RECIPIENTS_MAX = 256,
};

#define SL_PAYLOAD_MAX ((uint64_t)SL_CHUNKS_MAX * SL_CHUNK)

enum sl_manifest_tag {
    SL_MANIFEST_PRODUCT = 1, // text
    SL_MANIFEST_HARDWARE,    // texts, each after a u8 length
    SL_MANIFEST_TENSOR,      // u8 element type, u8 layout, u32 per dimension
    SL_MANIFEST_NUMBER,      // u32 epoch, u64 seq
    SL_MANIFEST_FLOOR,       // u32 epoch, u64 seq
    SL_MANIFEST_VERSION,     // text, for people
    SL_MANIFEST_PAYLOAD,     // u64 length, SHA-256 of the chunk list
    SL_MANIFEST_COMPONENTS,  // each u8 length of name, name, u64 offset, u64 length, SHA-256
    SL_MANIFEST_LIMITS,      // u32 x 4, struct sl_limits
    SL_MANIFEST_CLAIMS,      // u32 latency, u64 memory, struct sl_claims
    SL_MANIFEST_ENCRYPTION,  // may be missing: u8 cipher = 1, hash of the content key, recipients
};

enum sl_root_tag {
    SL_ROOT_ROOT = 1, // u8 threshold, then public keys, ascending
    SL_ROOT_RELEASE,
    SL_ROOT_SITE, // may be missing
};

enum sl_catalog_tag {
    SL_CATALOG_PRODUCT = 1, // text
    SL_CATALOG_FLOOR,       // u32 epoch, u64 seq
    SL_CATALOG_REVOKED,     // bundle ids, ascending; may be missing
};

enum sl_order_tag {
    SL_ORDER_PRODUCT = 1, // text
    SL_ORDER_BUNDLE,      // bundle id
    SL_ORDER_CAMERAS,     // texts, each after a u8 length; missing: every camera
    SL_ORDER_WHEN,        // u8, enum sl_order_when
    SL_ORDER_DOWNGRADE,   // u32 epoch, u64 seq: the lowest permitted; may be missing
};

#endif
