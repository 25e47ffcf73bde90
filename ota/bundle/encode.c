// Writes manifests, documents and signatures.
#include "ota/bundle/encode.h"

#include "ota/usb/bytes.h"

#include <sodium.h>
#include <string.h>

void sl_write_octets(struct sl_writer *w, const void *octets, size_t size)
{
    if (w->failed || size > w->size - w->used) {
        w->failed = true;
        return;
    }
    memcpy(w->at + w->used, octets, size);
    w->used += size;
}

void sl_write_u8(struct sl_writer *w, uint8_t value)
{
    sl_write_octets(w, &value, 1);
}

void sl_write_u16(struct sl_writer *w, uint16_t value)
{
    uint8_t p[2];
    sl_put16(p, value);
    sl_write_octets(w, p, sizeof(p));
}

void sl_write_u32(struct sl_writer *w, uint32_t value)
{
    uint8_t p[4];
    sl_put32(p, value);
    sl_write_octets(w, p, sizeof(p));
}

void sl_write_u64(struct sl_writer *w, uint64_t value)
{
    uint8_t p[8];
    sl_put64(p, value);
    sl_write_octets(w, p, sizeof(p));
}

// A tag whose length is filled in by `end`.
static size_t begin(struct sl_writer *w, uint16_t tag)
{
    sl_write_u16(w, tag);
    sl_write_u32(w, 0);
    return w->used;
}

static void end(struct sl_writer *w, size_t start)
{
    if (!w->failed)
        sl_put32(w->at + start - 4, (uint32_t)(w->used - start));
}

static void write_text(struct sl_writer *w, uint16_t tag, const char *text)
{
    const size_t start = begin(w, tag);
    sl_write_octets(w, text, strlen(text));
    end(w, start);
}

static void write_counted_text(struct sl_writer *w, const char *text)
{
    sl_write_u8(w, (uint8_t)strlen(text));
    sl_write_octets(w, text, strlen(text));
}

static void write_number(struct sl_writer *w, uint16_t tag, struct sl_bundle_number number)
{
    const size_t start = begin(w, tag);
    sl_write_u32(w, number.epoch);
    sl_write_u64(w, number.seq);
    end(w, start);
}

static void write_hardware(struct sl_writer *w, const struct sl_manifest *m)
{
    const size_t start = begin(w, SL_MANIFEST_HARDWARE);
    for (uint8_t i = 0; i < m->n_hardware; i++)
        write_counted_text(w, m->hardware[i]);
    end(w, start);
}

static void write_tensor(struct sl_writer *w, const struct sl_tensor_abi *t)
{
    const size_t start = begin(w, SL_MANIFEST_TENSOR);
    sl_write_u8(w, t->element);
    sl_write_u8(w, t->layout);
    for (uint8_t i = 0; i < t->rank; i++)
        sl_write_u32(w, t->dims[i]);
    end(w, start);
}

static void write_payload(struct sl_writer *w, const struct sl_manifest *m)
{
    size_t start = begin(w, SL_MANIFEST_PAYLOAD);
    sl_write_u64(w, m->payload);
    sl_write_octets(w, m->chunk_list_hash, SL_HASH);
    end(w, start);
    start = begin(w, SL_MANIFEST_COMPONENTS);
    for (uint16_t i = 0; i < m->n_components; i++) {
        const struct sl_component *c = &m->components[i];
        write_counted_text(w, c->name);
        sl_write_u64(w, c->offset);
        sl_write_u64(w, c->length);
        sl_write_octets(w, c->hash, SL_HASH);
    }
    end(w, start);
}

static void write_limits(struct sl_writer *w, const struct sl_manifest *m)
{
    size_t start = begin(w, SL_MANIFEST_LIMITS);
    sl_write_u32(w, m->limits.overlap_ppm);
    sl_write_u32(w, m->limits.score_ppm);
    sl_write_u32(w, m->limits.shadow_frames);
    sl_write_u32(w, m->limits.probation_frames);
    end(w, start);
    start = begin(w, SL_MANIFEST_CLAIMS);
    sl_write_u32(w, m->claims.latency_us);
    sl_write_u64(w, m->claims.memory);
    end(w, start);
}

static void write_encryption(struct sl_writer *w, const struct sl_encryption *e)
{
    const size_t start = begin(w, SL_MANIFEST_ENCRYPTION);
    sl_write_u8(w, e->cipher);
    sl_write_octets(w, e->check, SL_HASH);
    sl_write_octets(w, e->recipients, (size_t)e->n_recipients * SL_RECIPIENT);
    end(w, start);
}

size_t sl_manifest_write(const struct sl_manifest *manifest, uint8_t *out, size_t size)
{
    static struct sl_manifest check;
    struct sl_writer w = {out, size, 0, false};
    write_text(&w, SL_MANIFEST_PRODUCT, manifest->product);
    write_hardware(&w, manifest);
    write_tensor(&w, &manifest->tensor);
    write_number(&w, SL_MANIFEST_NUMBER, manifest->number);
    write_number(&w, SL_MANIFEST_FLOOR, manifest->floor);
    write_text(&w, SL_MANIFEST_VERSION, manifest->version);
    write_payload(&w, manifest);
    write_limits(&w, manifest);
    if (manifest->encryption.cipher)
        write_encryption(&w, &manifest->encryption);
    const struct sl_octets written = {out, w.used};
    return w.failed || sl_manifest_read(written, &check, NULL) != SL_ACCEPTED ? 0 : w.used;
}

// Prefix, number and a length that `end_document` fills in.
static struct sl_writer begin_document(uint8_t *out, const char *prefix, uint32_t number)
{
    struct sl_writer w = {out, SL_DOCUMENT_MAX, 0, false};
    sl_write_octets(&w, prefix, SL_PREFIX);
    sl_write_u32(&w, number);
    sl_write_u32(&w, 0);
    return w;
}

static size_t end_document(struct sl_writer *w)
{
    if (!w->failed)
        sl_put32(w->at + SL_DOCUMENT_LENGTH_AT, (uint32_t)(w->used - SL_DOCUMENT_BODY_AT));
    sl_write_u32(w, 0); // no signatures
    return w->failed ? 0 : w->used;
}

static void write_role(struct sl_writer *w, uint16_t tag, const struct sl_role *role)
{
    const size_t start = begin(w, tag);
    sl_write_u8(w, role->threshold);
    sl_write_octets(w, role->keys, (size_t)role->count * SL_KEY);
    end(w, start);
}

size_t sl_root_write(const struct sl_root *root, uint8_t *out)
{
    static struct sl_root check;
    struct sl_document document;
    struct sl_writer w = begin_document(out, SL_PREFIX_ROOT, root->version);
    write_role(&w, SL_ROOT_ROOT, &root->root);
    write_role(&w, SL_ROOT_RELEASE, &root->release);
    if (root->site.count > 0)
        write_role(&w, SL_ROOT_SITE, &root->site);
    const size_t size = end_document(&w);
    const struct sl_octets written = {out, size};
    // Nobody has signed yet; that is the one thing that may be wrong.
    if (size == 0 || sl_document_read(written, SL_PREFIX_ROOT, &document, NULL) != SL_ACCEPTED ||
        sl_root_read(&document, &check, NULL) != SL_REFUSED_THRESHOLD)
        return 0;
    return size;
}

size_t sl_catalog_write(const struct sl_catalog *catalog, uint8_t *out)
{
    static struct sl_catalog check;
    struct sl_document document;
    struct sl_writer w = begin_document(out, SL_PREFIX_CATALOG, catalog->number);
    write_text(&w, SL_CATALOG_PRODUCT, catalog->product);
    write_number(&w, SL_CATALOG_FLOOR, catalog->floor);
    if (catalog->n_revoked > 0) {
        const size_t start = begin(&w, SL_CATALOG_REVOKED);
        sl_write_octets(&w, catalog->revoked, (size_t)catalog->n_revoked * SL_HASH);
        end(&w, start);
    }
    const size_t size = end_document(&w);
    const struct sl_octets written = {out, size};
    if (size == 0 || sl_document_read(written, SL_PREFIX_CATALOG, &document, NULL) != SL_ACCEPTED ||
        sl_catalog_read(&document, &check, NULL) != SL_ACCEPTED)
        return 0;
    return size;
}

size_t sl_order_write(const struct sl_order *order, uint8_t *out)
{
    static struct sl_order check;
    struct sl_document document;
    struct sl_writer w = begin_document(out, SL_PREFIX_ORDER, order->number);
    write_text(&w, SL_ORDER_PRODUCT, order->product);
    size_t start = begin(&w, SL_ORDER_BUNDLE);
    sl_write_octets(&w, order->bundle, SL_HASH);
    end(&w, start);
    if (order->n_cameras > 0) {
        start = begin(&w, SL_ORDER_CAMERAS);
        for (uint8_t i = 0; i < order->n_cameras; i++)
            write_counted_text(&w, order->cameras[i]);
        end(&w, start);
    }
    start = begin(&w, SL_ORDER_WHEN);
    sl_write_u8(&w, order->when);
    end(&w, start);
    if (order->permits_downgrade)
        write_number(&w, SL_ORDER_DOWNGRADE, order->downgrade);
    const size_t size = end_document(&w);
    const struct sl_octets written = {out, size};
    if (size == 0 || sl_document_read(written, SL_PREFIX_ORDER, &document, NULL) != SL_ACCEPTED ||
        sl_order_read(&document, &check, NULL) != SL_ACCEPTED)
        return 0;
    return size;
}

bool sl_signature_add(uint8_t *list, size_t *length, size_t most, struct sl_octets message,
                      const uint8_t secret[64])
{
    uint8_t one[SL_SIGNATURE_SIZE];
    size_t at = 0;
    sl_key_id(secret + 32, one); // libsodium keeps the public key there
    one[SL_SIGNATURE_ALGORITHM_AT] = SL_ALGORITHM_ED25519;
    crypto_sign_detached(one + SL_SIGNATURE_AT, NULL, message.at, message.left, secret);
    while (at < *length && memcmp(list + at, one, SL_HASH) < 0)
        at += SL_SIGNATURE_SIZE;
    if (at == *length || memcmp(list + at, one, SL_HASH) != 0) {
        if (most - *length < SL_SIGNATURE_SIZE)
            return false;
        memmove(list + at + SL_SIGNATURE_SIZE, list + at, *length - at);
        *length += SL_SIGNATURE_SIZE;
    }
    memcpy(list + at, one, SL_SIGNATURE_SIZE);
    return true;
}

bool sl_document_sign(uint8_t *octets, size_t *length, const char *prefix, const uint8_t secret[64])
{
    struct sl_document d;
    const struct sl_octets all = {octets, *length};
    if (sl_document_read(all, prefix, &d, NULL) != SL_ACCEPTED)
        return false;
    const size_t start = d.message.left + 4;
    size_t signatures = *length - start;
    if (signatures % SL_SIGNATURE_SIZE ||
        !sl_signature_add(octets + start, &signatures, SL_DOCUMENT_MAX - start, d.message, secret))
        return false;
    sl_put32(octets + d.message.left, (uint32_t)signatures);
    *length = start + signatures;
    return true;
}
