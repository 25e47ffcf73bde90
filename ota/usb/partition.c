// Where the volumes of a stick are: no partition table, MBR, or GPT with its checksums.
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { GPT_ENTRY_SIZE_MAX = 4096, GPT_TABLE_MAX = 64 << 10 };

struct gpt {
    uint64_t at; // byte of the device
    uint32_t unit, entry_size, entry_count, table_crc;
    uint64_t table_at, first, last;
};

// CRC-32 as Ethernet has it (reflected 0x04C11DB7); `crc` starts as 0.
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t length)
{
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static int add(struct sl_partitions *out, const struct sl_volume_source *source, unsigned number,
               uint64_t first, uint64_t units, uint32_t unit, uint64_t at,
               struct sl_volume_error *error)
{
    const uint64_t device = source->length / unit;
    if (units == 0 || first == 0 || first >= device || units > device - first)
        return sl_volume_refuse(error, -EBADMSG, at,
                                "partition %u: expected sectors within 1 to %llu, found %llu from "
                                "%llu",
                                number, (unsigned long long)(device - 1), (unsigned long long)units,
                                (unsigned long long)first);
    if (out->count < SL_PARTITIONS)
        out->part[out->count++] = (struct sl_partition){number, first * unit, units * unit};
    return 0;
}

static int gpt_header(const struct sl_volume_source *source, uint64_t lba, uint32_t unit,
                      struct gpt *out, struct sl_volume_error *error)
{
    uint8_t h[512];
    const uint64_t at = lba * unit, last = source->length / unit - 1;
    int status = sl_volume_fetch(source, at, h, sizeof(h), "GPT header", error);
    if (status != 0)
        return status;
    if (memcmp(h, "EFI PART", 8) != 0)
        return sl_volume_refuse(error, -EBADMSG, at, "GPT header: expected 'EFI PART'");
    const uint32_t size = sl_le32(h + 12), crc = sl_le32(h + 16);
    if (size < 92 || size > sizeof(h))
        return sl_volume_refuse(error, -EBADMSG, at + 12,
                                "GPT header: expected a length of 92 to 512, found %u", size);
    memset(h + 16, 0, 4);
    const uint32_t real = crc32(0, h, size);
    if (real != crc)
        return sl_volume_refuse(error, -EBADMSG, at + 16,
                                "GPT header: expected checksum %08x, found %08x", real, crc);
    if (sl_le64(h + 24) != lba)
        return sl_volume_refuse(error, -EBADMSG, at + 24,
                                "GPT header: expected its own sector %llu, found %llu",
                                (unsigned long long)lba, (unsigned long long)sl_le64(h + 24));
    *out = (struct gpt){.at = at,
                        .unit = unit,
                        .first = sl_le64(h + 40),
                        .last = sl_le64(h + 48),
                        .entry_count = sl_le32(h + 80),
                        .entry_size = sl_le32(h + 84),
                        .table_crc = sl_le32(h + 88)};
    const uint64_t table = sl_le64(h + 72);
    if (out->entry_size < 128 || out->entry_size > GPT_ENTRY_SIZE_MAX ||
        (out->entry_size & (out->entry_size - 1)) != 0 || out->entry_count == 0 ||
        out->entry_count > GPT_TABLE_MAX / out->entry_size)
        return sl_volume_refuse(error, -EBADMSG, at + 80,
                                "GPT header: expected a table of at most %d bytes, found %u "
                                "entries of %u bytes",
                                GPT_TABLE_MAX, out->entry_count, out->entry_size);
    if (out->first > out->last || out->last > last || table < 1 || table > last)
        return sl_volume_refuse(error, -EBADMSG, at + 40,
                                "GPT header: expected sectors up to %llu, found use of %llu to "
                                "%llu and a table at %llu",
                                (unsigned long long)last, (unsigned long long)out->first,
                                (unsigned long long)out->last, (unsigned long long)table);
    out->table_at = table * unit;
    return 0;
}

static int gpt_entry(const struct sl_volume_source *source, const struct gpt *gpt, uint32_t index,
                     const uint8_t *entry, struct sl_partitions *out, struct sl_volume_error *error)
{
    static const uint8_t unused[16];
    const uint64_t first = sl_le64(entry + 32), last = sl_le64(entry + 40);
    const uint64_t at = gpt->table_at + (uint64_t)index * gpt->entry_size;
    if (memcmp(entry, unused, 16) == 0)
        return 0;
    if (first > last || first < gpt->first || last > gpt->last)
        return sl_volume_refuse(error, -EBADMSG, at + 32,
                                "partition %u: expected sectors within %llu to %llu, found %llu "
                                "to %llu",
                                index + 1, (unsigned long long)gpt->first,
                                (unsigned long long)gpt->last, (unsigned long long)first,
                                (unsigned long long)last);
    return add(out, source, index + 1, first, last - first + 1, gpt->unit, at + 32, error);
}

// Twice over the table: nothing is believed before the checksum is right, and a device may answer
// differently the second time, so the second pass is summed again.
static int gpt_table(const struct sl_volume_source *source, const struct gpt *gpt,
                     struct sl_partitions *out, struct sl_volume_error *error)
{
    uint8_t entry[GPT_ENTRY_SIZE_MAX];
    out->count = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t crc = 0;
        for (uint32_t i = 0; i < gpt->entry_count; i++) {
            const uint64_t at = gpt->table_at + (uint64_t)i * gpt->entry_size;
            int status = sl_volume_fetch(source, at, entry, gpt->entry_size, "GPT table", error);
            if (status == 0 && pass == 1)
                status = gpt_entry(source, gpt, i, entry, out, error);
            if (status != 0)
                return status;
            crc = crc32(crc, entry, gpt->entry_size);
        }
        if (crc != gpt->table_crc)
            return sl_volume_refuse(error, -EBADMSG, gpt->at + 88,
                                    "GPT table: expected checksum %08x, found %08x", gpt->table_crc,
                                    crc);
    }
    return 0;
}

static int gpt_copy(const struct sl_volume_source *source, uint64_t lba, uint32_t unit,
                    struct sl_partitions *out, struct sl_volume_error *error)
{
    struct gpt gpt;
    const int status = gpt_header(source, lba, unit, &gpt, error);
    return status != 0 ? status : gpt_table(source, &gpt, out, error);
}

// The first copy stands in sector 1; where it is damaged the copy in the last sector counts.
static int read_gpt(const struct sl_volume_source *source, struct sl_partitions *out,
                    struct sl_volume_error *error)
{
    static const uint32_t units[] = {512, 4096};
    struct sl_volume_error second;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t magic[8];
        if (source->length / units[i] < 6)
            break;
        if (sl_volume_fetch(source, units[i], magic, 8, "GPT header", error) == 0 &&
            memcmp(magic, "EFI PART", 8) == 0) {
            const int status = gpt_copy(source, 1, units[i], out, error);
            return status == 0
                       ? 0
                       : gpt_copy(source, source->length / units[i] - 1, units[i], out, &second);
        }
    }
    sl_volume_refuse(error, -EBADMSG, 512, "GPT header: expected 'EFI PART'");
    for (unsigned i = 0; i < 2; i++)
        if (source->length / units[i] >= 6 &&
            gpt_copy(source, source->length / units[i] - 1, units[i], out, &second) == 0)
            return 0;
    return -EBADMSG;
}

// A stick with sectors of 4 KiB counts in those; what stands at the place tells.
static uint32_t mbr_unit(const struct sl_volume_source *source, uint64_t first)
{
    static const uint32_t units[] = {512, 4096};
    uint8_t boot[512];
    for (unsigned i = 0; i < 2; i++)
        if (first < source->length / units[i] &&
            sl_volume_fetch(source, first * units[i], boot, 512, "boot sector", NULL) == 0 &&
            (sl_fat_is_boot(boot) || sl_exfat_is_boot(boot)))
            return units[i];
    return 512;
}

static int read_mbr(const struct sl_volume_source *source, const uint8_t mbr[512],
                    struct sl_partitions *out, struct sl_volume_error *error)
{
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *entry = mbr + 446 + 16 * i;
        const uint64_t at = 446 + 16 * (uint64_t)i;
        if (entry[0] != 0x00 && entry[0] != 0x80)
            return sl_volume_refuse(error, -EBADMSG, at,
                                    "partition %u: expected the boot mark 00 or 80, found %02x",
                                    i + 1, entry[0]);
        switch (entry[4]) {
        case 0x00: // unused
        case 0x05: // extended, in three variants: sticks have none, and their lists can be circles
        case 0x0F:
        case 0x85:
            continue;
        case 0xEE:
            out->count = 0;
            return read_gpt(source, out, error);
        default:
            break;
        }
        const uint64_t first = sl_le32(entry + 8), units = sl_le32(entry + 12);
        const int status =
            add(out, source, i + 1, first, units, mbr_unit(source, first), at + 8, error);
        if (status != 0)
            return status;
    }
    return 0;
}

int sl_partitions_read(const struct sl_volume_source *source, struct sl_partitions *out,
                       struct sl_volume_error *error)
{
    uint8_t sector[512];
    *out = (struct sl_partitions){0};
    int status = sl_volume_fetch(source, 0, sector, sizeof(sector), "first sector", error);
    if (status != 0)
        return status;
    if (sl_exfat_is_boot(sector) || sl_fat_is_boot(sector) ||
        memcmp(sector + 3, "NTFS    ", 8) == 0) {
        out->count = 1;
        out->part[0] = (struct sl_partition){0, 0, source->length};
        return 0;
    }
    if (sector[510] != 0x55 || sector[511] != 0xAA)
        return sl_volume_refuse(error, -ENOTSUP, 510,
                                "first sector: expected the mark 55 aa of a boot sector or a "
                                "partition table, found %02x %02x",
                                sector[510], sector[511]);
    status = read_mbr(source, sector, out, error);
    if (status == 0 && out->count == 0)
        return sl_volume_refuse(error, -ENOENT, 446, "partition table: no partition that is read");
    return status;
}
