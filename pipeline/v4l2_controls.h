// Camera controls by name: set, and read back what the driver made of them.
#ifndef SL_PIPELINE_V4L2_CONTROLS_H
#define SL_PIPELINE_V4L2_CONTROLS_H

#include "config/camera.h"

#include <glib.h>

// Names are the driver's in lower case with _ for everything else, as v4l2-ctl shows them. Returns
// FALSE only if the device cannot be opened or a control cannot be set; a value that the driver
// changed is put into `remarks`, one line each.
gboolean sl_v4l2_controls_apply(const struct sl_config_v4l2 *v4l2, GString *remarks,
                                GError **error);

#endif
