// Inside of mqtt/: what of the ledger is published next. Of the network thread.
//
// New records go at once. What was there when the connection came up is history: it goes beside
// them, oldest first, at a limited rate. A record is sent in items: item 0 is its body, item 1 + i
// the defect i of a verdict; it is settled when every item is answered, and the connection has
// lasted for half a second more: a broker that is killed forgets what it acknowledged last. If it
// has not lasted, the record goes again.
#ifndef SL_MQTT_FEED_H
#define SL_MQTT_FEED_H

#include "mqtt/connection.h"
#include "mqtt/ledger/ledger.h"
#include "mqtt/ledger/store.h"

#include <cjson/cJSON.h>

#define FEED_BATCH   32
#define FEED_FLIGHTS (CONNECTION_WINDOW + 1)
#define FEED_GRACE   4096 // acknowledged records that may still come to nothing

struct feed_batch {
    struct store_row rows[FEED_BATCH];
    int n, at;
    int64_t after; // the newest that was read
};

struct feed {
    struct sl_ledger *ledger;
    uint32_t history_rate;
    struct store_reader reader;
    unsigned generation;
    bool restart; // settle first, then read from the beginning
    struct feed_batch live, history;
    int64_t boundary; // the last record of history
    double allowance; // records of history that may go now
    int64_t counted_ns, scanned_ns;
    struct store_row current; // body NULL: none
    bool current_is_history;
    uint32_t item;
    cJSON *defects; // of the current
    struct {
        int64_t id;
        uint32_t kind, items, settled;
        bool refused;
    } flights[FEED_FLIGHTS];
    unsigned n_flights;
    struct feed_answer {
        int64_t id, when_ns;
        bool is_verdict, refused;
    } grace[FEED_GRACE]; // a ring, oldest first
    unsigned grace_first, n_grace;
    _Atomic uint32_t graced[2]; // verdicts in it: acknowledged, refused; read by any thread
};

struct feed_item { // valid until feed_sent
    const struct store_row *row;
    uint32_t item;
    bool history;
    char *defect; // body of item 1 and up; to be freed with cJSON_free
};

void feed_restart(struct feed *feed); // after a connection came up
void feed_clear(struct feed *feed);
bool feed_next(struct feed *feed, struct feed_item *out); // false: nothing may go now
void feed_sent(struct feed *feed);                        // that item went (or never will)
void feed_settled(struct feed *feed, int64_t id, uint32_t item, bool refused);
void feed_settle(struct feed *feed, bool all); // what has lasted; with `all`, the rest too
bool feed_waits(const struct feed *feed);      // history is held back by its rate
int feed_one(struct feed *feed, int64_t id, struct store_row *row); // 0 or negative

#endif
