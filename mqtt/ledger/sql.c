// Statements of SQLite, with errors as this folder tells them.
#include "mqtt/ledger/sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUSY_MS 2000

int sql_fail(sqlite3 *db, int code, const char *what, struct store_error *error)
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

int sql_damaged(struct store_error *error, const char *what)
{
    snprintf(error->text, sizeof(error->text), "%s", what);
    return -EBADMSG;
}

int sql_run(sqlite3 *db, const char *sql, struct store_error *error)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return code ? sql_fail(db, code, "ledger", error) : 0;
}

int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct store_error *error)
{
    int code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return code ? sql_fail(db, code, "ledger", error) : 0;
}

// Runs a bound statement that returns nothing, and makes it ready for the next time.
int sql_finish(sqlite3 *db, sqlite3_stmt *statement, struct store_error *error)
{
    int code = sqlite3_step(statement);
    int status = code == SQLITE_DONE ? 0 : sql_fail(db, code, "ledger", error);
    sqlite3_reset(statement);
    return status;
}

int sql_number(sqlite3 *db, const char *sql, int64_t *out, struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = sql_prepare(db, sql, &statement, error);
    if (!status) {
        int code = sqlite3_step(statement);
        status = code == SQLITE_ROW ? 0 : sql_fail(db, code, "ledger", error);
        *out = status ? 0 : sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return status;
}

int meta_hash(sqlite3 *db, const char *key, uint8_t out[STORE_HASH], struct store_error *error)
{
    sqlite3_stmt *statement = NULL;
    int status = sql_prepare(db, "SELECT value FROM meta WHERE key = ?", &statement, error);
    if (!status) {
        sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        if (sqlite3_step(statement) == SQLITE_ROW &&
            sqlite3_column_bytes(statement, 0) == STORE_HASH) {
            memcpy(out, sqlite3_column_blob(statement, 0), STORE_HASH);
        } else {
            status = sql_damaged(error, "a hash is missing from the table 'meta'");
        }
    }
    sqlite3_finalize(statement);
    return status;
}

int meta_write_hash(sqlite3 *db, const char *key, const void *value, struct store_error *e)
{
    sqlite3_stmt *statement = NULL;
    int status = sql_prepare(db, "UPDATE meta SET value = ? WHERE key = ?", &statement, e);
    if (!status) {
        sqlite3_bind_blob(statement, 1, value, STORE_HASH, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
        status = sql_finish(db, statement, e);
    }
    sqlite3_finalize(statement);
    return status;
}

void sql_copy(char *out, size_t size, const void *text)
{
    g_strlcpy(out, text ? text : "", size);
}

int sql_open(const char *folder, int flags, sqlite3 **db, struct store_error *error)
{
    g_autofree char *path = g_build_filename(folder, STORE_FILE, NULL);
    int code = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code) {
        return sql_fail(*db, code, path, error);
    }
    sqlite3_extended_result_codes(*db, 1);
    sqlite3_busy_timeout(*db, BUSY_MS);
    return 0;
}
