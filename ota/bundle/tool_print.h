// What `sightline bundle` says of files: text for people, or one JSON object.
#ifndef SL_OTA_BUNDLE_TOOL_PRINT_H
#define SL_OTA_BUNDLE_TOOL_PRINT_H

#include "ota/bundle/catalog.h"
#include "ota/bundle/verify.h"

// `root` NULL: signatures were not checked.
void tool_print_bundle(const struct sl_superblock *super, const struct sl_manifest *m,
                       const struct sl_root *root, bool json);
void tool_print_root(const struct sl_root *root, bool verified, bool json);
void tool_print_catalog(const struct sl_catalog *catalog, bool verified, bool json);
void tool_print_order(const struct sl_order *order, bool verified, bool json);
void tool_print_refusal(const struct sl_bundle_error *error); // JSON

#endif
