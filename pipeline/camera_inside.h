// Inside of a camera: its state, and what its files give each other.
//
// camera.c puts it together, camera_source.c opens its source and finds it again, camera_frame.c
// makes verdicts of frames.
#ifndef SL_PIPELINE_CAMERA_INSIDE_H
#define SL_PIPELINE_CAMERA_INSIDE_H

#include "pipeline/camera.h"
#include "pipeline/part.h"

#include <gst/gst.h>

enum { CAMERA_BACK_OFF_MIN_MS = 250, CAMERA_BACK_OFF_MAX_MS = 2000 };
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

static inline gint64 camera_now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

// camera_frame.c. From the part logic, with the lock held: completes the record and hands it out.
void camera_verdict(void *camera, const struct sl_verdict *made);
// Every inspected frame passes here, on the streaming thread.
GstPadProbeReturn camera_frame(GstPad *pad, GstPadProbeInfo *info, gpointer camera);

// camera_source.c: the camera's thread, and the pipeline's messages on whichever thread posts them.
gpointer camera_source_run(gpointer camera);
GstBusSyncReply camera_source_message(GstBus *bus, GstMessage *message, gpointer camera);

#endif
