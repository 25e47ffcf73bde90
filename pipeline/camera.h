// A camera: source, decoder, detector, part logic; verdicts come out.
//
// Threads: GStreamer's streaming thread brings frames, the camera's own thread keeps deadlines and
// restarts a lost source; the functions here may be called from any thread. Verdicts are handed out
// on either of the two, one at a time.
#ifndef SL_PIPELINE_CAMERA_H
#define SL_PIPELINE_CAMERA_H

#include "accel/accel.h"
#include "config/camera.h"
#include "mqtt/verdict.h"
#include "pipeline/latency.h"
#include "pipeline/pictures.h"
#include "pipeline/threshold.h"

#include <glib.h>

struct sl_camera;

enum sl_camera_state { SL_CAMERA_STARTING = 1, SL_CAMERA_OK, SL_CAMERA_LOST, SL_CAMERA_ENDED };

// Must be quick and must not call back into the camera.
typedef void (*sl_camera_verdict)(void *ctx, const struct sl_verdict *verdict);
// On a thread of the camera's own, which may wait.
typedef void (*sl_camera_picture)(void *ctx, const struct sl_config_camera *config,
                                  const struct sl_picture_out *picture);

struct sl_camera_events {
    sl_camera_verdict verdict;
    sl_camera_picture picture;
    void *ctx;
};

struct sl_camera_status {
    enum sl_camera_state state;
    gchar error[200];   // why it is lost
    gchar remarks[200]; // what the camera changed of the wanted controls
    gchar model[64];    // name and version
    guint restarts;
    guint64 parts, ok, ng, errors, frames;
    gint64 last_verdict_ns; // of a part that was judged, CLOCK_MONOTONIC; 0: none yet
    struct sl_latency latency, inference;
    gboolean accelerator_known;
    struct sl_accel_status accelerator;
    struct sl_pictures_stats pictures;
};

// What a threshold is now, by the class's index.
struct sl_camera_threshold {
    const char *class_name; // valid as long as the camera
    gfloat value;
    gfloat configured; // by the model or the configuration
};

// Loads the model. The structures are copied; what the configuration points to is the caller's and
// must outlive the camera. Refused: a model that cannot run, a wrong reference.
struct sl_camera *sl_camera_new(const struct sl_config_camera *config,
                                const struct sl_config_evidence *evidence,
                                const struct sl_camera_events *events, GError **error);
// Opens the source, once. An absent source is no error: it is waited for.
void sl_camera_start(struct sl_camera *camera);
void sl_camera_free(struct sl_camera *camera); // NULL is fine

const struct sl_config_camera *sl_camera_config(const struct sl_camera *camera);
void sl_camera_get_status(struct sl_camera *camera, struct sl_camera_status *out);

// For model updates: the running detector, and the name and version of what serves in it now.
GstElement *sl_camera_detect(struct sl_camera *camera);
void sl_camera_set_model(struct sl_camera *camera, const char *model);

// Asks for one part. -EBUSY: one is under way; -ENOTSUP: the camera runs freely.
int sl_camera_trigger(struct sl_camera *camera, const gchar *part_id);

// Pictures for people (pictures.h). -EIO: the camera brings no frames now.
int sl_camera_snapshot(struct sl_camera *camera, char crop[24]);
int sl_camera_preview(struct sl_camera *camera, gdouble rate, gdouble seconds);

void sl_camera_set_job(struct sl_camera *camera, const gchar *job); // for verdicts; NULL: none

// Of the class, or with NULL of every class, from the next frame on. *before: what it was (of the
// first). -ENOENT: the model has no such class; -ERANGE: below what the detector reports.
int sl_camera_set_threshold(struct sl_camera *camera, const char *class_name, gfloat value,
                            gfloat *before);
guint sl_camera_get_thresholds(struct sl_camera *camera,
                               struct sl_camera_threshold out[SL_MAX_CLASSES]); // how many

#endif
