// A stick of any size from few bytes, for random changes and fuzzing: the number of sectors
// (4 bytes), flags (4), then {sector number (4), 512 bytes} for each sector that is not zero.
#ifndef SL_TESTS_OTA_USB_SPARSE_H
#define SL_TESTS_OTA_USB_SPARSE_H

#include "ota/usb/volume.h"

enum { SPARSE_HEAD = 8, SPARSE_RECORD = 516, SPARSE_RECORDS = 2048, SPARSE_SLOTS = 8192 };
// Makes exFAT's checksums right after changes, so that what lies behind them is reached.
enum { SPARSE_RESEAL = 1 };

struct sparse {
    uint8_t *bytes; // the caller's; resealing changes them
    uint32_t records, reads;
    uint16_t slot[SPARSE_SLOTS]; // record number + 1
};

void sparse_load(struct sparse *sparse, uint8_t *bytes, size_t size);
struct sl_volume_source sparse_source(struct sparse *sparse);
// Lists, and reads pieces of each file: its start, its end and its middle. Returns what
// sl_volume_open did; aborts when the reader breaks a promise.
int sparse_read(struct sparse *sparse, struct sl_volume *volume);

#endif
