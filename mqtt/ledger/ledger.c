// The ledger's outside: what any thread may call.
#include "mqtt/ledger/inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ledger_camera(const struct sl_ledger *l, const char *name)
{
    for (size_t i = 0; i < l->n_cameras; i++) {
        if (strncmp(l->cameras[i].name, name, sizeof(l->cameras[i].name)) == 0) {
            return (int)i;
        }
    }
    return -1;
}

void ledger_note_problem(struct sl_ledger *l, const char *text)
{
    pthread_mutex_lock(&l->lock);
    const bool news = text && strcmp(l->stats.problem, text);
    g_strlcpy(l->stats.problem, text ? text : "", sizeof(l->stats.problem));
    pthread_mutex_unlock(&l->lock);
    if (news) {
        g_warning("ledger: %s", text);
    }
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
    queue_close(&l->queue);
    if (l->lock_fd >= 0) {
        close(l->lock_fd);
    }
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    g_free(l->folder);
    g_free(l->wanted);
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
    l->committed = o->committed;
    l->ctx = o->ctx;
    l->n_cameras = MIN(o->n_cameras, STORE_STREAMS);
    g_strlcpy(l->origin.boot_id, o->boot_id ? o->boot_id : "", sizeof(l->origin.boot_id));
    for (size_t i = 0; i < l->n_cameras; i++) {
        g_strlcpy(l->cameras[i].name, o->cameras[i], sizeof(l->cameras[i].name));
    }
    if (!ledger_open_somewhere(l, o->queue, error)) {
        destroy(l);
        return NULL;
    }
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
    const int camera = ledger_camera(l, verdict->camera);
    if (camera < 0) {
        return 0;
    }
    pthread_mutex_lock(&l->lock);
    const uint64_t seq = ++l->cameras[camera].seq;
    if (!queue_push(&l->queue, verdict, seq)) {
        l->stats.dropped++;
        l->stats.queued--;
    }
    l->stats.accepted++;
    l->stats.queued++;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    return seq;
}

static bool add_note(struct sl_ledger *l, uint32_t kind, const char *camera, const char *part_id,
                     const char *json)
{
    pthread_mutex_lock(&l->lock);
    const bool room = l->n_notes < LEDGER_NOTES;
    if (room) {
        struct ledger_note *note = &l->notes[l->n_notes++];
        note->kind = kind;
        g_strlcpy(note->camera, camera, sizeof(note->camera));
        g_strlcpy(note->part, part_id, sizeof(note->part));
        note->body = g_strdup(json);
        pthread_cond_signal(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return room;
}

bool sl_ledger_feedback(struct sl_ledger *l, const char *camera, const char *part_id,
                        const char *json)
{
    return add_note(l, STORE_FEEDBACK, camera, part_id, json);
}

bool sl_ledger_alarm(struct sl_ledger *l, const char *camera, const char *json)
{
    return add_note(l, STORE_ALARM, camera, "", json);
}

bool sl_ledger_settle(struct sl_ledger *l, int64_t id, bool is_verdict, bool parked)
{
    pthread_mutex_lock(&l->lock);
    const bool room = l->n_settled < LEDGER_SETTLED;
    if (room) {
        l->settled[l->n_settled++] = (struct ledger_settled){id, parked};
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
    out->waiting = queue_length(&l->queue);
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
