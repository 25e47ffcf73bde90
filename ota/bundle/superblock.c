// Reads and writes the superblock.
#include "ota/bundle/superblock.h"

#include "ota/bundle/crc32c.h"
#include "ota/usb/bytes.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

static void place(struct sl_superblock *b)
{
    b->manifest_at = SL_PAGE + (uint32_t)sl_page_up(b->key_chain);
    b->signatures_at = b->manifest_at + (uint32_t)sl_page_up(b->manifest);
    b->chunk_list_at = b->signatures_at + SL_SIGNATURES_MAX;
    b->payload_at = b->chunk_list_at + (uint32_t)sl_page_up(b->chunk_list);
}

struct limit {
    const char *name;
    uint64_t found, least, most;
};

static enum sl_refusal check_lengths(const struct sl_superblock *b, struct sl_bundle_error *error)
{
    const struct limit limits[] = {
        {"key chain", b->key_chain, 0, SL_KEY_CHAIN_MAX},
        {"manifest", b->manifest, 1, SL_MANIFEST_MAX},
        {"signatures", b->signatures, 0, SL_SIGNATURES_MAX},
        {"chunk list", b->chunk_list, SL_HASH, SL_CHUNKS_MAX * SL_HASH},
        {"payload", b->payload, SL_PAGE, SL_PAYLOAD_MAX},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const struct limit *l = &limits[i];
        if (l->found > l->most || l->found < l->least)
            return sl_refuse(error, l->found > l->most ? SL_REFUSED_OVERSIZED : SL_REFUSED_FORMAT,
                             "superblock: %s of %" PRIu64 " octets; expected %" PRIu64
                             " to %" PRIu64,
                             l->name, l->found, l->least, l->most);
    }
    // Both are bounded now, so that nothing below can overflow.
    const uint64_t chunks = (b->payload + SL_CHUNK - 1) / SL_CHUNK;
    if (b->payload % SL_PAGE || b->signatures % SL_SIGNATURE_SIZE ||
        b->chunk_list != chunks * SL_HASH)
        return sl_refuse(error, SL_REFUSED_FORMAT,
                         "superblock: lengths that do not fit each other: payload %" PRIu64
                         ", chunk list %u, signatures %u",
                         b->payload, b->chunk_list, b->signatures);
    return SL_ACCEPTED;
}

enum sl_refusal sl_superblock_read(const uint8_t *page, struct sl_superblock *out,
                                   struct sl_bundle_error *error)
{
    struct sl_superblock b = {
        .key_chain = sl_le32(page + SL_SUPER_KEY_CHAIN_AT),
        .manifest = sl_le32(page + SL_SUPER_MANIFEST_AT),
        .signatures = sl_le32(page + SL_SUPER_SIGNATURES_AT),
        .chunk_list = sl_le32(page + SL_SUPER_CHUNK_LIST_AT),
        .payload = sl_le64(page + SL_SUPER_PAYLOAD_AT),
        .total = sl_le64(page + SL_SUPER_TOTAL_AT),
    };
    if (memcmp(page, SL_BUNDLE_MAGIC, SL_PREFIX) != 0)
        return sl_refuse(error, SL_REFUSED_FORMAT, "superblock: this is not a bundle");
    if (sl_le32(page + SL_SUPER_CRC_AT) != sl_crc32c(page, SL_SUPER_CRC_AT))
        return sl_refuse(error, SL_REFUSED_CHECKSUM, "superblock: its checksum is wrong");
    if (sl_le32(page + SL_SUPER_VERSION_AT) != 1 || sl_le32(page + SL_SUPER_CHUNK_AT) != SL_CHUNK)
        return sl_refuse(error, SL_REFUSED_FORMAT,
                         "superblock: version %u with chunks of %u octets; expected 1 with %d",
                         sl_le32(page + SL_SUPER_VERSION_AT), sl_le32(page + SL_SUPER_CHUNK_AT),
                         SL_CHUNK);
    if (!sodium_is_zero(page + SL_SUPER_END, SL_PAGE - SL_SUPER_END))
        return sl_refuse(error, SL_REFUSED_PADDING, "superblock: its rest is not zero");
    const enum sl_refusal refusal = check_lengths(&b, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    place(&b);
    if (b.total != b.payload_at + b.payload)
        return sl_refuse(error, SL_REFUSED_FORMAT,
                         "superblock: %" PRIu64 " octets in all; its sections make %" PRIu64,
                         b.total, b.payload_at + b.payload);
    memcpy(b.id, page + SL_SUPER_ID_AT, SL_HASH);
    *out = b;
    return SL_ACCEPTED;
}

void sl_superblock_write(struct sl_superblock *block, uint8_t *page)
{
    place(block);
    block->total = block->payload_at + block->payload;
    memset(page, 0, SL_PAGE);
    memcpy(page, SL_BUNDLE_MAGIC, SL_PREFIX);
    sl_put32(page + SL_SUPER_VERSION_AT, 1);
    sl_put32(page + SL_SUPER_CHUNK_AT, SL_CHUNK);
    sl_put64(page + SL_SUPER_TOTAL_AT, block->total);
    sl_put32(page + SL_SUPER_KEY_CHAIN_AT, block->key_chain);
    sl_put32(page + SL_SUPER_MANIFEST_AT, block->manifest);
    sl_put32(page + SL_SUPER_SIGNATURES_AT, block->signatures);
    sl_put32(page + SL_SUPER_CHUNK_LIST_AT, block->chunk_list);
    sl_put64(page + SL_SUPER_PAYLOAD_AT, block->payload);
    memcpy(page + SL_SUPER_ID_AT, block->id, SL_HASH);
    sl_put32(page + SL_SUPER_CRC_AT, sl_crc32c(page, SL_SUPER_CRC_AT));
}
