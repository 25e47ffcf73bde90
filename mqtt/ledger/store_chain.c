// The chain of hashes: each record carries that of the one before it.
#include "mqtt/ledger/sql.h"
#include "mqtt/ledger/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
    return code == SQLITE_DONE ? 0 : sql_fail(sqlite3_db_handle(q), code, "ledger", error);
}

int store_verify(sqlite3 *db, int64_t *count, struct store_error *error)
{
    uint8_t hash[STORE_HASH], head[STORE_HASH];
    sqlite3_stmt *q = NULL;
    *count = 0;
    int status = sql_run(db, "BEGIN", error); // one state, while the daemon goes on writing
    status = status ? status : meta_hash(db, "anchor", hash, error);
    status = status ? status
                    : sql_prepare(db, "SELECT " STORE_COLUMNS ",prev FROM record ORDER BY id", &q,
                                  error);
    status = status ? status : follow(q, hash, count, error);
    status = status ? status : meta_hash(db, "head", head, error);
    if (!status && memcmp(hash, head, STORE_HASH)) {
        status =
            sql_damaged(error, "the newest record was changed, or records after it are missing");
    }
    sqlite3_finalize(q);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    return status;
}
