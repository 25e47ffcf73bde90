// The GStreamer elements of the plug-in libgstsightline.so, also registered inside the daemon.
//
//   sightlinelinesrc     simulated boards (pipeline/line/board.h)
//   sightlinepicturesrc  JPEG pictures of a folder, with templates and truth where they are known
//   sightlinejpegdec     JPEG to grey or RGB; damage becomes an ERROR frame
//   sightlinedetect      runs a model on every frame and attaches what it found
#ifndef SL_PIPELINE_ELEMENTS_H
#define SL_PIPELINE_ELEMENTS_H

#include "accel/accel.h"
#include "inference/detect.h"

#include <gst/gst.h>

struct sl_served_settings;
struct sl_trial;

G_BEGIN_DECLS

GType sightline_line_src_get_type(void);
GType sightline_picture_src_get_type(void);
GType sightline_jpeg_dec_get_type(void);
GType sightline_detect_get_type(void);

// Registers all of them; `plugin` NULL registers them for this program only.
gboolean sightline_elements_register(GstPlugin *plugin);

// For the program that embeds sightlinedetect: what properties cannot say well. To be called before
// the element starts; everything is copied. Thresholds are by class name, checked at start.
void sightline_detect_set_threshold(GstElement *detect, const gchar *class_name, gfloat threshold);
// Detections are reported from this score on where their class's threshold is higher.
void sightline_detect_set_floor(GstElement *detect, gfloat floor);
void sightline_detect_add_mask(GstElement *detect, const gfloat (*points)[2], guint count);

// From any thread; FALSE while no model is loaded. The model's reference is the caller's to drop.
gboolean sightline_detect_get_status(GstElement *detect, struct sl_accel_status *out);
const struct sl_model *sightline_detect_get_model(GstElement *detect);

// For who changes models while it runs (pipeline/trial.h); both live as long as the element.
struct sl_trial *sightline_detect_get_trial(GstElement *detect);
const struct sl_served_settings *sightline_detect_get_settings(GstElement *detect);

G_END_DECLS

#endif
