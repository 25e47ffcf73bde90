// Keys of a role, and whether enough of them signed.
#ifndef SL_OTA_BUNDLE_SIGNATURE_H
#define SL_OTA_BUNDLE_SIGNATURE_H

#include "ota/bundle/format.h"
#include "ota/bundle/tlv.h"

// Public keys of which `threshold` must sign. A threshold of 0 is a role that nobody has.
struct sl_role {
    uint8_t threshold, count;
    uint8_t keys[SL_ROLE_KEYS_MAX][SL_KEY];
    uint8_t ids[SL_ROLE_KEYS_MAX][SL_HASH];
};

void sl_key_id(const uint8_t key[SL_KEY], uint8_t id[SL_HASH]);

// u8 threshold, then the keys: distinct because they must ascend. 1 ≤ threshold ≤ count.
bool sl_take_role(struct sl_octets *octets, struct sl_role *role);

// `signatures` is a list of SL_SIGNATURE_SIZE octets each, key ids strictly ascending, so that no
// key counts twice. Those of keys that are not in the role do not count; one of a key that is, and
// that is wrong, refuses the whole. `who` begins the message.
enum sl_refusal sl_check_signatures(const struct sl_role *role, const char *who,
                                    struct sl_octets message, struct sl_octets signatures,
                                    struct sl_bundle_error *error);

#endif
