// The site's must-detect pictures: a new model may miss what the old one misses, and nothing else.
#ifndef SL_PIPELINE_MUST_DETECT_H
#define SL_PIPELINE_MUST_DETECT_H

#include "inference/model.h"

// Runs both over the pictures in `folder` (inference/dataset.h) on `backend`. `before` NULL:
// nothing serves, and every object must be found; so too, with a line on stderr, where it cannot be
// run. -EILSEQ: the message says how many are missed newly, and in which picture the first.
// -ESTALE: the labels changed meanwhile.
int sl_must_detect(const struct sl_model *model, const struct sl_model *before, const char *folder,
                   const char *backend, struct sl_error *error);

#endif
