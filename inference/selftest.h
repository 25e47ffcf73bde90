// The golden self-test: a model finds on its golden pictures what its author found.
#ifndef SL_INFERENCE_SELFTEST_H
#define SL_INFERENCE_SELFTEST_H

#include "inference/detect.h"

// Boxes may differ by this overlap and scores by this much: other back ends round differently.
#define SL_GOLDEN_OVERLAP 0.8f
#define SL_GOLDEN_SCORE   0.05f

struct sl_golden_limits {
    float overlap, score;
};

// Runs every golden picture through the detector. 0: every expected detection was found and nothing
// else. -EILSEQ: the message names the picture and the first difference. The detector's reference
// is left as the last golden picture's. `limits` NULL: those above.
int sl_model_selftest(struct sl_detector *detector, const struct sl_golden_limits *limits,
                      struct sl_error *error);

#endif
