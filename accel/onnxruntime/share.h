// How many nodes of a model an execution provider took, and how many were left to others.
#ifndef SL_ACCEL_ONNXRUNTIME_SHARE_H
#define SL_ACCEL_ONNXRUNTIME_SHARE_H

#include "accel/onnxruntime/ort.h"

struct ort_share {
    uint32_t taken, all; // nodes that were executed; all 0: not known
};

// Runs the model once, with zeros, in a session of its own that is profiled, and counts in the
// profile. Needs a folder for temporary files ($TMPDIR or /tmp). `onnx` as in ort_session_create.
int ort_share_measure(struct ort *ort, const void *onnx, size_t bytes,
                      const struct ort_options *options, struct ort_share *out,
                      struct sl_error *error);

// Counts in a profile's text: nodes whose provider's name begins with `provider`.
struct ort_share ort_share_count(const char *json, const char *provider);

#endif
