// Content keys and encrypted components.
#include "ota/bundle/encryption.h"

#include "ota/bundle/signature.h"
#include "ota/sha256.h"

#include <sodium.h>
#include <string.h>

enum { BLOCK = 64 };

_Static_assert(SL_SEALED == SL_KEY + crypto_box_SEALBYTES, "a sealed content key");

bool sl_take_encryption(struct sl_octets *value, struct sl_encryption *out)
{
    struct sl_encryption e = {0};
    const uint8_t *check;
    if (!sl_take8(value, &e.cipher) || e.cipher != SL_CIPHER_XCHACHA20 ||
        !sl_take(value, SL_HASH, &check))
        return false;
    memcpy(e.check, check, SL_HASH);
    e.recipients = value->at;
    const uint8_t *recipient, *before = NULL;
    while (value->left > 0) {
        if (e.n_recipients == SL_RECIPIENTS_MAX || !sl_take(value, SL_RECIPIENT, &recipient) ||
            (before && memcmp(before, recipient, SL_HASH) >= 0))
            return false;
        before = recipient;
        e.n_recipients++;
    }
    *out = e;
    return e.n_recipients > 0;
}

void sl_content_key_check(const uint8_t key[SL_KEY], uint8_t check[SL_HASH])
{
    uint8_t message[SL_PREFIX + SL_KEY];
    memcpy(message, SL_PREFIX_CONTENT, SL_PREFIX);
    memcpy(message + SL_PREFIX, key, SL_KEY);
    sl_sha256(check, message, sizeof(message));
    sodium_memzero(message, sizeof(message));
}

bool sl_content_key_seal(const uint8_t key[SL_KEY], const uint8_t device[SL_KEY],
                         uint8_t sealed[SL_SEALED])
{
    uint8_t public[crypto_box_PUBLICKEYBYTES];
    return crypto_sign_ed25519_pk_to_curve25519(public, device) == 0 &&
           crypto_box_seal(sealed, key, SL_KEY, public) == 0;
}

static const uint8_t *find(const struct sl_encryption *e, const uint8_t id[SL_HASH])
{
    for (uint16_t i = 0; i < e->n_recipients; i++) {
        const uint8_t *const recipient = e->recipients + (size_t)i * SL_RECIPIENT;
        if (!memcmp(recipient, id, SL_HASH))
            return recipient + SL_HASH;
    }
    return NULL;
}

static bool unseal(const uint8_t *sealed, const uint8_t device[64], uint8_t key[SL_KEY])
{
    uint8_t public[crypto_box_PUBLICKEYBYTES], secret[crypto_box_SECRETKEYBYTES];
    // libsodium keeps the public key after the seed
    const bool good = crypto_sign_ed25519_pk_to_curve25519(public, device + 32) == 0 &&
                      crypto_sign_ed25519_sk_to_curve25519(secret, device) == 0 &&
                      crypto_box_seal_open(key, sealed, SL_SEALED, public, secret) == 0;
    sodium_memzero(secret, sizeof(secret));
    return good;
}

enum sl_refusal sl_content_key_open(const struct sl_encryption *encryption,
                                    const uint8_t device[64], uint8_t key[SL_KEY],
                                    struct sl_bundle_error *error)
{
    uint8_t id[SL_HASH], check[SL_HASH], found[SL_KEY];
    if (!device)
        return sl_refuse(error, SL_REFUSED_KEY, "encrypted, and this camera has no device key");
    sl_key_id(device + 32, id);
    const uint8_t *const sealed = find(encryption, id);
    if (!sealed)
        return sl_refuse(error, SL_REFUSED_KEY,
                         "encrypted for %u cameras; this camera's key is not among them",
                         encryption->n_recipients);
    if (!unseal(sealed, device, found))
        return sl_refuse(error, SL_REFUSED_KEY, "the content key cannot be opened");
    sl_content_key_check(found, check);
    const bool right = !memcmp(check, encryption->check, SL_HASH);
    if (right)
        memcpy(key, found, SL_KEY);
    sodium_memzero(found, sizeof(found));
    return right ? SL_ACCEPTED
                 : sl_refuse(error, SL_REFUSED_KEY,
                             "what is sealed for this camera is not the content key");
}

void sl_content_xor(const uint8_t key[SL_KEY], uint16_t component, uint64_t at, uint8_t *octets,
                    size_t size)
{
    const uint8_t nonce[crypto_stream_xchacha20_NONCEBYTES] = {(uint8_t)component,
                                                               (uint8_t)(component >> 8)};
    crypto_stream_xchacha20_xor_ic(octets, octets, size, nonce, at / BLOCK, key);
}
