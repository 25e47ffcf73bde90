// The report of an evaluation, as a page that a person can read offline.
#ifndef SL_INFERENCE_REPORT_EVALUATION_H
#define SL_INFERENCE_REPORT_EVALUATION_H

#include "inference/evaluate_print.h"

// The thresholds that a report judges by, and where they come from.
struct report_thresholds {
    float values[SL_MAX_CLASSES];
    bool reached[SL_MAX_CLASSES];
    const char *wish; // as the user said it, or NULL: the model's own
};

// Writes `path`, whole or not at all. `worst` pictures are shown at most; `dataset` is the one that
// was evaluated.
int report_evaluation(const char *path, const struct comparison *comparison,
                      const struct sl_dataset *dataset, const struct report_thresholds *thresholds,
                      uint32_t worst, struct sl_error *error);

#endif
