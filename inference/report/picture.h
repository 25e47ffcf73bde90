// A picture in a page, with boxes over it.
#ifndef SL_INFERENCE_REPORT_PICTURE_H
#define SL_INFERENCE_REPORT_PICTURE_H

#include "inference/metrics_view.h"
#include "inference/model.h"

#include <stdio.h>

// Adds the JPEG file `path`, made smaller if it is large, with the boxes of `marked` (pixels of the
// whole picture) as vectors over it: green what was hit, red false alarms, yellow dashed what was
// missed. `what` is the description for those who do not see it.
int report_picture(FILE *out, const char *path, const struct sl_class *classes,
                   const struct sl_marked *marked, uint32_t count, const char *what,
                   struct sl_error *error);

#endif
