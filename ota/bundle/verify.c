// Verify before parse.
#include "ota/bundle/verify.h"

#include "ota/bundle/tensor.h"
#include "ota/sha256.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

static enum sl_refusal read_head(struct sl_bundle *b, const struct sl_bundle_source *source,
                                 struct sl_bundle_error *error)
{
    if (source->size < SL_PAGE)
        return sl_refuse(error, SL_REFUSED_TRUNCATED, "%" PRIu64 " octets; a bundle has more",
                         source->size);
    int status = source->read(source->ctx, 0, b->head, SL_PAGE);
    if (status < 0)
        return sl_refuse(error, SL_REFUSED_READ, "superblock: %s", strerror(-status));
    const enum sl_refusal refusal = sl_superblock_read(b->head, &b->super, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    if (source->size < b->super.total || (source->exact && source->size > b->super.total))
        return sl_refuse(
            error, source->size < b->super.total ? SL_REFUSED_TRUNCATED : SL_REFUSED_OVERSIZED,
            "%" PRIu64 " octets; expected %" PRIu64, source->size, b->super.total);
    status = source->read(source->ctx, SL_PAGE, b->head + SL_PAGE, b->super.payload_at - SL_PAGE);
    if (status < 0)
        return sl_refuse(error, SL_REFUSED_READ, "sections: %s", strerror(-status));
    return SL_ACCEPTED;
}

// What is between the sections is not signed, so it must be zero.
static enum sl_refusal check_padding(const struct sl_bundle *b, struct sl_bundle_error *error)
{
    const struct sl_superblock *s = &b->super;
    const struct {
        const char *name;
        uint32_t from, to;
    } gaps[] = {
        {"key chain", SL_PAGE + s->key_chain, s->manifest_at},
        {"manifest", s->manifest_at + s->manifest, s->signatures_at},
        {"signatures", s->signatures_at + s->signatures, s->chunk_list_at},
        {"chunk list", s->chunk_list_at + s->chunk_list, s->payload_at},
    };
    for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++)
        if (!sodium_is_zero(b->head + gaps[i].from, gaps[i].to - gaps[i].from))
            return sl_refuse(error, SL_REFUSED_PADDING, "what follows the %s is not zero",
                             gaps[i].name);
    return SL_ACCEPTED;
}

static enum sl_refusal check_manifest_signatures(struct sl_bundle *b, struct sl_bundle_error *error)
{
    const struct sl_superblock *s = &b->super;
    uint8_t id[SL_HASH];
    memcpy(b->message, SL_PREFIX_MANIFEST, SL_PREFIX);
    memcpy(b->message + SL_PREFIX, b->head + s->manifest_at, s->manifest);
    const struct sl_octets message = {b->message, SL_PREFIX + s->manifest};
    const struct sl_octets signatures = {b->head + s->signatures_at, s->signatures};
    const enum sl_refusal refusal =
        sl_check_signatures(&b->root.release, "bundle", message, signatures, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    sl_sha256(id, b->message + SL_PREFIX, s->manifest);
    if (memcmp(id, s->id, SL_HASH) != 0)
        return sl_refuse(error, SL_REFUSED_HASH, "the superblock names another bundle id");
    return SL_ACCEPTED;
}

static enum sl_refusal read_manifest(struct sl_bundle *b, struct sl_bundle_error *error)
{
    const struct sl_superblock *s = &b->super;
    uint8_t hash[SL_HASH];
    const struct sl_octets octets = {b->message + SL_PREFIX, s->manifest};
    const enum sl_refusal refusal = sl_manifest_read(octets, &b->manifest, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    if (b->manifest.payload != s->payload)
        return sl_refuse(error, SL_REFUSED_HASH,
                         "payload of %" PRIu64 " octets; %" PRIu64 " were signed", s->payload,
                         b->manifest.payload);
    sl_sha256(hash, b->head + s->chunk_list_at, s->chunk_list);
    if (memcmp(hash, b->manifest.chunk_list_hash, SL_HASH) != 0)
        return sl_refuse(error, SL_REFUSED_HASH, "the chunk list is not the one that was signed");
    return SL_ACCEPTED;
}

static enum sl_refusal walk_keys(struct sl_bundle *b, const struct sl_trust *trust,
                                 struct sl_bundle_error *error)
{
    const struct sl_octets chain = {b->head + SL_PAGE, b->super.key_chain};
    const enum sl_refusal refusal = sl_keychain_walk(trust, chain, &b->root, &b->next_root, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    b->trust_next = *trust;
    struct sl_octets rest = chain;
    struct sl_document d;
    const uint8_t *at = rest.at;
    while (rest.left > 0 && sl_document_take(&rest, SL_PREFIX_ROOT, &d, NULL) == SL_ACCEPTED) {
        if (d.number == b->root.version)
            b->trust_next.document = (struct sl_octets){at, (size_t)(rest.at - at)};
        at = rest.at;
    }
    b->trust_next.version = b->root.version;
    memcpy(b->trust_next.hash, b->root.hash, SL_HASH);
    return SL_ACCEPTED;
}

enum sl_refusal sl_bundle_verify(struct sl_bundle *bundle, const struct sl_bundle_source *source,
                                 const struct sl_trust *trust,
                                 const struct sl_bundle_policy *policy,
                                 struct sl_bundle_error *error)
{
    enum sl_refusal refusal = read_head(bundle, source, error);
    if (refusal == SL_ACCEPTED)
        refusal = check_padding(bundle, error);
    if (refusal == SL_ACCEPTED)
        refusal = walk_keys(bundle, trust, error);
    if (refusal == SL_ACCEPTED)
        refusal = check_manifest_signatures(bundle, error);
    if (refusal == SL_ACCEPTED)
        refusal = read_manifest(bundle, error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_bundle_check_policy(bundle, policy, error);
    return refusal;
}

static bool runs_on(const struct sl_manifest *m, const char *hardware)
{
    for (uint8_t i = 0; i < m->n_hardware; i++)
        if (!strcmp(m->hardware[i], hardware))
            return true;
    return false;
}

static enum sl_refusal refuse_tensor(const struct sl_tensor_abi *expected,
                                     const struct sl_tensor_abi *found,
                                     struct sl_bundle_error *error)
{
    char here[SL_TENSOR_TEXT], there[SL_TENSOR_TEXT];
    sl_tensor_text(expected, here);
    sl_tensor_text(found, there);
    return sl_refuse(error, SL_REFUSED_TENSOR, "input tensor %s; this camera expects %s", there,
                     here);
}

enum sl_refusal sl_bundle_check_policy(const struct sl_bundle *bundle,
                                       const struct sl_bundle_policy *policy,
                                       struct sl_bundle_error *error)
{
    const struct sl_manifest *m = &bundle->manifest;
    for (size_t i = 0; i < policy->n_denied; i++)
        if (!memcmp(policy->denied[i], bundle->super.id, SL_HASH))
            return sl_refuse(error, SL_REFUSED_DENIED, "this bundle is on the list of denied ones");
    if (policy->product && strcmp(policy->product, m->product))
        return sl_refuse(error, SL_REFUSED_PRODUCT, "product '%s'; this camera inspects '%s'",
                         m->product, policy->product);
    if (policy->hardware && !runs_on(m, policy->hardware))
        return sl_refuse(error, SL_REFUSED_HARDWARE, "made for '%s'%s; this camera is '%s'",
                         m->hardware[0], m->n_hardware > 1 ? " and others" : "", policy->hardware);
    if (policy->tensor && !sl_tensor_abi_equal(policy->tensor, &m->tensor))
        return refuse_tensor(policy->tensor, &m->tensor, error);
    if (sl_bundle_number_compare(m->number, policy->floor) < 0)
        return sl_refuse(error, SL_REFUSED_OLD,
                         "number %u.%" PRIu64 " is below the floor %u.%" PRIu64, m->number.epoch,
                         m->number.seq, policy->floor.epoch, policy->floor.seq);
    return SL_ACCEPTED;
}

uint32_t sl_bundle_n_chunks(const struct sl_bundle *bundle)
{
    return bundle->super.chunk_list / SL_HASH;
}

uint32_t sl_bundle_chunk_length(const struct sl_bundle *bundle, uint32_t index)
{
    const uint64_t left = bundle->super.payload - (uint64_t)index * SL_CHUNK;
    return left < SL_CHUNK ? (uint32_t)left : SL_CHUNK;
}

enum sl_refusal sl_bundle_check_chunk(const struct sl_bundle *bundle, uint32_t index,
                                      const void *octets, struct sl_bundle_error *error)
{
    uint8_t hash[SL_HASH];
    sl_sha256(hash, octets, sl_bundle_chunk_length(bundle, index));
    if (memcmp(hash, bundle->head + bundle->super.chunk_list_at + index * SL_HASH, SL_HASH) != 0)
        return sl_refuse(error, SL_REFUSED_HASH, "chunk %u is not what was signed", index);
    return SL_ACCEPTED;
}
