// What becomes a record: verdicts, feedback and alarms; and the quota of records.
#include "mqtt/ledger/inside.h"

#include <stdio.h>
#include <string.h>

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

int ledger_append_verdict(struct sl_ledger *l, const struct sl_verdict *v,
                          struct store_error *error)
{
    char classes[SL_VERDICT_MAX_DEFECTS * 34];
    struct store_row row = {.kind = STORE_VERDICT, .seq = v->seq, .ts_ms = v->ts_utc_ms};
    const struct store_stream *stream = store_stream_of(&l->store, v->camera);
    const uint64_t before = stream ? stream->seq : v->seq - 1;
    const int camera = ledger_camera(l, v->camera);
    int status = 0;
    if (v->seq <= before) {
        return 0;
    }
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
    if (camera >= 0) {
        l->newest[camera] = row.id;
    }
    return status;
}

int ledger_append_note(struct sl_ledger *l, const struct ledger_note *note,
                       struct store_error *error)
{
    // Feedback came from the broker.
    struct store_row row = {.kind = note->kind,
                            .state = note->kind == STORE_ALARM ? STORE_PENDING : STORE_SENT,
                            .ts_ms = g_get_real_time() / 1000,
                            .body = note->body};
    g_strlcpy(row.camera, note->camera, sizeof(row.camera));
    copy_array(row.part, sizeof(row.part), note->part, sizeof(note->part));
    return store_append(&l->store, &row, error);
}

int64_t ledger_rows(const struct sl_ledger *l)
{
    return l->store.head.id - l->store.head.first + 1;
}

int ledger_trim(struct sl_ledger *l, int64_t count, struct store_error *error)
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

void ledger_keep_quota(struct sl_ledger *l)
{
    struct store_error error;
    if (ledger_rows(l) > l->max_rows) {
        ledger_trim(l, ledger_rows(l) - l->max_rows + l->max_rows / 50, &error);
    }
    for (int i = 0; i < 20 && ledger_rows(l) > 1 && store_bytes(&l->store) > l->max_bytes; i++) {
        if (ledger_trim(l, ledger_rows(l) / 20, &error)) {
            break;
        }
    }
}
