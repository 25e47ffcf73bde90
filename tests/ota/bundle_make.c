// Bundles for the tests.
#include "bundle_make.h"

#include "ota/sha256.h"

#include "ota/bundle/crc32c.h"
#include "ota/bundle/encryption.h"
#include "ota/usb/bytes.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_ROOM = 2 << 20 };

void made_key(char letter, uint8_t public[32], uint8_t secret[64])
{
    uint8_t seed[32];
    sl_sha256(seed, (const uint8_t *)&letter, 1);
    crypto_sign_seed_keypair(public, secret, seed);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, SL_KEY);
}

static void role(struct sl_role *out, const char *letters, uint8_t threshold)
{
    uint8_t secret[64];
    out->threshold = threshold;
    for (; *letters; letters++)
        made_key(*letters, out->keys[out->count++], secret);
    qsort(out->keys, out->count, SL_KEY, compare);
}

size_t made_root(uint8_t *out, uint32_t version, const char *root, const char *release,
                 uint8_t release_threshold, const char *signers)
{
    struct sl_root r = {.version = version};
    uint8_t document[SL_DOCUMENT_MAX], public[32], secret[64];
    role(&r.root, root, 2);
    role(&r.release, release, release_threshold);
    role(&r.site, "s", 1);
    size_t size = sl_root_write(&r, document);
    for (; size > 0 && *signers; signers++) {
        made_key(*signers, public, secret);
        if (!sl_document_sign(document, &size, SL_PREFIX_ROOT, secret))
            abort();
    }
    memcpy(out, document, size);
    return size;
}

void made_component(struct made *m, const char *name, size_t length)
{
    struct sl_component *c = &m->manifest.components[m->manifest.n_components++];
    snprintf(c->name, sizeof(c->name), "%s", name);
    c->offset = m->manifest.payload;
    c->length = length;
    if (c->offset + sl_page_up(length) > PAYLOAD_ROOM)
        abort();
    for (size_t i = 0; i < length; i++)
        m->payload[c->offset + i] = (uint8_t)(i * 7 + length);
    sl_sha256(c->hash, m->payload + c->offset, length);
    m->manifest.payload += sl_page_up(length);
}

void made_begin(struct made *m)
{
    memset(m, 0, sizeof(*m));
    m->payload = calloc(1, PAYLOAD_ROOM);
    m->bytes = calloc(1, PAYLOAD_ROOM + SL_HEAD_MAX);
    if (!m->payload || !m->bytes)
        abort();
    m->chain_size = made_root(m->chain, 1, "abc", "xyz", 2, "ab");
    m->manifest = (struct sl_manifest){
        .product = "boards",
        .version = "3.1",
        .n_hardware = 2,
        .hardware = {"cam-4k", "cam-hd"},
        .tensor = {SL_ELEMENT_FLOAT32, SL_LAYOUT_NCHW, 4, {1, 2, 64, 96}},
        .number = {2, 40},
        .floor = {2, 30},
        .limits = {800000, 50000, 30, 100},
        .claims = {20000, 64 << 20},
    };
    made_component(m, "golden/0.expect", 100);
    made_component(m, "model.onnx", SL_PAGE);
    made_component(m, "model.yaml", 50);
}

void made_free(struct made *m)
{
    free(m->payload);
    free(m->bytes);
}

static int compare_recipients(const void *a, const void *b)
{
    return memcmp(a, b, SL_HASH);
}

void made_encrypt(struct made *m, const char *letters)
{
    struct sl_encryption *e = &m->manifest.encryption;
    uint8_t key[SL_KEY], public[32], secret[64];
    memset(key, 0x5a, sizeof(key));
    *e = (struct sl_encryption){.cipher = SL_CIPHER_XCHACHA20, .recipients = m->recipients};
    sl_content_key_check(key, e->check);
    for (; *letters; letters++) {
        uint8_t *const recipient = m->recipients + (size_t)e->n_recipients++ * SL_RECIPIENT;
        made_key(*letters, public, secret);
        sl_key_id(public, recipient);
        if (e->n_recipients > 4 || !sl_content_key_seal(key, public, recipient + SL_HASH))
            abort();
    }
    qsort(m->recipients, e->n_recipients, SL_RECIPIENT, compare_recipients);
    for (uint16_t i = 0; i < m->manifest.n_components; i++) {
        struct sl_component *c = &m->manifest.components[i];
        sl_content_xor(key, i, 0, m->payload + c->offset, c->length);
        sl_sha256(c->hash, m->payload + c->offset, c->length);
    }
}

static uint32_t n_chunks(uint64_t payload)
{
    return (uint32_t)((payload + SL_CHUNK - 1) / SL_CHUNK);
}

void made_encode(struct made *m)
{
    const uint64_t payload = m->manifest.payload;
    for (uint32_t i = 0; i < n_chunks(payload); i++) {
        const uint64_t at = (uint64_t)i * SL_CHUNK, left = payload - at;
        sl_sha256(m->list + i * SL_HASH, m->payload + at, left < SL_CHUNK ? left : SL_CHUNK);
    }
    sl_sha256(m->manifest.chunk_list_hash, m->list, n_chunks(payload) * SL_HASH);
    m->text_size = sl_manifest_write(&m->manifest, m->text, sizeof(m->text));
    if (m->text_size == 0)
        abort();
}

void made_sign(struct made *m, const char *letters)
{
    static uint8_t message[SL_PREFIX + SL_MANIFEST_MAX];
    uint8_t public[32], secret[64];
    memcpy(message, SL_PREFIX_MANIFEST, SL_PREFIX);
    memcpy(message + SL_PREFIX, m->text, m->text_size);
    for (; *letters; letters++) {
        made_key(*letters, public, secret);
        if (!sl_signature_add(m->signatures, &m->signatures_size, SL_SIGNATURES_MAX,
                              (struct sl_octets){message, SL_PREFIX + m->text_size}, secret))
            abort();
    }
}

void made_super(struct made *m)
{
    const uint64_t total = m->super.total;
    sl_superblock_write(&m->super, m->bytes);
    if (total != 0 && total != m->super.total) { // a lie that the test wants
        sl_put64(m->bytes + SL_SUPER_TOTAL_AT, total);
        made_repair(m->bytes);
    }
}

void made_repair(uint8_t *page)
{
    sl_put32(page + SL_SUPER_CRC_AT, sl_crc32c(page, SL_SUPER_CRC_AT));
}

void made_finish(struct made *m)
{
    struct sl_superblock *s = &m->super;
    memset(m->bytes, 0, SL_HEAD_MAX);
    *s = (struct sl_superblock){
        .key_chain = (uint32_t)m->chain_size,
        .manifest = (uint32_t)m->text_size,
        .signatures = (uint32_t)m->signatures_size,
        .chunk_list = n_chunks(m->manifest.payload) * SL_HASH,
        .payload = m->manifest.payload,
    };
    sl_sha256(s->id, m->text, m->text_size);
    made_super(m);
    memcpy(m->bytes + SL_PAGE, m->chain, m->chain_size);
    memcpy(m->bytes + s->manifest_at, m->text, m->text_size);
    memcpy(m->bytes + s->signatures_at, m->signatures, m->signatures_size);
    memcpy(m->bytes + s->chunk_list_at, m->list, s->chunk_list);
    memcpy(m->bytes + s->payload_at, m->payload, m->manifest.payload);
    m->size = s->total;
}

void made_good(struct made *m)
{
    made_begin(m);
    made_encode(m);
    made_sign(m, "xy");
    made_finish(m);
}

static int read_made(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct made *m = ctx;
    if (offset > m->size || size > m->size - offset)
        return -EIO;
    memcpy(out, m->bytes + offset, size);
    return 0;
}

struct sl_bundle_source made_source(struct made *m)
{
    return (struct sl_bundle_source){read_made, m, m->size, true};
}

struct sl_trust made_trust(struct made *m)
{
    struct sl_trust trust = {0};
    struct sl_document d;
    struct sl_octets chain = {m->chain, m->chain_size};
    const uint8_t *const start = chain.at;
    if (sl_document_take(&chain, SL_PREFIX_ROOT, &d, NULL) != SL_ACCEPTED ||
        sl_trust_document((struct sl_octets){start, (size_t)(chain.at - start)}, &trust, NULL) !=
            SL_ACCEPTED)
        abort();
    trust.document = (struct sl_octets){NULL, 0};
    return trust;
}
