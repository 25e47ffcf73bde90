// Pictures of a camera for people: of parts, as evidence, and a preview while somebody looks.
//
// The frame path only copies a frame into a slot that is there already; a thread of the camera's
// own, at a lower priority, makes JPEG of it and hands it out. There are SL_PICTURES_SLOTS slots; a
// picture that finds none free is left out and counted: it never waits. A preview leaves half of
// them to parts. Slots get their memory with the first frame of a size.
//
// All functions but new and free: any thread, one at a time (the camera's lock).
#ifndef SL_PIPELINE_PICTURES_H
#define SL_PIPELINE_PICTURES_H

#include "config/camera.h"
#include "mqtt/verdict.h"

#include <gst/gst.h>

#define SL_PICTURES_SLOTS     6
#define SL_PICTURES_MAX_BYTES 100000u // of a JPEG
#define SL_PICTURES_MAX_SIDE  1280u   // pixels; larger frames are averaged down

enum sl_picture_kind { SL_PICTURE_PART = 1, SL_PICTURE_SNAPSHOT, SL_PICTURE_PREVIEW };

struct sl_picture_out {
    enum sl_picture_kind kind;
    char crop[24];    // its name; of a preview: empty
    char part_id[64]; // of a snapshot and a preview: empty
    uint32_t result;  // enum sl_result, 0 where there is none
    gint64 ts_ms;     // UTC
    const void *jpeg; // valid during the call
    gsize size;
};

// On the pictures' own thread.
typedef void (*sl_pictures_sink)(void *ctx, const struct sl_picture_out *picture);

struct sl_pictures_stats {
    guint64 encoded, dropped, failed; // dropped: no slot was free
    gdouble encode_ms;                // of the last
};

struct sl_pictures;

// `config` is copied.
struct sl_pictures *sl_pictures_new(const struct sl_config_evidence *config, sl_pictures_sink sink,
                                    void *ctx);
void sl_pictures_free(struct sl_pictures *pictures); // hands out what is copied; NULL is fine

// A frame, its format in `caps`. sl_pictures_keep holds it for the part that is open, whose first
// bad frame it is. sl_pictures_part: the part is judged (`buffer` NULL: not by a frame); if its
// picture is wanted, names it in verdict->crop. sl_pictures_frame: every frame passes here.
void sl_pictures_keep(struct sl_pictures *pictures, GstBuffer *buffer, GstCaps *caps);
void sl_pictures_part(struct sl_pictures *pictures, GstBuffer *buffer, GstCaps *caps,
                      struct sl_verdict *verdict);
void sl_pictures_frame(struct sl_pictures *pictures, GstBuffer *buffer, GstCaps *caps,
                       gint64 now_ns);

// The next frame is handed out under the name that is written to `crop`.
void sl_pictures_snapshot(struct sl_pictures *pictures, char crop[24]);
// `rate` pictures per second for so long. The fastest and the longest wish holds.
void sl_pictures_preview(struct sl_pictures *pictures, gdouble rate, gint64 until_ns);

void sl_pictures_get_stats(struct sl_pictures *pictures, struct sl_pictures_stats *out);

#endif
