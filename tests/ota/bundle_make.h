// Makes bundles in memory, good ones and ones that are wrong in one chosen place. Keys are letters:
// 'a' is always the same key. Steps are separate so that a test can spoil what is between them.
#ifndef TESTS_OTA_BUNDLE_MAKE_H
#define TESTS_OTA_BUNDLE_MAKE_H

#include "ota/bundle/encode.h"
#include "ota/bundle/verify.h"

struct made {
    uint8_t chain[SL_KEY_CHAIN_MAX];
    uint8_t text[SL_MANIFEST_MAX]; // the manifest's octets
    uint8_t list[SL_CHUNKS_MAX * SL_HASH];
    uint8_t signatures[SL_SIGNATURES_MAX];
    size_t chain_size, text_size, signatures_size;
    struct sl_manifest manifest;
    struct sl_superblock super;
    uint8_t recipients[4 * SL_RECIPIENT];
    uint8_t *payload; // 2 MiB
    uint8_t *bytes;   // the bundle
    size_t size;
};

void made_key(char letter, uint8_t public[32], uint8_t secret[64]);

// A root document; `signers` may hold any letters. Returns its length.
size_t made_root(uint8_t *out, uint32_t version, const char *root, const char *release,
                 uint8_t release_threshold, const char *signers);

// The usual: root 1 (keys abc, release xyz 2 of 3, site s), three components, unsigned.
void made_begin(struct made *m);
void made_free(struct made *m);

// `length` octets of component `name`, after those before it in the order of their names.
void made_component(struct made *m, const char *name, size_t length);

// Encrypts the components so far for up to four letters; the content key is 32 times 0x5a.
void made_encrypt(struct made *m, const char *letters);

void made_encode(struct made *m);                    // chunk list and manifest text
void made_sign(struct made *m, const char *letters); // signatures over the text
void made_finish(struct made *m);                    // the bytes
void made_super(struct made *m);                     // writes a changed m->super
void made_repair(uint8_t *page);                     // a right checksum

// All of it: begin, encode, signed by x and y, finish.
void made_good(struct made *m);

struct sl_bundle_source made_source(struct made *m);
struct sl_trust made_trust(struct made *m); // in the first root of the chain, by hash alone

#endif
