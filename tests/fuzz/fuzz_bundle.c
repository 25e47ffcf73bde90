// Fuzz target: any bytes are a bundle, a document or a refusal. What stops random bytes at the door
// is repaired with the seeds' own keys (tests/ota/bundle_make.h), so that what is behind the
// checksum and the signatures is reached too.
#include "bundle_make.h"

#include "ota/sha256.h"

#include "ota/bundle/catalog.h"
#include "ota/bundle/load.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct memory {
    uint8_t *bytes;
    size_t size;
};

static int read_memory(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct memory *m = ctx;
    if (offset > m->size || size > m->size - offset)
        abort(); // a promise of the verifier
    memcpy(out, m->bytes + offset, size);
    return 0;
}

static void judge(struct memory *memory, const struct sl_trust *trust)
{
    static struct sl_bundle bundle;
    static const uint8_t denied[1][SL_HASH];
    const struct sl_bundle_policy policy = {"boards", "cam-hd", NULL, {1, 2}, denied, 1};
    const struct sl_bundle_source source = {read_memory, memory, memory->size, false};
    if (sl_bundle_verify(&bundle, &source, trust, &policy, NULL) == SL_ACCEPTED)
        sl_bundle_verify_payload(&bundle, &source, NULL, NULL, NULL);
}

// Signs the manifest with every release key, and makes the id right.
static void repair(struct memory *memory)
{
    static const char letters[] = "uvwxyz";
    static uint8_t message[SL_PREFIX + SL_MANIFEST_MAX];
    uint8_t public[32], secret[64];
    struct sl_superblock s;
    size_t signatures = 0;
    if (memory->size < SL_PAGE)
        return;
    memcpy(memory->bytes, SL_BUNDLE_MAGIC, SL_PREFIX);
    made_repair(memory->bytes);
    if (sl_superblock_read(memory->bytes, &s, NULL) != SL_ACCEPTED || s.total > memory->size)
        return;
    memcpy(message, SL_PREFIX_MANIFEST, SL_PREFIX);
    memcpy(message + SL_PREFIX, memory->bytes + s.manifest_at, s.manifest);
    memset(memory->bytes + s.signatures_at, 0, SL_SIGNATURES_MAX);
    for (int i = 0; i < 6; i++) {
        made_key(letters[i], public, secret);
        sl_signature_add(memory->bytes + s.signatures_at, &signatures, SL_SIGNATURES_MAX,
                         (struct sl_octets){message, SL_PREFIX + s.manifest}, secret);
    }
    sl_sha256(s.id, memory->bytes + s.manifest_at, s.manifest);
    s.signatures = (uint32_t)signatures;
    sl_superblock_write(&s, memory->bytes);
}

static void documents(struct sl_octets octets)
{
    static struct sl_root root;
    static struct sl_catalog catalog;
    static struct sl_order order;
    static struct sl_manifest manifest;
    struct sl_document d;
    if (sl_document_read(octets, SL_PREFIX_ROOT, &d, NULL) == SL_ACCEPTED)
        sl_root_read(&d, &root, NULL);
    d = (struct sl_document){.body = octets, .message = octets};
    sl_root_read(&d, &root, NULL);
    sl_catalog_read(&d, &catalog, NULL);
    sl_order_read(&d, &order, NULL);
    sl_manifest_read(octets, &manifest, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t chain[SL_DOCUMENT_MAX];
    static struct sl_trust trust;
    struct memory memory = {malloc(size ? size : 1), size};
    if (!memory.bytes || sodium_init() < 0)
        abort();
    if (trust.version == 0) {
        const size_t length = made_root(chain, 1, "abc", "xyz", 2, "ab");
        sl_trust_document((struct sl_octets){chain, length}, &trust, NULL);
    }
    memcpy(memory.bytes, bytes, size);
    judge(&memory, &trust);
    documents((struct sl_octets){memory.bytes, size});
    if (size > SL_PAGE)
        documents((struct sl_octets){memory.bytes + SL_PAGE, size - SL_PAGE});
    repair(&memory);
    judge(&memory, &trust);
    free(memory.bytes);
    return 0;
}
