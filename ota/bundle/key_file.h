// Keys in files: one line of text each.
#ifndef SL_OTA_BUNDLE_KEY_FILE_H
#define SL_OTA_BUNDLE_KEY_FILE_H

#include "ota/bundle/refusal.h"

#include <stdbool.h>
#include <stdint.h>

#define SL_KEY_LINE_PUBLIC "sightline-public-key ed25519 "
#define SL_KEY_LINE_SECRET "sightline-secret-key ed25519 "

// libsodium's 32 and 64 octets. A secret key that others may read or write is refused.
// SL_REFUSED_KEY and a message without the file's name.
enum sl_refusal sl_key_file_public(const char *path, uint8_t key[32],
                                   struct sl_bundle_error *error);
enum sl_refusal sl_key_file_secret(const char *path, uint8_t key[64],
                                   struct sl_bundle_error *error);

#endif
