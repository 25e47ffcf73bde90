// Walks the payload once: each chunk is read into our own memory, hashed there, and handed on from
// there.
#include "ota/bundle/load.h"

#include "ota/bundle/encryption.h"
#include "ota/sha256.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>

struct walk {
    const struct sl_manifest *manifest;
    uint16_t component; // the one that is being hashed
    struct sha256_ctx hash;
    int fd;             // where it is copied to; -1: nowhere
    const uint8_t *key; // of the content; NULL: not encrypted
};

static void next_component(struct walk *w, uint16_t component)
{
    w->component = component;
    sha256_init(&w->hash);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static enum sl_refusal end_component(struct walk *w, const struct sl_component *c,
                                     struct sl_bundle_error *error)
{
    uint8_t hash[SL_HASH];
    sha256_digest(&w->hash, SL_HASH, hash);
    if (memcmp(hash, c->hash, SL_HASH) != 0)
        return sl_refuse(error, SL_REFUSED_HASH, "component '%s' is not what was signed", c->name);
    next_component(w, (uint16_t)(w->component + 1));
    return SL_ACCEPTED;
}

// Octets of the payload from `at` on; the manifest says that components and their padding fill it.
static enum sl_refusal walk_octets(struct walk *w, uint64_t at, const uint8_t *octets,
                                   uint64_t size, struct sl_bundle_error *error)
{
    while (size > 0) {
        const struct sl_component *c = &w->manifest->components[w->component];
        const uint64_t end = c->offset + c->length, padded = c->offset + sl_page_up(c->length);
        uint64_t n = least(size, end - at); // chunks are whole pages: none starts in padding
        sha256_update(&w->hash, n, octets);
        const uint64_t zeros = at + n < end ? 0 : least(size - n, padded - at - n);
        if (!sodium_is_zero(octets + n, zeros))
            return sl_refuse(error, SL_REFUSED_PADDING, "what follows component '%s' is not zero",
                             c->name);
        n += zeros;
        at += n;
        octets += n;
        size -= n;
        if (at == padded) {
            const enum sl_refusal refusal = end_component(w, c, error);
            if (refusal != SL_ACCEPTED)
                return refusal;
        }
    }
    return SL_ACCEPTED;
}

static int write_all(int fd, const uint8_t *octets, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(fd, octets, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        octets += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

// The parts of components in a chunk that was verified.
static void decrypt(const struct walk *w, uint64_t at, uint8_t *octets, uint64_t size)
{
    const struct sl_manifest *m = w->manifest;
    for (uint16_t i = 0; i < m->n_components; i++) {
        const struct sl_component *c = &m->components[i];
        const uint64_t from = at > c->offset ? at : c->offset;
        const uint64_t to = least(at + size, c->offset + c->length);
        if (from < to)
            sl_content_xor(w->key, i, from - c->offset, octets + (from - at), to - from);
    }
}

static enum sl_refusal take_chunk(struct sl_bundle *b, const struct sl_bundle_source *source,
                                  struct walk *w, uint32_t index, struct sl_bundle_error *error)
{
    const uint64_t at = (uint64_t)index * SL_CHUNK;
    const uint32_t length = sl_bundle_chunk_length(b, index);
    int status = source->read(source->ctx, b->super.payload_at + at, b->chunk, length);
    if (status < 0)
        return sl_refuse(error, SL_REFUSED_READ, "chunk %u: %s", index, strerror(-status));
    enum sl_refusal refusal = sl_bundle_check_chunk(b, index, b->chunk, error);
    if (refusal == SL_ACCEPTED)
        refusal = walk_octets(w, at, b->chunk, length, error);
    if (refusal != SL_ACCEPTED || w->fd < 0)
        return refusal;
    if (w->key)
        decrypt(w, at, b->chunk, length);
    status = write_all(w->fd, b->chunk, length);
    return status == 0
               ? SL_ACCEPTED
               : sl_refuse(error, SL_REFUSED_MEMORY, "chunk %u: %s", index, strerror(-status));
}

static enum sl_refusal take_payload(struct sl_bundle *b, const struct sl_bundle_source *source,
                                    int fd, const uint8_t *key, sl_bundle_progress *progress,
                                    void *ctx, struct sl_bundle_error *error)
{
    struct walk w = {.manifest = &b->manifest, .fd = fd, .key = key};
    const uint32_t n = sl_bundle_n_chunks(b);
    next_component(&w, 0);
    for (uint32_t i = 0; i < n; i++) {
        const enum sl_refusal refusal = take_chunk(b, source, &w, i, error);
        if (refusal != SL_ACCEPTED)
            return refusal;
        if (progress)
            progress(ctx, i + 1, n);
    }
    return SL_ACCEPTED;
}

enum sl_refusal sl_bundle_verify_payload(struct sl_bundle *bundle,
                                         const struct sl_bundle_source *source,
                                         sl_bundle_progress *progress, void *ctx,
                                         struct sl_bundle_error *error)
{
    return take_payload(bundle, source, -1, NULL, progress, ctx, error);
}

static enum sl_refusal fill(struct sl_bundle *bundle, const struct sl_bundle_source *source,
                            const uint8_t *key, int memory, struct sl_bundle_error *error)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    const int status = write_all(memory, bundle->head, bundle->super.payload_at);
    if (status < 0)
        return sl_refuse(error, SL_REFUSED_MEMORY, "memfd: %s", strerror(-status));
    const enum sl_refusal refusal = take_payload(bundle, source, memory, key, NULL, NULL, error);
    if (refusal == SL_ACCEPTED && fcntl(memory, F_ADD_SEALS, seals) < 0)
        return sl_refuse(error, SL_REFUSED_MEMORY, "sealing: %s", strerror(errno));
    return refusal;
}

enum sl_refusal sl_bundle_load(struct sl_bundle *bundle, const struct sl_bundle_source *source,
                               const uint8_t *device, int *fd, struct sl_bundle_error *error)
{
    uint8_t key[SL_KEY] = {0};
    const bool encrypted = bundle->manifest.encryption.cipher != SL_CIPHER_NONE;
    if (encrypted) {
        const enum sl_refusal refusal =
            sl_content_key_open(&bundle->manifest.encryption, device, key, error);
        if (refusal != SL_ACCEPTED)
            return refusal;
    }
    const int memory = memfd_create("sightline-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const enum sl_refusal refusal =
        memory < 0 ? sl_refuse(error, SL_REFUSED_MEMORY, "memfd: %s", strerror(errno))
                   : fill(bundle, source, encrypted ? key : NULL, memory, error);
    sodium_memzero(key, sizeof(key));
    if (encrypted)
        sodium_memzero(bundle->chunk, sizeof(bundle->chunk)); // the last chunk, decrypted
    if (refusal == SL_ACCEPTED)
        *fd = memory;
    else if (memory >= 0)
        close(memory);
    return refusal;
}
