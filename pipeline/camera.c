// The life of a camera: frames in, verdicts out, and a source that comes back.
#include "pipeline/camera.h"

#include "inference/metrics.h"
#include "pipeline/clock.h"
#include "pipeline/elements.h"
#include "pipeline/meta.h"
#include "pipeline/part.h"
#include "pipeline/source.h"

#include <errno.h>
#include <gst/gst.h>
#include <string.h>

enum { BACK_OFF_MIN_MS = 250, BACK_OFF_MAX_MS = 2000 };
#define MS G_GINT64_CONSTANT(1000000) // nanoseconds

struct sl_camera {
    struct sl_config_camera own;
    const struct sl_config_camera *config; // own
    gchar job[64];
    struct sl_camera_events events;
    GstElement *pipeline, *decoder, *detect, *sink;
    GThread *thread;

    GMutex lock; // guards everything below
    GCond wake;
    gboolean stopping;
    struct sl_part_logic *logic;
    struct sl_pictures *pictures;
    GstBuffer *frame; // that is being judged, and its format; else NULL
    GstCaps *frame_caps;
    const struct sl_model *model;
    const char *class_names[SL_MAX_CLASSES];
    struct sl_thresholds thresholds;
    struct sl_detect_result result; // of the frame, by these thresholds
    gfloat near[SL_MAX_CLASSES];
    GstElement *source; // in the pipeline, NULL while lost
    gboolean source_failed, source_ended;
    gchar failure[200];
    gint64 last_frame_ns, started_ns, restart_ns;
    guint back_off_ms;
    guint teardowns; // threads that are closing old sources
    struct sl_camera_status status;
};

static gint64 now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

// From the part logic, with the lock held: completes the record and hands it out.
static void on_verdict(void *ctx, const struct sl_verdict *made)
{
    struct sl_camera *camera = ctx;
    struct sl_camera_status *s = &camera->status;
    struct sl_verdict verdict = *made;
    g_strlcpy(verdict.camera, camera->config->name, sizeof(verdict.camera));
    g_strlcpy(verdict.job_id, camera->job, sizeof(verdict.job_id));
    g_strlcpy(verdict.recipe, camera->config->part.recipe, sizeof(verdict.recipe));
    g_strlcpy(verdict.model, s->model, sizeof(verdict.model));
    g_strlcpy(verdict.backend, s->accelerator.actual, sizeof(verdict.backend));
    verdict.ts_utc_ms = g_get_real_time() / 1000;
    verdict.clock = sl_clock_state();
    verdict.near_floor = camera->thresholds.floor;
    s->parts++;
    s->ok += verdict.result == SL_RESULT_OK;
    s->ng += verdict.result == SL_RESULT_NG;
    s->errors += verdict.result == SL_RESULT_ERROR;
    if (verdict.result != SL_RESULT_ERROR)
        s->last_verdict_ns = now_ns();
    if (verdict.frames) {
        sl_latency_add(&s->latency, verdict.latency_ms);
        sl_latency_add(&s->inference, verdict.inference_ms);
    }
    sl_pictures_part(camera->pictures, camera->frame, camera->frame_caps, &verdict);
    camera->events.verdict(camera->events.ctx, &verdict);
}

static void on_picture(void *ctx, const struct sl_picture_out *picture)
{
    struct sl_camera *camera = ctx;
    camera->events.picture(camera->events.ctx, camera->config, picture);
}

static gint64 capture_time(struct sl_camera *camera, GstBuffer *buffer,
                           const SightlinePartMeta *part, const SightlineInspectionMeta *inspection)
{
    if (part && part->capture_ns > 0)
        return part->capture_ns;
    // GStreamer's system clock is CLOCK_MONOTONIC.
    const GstClockTime base = gst_element_get_base_time(camera->pipeline);
    const gint64 running = GST_BUFFER_PTS_IS_VALID(buffer) && GST_CLOCK_TIME_IS_VALID(base)
                               ? (gint64)(base + GST_BUFFER_PTS(buffer))
                               : 0;
    return running > 0 && running <= inspection->arrival_ns ? running : inspection->arrival_ns;
}

static void compare_truth(const SightlinePartMeta *part, const struct sl_detect_result *result,
                          struct sl_part_frame *frame)
{
    uint32_t hits, false_alarms;
    frame->truth_defects = -1;
    if (!part || part->n_truth < 0)
        return;
    sl_match(result->detections, result->count, part->truth,
             (guint)part->n_truth, SL_HIT_OVERLAP, &hits, &false_alarms);
    frame->truth_defects = part->n_truth;
    frame->truth_found = (int32_t)hits;
    frame->truth_false = (int32_t)false_alarms;
}

static void picture_size(const GstCaps *caps, struct sl_part_frame *frame)
{
    gint width = 0, height = 0;
    if (!caps)
        return;
    const GstStructure *s = gst_caps_get_structure(caps, 0);
    gst_structure_get_int(s, "width", &width);
    gst_structure_get_int(s, "height", &height);
    frame->width = (guint)width;
    frame->height = (guint)height;
}

// With the lock held. A part of several frames shows the first bad one.
static void judge(struct sl_camera *camera, const struct sl_part_frame *frame, GstBuffer *buffer,
                  GstCaps *caps, gint64 now)
{
    const guint64 parts = camera->status.parts;
    camera->frame = buffer;
    camera->frame_caps = caps;
    sl_part_logic_frame(camera->logic, frame, now);
    camera->frame = NULL;
    camera->frame_caps = NULL;
    if (camera->status.parts == parts && frame->result->count > 0 &&
        sl_part_logic_is_open(camera->logic))
        sl_pictures_keep(camera->pictures, buffer, caps);
    sl_pictures_frame(camera->pictures, buffer, caps, now);
}

// Every inspected frame passes here, on the streaming thread.
static GstPadProbeReturn on_frame(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    struct sl_camera *camera = data;
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
    const SightlinePartMeta *part = sightline_buffer_get_part_meta(buffer);
    const SightlineInspectionMeta *inspection = sightline_buffer_get_inspection_meta(buffer);
    if (!inspection)
        return GST_PAD_PROBE_OK;
    struct sl_part_frame frame = {
        .part_id = part && part->part_id[0] ? part->part_id : NULL,
        .status = inspection->status,
        .message = inspection->message,
        .result = &camera->result,
        .near = camera->near,
        .capture_ns = capture_time(camera, buffer, part, inspection),
        .decode_ms = (gfloat)(inspection->decoded_ns - inspection->arrival_ns) / 1e6f,
    };
    g_autoptr(GstCaps) caps = gst_pad_get_current_caps(pad);
    picture_size(caps, &frame);
    g_mutex_lock(&camera->lock);
    sl_thresholds_apply(&camera->thresholds, &inspection->result, &camera->result, camera->near);
    compare_truth(part, &camera->result, &frame);
    const gint64 now = now_ns();
    camera->last_frame_ns = now;
    camera->status.frames++;
    if (camera->status.state != SL_CAMERA_OK && !camera->stopping) {
        camera->status.state = SL_CAMERA_OK;
        camera->status.error[0] = '\0';
        camera->back_off_ms = BACK_OFF_MIN_MS;
        sl_part_logic_camera(camera->logic, true, NULL, now);
    }
    const gint64 due = sl_part_logic_next_ns(camera->logic);
    judge(camera, &frame, buffer, caps, now);
    if (sl_part_logic_next_ns(camera->logic) < due)
        g_cond_signal(&camera->wake);
    g_mutex_unlock(&camera->lock);
    return GST_PAD_PROBE_OK;
}

// The source's end never reaches the rest of the pipeline, which outlives it.
static GstPadProbeReturn on_source_event(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    struct sl_camera *camera = data;
    (void)pad;
    if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) != GST_EVENT_EOS)
        return GST_PAD_PROBE_OK;
    g_mutex_lock(&camera->lock);
    camera->source_ended = TRUE;
    g_cond_signal(&camera->wake);
    g_mutex_unlock(&camera->lock);
    return GST_PAD_PROBE_DROP;
}

static void note_failure(struct sl_camera *camera, GstMessage *message)
{
    g_autoptr(GError) problem = NULL;
    gst_message_parse_error(message, &problem, NULL);
    g_mutex_lock(&camera->lock);
    if (!camera->source_failed)
        g_strlcpy(camera->failure, problem->message, sizeof(camera->failure));
    camera->source_failed = TRUE;
    g_cond_signal(&camera->wake);
    g_mutex_unlock(&camera->lock);
}

// On whichever thread posts the message.
static GstBusSyncReply on_message(GstBus *bus, GstMessage *message, gpointer data)
{
    (void)bus;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
        note_failure(data, message);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) {
        g_autoptr(GError) problem = NULL;
        gst_message_parse_warning(message, &problem, NULL);
        g_warning("camera %s: %s", ((struct sl_camera *)data)->config->name, problem->message);
    }
    gst_message_unref(message);
    return GST_BUS_DROP;
}

struct teardown {
    struct sl_camera *camera;
    GstElement *source;
};

// A driver may hang while it is closed: that must not hold up anything else.
static gpointer tear_down(gpointer data)
{
    g_autofree struct teardown *t = data;
    gst_element_set_state(t->source, GST_STATE_NULL);
    gst_object_unref(t->source);
    g_mutex_lock(&t->camera->lock);
    t->camera->teardowns--;
    g_cond_broadcast(&t->camera->wake);
    g_mutex_unlock(&t->camera->lock);
    return NULL;
}

// With the lock held; releases it around GStreamer's calls, which may need the streaming thread.
static void drop_source(struct sl_camera *camera)
{
    GstElement *source = g_steal_pointer(&camera->source);
    if (!source)
        return;
    camera->teardowns++;
    g_mutex_unlock(&camera->lock);
    g_autoptr(GstPad) pad = gst_element_get_static_pad(source, "src");
    g_autoptr(GstPad) peer = gst_element_get_static_pad(camera->decoder, "sink");
    gst_pad_unlink(pad, peer);
    gst_object_ref(source);
    gst_element_set_locked_state(source, TRUE);
    gst_bin_remove(GST_BIN(camera->pipeline), source);
    struct teardown *t = g_new(struct teardown, 1);
    *t = (struct teardown){camera, source};
    g_thread_unref(g_thread_new("teardown", tear_down, t));
    g_mutex_lock(&camera->lock);
}

static gboolean link_source(struct sl_camera *camera, GstElement *source)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(source, "src");
    g_autoptr(GstPad) peer = gst_element_get_static_pad(camera->decoder, "sink");
    if (!pad)
        return FALSE;
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_source_event, camera, NULL);
    gst_bin_add(GST_BIN(camera->pipeline), source);
    return gst_pad_link(pad, peer) == GST_PAD_LINK_OK && gst_element_sync_state_with_parent(source);
}

static void lose(struct sl_camera *camera, const gchar *why)
{
    const gint64 now = now_ns();
    if (camera->status.state != SL_CAMERA_LOST || strcmp(camera->status.error, why) != 0)
        g_warning("camera %s (%s): %s; trying again", camera->config->name,
                  sl_source_place(&camera->config->source), why);
    camera->status.state = SL_CAMERA_LOST;
    g_strlcpy(camera->status.error, why, sizeof(camera->status.error));
    sl_part_logic_camera(camera->logic, false, why, now);
    drop_source(camera);
    camera->source_failed = camera->source_ended = FALSE;
    camera->restart_ns = now + camera->back_off_ms * MS;
    camera->back_off_ms = MIN(2 * camera->back_off_ms, BACK_OFF_MAX_MS);
}

// With the lock held, which is released while the source opens.
static void start_source(struct sl_camera *camera)
{
    g_autoptr(GString) remarks = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    camera->restart_ns = G_MAXINT64;
    camera->source_failed = camera->source_ended = FALSE;
    g_mutex_unlock(&camera->lock);
    GstElement *source = sl_source_bin_new(&camera->config->source, remarks, &error);
    gboolean linked = FALSE;
    if (source) {
        gst_object_ref_sink(source);
        linked = link_source(camera, source);
    }
    g_mutex_lock(&camera->lock);
    camera->source = source;
    camera->started_ns = now_ns();
    camera->status.restarts++;
    if (remarks->len && strcmp(remarks->str, camera->status.remarks) != 0)
        g_warning("camera %s: %s", camera->config->name, remarks->str);
    g_strlcpy(camera->status.remarks, remarks->str, sizeof(camera->status.remarks));
    if (!linked)
        lose(camera, error                   ? error->message
                     : camera->source_failed ? camera->failure
                                             : "the source does not start");
}

static gint64 stall_limit_ns(const struct sl_camera *camera)
{
    const gint64 limit = (gint64)camera->config->source.stall_ms * MS;
    return limit > 0 ? MAX(limit, 3 * sl_source_period_ns(&camera->config->source)) : 0;
}

// When the source counts as stalled; G_MAXINT64 if it cannot be.
static gint64 stall_time(const struct sl_camera *camera)
{
    const gint64 limit = stall_limit_ns(camera);
    if (!camera->source || limit == 0 || camera->status.state == SL_CAMERA_ENDED)
        return G_MAXINT64;
    return MAX(camera->last_frame_ns, camera->started_ns) + limit;
}

static void look_after_source(struct sl_camera *camera)
{
    const gint64 now = now_ns();
    if (camera->source_failed) {
        g_autofree gchar *why = g_strdup(camera->failure);
        lose(camera, why);
    } else if (camera->source_ended && sl_source_ends(&camera->config->source)) {
        camera->status.state = SL_CAMERA_ENDED;
    } else if (camera->source_ended) {
        lose(camera, "the stream ended");
    } else if (now >= stall_time(camera)) {
        g_autofree gchar *why =
            g_strdup_printf("no frame for %" G_GINT64_FORMAT " ms", stall_limit_ns(camera) / MS);
        lose(camera, why);
    } else if (now >= camera->restart_ns) {
        start_source(camera);
    }
}

static gpointer run(gpointer data)
{
    struct sl_camera *camera = data;
    g_mutex_lock(&camera->lock);
    while (!camera->stopping) {
        sl_part_logic_tick(camera->logic, now_ns());
        look_after_source(camera);
        if (camera->stopping || camera->source_failed)
            continue;
        const gint64 next =
            MIN(MIN(sl_part_logic_next_ns(camera->logic), stall_time(camera)), camera->restart_ns);
        if (next == G_MAXINT64)
            g_cond_wait(&camera->wake, &camera->lock);
        else if (next > now_ns())
            g_cond_wait_until(&camera->wake, &camera->lock, next / 1000 + 1);
    }
    drop_source(camera);
    g_mutex_unlock(&camera->lock);
    return NULL;
}

static void configure_detect(struct sl_camera *camera)
{
    const struct sl_config_model *m = &camera->config->model;
    g_object_set(camera->detect, "model", m->path, "backend", m->backend ? m->backend : "cpu",
                 "reference", camera->config->part.reference, "deadline-ms",
                 camera->config->part.deadline_ms, "roi-meta", FALSE, "post-messages", FALSE, NULL);
    for (guint i = 0; i < m->thresholds_count; i++)
        sightline_detect_set_threshold(camera->detect, m->thresholds[i].class_name,
                                       (gfloat)m->thresholds[i].threshold);
    sightline_detect_set_floor(camera->detect, SL_THRESHOLD_FLOOR);
    for (guint i = 0; i < m->masks_count; i++) {
        g_autofree gfloat(*points)[2] = g_malloc(m->masks[i].points_count * sizeof(*points));
        for (guint k = 0; k < m->masks[i].points_count; k++) {
            points[k][0] = (gfloat)m->masks[i].points[k].x;
            points[k][1] = (gfloat)m->masks[i].points[k].y;
        }
        sightline_detect_add_mask(camera->detect, (const gfloat(*)[2])points,
                                  m->masks[i].points_count);
    }
}

static gboolean build_pipeline(struct sl_camera *camera, GError **error)
{
    camera->pipeline = gst_pipeline_new(camera->config->name);
    camera->decoder = gst_element_factory_make("sightlinejpegdec", NULL);
    camera->detect = gst_element_factory_make("sightlinedetect", NULL);
    camera->sink = gst_element_factory_make("fakesink", NULL);
    if (!camera->decoder || !camera->detect || !camera->sink) {
        g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                    "GStreamer's core elements are not installed");
        g_clear_object(&camera->decoder);
        return FALSE;
    }
    configure_detect(camera);
    g_object_set(camera->sink, "sync", FALSE, "async", FALSE, "enable-last-sample", FALSE, NULL);
    gst_bin_add_many(GST_BIN(camera->pipeline), camera->decoder, camera->detect, camera->sink,
                     NULL);
    gst_element_link_many(camera->decoder, camera->detect, camera->sink, NULL);
    g_autoptr(GstPad) pad = gst_element_get_static_pad(camera->sink, "sink");
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_frame, camera, NULL);
    g_autoptr(GstBus) bus = gst_pipeline_get_bus(GST_PIPELINE(camera->pipeline));
    gst_bus_set_sync_handler(bus, on_message, camera, NULL);
    if (gst_element_set_state(camera->pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
        return TRUE;
    g_set_error(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS, "camera '%s': %s",
                camera->config->name, camera->failure);
    return FALSE;
}

static void build_logic(struct sl_camera *camera)
{
    const struct sl_config_part *part = &camera->config->part;
    camera->model = sightline_detect_get_model(camera->detect);
    for (guint i = 0; i < camera->model->n_classes; i++)
        camera->class_names[i] = camera->model->classes[i].name;
    sl_thresholds_init(&camera->thresholds, camera->model, camera->config->model.thresholds,
                       camera->config->model.thresholds_count);
    g_snprintf(camera->status.model, sizeof(camera->status.model), "%s %s", camera->model->name,
               camera->model->version);
    const struct sl_part_settings settings = {
        .trigger = part->mode == SL_PART_TRIGGER,
        .frames = MAX(part->frames, 1),
        .majority = part->combine == SL_COMBINE_MAJORITY,
        .deadline_ns = (gint64)part->deadline_ms * MS,
        .class_names = camera->class_names,
        .n_classes = camera->model->n_classes,
    };
    camera->logic = sl_part_logic_new(&settings, on_verdict, camera);
    if (!camera->logic)
        g_error("out of memory");
    camera->status.accelerator_known =
        sightline_detect_get_status(camera->detect, &camera->status.accelerator);
}

struct sl_camera *sl_camera_new(const struct sl_config_camera *config,
                                const struct sl_config_evidence *evidence,
                                const struct sl_camera_events *events, GError **error)
{
    struct sl_camera *camera = g_new0(struct sl_camera, 1);
    camera->own = *config;
    camera->config = &camera->own;
    camera->events = *events;
    camera->pictures = sl_pictures_new(evidence, on_picture, camera);
    camera->back_off_ms = BACK_OFF_MIN_MS;
    camera->status.state = SL_CAMERA_STARTING;
    g_mutex_init(&camera->lock);
    g_cond_init(&camera->wake);
    if (!build_pipeline(camera, error)) {
        sl_camera_free(camera);
        return NULL;
    }
    build_logic(camera);
    camera->source_failed = FALSE;
    camera->restart_ns = 0; // at once
    return camera;
}

void sl_camera_start(struct sl_camera *camera)
{
    camera->thread = g_thread_new(camera->config->name, run, camera);
}

// A source that hangs while it is closed is left behind after a while.
static void wait_for_teardowns(struct sl_camera *camera)
{
    const gint64 end = g_get_monotonic_time() + G_TIME_SPAN_SECOND;
    g_mutex_lock(&camera->lock);
    while (camera->teardowns > 0 && g_cond_wait_until(&camera->wake, &camera->lock, end))
        ;
    g_mutex_unlock(&camera->lock);
}

void sl_camera_free(struct sl_camera *camera)
{
    if (!camera)
        return;
    g_mutex_lock(&camera->lock);
    camera->stopping = TRUE;
    g_cond_broadcast(&camera->wake);
    g_mutex_unlock(&camera->lock);
    if (camera->thread)
        g_thread_join(camera->thread);
    wait_for_teardowns(camera);
    if (camera->pipeline) {
        gst_element_set_state(camera->pipeline, GST_STATE_NULL);
        gst_object_unref(camera->pipeline);
    }
    if (camera->teardowns > 0) {
        g_warning("camera %s: its source does not close; left behind", camera->config->name);
        sl_pictures_free(camera->pictures);
        return;
    }
    // A part that waits for more frames is answered all the same.
    if (camera->logic)
        sl_part_logic_camera(camera->logic, false, "it was stopped", now_ns());
    sl_pictures_free(camera->pictures);
    sl_part_logic_free(camera->logic);
    sl_model_unref(camera->model);
    g_mutex_clear(&camera->lock);
    g_cond_clear(&camera->wake);
    g_free(camera);
}

const struct sl_config_camera *sl_camera_config(const struct sl_camera *camera)
{
    return camera->config;
}

void sl_camera_get_status(struct sl_camera *camera, struct sl_camera_status *out)
{
    struct sl_accel_status accelerator = {0};
    const gboolean known = sightline_detect_get_status(camera->detect, &accelerator);
    g_mutex_lock(&camera->lock);
    camera->status.accelerator_known = known;
    if (known)
        camera->status.accelerator = accelerator;
    *out = camera->status;
    g_mutex_unlock(&camera->lock);
    sl_pictures_get_stats(camera->pictures, &out->pictures);
}

GstElement *sl_camera_detect(struct sl_camera *camera)
{
    return camera->detect;
}

void sl_camera_set_model(struct sl_camera *camera, const char *model)
{
    g_mutex_lock(&camera->lock);
    g_strlcpy(camera->status.model, model, sizeof(camera->status.model));
    g_mutex_unlock(&camera->lock);
}

int sl_camera_trigger(struct sl_camera *camera, const gchar *part_id)
{
    g_mutex_lock(&camera->lock);
    const int status = sl_part_logic_trigger(camera->logic, part_id, now_ns());
    g_cond_signal(&camera->wake);
    g_mutex_unlock(&camera->lock);
    return status;
}

int sl_camera_snapshot(struct sl_camera *camera, char crop[24])
{
    g_mutex_lock(&camera->lock);
    const gboolean running = camera->status.state == SL_CAMERA_OK;
    if (running)
        sl_pictures_snapshot(camera->pictures, crop);
    g_mutex_unlock(&camera->lock);
    return running ? 0 : -EIO;
}

int sl_camera_preview(struct sl_camera *camera, gdouble rate, gdouble seconds)
{
    g_mutex_lock(&camera->lock);
    const gboolean running = camera->status.state == SL_CAMERA_OK;
    if (running)
        sl_pictures_preview(camera->pictures, rate, now_ns() + (gint64)(seconds * 1e9));
    g_mutex_unlock(&camera->lock);
    return running ? 0 : -EIO;
}

int sl_camera_set_threshold(struct sl_camera *camera, const char *class_name, gfloat value,
                            gfloat *before)
{
    int status = -ENOENT;
    if (value < SL_THRESHOLD_FLOOR)
        return -ERANGE;
    g_mutex_lock(&camera->lock);
    for (guint c = 0; c < camera->thresholds.n; c++) {
        if (class_name && strcmp(class_name, camera->class_names[c]) != 0)
            continue;
        if (status)
            *before = camera->thresholds.value[c];
        camera->thresholds.value[c] = value;
        status = 0;
    }
    g_mutex_unlock(&camera->lock);
    return status;
}

guint sl_camera_get_thresholds(struct sl_camera *camera,
                               struct sl_camera_threshold out[SL_MAX_CLASSES])
{
    g_mutex_lock(&camera->lock);
    const guint n = camera->thresholds.n;
    for (guint c = 0; c < n; c++)
        out[c] = (struct sl_camera_threshold){camera->class_names[c], camera->thresholds.value[c],
                                              camera->thresholds.configured[c]};
    g_mutex_unlock(&camera->lock);
    return n;
}

void sl_camera_set_job(struct sl_camera *camera, const gchar *job)
{
    g_mutex_lock(&camera->lock);
    g_strlcpy(camera->job, job ? job : "", sizeof(camera->job));
    g_mutex_unlock(&camera->lock);
}
