// Reads catalogs and orders.
#include "ota/bundle/catalog.h"

#include <string.h>

static bool read_catalog_product(struct sl_octets *value, void *out)
{
    struct sl_catalog *c = out;
    return sl_take_whole_text(value, c->product, sizeof(c->product));
}

static bool read_catalog_floor(struct sl_octets *value, void *out)
{
    return sl_take_bundle_number(value, &((struct sl_catalog *)out)->floor);
}

static bool read_revoked(struct sl_octets *value, void *out)
{
    struct sl_catalog *c = out;
    const uint8_t *id, *previous = NULL;
    while (sl_take(value, SL_HASH, &id)) {
        if (c->n_revoked == SL_REVOKED_MAX || (previous && memcmp(previous, id, SL_HASH) >= 0))
            return false;
        memcpy(c->revoked[c->n_revoked++], id, SL_HASH);
        previous = id;
    }
    return true;
}

static bool read_order_product(struct sl_octets *value, void *out)
{
    struct sl_order *o = out;
    return sl_take_whole_text(value, o->product, sizeof(o->product));
}

static bool read_order_bundle(struct sl_octets *value, void *out)
{
    const uint8_t *id;
    if (!sl_take(value, SL_HASH, &id))
        return false;
    memcpy(((struct sl_order *)out)->bundle, id, SL_HASH);
    return true;
}

static bool read_cameras(struct sl_octets *value, void *out)
{
    struct sl_order *o = out;
    do {
        if (o->n_cameras == SL_CAMERAS_MAX ||
            !sl_take_text(value, false, o->cameras[o->n_cameras], sizeof(o->cameras[0])))
            return false;
        o->n_cameras++;
    } while (value->left > 0);
    return true;
}

static bool read_when(struct sl_octets *value, void *out)
{
    uint8_t *when = &((struct sl_order *)out)->when;
    return sl_take8(value, when) && *when >= SL_ORDER_AT_ONCE && *when < SL_ORDER_WHENS;
}

static bool read_downgrade(struct sl_octets *value, void *out)
{
    struct sl_order *o = out;
    o->permits_downgrade = true;
    return sl_take_bundle_number(value, &o->downgrade);
}

enum sl_refusal sl_catalog_read(const struct sl_document *document, struct sl_catalog *out,
                                struct sl_bundle_error *error)
{
    static const struct sl_tlv_row rows[] = {
        {SL_CATALOG_PRODUCT, false, "catalog: product", read_catalog_product},
        {SL_CATALOG_FLOOR, false, "catalog: floor", read_catalog_floor},
        {SL_CATALOG_REVOKED, true, "catalog: revoked bundles", read_revoked},
    };
    memset(out, 0, sizeof(*out));
    out->number = document->number;
    return sl_tlv_read(document->body, rows, sizeof(rows) / sizeof(rows[0]), out, error);
}

enum sl_refusal sl_order_read(const struct sl_document *document, struct sl_order *out,
                              struct sl_bundle_error *error)
{
    static const struct sl_tlv_row rows[] = {
        {SL_ORDER_PRODUCT, false, "order: product", read_order_product},
        {SL_ORDER_BUNDLE, false, "order: bundle", read_order_bundle},
        {SL_ORDER_CAMERAS, true, "order: cameras", read_cameras},
        {SL_ORDER_WHEN, false, "order: when", read_when},
        {SL_ORDER_DOWNGRADE, true, "order: downgrade", read_downgrade},
    };
    memset(out, 0, sizeof(*out));
    out->number = document->number;
    return sl_tlv_read(document->body, rows, sizeof(rows) / sizeof(rows[0]), out, error);
}

static enum sl_refusal open_document(struct sl_octets octets, const char *prefix, const char *who,
                                     const struct sl_role *role, struct sl_document *document,
                                     struct sl_bundle_error *error)
{
    const enum sl_refusal refusal = sl_document_read(octets, prefix, document, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    return sl_check_signatures(role, who, document->message, document->signatures, error);
}

static enum sl_refusal check_product(const char *expected, const char *found,
                                     struct sl_bundle_error *error)
{
    if (expected && strcmp(expected, found))
        return sl_refuse(error, SL_REFUSED_PRODUCT, "product '%s'; this camera inspects '%s'",
                         found, expected);
    return SL_ACCEPTED;
}

enum sl_refusal sl_catalog_verify(struct sl_octets octets, const struct sl_root *root,
                                  const char *product, struct sl_catalog *out,
                                  struct sl_bundle_error *error)
{
    struct sl_document d;
    enum sl_refusal refusal =
        open_document(octets, SL_PREFIX_CATALOG, "catalog", &root->release, &d, error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_catalog_read(&d, out, error);
    return refusal == SL_ACCEPTED ? check_product(product, out->product, error) : refusal;
}

static bool names(const struct sl_order *o, const char *camera)
{
    for (uint8_t i = 0; i < o->n_cameras; i++)
        if (!strcmp(o->cameras[i], camera))
            return true;
    return o->n_cameras == 0;
}

enum sl_refusal sl_order_verify(struct sl_octets octets, const struct sl_root *root,
                                const char *product, const char *camera, struct sl_order *out,
                                struct sl_bundle_error *error)
{
    struct sl_document d;
    enum sl_refusal refusal =
        open_document(octets, SL_PREFIX_ORDER, "order", &root->site, &d, error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_order_read(&d, out, error);
    if (refusal == SL_ACCEPTED)
        refusal = check_product(product, out->product, error);
    if (refusal == SL_ACCEPTED && camera && !names(out, camera))
        refusal =
            sl_refuse(error, SL_REFUSED_CAMERA, "the order does not name camera '%s'", camera);
    return refusal;
}
