// What the update agent must know after a power cut, in two areas of the disk.
//
// An area is a ring of 4-KiB records; a record is valid if its SHA-256 and every number in it are.
// A save goes to the area that does not hold the newest record, is flushed, and goes to the other;
// so at any moment one area is not being written. A load takes the valid record with the highest
// sequence number of both.
#ifndef SL_OTA_STATE_H
#define SL_OTA_STATE_H

#include "ota/device.h"

#define SL_STATE_RECORD  4096u
#define SL_STATE_DENIED  32u // bundle ids; a further one takes the place of the oldest
#define SL_STATE_REVOKED 80u // ids of one catalog: SL_REVOKED_MAX
#define SL_OTA_ID        32u // a bundle id is a SHA-256

enum sl_slot_name { SL_SLOT_A, SL_SLOT_B, SL_SLOT_GOLDEN, SL_SLOT_NONE };

enum sl_phase {
    SL_PHASE_IDLE,
    SL_PHASE_FETCH,     // the pending slot is being written
    SL_PHASE_ARMED,     // it is whole and authentic, and waits for the site's order
    SL_PHASE_SELF_TEST, // each of these three is a try of the pending bundle
    SL_PHASE_SHADOW,
    SL_PHASE_PROBATION,
    SL_PHASES
};

// How the last update ended, or what recovery had to do.
enum sl_result {
    SL_RESULT_NONE,
    SL_RESULT_COMMITTED,
    SL_RESULT_FAILED,      // self-test, shadow or probation said no: denied
    SL_RESULT_CRASHED,     // observed crashes used up: denied
    SL_RESULT_TIMED_OUT,   // denied
    SL_RESULT_PARKED,      // unexplained restarts used up: put aside, an order may try it again
    SL_RESULT_NOT_WHOLE,   // what is in the slot is not the bundle: not the bundle's fault
    SL_RESULT_ABANDONED,   // fetch given up, or withdrawn by order
    SL_RESULT_OTHER_SLOT,  // active slot damaged: the other slot, or the golden one, serves
    SL_RESULT_STATE_LOST,  // no valid record: found by scanning the slots
    SL_RESULT_NOTHING_FIT, // no authentic bundle at or above the floor anywhere: safe mode
    SL_RESULT_REVERTED,    // an operator went back to the bundle before; the one left is parked
    SL_RESULTS
};

// Order of bundles. No dates.
struct sl_number {
    uint32_t epoch;
    uint64_t seq;
};

// What the newest catalog says: what may no longer be chosen.
struct sl_ota_catalog {
    uint32_t number, n_revoked; // number 0: none came yet
    struct sl_number floor;
    uint8_t revoked[SL_STATE_REVOKED][SL_OTA_ID];
};

enum sl_ota_when { // of an order, as in ota/bundle/catalog.h
    SL_WHEN_NEVER, // the order is over; its number still counts
    SL_WHEN_AT_ONCE,
    SL_WHEN_LINE_IDLE,
    SL_WHEN_NEXT_START,
    SL_WHEN_ON_DEMAND,
    SL_WHENS
};

// The plant's newest order to this camera. While it stands, only the bundle that it names is taken.
struct sl_ota_order {
    uint32_t number;       // 0: none came yet
    uint8_t when, permits; // enum sl_ota_when; 1: permits an older bundle, down to `lowest`
    struct sl_number lowest;
    uint8_t bundle[SL_OTA_ID];
};

struct sl_ota_state {
    uint64_t sequence; // of the record; sl_state_save counts it up
    uint8_t phase, active, pending, result;
    uint8_t crashes_left, unexplained_left;
    uint8_t trying;   // 1: a try began, and its end was not seen yet
    uint8_t degraded; // 1: recovery chose what is active, not a commit
    struct sl_number floor;
    uint64_t fetched; // bytes of the pending slot that need not be looked at again; a hint
    uint32_t root_version, n_denied;
    uint8_t root_hash[32];
    uint8_t active_id[SL_OTA_ID], pending_id[SL_OTA_ID], parked_id[SL_OTA_ID];
    struct sl_number pending_number;
    uint8_t denied[SL_STATE_DENIED][SL_OTA_ID]; // n_denied of them, oldest first
    struct sl_ota_order order;
    struct sl_ota_catalog catalog;
};

struct sl_state_store {
    struct sl_ota_device *area[2]; // each a multiple of SL_STATE_RECORD, at least two records
    uint64_t sequence;             // highest that any record may have used
    unsigned newest;               // area whose record is the newest and whole
    uint8_t record[SL_STATE_RECORD];
};

// -EINVAL if the areas are too small, not of whole records, or the same device.
int sl_state_open(struct sl_state_store *store, struct sl_ota_device *first,
                  struct sl_ota_device *second);

// 0 and *state; -ENODATA: both areas could be read and hold nothing valid; another errno: nothing
// valid was found, and not all could be read. Makes the areas equal again if they are not; that
// this failed is no error here, because the next save meets the same disk.
int sl_state_load(struct sl_state_store *store, struct sl_ota_state *state);

// When it returns 0 the state is on the disk in both areas. After a failure the disk may hold this
// state or the one before it.
int sl_state_save(struct sl_state_store *store, const struct sl_ota_state *state);

bool sl_state_is_denied(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID]);
void sl_state_deny(struct sl_ota_state *state, const uint8_t id[SL_OTA_ID]);
// Whether the catalog keeps this bundle from being chosen.
bool sl_state_is_revoked(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID],
                         struct sl_number number);
// Whether an order stands, and names this bundle.
bool sl_state_has_order(const struct sl_ota_state *state);
bool sl_state_is_ordered(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID]);
// Whether the order names this bundle and permits it although an older one than what serves.
bool sl_state_may_be_older(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID],
                           struct sl_number number);
// The lowest number that this bundle may have: the floor, or what the order permits for it.
struct sl_number sl_state_lowest(const struct sl_ota_state *state, const uint8_t id[SL_OTA_ID]);
bool sl_number_below(struct sl_number a, struct sl_number b);
const char *sl_result_name(enum sl_result result);

// The record's bytes. Reading: -EBADMSG for anything that a writer would not have written. Records
// of version 2, which had neither order nor catalog, are read too.
void sl_state_encode(const struct sl_ota_state *state, uint8_t record[SL_STATE_RECORD]);
int sl_state_decode(const uint8_t record[SL_STATE_RECORD], struct sl_ota_state *state);

#endif
