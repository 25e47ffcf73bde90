// Inside of mqtt/ledger: the database of records. One writer, any number of readers.
//
// FOLDER/ledger.db is SQLite in WAL mode with synchronous=FULL. Records have consecutive numbers;
// each carries the SHA-256 of the one before it, `meta` keeps the hash of the newest and, where
// older ones were dropped, of the last that went. So an edit, a hole or a cut end shows.
// The state (pending, sent, parked) is not part of the hash: it changes.
//
// Not locked; each structure belongs to one thread. Functions return 0 or a negative errno
// (-EBADMSG: the database is damaged, -ENOSPC: no room) and say why in `error`.
#ifndef SL_MQTT_LEDGER_STORE_H
#define SL_MQTT_LEDGER_STORE_H

#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_HASH    32
#define STORE_STREAMS 16
#define STORE_FILE    "ledger.db"

enum store_kind { STORE_VERDICT = 1, STORE_GAP, STORE_FEEDBACK, STORE_ALARM };
enum store_state { STORE_PENDING = 0, STORE_SENT, STORE_PARKED };

struct store_row {
    int64_t id;
    uint32_t kind, state;
    char camera[64];
    uint64_t seq; // of a gap: its first
    int64_t ts_ms;
    char part[64];
    uint32_t result;  // enum sl_result; 0 where there is none
    char *classes;    // of the defects, each once, with ',' around: ",open,short,"; NULL: none
    uint32_t defects; // listed in the body
    char *body;       // what is published; store_row_clear frees both
};

struct store_stream {
    char camera[64];
    uint64_t seq; // the newest
};

struct store_error {
    char text[200];
};

// What a transaction changes in memory, so that it can be undone.
struct store_head {
    int64_t id, first; // newest, and the oldest that is kept; first = id + 1: none
    uint8_t hash[STORE_HASH];
    size_t n_streams;
    struct store_stream streams[STORE_STREAMS];
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *insert, *settle, *stream;
    GChecksum *sum;
    struct store_head head, before;
    char id[24]; // of this database: the `stream` of its verdicts
    bool fresh;  // made just now
};

int store_open(struct store *store, const char *folder, struct store_error *error);
void store_close(struct store *store);

int store_begin(struct store *store, struct store_error *error);
int store_commit(struct store *store, struct store_error *error);
void store_rollback(struct store *store);

// Within a transaction. The row's id is given here. A verdict moves its camera's stream.
int store_append(struct store *store, struct store_row *row, struct store_error *error);
int store_settle(struct store *store, int64_t id, enum store_state state,
                 struct store_error *error);

// A hole in a camera's numbers, told as a record.
int store_append_gap(struct store *store, const char *camera, uint64_t from, uint64_t to,
                     const char *reason, struct store_error *error);

// Drops the oldest `count` records; for verdicts that were not sent, gaps take their place.
// Within a transaction; *dropped is the number of such verdicts.
int store_trim(struct store *store, int64_t count, uint64_t *dropped, struct store_error *error);

uint64_t store_bytes(struct store *store); // in use; less than the file's size after a trim
struct store_stream *store_stream_of(struct store *store, const char *camera); // NULL: no room

// Reading, on a connection of its own.
struct store_reader {
    sqlite3 *db;
    sqlite3_stmt *pending, *one, *camera;
};
int reader_open(struct store_reader *reader, const char *folder, struct store_error *error);
void reader_close(struct store_reader *reader);
// Pending records with after < id ≤ until, at most `max`, oldest first; the number or an error.
int reader_pending(struct store_reader *reader, int64_t after, int64_t until,
                   struct store_row *rows, int max);
int reader_one(struct store_reader *reader, int64_t id, struct store_row *row); // 0 or -ENOENT
// Verdicts of one camera, whatever their state, with after < id ≤ until; as reader_pending.
int reader_camera(struct store_reader *reader, const char *camera, int64_t after, int64_t until,
                  struct store_row *rows, int max);
// How many of these there are, and how many of them are not ok.
int reader_count(struct store_reader *reader, const char *camera, int64_t after, int64_t until,
                 uint64_t *verdicts, uint64_t *rejects);
int reader_name(struct store_reader *reader, char out[24]); // of the database: its stream

void store_row_clear(struct store_row *row);
// Columns id, kind, state, camera, seq, ts, part, result, classes, defects, body.
#define STORE_COLUMNS "id,kind,state,camera,seq,ts,part,result,classes,defects,body"
void store_row_take(sqlite3_stmt *statement, struct store_row *row);

// Hash of a record, given that of the one before it.
void store_hash(GChecksum *sum, const uint8_t before[STORE_HASH], const struct store_row *row,
                uint8_t out[STORE_HASH]);

// Follows the chain from its beginning. *count: records seen; -EBADMSG with what is wrong.
int store_verify(sqlite3 *db, int64_t *count, struct store_error *error);

#endif
