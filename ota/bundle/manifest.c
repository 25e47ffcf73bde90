// Reads the manifest.
#include "ota/bundle/manifest.h"

#include "ota/bundle/encryption.h"
#include "ota/bundle/superblock.h"

#include <string.h>

int sl_bundle_number_compare(struct sl_bundle_number a, struct sl_bundle_number b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

bool sl_take_bundle_number(struct sl_octets *octets, struct sl_bundle_number *out)
{
    return sl_take32(octets, &out->epoch) && sl_take64(octets, &out->seq);
}

bool sl_tensor_abi_equal(const struct sl_tensor_abi *a, const struct sl_tensor_abi *b)
{
    return a->element == b->element && a->layout == b->layout && a->rank == b->rank &&
           !memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0]));
}

static bool read_product(struct sl_octets *value, void *out)
{
    struct sl_manifest *m = out;
    return sl_take_whole_text(value, m->product, sizeof(m->product));
}

static bool read_version(struct sl_octets *value, void *out)
{
    struct sl_manifest *m = out;
    return sl_take_whole_text(value, m->version, sizeof(m->version));
}

static bool read_hardware(struct sl_octets *value, void *out)
{
    struct sl_manifest *m = out;
    do {
        if (m->n_hardware == SL_HARDWARE_MAX ||
            !sl_take_text(value, false, m->hardware[m->n_hardware], sizeof(m->hardware[0])))
            return false;
        m->n_hardware++;
    } while (value->left > 0);
    return true;
}

static bool read_tensor(struct sl_octets *value, void *out)
{
    struct sl_tensor_abi *t = &((struct sl_manifest *)out)->tensor;
    if (!sl_take8(value, &t->element) || !sl_take8(value, &t->layout))
        return false;
    while (t->rank < SL_RANK_MAX && value->left > 0)
        if (!sl_take32(value, &t->dims[t->rank]) || t->dims[t->rank++] == 0)
            return false;
    return t->rank > 0 && t->element >= SL_ELEMENT_FLOAT32 && t->element <= SL_ELEMENT_INT8 &&
           t->layout >= SL_LAYOUT_NCHW && t->layout <= SL_LAYOUT_NHWC;
}

static bool read_number(struct sl_octets *value, void *out)
{
    return sl_take_bundle_number(value, &((struct sl_manifest *)out)->number);
}

static bool read_floor(struct sl_octets *value, void *out)
{
    struct sl_manifest *m = out;
    return sl_take_bundle_number(value, &m->floor) &&
           sl_bundle_number_compare(m->floor, m->number) <= 0;
}

static bool read_payload(struct sl_octets *value, void *out)
{
    struct sl_manifest *m = out;
    const uint8_t *hash;
    if (!sl_take64(value, &m->payload) || !sl_take(value, SL_HASH, &hash))
        return false;
    memcpy(m->chunk_list_hash, hash, SL_HASH);
    return m->payload > 0 && m->payload <= SL_PAYLOAD_MAX && m->payload % SL_PAGE == 0;
}

// `at` is where the one before it ends, padding included; never beyond the payload.
static bool read_component(struct sl_octets *value, const struct sl_manifest *m, uint64_t at,
                           struct sl_component *c)
{
    const uint8_t *hash;
    if (!sl_take_text(value, true, c->name, sizeof(c->name)) || !sl_take64(value, &c->offset) ||
        !sl_take64(value, &c->length) || !sl_take(value, SL_HASH, &hash))
        return false;
    memcpy(c->hash, hash, SL_HASH);
    return c->offset == at && c->length > 0 && c->length <= m->payload - at;
}

static bool read_components(struct sl_octets *value, void *out)
{
    struct sl_manifest *m = out;
    uint64_t at = 0;
    while (value->left > 0) {
        struct sl_component *c = &m->components[m->n_components];
        if (m->n_components == SL_COMPONENTS_MAX || !read_component(value, m, at, c) ||
            (m->n_components > 0 && strcmp(c[-1].name, c->name) >= 0))
            return false;
        at += sl_page_up(c->length); // payload is whole pages, so at most its end
        m->n_components++;
    }
    return at == m->payload; // and so there is at least one
}

static bool read_limits(struct sl_octets *value, void *out)
{
    struct sl_limits *l = &((struct sl_manifest *)out)->limits;
    return sl_take32(value, &l->overlap_ppm) && sl_take32(value, &l->score_ppm) &&
           sl_take32(value, &l->shadow_frames) && sl_take32(value, &l->probation_frames) &&
           l->overlap_ppm <= 1000000 && l->score_ppm <= 1000000;
}

static bool read_claims(struct sl_octets *value, void *out)
{
    struct sl_claims *c = &((struct sl_manifest *)out)->claims;
    return sl_take32(value, &c->latency_us) && sl_take64(value, &c->memory);
}

static bool read_encryption(struct sl_octets *value, void *out)
{
    return sl_take_encryption(value, &((struct sl_manifest *)out)->encryption);
}

enum sl_refusal sl_manifest_read(struct sl_octets octets, struct sl_manifest *out,
                                 struct sl_bundle_error *error)
{
    static const struct sl_tlv_row rows[] = {
        {SL_MANIFEST_PRODUCT, false, "manifest: product", read_product},
        {SL_MANIFEST_HARDWARE, false, "manifest: hardware", read_hardware},
        {SL_MANIFEST_TENSOR, false, "manifest: input tensor", read_tensor},
        {SL_MANIFEST_NUMBER, false, "manifest: epoch and seq", read_number},
        {SL_MANIFEST_FLOOR, false, "manifest: floor", read_floor},
        {SL_MANIFEST_VERSION, false, "manifest: version", read_version},
        {SL_MANIFEST_PAYLOAD, false, "manifest: payload", read_payload},
        {SL_MANIFEST_COMPONENTS, false, "manifest: components", read_components},
        {SL_MANIFEST_LIMITS, false, "manifest: limits", read_limits},
        {SL_MANIFEST_CLAIMS, false, "manifest: claims", read_claims},
        {SL_MANIFEST_ENCRYPTION, true, "manifest: encryption", read_encryption},
    };
    memset(out, 0, sizeof(*out));
    return sl_tlv_read(octets, rows, sizeof(rows) / sizeof(rows[0]), out, error);
}

const struct sl_component *sl_manifest_component(const struct sl_manifest *manifest,
                                                 const char *name)
{
    for (uint16_t i = 0; i < manifest->n_components; i++)
        if (!strcmp(manifest->components[i].name, name))
            return &manifest->components[i];
    return NULL;
}
