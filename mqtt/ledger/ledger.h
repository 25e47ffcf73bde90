// The ledger: every verdict is on disk before anything is published.
//
// What is handed over is copied into a bounded queue; a thread of the ledger's own writes it, many
// records in one transaction: at most every 10 ms, at once after 20 records. When the queue is
// full the oldest verdict in it goes, is counted, and a `gap` record says so. What does not fit
// the quota goes oldest first: pictures, then records; a gap takes the place of verdicts that
// were never sent. A damaged database is moved aside and a new one begun, with a gap record.
// Where the folder cannot be used at all, records are kept in memory (below /dev/shm) and
// `problem` says so: inspection goes on, nothing survives a power cut.
#ifndef SL_MQTT_LEDGER_H
#define SL_MQTT_LEDGER_H

#include "config/camera.h"
#include "mqtt/verdict.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct sl_ledger;

struct sl_ledger_stats {
    uint64_t accepted; // verdicts taken
    uint64_t dropped;  // of these and of older ones, gone before they were sent
    uint64_t sent, parked;
    uint64_t queued;  // verdicts not sent yet, in the queue or on disk
    uint64_t waiting; // of these, not on disk yet
    uint64_t bytes, rows;
    int64_t head;        // number of the newest record on disk
    unsigned generation; // one more whenever another database took the place of the last
    char problem[200];   // why it does not do all that it should; empty: it does
};

struct sl_ledger_options {
    const struct sl_config_ledger *config;
    const char *const *cameras;
    size_t n_cameras;             // at most 16
    uint32_t queue;               // verdicts between the caller and the disk
    const char *boot_id;          // for the bodies; NULL: none
    void (*committed)(void *ctx); // ledger's thread: there is something new to read; may be NULL
    void *ctx;
};

// Takes the folder's lock: two ledgers in one folder are refused.
struct sl_ledger *sl_ledger_new(const struct sl_ledger_options *options, GError **error);
void sl_ledger_free(struct sl_ledger *ledger); // writes what is queued; NULL is fine

// Any thread. Copies, allocates nothing, never waits for the disk. Returns the verdict's number, 0
// if its camera is unknown.
uint64_t sl_ledger_append(struct sl_ledger *ledger, const struct sl_verdict *verdict);

// Any thread: an operator's word on a part. May allocate. False if there is no room now.
bool sl_ledger_feedback(struct sl_ledger *ledger, const char *camera, const char *part_id,
                        const char *json);

// Any thread: an alarm, to be published. May allocate. False if there is no room now.
bool sl_ledger_alarm(struct sl_ledger *ledger, const char *camera, const char *json);

// The record was acknowledged (or, `parked`, refused for good). Never waits. False: no room now,
// try again.
bool sl_ledger_settle(struct sl_ledger *ledger, int64_t id, bool is_verdict, bool parked);
bool sl_ledger_is_settled(struct sl_ledger *ledger); // every such word is on disk

void sl_ledger_stats(struct sl_ledger *ledger, struct sl_ledger_stats *out);
// Number of the camera's newest verdict on disk; 0: none in this run.
int64_t sl_ledger_newest(struct sl_ledger *ledger, size_t camera);
// Where the database is; constant while `generation` is.
const char *sl_ledger_folder(struct sl_ledger *ledger);

#endif
