// The edge node's data: verdicts of the ledger, new ones and those that the host has missed.
#include "mqtt/sparkplug/node.h"

#include <stdio.h>
#include <string.h>

#define SECOND  1000000000ll
#define SAVE_NS (5 * SECOND)

static void clear_batch(struct node_batch *batch)
{
    for (int i = batch->at; i < batch->n; i++) {
        store_row_clear(&batch->rows[i]);
    }
    batch->n = batch->at = 0;
}

void data_clear(struct sl_sparkplug *n)
{
    clear_batch(&n->live);
    clear_batch(&n->past);
    reader_close(&n->reader);
}

static int64_t head_of(struct sl_sparkplug *n)
{
    struct sl_ledger_stats stats;
    sl_ledger_stats(n->ledger, &stats);
    return stats.head;
}

// Another database has other records: none of them has been told.
static void begin_database(struct sl_sparkplug *n, const char *name)
{
    const bool first = n->progress.database[0] == '\0';
    n->begun = first ? n->begun : 0;
    for (size_t i = 0; i < n->n_cameras; i++) {
        struct node_camera *c = &n->cameras[i];
        n->progress.cameras[i].record = first ? -1 : 0;
        if (c->born) {
            n->progress.cameras[i].parts = c->live.parts;
            n->progress.cameras[i].rejects = c->live.rejects;
        }
        c->history = c->live;
        c->boundary = c->history_after = 0;
        c->mark = n->progress.cameras[i];
    }
    n->live_after = 0;
    g_strlcpy(n->progress.database, name, sizeof(n->progress.database));
    n->changed = true;
}

bool data_open(struct sl_sparkplug *n)
{
    struct sl_ledger_stats stats;
    struct store_error error;
    char name[24];
    sl_ledger_stats(n->ledger, &stats);
    if (n->reader.db && n->generation == stats.generation) {
        return true;
    }
    data_clear(n);
    if (reader_open(&n->reader, sl_ledger_folder(n->ledger), &error) ||
        reader_name(&n->reader, name)) {
        node_problem(n, "the ledger cannot be read");
        reader_close(&n->reader);
        return false;
    }
    n->generation = stats.generation;
    if (strcmp(name, n->progress.database)) {
        begin_database(n, name);
    }
    return true;
}

void data_restart(struct sl_sparkplug *n)
{
    clear_batch(&n->live);
    clear_batch(&n->past);
    n->live_after = head_of(n);
    n->mark_ns = connection_now_ns();
}

static size_t index_of(const struct sl_sparkplug *n, const struct node_camera *c)
{
    return (size_t)(c - n->cameras);
}

static void take_last(struct node_camera *c, const struct store_row *row)
{
    g_strlcpy(c->last_part, row->part, sizeof(c->last_part));
    c->last_result = row->result;
    c->last_seq = row->seq;
    c->last_ms = row->ts_ms;
}

void data_resume(struct sl_sparkplug *n, struct node_camera *c)
{
    struct progress_camera *told = &n->progress.cameras[index_of(n, c)];
    const int64_t head = head_of(n);
    struct store_row row;
    uint64_t parts = 0, rejects = 0;
    if (told->record < 0) { // a camera that no host has heard of: nothing of before
        told->record = n->begun;
        n->changed = true;
    }
    clear_batch(&n->past);
    reader_count(&n->reader, c->name, told->record, head, &parts, &rejects);
    c->history = (struct node_counts){told->parts, told->rejects};
    c->live = (struct node_counts){told->parts + parts, told->rejects + rejects};
    c->history_after = told->record;
    c->boundary = head;
    c->mark = *told;
    const int64_t newest = sl_ledger_newest(n->ledger, index_of(n, c));
    if (newest > 0 && reader_one(&n->reader, newest, &row) == 0) {
        take_last(c, &row);
        store_row_clear(&row);
    }
}

static size_t count_metrics(const struct node_counts *counts, uint64_t ms, bool historical,
                            struct sparkplug_metric *out)
{
    const double good =
        counts->parts ? (double)(counts->parts - counts->rejects) / (double)counts->parts * 100
                      : 100;
    const struct sparkplug_metric base = {.timestamp_ms = ms, .historical = historical};
    out[0] = out[1] = out[2] = base;
    out[0].name = "Parts";
    out[1].name = "Rejects";
    out[0].type = out[1].type = SPARKPLUG_UINT64;
    out[0].number = counts->parts;
    out[1].number = counts->rejects;
    out[2].name = "Yield";
    out[2].type = SPARKPLUG_DOUBLE;
    out[2].real = good;
    out[2].unit = "%";
    return 3;
}

static size_t last_metrics(const char *result, const char *part, uint64_t seq, uint64_t ms,
                           bool historical, struct sparkplug_metric *out)
{
    const struct sparkplug_metric base = {
        .timestamp_ms = ms, .historical = historical, .type = SPARKPLUG_STRING};
    out[0] = out[1] = out[2] = base;
    out[0].name = "Last/Result";
    out[0].text = result;
    out[1].name = "Last/PartId";
    out[1].text = part;
    out[2].name = "Last/Seq";
    out[2].type = SPARKPLUG_UINT64;
    out[2].number = seq;
    return 3;
}

size_t data_metrics(const struct node_camera *c, struct sparkplug_metric *out)
{
    const uint64_t now_ms = node_now_ms();
    const bool known = c->last_result != 0;
    size_t n = count_metrics(&c->live, now_ms, false, out);
    n += last_metrics(known ? sl_result_name(c->last_result) : NULL, known ? c->last_part : NULL,
                      c->last_seq, known ? (uint64_t)c->last_ms : now_ms, false, out + n);
    const struct sparkplug_metric text = {.type = SPARKPLUG_STRING, .timestamp_ms = now_ms};
    const struct sparkplug_metric flag = {.type = SPARKPLUG_BOOLEAN, .timestamp_ms = now_ms};
    out[n] = text;
    out[n].name = "Model/Version";
    out[n++].text = c->said_model[0] ? c->said_model : NULL;
    out[n] = text;
    out[n].name = "Health";
    out[n++].text = c->said_health;
    out[n] = flag;
    out[n++].name = "Device Control/Rebirth";
    out[n] = flag;
    out[n++].name = "Device Control/Trigger";
    return n;
}

static bool send_row(struct sl_sparkplug *n, struct node_camera *c, const struct store_row *row,
                     bool historical)
{
    struct sparkplug_metric metrics[SPARKPLUG_METRICS];
    struct node_counts *counts = historical ? &c->history : &c->live;
    const struct node_counts after = {counts->parts + 1,
                                      counts->rejects + (row->result != SL_RESULT_OK)};
    const uint64_t ms = row->ts_ms > 0 ? (uint64_t)row->ts_ms : 0;
    size_t count = count_metrics(&after, ms, historical, metrics);
    count += last_metrics(sl_result_name(row->result), row->part, row->seq, ms, historical,
                          metrics + count);
    if (!node_publish(n, c->data, metrics, count, false)) {
        return false;
    }
    *counts = after;
    return true;
}

static struct node_camera *camera_of(struct sl_sparkplug *n, const char *name)
{
    for (size_t i = 0; i < n->n_cameras; i++) {
        if (strcmp(n->cameras[i].name, name) == 0) {
            return &n->cameras[i];
        }
    }
    return NULL;
}

static bool refill(struct sl_sparkplug *n, struct node_batch *batch, const char *camera,
                   int64_t after, int64_t until)
{
    if (batch->at == batch->n) {
        batch->at = 0;
        batch->n = after < until
                       ? reader_camera(&n->reader, camera, after, until, batch->rows, NODE_BATCH)
                       : 0;
    }
    return batch->n > 0;
}

// Those of a camera that is not born are told when it is.
static bool send_live(struct sl_sparkplug *n)
{
    const int64_t head = head_of(n);
    while (refill(n, &n->live, NULL, n->live_after, head)) {
        struct store_row *row = &n->live.rows[n->live.at];
        struct node_camera *c = camera_of(n, row->camera);
        const bool wanted = c && c->born && row->id > c->boundary;
        if (wanted && !send_row(n, c, row, false)) {
            return false;
        }
        if (wanted) {
            take_last(c, row);
        }
        n->live_after = row->id;
        store_row_clear(row);
        n->live.at++;
    }
    n->live_after = MAX(n->live_after, head); // the rest are no verdicts
    return true;
}

static struct node_camera *next_past(struct sl_sparkplug *n)
{
    for (size_t i = 0; i < n->n_cameras; i++) {
        struct node_camera *c = &n->cameras[i];
        if (!c->born || c->history_after >= c->boundary) {
            continue;
        }
        if (n->past_camera != i) {
            clear_batch(&n->past);
            n->past_camera = i;
        }
        if (refill(n, &n->past, c->name, c->history_after, c->boundary)) {
            return c;
        }
        c->history_after = c->boundary;
    }
    return NULL;
}

static bool may_send_past(struct sl_sparkplug *n)
{
    const int64_t now = connection_now_ns();
    n->allowance += (double)(now - n->counted_ns) * 1e-9 * n->history_rate;
    n->allowance = MIN(n->allowance, n->history_rate * 0.05 + 1);
    n->counted_ns = now;
    return n->allowance >= 1;
}

bool data_send(struct sl_sparkplug *n)
{
    if (!send_live(n)) {
        return true;
    }
    struct node_camera *c;
    while ((c = next_past(n)) != NULL) {
        struct store_row *row = &n->past.rows[n->past.at];
        if (!may_send_past(n) || !send_row(n, c, row, true)) {
            return true;
        }
        n->allowance -= 1;
        c->history_after = row->id;
        store_row_clear(row);
        n->past.at++;
    }
    return false;
}

void data_forget(struct sl_sparkplug *n)
{
    clear_batch(&n->live);
    clear_batch(&n->past);
    for (size_t i = 0; i < n->n_cameras; i++) {
        n->cameras[i].mark = n->progress.cameras[i];
    }
}

// Up to where the camera's records have been sent without a hole.
static struct progress_camera reached(const struct sl_sparkplug *n, const struct node_camera *c)
{
    struct progress_camera at = {
        .record = c->history_after, .parts = c->history.parts, .rejects = c->history.rejects};
    if (c->history_after >= c->boundary) {
        at.record = MAX(n->live_after, c->boundary);
        at.parts = c->live.parts;
        at.rejects = c->live.rejects;
    }
    g_strlcpy(at.name, c->name, sizeof(at.name));
    return at;
}

static void save(struct sl_sparkplug *n)
{
    g_autoptr(GError) error = NULL;
    if (!progress_save(&n->progress, n->folder, &error)) {
        node_problem(n, error->message);
    }
    n->changed = false;
    n->saved_ns = connection_now_ns();
}

void data_keep(struct sl_sparkplug *n, bool all)
{
    const int64_t now = connection_now_ns();
    const int64_t grace_ns = (int64_t)n->broker->keepalive_s * SECOND * 3 / 2;
    for (size_t i = 0; i < n->n_cameras && (all || now - n->mark_ns >= grace_ns); i++) {
        struct node_camera *c = &n->cameras[i];
        struct progress_camera *told = &n->progress.cameras[i];
        if (!c->born) {
            continue;
        }
        const struct progress_camera at = reached(n, c);
        const struct progress_camera *sure = all ? &at : &c->mark;
        n->changed = n->changed || told->record != sure->record;
        *told = *sure;
        c->mark = at;
    }
    n->mark_ns = now - n->mark_ns >= grace_ns ? now : n->mark_ns;
    if (n->changed && (all || now - n->saved_ns >= SAVE_NS)) {
        save(n);
    }
}
