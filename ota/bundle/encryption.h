// Encryption of a bundle's components for certain cameras. Optional, and apart from what is signed:
// every hash in a bundle is of the octets as they stand, which are the encrypted ones, so a bundle
// is verified before anything is decrypted and by everybody who has no key.
//
// A component is XORed with XChaCha20's stream (libsodium) under a content key, made for this
// bundle alone; the nonce is the component's number, little-endian, and the stream starts with the
// component. Padding stays zero. The content key is sealed (X25519, crypto_box_seal) for each
// camera's device key, which is an Ed25519 key like all others, converted. The content key's hash
// is in the manifest, so that a wrong one is known before it is used.
#ifndef SL_OTA_BUNDLE_ENCRYPTION_H
#define SL_OTA_BUNDLE_ENCRYPTION_H

#include "ota/bundle/manifest.h"

enum sl_cipher { SL_CIPHER_NONE, SL_CIPHER_XCHACHA20 };

// The block's value; `recipients` ascend by key id.
bool sl_take_encryption(struct sl_octets *value, struct sl_encryption *out);

// The content key, if the bundle is for the device whose secret key (libsodium's 64 octets) this
// is. SL_REFUSED_KEY if not, or if `device` is NULL.
enum sl_refusal sl_content_key_open(const struct sl_encryption *encryption,
                                    const uint8_t device[64], uint8_t key[SL_KEY],
                                    struct sl_bundle_error *error);

// Encrypts or decrypts octets of a component from `at`, a multiple of 64, on.
void sl_content_xor(const uint8_t key[SL_KEY], uint16_t component, uint64_t at, uint8_t *octets,
                    size_t size);

// For whoever makes a bundle: the hash of a content key, and the key sealed for a device's public
// key. False: not a public key.
void sl_content_key_check(const uint8_t key[SL_KEY], uint8_t check[SL_HASH]);
bool sl_content_key_seal(const uint8_t key[SL_KEY], const uint8_t device[SL_KEY],
                         uint8_t sealed[SL_SEALED]);

#endif
