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
    status = status ? status
                    : sql_prepare(r->db,
                                  "SELECT " STORE_COLUMNS " FROM record WHERE id > ? AND id <= ?"
                                  " AND kind = 1 AND (?3 IS NULL OR camera = ?3)"
                                  " ORDER BY id LIMIT ?4",
                                  &r->camera, error);
    if (status) {
        reader_close(r);
    }
    return status;
}

void reader_close(struct store_reader *r)
{
    sqlite3_finalize(r->pending);
    sqlite3_finalize(r->one);
    sqlite3_finalize(r->camera);
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

static int take_rows(sqlite3_stmt *q, struct store_row *rows, int max)
{
    int n = 0;
    while (n < max && sqlite3_step(q) == SQLITE_ROW) {
        store_row_take(q, &rows[n++]);
    }
    sqlite3_reset(q);
    return n;
}

int reader_pending(struct store_reader *r, int64_t after, int64_t until, struct store_row *rows,
                   int max)
{
    sqlite3_bind_int64(r->pending, 1, after);
    sqlite3_bind_int64(r->pending, 2, until);
    sqlite3_bind_int(r->pending, 3, max);
    return take_rows(r->pending, rows, max);
}

int reader_camera(struct store_reader *r, const char *camera, int64_t after, int64_t until,
                  struct store_row *rows, int max)
{
    sqlite3_bind_int64(r->camera, 1, after);
    sqlite3_bind_int64(r->camera, 2, until);
    sqlite3_bind_text(r->camera, 3, camera, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int(r->camera, 4, max);
    return take_rows(r->camera, rows, max);
}

int reader_count(struct store_reader *r, const char *camera, int64_t after, int64_t until,
                 uint64_t *verdicts, uint64_t *rejects)
{
    struct store_error error;
    sqlite3_stmt *q = NULL;
    int status = sql_prepare(r->db,
                             "SELECT count(*), coalesce(sum(result <> 1), 0) FROM record"
                             " WHERE id > ? AND id <= ? AND kind = 1 AND camera = ?",
                             &q, &error);
    if (!status) {
        sqlite3_bind_int64(q, 1, after);
        sqlite3_bind_int64(q, 2, until);
        sqlite3_bind_text(q, 3, camera, -1, SQLITE_STATIC);
        status = sqlite3_step(q) == SQLITE_ROW ? 0 : -EIO;
        *verdicts = status ? 0 : (uint64_t)sqlite3_column_int64(q, 0);
        *rejects = status ? 0 : (uint64_t)sqlite3_column_int64(q, 1);
    }
    sqlite3_finalize(q);
    return status;
}

int reader_name(struct store_reader *r, char out[24])
{
    struct store_error error;
    sqlite3_stmt *q = NULL;
    int status = sql_prepare(r->db, "SELECT value FROM meta WHERE key = 'id'", &q, &error);
    if (!status) {
        status = sqlite3_step(q) == SQLITE_ROW ? 0 : -EIO;
        sql_copy(out, 24, status ? NULL : sqlite3_column_text(q, 0));
    }
    sqlite3_finalize(q);
    return status;
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
