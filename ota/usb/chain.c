// Clusters: the allocation table of FAT16, FAT32 and exFAT, and the chains in it.
#include "ota/usb/volume_impl.h"

#include <errno.h>

#define END_OF_CHAIN 0xFFFFFFFFu
#define BAD_CLUSTER  0xFFFFFFF7u

bool sl_cluster_valid(const struct sl_volume *volume, uint32_t cluster)
{
    return cluster >= 2 && cluster - 2 < volume->cluster_count;
}

uint64_t sl_cluster_at(const struct sl_volume *volume, uint32_t cluster)
{
    return volume->heap_at + (uint64_t)(cluster - 2) * volume->cluster_bytes;
}

static uint32_t entry_bytes(const struct sl_volume *volume)
{
    return volume->kind == SL_VOLUME_FAT16 ? 2 : 4;
}

// The table is read in pieces of SL_VOLUME_WINDOW; the last one is kept.
static int load_window(struct sl_volume *volume, uint64_t offset, struct sl_volume_error *error)
{
    const uint64_t piece = offset - offset % SL_VOLUME_WINDOW, left = volume->fat_bytes - piece;
    const uint64_t at = volume->fat_at + piece;
    if (volume->window_at == at)
        return 0;
    volume->window_at = 0;
    volume->window_bytes = left < SL_VOLUME_WINDOW ? (uint32_t)left : SL_VOLUME_WINDOW;
    const int status = sl_volume_fetch(&volume->source, at, volume->window, volume->window_bytes,
                                       "allocation table", error);
    if (status == 0)
        volume->window_at = at;
    return status;
}

int sl_table_entry(struct sl_volume *volume, uint32_t cluster, uint32_t *out,
                   struct sl_volume_error *error)
{
    const uint64_t offset = (uint64_t)cluster * entry_bytes(volume);
    const int status = load_window(volume, offset, error);
    if (status != 0)
        return status;
    const uint8_t *p = volume->window + offset % SL_VOLUME_WINDOW;
    *out = volume->kind == SL_VOLUME_FAT16 ? sl_le16(p) : sl_le32(p);
    return 0;
}

// The special values of the three widths, brought to exFAT's.
static uint32_t normalise(enum sl_volume_kind kind, uint32_t value)
{
    if (kind == SL_VOLUME_FAT16)
        return value >= 0xFFF8 ? END_OF_CHAIN : value == 0xFFF7 ? BAD_CLUSTER : value;
    if (kind == SL_VOLUME_EXFAT)
        return value;
    value &= 0x0FFFFFFF;
    return value >= 0x0FFFFFF8 ? END_OF_CHAIN : value == 0x0FFFFFF7 ? BAD_CLUSTER : value;
}

int sl_cluster_next(struct sl_volume *volume, uint32_t cluster, uint32_t *out,
                    struct sl_volume_error *error)
{
    uint32_t value;
    const int status = sl_table_entry(volume, cluster, &value, error);
    if (status != 0)
        return status;
    value = normalise(volume->kind, value);
    if (value == END_OF_CHAIN) {
        *out = 0;
        return 0;
    }
    const uint64_t at = volume->fat_at + (uint64_t)cluster * entry_bytes(volume);
    if (value == BAD_CLUSTER)
        return sl_volume_refuse(error, -EBADMSG, at,
                                "after cluster %u: expected a cluster or the end of the chain, "
                                "found the mark of a bad cluster",
                                cluster);
    if (!sl_cluster_valid(volume, value))
        return sl_volume_refuse(error, -EBADMSG, at,
                                "after cluster %u: expected a cluster from 2 to %u or the end of "
                                "the chain, found %u",
                                cluster, volume->cluster_count + 1, value);
    *out = value;
    return 0;
}

// Brent's method: the cluster at each power of two is compared with those after it.
static int follow(struct sl_volume *volume, const struct sl_volume_entry *entry, uint64_t clusters,
                  struct sl_volume_error *error)
{
    uint32_t cluster = entry->first, mark = 0;
    uint64_t power = 1;
    for (uint64_t step = 1;; step++) {
        uint32_t next = 0;
        if (step == power) {
            mark = cluster;
            power *= 2;
        }
        const int status = sl_cluster_next(volume, cluster, &next, error);
        if (status != 0)
            return status;
        if (next != 0 && next == mark)
            return sl_volume_refuse(error, -EBADMSG, entry->at,
                                    "'%s': its chain runs in a circle through cluster %u",
                                    entry->name, next);
        if ((next == 0) != (step == clusters))
            return sl_volume_refuse(
                error, -EBADMSG, entry->at,
                "'%s': expected a chain of %llu clusters for %llu bytes, found %s", entry->name,
                (unsigned long long)clusters, (unsigned long long)entry->length,
                next == 0 ? "one that ends before" : "one that goes on");
        if (next == 0)
            return 0;
        cluster = next;
    }
}

int sl_chain_check(struct sl_volume *volume, const struct sl_volume_entry *entry,
                   struct sl_volume_error *error)
{
    if (entry->length > SL_VOLUME_FILE_MAX)
        return sl_volume_refuse(
            error, -EFBIG, entry->at, "'%s': expected at most %llu bytes, found %llu", entry->name,
            (unsigned long long)SL_VOLUME_FILE_MAX, (unsigned long long)entry->length);
    if (entry->length == 0)
        return 0;
    const uint64_t clusters = (entry->length - 1) / volume->cluster_bytes + 1;
    if (clusters > volume->cluster_count)
        return sl_volume_refuse(error, -EBADMSG, entry->at,
                                "'%s': %llu bytes need %llu clusters, the volume has %u",
                                entry->name, (unsigned long long)entry->length,
                                (unsigned long long)clusters, volume->cluster_count);
    if (!sl_cluster_valid(volume, entry->first))
        return sl_volume_refuse(error, -EBADMSG, entry->at,
                                "'%s': expected a first cluster from 2 to %u, found %u",
                                entry->name, volume->cluster_count + 1, entry->first);
    if (!entry->contiguous)
        return follow(volume, entry, clusters, error);
    if (clusters > volume->cluster_count - (entry->first - 2))
        return sl_volume_refuse(error, -EBADMSG, entry->at,
                                "'%s': %llu clusters in a row from %u pass the volume's last, %u",
                                entry->name, (unsigned long long)clusters, entry->first,
                                volume->cluster_count + 1);
    return 0;
}

static int seek(struct sl_volume *volume, const struct sl_volume_entry *entry,
                struct sl_cursor *cursor, uint64_t step, struct sl_volume_error *error)
{
    if (entry->contiguous) {
        *cursor = (struct sl_cursor){step, entry->first + (uint32_t)step};
        return 0;
    }
    if (cursor->cluster == 0 || cursor->step > step)
        *cursor = (struct sl_cursor){0, entry->first};
    while (cursor->step < step) {
        uint32_t next = 0;
        const int status = sl_cluster_next(volume, cursor->cluster, &next, error);
        if (status != 0)
            return status;
        if (next == 0)
            return sl_volume_refuse(error, -EBADMSG, entry->at,
                                    "'%s': its chain changed while it was read", entry->name);
        cursor->cluster = next;
        cursor->step++;
    }
    return 0;
}

// How many bytes from the cursor's cluster on lie in a row, up to `wanted`; the cursor moves on to
// the last cluster of the row.
static int row_length(struct sl_volume *volume, const struct sl_volume_entry *entry,
                      struct sl_cursor *cursor, uint64_t wanted, uint64_t *out,
                      struct sl_volume_error *error)
{
    *out = volume->cluster_bytes;
    while (*out < wanted) {
        struct sl_cursor next = *cursor;
        const int status = seek(volume, entry, &next, cursor->step + 1, error);
        if (status != 0)
            return status;
        if (next.cluster != cursor->cluster + 1)
            return 0;
        *cursor = next;
        *out += volume->cluster_bytes;
    }
    return 0;
}

int sl_chain_read(struct sl_volume *volume, const struct sl_volume_entry *entry,
                  struct sl_cursor *cursor, uint64_t offset, void *bytes, size_t length,
                  struct sl_volume_error *error)
{
    uint8_t *out = bytes;
    while (length > 0) {
        const uint32_t within = (uint32_t)(offset % volume->cluster_bytes);
        uint64_t row;
        int status = seek(volume, entry, cursor, offset / volume->cluster_bytes, error);
        if (status != 0)
            return status;
        const uint64_t at = sl_cluster_at(volume, cursor->cluster) + within;
        status = row_length(volume, entry, cursor, (uint64_t)within + length, &row, error);
        if (status != 0)
            return status;
        const size_t piece = length < row - within ? length : (size_t)(row - within);
        status = sl_volume_fetch(&volume->source, at, out, piece, entry->name, error);
        if (status != 0)
            return status;
        out += piece;
        offset += piece;
        length -= piece;
    }
    return 0;
}
