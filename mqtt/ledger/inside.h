// Inside of mqtt/ledger: the ledger's state, and what its files give each other.
//
// ledger.c is what any thread may call, writer.c the thread, records.c what becomes a record,
// place.c where the database is.
#ifndef SL_MQTT_LEDGER_INSIDE_H
#define SL_MQTT_LEDGER_INSIDE_H

#include "mqtt/ledger/ledger.h"
#include "mqtt/ledger/queue.h"
#include "mqtt/ledger/store.h"
#include "mqtt/verdict_json.h"

#include <pthread.h>

#define LEDGER_BATCH   256u // most verdicts of one transaction
#define LEDGER_SETTLED 4096u
#define LEDGER_NOTES   64u

struct ledger_settled {
    int64_t id;
    bool parked;
};

struct ledger_note { // feedback or an alarm
    uint32_t kind;
    char camera[64], part[64];
    char *body;
};

struct sl_ledger {
    // Fixed before the thread starts.
    char *folder, *wanted;
    uint64_t max_bytes;
    int64_t max_rows;
    struct sl_verdict_origin origin; // its stream changes with the database, on the thread
    void (*committed)(void *ctx);
    void *ctx;
    int lock_fd;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    struct queue queue;
    int64_t first;                  // the oldest record that is kept
    uint32_t n_settled, n_settling; // told; of these, being written
    struct ledger_settled settled[LEDGER_SETTLED];
    uint32_t n_notes;
    struct ledger_note notes[LEDGER_NOTES];
    struct sl_ledger_stats stats;
    size_t n_cameras;
    struct {
        char name[64];
        uint64_t seq;
        int64_t newest;
    } cameras[STORE_STREAMS];

    // Of the thread.
    struct store store;
    struct sl_verdict batch[LEDGER_BATCH];
    struct ledger_settled settling[LEDGER_SETTLED];
    int64_t newest[STORE_STREAMS];
    unsigned commits;
    char json[SL_VERDICT_JSON_MAX];
};

void *ledger_run(void *ledger); // the thread

int ledger_camera(const struct sl_ledger *ledger, const char *name);  // its index, or -1
void ledger_note_problem(struct sl_ledger *ledger, const char *text); // NULL: there is none

// Within a transaction of the store. A verdict that is on disk already is left out.
int ledger_append_verdict(struct sl_ledger *ledger, const struct sl_verdict *verdict,
                          struct store_error *error);
int ledger_append_note(struct sl_ledger *ledger, const struct ledger_note *note,
                       struct store_error *error);

int64_t ledger_rows(const struct sl_ledger *ledger);
int ledger_trim(struct sl_ledger *ledger, int64_t count, struct store_error *error);
void ledger_keep_quota(struct sl_ledger *ledger);

// The folder, or else memory. The queue is taken up from the ledger's last process.
bool ledger_open_somewhere(struct sl_ledger *ledger, uint32_t queue, GError **error);
// While running: what was on disk is lost, what is in the queue goes on under its numbers.
void ledger_replace_store(struct sl_ledger *ledger);

#endif
