// A camera's source: opened, watched, closed, and tried again until it is back.
#include "pipeline/camera_inside.h"

#include "pipeline/source.h"

#include <string.h>

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

GstBusSyncReply camera_source_message(GstBus *bus, GstMessage *message, gpointer data)
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
    const gint64 now = camera_now_ns();
    if (camera->status.state != SL_CAMERA_LOST || strcmp(camera->status.error, why) != 0)
        g_warning("camera %s (%s): %s; trying again", camera->config->name,
                  sl_source_place(&camera->config->source), why);
    camera->status.state = SL_CAMERA_LOST;
    g_strlcpy(camera->status.error, why, sizeof(camera->status.error));
    sl_part_logic_camera(camera->logic, false, why, now);
    drop_source(camera);
    camera->source_failed = camera->source_ended = FALSE;
    camera->restart_ns = now + camera->back_off_ms * MS;
    camera->back_off_ms = MIN(2 * camera->back_off_ms, CAMERA_BACK_OFF_MAX_MS);
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
    camera->started_ns = camera_now_ns();
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
    const gint64 now = camera_now_ns();
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

gpointer camera_source_run(gpointer data)
{
    struct sl_camera *camera = data;
    g_mutex_lock(&camera->lock);
    while (!camera->stopping) {
        sl_part_logic_tick(camera->logic, camera_now_ns());
        look_after_source(camera);
        if (camera->stopping || camera->source_failed)
            continue;
        const gint64 next =
            MIN(MIN(sl_part_logic_next_ns(camera->logic), stall_time(camera)), camera->restart_ns);
        if (next == G_MAXINT64)
            g_cond_wait(&camera->wake, &camera->lock);
        else if (next > camera_now_ns())
            g_cond_wait_until(&camera->wake, &camera->lock, next / 1000 + 1);
    }
    drop_source(camera);
    g_mutex_unlock(&camera->lock);
    return NULL;
}
