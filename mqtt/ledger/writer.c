// The ledger's thread: group commit, and what to do when the disk fails.
#include "mqtt/ledger/inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define GROUP_MS      10
#define SETTLE_MS     50
#define GROUP_RECORDS 20u
#define RETRY_MS      500
#define CHECK_COMMITS 32u // how often the quota is looked at

struct work {
    uint32_t verdicts, settled, notes;
    uint64_t first; // in the queue
    bool stopping;
};

static int write_work(struct sl_ledger *l, const struct work *work, const struct ledger_note *notes,
                      struct store_error *error)
{
    int status = store_begin(&l->store, error);
    for (uint32_t i = 0; !status && i < work->settled; i++) {
        status = store_settle(&l->store, l->settling[i].id,
                              l->settling[i].parked ? STORE_PARKED : STORE_SENT, error);
    }
    for (uint32_t i = 0; !status && i < work->verdicts; i++) {
        status = ledger_append_verdict(l, &l->batch[i], error);
    }
    for (uint32_t i = 0; !status && i < work->notes; i++) {
        status = ledger_append_note(l, &notes[i], error);
    }
    status = status ? status : store_commit(&l->store, error);
    if (status) {
        store_rollback(&l->store);
    }
    return status;
}

static void done(struct sl_ledger *l, const struct work *work, struct ledger_note *notes)
{
    const uint64_t bytes = store_bytes(&l->store);
    pthread_mutex_lock(&l->lock);
    // What had to go from a full queue while it was written is on disk nevertheless.
    const uint64_t end = work->first + work->verdicts;
    const uint64_t saved = MIN(l->queue.head, end) - work->first;
    l->stats.dropped -= saved;
    l->stats.queued += saved;
    queue_forget(&l->queue, MAX(l->queue.head, end));
    l->n_settled -= work->settled;
    l->n_settling = 0;
    memmove(l->settled, l->settled + work->settled, l->n_settled * sizeof(l->settled[0]));
    l->stats.head = l->store.head.id;
    l->stats.rows = (uint64_t)ledger_rows(l);
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
    if (queue_length(&l->queue) > 0) {
        return last_ns + GROUP_MS * 1000000ll;
    }
    return l->n_settled || l->n_notes ? last_ns + SETTLE_MS * 1000000ll : INT64_MAX;
}

// Waits for work, and lets it gather until it is due or enough for a transaction.
static struct work take_work(struct sl_ledger *l, int64_t last_ns,
                             struct ledger_note notes[LEDGER_NOTES])
{
    pthread_mutex_lock(&l->lock);
    for (;;) {
        const uint64_t n = queue_length(&l->queue) + l->n_settled + l->n_notes;
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
        .verdicts = (uint32_t)MIN(queue_length(&l->queue), LEDGER_BATCH),
        .settled = l->n_settled,
        .notes = l->n_notes,
        .first = l->queue.head,
        .stopping = l->stopping,
    };
    for (uint32_t i = 0; i < work.verdicts; i++) {
        l->batch[i] = *queue_at(&l->queue, l->queue.head + i);
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
    ledger_note_problem(l, text);
    if (status == -EBADMSG) {
        ledger_replace_store(l);
        return l->store.db != NULL;
    }
    // Pages that old records leave are room for new ones. The disk may be full for all others too.
    return (status == -ENOSPC || status == -EIO) && ledger_rows(l) > 1 &&
           ledger_trim(l, ledger_rows(l) / 20, &error) == 0;
}

static void pause_after_failure(struct sl_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    if (!l->stopping) {
        wait_until(l, now_ns() + RETRY_MS * 1000000ll);
    }
    pthread_mutex_unlock(&l->lock);
}

static bool write_once(struct sl_ledger *l, const struct work *work, struct ledger_note *notes)
{
    struct store_error error = {""};
    if (!l->store.db) {
        ledger_replace_store(l);
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

void *ledger_run(void *ctx)
{
    struct sl_ledger *l = ctx;
    struct ledger_note notes[LEDGER_NOTES];
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
            ledger_note_problem(l, strcmp(l->folder, l->wanted) ? l->stats.problem : NULL);
        }
        if (++l->commits % CHECK_COMMITS == 0) {
            ledger_keep_quota(l);
        }
    }
}
