// The database of records: schema, writing, the chain of hashes, and dropping the oldest.
#include "mqtt/ledger/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUSY_MS 2000

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

static int fail(sqlite3 *db, int code, const char *what, struct store_error *error)
{
    snprintf(error->text, sizeof(error->text), "%s: %s", what,
             db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EAGAIN;
    default:
        return -EIO;
    }
}

static int damaged(struct store_error *error, const char *what)
{
    snprintf(error->text, sizeof(error->text), "%s", what);
    return -EBADMSG;
}

static int run(sqlite3 *db, const char *sql, struct store_error *error)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code ? fail(db, code, "ledger", error) : 0;
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct store_error *error)
{
    int code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return code ? fail(db, code, "ledger", error) : 0;
}

// Runs a bound statement that returns nothing, and makes it ready for the next time.
static int finish(sqlite3 *db, sqlite3_stmt *statement, struct store_error *error)
{
    int code = sqlite3_step(statement);
    int status = code == SQLITE_DONE ? 0 : fail(db, code, "ledger", error);
    sqlite3_reset(statement);
    return status;
}

static int read_number(sqlite3 *db, const char *sql, int64_t *out, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = prepare(db, sql, &statement, error);
    if (!status) {
        int code = sqlite3_step(statement);
        status = code == SQLITE_ROW ? 0 : fail(db, code, "ledger", error);
        *out = status ? 0 : sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return status;
}

static int read_hash(sqlite3 *db, const char *key, uint8_t out[STORE_HASH],
                     struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = prepare(db, "SELECT value FROM meta WHERE key = ?", &statement, error);
    if (!status) {
        sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        if (sqlite3_step(statement) == SQLITE_ROW &&
            sqlite3_column_bytes(statement, 0) == STORE_HASH) {
            memcpy(out, sqlite3_column_blob(statement, 0), STORE_HASH);
        } else {
            status = damaged(error, "a hash is missing from the table 'meta'");
        }
    }
    sqlite3_finalize(statement);
    return status;
}

static int write_meta(struct store *s, const char *key, const void *value, struct store_error *e)
{
    sqlite3_stmt *statement = NULL;
    int status = prepare(s->db, "UPDATE meta SET value = ? WHERE key = ?", &statement, e);
    if (!status) {
        sqlite3_bind_blob(statement, 1, value, STORE_HASH, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
        status = finish(s->db, statement, e);
    }
    sqlite3_finalize(statement);
    return status;
}

static void copy_text(char *out, size_t size, const void *text)
{
    g_strlcpy(out, text ? text : "", size);
}

static int read_streams(struct store *s, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = prepare(s->db, "SELECT camera, seq FROM stream", &statement, error);
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
    int status = prepare(s->db, "SELECT value FROM meta WHERE key = 'id'", &statement, error);
    if (!status && sqlite3_step(statement) == SQLITE_ROW) {
        copy_text(s->id, sizeof(s->id), sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return !status && strlen(s->id) != 16 ? damaged(error, "the database has no name") : status;
}

static int load(struct store *s, struct store_error *error)
{
    int status = read_id(s, error);
    status = status ? status : read_hash(s->db, "head", s->head.hash, error);
    status = status ? status
                    : read_number(s->db, "SELECT value FROM meta WHERE key = 'last'", &s->head.id,
                                  error);
    status = status ? status
                    : read_number(s->db,
                                  "SELECT coalesce((SELECT min(id) FROM record),"
                                  " (SELECT value + 1 FROM meta WHERE key = 'last'))",
                                  &s->head.first, error);
    return status ? status : read_streams(s, error);
}

static int make(struct store *s, struct store_error *error)
{
    int64_t version = 0;
    int status = read_number(s->db, "PRAGMA user_version", &version, error);
    if (status || version == 1) {
        return status;
    }
    if (version != 0) {
        snprintf(error->text, sizeof(error->text),
                 "ledger: expected version 1 of the database, found %" G_GINT64_FORMAT, version);
        return -EPROTONOSUPPORT;
    }
    s->fresh = true;
    status = run(s->db, "BEGIN IMMEDIATE", error);
    status = status ? status : run(s->db, schema, error);
    return status ? status : run(s->db, "COMMIT", error);
}

static int check(struct store *s, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = prepare(s->db, "PRAGMA quick_check(1)", &statement, error);
    if (!status) {
        int code = sqlite3_step(statement);
        const char *text =
            code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (code != SQLITE_ROW) {
            status = fail(s->db, code, "ledger", error);
        } else if (!text || strcmp(text, "ok")) {
            status = damaged(error, text ? text : "the check says nothing");
        }
    }
    sqlite3_finalize(statement);
    return status;
}

static int open_database(const char *folder, int flags, sqlite3 **db, struct store_error *error)
{
    g_autofree char *path = g_build_filename(folder, STORE_FILE, NULL);
    int code = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code) {
        return fail(*db, code, path, error);
    }
    sqlite3_extended_result_codes(*db, 1);
    sqlite3_busy_timeout(*db, BUSY_MS);
    return 0;
}

int store_open(struct store *s, const char *folder, struct store_error *error)
{
    *s = (struct store){.db = NULL};
    int status = open_database(folder, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &s->db, error);
    status = status ? status
                    : run(s->db,
                          "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                          "PRAGMA journal_size_limit = 4194304; PRAGMA temp_store = MEMORY;",
                          error);
    status = status ? status : make(s, error);
    status = status ? status : check(s, error);
    status = status ? status : load(s, error);
    status = status ? status
                    : prepare(s->db,
                              "INSERT INTO record(" STORE_COLUMNS ",prev)"
                              " VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
                              &s->insert, error);
    status = status ? status
                    : prepare(s->db, "UPDATE record SET state = ? WHERE id = ?", &s->settle, error);
    status =
        status ? status
               : prepare(s->db, "REPLACE INTO stream(camera, seq) VALUES(?, ?)", &s->stream, error);
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
    return run(s->db, "BEGIN IMMEDIATE", error);
}

static int write_head(struct store *s, struct store_error *error)
{
    char sql[80];
    snprintf(sql, sizeof(sql), "UPDATE meta SET value = %" G_GINT64_FORMAT " WHERE key = 'last'",
             s->head.id);
    int status = write_meta(s, "head", s->head.hash, error);
    return status ? status : run(s->db, sql, error);
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
        status = finish(s->db, s->stream, error);
    }
    if (!status && s->head.id != s->before.id) {
        status = write_head(s, error);
    }
    return status ? status : run(s->db, "COMMIT", error);
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

static void add(GChecksum *sum, const void *bytes, size_t size)
{
    uint64_t length = GUINT64_TO_LE(size);
    g_checksum_update(sum, (const guchar *)&length, sizeof(length));
    g_checksum_update(sum, bytes, (gssize)size);
}

void store_hash(GChecksum *sum, const uint8_t before[STORE_HASH], const struct store_row *row,
                uint8_t out[STORE_HASH])
{
    const uint64_t numbers[] = {GUINT64_TO_LE((uint64_t)row->id),
                                GUINT64_TO_LE(row->kind),
                                GUINT64_TO_LE(row->seq),
                                GUINT64_TO_LE((uint64_t)row->ts_ms),
                                GUINT64_TO_LE((uint64_t)row->result),
                                GUINT64_TO_LE((uint64_t)row->defects)};
    const char *texts[] = {row->camera, row->part, row->classes ? row->classes : "", row->body};
    gsize size = STORE_HASH;
    g_checksum_reset(sum);
    add(sum, before, STORE_HASH);
    add(sum, numbers, sizeof(numbers));
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        add(sum, texts[i], strlen(texts[i]));
    }
    g_checksum_get_digest(sum, out, &size);
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
    copy_text(stream->camera, sizeof(stream->camera), camera);
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
    return finish(s->db, q, error);
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
    copy_text(row.camera, sizeof(row.camera), camera);
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
    return finish(s->db, s->settle, error);
}

struct lost {
    char camera[64];
    uint64_t from, to;
    uint64_t count;
};

static int find_lost(struct store *s, int64_t last, struct lost lost[STORE_STREAMS], size_t *n,
                     struct store_error *error)
{
    sqlite3_stmt *q = NULL;
    int status = prepare(s->db,
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
        copy_text(l->camera, sizeof(l->camera), sqlite3_column_text(q, 0));
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
    int status = prepare(s->db, "SELECT prev FROM record WHERE id = ?", &q, error);
    if (!status) {
        sqlite3_bind_int64(q, 1, id + 1);
        if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == STORE_HASH) {
            memcpy(out, sqlite3_column_blob(q, 0), STORE_HASH);
        } else {
            status = damaged(error, "a record is missing");
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
    status = status ? status : write_meta(s, "anchor", anchor, error);
    snprintf(sql, sizeof(sql), "DELETE FROM record WHERE id <= %" G_GINT64_FORMAT, last);
    status = status ? status : run(s->db, sql, error);
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
    if (read_number(s->db, "PRAGMA page_count", &pages, &error) ||
        read_number(s->db, "PRAGMA freelist_count", &unused, &error) ||
        read_number(s->db, "PRAGMA page_size", &size, &error)) {
        return 0;
    }
    return (uint64_t)(pages - unused) * (uint64_t)size;
}

int reader_open(struct store_reader *r, const char *folder, struct store_error *error)
{
    *r = (struct store_reader){.db = NULL};
    // Not read-only: a reader of a WAL takes part in its index.
    int status = open_database(folder, SQLITE_OPEN_READWRITE, &r->db, error);
    status = status ? status
                    : prepare(r->db,
                              "SELECT " STORE_COLUMNS " FROM record INDEXED BY pending"
                              " WHERE state = 0 AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                              &r->pending, error);
    status = status ? status
                    : prepare(r->db, "SELECT " STORE_COLUMNS " FROM record WHERE id = ?", &r->one,
                              error);
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
    copy_text(row->camera, sizeof(row->camera), sqlite3_column_text(q, 3));
    copy_text(row->part, sizeof(row->part), sqlite3_column_text(q, 6));
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

static int follow(sqlite3_stmt *q, uint8_t hash[STORE_HASH], int64_t *count,
                  struct store_error *error)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    int64_t expected = 0;
    int code;
    while ((code = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_row row;
        const bool same = sqlite3_column_bytes(q, 11) == STORE_HASH &&
                          memcmp(sqlite3_column_blob(q, 11), hash, STORE_HASH) == 0;
        store_row_take(q, &row);
        store_hash(sum, hash, &row, hash);
        store_row_clear(&row);
        if ((*count && row.id != expected) || !same) {
            snprintf(error->text, sizeof(error->text),
                     row.id != expected && *count
                         ? "record %" G_GINT64_FORMAT ": records before it are missing"
                         : "record %" G_GINT64_FORMAT
                           ": it does not fit the one before it, which was changed",
                     row.id);
            return -EBADMSG;
        }
        expected = row.id + 1;
        (*count)++;
    }
    return code == SQLITE_DONE ? 0 : fail(sqlite3_db_handle(q), code, "ledger", error);
}

int store_verify(sqlite3 *db, int64_t *count, struct store_error *error)
{
    uint8_t hash[STORE_HASH], head[STORE_HASH];
    sqlite3_stmt *q = NULL;
    *count = 0;
    int status = run(db, "BEGIN", error); // one state, while the daemon goes on writing
    status = status ? status : read_hash(db, "anchor", hash, error);
    status = status
                 ? status
                 : prepare(db, "SELECT " STORE_COLUMNS ",prev FROM record ORDER BY id", &q, error);
    status = status ? status : follow(q, hash, count, error);
    status = status ? status : read_hash(db, "head", head, error);
    if (!status && memcmp(hash, head, STORE_HASH)) {
        status = damaged(error, "the newest record was changed, or records after it are missing");
    }
    sqlite3_finalize(q);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    return status;
}
