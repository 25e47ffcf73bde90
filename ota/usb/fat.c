// FAT16 and FAT32: boot sector, long names, directories.
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <string.h>

enum {
    ATTRIBUTE_LABEL = 0x08,
    ATTRIBUTE_DIRECTORY = 0x10,
    ATTRIBUTE_LONG_NAME = 0x0F,
    UNITS_PER_ENTRY = 13,
    LONG_NAME_ENTRIES = 20,
};

// What a long name needs: entries count down to 1, all with the short name's checksum.
struct long_name {
    unsigned next; // the number that the next entry must have; 0: complete
    bool begun;
    uint8_t checksum;
    unsigned count;
    uint16_t units[LONG_NAME_ENTRIES * UNITS_PER_ENTRY];
};

static bool power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

// Tells a boot sector from a partition table; the geometry is checked when it is mounted.
bool sl_fat_is_boot(const uint8_t s[512])
{
    const bool jump = (s[0] == 0xEB && s[2] == 0x90) || s[0] == 0xE9;
    return jump && s[510] == 0x55 && s[511] == 0xAA && (s[21] == 0xF0 || s[21] >= 0xF8) &&
           memcmp(s + 3, "NTFS    ", 8) != 0 && memcmp(s + 3, "EXFAT   ", 8) != 0;
}

static int check_sizes(uint64_t at, const uint8_t *b, struct sl_volume_error *error)
{
    const uint32_t sector = sl_le16(b + 11), per_cluster = b[13];
    if (!power_of_two(sector) || sector < 512 || sector > 4096)
        return sl_volume_refuse(error, -EBADMSG, at + 11,
                                "sector size: expected 512, 1024, 2048 or 4096, found %u", sector);
    if (!power_of_two(per_cluster) || per_cluster * sector > 65536)
        return sl_volume_refuse(error, -EBADMSG, at + 13,
                                "sectors per cluster: expected a power of two and at most 64 KiB, "
                                "found %u",
                                per_cluster);
    if (sl_le16(b + 14) == 0)
        return sl_volume_refuse(error, -EBADMSG, at + 14,
                                "reserved sectors: expected at least 1, found 0");
    if (b[16] != 1 && b[16] != 2)
        return sl_volume_refuse(error, -EBADMSG, at + 16,
                                "allocation tables: expected 1 or 2, found %u", b[16]);
    if (sl_le16(b + 17) * 32 % sector != 0)
        return sl_volume_refuse(error, -EBADMSG, at + 17,
                                "root directory: expected whole sectors, found %u entries",
                                sl_le16(b + 17));
    return 0;
}

// The sectors before the clusters, and the clusters themselves, inside the volume.
static int check_layout(struct sl_volume *v, const uint8_t *b, struct sl_volume_error *error)
{
    const uint32_t sector = sl_le16(b + 11), small = sl_le16(b + 19);
    const uint64_t total = small != 0 ? small : sl_le32(b + 32);
    const uint64_t table = sl_le16(b + 22) != 0 ? sl_le16(b + 22) : sl_le32(b + 36);
    const uint64_t root = (uint64_t)sl_le16(b + 17) * 32 / sector;
    const uint64_t before = sl_le16(b + 14) + table * b[16] + root; // < 2^34
    if (total == 0 || total > v->length / sector)
        return sl_volume_refuse(error, -EBADMSG, v->start + (small != 0 ? 19 : 32),
                                "volume: expected 1 to %llu sectors of %u bytes, found %llu",
                                (unsigned long long)(v->length / sector), sector,
                                (unsigned long long)total);
    if (table == 0 || before >= total)
        return sl_volume_refuse(error, -EBADMSG, v->start + (sl_le16(b + 22) ? 22 : 36),
                                "allocation tables: expected 1 sector or more and all before "
                                "sector %llu, found %u of %llu sectors",
                                (unsigned long long)total, b[16], (unsigned long long)table);
    v->cluster_bytes = sector * b[13];
    v->cluster_count = (uint32_t)((total - before) / b[13]);
    v->fat_at = v->start + (uint64_t)sl_le16(b + 14) * sector;
    v->fat_bytes = table * sector;
    v->root_at = v->fat_at + v->fat_bytes * b[16];
    v->root_bytes = root * sector;
    v->heap_at = v->root_at + v->root_bytes;
    return 0;
}

// A table of FAT32 has its length in the second place, and the root is an ordinary chain.
static int check_kind(struct sl_volume *v, const uint8_t *b, struct sl_volume_error *error)
{
    const bool wide = sl_le16(b + 22) == 0;
    if (!wide && v->cluster_count < 4085)
        return sl_volume_refuse(error, -ENOTSUP, v->start, "FAT12 (%u clusters) is not read",
                                v->cluster_count);
    const uint32_t most = wide ? 0x0FFFFFF5 : 65524;
    if (v->cluster_count == 0 || v->cluster_count > most)
        return sl_volume_refuse(error, -EBADMSG, v->start + 32,
                                "volume: expected 1 to %u clusters, found %u", most,
                                v->cluster_count);
    v->kind = wide ? SL_VOLUME_FAT32 : SL_VOLUME_FAT16;
    const uint64_t held = v->fat_bytes / (wide ? 4 : 2);
    if (held < (uint64_t)v->cluster_count + 2)
        return sl_volume_refuse(error, -EBADMSG, v->start + (wide ? 36 : 22),
                                "allocation table: expected %u entries or more, found %llu",
                                v->cluster_count + 2, (unsigned long long)held);
    if (wide == (v->root_bytes != 0))
        return sl_volume_refuse(error, -EBADMSG, v->start + 17,
                                "root directory: expected %s, found %u entries",
                                wide ? "no fixed entries" : "fixed entries", sl_le16(b + 17));
    return 0;
}

static int check_wide(struct sl_volume *v, const uint8_t *b, struct sl_volume_error *error)
{
    const uint32_t flags = sl_le16(b + 40), active = flags & 0x0F;
    if (sl_le16(b + 42) != 0)
        return sl_volume_refuse(error, -ENOTSUP, v->start + 42,
                                "FAT32: expected version 0.0, found %u.%u", b[43], b[42]);
    if (flags & 0x80) { // only one table is kept current
        if (active >= b[16])
            return sl_volume_refuse(error, -EBADMSG, v->start + 40,
                                    "current table: expected one of %u, found number %u", b[16],
                                    active);
        v->fat_at += v->fat_bytes * active;
    }
    v->root_cluster = sl_le32(b + 44) & 0x0FFFFFFF;
    if (!sl_cluster_valid(v, v->root_cluster))
        return sl_volume_refuse(error, -EBADMSG, v->start + 44,
                                "root directory: expected a cluster from 2 to %u, found %u",
                                v->cluster_count + 1, v->root_cluster);
    return 0;
}

// The first two entries of a table carry the medium's byte and two marks.
static int check_table(struct sl_volume *v, const uint8_t *b, struct sl_volume_error *error)
{
    uint32_t first, second;
    int status = sl_table_entry(v, 0, &first, error);
    if (status == 0)
        status = sl_table_entry(v, 1, &second, error);
    if (status != 0)
        return status;
    const uint32_t wide = v->kind == SL_VOLUME_FAT32, bits = wide ? 0x0FFFFFFF : 0xFFFF;
    const uint32_t expected = (bits & ~0xFFu) | b[21];
    if ((first & bits) != expected)
        return sl_volume_refuse(error, -EBADMSG, v->fat_at,
                                "allocation table: expected %08x at its start, found %08x",
                                expected, first & bits);
    const uint32_t clean = wide ? 0x08000000 : 0x8000;
    v->dirty = (second & clean) == 0 || (b[wide ? 65 : 37] & 1) != 0;
    return 0;
}

int sl_fat_mount(struct sl_volume *v, const uint8_t b[512], struct sl_volume_error *error)
{
    int status = check_sizes(v->start, b, error);
    if (status == 0)
        status = check_layout(v, b, error);
    if (status == 0)
        status = check_kind(v, b, error);
    if (status == 0 && v->kind == SL_VOLUME_FAT32)
        status = check_wide(v, b, error);
    return status != 0 ? status : check_table(v, b, error);
}

static void long_name_add(struct long_name *name, const uint8_t *entry)
{
    static const uint8_t places[UNITS_PER_ENTRY] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    const unsigned number = entry[0] & 0x1F;
    if (entry[0] & 0x40) {
        *name = (struct long_name){.next = number, .begun = true, .checksum = entry[13]};
        name->count = number * UNITS_PER_ENTRY;
    }
    if (!name->begun || number == 0 || number > LONG_NAME_ENTRIES || number != name->next ||
        entry[13] != name->checksum) {
        name->begun = false;
        return;
    }
    for (unsigned i = 0; i < UNITS_PER_ENTRY; i++)
        name->units[(number - 1) * UNITS_PER_ENTRY + i] = sl_le16(entry + places[i]);
    name->next--;
}

static uint8_t short_name_checksum(const uint8_t *name)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < 11; i++)
        sum = (uint8_t)((sum >> 1 | sum << 7) + name[i]);
    return sum;
}

static void short_part(const uint8_t *bytes, unsigned length, bool lower, uint16_t *units,
                       unsigned *count)
{
    while (length > 0 && bytes[length - 1] == ' ')
        length--;
    for (unsigned i = 0; i < length; i++) {
        const uint8_t c = bytes[i];
        // Letters beyond ASCII depend on a code page that nobody tells.
        units[(*count)++] = c >= 0x80 ? '_' : lower && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
    }
}

// The long name where it is whole and belongs to this entry, else the short one.
static bool entry_name(const struct long_name *name, const uint8_t *entry,
                       char out[SL_VOLUME_NAME_SIZE])
{
    uint16_t units[12];
    unsigned count = 0;
    if (name->begun && name->next == 0 && name->checksum == short_name_checksum(entry)) {
        unsigned length = 0;
        while (length < name->count && name->units[length] != 0)
            length++;
        if (sl_name_from_utf16(name->units, length, out))
            return true;
    }
    short_part(entry, 8, entry[12] & 0x08, units, &count);
    if (memcmp(entry + 8, "   ", 3) != 0)
        units[count++] = '.';
    short_part(entry + 8, 3, entry[12] & 0x10, units, &count);
    return sl_name_from_utf16(units, count, out);
}

// The next file or directory. 1: there is one, 0: the end.
static int next_entry(struct sl_volume *v, struct sl_dir *dir, struct sl_volume_entry *out,
                      bool *directory, struct sl_volume_error *error)
{
    struct long_name name = {0};
    uint8_t entry[32];
    uint64_t at;
    int status;
    while ((status = sl_dir_next(v, dir, entry, &at, error)) == 1 && entry[0] != 0) {
        const uint8_t attributes = entry[11] & 0x3F;
        if (entry[0] != 0xE5 && attributes == ATTRIBUTE_LONG_NAME) {
            long_name_add(&name, entry);
            continue;
        }
        const bool used = entry[0] != 0xE5 && !(attributes & ATTRIBUTE_LABEL);
        if (used && entry_name(&name, entry, out->name)) {
            const uint32_t high = v->kind == SL_VOLUME_FAT32 ? sl_le16(entry + 20) : 0;
            out->first = high << 16 | sl_le16(entry + 26);
            out->length = out->valid = sl_le32(entry + 28);
            out->at = at;
            out->contiguous = false;
            *directory = (attributes & ATTRIBUTE_DIRECTORY) != 0;
            return 1;
        }
        name.begun = false;
    }
    return status < 0 ? status : 0;
}

static int find_directory(struct sl_volume *v, uint32_t *out, struct sl_volume_error *error)
{
    struct sl_volume_entry entry;
    struct sl_dir dir;
    bool directory;
    *out = 0;
    int status = sl_dir_start(v, &dir, v->root_cluster, 0, false, error);
    while (status == 0 && (status = next_entry(v, &dir, &entry, &directory, error)) == 1) {
        status = 0;
        if (!directory || !sl_name_is_directory(entry.name))
            continue;
        if (*out != 0)
            return sl_volume_refuse(error, -EBADMSG, entry.at, "root directory: two SIGHTLINE");
        if (!sl_cluster_valid(v, entry.first))
            return sl_volume_refuse(error, -EBADMSG, entry.at,
                                    "/SIGHTLINE: expected a cluster from 2 to %u, found %u",
                                    v->cluster_count + 1, entry.first);
        *out = entry.first;
    }
    if (status == 0 && *out == 0)
        return sl_volume_refuse(error, -ENOENT, dir.at, "root directory: no directory SIGHTLINE");
    return status;
}

int sl_fat_list(struct sl_volume *v, struct sl_volume_error *error)
{
    struct sl_volume_entry entry;
    struct sl_dir dir;
    bool directory;
    uint32_t cluster;
    int status = find_directory(v, &cluster, error);
    if (status == 0)
        status = sl_dir_start(v, &dir, cluster, 0, false, error);
    while (status == 0 && (status = next_entry(v, &dir, &entry, &directory, error)) == 1) {
        status = 0;
        if (!directory && sl_name_is_wanted(entry.name))
            status = sl_volume_add(v, &entry, error);
    }
    return status;
}
