// Why a bundle, a root, a catalog or an order is not accepted.
#ifndef SL_OTA_BUNDLE_REFUSAL_H
#define SL_OTA_BUNDLE_REFUSAL_H

// Append only: status messages and the audit log name these.
enum sl_refusal {
    SL_ACCEPTED = 0,
    SL_REFUSED_READ,      // the source failed
    SL_REFUSED_TRUNCATED, // shorter than it says
    SL_REFUSED_OVERSIZED, // a length beyond its limit, or octets after the end
    SL_REFUSED_FORMAT,    // not in the one form that is allowed
    SL_REFUSED_CHECKSUM,  // CRC of the superblock
    SL_REFUSED_PADDING,   // not zero
    SL_REFUSED_ROOT,      // no chain from the trusted root
    SL_REFUSED_SIGNATURE, // a signature that is wrong
    SL_REFUSED_THRESHOLD, // too few signatures of keys that may sign
    SL_REFUSED_HASH,      // content is not what was signed
    SL_REFUSED_PRODUCT,
    SL_REFUSED_HARDWARE,
    SL_REFUSED_TENSOR,
    SL_REFUSED_OLD,    // (epoch, seq) below the floor
    SL_REFUSED_DENIED, // bundle id on a list of refused ones
    SL_REFUSED_CAMERA, // an order for other cameras
    SL_REFUSED_MEMORY, // no memory descriptor to load into
    SL_REFUSED_KEY,    // encrypted, and not for this camera's key
    SL_N_REFUSALS,
};

struct sl_bundle_error {
    enum sl_refusal refusal;
    char message[256];
};

// Writes code and message and returns the code. `error` may be NULL.
enum sl_refusal sl_refuse(struct sl_bundle_error *error, enum sl_refusal refusal,
                          const char *format, ...) __attribute__((format(printf, 3, 4)));

// One word, for scripts: "truncated". Of any number; never NULL.
const char *sl_refusal_name(enum sl_refusal refusal);

#endif
