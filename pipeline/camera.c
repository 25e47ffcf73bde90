// A camera put together: its pipeline, its logic, and what others ask of it.
#include "pipeline/camera_inside.h"

#include "pipeline/elements.h"

#include <errno.h>
#include <string.h>

static void on_picture(void *ctx, const struct sl_picture_out *picture)
{
    struct sl_camera *camera = ctx;
    camera->events.picture(camera->events.ctx, camera->config, picture);
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
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, camera_frame, camera, NULL);
    g_autoptr(GstBus) bus = gst_pipeline_get_bus(GST_PIPELINE(camera->pipeline));
    gst_bus_set_sync_handler(bus, camera_source_message, camera, NULL);
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
    camera->logic = sl_part_logic_new(&settings, camera_verdict, camera);
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
    camera->back_off_ms = CAMERA_BACK_OFF_MIN_MS;
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
    camera->thread = g_thread_new(camera->config->name, camera_source_run, camera);
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
        sl_part_logic_camera(camera->logic, false, "it was stopped", camera_now_ns());
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
    const int status = sl_part_logic_trigger(camera->logic, part_id, camera_now_ns());
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
        sl_pictures_preview(camera->pictures, rate, camera_now_ns() + (gint64)(seconds * 1e9));
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
