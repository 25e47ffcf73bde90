// What the files of the volume reader share; nothing outside this folder includes it.
#ifndef SL_OTA_USB_VOLUME_IMPL_H
#define SL_OTA_USB_VOLUME_IMPL_H

#include "ota/usb/bytes.h"
#include "ota/usb/volume.h"

#define SL_PARTITIONS 32u

struct sl_partition {
    unsigned number;
    uint64_t start, length; // bytes of the device, within it
};

struct sl_partitions {
    unsigned count;
    struct sl_partition part[SL_PARTITIONS];
};

// A directory that is being walked, entry by entry.
struct sl_dir {
    uint32_t cluster;    // 0: FAT16's fixed root
    bool contiguous;     // exFAT's NoFatChain
    uint64_t left;       // bytes that may still be read
    bool bounded;        // `left` is the directory's own length, not our limit
    uint64_t at;         // byte of the device of the next entry
    uint32_t in_cluster; // bytes of the cluster that are still to come
    uint64_t block_at;
    uint32_t block_bytes;
    uint8_t block[SL_VOLUME_WINDOW];
};

// Writes "byte AT: …" and returns `status`.
int sl_volume_refuse(struct sl_volume_error *error, int status, uint64_t at, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

// Reads within the device, or says why not.
int sl_volume_fetch(const struct sl_volume_source *source, uint64_t at, void *bytes, size_t length,
                    const char *what, struct sl_volume_error *error);

// partition.c: what the first sectors say. No partition table: one partition with number 0.
int sl_partitions_read(const struct sl_volume_source *source, struct sl_partitions *out,
                       struct sl_volume_error *error);

// fat.c and exfat.c: check the boot sector at `volume->start` and fill in the geometry; then list.
bool sl_fat_is_boot(const uint8_t sector[512]);
int sl_fat_mount(struct sl_volume *volume, const uint8_t boot[512], struct sl_volume_error *error);
int sl_fat_list(struct sl_volume *volume, struct sl_volume_error *error);
bool sl_exfat_is_boot(const uint8_t sector[512]);
int sl_exfat_mount(struct sl_volume *volume, const uint8_t boot[512],
                   struct sl_volume_error *error);
int sl_exfat_list(struct sl_volume *volume, struct sl_volume_error *error);

// chain.c: clusters.
bool sl_cluster_valid(const struct sl_volume *volume, uint32_t cluster);
uint64_t sl_cluster_at(const struct sl_volume *volume, uint32_t cluster); // a valid one
// One raw entry of the table; `cluster` ≤ cluster_count + 1.
int sl_table_entry(struct sl_volume *volume, uint32_t cluster, uint32_t *out,
                   struct sl_volume_error *error);
// The cluster after `cluster`; 0 at the end.
int sl_cluster_next(struct sl_volume *volume, uint32_t cluster, uint32_t *out,
                    struct sl_volume_error *error);
// Exactly as many clusters as `length` bytes need, all valid, none twice in a circle.
int sl_chain_check(struct sl_volume *volume, const struct sl_volume_entry *entry,
                   struct sl_volume_error *error);
// `length` bytes at `offset` of a checked chain; the range lies within it. `cursor` starts zeroed
// and may be kept for the next read of the same chain.
int sl_chain_read(struct sl_volume *volume, const struct sl_volume_entry *entry,
                  struct sl_cursor *cursor, uint64_t offset, void *bytes, size_t length,
                  struct sl_volume_error *error);

// dir.c: the directory at `cluster` (0: FAT16's root), `bytes` long (0: as far as its chain goes).
int sl_dir_start(struct sl_volume *volume, struct sl_dir *dir, uint32_t cluster, uint64_t bytes,
                 bool contiguous, struct sl_volume_error *error);
// Copies the next 32 bytes and says where they stand. 1: there is one, 0: the end, < 0: error.
int sl_dir_next(struct sl_volume *volume, struct sl_dir *dir, uint8_t entry[32], uint64_t *at,
                struct sl_volume_error *error);

// name.c: UTF-16 to UTF-8. Refuses control characters, separators, lone surrogates, empty names.
bool sl_name_from_utf16(const uint16_t *units, unsigned count, char out[SL_VOLUME_NAME_SIZE]);
bool sl_name_is_sound(const char *name, size_t length); // UTF-8 that could have come from there
void sl_name_clean(char *text, size_t length);          // everything else in `text` becomes '?'
bool sl_name_is_directory(const char *name);            // SIGHTLINE, in any case
bool sl_name_is_wanted(const char *name); // *.slb or *.slc in any case, not hidden by a dot
// Appends a wanted file; -EBADMSG where there are too many.
int sl_volume_add(struct sl_volume *volume, const struct sl_volume_entry *entry,
                  struct sl_volume_error *error);

#endif
