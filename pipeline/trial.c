// Models that change places between two frames, and the shadow's thread.
#include "pipeline/trial.h"

#include "inference/head.h"

#include <errno.h>
#include <string.h>

void sl_trial_init(struct sl_trial *trial)
{
    g_mutex_init(&trial->lock);
    g_cond_init(&trial->changed);
}

void sl_trial_clear(struct sl_trial *trial)
{
    g_mutex_clear(&trial->lock);
    g_cond_clear(&trial->changed);
}

void sl_trial_begin(struct sl_trial *trial, struct sl_served *served)
{
    g_mutex_lock(&trial->lock);
    trial->serving = served;
    g_mutex_unlock(&trial->lock);
}

// With the lock held, which is released while the thread ends.
static void stop_shadow(struct sl_trial *trial)
{
    GThread *thread = g_steal_pointer(&trial->thread);
    if (!thread)
        return;
    trial->stopping = TRUE;
    g_cond_broadcast(&trial->changed);
    g_mutex_unlock(&trial->lock);
    g_thread_join(thread);
    g_mutex_lock(&trial->lock);
    gst_clear_buffer(&trial->reference);
    g_clear_pointer(&trial->room, g_free);
    trial->room_size = 0;
    trial->stopping = trial->full = FALSE;
}

void sl_trial_end(struct sl_trial *trial)
{
    g_mutex_lock(&trial->lock);
    stop_shadow(trial);
    g_clear_pointer(&trial->serving, sl_served_free);
    g_clear_pointer(&trial->other, sl_served_free);
    memset(&trial->report, 0, sizeof(trial->report));
    trial->exchange = FALSE;
    g_cond_broadcast(&trial->changed);
    g_mutex_unlock(&trial->lock);
}

// --- the streaming thread -----------------------------------------------------------------------

struct sl_served *sl_trial_frame_begin(struct sl_trial *trial)
{
    g_mutex_lock(&trial->lock);
    trial->in_frame = TRUE;
    struct sl_served *served = trial->serving;
    g_mutex_unlock(&trial->lock);
    return served;
}

static guint rows_of(const struct sl_picture *picture, guint plane)
{
    const gboolean halved = picture->pixels == SL_PIXELS_NV12 || picture->pixels == SL_PIXELS_I420;
    return halved && plane > 0 ? (picture->height + 1) / 2 : picture->height;
}

static gsize copy_picture(const struct sl_picture *from, guint8 *room, gsize room_size,
                          struct sl_picture *to)
{
    gsize at = 0;
    *to = *from;
    for (guint i = 0; i < G_N_ELEMENTS(from->plane) && from->plane[i]; i++) {
        const gsize size = (gsize)from->stride[i] * rows_of(from, i);
        if (size <= room_size && at <= room_size - size) {
            memcpy(room + at, from->plane[i], size);
            to->plane[i] = room + at;
        }
        at += size;
    }
    return at;
}

void sl_trial_frame_offer(struct sl_trial *trial, const struct sl_picture *picture,
                          const SightlinePartMeta *part, const struct sl_detect_result *result)
{
    g_mutex_lock(&trial->lock);
    if (trial->thread && !trial->stopping && !trial->full) {
        trial->wanted_size = copy_picture(picture, trial->room, trial->room_size, &trial->picture);
        trial->result = *result;
        trial->reference_serial = part ? part->reference_serial : 0;
        gst_buffer_replace(&trial->reference, part ? part->reference : NULL);
        trial->full = TRUE;
        g_cond_broadcast(&trial->changed);
    } else if (trial->thread) {
        trial->report.passed_by++;
    }
    g_mutex_unlock(&trial->lock);
}

// With the lock held.
static void exchange(struct sl_trial *trial)
{
    struct sl_served *served = trial->serving;
    trial->serving = trial->other;
    trial->other = served;
    trial->exchange = FALSE;
    g_cond_broadcast(&trial->changed);
}

// A part that lies badly, or has no reference, is not the model's fault.
static gboolean is_failure(int status)
{
    return status < 0 && status != -ERANGE && status != -ENODATA;
}

static void count(struct sl_trial_report *report, int status, const char *message)
{
    report->frames++;
    report->failures = is_failure(status) ? report->failures + 1 : 0;
    if (is_failure(status))
        g_strlcpy(report->message, message, sizeof(report->message));
}

void sl_trial_frame_end(struct sl_trial *trial, int status, const char *message)
{
    g_mutex_lock(&trial->lock);
    trial->in_frame = FALSE;
    if (trial->report.phase == SL_TRIAL_PROBATION && !trial->exchange)
        count(&trial->report, status, message);
    if (trial->exchange)
        exchange(trial);
    g_mutex_unlock(&trial->lock);
}

// --- the shadow's thread ------------------------------------------------------------------------

// What one of two models found on a picture.
struct finding {
    const struct sl_served *served;
    const struct sl_detect_result *result;
};

static guint defects(const struct finding *f)
{
    guint count = 0;
    for (guint i = 0; i < f->result->count; i++)
        count += sl_served_counts(f->served, &f->result->detections[i]) ? 1 : 0;
    return count;
}

static gboolean seen_in(const struct sl_detection *d, const struct finding *f, gfloat overlap)
{
    const struct sl_detection *all = f->result->detections;
    for (guint i = 0; i < f->result->count; i++)
        if (all[i].class_id == d->class_id && sl_served_counts(f->served, &all[i]) &&
            sl_box_overlap(d, &all[i]) >= overlap)
            return TRUE;
    return FALSE;
}

static gboolean same(const struct finding *a, const struct finding *b, gfloat overlap)
{
    if (defects(a) != defects(b))
        return FALSE;
    for (guint i = 0; i < a->result->count; i++)
        if (sl_served_counts(a->served, &a->result->detections[i]) &&
            !seen_in(&a->result->detections[i], b, overlap))
            return FALSE;
    return TRUE;
}

// Without the lock: `full` keeps the streaming thread away from picture, result and reference.
static int run_shadow(struct sl_trial *trial, struct sl_detect_result *found,
                      struct sl_error *error)
{
    const int status =
        sl_served_reference(trial->other, trial->reference_serial, trial->reference, error);
    return status < 0 ? status
                      : sl_detector_run(trial->other->detector, &trial->picture, SL_NO_DEADLINE,
                                        found, error);
}

static void compare(struct sl_trial *trial, int status, const struct sl_detect_result *found,
                    const char *message)
{
    struct sl_trial_report *r = &trial->report;
    count(r, status, message);
    const struct finding before = {trial->serving, &trial->result}, now = {trial->other, found};
    r->different += !same(&before, &now, trial->overlap);
    r->old_defects += defects(&before);
    r->new_defects += defects(&now);
}

static gpointer shadow(gpointer data)
{
    struct sl_trial *trial = data;
    g_autofree struct sl_detect_result *found = g_new0(struct sl_detect_result, 1);
    g_mutex_lock(&trial->lock);
    while (!trial->stopping) {
        if (!trial->full) {
            g_cond_wait(&trial->changed, &trial->lock);
            continue;
        }
        struct sl_error error = {""};
        if (trial->wanted_size > trial->room_size) { // the next picture will fit
            trial->room = g_realloc(trial->room, trial->wanted_size);
            trial->room_size = trial->wanted_size;
            trial->report.passed_by++;
        } else {
            g_mutex_unlock(&trial->lock);
            found->count = 0;
            const int status = run_shadow(trial, found, &error);
            g_mutex_lock(&trial->lock);
            compare(trial, status, found, error.message);
        }
        trial->full = FALSE;
    }
    g_mutex_unlock(&trial->lock);
    return NULL;
}

// --- any one other thread -----------------------------------------------------------------------

static int check_candidate(struct sl_trial *trial, const struct sl_served *candidate,
                           struct sl_error *error)
{
    if (!trial->serving)
        return sl_error_set(error, -ENODEV, "the camera does not run");
    if (trial->other)
        return sl_error_set(error, -EBUSY, "another trial is on");
    return sl_served_fits(trial->serving, candidate, error);
}

int sl_trial_shadow(struct sl_trial *trial, struct sl_served *candidate, gfloat overlap,
                    struct sl_error *error)
{
    g_mutex_lock(&trial->lock);
    const int status = check_candidate(trial, candidate, error);
    if (status == 0) {
        trial->other = candidate;
        trial->overlap = overlap;
        trial->report = (struct sl_trial_report){.phase = SL_TRIAL_SHADOW};
        trial->thread = g_thread_new("shadow", shadow, trial);
    }
    g_mutex_unlock(&trial->lock);
    if (status < 0)
        sl_served_free(candidate);
    return status;
}

// With the lock held. Between two frames at once; otherwise the streaming thread does it.
static void exchange_now(struct sl_trial *trial)
{
    trial->exchange = TRUE;
    if (!trial->in_frame)
        exchange(trial);
    while (trial->exchange)
        g_cond_wait(&trial->changed, &trial->lock);
}

int sl_trial_swap(struct sl_trial *trial, struct sl_served *candidate, struct sl_error *error)
{
    int status = 0;
    g_mutex_lock(&trial->lock);
    stop_shadow(trial);
    if (candidate)
        status = check_candidate(trial, candidate, error);
    else if (trial->report.phase != SL_TRIAL_SHADOW)
        status = sl_error_set(error, -EPROTO, "there is no shadow");
    if (status == 0) {
        trial->other = candidate ? candidate : trial->other;
        exchange_now(trial);
        trial->report = (struct sl_trial_report){.phase = SL_TRIAL_PROBATION};
    }
    g_mutex_unlock(&trial->lock);
    if (status < 0)
        sl_served_free(candidate);
    return status;
}

// With the lock held, which is released while the other model is freed.
static void drop_other(struct sl_trial *trial)
{
    struct sl_served *other = g_steal_pointer(&trial->other);
    memset(&trial->report, 0, sizeof(trial->report));
    g_mutex_unlock(&trial->lock);
    sl_served_free(other);
}

void sl_trial_roll_back(struct sl_trial *trial)
{
    g_mutex_lock(&trial->lock);
    stop_shadow(trial);
    if (trial->report.phase == SL_TRIAL_PROBATION && trial->other)
        exchange_now(trial);
    drop_other(trial);
}

void sl_trial_commit(struct sl_trial *trial)
{
    g_mutex_lock(&trial->lock);
    stop_shadow(trial);
    drop_other(trial);
}

void sl_trial_report(struct sl_trial *trial, struct sl_trial_report *out)
{
    g_mutex_lock(&trial->lock);
    *out = trial->report;
    g_mutex_unlock(&trial->lock);
}

gboolean sl_trial_accelerator(struct sl_trial *trial, struct sl_accel_status *out)
{
    g_mutex_lock(&trial->lock);
    const gboolean loaded = trial->serving != NULL;
    if (loaded)
        sl_detector_status(trial->serving->detector, out);
    g_mutex_unlock(&trial->lock);
    return loaded;
}

const struct sl_model *sl_trial_model(struct sl_trial *trial)
{
    g_mutex_lock(&trial->lock);
    const struct sl_model *model = trial->serving ? sl_model_ref(trial->serving->model) : NULL;
    g_mutex_unlock(&trial->lock);
    return model;
}
