// Sources: each kind of camera as a GStreamer bin with one source pad.
#ifndef SL_PIPELINE_SOURCE_H
#define SL_PIPELINE_SOURCE_H

#include "config/camera.h"

#include <gst/gst.h>

// A new bin, floating. What the camera changed of the wanted controls goes into `remarks`.
GstElement *sl_source_bin_new(const struct sl_config_source *source, GString *remarks,
                              GError **error);

// Where the pictures come from, for people: a device, a folder, "simulated line".
const gchar *sl_source_place(const struct sl_config_source *source);

// Nanoseconds between frames, 0 if not known.
gint64 sl_source_period_ns(const struct sl_config_source *source);

// TRUE if the end of the stream is the end of the job, not a lost camera.
gboolean sl_source_ends(const struct sl_config_source *source);

#endif
