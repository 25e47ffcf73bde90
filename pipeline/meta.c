// The two metas: registration with GStreamer, clearing, copying.
#include "pipeline/meta.h"

#include <string.h>

GType sightline_part_meta_api_get_type(void)
{
    static gsize type;
    static const gchar *tags[] = {NULL};
    if (g_once_init_enter(&type))
        g_once_init_leave(&type, gst_meta_api_type_register("SightlinePartMetaAPI", tags));
    return (GType)type;
}

GType sightline_inspection_meta_api_get_type(void)
{
    static gsize type;
    static const gchar *tags[] = {NULL};
    if (g_once_init_enter(&type))
        g_once_init_leave(&type, gst_meta_api_type_register("SightlineInspectionMetaAPI", tags));
    return (GType)type;
}

// Everything behind the GstMeta header.
static void clear(GstMeta *meta, gsize size)
{
    memset((guint8 *)meta + sizeof(GstMeta), 0, size - sizeof(GstMeta));
}

static gboolean part_init(GstMeta *meta, gpointer params, GstBuffer *buffer)
{
    (void)params;
    (void)buffer;
    clear(meta, sizeof(SightlinePartMeta));
    ((SightlinePartMeta *)meta)->n_truth = -1;
    return TRUE;
}

static void part_free(GstMeta *meta, GstBuffer *buffer)
{
    (void)buffer;
    gst_clear_buffer(&((SightlinePartMeta *)meta)->reference);
}

static gboolean part_transform(GstBuffer *to, GstMeta *meta, GstBuffer *from, GQuark type,
                               gpointer data)
{
    const SightlinePartMeta *src = (const SightlinePartMeta *)meta;
    (void)from;
    (void)data;
    if (!GST_META_TRANSFORM_IS_COPY(type))
        return FALSE;
    sightline_part_meta_copy(src, sightline_buffer_add_part_meta(to));
    return TRUE;
}

void sightline_part_meta_copy(const SightlinePartMeta *from, SightlinePartMeta *to)
{
    gst_buffer_replace(&to->reference, from->reference);
    memcpy(to->part_id, from->part_id, sizeof(to->part_id));
    to->capture_ns = from->capture_ns;
    to->reference_serial = from->reference_serial;
    to->n_truth = from->n_truth;
    memcpy(to->truth, from->truth, sizeof(to->truth));
}

static gboolean inspection_init(GstMeta *meta, gpointer params, GstBuffer *buffer)
{
    (void)params;
    (void)buffer;
    clear(meta, sizeof(SightlineInspectionMeta));
    return TRUE;
}

static gboolean inspection_transform(GstBuffer *to, GstMeta *meta, GstBuffer *from, GQuark type,
                                     gpointer data)
{
    (void)from;
    (void)data;
    if (!GST_META_TRANSFORM_IS_COPY(type))
        return FALSE;
    SightlineInspectionMeta *copy = sightline_buffer_add_inspection_meta(to);
    memcpy((guint8 *)copy + sizeof(GstMeta), (guint8 *)meta + sizeof(GstMeta),
           sizeof(*copy) - sizeof(GstMeta));
    return TRUE;
}

const GstMetaInfo *sightline_part_meta_get_info(void)
{
    static gsize info;
    if (g_once_init_enter(&info))
        g_once_init_leave(&info,
                          (gsize)gst_meta_register(sightline_part_meta_api_get_type(),
                                                   "SightlinePartMeta", sizeof(SightlinePartMeta),
                                                   part_init, part_free, part_transform));
    return (const GstMetaInfo *)info;
}

const GstMetaInfo *sightline_inspection_meta_get_info(void)
{
    static gsize info;
    if (g_once_init_enter(&info))
        g_once_init_leave(&info, (gsize)gst_meta_register(
                                     sightline_inspection_meta_api_get_type(),
                                     "SightlineInspectionMeta", sizeof(SightlineInspectionMeta),
                                     inspection_init, NULL, inspection_transform));
    return (const GstMetaInfo *)info;
}

// A meta that is marked as pooled stays with the buffer when a pool takes it back, so it is found
// again and only cleared.
SightlinePartMeta *sightline_buffer_add_part_meta(GstBuffer *buffer)
{
    SightlinePartMeta *meta = sightline_buffer_get_part_meta(buffer);
    if (!meta) {
        meta =
            (SightlinePartMeta *)gst_buffer_add_meta(buffer, sightline_part_meta_get_info(), NULL);
        GST_META_FLAG_SET(meta, GST_META_FLAG_POOLED);
        return meta;
    }
    gst_clear_buffer(&meta->reference);
    part_init(&meta->meta, NULL, buffer);
    return meta;
}

SightlineInspectionMeta *sightline_buffer_add_inspection_meta(GstBuffer *buffer)
{
    SightlineInspectionMeta *meta = sightline_buffer_get_inspection_meta(buffer);
    if (!meta) {
        meta = (SightlineInspectionMeta *)gst_buffer_add_meta(
            buffer, sightline_inspection_meta_get_info(), NULL);
        GST_META_FLAG_SET(meta, GST_META_FLAG_POOLED);
        return meta;
    }
    clear(&meta->meta, sizeof(*meta));
    return meta;
}
