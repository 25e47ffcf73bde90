// Sectors in a hash table, exFAT's checksums, and the reads of one run.
#include "usb_sparse.h"

#include "ota/usb/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *record(const struct sparse *sparse, uint32_t index)
{
    return sparse->bytes + SPARSE_HEAD + (size_t)index * SPARSE_RECORD;
}

// The slot of a sector, or the free one where it would be.
static uint32_t slot_of(const struct sparse *sparse, uint32_t sector)
{
    uint32_t slot = sector * 2654435761u % SPARSE_SLOTS;
    while (sparse->slot[slot] && sl_le32(record(sparse, sparse->slot[slot] - 1u)) != sector)
        slot = (slot + 1) % SPARSE_SLOTS;
    return slot;
}

static uint8_t *sector_bytes(const struct sparse *sparse, uint64_t sector)
{
    if (sector > UINT32_MAX)
        return NULL;
    const uint32_t slot = slot_of(sparse, (uint32_t)sector);
    return sparse->slot[slot] ? record(sparse, sparse->slot[slot] - 1u) + 4 : NULL;
}

static uint32_t rotate_add(uint32_t sum, const uint8_t *bytes, size_t length, int first)
{
    static const uint8_t zeros[512];
    if (!bytes)
        bytes = zeros;
    for (size_t i = 0; i < length; i++)
        if (!first || (i != 106 && i != 107 && i != 112))
            sum = (sum >> 1 | sum << 31) + bytes[i];
    return sum;
}

static void reseal_boot(const struct sparse *sparse, uint64_t start)
{
    uint32_t sum = 0;
    for (uint64_t i = 0; i < 11; i++)
        sum = rotate_add(sum, sector_bytes(sparse, start + i), 512, i == 0);
    uint8_t *seal = sector_bytes(sparse, start + 11);
    for (unsigned i = 0; seal && i < 512; i += 4)
        sl_put32(seal + i, sum);
}

// Entry sets that lie within one record.
static void reseal_sets(uint8_t *sector)
{
    for (unsigned at = 0; at < 512; at += 32) {
        const unsigned count = sector[at + 1];
        uint16_t sum = 0;
        if (sector[at] != 0x85 || at + (count + 1) * 32 > 512)
            continue;
        for (unsigned i = 0; i < (count + 1) * 32; i++)
            if (i != 2 && i != 3)
                sum = (uint16_t)((uint16_t)(sum << 15 | sum >> 1) + sector[at + i]);
        sl_put16(sector + at + 2, sum);
    }
}

void sparse_load(struct sparse *sparse, uint8_t *bytes, size_t size)
{
    memset(sparse, 0, sizeof(*sparse));
    sparse->bytes = bytes;
    if (size < SPARSE_HEAD)
        return;
    const size_t whole = (size - SPARSE_HEAD) / SPARSE_RECORD;
    sparse->records = whole < SPARSE_RECORDS ? (uint32_t)whole : SPARSE_RECORDS;
    for (uint32_t i = 0; i < sparse->records; i++)
        sparse->slot[slot_of(sparse, sl_le32(record(sparse, i)))] = (uint16_t)(i + 1);
    if (!(sl_le32(bytes + 4) & SPARSE_RESEAL))
        return;
    for (uint32_t i = 0; i < sparse->records; i++) {
        reseal_sets(record(sparse, i) + 4);
        if (memcmp(record(sparse, i) + 7, "EXFAT   ", 8) == 0)
            reseal_boot(sparse, sl_le32(record(sparse, i)));
    }
}

static int read_at(void *context, uint64_t offset, void *bytes, size_t length)
{
    struct sparse *sparse = context;
    uint8_t *out = bytes;
    const uint64_t end = (uint64_t)sl_le32(sparse->bytes) * 512;
    if (offset > end || length > end - offset)
        abort(); // it promised not to
    sparse->reads++;
    while (length > 0) {
        const size_t within = offset % 512, now = length < 512 - within ? length : 512 - within;
        const uint8_t *sector = sector_bytes(sparse, offset / 512);
        if (sector)
            memcpy(out, sector + within, now);
        else
            memset(out, 0, now);
        out += now;
        offset += now;
        length -= now;
    }
    return 0;
}

struct sl_volume_source sparse_source(struct sparse *sparse)
{
    const uint64_t sectors = sparse->records > 0 ? sl_le32(sparse->bytes) : 0;
    return (struct sl_volume_source){read_at, sparse, sectors * 512};
}

static void check_status(int status, const struct sl_volume_error *error)
{
    if (status > 0 || (status < 0 && strncmp(error->text, "byte ", 5) != 0 &&
                       strncmp(error->text, "partition ", 10) != 0))
        abort();
}

int sparse_read(struct sparse *sparse, struct sl_volume *volume)
{
    static uint8_t buffer[4096];
    struct sl_volume_error error = {""};
    const struct sl_volume_source source = sparse_source(sparse);
    const int result = sl_volume_open(volume, &source, &error);
    check_status(result, &error);
    for (uint32_t i = 0; result == 0 && i < volume->count && i < 8; i++) {
        const uint64_t length = volume->entries[i].length;
        const size_t piece = length < sizeof(buffer) ? (size_t)length : sizeof(buffer);
        const uint64_t places[] = {0, length - piece, (length - piece) / 2};
        for (unsigned k = 0; k < 3; k++)
            check_status(sl_volume_read(volume, i, places[k], buffer, piece, &error), &error);
        if (sl_volume_read(volume, i, length, buffer, 1, &error) != -EINVAL)
            abort();
    }
    return result;
}
