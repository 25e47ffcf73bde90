// Catalog: what release keys say about bundles after these were signed. Order: what the plant's own
// keys say should run where.
#ifndef SL_OTA_BUNDLE_CATALOG_H
#define SL_OTA_BUNDLE_CATALOG_H

#include "ota/bundle/keychain.h"
#include "ota/bundle/manifest.h"

struct sl_catalog {
    uint32_t number; // of this catalog; an old one is harmless where floor and list only grow
    char product[SL_TEXT_MAX + 1];
    struct sl_bundle_number floor;
    uint16_t n_revoked;
    uint8_t revoked[SL_REVOKED_MAX][SL_HASH];
};

enum sl_order_when {
    SL_ORDER_AT_ONCE = 1,
    SL_ORDER_LINE_IDLE,
    SL_ORDER_NEXT_START,
    SL_ORDER_ON_DEMAND, // when a person asks at the camera
    SL_ORDER_WHENS
};

struct sl_order {
    uint32_t number; // whoever obeys takes only a higher one than before
    char product[SL_TEXT_MAX + 1];
    uint8_t bundle[SL_HASH];
    uint8_t n_cameras; // 0: every camera
    char cameras[SL_CAMERAS_MAX][SL_TEXT_MAX + 1];
    uint8_t when; // enum sl_order_when
    bool permits_downgrade;
    struct sl_bundle_number downgrade; // the lowest number that may be loaded, the floor aside
};

// Signatures first (release keys; site keys), then the body. `product` NULL: any.
enum sl_refusal sl_catalog_verify(struct sl_octets octets, const struct sl_root *root,
                                  const char *product, struct sl_catalog *out,
                                  struct sl_bundle_error *error);
// `camera` NULL: any. After SL_REFUSED_CAMERA *out is what the order says to others.
enum sl_refusal sl_order_verify(struct sl_octets octets, const struct sl_root *root,
                                const char *product, const char *camera, struct sl_order *out,
                                struct sl_bundle_error *error);

// Bodies alone, for display.
enum sl_refusal sl_catalog_read(const struct sl_document *document, struct sl_catalog *out,
                                struct sl_bundle_error *error);
enum sl_refusal sl_order_read(const struct sl_document *document, struct sl_order *out,
                              struct sl_bundle_error *error);

#endif
