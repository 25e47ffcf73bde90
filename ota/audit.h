// The audit log: a file of fixed size, a ring of records of which each holds the hash of the one
// before, so that none can be changed or left out unnoticed.
//
// A record: magic "SLAUDIT1", sequence number, seconds since the start of the machine and UTC of
// whatever clock there is (both for people only), the SHA-256 of the record before, text, and the
// SHA-256 of all of that. 512 octets.
#ifndef SL_OTA_AUDIT_H
#define SL_OTA_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#define SL_AUDIT_RECORD  512u
#define SL_AUDIT_RECORDS 2048u
#define SL_AUDIT_TEXT    391u

struct sl_audit_entry {
    uint64_t sequence;         // from 1
    int64_t uptime_s, utc_s;
    char text[SL_AUDIT_TEXT + 1];
};

struct sl_audit {
    int fd; // -1: nothing is kept
    uint64_t sequence;
    uint8_t last[32];
};

struct sl_audit_check {
    uint64_t first, last; // sequence numbers; 0: none
    uint64_t broken;      // records whose hash, number or predecessor is wrong
};

// Opens or makes the file. A record that was torn by a power cut at the end is begun anew and does
// not count as broken. 0 or a negative errno.
int sl_audit_open(struct sl_audit *audit, const char *path, bool writable);
void sl_audit_close(struct sl_audit *audit);

// Appends and flushes. What is too long is cut.
int sl_audit_add(struct sl_audit *audit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Reads all records, oldest first, gives each that is whole to `each` (may be NULL), checks the
// chain.
int sl_audit_read(struct sl_audit *audit,
                  void (*each)(void *ctx, const struct sl_audit_entry *entry), void *ctx,
                  struct sl_audit_check *check);

#endif
