// Thresholds of a camera: which detections make a defect, and what was nearly one.
//
// The detector reports from a floor below the thresholds on, so that a threshold can change between
// two frames, and so that what would have been otherwise can be counted (what_if.h).
#ifndef SL_PIPELINE_THRESHOLD_H
#define SL_PIPELINE_THRESHOLD_H

#include "config/camera.h"
#include "inference/detect.h"
#include "inference/model.h"

#include <glib.h>

#define SL_THRESHOLD_FLOOR 0.05f

struct sl_thresholds {
    guint n; // classes of the model
    gfloat value[SL_MAX_CLASSES];
    gfloat configured[SL_MAX_CLASSES]; // the first value
    gfloat floor; // of the scores that the detector reports
};

// The model's own, and instead of them the configuration's. Classes that the model does not have
// are left to the detector to refuse.
void sl_thresholds_init(struct sl_thresholds *thresholds, const struct sl_model *model,
                        const struct sl_config_threshold *config, guint n_config);

// Copies the detections at or above their threshold, and all else of the result. near[c]: the best
// score of class c below it, 0: none.
void sl_thresholds_apply(const struct sl_thresholds *thresholds, const struct sl_detect_result *in,
                         struct sl_detect_result *out, gfloat near[SL_MAX_CLASSES]);

#endif
