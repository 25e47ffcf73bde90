// A ring of hash-chained records.
#include "ota/audit.h"

#include "ota/sha256.h"
#include "ota/usb/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NUMBER_AT = 8, UPTIME_AT = 16, UTC_AT = 24, BEFORE_AT = 32, TEXT_AT = 64, HASH_AT = 480 };
_Static_assert(TEXT_AT + SL_AUDIT_TEXT + 1 <= HASH_AT, "the text fits");

// False: not a record that was written here.
static bool decode(const uint8_t *r, uint64_t place, struct sl_audit_entry *entry)
{
    uint8_t hash[32];
    sl_sha256(hash, r, HASH_AT);
    *entry = (struct sl_audit_entry){.sequence = sl_le64(r + NUMBER_AT),
                                     .uptime_s = (int64_t)sl_le64(r + UPTIME_AT),
                                     .utc_s = (int64_t)sl_le64(r + UTC_AT)};
    memcpy(entry->text, r + TEXT_AT, SL_AUDIT_TEXT);
    return memcmp(r, "SLAUDIT1", 8) == 0 && memcmp(hash, r + HASH_AT, 32) == 0 &&
           entry->sequence > 0 && (entry->sequence - 1) % SL_AUDIT_RECORDS == place;
}

static bool read_at(int fd, uint64_t place, uint8_t *record)
{
    return pread(fd, record, SL_AUDIT_RECORD, (off_t)(place * SL_AUDIT_RECORD)) ==
           (ssize_t)SL_AUDIT_RECORD;
}

static bool is_blank(const uint8_t *record)
{
    return record[0] == 0 && memcmp(record, record + 1, SL_AUDIT_RECORD - 1) == 0;
}

int sl_audit_open(struct sl_audit *audit, const char *path, bool writable)
{
    uint8_t record[SL_AUDIT_RECORD];
    struct sl_audit_entry entry;
    *audit = (struct sl_audit){
        .fd = open(path, (writable ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (audit->fd < 0)
        return -errno;
    if (writable && posix_fallocate(audit->fd, 0, (off_t)SL_AUDIT_RECORDS * SL_AUDIT_RECORD) != 0) {
        sl_audit_close(audit);
        return -ENOSPC;
    }
    for (uint64_t i = 0; i < SL_AUDIT_RECORDS && read_at(audit->fd, i, record); i++)
        if (decode(record, i, &entry) && entry.sequence > audit->sequence) {
            audit->sequence = entry.sequence;
            memcpy(audit->last, record + HASH_AT, sizeof(audit->last));
        }
    return 0;
}

void sl_audit_close(struct sl_audit *audit)
{
    if (audit->fd >= 0)
        close(audit->fd);
    audit->fd = -1;
}

int sl_audit_add(struct sl_audit *audit, const char *format, ...)
{
    uint8_t record[SL_AUDIT_RECORD] = {0};
    struct timespec up, utc;
    va_list list;
    if (audit->fd < 0)
        return -EBADF;
    clock_gettime(CLOCK_BOOTTIME, &up);
    clock_gettime(CLOCK_REALTIME, &utc);
    memcpy(record, "SLAUDIT1", 8);
    sl_put64(record + NUMBER_AT, audit->sequence + 1);
    sl_put64(record + UPTIME_AT, (uint64_t)up.tv_sec);
    sl_put64(record + UTC_AT, (uint64_t)utc.tv_sec);
    memcpy(record + BEFORE_AT, audit->last, sizeof(audit->last));
    va_start(list, format);
    vsnprintf((char *)record + TEXT_AT, SL_AUDIT_TEXT, format, list);
    va_end(list);
    sl_sha256(record + HASH_AT, record, HASH_AT);
    const off_t at = (off_t)(audit->sequence % SL_AUDIT_RECORDS * SL_AUDIT_RECORD);
    if (pwrite(audit->fd, record, sizeof(record), at) != (ssize_t)sizeof(record) ||
        fdatasync(audit->fd) < 0)
        return -EIO;
    audit->sequence++;
    memcpy(audit->last, record + HASH_AT, sizeof(audit->last));
    return 0;
}

// From the oldest place on: the one after the newest.
int sl_audit_read(struct sl_audit *audit,
                  void (*each)(void *ctx, const struct sl_audit_entry *entry), void *ctx,
                  struct sl_audit_check *check)
{
    uint8_t record[SL_AUDIT_RECORD], before[32] = {0};
    uint64_t expected = 0;
    *check = (struct sl_audit_check){0};
    for (uint64_t i = 0; i < SL_AUDIT_RECORDS; i++) {
        const uint64_t place = (audit->sequence + i) % SL_AUDIT_RECORDS;
        struct sl_audit_entry entry;
        if (!read_at(audit->fd, place, record))
            return -EIO;
        // The place after the newest may hold what a power cut left.
        if (!decode(record, place, &entry)) {
            check->broken += i > 0 && !is_blank(record);
            continue;
        }
        const bool follows = entry.sequence == expected &&
                             memcmp(record + BEFORE_AT, before, sizeof(before)) == 0;
        check->broken += check->first ? !follows : entry.sequence == 1 &&
                                                       record[BEFORE_AT] != 0;
        check->first = check->first ? check->first : entry.sequence;
        check->last = entry.sequence;
        expected = entry.sequence + 1;
        memcpy(before, record + HASH_AT, sizeof(before));
        if (each)
            each(ctx, &entry);
    }
    return 0;
}
