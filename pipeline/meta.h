// What travels with a GStreamer buffer.
//
// SightlinePartMeta: what the source knows about the part on the picture (id, reference, truth).
// SightlineInspectionMeta: what the detector found. Both are allocated by GStreamer with the buffer
// and reused with it; their variable parts are bounded arrays, so that the frame path allocates
// nothing once the pools are warm.
#ifndef SL_PIPELINE_META_H
#define SL_PIPELINE_META_H

#include "inference/detect.h"

#include <gst/gst.h>

G_BEGIN_DECLS

#define SL_PART_MAX_TRUTH 64

typedef struct {
    GstMeta meta;
    gchar part_id[64];
    gint64 capture_ns;      // CLOCK_MONOTONIC
    GstBuffer *reference;   // golden picture of this part, JPEG
    guint reference_serial; // changes when the reference does, so that nobody prepares it twice;
                            // 0: the recipe's is used. Without a picture: it could not be read
    gint n_truth;           // −1: not known
    struct sl_detection truth[SL_PART_MAX_TRUTH]; // score 1
} SightlinePartMeta;

typedef struct {
    GstMeta meta;
    gint status;        // 0, or the negative errno of decode or detection
    gchar message[256]; // why, if status is not 0
    gint64 arrival_ns;  // CLOCK_MONOTONIC, buffer at the first of our elements
    gint64 decoded_ns, done_ns;
    struct sl_detect_result result;
} SightlineInspectionMeta;

GType sightline_part_meta_api_get_type(void);
GType sightline_inspection_meta_api_get_type(void);
const GstMetaInfo *sightline_part_meta_get_info(void);
const GstMetaInfo *sightline_inspection_meta_get_info(void);

#define sightline_buffer_get_part_meta(b)                                                          \
    ((SightlinePartMeta *)gst_buffer_get_meta((b), sightline_part_meta_api_get_type()))
#define sightline_buffer_get_inspection_meta(b)                                                    \
    ((SightlineInspectionMeta *)gst_buffer_get_meta((b), sightline_inspection_meta_api_get_type()))

// Adds one, or gives back the one that is there, cleared.
SightlinePartMeta *sightline_buffer_add_part_meta(GstBuffer *buffer);
SightlineInspectionMeta *sightline_buffer_add_inspection_meta(GstBuffer *buffer);

// Copies all but the GstMeta header; takes a reference to the reference picture.
void sightline_part_meta_copy(const SightlinePartMeta *from, SightlinePartMeta *to);

G_END_DECLS

#endif
