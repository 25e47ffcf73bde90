// Pictures of a camera for people: slots that the frame path fills, and the thread that empties
// them.
#include "pipeline/pictures.h"

#include "inference/picture.h"
#include "pipeline/shrink.h"

#include <gst/video/video.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NICE = 5 };

enum slot_state { FREE, TAKEN, READY, BUSY }; // TAKEN: kept for the open part

struct slot {
    enum slot_state state;
    guint64 order;
    guint8 *bytes;
    gsize capacity;
    struct sl_picture picture; // in `bytes`
    struct sl_picture_out out;
};

struct sl_pictures {
    sl_pictures_sink sink;
    void *ctx;
    gdouble ok_share;
    GThread *thread;
    // Of the callers, one at a time.
    GstCaps *caps; // what `info` is of
    GstVideoInfo info;
    guint32 pixels; // enum sl_pixels; 0: nothing that is known
    gdouble ok_due; // share of a picture of an OK part that is due
    guint64 counter;
    char snapshot[24]; // empty: none is wanted
    gint64 preview_until_ns, preview_next_ns;
    gdouble preview_rate;
    // Both sides.
    GMutex lock;
    GCond wake;
    gboolean stopping;
    guint64 order;
    struct slot slots[SL_PICTURES_SLOTS];
    struct sl_pictures_stats stats;
    // Of the thread.
    guint8 *shrunk;
    gsize shrunk_capacity;
    uint8_t *jpeg;
    size_t jpeg_capacity;
};

// Sorted as they were taken, and none twice: milliseconds since 1970 and a counter.
static void make_name(struct sl_pictures *p, char crop[24])
{
    g_snprintf(crop, 24, "%011" G_GINT64_MODIFIER "x%04x", g_get_real_time() / 1000,
               (guint)(p->counter++ & 0xffff));
}

static const struct {
    GstVideoFormat format;
    guint32 pixels;
} formats[] = {
    {GST_VIDEO_FORMAT_GRAY8, SL_PIXELS_GREY}, {GST_VIDEO_FORMAT_NV12, SL_PIXELS_NV12},
    {GST_VIDEO_FORMAT_I420, SL_PIXELS_I420},  {GST_VIDEO_FORMAT_YUY2, SL_PIXELS_YUYV},
    {GST_VIDEO_FORMAT_RGB, SL_PIXELS_RGB},    {GST_VIDEO_FORMAT_BGR, SL_PIXELS_BGR},
    {GST_VIDEO_FORMAT_RGBx, SL_PIXELS_RGBX},  {GST_VIDEO_FORMAT_BGRx, SL_PIXELS_BGRX},
};

static gboolean know_format(struct sl_pictures *p, GstCaps *caps)
{
    if (caps == p->caps)
        return p->pixels != 0;
    gst_caps_replace(&p->caps, caps);
    p->pixels = 0;
    if (!caps || !gst_video_info_from_caps(&p->info, caps))
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].format == GST_VIDEO_INFO_FORMAT(&p->info))
            p->pixels = formats[i].pixels;
    return p->pixels != 0;
}

static struct slot *take_slot(struct sl_pictures *p, guint leave)
{
    struct slot *found = NULL;
    guint n_free = 0;
    g_mutex_lock(&p->lock);
    for (guint i = 0; i < SL_PICTURES_SLOTS; i++) {
        if (p->slots[i].state == FREE) {
            found = &p->slots[i];
            n_free++;
        }
    }
    if (n_free <= leave) {
        p->stats.dropped++;
        found = NULL;
    } else {
        found->state = TAKEN;
    }
    g_mutex_unlock(&p->lock);
    return found;
}

static void change_slot(struct sl_pictures *p, struct slot *slot, enum slot_state state)
{
    g_mutex_lock(&p->lock);
    slot->state = state;
    slot->order = ++p->order;
    g_cond_signal(&p->wake);
    g_mutex_unlock(&p->lock);
}

static gsize plane_size(const GstVideoFrame *frame, guint plane)
{
    return (gsize)GST_VIDEO_FRAME_PLANE_STRIDE(frame, plane) *
           (gsize)GST_VIDEO_FRAME_COMP_HEIGHT(frame, plane);
}

static void copy_planes(struct slot *slot, const GstVideoFrame *frame)
{
    gsize size = 0, used = 0;
    for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES(frame); i++)
        size += plane_size(frame, i);
    if (slot->capacity < size) {
        slot->bytes = g_realloc(slot->bytes, size);
        slot->capacity = size;
    }
    slot->picture.width = (guint)GST_VIDEO_FRAME_WIDTH(frame);
    slot->picture.height = (guint)GST_VIDEO_FRAME_HEIGHT(frame);
    for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES(frame); i++) {
        memcpy(slot->bytes + used, GST_VIDEO_FRAME_PLANE_DATA(frame, i), plane_size(frame, i));
        slot->picture.plane[i] = slot->bytes + used;
        slot->picture.stride[i] = (guint)GST_VIDEO_FRAME_PLANE_STRIDE(frame, i);
        used += plane_size(frame, i);
    }
}

static gboolean copy(struct slot *slot, GstBuffer *buffer, GstVideoInfo *info, guint32 pixels)
{
    GstVideoFrame frame;
    if (!gst_video_frame_map(&frame, info, buffer, GST_MAP_READ))
        return FALSE;
    slot->picture.pixels = pixels;
    copy_planes(slot, &frame);
    gst_video_frame_unmap(&frame);
    return TRUE;
}

// The frame in a slot of state TAKEN; NULL: none is free, or nobody could read it.
static struct slot *take(struct sl_pictures *p, GstBuffer *buffer, GstCaps *caps, guint leave)
{
    if (!buffer || !know_format(p, caps))
        return NULL;
    struct slot *slot = take_slot(p, leave);
    if (slot && !copy(slot, buffer, &p->info, p->pixels)) {
        change_slot(p, slot, FREE);
        return NULL;
    }
    if (slot)
        slot->out = (struct sl_picture_out){.ts_ms = g_get_real_time() / 1000};
    return slot;
}

static struct slot *kept(struct sl_pictures *p)
{
    for (guint i = 0; i < SL_PICTURES_SLOTS; i++)
        if (p->slots[i].state == TAKEN) // only the callers make it so, and unmake it
            return &p->slots[i];
    return NULL;
}

void sl_pictures_keep(struct sl_pictures *p, GstBuffer *buffer, GstCaps *caps)
{
    g_mutex_lock(&p->lock);
    const gboolean one = kept(p) != NULL;
    g_mutex_unlock(&p->lock);
    if (!one)
        take(p, buffer, caps, 0);
}

static gboolean is_wanted(struct sl_pictures *p, const struct sl_verdict *verdict)
{
    if (verdict->result != SL_RESULT_OK)
        return TRUE;
    p->ok_due += p->ok_share;
    if (p->ok_due < 1)
        return FALSE;
    p->ok_due -= 1;
    return TRUE;
}

void sl_pictures_part(struct sl_pictures *p, GstBuffer *buffer, GstCaps *caps,
                      struct sl_verdict *verdict)
{
    const gboolean wanted = is_wanted(p, verdict);
    g_mutex_lock(&p->lock);
    struct slot *slot = kept(p);
    g_mutex_unlock(&p->lock);
    if (!wanted) {
        if (slot)
            change_slot(p, slot, FREE);
        return;
    }
    slot = slot ? slot : take(p, buffer, caps, 0);
    if (!slot)
        return;
    slot->out.kind = SL_PICTURE_PART;
    slot->out.result = verdict->result;
    g_strlcpy(slot->out.part_id, verdict->part_id, sizeof(slot->out.part_id));
    make_name(p, slot->out.crop);
    g_strlcpy(verdict->crop, slot->out.crop, sizeof(verdict->crop));
    change_slot(p, slot, READY);
}

static void take_snapshot(struct sl_pictures *p, GstBuffer *buffer, GstCaps *caps)
{
    struct slot *slot = take(p, buffer, caps, 0);
    if (!slot)
        return; // the next frame, then
    slot->out.kind = SL_PICTURE_SNAPSHOT;
    memcpy(slot->out.crop, p->snapshot, sizeof(p->snapshot));
    p->snapshot[0] = '\0';
    change_slot(p, slot, READY);
}

void sl_pictures_frame(struct sl_pictures *p, GstBuffer *buffer, GstCaps *caps, gint64 now_ns)
{
    if (p->snapshot[0])
        take_snapshot(p, buffer, caps);
    if (now_ns >= p->preview_until_ns || now_ns < p->preview_next_ns)
        return;
    p->preview_next_ns = now_ns + (gint64)(1e9 / p->preview_rate);
    struct slot *slot = take(p, buffer, caps, SL_PICTURES_SLOTS / 2);
    if (!slot)
        return;
    slot->out.kind = SL_PICTURE_PREVIEW;
    change_slot(p, slot, READY);
}

void sl_pictures_snapshot(struct sl_pictures *p, char crop[24])
{
    if (!p->snapshot[0])
        make_name(p, p->snapshot);
    memcpy(crop, p->snapshot, sizeof(p->snapshot));
}

void sl_pictures_preview(struct sl_pictures *p, gdouble rate, gint64 until_ns)
{
    const gboolean running = g_get_monotonic_time() * 1000 < p->preview_until_ns;
    p->preview_rate = running ? MAX(p->preview_rate, rate) : rate;
    p->preview_until_ns = MAX(p->preview_until_ns, until_ns);
}

void sl_pictures_get_stats(struct sl_pictures *p, struct sl_pictures_stats *out)
{
    g_mutex_lock(&p->lock);
    *out = p->stats;
    g_mutex_unlock(&p->lock);
}

static void shrink(struct sl_pictures *p, const struct sl_picture *in, guint factor,
                   struct sl_picture *out)
{
    const gsize needed = sl_shrink_size(in, factor);
    if (p->shrunk_capacity < needed) {
        p->shrunk = g_realloc(p->shrunk, needed);
        p->shrunk_capacity = needed;
    }
    sl_shrink(in, factor, p->shrunk, out);
}

// As good as fits into the limit: first the quality gives, then the size.
static gboolean encode(struct sl_pictures *p, const struct sl_picture *in, gboolean preview,
                       gsize *size)
{
    static const int qualities[] = {85, 70, 50};
    const guint side = MAX(in->width, in->height), least = MIN(in->width, in->height);
    guint factor = MAX((side + SL_PICTURES_MAX_SIDE - 1) / SL_PICTURES_MAX_SIDE, 1);
    struct sl_error error = {0};
    for (; factor <= least; factor++) {
        struct sl_picture small = *in;
        if (factor > 1 || (in->pixels != SL_PIXELS_GREY && in->pixels != SL_PIXELS_RGB))
            shrink(p, in, factor, &small);
        for (guint q = preview ? 1 : 0; q < G_N_ELEMENTS(qualities); q++) {
            if (sl_jpeg_encode(&small, qualities[q], &p->jpeg, &p->jpeg_capacity, size, &error))
                return FALSE;
            if (*size <= SL_PICTURES_MAX_BYTES)
                return TRUE;
        }
    }
    return FALSE;
}

static void hand_out(struct sl_pictures *p, struct slot *slot)
{
    gsize size = 0;
    const gint64 begin = g_get_monotonic_time();
    const gboolean good = encode(p, &slot->picture, slot->out.kind == SL_PICTURE_PREVIEW, &size);
    const gdouble took_ms = (gdouble)(g_get_monotonic_time() - begin) / 1e3;
    if (good) {
        slot->out.jpeg = p->jpeg;
        slot->out.size = size;
        p->sink(p->ctx, &slot->out);
    }
    g_mutex_lock(&p->lock);
    p->stats.encoded += good ? 1 : 0;
    p->stats.failed += good ? 0 : 1;
    p->stats.encode_ms = took_ms;
    slot->state = FREE;
    g_mutex_unlock(&p->lock);
}

static struct slot *oldest_ready(struct sl_pictures *p)
{
    struct slot *oldest = NULL;
    for (guint i = 0; i < SL_PICTURES_SLOTS; i++) {
        struct slot *slot = &p->slots[i];
        if (slot->state == READY && (!oldest || slot->order < oldest->order))
            oldest = slot;
    }
    return oldest;
}

static gpointer run(gpointer data)
{
    struct sl_pictures *p = data;
    // Linux gives every thread a niceness of its own.
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    g_mutex_lock(&p->lock);
    for (;;) {
        struct slot *slot = oldest_ready(p);
        if (slot) {
            slot->state = BUSY;
            g_mutex_unlock(&p->lock);
            hand_out(p, slot);
            g_mutex_lock(&p->lock);
        } else if (p->stopping) {
            break;
        } else {
            g_cond_wait(&p->wake, &p->lock);
        }
    }
    g_mutex_unlock(&p->lock);
    return NULL;
}

struct sl_pictures *sl_pictures_new(const struct sl_config_evidence *config, sl_pictures_sink sink,
                                    void *ctx)
{
    struct sl_pictures *p = g_new0(struct sl_pictures, 1);
    p->sink = sink;
    p->ctx = ctx;
    p->ok_share = config->ok_share;
    g_mutex_init(&p->lock);
    g_cond_init(&p->wake);
    p->thread = g_thread_new("pictures", run, p);
    return p;
}

void sl_pictures_free(struct sl_pictures *p)
{
    if (!p)
        return;
    g_mutex_lock(&p->lock);
    p->stopping = TRUE;
    g_cond_signal(&p->wake);
    g_mutex_unlock(&p->lock);
    g_thread_join(p->thread);
    for (guint i = 0; i < SL_PICTURES_SLOTS; i++)
        g_free(p->slots[i].bytes);
    gst_caps_replace(&p->caps, NULL);
    g_free(p->shrunk);
    free(p->jpeg);
    g_mutex_clear(&p->lock);
    g_cond_clear(&p->wake);
    g_free(p);
}
