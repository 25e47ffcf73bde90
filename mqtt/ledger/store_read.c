// Reading records, on a connection of its own.
#include "mqtt/ledger/sql.h"
#include "mqtt/ledger/store.h"

#include <errno.h>

int reader_open(struct store_reader *r, const char *folder, struct store_error *error)
{
    *r = (struct store_reader){.db = NULL};
    // Not read-only: a reader of a WAL takes part in its index.
    int status = sql_open(folder, SQLITE_OPEN_READWRITE, &r->db, error);
    status = status ? status
                    : sql_prepare(r->db,
                                  "SELECT " STORE_COLUMNS " FROM record INDEXED BY pending"
                                  " WHERE state = 0 AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                                  &r->pending, error);
    status = status ? status
                    : sql_prepare(r->db, "SELECT " STORE_COLUMNS " FROM record WHERE id = ?",
                                  &r->one, error);
    if (status) {
        reader_close(r);
    }
    return status;
}

void reader_close(struct store_reader *r)
{
    sqlite3_finalize(r->pending);
    sqlite3_finalize(r->one);
    sqlite3_close(r->db);
    *r = (struct store_reader){.db = NULL};
}

void store_row_clear(struct store_row *row)
{
    g_clear_pointer(&row->body, g_free);
    g_clear_pointer(&row->classes, g_free);
}

void store_row_take(sqlite3_stmt *q, struct store_row *row)
{
    *row = (struct store_row){
        .id = sqlite3_column_int64(q, 0),
        .kind = (uint32_t)sqlite3_column_int64(q, 1),
        .state = (uint32_t)sqlite3_column_int64(q, 2),
        .seq = (uint64_t)sqlite3_column_int64(q, 4),
        .ts_ms = sqlite3_column_int64(q, 5),
        .result = (uint32_t)sqlite3_column_int64(q, 7),
        .classes = g_strdup((const char *)sqlite3_column_text(q, 8)),
        .defects = (uint32_t)sqlite3_column_int64(q, 9),
        .body = g_strdup((const char *)sqlite3_column_text(q, 10)),
    };
    row->body = row->body ? row->body : g_strdup("");
    sql_copy(row->camera, sizeof(row->camera), sqlite3_column_text(q, 3));
    sql_copy(row->part, sizeof(row->part), sqlite3_column_text(q, 6));
}

int reader_pending(struct store_reader *r, int64_t after, int64_t until, struct store_row *rows,
                   int max)
{
    int n = 0;
    sqlite3_bind_int64(r->pending, 1, after);
    sqlite3_bind_int64(r->pending, 2, until);
    sqlite3_bind_int(r->pending, 3, max);
    while (n < max && sqlite3_step(r->pending) == SQLITE_ROW) {
        store_row_take(r->pending, &rows[n++]);
    }
    sqlite3_reset(r->pending);
    return n;
}

int reader_one(struct store_reader *r, int64_t id, struct store_row *row)
{
    int status = -ENOENT;
    sqlite3_bind_int64(r->one, 1, id);
    if (sqlite3_step(r->one) == SQLITE_ROW) {
        store_row_take(r->one, row);
        status = 0;
    }
    sqlite3_reset(r->one);
    return status;
}
