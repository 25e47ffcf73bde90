// The database of records: schema, opening, transactions, and writing.
#include "mqtt/ledger/store.h"

#include "mqtt/ledger/sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE stream(camera TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE record(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, state INTEGER NOT NULL,"
    " camera TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL, part TEXT NOT NULL,"
    " result INTEGER NOT NULL, classes TEXT, defects INTEGER NOT NULL, body TEXT NOT NULL,"
    " prev BLOB NOT NULL);"
    "CREATE INDEX pending ON record(id) WHERE state = 0;"
    "INSERT INTO meta VALUES('id', lower(hex(randomblob(8))));"
    "INSERT INTO meta VALUES('anchor', zeroblob(32)), ('head', zeroblob(32));"
    "INSERT INTO meta VALUES('last', 0);"
    "PRAGMA user_version = 1;";

static int read_streams(struct store *s, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = sql_prepare(s->db, "SELECT camera, seq FROM stream", &statement, error);
    while (!status && sqlite3_step(statement) == SQLITE_ROW) {
        const char *camera = (const char *)sqlite3_column_text(statement, 0);
        struct store_stream *stream = store_stream_of(s, camera ? camera : "");
        if (stream) {
            stream->seq = (uint64_t)sqlite3_column_int64(statement, 1);
        }
    }
    sqlite3_finalize(statement);
    return status;
}

static int read_id(struct store *s, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = sql_prepare(s->db, "SELECT value FROM meta WHERE key = 'id'", &statement, error);
    if (!status && sqlite3_step(statement) == SQLITE_ROW) {
        sql_copy(s->id, sizeof(s->id), sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return !status && strlen(s->id) != 16 ? sql_damaged(error, "the database has no name") : status;
}

static int load(struct store *s, struct store_error *error)
{
    int status = read_id(s, error);
    status = status ? status : meta_hash(s->db, "head", s->head.hash, error);
    status =
        status ? status
               : sql_number(s->db, "SELECT value FROM meta WHERE key = 'last'", &s->head.id, error);
    status = status ? status
                    : sql_number(s->db,
                                 "SELECT coalesce((SELECT min(id) FROM record),"
                                 " (SELECT value + 1 FROM meta WHERE key = 'last'))",
                                 &s->head.first, error);
    return status ? status : read_streams(s, error);
}

static int make(struct store *s, struct store_error *error)
{
    int64_t version = 0;
    int status = sql_number(s->db, "PRAGMA user_version", &version, error);
    if (status || version == 1) {
        return status;
    }
    if (version != 0) {
        snprintf(error->text, sizeof(error->text),
                 "ledger: expected version 1 of the database, found %" G_GINT64_FORMAT, version);
        return -EPROTONOSUPPORT;
    }
    s->fresh = true;
    status = sql_run(s->db, "BEGIN IMMEDIATE", error);
    status = status ? status : sql_run(s->db, schema, error);
    return status ? status : sql_run(s->db, "COMMIT", error);
}

static int check(struct store *s, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = sql_prepare(s->db, "PRAGMA quick_check(1)", &statement, error);
    if (!status) {
        int code = sqlite3_step(statement);
        const char *text =
            code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (code != SQLITE_ROW) {
            status = sql_fail(s->db, code, "ledger", error);
        } else if (!text || strcmp(text, "ok")) {
            status = sql_damaged(error, text ? text : "the check says nothing");
        }
    }
    sqlite3_finalize(statement);
    return status;
}

int store_open(struct store *s, const char *folder, struct store_error *error)
{
    *s = (struct store){.db = NULL};
    int status = sql_open(folder, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &s->db, error);
    status = status ? status
                    : sql_run(s->db,
                              "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                              "PRAGMA journal_size_limit = 4194304; PRAGMA temp_store = MEMORY;",
                              error);
    status = status ? status : make(s, error);
    status = status ? status : check(s, error);
    status = status ? status : load(s, error);
    status = status ? status
                    : sql_prepare(s->db,
                                  "INSERT INTO record(" STORE_COLUMNS ",prev)"
                                  " VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
                                  &s->insert, error);
    status =
        status ? status
               : sql_prepare(s->db, "UPDATE record SET state = ? WHERE id = ?", &s->settle, error);
    status = status ? status
                    : sql_prepare(s->db, "REPLACE INTO stream(camera, seq) VALUES(?, ?)",
                                  &s->stream, error);
    s->sum = g_checksum_new(G_CHECKSUM_SHA256);
    if (status) {
        store_close(s);
    }
    return status;
}

void store_close(struct store *s)
{
    sqlite3_finalize(s->insert);
    sqlite3_finalize(s->settle);
    sqlite3_finalize(s->stream);
    sqlite3_close(s->db);
    g_clear_pointer(&s->sum, g_checksum_free);
    s->db = NULL;
    s->insert = s->settle = s->stream = NULL;
}

int store_begin(struct store *s, struct store_error *error)
{
    s->before = s->head;
    return sql_run(s->db, "BEGIN IMMEDIATE", error);
}

static int write_head(struct store *s, struct store_error *error)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "UPDATE meta SET value = %" G_GINT64_FORMAT " WHERE key = 'last'",
             s->head.id);
    int status = meta_write_hash(s->db, "head", s->head.hash, error);
    return status ? status : sql_run(s->db, sql, error);
}

int store_commit(struct store *s, struct store_error *error)
{
    int status = 0;
    for (size_t i = 0; !status && i < s->head.n_streams; i++) {
        if (i < s->before.n_streams && s->before.streams[i].seq == s->head.streams[i].seq) {
            continue;
        }
        sqlite3_bind_text(s->stream, 1, s->head.streams[i].camera, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s->stream, 2, (int64_t)s->head.streams[i].seq);
        status = sql_finish(s->db, s->stream, error);
    }
    if (!status && s->head.id != s->before.id) {
        status = write_head(s, error);
    }
    return status ? status : sql_run(s->db, "COMMIT", error);
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db)) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    // A commit that failed late may be on disk after all: what is there counts.
    struct store_error error;
    s->head = (struct store_head){.id = 0};
    if (load(s, &error)) {
        s->head = s->before;
    }
}

struct store_stream *store_stream_of(struct store *s, const char *camera)
{
    for (size_t i = 0; i < s->head.n_streams; i++) {
        if (strcmp(s->head.streams[i].camera, camera) == 0) {
            return &s->head.streams[i];
        }
    }
    if (s->head.n_streams == STORE_STREAMS) {
        return NULL;
    }
    struct store_stream *stream = &s->head.streams[s->head.n_streams++];
    *stream = (struct store_stream){.seq = 0};
    sql_copy(stream->camera, sizeof(stream->camera), camera);
    return stream;
}

static int bind_and_insert(struct store *s, const struct store_row *row, struct store_error *error)
{
    sqlite3_stmt *q = s->insert;
    sqlite3_bind_int64(q, 1, row->id);
    sqlite3_bind_int64(q, 2, row->kind);
    sqlite3_bind_int64(q, 3, row->state);
    sqlite3_bind_text(q, 4, row->camera, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 5, (int64_t)row->seq);
    sqlite3_bind_int64(q, 6, row->ts_ms);
    sqlite3_bind_text(q, 7, row->part, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 8, row->result);
    sqlite3_bind_text(q, 9, row->classes, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 10, row->defects);
    sqlite3_bind_text(q, 11, row->body, -1, SQLITE_STATIC);
    sqlite3_bind_blob(q, 12, s->head.hash, STORE_HASH, SQLITE_STATIC);
    return sql_finish(s->db, q, error);
}

int store_append(struct store *s, struct store_row *row, struct store_error *error)
{
    struct store_stream *stream = store_stream_of(s, row->camera);
    row->id = s->head.id + 1;
    int status = bind_and_insert(s, row, error);
    if (status) {
        return status;
    }
    store_hash(s->sum, s->head.hash, row, s->head.hash);
    s->head.id = row->id;
    if (row->kind == STORE_VERDICT && stream) {
        stream->seq = MAX(stream->seq, row->seq);
    }
    return 0;
}

int store_append_gap(struct store *s, const char *camera, uint64_t from, uint64_t to,
                     const char *reason, struct store_error *error)
{
    struct store_row row = {.kind = STORE_GAP, .seq = from, .ts_ms = g_get_real_time() / 1000};
    sql_copy(row.camera, sizeof(row.camera), camera);
    row.body = g_strdup_printf(
        "{\"schema\":1,\"camera\":\"%s\",\"stream\":\"%s\",\"from_seq\":%" G_GUINT64_FORMAT
        ",\"to_seq\":%" G_GUINT64_FORMAT ",\"ts\":%" G_GINT64_FORMAT ",\"reason\":\"%s\"}",
        row.camera, s->id, from, to, row.ts_ms, reason);
    int status = store_append(s, &row, error);
    struct store_stream *stream = store_stream_of(s, camera);
    if (!status && stream) {
        stream->seq = MAX(stream->seq, to);
    }
    g_free(row.body);
    return status;
}

int store_settle(struct store *s, int64_t id, enum store_state state, struct store_error *error)
{
    sqlite3_bind_int64(s->settle, 1, (int64_t)state);
    sqlite3_bind_int64(s->settle, 2, id);
    return sql_finish(s->db, s->settle, error);
}
