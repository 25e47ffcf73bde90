// exFAT: boot region with its checksum, the root's own entries, and checked entry sets.
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <string.h>

enum {
    BOOT_SECTORS = 11, // summed; the twelfth repeats the sum
    SET_ENTRIES = 19,  // a file entry and at most 18 after it
    UNITS_PER_ENTRY = 15,
    UPCASE_BYTES = 131072,
    ATTRIBUTE_DIRECTORY = 0x10,
    IN_USE = 0x80,
    TYPE_END = 0x00,
    TYPE_BITMAP = 0x81,
    TYPE_UPCASE = 0x82,
    TYPE_LABEL = 0x83,
    TYPE_FILE = 0x85,
    TYPE_STREAM = 0xC0,
    TYPE_NAME = 0xC1,
    FLAG_POSSIBLE = 0x01,
    FLAG_CONTIGUOUS = 0x02,
};

struct entry_set {
    unsigned count; // entries after the first
    uint64_t at;
    uint8_t bytes[SET_ENTRIES * 32];
};

bool sl_exfat_is_boot(const uint8_t s[512])
{
    return memcmp(s + 3, "EXFAT   ", 8) == 0 && s[510] == 0x55 && s[511] == 0xAA;
}

static uint32_t rotate_add(uint32_t sum, uint8_t byte)
{
    return (sum >> 1 | sum << 31) + byte;
}

// Section 3.4: three bytes of the first sector change in use and are left out.
static uint32_t boot_sum(uint32_t sum, const uint8_t *bytes, uint32_t length, bool first)
{
    for (uint32_t i = 0; i < length; i++)
        if (!first || (i != 106 && i != 107 && i != 112))
            sum = rotate_add(sum, bytes[i]);
    return sum;
}

static int check_region(const struct sl_volume *v, uint32_t sector, struct sl_volume_error *error)
{
    uint8_t bytes[4096];
    uint32_t sum = 0;
    for (uint32_t i = 0; i <= BOOT_SECTORS; i++) {
        const uint64_t at = v->start + (uint64_t)i * sector;
        const int status = sl_volume_fetch(&v->source, at, bytes, sector, "boot region", error);
        if (status != 0)
            return status;
        if (i < BOOT_SECTORS)
            sum = boot_sum(sum, bytes, sector, i == 0);
        for (uint32_t k = 0; i == BOOT_SECTORS && k < sector; k += 4)
            if (sl_le32(bytes + k) != sum)
                return sl_volume_refuse(error, -EBADMSG, at + k,
                                        "boot region: expected checksum %08x, found %08x", sum,
                                        sl_le32(bytes + k));
    }
    return 0;
}

static int check_header(const struct sl_volume *v, const uint8_t *b, struct sl_volume_error *error)
{
    for (unsigned i = 11; i < 64; i++)
        if (b[i] != 0)
            return sl_volume_refuse(error, -EBADMSG, v->start + i,
                                    "boot sector: expected zero, found %02x", b[i]);
    if (b[108] < 9 || b[108] > 12)
        return sl_volume_refuse(error, -EBADMSG, v->start + 108,
                                "sector size: expected a shift of 9 to 12, found %u", b[108]);
    if (b[109] > 25 - b[108])
        return sl_volume_refuse(error, -EBADMSG, v->start + 109,
                                "cluster size: expected a shift of at most %u, found %u",
                                25u - b[108], b[109]);
    if (b[105] != 1)
        return sl_volume_refuse(error, -ENOTSUP, v->start + 104,
                                "exFAT: expected version 1, found %u.%02u", b[105], b[104]);
    if (b[110] != 1 && b[110] != 2)
        return sl_volume_refuse(error, -EBADMSG, v->start + 110,
                                "allocation tables: expected 1 or 2, found %u", b[110]);
    if ((b[106] & 1) && b[110] != 2)
        return sl_volume_refuse(error, -EBADMSG, v->start + 106,
                                "current table: expected the first, found the second of 1");
    return 0;
}

// All in sectors, and each sum is of numbers below 2^33.
static int check_layout(struct sl_volume *v, const uint8_t *b, struct sl_volume_error *error)
{
    const uint32_t sector = 1u << b[108];
    const uint64_t total = sl_le64(b + 72), room = v->length / sector;
    const uint64_t table = sl_le32(b + 80), size = sl_le32(b + 84), heap = sl_le32(b + 88);
    const uint32_t clusters = sl_le32(b + 92);
    if (total == 0 || total > room)
        return sl_volume_refuse(error, -EBADMSG, v->start + 72,
                                "volume: expected 1 to %llu sectors of %u bytes, found %llu",
                                (unsigned long long)room, sector, (unsigned long long)total);
    if (table < 24 || table > heap || size > (heap - table) / b[110])
        return sl_volume_refuse(error, -EBADMSG, v->start + 80,
                                "allocation tables: expected them between sectors 24 and %llu, "
                                "found %u of %llu sectors from %llu",
                                (unsigned long long)heap, b[110], (unsigned long long)size,
                                (unsigned long long)table);
    if (heap >= total || clusters == 0 || clusters > 0xFFFFFFF5 ||
        clusters > (total - heap) >> b[109])
        return sl_volume_refuse(error, -EBADMSG, v->start + 92,
                                "clusters: expected 1 to %llu from sector %llu, found %u",
                                heap >= total ? 0ULL
                                              : (unsigned long long)((total - heap) >> b[109]),
                                (unsigned long long)heap, clusters);
    if (size * sector / 4 < (uint64_t)clusters + 2)
        return sl_volume_refuse(error, -EBADMSG, v->start + 84,
                                "allocation table: expected %llu entries or more, found %llu",
                                (unsigned long long)clusters + 2,
                                (unsigned long long)(size * sector / 4));
    v->kind = SL_VOLUME_EXFAT;
    v->cluster_bytes = sector << b[109];
    v->cluster_count = clusters;
    v->fat_bytes = size * sector;
    v->fat_at = v->start + table * sector + ((b[106] & 1) ? v->fat_bytes : 0);
    v->heap_at = v->start + heap * sector;
    v->root_cluster = sl_le32(b + 96);
    v->dirty = (b[106] & 6) != 0;
    return 0;
}

int sl_exfat_mount(struct sl_volume *v, const uint8_t b[512], struct sl_volume_error *error)
{
    uint32_t first;
    int status = check_header(v, b, error);
    if (status == 0)
        status = check_region(v, 1u << b[108], error);
    if (status == 0)
        status = check_layout(v, b, error);
    if (status != 0)
        return status;
    if (!sl_cluster_valid(v, v->root_cluster))
        return sl_volume_refuse(error, -EBADMSG, v->start + 96,
                                "root directory: expected a cluster from 2 to %u, found %u",
                                v->cluster_count + 1, v->root_cluster);
    status = sl_table_entry(v, 0, &first, error);
    if (status == 0 && first != 0xFFFFFFF8)
        return sl_volume_refuse(error, -EBADMSG, v->fat_at,
                                "allocation table: expected fffffff8 at its start, found %08x",
                                first);
    return status;
}

// An allocation bitmap or up-case table: a chain without a name.
static void hidden_file(const uint8_t *entry, uint64_t at, const char *name,
                        struct sl_volume_entry *out)
{
    *out = (struct sl_volume_entry){.first = sl_le32(entry + 20),
                                    .length = sl_le64(entry + 24),
                                    .valid = sl_le64(entry + 24),
                                    .at = at};
    strcpy(out->name, name);
}

static int check_bitmap(struct sl_volume *v, const uint8_t *entry, uint64_t at,
                        struct sl_volume_error *error)
{
    struct sl_volume_entry file;
    hidden_file(entry, at, "allocation bitmap", &file);
    const uint64_t needed = ((uint64_t)v->cluster_count + 7) / 8;
    if (file.length < needed)
        return sl_volume_refuse(error, -EBADMSG, at + 24,
                                "allocation bitmap: expected %llu bytes or more, found %llu",
                                (unsigned long long)needed, (unsigned long long)file.length);
    return sl_chain_check(v, &file, error);
}

static int check_upcase(struct sl_volume *v, const uint8_t *entry, uint64_t at,
                        struct sl_volume_error *error)
{
    struct sl_volume_entry file;
    struct sl_cursor cursor = {0};
    uint8_t bytes[512];
    uint32_t sum = 0;
    hidden_file(entry, at, "up-case table", &file);
    if (file.length == 0 || file.length > UPCASE_BYTES)
        return sl_volume_refuse(error, -EBADMSG, at + 24,
                                "up-case table: expected 1 to %d bytes, found %llu", UPCASE_BYTES,
                                (unsigned long long)file.length);
    int status = sl_chain_check(v, &file, error);
    for (uint64_t done = 0; status == 0 && done < file.length; done += sizeof(bytes)) {
        const uint64_t left = file.length - done;
        const size_t piece = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
        status = sl_chain_read(v, &file, &cursor, done, bytes, piece, error);
        for (size_t i = 0; status == 0 && i < piece; i++)
            sum = rotate_add(sum, bytes[i]);
    }
    if (status == 0 && sum != sl_le32(entry + 4))
        return sl_volume_refuse(error, -EBADMSG, at + 4,
                                "up-case table: expected checksum %08x, found %08x",
                                sl_le32(entry + 4), sum);
    return status;
}

// Section 6.3.3; the sum's own place, bytes 2 and 3, is left out.
static uint16_t set_sum(const struct entry_set *set)
{
    uint16_t sum = 0;
    for (unsigned i = 0; i < (set->count + 1) * 32; i++)
        if (i != 2 && i != 3)
            sum = (uint16_t)((uint16_t)(sum << 15 | sum >> 1) + set->bytes[i]);
    return sum;
}

static int read_set(struct sl_volume *v, struct sl_dir *dir, struct entry_set *set,
                    struct sl_volume_error *error)
{
    uint64_t at;
    set->count = set->bytes[1];
    if (set->count < 2 || set->count >= SET_ENTRIES)
        return sl_volume_refuse(error, -EBADMSG, set->at + 1,
                                "entry set: expected 2 to 18 more entries, found %u", set->count);
    for (unsigned i = 1; i <= set->count; i++) {
        uint8_t *entry = set->bytes + 32 * i;
        const int status = sl_dir_next(v, dir, entry, &at, error);
        if (status < 0)
            return status;
        const uint8_t expected = i == 1 ? TYPE_STREAM : TYPE_NAME;
        // Entries of other kinds may stand behind the name.
        const bool fits =
            status == 1 && (entry[0] == expected || (i > 2 && (entry[0] & 0xC0) == 0xC0));
        if (!fits)
            return sl_volume_refuse(error, -EBADMSG, status == 1 ? at : dir->at,
                                    "entry set: expected type %02x, found %02x", expected,
                                    status == 1 ? entry[0] : 0);
    }
    const uint16_t sum = set_sum(set);
    if (sum != sl_le16(set->bytes + 2))
        return sl_volume_refuse(error, -EBADMSG, set->at + 2,
                                "entry set: expected checksum %04x, found %04x", sum,
                                sl_le16(set->bytes + 2));
    return 0;
}

// Section 7.6.4. Only for names of ASCII, whose upper case no table may change (section 7.2.5).
static bool hash_is_wrong(const uint16_t *units, unsigned count, uint16_t expected)
{
    uint16_t hash = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint16_t c = units[i] >= 'a' && units[i] <= 'z' ? units[i] & 0xDF : units[i];
        if (c >= 0x80)
            return false;
        hash = (uint16_t)((uint16_t)(hash << 15 | hash >> 1) + (c & 0xFF));
        hash = (uint16_t)((uint16_t)(hash << 15 | hash >> 1) + (c >> 8));
    }
    return hash != expected;
}

static int set_name(const struct entry_set *set, struct sl_volume_entry *out,
                    struct sl_volume_error *error)
{
    uint16_t units[256 + UNITS_PER_ENTRY];
    const uint8_t *stream = set->bytes + 32;
    const unsigned count = stream[3], entries = (count + UNITS_PER_ENTRY - 1) / UNITS_PER_ENTRY;
    if (count == 0 || entries > set->count - 1)
        return sl_volume_refuse(error, -EBADMSG, set->at + 35,
                                "entry set: expected a name of 1 to %u units, found %u",
                                (set->count - 1) * UNITS_PER_ENTRY, count);
    for (unsigned i = 0; i < entries; i++) {
        const uint8_t *entry = set->bytes + 64 + 32 * i;
        if (entry[0] != TYPE_NAME)
            return sl_volume_refuse(error, -EBADMSG, set->at + 64 + 32 * i,
                                    "entry set: expected type %02x, found %02x", TYPE_NAME,
                                    entry[0]);
        for (unsigned k = 0; k < UNITS_PER_ENTRY; k++)
            units[i * UNITS_PER_ENTRY + k] = sl_le16(entry + 2 + 2 * k);
    }
    if (hash_is_wrong(units, count, sl_le16(stream + 4)))
        return sl_volume_refuse(error, -EBADMSG, set->at + 36,
                                "entry set: the name's hash does not belong to it");
    if (!sl_name_from_utf16(units, count, out->name))
        out->name[0] = '\0'; // not ours
    return 0;
}

static int set_stream(const struct entry_set *set, struct sl_volume_entry *out,
                      struct sl_volume_error *error)
{
    const uint8_t *stream = set->bytes + 32;
    out->valid = sl_le64(stream + 8);
    out->first = sl_le32(stream + 20);
    out->length = sl_le64(stream + 24);
    out->contiguous = (stream[1] & FLAG_CONTIGUOUS) != 0;
    out->at = set->at;
    if (out->valid > out->length)
        return sl_volume_refuse(error, -EBADMSG, set->at + 40,
                                "entry set: expected at most %llu valid bytes, found %llu",
                                (unsigned long long)out->length, (unsigned long long)out->valid);
    if (out->length > 0 && !(stream[1] & FLAG_POSSIBLE))
        return sl_volume_refuse(error, -EBADMSG, set->at + 33,
                                "entry set: %llu bytes without an allocation",
                                (unsigned long long)out->length);
    return 0;
}

// What only the root has.
struct root {
    unsigned bitmaps, upcases;
};

static int special_entry(struct sl_volume *v, const uint8_t *entry, uint64_t at, struct root *root,
                         struct sl_volume_error *error)
{
    const uint8_t type = entry[0];
    if (root && type == TYPE_BITMAP && ++root->bitmaps <= 2)
        return check_bitmap(v, entry, at, error);
    if (root && type == TYPE_UPCASE && ++root->upcases == 1)
        return check_upcase(v, entry, at, error);
    if (root && (type == TYPE_BITMAP || type == TYPE_UPCASE))
        return sl_volume_refuse(error, -EBADMSG, at, "root directory: one %s too many",
                                type == TYPE_BITMAP ? "allocation bitmap" : "up-case table");
    if ((root && type == TYPE_LABEL) || type < IN_USE || (type & 0x60) != 0)
        return 0; // free, benign, or left over from a benign one
    return sl_volume_refuse(error, -ENOTSUP, at, "directory: entry type %02x is not known", type);
}

// The next file or directory. 1: there is one, 0: the end.
static int next_entry(struct sl_volume *v, struct sl_dir *dir, struct root *root,
                      struct sl_volume_entry *out, bool *directory, struct sl_volume_error *error)
{
    struct entry_set set;
    int status;
    while ((status = sl_dir_next(v, dir, set.bytes, &set.at, error)) == 1 &&
           set.bytes[0] != TYPE_END) {
        if (set.bytes[0] != TYPE_FILE) {
            status = special_entry(v, set.bytes, set.at, root, error);
            if (status != 0)
                return status;
            continue;
        }
        status = read_set(v, dir, &set, error);
        if (status == 0)
            status = set_name(&set, out, error);
        if (status == 0)
            status = set_stream(&set, out, error);
        *directory = (sl_le16(set.bytes + 4) & ATTRIBUTE_DIRECTORY) != 0;
        return status != 0 ? status : 1;
    }
    return status < 0 ? status : 0;
}

static int check_directory(const struct sl_volume *v, const struct sl_volume_entry *entry,
                           struct sl_volume_error *error)
{
    if (!sl_cluster_valid(v, entry->first))
        return sl_volume_refuse(error, -EBADMSG, entry->at,
                                "/SIGHTLINE: expected a cluster from 2 to %u, found %u",
                                v->cluster_count + 1, entry->first);
    if (entry->length == 0 || entry->length % v->cluster_bytes != 0 ||
        entry->length > SL_VOLUME_DIR_BYTES)
        return sl_volume_refuse(error, -EBADMSG, entry->at,
                                "/SIGHTLINE: expected whole clusters of %u bytes and at most %u "
                                "bytes, found %llu",
                                v->cluster_bytes, SL_VOLUME_DIR_BYTES,
                                (unsigned long long)entry->length);
    return 0;
}

static int find_directory(struct sl_volume *v, struct sl_volume_entry *out,
                          struct sl_volume_error *error)
{
    struct sl_volume_entry entry;
    struct root root = {0};
    struct sl_dir dir;
    bool directory, found = false;
    int status = sl_dir_start(v, &dir, v->root_cluster, 0, false, error);
    while (status == 0 && (status = next_entry(v, &dir, &root, &entry, &directory, error)) == 1) {
        status = 0;
        if (!directory || !sl_name_is_directory(entry.name))
            continue;
        if (found)
            return sl_volume_refuse(error, -EBADMSG, entry.at, "root directory: two SIGHTLINE");
        status = check_directory(v, &entry, error);
        *out = entry;
        found = true;
    }
    if (status == 0 && (root.bitmaps == 0 || root.upcases == 0))
        return sl_volume_refuse(error, -EBADMSG, dir.at,
                                "root directory: expected an allocation bitmap and one up-case "
                                "table, found %u and %u",
                                root.bitmaps, root.upcases);
    if (status == 0 && !found)
        return sl_volume_refuse(error, -ENOENT, dir.at, "root directory: no directory SIGHTLINE");
    return status;
}

int sl_exfat_list(struct sl_volume *v, struct sl_volume_error *error)
{
    struct sl_volume_entry entry;
    struct sl_dir dir;
    bool directory;
    int status = find_directory(v, &entry, error);
    if (status == 0)
        status = sl_dir_start(v, &dir, entry.first, entry.length, entry.contiguous, error);
    while (status == 0 && (status = next_entry(v, &dir, NULL, &entry, &directory, error)) == 1) {
        status = 0;
        if (!directory && sl_name_is_wanted(entry.name))
            status = sl_volume_add(v, &entry, error);
    }
    return status;
}
