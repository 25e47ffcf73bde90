// What of the ledger is published next.
#include "mqtt/feed.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define GRACE_NS (500 * 1000000ll)
#define SCAN_NS  (5 * 1000000000ll) // how often to look for records that were marked to go again

static void clear_batch(struct feed_batch *batch)
{
    for (int i = batch->at; i < batch->n; i++) {
        store_row_clear(&batch->rows[i]);
    }
    batch->n = batch->at = 0;
}

static void clear_current(struct feed *f)
{
    store_row_clear(&f->current);
    cJSON_Delete(f->defects);
    f->defects = NULL;
    f->item = 0;
}

void feed_restart(struct feed *f)
{
    clear_current(f);
    clear_batch(&f->live);
    clear_batch(&f->history);
    f->n_flights = 0;
    f->n_grace = 0;
    atomic_store(&f->graced[0], 0);
    atomic_store(&f->graced[1], 0);
    f->restart = true;
}

void feed_clear(struct feed *f)
{
    feed_restart(f);
    reader_close(&f->reader);
}

static bool open_reader(struct feed *f, unsigned generation)
{
    struct store_error error;
    if (f->reader.db && f->generation == generation) {
        return true;
    }
    reader_close(&f->reader);
    feed_restart(f);
    f->generation = generation;
    return reader_open(&f->reader, sl_ledger_folder(f->ledger), &error) == 0;
}

// What is answered must be on disk before the pending ones are read again, or it would go twice.
static bool start_over(struct feed *f, int64_t head)
{
    if (!sl_ledger_is_settled(f->ledger)) {
        return false;
    }
    f->restart = false;
    f->boundary = f->live.after = head;
    f->history.after = 0;
    f->scanned_ns = connection_now_ns();
    return true;
}

static bool refill(struct feed *f, struct feed_batch *batch, int64_t until)
{
    if (batch->at < batch->n) {
        return true;
    }
    batch->at = batch->n = 0;
    if (batch->after < until) {
        batch->n = reader_pending(&f->reader, batch->after, until, batch->rows, FEED_BATCH);
        batch->after = batch->n ? batch->rows[batch->n - 1].id : until;
    }
    return batch->n > 0;
}

static bool may_send_history(struct feed *f)
{
    const int64_t now = connection_now_ns();
    const double most = f->history_rate * 0.05 + 1; // what 50 ms are good for
    f->allowance += (double)(now - f->counted_ns) * 1e-9 * f->history_rate;
    f->allowance = MIN(f->allowance, most);
    f->counted_ns = now;
    return f->allowance >= 1;
}

static void scan_again(struct feed *f)
{
    const int64_t now = connection_now_ns();
    if (now - f->scanned_ns >= SCAN_NS && f->n_flights == 0 && f->n_grace == 0 &&
        sl_ledger_is_settled(f->ledger)) {
        f->boundary = f->live.after;
        f->history.after = 0;
        f->scanned_ns = now;
    }
}

static bool take(struct feed *f, struct feed_batch *batch, bool history)
{
    f->current = batch->rows[batch->at];
    batch->rows[batch->at++] = (struct store_row){.id = 0};
    f->current_is_history = history;
    f->allowance -= history;
    return true;
}

static bool choose(struct feed *f)
{
    struct sl_ledger_stats stats;
    sl_ledger_stats(f->ledger, &stats);
    if (f->n_flights == FEED_FLIGHTS || !open_reader(f, stats.generation) ||
        (f->restart && !start_over(f, stats.head))) {
        return false;
    }
    if (refill(f, &f->live, stats.head)) {
        return take(f, &f->live, false);
    }
    if (!refill(f, &f->history, f->boundary)) {
        scan_again(f);
        return false;
    }
    return may_send_history(f) && take(f, &f->history, true);
}

static bool begin(struct feed *f)
{
    if (!choose(f)) {
        return false;
    }
    const uint32_t items = f->current.kind == STORE_VERDICT ? 1 + f->current.defects : 1;
    f->flights[f->n_flights].id = f->current.id;
    f->flights[f->n_flights].kind = f->current.kind;
    f->flights[f->n_flights].items = items;
    f->flights[f->n_flights].settled = 0;
    f->flights[f->n_flights].refused = false;
    f->n_flights++;
    return true;
}

// The body of `defect`: who and which part from the verdict, the rest from its list.
static char *defect_body(struct feed *f)
{
    static const char *const keys[] = {"schema",  "camera", "stream", "seq",
                                       "part_id", "ts",     "crop"};
    if (!f->defects) {
        f->defects = cJSON_Parse(f->current.body);
    }
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(f->defects, "defects");
    cJSON *body = cJSON_Duplicate(cJSON_GetArrayItem(list, (int)f->item - 1), true);
    for (size_t i = 0; body && i < G_N_ELEMENTS(keys); i++) {
        cJSON *item = cJSON_GetObjectItemCaseSensitive(f->defects, keys[i]);
        cJSON_AddItemToObject(body, keys[i], cJSON_Duplicate(item, true));
    }
    cJSON_AddNumberToObject(body, "index", (double)f->item - 1);
    char *text = cJSON_PrintUnformatted(body);
    cJSON_Delete(body);
    return text;
}

bool feed_next(struct feed *f, struct feed_item *out)
{
    if (!f->current.body && !begin(f)) {
        return false;
    }
    *out =
        (struct feed_item){.row = &f->current, .item = f->item, .history = f->current_is_history};
    if (f->item) {
        out->defect = defect_body(f);
    }
    return true;
}

static uint32_t items_of(const struct store_row *row)
{
    return row->kind == STORE_VERDICT ? 1 + row->defects : 1;
}

void feed_sent(struct feed *f)
{
    if (++f->item == items_of(&f->current)) {
        clear_current(f);
    }
}

// False if the ledger has no room for it now.
static bool settle_oldest(struct feed *f)
{
    const struct feed_answer *a = &f->grace[f->grace_first];
    if (!sl_ledger_settle(f->ledger, a->id, a->is_verdict, a->refused)) {
        return false;
    }
    if (a->is_verdict) {
        atomic_fetch_sub(&f->graced[a->refused], 1);
    }
    f->grace_first = (f->grace_first + 1) % FEED_GRACE;
    f->n_grace--;
    return true;
}

void feed_settle(struct feed *f, bool all)
{
    const int64_t before = connection_now_ns() - GRACE_NS;
    while (f->n_grace > 0 && (all || f->grace[f->grace_first].when_ns <= before) &&
           settle_oldest(f)) {
    }
}

static void begin_grace(struct feed *f, int64_t id, bool is_verdict, bool refused)
{
    if (f->n_grace == FEED_GRACE && !settle_oldest(f)) {
        return; // it stays pending and goes again
    }
    f->grace[(f->grace_first + f->n_grace++) % FEED_GRACE] =
        (struct feed_answer){id, connection_now_ns(), is_verdict, refused};
    if (is_verdict) {
        atomic_fetch_add(&f->graced[refused], 1);
    }
}

void feed_settled(struct feed *f, int64_t id, uint32_t item, bool refused)
{
    for (unsigned i = 0; i < f->n_flights; i++) {
        if (f->flights[i].id != id) {
            continue;
        }
        f->flights[i].refused = f->flights[i].refused || (refused && item == 0);
        if (++f->flights[i].settled == f->flights[i].items) {
            begin_grace(f, id, f->flights[i].kind == STORE_VERDICT, f->flights[i].refused);
            f->flights[i] = f->flights[--f->n_flights];
        }
        return;
    }
}

bool feed_waits(const struct feed *f)
{
    return f->restart || f->history.at < f->history.n || f->history.after < f->boundary;
}

int feed_one(struct feed *f, int64_t id, struct store_row *row)
{
    struct sl_ledger_stats stats;
    sl_ledger_stats(f->ledger, &stats);
    return open_reader(f, stats.generation) ? reader_one(&f->reader, id, row) : -EIO;
}
