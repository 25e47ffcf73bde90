// Frames in, verdicts out.
#include "pipeline/camera_inside.h"

#include "inference/metrics.h"
#include "pipeline/clock.h"
#include "pipeline/elements.h"
#include "pipeline/meta.h"

#include <string.h>

void camera_verdict(void *ctx, const struct sl_verdict *made)
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
        s->last_verdict_ns = camera_now_ns();
    if (verdict.frames) {
        sl_latency_add(&s->latency, verdict.latency_ms);
        sl_latency_add(&s->inference, verdict.inference_ms);
    }
    sl_pictures_part(camera->pictures, camera->frame, camera->frame_caps, &verdict);
    camera->events.verdict(camera->events.ctx, &verdict);
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
    sl_match(result->detections, result->count, part->truth, (guint)part->n_truth, SL_HIT_OVERLAP,
             &hits, &false_alarms);
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

GstPadProbeReturn camera_frame(GstPad *pad, GstPadProbeInfo *info, gpointer data)
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
    const gint64 now = camera_now_ns();
    camera->last_frame_ns = now;
    camera->status.frames++;
    if (camera->status.state != SL_CAMERA_OK && !camera->stopping) {
        camera->status.state = SL_CAMERA_OK;
        camera->status.error[0] = '\0';
        camera->back_off_ms = CAMERA_BACK_OFF_MIN_MS;
        sl_part_logic_camera(camera->logic, true, NULL, now);
    }
    const gint64 due = sl_part_logic_next_ns(camera->logic);
    judge(camera, &frame, buffer, caps, now);
    if (sl_part_logic_next_ns(camera->logic) < due)
        g_cond_signal(&camera->wake);
    g_mutex_unlock(&camera->lock);
    return GST_PAD_PROBE_OK;
}
