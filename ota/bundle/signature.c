// k-of-n Ed25519 signatures (RFC 8032), by libsodium.
#include "ota/bundle/signature.h"

#include "ota/sha256.h"

#include <sodium.h>
#include <string.h>

void sl_key_id(const uint8_t key[SL_KEY], uint8_t id[SL_HASH])
{
    sl_sha256(id, key, SL_KEY);
}

bool sl_take_role(struct sl_octets *octets, struct sl_role *role)
{
    const uint8_t *key, *previous = NULL;
    role->count = 0;
    if (!sl_take8(octets, &role->threshold))
        return false;
    while (sl_take(octets, SL_KEY, &key)) {
        if (role->count == SL_ROLE_KEYS_MAX || (previous && memcmp(previous, key, SL_KEY) >= 0))
            return false;
        memcpy(role->keys[role->count], key, SL_KEY);
        sl_key_id(key, role->ids[role->count++]);
        previous = key;
    }
    return role->threshold >= 1 && role->threshold <= role->count;
}

static const uint8_t *find_key(const struct sl_role *role, const uint8_t *id)
{
    for (uint8_t i = 0; i < role->count; i++)
        if (!memcmp(role->ids[i], id, SL_HASH))
            return role->keys[i];
    return NULL;
}

enum sl_refusal sl_check_signatures(const struct sl_role *role, const char *who,
                                    struct sl_octets message, struct sl_octets signatures,
                                    struct sl_bundle_error *error)
{
    const uint8_t *previous = NULL, *signature;
    unsigned good = 0;
    while (sl_take(&signatures, SL_SIGNATURE_SIZE, &signature)) {
        if (previous && memcmp(previous, signature, SL_HASH) >= 0)
            return sl_refuse(error, SL_REFUSED_SIGNATURE,
                             "%s: key ids of signatures must ascend, none twice", who);
        if (signature[SL_SIGNATURE_ALGORITHM_AT] != SL_ALGORITHM_ED25519)
            return sl_refuse(error, SL_REFUSED_SIGNATURE, "%s: signature algorithm %u; expected %d",
                             who, signature[SL_SIGNATURE_ALGORITHM_AT], SL_ALGORITHM_ED25519);
        previous = signature;
        const uint8_t *key = find_key(role, signature);
        if (!key)
            continue;
        if (crypto_sign_verify_detached(signature + SL_SIGNATURE_AT, message.at, message.left,
                                        key) != 0)
            return sl_refuse(error, SL_REFUSED_SIGNATURE,
                             "%s: the signature of key %02x%02x%02x%02x… is wrong", who,
                             signature[0], signature[1], signature[2], signature[3]);
        good++;
    }
    if (signatures.left > 0)
        return sl_refuse(error, SL_REFUSED_TRUNCATED, "%s: a signature of %zu octets", who,
                         signatures.left);
    if (role->threshold == 0 || good < role->threshold)
        return sl_refuse(error, SL_REFUSED_THRESHOLD, "%s: %u of %u signatures", who, good,
                         role->threshold);
    return SL_ACCEPTED;
}
