// A model made ready for one camera: loaded, with the camera's thresholds, masks and reference.
#ifndef SL_PIPELINE_SERVED_H
#define SL_PIPELINE_SERVED_H

#include "inference/detect.h"
#include "inference/picture.h"
#include "pipeline/meta.h"

#include <glib.h>

// What a camera asks of whichever model serves. Owns its contents.
struct sl_served_settings {
    gchar *backend,
        *reference_path; // reference_path NULL: parts bring their own, or none is needed
    GArray *thresholds, *masks;
    gfloat floor; // detections are reported from here on where their threshold is higher; 1: never
};

void sl_served_settings_init(struct sl_served_settings *settings);
void sl_served_settings_clear(struct sl_served_settings *settings);
void sl_served_settings_threshold(struct sl_served_settings *settings, const gchar *class_name,
                                  gfloat value);
void sl_served_settings_mask(struct sl_served_settings *settings, const gfloat (*points)[2],
                             guint count);

// One thread at a time.
struct sl_served {
    const struct sl_served_settings *settings;
    const struct sl_model *model;
    struct sl_detector *detector;
    gfloat thresholds[SL_MAX_CLASSES]; // of its classes: the camera's, or else the model's own
    struct sl_jpeg *jpeg;
    guint8 *reference; // decoded
    gsize reference_capacity;
    guint reference_serial; // of the part's own reference, 0: the recipe's is set
    int reference_status;
    gchar reference_message[200];
};

// Takes over the source. Refused: a threshold for a class that the model does not have, a reference
// that cannot be read. `settings` must outlive what is made.
int sl_served_new(struct sl_model_source *source, const struct sl_served_settings *settings,
                  struct sl_served **out, struct sl_error *error);
void sl_served_free(struct sl_served *served); // NULL is fine

// Whether `next` may take the place of `now` in a running camera: the same classes in the same
// order, because verdicts name them, and the same kind of picture. -EINVAL says what differs.
int sl_served_fits(const struct sl_served *now, const struct sl_served *next,
                   struct sl_error *error);

// Whether the detection counts, or only lies above the settings' floor.
gboolean sl_served_counts(const struct sl_served *served, const struct sl_detection *detection);

// Sees to it that the reference is that of part `serial` (0: the recipe's). A part may bring its
// own; it is prepared once for as long as it stays the same. `reference` is its JPEG picture.
int sl_served_reference(struct sl_served *served, guint serial, GstBuffer *reference,
                        struct sl_error *error);

#endif
