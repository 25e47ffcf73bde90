// Pictures of parts, kept as files beside the ledger.
#include "mqtt/ledger/evidence.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MB       1048576ull
#define DATABASE "pictures.db"
#define FOLDER   "pictures"

struct sl_evidence {
    char *folder;
    uint64_t max_bytes;
    pthread_mutex_t lock;
    sqlite3 *db;
    struct sl_evidence_stats stats;
};

bool sl_evidence_is_name(const char *name)
{
    const size_t size = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz");
    return size >= 2 && size <= SL_EVIDENCE_NAME_MAX && name[size] == '\0';
}

// The end of a name changes fastest.
char *sl_evidence_path(const char *folder, const char *name)
{
    if (!sl_evidence_is_name(name)) {
        return NULL;
    }
    return g_strdup_printf("%s/" FOLDER "/%s/%s.jpg", folder, name + strlen(name) - 2, name);
}

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA user_version=1;"
    "CREATE TABLE IF NOT EXISTS picture (name TEXT PRIMARY KEY, camera TEXT NOT NULL,"
    " part TEXT NOT NULL, result INTEGER NOT NULL, ts INTEGER NOT NULL, bytes INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS picture_ts ON picture (ts, name);";

static bool open_database(struct sl_evidence *e, const char *path)
{
    sqlite3_stmt *q = NULL;
    bool sound = sqlite3_open(path, &e->db) == SQLITE_OK &&
                 sqlite3_busy_timeout(e->db, 2000) == SQLITE_OK &&
                 sqlite3_exec(e->db, schema, NULL, NULL, NULL) == SQLITE_OK &&
                 sqlite3_prepare_v2(e->db, "PRAGMA quick_check(1)", -1, &q, NULL) == SQLITE_OK &&
                 sqlite3_step(q) == SQLITE_ROW &&
                 g_strcmp0((const char *)sqlite3_column_text(q, 0), "ok") == 0;
    sqlite3_finalize(q);
    if (!sound) {
        sqlite3_close(e->db);
        e->db = NULL;
    }
    return sound;
}

static bool run(struct sl_evidence *e, const char *sql, const struct sl_evidence_picture *p)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(e->db, sql, -1, &q, NULL)) {
        return false;
    }
    sqlite3_bind_text(q, 1, p->name, -1, SQLITE_STATIC);
    if (sqlite3_bind_parameter_count(q) > 1) {
        sqlite3_bind_text(q, 2, p->camera, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 3, p->part_id, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 4, p->result);
        sqlite3_bind_int64(q, 5, p->ts_ms);
        sqlite3_bind_int64(q, 6, (sqlite3_int64)p->size);
    }
    const bool done = sqlite3_step(q) == SQLITE_DONE;
    sqlite3_finalize(q);
    return done;
}

static bool insert(struct sl_evidence *e, const struct sl_evidence_picture *p)
{
    return run(e, "INSERT OR REPLACE INTO picture VALUES (?1, ?2, ?3, ?4, ?5, ?6)", p);
}

static bool forget(struct sl_evidence *e, const char *name)
{
    return run(e, "DELETE FROM picture WHERE name = ?1",
               &(struct sl_evidence_picture){.name = name});
}

static void count(struct sl_evidence *e)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(e->db, "SELECT count(*), coalesce(sum(bytes), 0) FROM picture", -1, &q,
                           NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW) {
        e->stats.files = (uint64_t)sqlite3_column_int64(q, 0);
        e->stats.bytes = (uint64_t)sqlite3_column_int64(q, 1);
    }
    sqlite3_finalize(q);
}

// A file that no row knows: left by a kill, or by a database that was lost.
static void adopt_file(struct sl_evidence *e, const char *folder, const char *file)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    g_autofree char *name = g_strndup(file, strcspn(file, "."));
    struct stat st;
    if (!g_str_has_suffix(file, ".jpg") || !sl_evidence_is_name(name) || lstat(path, &st) ||
        !S_ISREG(st.st_mode)) {
        unlink(path);
        return;
    }
    insert(e, &(struct sl_evidence_picture){.name = name,
                                            .camera = "",
                                            .part_id = "",
                                            .ts_ms = (int64_t)st.st_mtime * 1000,
                                            .size = (size_t)st.st_size});
}

static void adopt_all(struct sl_evidence *e)
{
    g_autofree char *top = g_build_filename(e->folder, FOLDER, NULL);
    g_autoptr(GDir) dirs = g_dir_open(top, 0, NULL);
    const char *dir, *file;
    sqlite3_exec(e->db, "BEGIN", NULL, NULL, NULL);
    while (dirs && (dir = g_dir_read_name(dirs))) {
        g_autofree char *folder = g_build_filename(top, dir, NULL);
        g_autoptr(GDir) files = g_dir_open(folder, 0, NULL);
        while (files && (file = g_dir_read_name(files))) {
            adopt_file(e, folder, file);
        }
    }
    sqlite3_exec(e->db, "COMMIT", NULL, NULL, NULL);
}

static bool open_or_replace(struct sl_evidence *e)
{
    g_autofree char *path = g_build_filename(e->folder, DATABASE, NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        if (!open_database(e, path)) {
            return false;
        }
        adopt_all(e);
        return true;
    }
    if (open_database(e, path)) {
        return true;
    }
    g_autofree char *aside =
        g_strdup_printf("%s.damaged-%" G_GINT64_FORMAT, path, g_get_real_time() / 1000);
    g_autofree char *wal = g_strconcat(path, "-wal", NULL), *shm = g_strconcat(path, "-shm", NULL);
    unlink(wal);
    unlink(shm);
    g_snprintf(e->stats.problem, sizeof(e->stats.problem),
               "%s was damaged: moved aside, made anew from the files", path);
    if (rename(path, aside) || !open_database(e, path)) {
        return false;
    }
    adopt_all(e);
    return true;
}

struct sl_evidence *sl_evidence_new(const char *folder, uint32_t max_mb, GError **error)
{
    struct sl_evidence *e = g_new0(struct sl_evidence, 1);
    g_autofree char *top = g_build_filename(folder, FOLDER, NULL);
    e->folder = g_strdup(folder);
    e->max_bytes = max_mb * MB;
    pthread_mutex_init(&e->lock, NULL);
    if (g_mkdir_with_parents(top, 0750) || !open_or_replace(e)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                    "%s: expected a folder for pictures, found: %s", top, g_strerror(errno));
        sl_evidence_free(e);
        return NULL;
    }
    count(e);
    return e;
}

void sl_evidence_free(struct sl_evidence *e)
{
    if (!e) {
        return;
    }
    sqlite3_close(e->db);
    pthread_mutex_destroy(&e->lock);
    g_free(e->folder);
    g_free(e);
}

static bool write_file(const char *path, const void *bytes, size_t size)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *part = g_strconcat(path, ".part", NULL);
    if (g_mkdir_with_parents(folder, 0750)) {
        return false;
    }
    const int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    size_t done = 0;
    while (fd >= 0 && done < size) {
        const ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    const bool written = fd >= 0 && close(fd) == 0 && done == size;
    if (!written || rename(part, path)) {
        const int code = errno;
        unlink(part);
        errno = code;
        return false;
    }
    return true;
}

// True if one was removed.
static bool remove_oldest(struct sl_evidence *e)
{
    sqlite3_stmt *q = NULL;
    bool removed = false;
    if (sqlite3_prepare_v2(e->db, "SELECT name, bytes FROM picture ORDER BY ts, name LIMIT 1", -1,
                           &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW) {
        g_autofree char *name = g_strdup((const char *)sqlite3_column_text(q, 0));
        const uint64_t bytes = (uint64_t)sqlite3_column_int64(q, 1);
        g_autofree char *path = name ? sl_evidence_path(e->folder, name) : NULL;
        sqlite3_reset(q);
        removed = path && (unlink(path) == 0 || errno == ENOENT) && forget(e, name);
        if (removed) {
            e->stats.files -= MIN(e->stats.files, 1);
            e->stats.bytes -= MIN(e->stats.bytes, bytes);
            e->stats.removed++;
        }
    }
    sqlite3_finalize(q);
    return removed;
}

static bool add(struct sl_evidence *e, const struct sl_evidence_picture *p, const char *path)
{
    while (e->stats.bytes > e->max_bytes - p->size && remove_oldest(e)) {
    }
    if (!insert(e, p)) {
        return false;
    }
    bool written = write_file(path, p->jpeg, p->size);
    // The oldest make room where somebody else has filled the disk, too.
    for (int i = 0; i < 8 && !written && errno == ENOSPC && e->stats.files > 0; i++) {
        remove_oldest(e);
        written = write_file(path, p->jpeg, p->size);
    }
    if (!written) {
        const int code = errno;
        forget(e, p->name);
        errno = code;
        return false;
    }
    e->stats.files++;
    e->stats.bytes += p->size;
    return true;
}

bool sl_evidence_add(struct sl_evidence *e, const struct sl_evidence_picture *p)
{
    g_autofree char *path = sl_evidence_path(e->folder, p->name);
    if (!path || p->size == 0 || p->size > e->max_bytes) {
        return false;
    }
    pthread_mutex_lock(&e->lock);
    errno = 0;
    const bool added = add(e, p, path);
    e->stats.failed += !added;
    if (added) {
        e->stats.problem[0] = '\0';
    } else {
        g_snprintf(e->stats.problem, sizeof(e->stats.problem), "%s: %s", path,
                   errno ? g_strerror(errno) : sqlite3_errmsg(e->db));
    }
    pthread_mutex_unlock(&e->lock);
    return added;
}

void sl_evidence_stats(struct sl_evidence *e, struct sl_evidence_stats *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->stats;
    pthread_mutex_unlock(&e->lock);
}
