// Reads the update files of a stick in user space: MBR, GPT or no partition table; FAT16, FAT32 or
// exFAT; only the files `*.slb` and `*.slc` in the directory `/SIGHTLINE`, and nothing is written.
//
// Every byte of the device is untrusted. The code allocates nothing, keeps what it knows in one
// structure of fixed size, and does a bounded amount of work: each chain is followed no further
// than the volume has clusters, each directory no further than SL_VOLUME_DIR_BYTES.
//
// Layouts: "Microsoft Extensible Firmware Initiative FAT32 File System Specification" 1.03,
// "exFAT file system specification" 1.00, UEFI specification 2.10 section 5 (GPT).
#ifndef SL_OTA_USB_VOLUME_H
#define SL_OTA_USB_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_VOLUME_ENTRIES      512u
#define SL_VOLUME_NAME_SIZE    768u                // 255 UTF-16 units as UTF-8, and the final zero
#define SL_VOLUME_DIR_BYTES    (4u << 20)          // longest directory that is read
#define SL_VOLUME_FILE_MAX     (UINT64_C(4) << 30) // longest file that is served
#define SL_VOLUME_DIR_CLUSTERS (SL_VOLUME_DIR_BYTES / 512u)
#define SL_VOLUME_WINDOW       4096u

// One message: what, at which byte of the device, what was expected and what was found.
struct sl_volume_error {
    char text[512];
};

// Where the bytes come from. `read_at` fills all `length` bytes from `offset` and returns 0, or a
// negative errno; it is never asked for anything at or beyond `length` of the source.
struct sl_volume_source {
    int (*read_at)(void *context, uint64_t offset, void *bytes, size_t length);
    void *context;
    uint64_t length;
};

enum sl_volume_kind { SL_VOLUME_NONE, SL_VOLUME_FAT16, SL_VOLUME_FAT32, SL_VOLUME_EXFAT };

struct sl_volume_entry {
    char name[SL_VOLUME_NAME_SIZE]; // UTF-8, no control characters, no path separators
    uint64_t length;                // bytes
    uint64_t valid;                 // bytes that were written; the rest reads as zero
    uint64_t at;                    // byte of the device where its directory entry stands
    uint32_t first;                 // first cluster
    bool contiguous;                // exFAT's NoFatChain
};

// A place in a chain; so that reading on does not follow the chain from its start. 0: the start.
struct sl_cursor {
    uint64_t step;
    uint32_t cluster;
};

// To be read by users: kind, partition, dirty, count, entries. The rest belongs to the reader.
struct sl_volume {
    enum sl_volume_kind kind;
    unsigned partition; // from 1; 0 where there is no partition table
    bool dirty;         // was not removed safely; accepted, because every byte is verified later
    uint32_t count;
    struct sl_volume_entry entries[SL_VOLUME_ENTRIES];

    struct sl_volume_source source;
    uint64_t start, length; // of the volume on the device
    uint32_t cluster_bytes, cluster_count;
    uint64_t fat_at, fat_bytes, heap_at; // bytes of the device
    uint32_t root_cluster;               // 0: FAT16's fixed root
    uint64_t root_at, root_bytes;        // FAT16's fixed root

    uint64_t window_at; // of the table, 0: nothing there
    uint32_t window_bytes;
    uint8_t window[SL_VOLUME_WINDOW];
    uint32_t seen_count; // clusters of directories met so far
    uint32_t seen[SL_VOLUME_DIR_CLUSTERS];
    uint32_t checked; // the entry whose chain was followed to its end and is sound, from 1; 0: none
    struct sl_cursor cursor; // in that chain
};

// Finds the first volume with a directory /SIGHTLINE and lists its update files. `volume` may hold
// anything before. Returns 0, or -EIO (the device did not answer), -EBADMSG (damaged or hostile),
// -ENOTSUP (a file system or layout that is not read), -ENOENT (no /SIGHTLINE). On failure nothing
// of `volume` may be used.
int sl_volume_open(struct sl_volume *volume, const struct sl_volume_source *source,
                   struct sl_volume_error *error);

// Reads `length` bytes at `offset` of the file `index`; the range must lie within the file. The
// first read of a file follows its whole chain and refuses what is broken. Returns 0, -EINVAL
// (no such file or range), -EIO, -EBADMSG, -EFBIG (longer than SL_VOLUME_FILE_MAX).
int sl_volume_read(struct sl_volume *volume, uint32_t index, uint64_t offset, void *bytes,
                   size_t length, struct sl_volume_error *error);

// "FAT16", "FAT32", "exFAT".
const char *sl_volume_kind_name(enum sl_volume_kind kind);

#endif
