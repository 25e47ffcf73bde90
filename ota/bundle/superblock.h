// The first 4 KiB: lengths, and where sections are by them. Not signed: everything it says is
// bounded here and compared with the manifest later.
#ifndef SL_OTA_BUNDLE_SUPERBLOCK_H
#define SL_OTA_BUNDLE_SUPERBLOCK_H

#include "ota/bundle/format.h"
#include "ota/bundle/refusal.h"

#include <stddef.h>
#include <stdint.h>

struct sl_superblock {
    uint32_t key_chain, manifest, signatures, chunk_list; // lengths in octets
    uint64_t payload, total;
    uint8_t id[SL_HASH];
    // by the lengths
    uint32_t manifest_at, signatures_at, chunk_list_at, payload_at;
};

// `page` is SL_PAGE octets.
enum sl_refusal sl_superblock_read(const uint8_t *page, struct sl_superblock *out,
                                   struct sl_bundle_error *error);

// The same lengths and id as a page; `offsets` and total are computed into *block.
void sl_superblock_write(struct sl_superblock *block, uint8_t *page);

// Up to the next multiple of a page. At most 2^63.
static inline uint64_t sl_page_up(uint64_t length)
{
    return (length + SL_PAGE - 1) / SL_PAGE * SL_PAGE;
}

#endif
