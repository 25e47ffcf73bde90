// The newest verdicts of a camera, read while the ledger is written.
#include "mqtt/ledger/recent.h"

#include "mqtt/ledger/store.h"

int64_t sl_ledger_recent(const char *folder, const char *camera, uint32_t limit,
                         void (*each)(void *ctx, const char *body), void *ctx, GError **error)
{
    g_autofree char *path = g_build_filename(folder, STORE_FILE, NULL);
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int64_t n = 0;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    code = code ? code
                : sqlite3_prepare_v2(db,
                                     "SELECT body FROM record WHERE kind = 1 AND camera = ?1"
                                     " ORDER BY id DESC LIMIT ?2",
                                     -1, &q, NULL);
    if (!code) {
        sqlite3_busy_timeout(db, 500);
        sqlite3_bind_text(q, 1, camera, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, limit);
        for (; (code = sqlite3_step(q)) == SQLITE_ROW; n++) {
            const char *body = (const char *)sqlite3_column_text(q, 0);
            each(ctx, body ? body : "");
        }
    }
    if (code != SQLITE_DONE) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_IO, "%s: %s", path, sqlite3_errmsg(db));
        n = -1;
    }
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}
