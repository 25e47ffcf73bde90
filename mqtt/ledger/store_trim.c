// Dropping the oldest records: gaps take the place of verdicts that were never sent.
#include "mqtt/ledger/sql.h"
#include "mqtt/ledger/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct lost {
    char camera[64];
    uint64_t from, to;
    uint64_t count;
};

static int find_lost(struct store *s, int64_t last, struct lost lost[STORE_STREAMS], size_t *n,
                     struct store_error *error)
{
    sqlite3_stmt *q = NULL;
    int status =
        sql_prepare(s->db,
                    // Gaps that were not sent either go on in the new ones.
                    "SELECT camera, min(seq),"
                    " max(CASE kind WHEN 2 THEN json_extract(body, '$.to_seq') ELSE seq END),"
                    " sum(kind = 1) FROM record"
                    " WHERE id <= ? AND kind IN (1, 2) AND state <> 1"
                    " GROUP BY camera LIMIT 16",
                    &q, error);
    if (!status) {
        sqlite3_bind_int64(q, 1, last);
    }
    for (*n = 0; !status && *n < STORE_STREAMS && sqlite3_step(q) == SQLITE_ROW; (*n)++) {
        struct lost *l = &lost[*n];
        sql_copy(l->camera, sizeof(l->camera), sqlite3_column_text(q, 0));
        l->from = (uint64_t)sqlite3_column_int64(q, 1);
        l->to = (uint64_t)sqlite3_column_int64(q, 2);
        l->count = (uint64_t)sqlite3_column_int64(q, 3);
    }
    sqlite3_finalize(q);
    return status;
}

// The hash of record `id` is what the next one carries.
static int hash_of(struct store *s, int64_t id, uint8_t out[STORE_HASH], struct store_error *error)
{
    sqlite3_stmt *q = NULL;
    if (id >= s->head.id) {
        memcpy(out, s->head.hash, STORE_HASH);
        return 0;
    }
    int status = sql_prepare(s->db, "SELECT prev FROM record WHERE id = ?", &q, error);
    if (!status) {
        sqlite3_bind_int64(q, 1, id + 1);
        if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == STORE_HASH) {
            memcpy(out, sqlite3_column_blob(q, 0), STORE_HASH);
        } else {
            status = sql_damaged(error, "a record is missing");
        }
    }
    sqlite3_finalize(q);
    return status;
}

int store_trim(struct store *s, int64_t count, uint64_t *dropped, struct store_error *error)
{
    const int64_t last = MIN(s->head.first + count - 1, s->head.id);
    struct lost lost[STORE_STREAMS];
    uint8_t anchor[STORE_HASH];
    char sql[80];
    size_t n = 0;
    *dropped = 0;
    int status = find_lost(s, last, lost, &n, error);
    status = status ? status : hash_of(s, last, anchor, error);
    status = status ? status : meta_write_hash(s->db, "anchor", anchor, error);
    snprintf(sql, sizeof(sql), "DELETE FROM record WHERE id <= %" G_GINT64_FORMAT, last);
    status = status ? status : sql_run(s->db, sql, error);
    for (size_t i = 0; !status && i < n; i++) {
        *dropped += lost[i].count;
        status = store_append_gap(s, lost[i].camera, lost[i].from, lost[i].to, "no room", error);
    }
    if (!status) {
        s->head.first = last + 1;
    }
    return status;
}

uint64_t store_bytes(struct store *s)
{
    struct store_error error;
    int64_t pages = 0, unused = 0, size = 0;
    if (sql_number(s->db, "PRAGMA page_count", &pages, &error) ||
        sql_number(s->db, "PRAGMA freelist_count", &unused, &error) ||
        sql_number(s->db, "PRAGMA page_size", &size, &error)) {
        return 0;
    }
    return (uint64_t)(pages - unused) * (uint64_t)size;
}
