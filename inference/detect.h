// The detector: pictures in, detections out. The same code path serves the live pipeline,
// evaluation, benchmarks and the golden self-test, so what was measured is what runs.
#ifndef SL_INFERENCE_DETECT_H
#define SL_INFERENCE_DETECT_H

#include "accel/accel.h"
#include "accel/error.h"
#include "inference/model.h"
#include "inference/picture.h"
#include "inference/register.h"

#include <stdbool.h>
#include <stdint.h>

// Pixels of the picture that was given (letterbox and scale undone), x1 < x2, y1 < y2.
struct sl_detection {
    float x1, y1, x2, y2;
    float score; // 0 … 1
    uint32_t class_id;
};

#define SL_MAX_DETECTIONS 300

struct sl_detect_timings { // microseconds
    float registration_us, preprocess_us, inference_us, head_us;
};

struct sl_detect_result {
    uint32_t count;
    struct sl_detection detections[SL_MAX_DETECTIONS]; // by falling score
    bool registered;
    struct sl_registration registration;
    struct sl_detect_timings timings;
};

// A polygon in pixels of the reference (or of the picture where there is none). Detections whose
// centre lies inside are dropped.
struct sl_mask {
    uint32_t count;
    const float (*points)[2];
};

struct sl_detector;

// Opens back end `backend` (see accel/accel.h), loads the model's network into it and prepares
// everything that a run needs. Takes its own reference to the model. Not for the frame path.
int sl_detector_new(const struct sl_model *model, const char *backend, struct sl_detector **out,
                    struct sl_error *error);
void sl_detector_free(struct sl_detector *detector);

// The reference picture, any size and pixel format; converted to the input's size and copied.
// Allocates nothing after the first call with a size. -EINVAL if the model takes no reference.
int sl_detector_set_reference(struct sl_detector *detector, const struct sl_picture *reference,
                              struct sl_error *error);
// Back to having none: runs of a model that needs one are refused until the next is set.
void sl_detector_clear_reference(struct sl_detector *detector);

// Per-class thresholds in place of the model's (`count` must be the class count); masks are copied.
int sl_detector_set_thresholds(struct sl_detector *detector, const float *thresholds,
                               uint32_t count, struct sl_error *error);
int sl_detector_set_masks(struct sl_detector *detector, const struct sl_mask *masks, uint32_t count,
                          struct sl_error *error);

// Off: the reference is used where it stands (for measuring). On by default.
void sl_detector_set_registration(struct sl_detector *detector, bool on);

// Returns only detections at or above their class's threshold. Allocates nothing. `deadline_ns` is
// a CLOCK_MONOTONIC time or SL_NO_DEADLINE. On failure `out` holds what is known (registration,
// timings) and count 0. -ERANGE: registration beyond its limit; -ETIMEDOUT: deadline; -ENODATA: the
// model needs a reference and has none.
int sl_detector_run(struct sl_detector *detector, const struct sl_picture *picture,
                    int64_t deadline_ns, struct sl_detect_result *out, struct sl_error *error);

// The first half of a run: preprocessing and registration. *tensor is the network's input, valid
// until the next call with this detector. Errors as above.
int sl_detector_prepare(struct sl_detector *detector, const struct sl_picture *picture,
                        const float **tensor, struct sl_error *error);

const struct sl_model *sl_detector_model(const struct sl_detector *detector);
void sl_detector_status(struct sl_detector *detector, struct sl_accel_status *out);
// The program behind it, for profiles and reports.
struct sl_program *sl_detector_program(struct sl_detector *detector);

#endif
