// The ledger's queue and thread: group commit, quotas, and what to do when the disk fails.
#include "mqtt/ledger/ledger.h"

#include "mqtt/ledger/store.h"
#include "mqtt/verdict_json.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define GROUP_MS      10
#define SETTLE_MS     50
#define GROUP_RECORDS 20u
#define BATCH         256u // most verdicts of one transaction
#define SETTLED_MAX   4096u
#define NOTES_MAX     64u
#define RETRY_MS      500
#define MEMORY_MB     16u
#define CHECK_COMMITS 32u // how often the quota is looked at

struct settled {
    int64_t id;
    bool parked;
};

struct note { // feedback
    char camera[64], part[64];
    char *body;
};

struct sl_ledger {
    // Fixed before the thread starts.
    char *folder, *wanted;
    uint64_t max_bytes;
    int64_t max_rows;
    struct sl_verdict_origin origin; // its stream changes with the database, on the thread
    void (*committed)(void *ctx);
    void *ctx;
    int lock_fd;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    struct sl_verdict *ring;
    uint32_t capacity;
    uint64_t head, tail;            // of the ring; head: the oldest
    int64_t first;                  // the oldest record that is kept
    uint32_t n_settled, n_settling; // told; of these, being written
    struct settled settled[SETTLED_MAX];
    uint32_t n_notes;
    struct note notes[NOTES_MAX];
    struct sl_ledger_stats stats;
    size_t n_cameras;
    struct {
        char name[64];
        uint64_t seq;
        int64_t newest;
    } cameras[STORE_STREAMS];

    // Of the thread.
    struct store store;
    struct sl_verdict batch[BATCH];
    struct settled settling[SETTLED_MAX];
    int64_t newest[STORE_STREAMS];
    unsigned commits;
    char json[SL_VERDICT_JSON_MAX];
};

static int camera_index(const struct sl_ledger *l, const char *name)
{
    for (size_t i = 0; i < l->n_cameras; i++) {
        if (strncmp(l->cameras[i].name, name, sizeof(l->cameras[i].name)) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static void copy_array(char *out, size_t size, const char *text, size_t text_size)
{
    g_strlcpy(out, text, MIN(size, text_size));
    const char *end = NULL;
    if (!g_utf8_validate(out, -1, &end)) {
        g_autofree char *valid = g_utf8_make_valid(out, -1);
        g_strlcpy(out, valid, size);
    }
}

static void list_classes(const struct sl_verdict *v, char *out, size_t size)
{
    out[0] = '\0';
    for (uint32_t i = 0; i < MIN(v->n_defects, SL_VERDICT_MAX_DEFECTS); i++) {
        char name[40], find[44];
        copy_array(name, sizeof(name), v->defects[i].class_name, sizeof(v->defects[i].class_name));
        snprintf(find, sizeof(find), ",%s,", name);
        if (!strstr(out, find)) {
            g_strlcat(out, out[0] ? find + 1 : find, size);
        }
    }
}

static int append_verdict(struct sl_ledger *l, const struct sl_verdict *v,
                          struct store_error *error)
{
    char classes[SL_VERDICT_MAX_DEFECTS * 34];
    struct store_row row = {.kind = STORE_VERDICT, .seq = v->seq, .ts_ms = v->ts_utc_ms};
    const struct store_stream *stream = store_stream_of(&l->store, v->camera);
    const uint64_t before = stream ? stream->seq : v->seq - 1;
    int status = 0;
    if (v->seq > before + 1) {
        status = store_append_gap(&l->store, v->camera, before + 1, v->seq - 1,
                                  "the queue to the disk was full", error);
    }
    if (status || sl_verdict_json(l->json, sizeof(l->json), v, &l->origin) == 0) {
        return status;
    }
    list_classes(v, classes, sizeof(classes));
    g_strlcpy(row.camera, v->camera, sizeof(row.camera));
    copy_array(row.part, sizeof(row.part), v->part_id, sizeof(v->part_id));
    row.result = v->result;
    row.classes = classes[0] ? classes : NULL;
    row.defects = MIN(v->n_defects, SL_VERDICT_MAX_DEFECTS);
    row.body = l->json;
    status = store_append(&l->store, &row, error);
    l->newest[camera_index(l, v->camera)] = row.id;
    return status;
}

static int append_note(struct sl_ledger *l, const struct note *note, struct store_error *error)
{
    struct store_row row = {.kind = STORE_FEEDBACK,
                            .state = STORE_SENT, // it came from the broker
                            .ts_ms = g_get_real_time() / 1000,
                            .body = note->body};
    g_strlcpy(row.camera, note->camera, sizeof(row.camera));
    copy_array(row.part, sizeof(row.part), note->part, sizeof(note->part));
    return store_append(&l->store, &row, error);
}

struct work {
    uint32_t verdicts, settled, notes;
    uint64_t first; // in the ring
    bool stopping;
};

static int write_work(struct sl_ledger *l, const struct work *work, const struct note *notes,
                      struct store_error *error)
{
    int status = store_begin(&l->store, error);
    for (uint32_t i = 0; !status && i < work->settled; i++) {
        status = store_settle(&l->store, l->settling[i].id,
                              l->settling[i].parked ? STORE_PARKED : STORE_SENT, error);
    }
    for (uint32_t i = 0; !status && i < work->verdicts; i++) {
        status = append_verdict(l, &l->batch[i], error);
    }
    for (uint32_t i = 0; !status && i < work->notes; i++) {
        status = append_note(l, &notes[i], error);
    }
    status = status ? status : store_commit(&l->store, error);
    if (status) {
        store_rollback(&l->store);
    }
    return status;
}

static int64_t rows_of(const struct sl_ledger *l)
{
    return l->store.head.id - l->store.head.first + 1;
}

static int trim(struct sl_ledger *l, int64_t count, struct store_error *error)
{
    uint64_t dropped = 0;
    int status = store_begin(&l->store, error);
    status = status ? status : store_trim(&l->store, MAX(count, 1), &dropped, error);
    status = status ? status : store_commit(&l->store, error);
    if (status) {
        store_rollback(&l->store);
        return status;
    }
    pthread_mutex_lock(&l->lock);
    l->stats.dropped += dropped;
    l->stats.queued -= MIN(l->stats.queued, dropped);
    l->first = l->store.head.first;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

static void keep_quota(struct sl_ledger *l)
{
    struct store_error error;
    if (rows_of(l) > l->max_rows) {
        trim(l, rows_of(l) - l->max_rows + l->max_rows / 50, &error);
    }
    for (int i = 0; i < 20 && rows_of(l) > 1 && store_bytes(&l->store) > l->max_bytes; i++) {
        if (trim(l, rows_of(l) / 20, &error)) {
            break;
        }
    }
}

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

static void adopt_store(struct sl_ledger *l)
{
    int64_t pending = 0;
    sqlite3_stmt *q = NULL;
    g_strlcpy(l->origin.stream, l->store.id, sizeof(l->origin.stream));
    if (sqlite3_prepare_v2(l->store.db,
                           "SELECT count(*) FROM record INDEXED BY pending"
                           " WHERE state = 0 AND kind = 1",
                           -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW) {
        pending = sqlite3_column_int64(q, 0);
    }
    sqlite3_finalize(q);
    l->stats.head = l->store.head.id;
    l->first = l->store.head.first;
    l->stats.queued = (uint64_t)pending + l->tail - l->head;
    l->stats.rows = (uint64_t)rows_of(l);
    l->stats.generation++;
    for (size_t i = 0; i < l->n_cameras; i++) {
        const struct store_stream *stream = store_stream_of(&l->store, l->cameras[i].name);
        l->cameras[i].newest = l->newest[i] = 0;
        if (stream && stream->seq > l->cameras[i].seq) {
            l->cameras[i].seq = stream->seq;
        }
    }
}

// While running: what was on disk is lost, what is in the queue goes on under its numbers.
static void replace_store(struct sl_ledger *l)
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
    for (size_t i = 0; i < l->n_cameras; i++) {
        struct store_stream *stream = store_stream_of(&l->store, l->cameras[i].name);
        if (stream) {
            stream->seq = l->cameras[i].seq;
        }
    }
    for (uint64_t i = l->tail; i > l->head; i--) { // back to before the queue's first
        const struct sl_verdict *v = &l->ring[(i - 1) % l->capacity];
        struct store_stream *stream = store_stream_of(&l->store, v->camera);
        if (stream) {
            stream->seq = v->seq - 1;
        }
    }
    adopt_store(l);
    pthread_mutex_unlock(&l->lock);
}

static void note_problem(struct sl_ledger *l, const char *text)
{
    pthread_mutex_lock(&l->lock);
    const bool news = text && strcmp(l->stats.problem, text);
    g_strlcpy(l->stats.problem, text ? text : "", sizeof(l->stats.problem));
    pthread_mutex_unlock(&l->lock);
    if (news) {
        g_warning("ledger: %s", text);
    }
}

static void done(struct sl_ledger *l, const struct work *work, struct note *notes)
{
    const uint64_t bytes = store_bytes(&l->store);
    pthread_mutex_lock(&l->lock);
    // What had to go from a full queue while it was written is on disk nevertheless.
    const uint64_t end = work->first + work->verdicts;
    const uint64_t saved = MIN(l->head, end) - work->first;
    l->stats.dropped -= saved;
    l->stats.queued += saved;
    l->head = MAX(l->head, end);
    l->n_settled -= work->settled;
    l->n_settling = 0;
    memmove(l->settled, l->settled + work->settled, l->n_settled * sizeof(l->settled[0]));
    l->stats.head = l->store.head.id;
    l->stats.rows = (uint64_t)rows_of(l);
    l->stats.bytes = bytes;
    for (size_t i = 0; i < l->n_cameras; i++) {
        l->cameras[i].newest = l->newest[i];
    }
    for (uint32_t i = 0; i < work->notes; i++) {
        g_free(notes[i].body);
    }
    l->n_notes -= work->notes;
    memmove(l->notes, l->notes + work->notes, l->n_notes * sizeof(l->notes[0]));
    pthread_mutex_unlock(&l->lock);
    if (l->committed) {
        l->committed(l->ctx);
    }
}

static void wait_until(struct sl_ledger *l, int64_t ns)
{
    const struct timespec when = {ns / 1000000000, ns % 1000000000};
    pthread_cond_timedwait(&l->wake, &l->lock, &when);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// When the transaction is due: verdicts wait for nothing but the last group, the rest longer.
static int64_t due_at(const struct sl_ledger *l, int64_t last_ns)
{
    if (l->tail > l->head) {
        return last_ns + GROUP_MS * 1000000ll;
    }
    return l->n_settled || l->n_notes ? last_ns + SETTLE_MS * 1000000ll : INT64_MAX;
}

// Waits for work, and lets it gather until it is due or enough for a transaction.
static struct work take_work(struct sl_ledger *l, int64_t last_ns, struct note notes[NOTES_MAX])
{
    pthread_mutex_lock(&l->lock);
    for (;;) {
        const uint64_t n = l->tail - l->head + l->n_settled + l->n_notes;
        const int64_t due = due_at(l, last_ns);
        if (l->stopping || n >= GROUP_RECORDS || now_ns() >= due) {
            break;
        }
        if (due < INT64_MAX) {
            wait_until(l, due);
        } else {
            pthread_cond_wait(&l->wake, &l->lock);
        }
    }
    struct work work = {
        .verdicts = (uint32_t)MIN(l->tail - l->head, BATCH),
        .settled = l->n_settled,
        .notes = l->n_notes,
        .first = l->head,
        .stopping = l->stopping,
    };
    for (uint32_t i = 0; i < work.verdicts; i++) {
        l->batch[i] = l->ring[(l->head + i) % l->capacity];
    }
    memcpy(l->settling, l->settled, work.settled * sizeof(l->settled[0]));
    memcpy(notes, l->notes, work.notes * sizeof(notes[0]));
    l->n_settling = work.settled;
    pthread_mutex_unlock(&l->lock);
    return work;
}

// True if it is worth another try at once.
static bool mend(struct sl_ledger *l, int status, const char *text)
{
    struct store_error error;
    note_problem(l, text);
    if (status == -EBADMSG) {
        replace_store(l);
        return l->store.db != NULL;
    }
    // Pages that old records leave are room for new ones. The disk may be full for all others too.
    return (status == -ENOSPC || status == -EIO) && rows_of(l) > 1 &&
           trim(l, rows_of(l) / 20, &error) == 0;
}

static void pause_after_failure(struct sl_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    if (!l->stopping) {
        wait_until(l, now_ns() + RETRY_MS * 1000000ll);
    }
    pthread_mutex_unlock(&l->lock);
}

static bool write_once(struct sl_ledger *l, const struct work *work, struct note *notes)
{
    struct store_error error = {""};
    if (!l->store.db) {
        replace_store(l);
        return false;
    }
    const int status = write_work(l, work, notes, &error);
    if (status == 0) {
        done(l, work, notes);
        return true;
    }
    if (!mend(l, status, error.text)) {
        pause_after_failure(l);
    }
    return false;
}

static void *ledger_run(void *ctx)
{
    struct sl_ledger *l = ctx;
    struct note notes[NOTES_MAX];
    int64_t last = 0;
    int failures = 0;
    for (;;) {
        const struct work work = take_work(l, last, notes);
        const bool empty = !work.verdicts && !work.settled && !work.notes;
        if (work.stopping && (empty || failures > 3)) {
            return NULL;
        }
        last = now_ns();
        if (!write_once(l, &work, notes)) {
            failures++;
            continue;
        }
        if (failures) {
            failures = 0;
            note_problem(l, strcmp(l->folder, l->wanted) ? l->stats.problem : NULL);
        }
        if (++l->commits % CHECK_COMMITS == 0) {
            keep_quota(l);
        }
    }
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

// The folder, or else memory.
static bool open_somewhere(struct sl_ledger *l, GError **error)
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

static void make_wake(struct sl_ledger *l)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&l->lock, NULL);
}

static void destroy(struct sl_ledger *l)
{
    if (l->store.db) {
        store_close(&l->store);
    }
    for (uint32_t i = 0; i < l->n_notes; i++) {
        g_free(l->notes[i].body);
    }
    if (l->lock_fd >= 0) {
        close(l->lock_fd);
    }
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    g_free(l->folder);
    g_free(l->wanted);
    free(l->ring);
    g_free(l);
}

struct sl_ledger *sl_ledger_new(const struct sl_ledger_options *o, GError **error)
{
    struct sl_ledger *l = g_new0(struct sl_ledger, 1);
    make_wake(l);
    l->lock_fd = -1;
    l->wanted = g_strdup(o->config->path);
    l->max_bytes = (uint64_t)o->config->max_mb << 20;
    l->max_rows = o->config->max_records;
    l->capacity = o->queue;
    l->ring = calloc(o->queue, sizeof(*l->ring));
    l->committed = o->committed;
    l->ctx = o->ctx;
    l->n_cameras = MIN(o->n_cameras, STORE_STREAMS);
    g_strlcpy(l->origin.boot_id, o->boot_id ? o->boot_id : "", sizeof(l->origin.boot_id));
    for (size_t i = 0; i < l->n_cameras; i++) {
        g_strlcpy(l->cameras[i].name, o->cameras[i], sizeof(l->cameras[i].name));
    }
    if (!l->ring || !open_somewhere(l, error)) {
        if (!l->ring) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
                        "ledger: no memory for %u verdicts", o->queue);
        }
        destroy(l);
        return NULL;
    }
    adopt_store(l);
    const int code = pthread_create(&l->thread, NULL, ledger_run, l);
    if (code) {
        g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(code), "ledger: thread: %s",
                    g_strerror(code));
        destroy(l);
        return NULL;
    }
    return l;
}

void sl_ledger_free(struct sl_ledger *l)
{
    if (!l) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    destroy(l);
}

uint64_t sl_ledger_append(struct sl_ledger *l, const struct sl_verdict *verdict)
{
    const int camera = camera_index(l, verdict->camera);
    if (camera < 0) {
        return 0;
    }
    pthread_mutex_lock(&l->lock);
    const uint64_t seq = ++l->cameras[camera].seq;
    if (l->tail - l->head == l->capacity) {
        l->head++;
        l->stats.dropped++;
        l->stats.queued--;
    }
    struct sl_verdict *slot = &l->ring[l->tail++ % l->capacity];
    *slot = *verdict;
    slot->seq = seq;
    l->stats.accepted++;
    l->stats.queued++;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    return seq;
}

bool sl_ledger_feedback(struct sl_ledger *l, const char *camera, const char *part_id,
                        const char *json)
{
    pthread_mutex_lock(&l->lock);
    const bool room = l->n_notes < NOTES_MAX;
    if (room) {
        struct note *note = &l->notes[l->n_notes++];
        g_strlcpy(note->camera, camera, sizeof(note->camera));
        g_strlcpy(note->part, part_id, sizeof(note->part));
        note->body = g_strdup(json);
        pthread_cond_signal(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return room;
}

bool sl_ledger_settle(struct sl_ledger *l, int64_t id, bool is_verdict, bool parked)
{
    pthread_mutex_lock(&l->lock);
    const bool room = l->n_settled < SETTLED_MAX;
    if (room) {
        l->settled[l->n_settled++] = (struct settled){id, parked};
        if (is_verdict) {
            l->stats.sent += !parked;
            l->stats.parked += parked;
            // Dropped while it was on its way: it was counted as lost, but it arrived.
            const bool gone = id < l->first;
            l->stats.dropped -= gone && l->stats.dropped > 0;
            l->stats.queued -= !gone && l->stats.queued > 0;
        }
        pthread_cond_signal(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return room;
}

bool sl_ledger_is_settled(struct sl_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    const bool settled = l->n_settled == 0;
    pthread_mutex_unlock(&l->lock);
    return settled;
}

void sl_ledger_stats(struct sl_ledger *l, struct sl_ledger_stats *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->stats;
    out->waiting = l->tail - l->head;
    pthread_mutex_unlock(&l->lock);
}

int64_t sl_ledger_newest(struct sl_ledger *l, size_t camera)
{
    pthread_mutex_lock(&l->lock);
    const int64_t newest = camera < l->n_cameras ? l->cameras[camera].newest : 0;
    pthread_mutex_unlock(&l->lock);
    return newest;
}

const char *sl_ledger_folder(struct sl_ledger *l)
{
    return l->folder;
}
