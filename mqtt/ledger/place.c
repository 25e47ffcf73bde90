// Where the database is: its folder and lock, damage, and memory where there is no disk.
#include "mqtt/ledger/inside.h"

#include "mqtt/ledger/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MEMORY_MB 16u

// Moves a damaged database out of the way; the gap records tell what is not known any more.
static void move_aside(const char *folder)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    const int64_t now = g_get_real_time() / 1000;
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autofree char *from = g_strdup_printf("%s/" STORE_FILE "%s", folder, ends[i]);
        g_autofree char *to = g_strdup_printf("%s/" STORE_FILE ".damaged-%" G_GINT64_FORMAT "%s",
                                              folder, now, ends[i]);
        if (rename(from, to) && errno != ENOENT) {
            g_warning("ledger: %s: %s", from, g_strerror(errno));
        }
    }
    g_warning("ledger: the database in %s was damaged; moved aside, a new one is begun", folder);
}

static int tell_damage(struct sl_ledger *l, struct store_error *error)
{
    int status = store_begin(&l->store, error);
    for (size_t i = 0; !status && i < l->n_cameras; i++) {
        status = store_append_gap(&l->store, l->cameras[i].name, 0, 0,
                                  "the ledger was damaged and is begun anew", error);
    }
    status = status ? status : store_commit(&l->store, error);
    if (status) {
        store_rollback(&l->store);
    }
    return status;
}

static int open_store(struct sl_ledger *l, struct store_error *error)
{
    int status = store_open(&l->store, l->folder, error);
    if (status == -EBADMSG) {
        move_aside(l->folder);
        status = store_open(&l->store, l->folder, error);
        status = status ? status : tell_damage(l, error);
    }
    return status;
}

static uint64_t count_pending(struct sl_ledger *l)
{
    int64_t pending = 0;
    struct store_error error;
    const int status = sql_number(l->store.db,
                                  "SELECT count(*) FROM record INDEXED BY pending"
                                  " WHERE state = 0 AND kind = 1",
                                  &pending, &error);
    return status ? 0 : (uint64_t)pending;
}

// A new database knows no numbers yet: each camera's go on with the queue's first.
static void align_streams(struct sl_ledger *l)
{
    for (size_t i = 0; i < l->n_cameras; i++) {
        struct store_stream *stream = store_stream_of(&l->store, l->cameras[i].name);
        if (stream) {
            stream->seq = l->cameras[i].seq;
        }
    }
    for (uint64_t at = l->queue.tail; at > l->queue.head; at--) {
        const struct sl_verdict *v = queue_at(&l->queue, at - 1);
        struct store_stream *stream = store_stream_of(&l->store, v->camera);
        if (stream) {
            stream->seq = v->seq - 1;
        }
    }
}

static void adopt_store(struct sl_ledger *l)
{
    g_strlcpy(l->origin.stream, l->store.id, sizeof(l->origin.stream));
    l->stats.head = l->store.head.id;
    l->first = l->store.head.first;
    l->stats.queued = count_pending(l) + queue_length(&l->queue);
    l->stats.rows = (uint64_t)ledger_rows(l);
    l->stats.generation++;
    for (size_t i = 0; i < l->n_cameras; i++) {
        const struct store_stream *stream = store_stream_of(&l->store, l->cameras[i].name);
        l->cameras[i].newest = l->newest[i] = 0;
        if (stream) {
            l->cameras[i].seq = MAX(l->cameras[i].seq, stream->seq);
        }
    }
}

void ledger_replace_store(struct sl_ledger *l)
{
    struct store_error error;
    store_close(&l->store);
    move_aside(l->folder);
    pthread_mutex_lock(&l->lock);
    l->n_settled = l->n_settling = 0;
    pthread_mutex_unlock(&l->lock);
    int status = store_open(&l->store, l->folder, &error);
    status = status ? status : tell_damage(l, &error);
    if (status) {
        g_warning("ledger: %s", error.text);
        return;
    }
    pthread_mutex_lock(&l->lock);
    align_streams(l);
    adopt_store(l);
    pthread_mutex_unlock(&l->lock);
}

// What the last process had not written when it was killed. What it had is the queue's beginning.
static int take_up_queue(struct sl_ledger *l, uint32_t capacity)
{
    if (queue_open(&l->queue, l->wanted, capacity)) {
        return -ENOMEM;
    }
    while (queue_length(&l->queue) > 0) {
        const struct sl_verdict *v = queue_at(&l->queue, l->queue.head);
        const struct store_stream *stream = store_stream_of(&l->store, v->camera);
        if (stream && v->seq > stream->seq) {
            break;
        }
        queue_forget(&l->queue, l->queue.head + 1);
    }
    for (uint64_t at = l->queue.head; at < l->queue.tail; at++) {
        const struct sl_verdict *v = queue_at(&l->queue, at);
        const int camera = ledger_camera(l, v->camera);
        if (camera >= 0) {
            l->cameras[camera].seq = MAX(l->cameras[camera].seq, v->seq);
        }
    }
    if (l->store.fresh) {
        align_streams(l);
    }
    if (queue_length(&l->queue) > 0) {
        g_message("ledger: %" G_GUINT64_FORMAT
                  " verdicts of a process that was killed are taken up",
                  queue_length(&l->queue));
    }
    return 0;
}

static int lock_folder(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "lock", NULL);
    if (g_mkdir_with_parents(folder, 0750)) {
        return -errno;
    }
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        return -errno;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        const int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

static int enter(struct sl_ledger *l, const char *folder, struct store_error *error)
{
    const int fd = lock_folder(folder);
    if (fd < 0) {
        snprintf(error->text, sizeof(error->text), "%s: %s", folder,
                 fd == -EWOULDBLOCK ? "another process writes there" : g_strerror(-fd));
        return fd;
    }
    g_free(l->folder);
    l->folder = g_strdup(folder);
    const int status = open_store(l, error);
    if (status) {
        close(fd);
        return status;
    }
    l->lock_fd = fd;
    return 0;
}

static bool choose_folder(struct sl_ledger *l, GError **error)
{
    struct store_error why, again;
    int status = enter(l, l->wanted, &why);
    if (status == 0) {
        return true;
    }
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, l->wanted, -1);
    g_autofree char *memory = g_strdup_printf("/dev/shm/sightline-%u-%.16s", getuid(), sum);
    if (status == -EWOULDBLOCK || status == -EPROTONOSUPPORT || enter(l, memory, &again)) {
        g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(-status), "ledger: %s",
                    why.text);
        return false;
    }
    l->max_bytes = MIN(l->max_bytes, (uint64_t)MEMORY_MB << 20);
    snprintf(l->stats.problem, sizeof(l->stats.problem), "%.150s; verdicts are kept in memory",
             why.text);
    g_warning("ledger: %s", l->stats.problem);
    return true;
}

bool ledger_open_somewhere(struct sl_ledger *l, uint32_t queue, GError **error)
{
    if (!choose_folder(l, error)) {
        return false;
    }
    if (take_up_queue(l, queue)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "ledger: no memory for %u verdicts",
                    queue);
        return false;
    }
    adopt_store(l);
    return true;
}
