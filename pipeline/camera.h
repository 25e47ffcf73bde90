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

#include <glib.h>

struct sl_camera;

enum sl_camera_state { SL_CAMERA_STARTING = 1, SL_CAMERA_OK, SL_CAMERA_LOST, SL_CAMERA_ENDED };

// Must be quick and must not call back into the camera.
typedef void (*sl_camera_verdict)(void *ctx, const struct sl_verdict *verdict);

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
};

// Loads the model. The configuration is the caller's and must outlive the camera. Refused: a model
// that cannot run, a wrong reference.
struct sl_camera *sl_camera_new(const struct sl_config_camera *config, sl_camera_verdict verdict,
                                void *ctx, GError **error);
// Opens the source, once. An absent source is no error: it is waited for.
void sl_camera_start(struct sl_camera *camera);
void sl_camera_free(struct sl_camera *camera); // NULL is fine

const struct sl_config_camera *sl_camera_config(const struct sl_camera *camera);
void sl_camera_get_status(struct sl_camera *camera, struct sl_camera_status *out);

// Asks for one part. -EBUSY: one is under way; -ENOTSUP: the camera runs freely.
int sl_camera_trigger(struct sl_camera *camera, const gchar *part_id);

#endif
