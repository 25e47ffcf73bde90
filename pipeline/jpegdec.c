// sightlinejpegdec: JPEG to grey or RGB planes; a damaged picture becomes an ERROR frame. Raw
// pictures pass untouched, so that one pipeline serves every camera.
#include "pipeline/elements.h"

#include "inference/picture.h"
#include "pipeline/meta.h"

#include <errno.h>
#include <gst/video/video.h>
#include <stdio.h>
#include <string.h>

#define SIGHTLINE_TYPE_JPEG_DEC (sightline_jpeg_dec_get_type())
G_DECLARE_FINAL_TYPE(SightlineJpegDec, sightline_jpeg_dec, SIGHTLINE, JPEG_DEC, GstElement)

struct _SightlineJpegDec {
    GstElement parent;
    GstPad *sinkpad, *srcpad;
    guint scale;
    guint region[4]; // x, y, width, height in pixels of the full picture
    struct sl_jpeg *jpeg;
    GstVideoInfo info; // of what goes out
    GstBufferPool *pool;
    gboolean negotiated;
    gboolean raw; // what comes in is no JPEG
    gint fps_n, fps_d;
    GstEvent *segment; // waits for the caps, which must go first
};

G_DEFINE_TYPE(SightlineJpegDec, sightline_jpeg_dec, GST_TYPE_ELEMENT)

enum { PROP_SCALE = 1, PROP_REGION };

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS("image/jpeg; video/x-raw"));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS("video/x-raw"));

static gint64 now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    SightlineJpegDec *self = SIGHTLINE_JPEG_DEC(object);
    (void)spec;
    if (id == PROP_SCALE) {
        self->scale = g_value_get_uint(value);
        return;
    }
    guint r[4] = {0};
    const gchar *text = g_value_get_string(value);
    if (text && sscanf(text, "%u,%u,%u,%u", &r[0], &r[1], &r[2], &r[3]) != 4)
        g_warning("sightlinejpegdec: region: expected x,y,width,height, found '%s'", text);
    else
        memcpy(self->region, r, sizeof(r));
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    SightlineJpegDec *self = SIGHTLINE_JPEG_DEC(object);
    (void)spec;
    if (id == PROP_SCALE)
        g_value_set_uint(value, self->scale);
    else
        g_value_take_string(value, g_strdup_printf("%u,%u,%u,%u", self->region[0], self->region[1],
                                                   self->region[2], self->region[3]));
}

static void drop_pool(SightlineJpegDec *self)
{
    if (self->pool)
        gst_buffer_pool_set_active(self->pool, FALSE);
    gst_clear_object(&self->pool);
    self->negotiated = FALSE;
}

static gboolean make_pool(SightlineJpegDec *self, GstCaps *caps)
{
    drop_pool(self);
    self->pool = gst_video_buffer_pool_new();
    GstStructure *config = gst_buffer_pool_get_config(self->pool);
    gst_buffer_pool_config_set_params(config, caps, (guint)GST_VIDEO_INFO_SIZE(&self->info), 3, 0);
    return gst_buffer_pool_set_config(self->pool, config) &&
           gst_buffer_pool_set_active(self->pool, TRUE);
}

// Sets the caps for pictures of this size, in the format that downstream likes best.
static gboolean negotiate(SightlineJpegDec *self, guint width, guint height)
{
    if (self->negotiated && width == (guint)GST_VIDEO_INFO_WIDTH(&self->info) &&
        height == (guint)GST_VIDEO_INFO_HEIGHT(&self->info) &&
        !gst_pad_check_reconfigure(self->srcpad))
        return TRUE;
    g_autoptr(GstCaps) ours = gst_caps_from_string(GST_VIDEO_CAPS_MAKE("{ GRAY8, RGB }"));
    g_autoptr(GstCaps) theirs = gst_pad_peer_query_caps(self->srcpad, ours);
    if (gst_caps_is_empty(theirs))
        return FALSE;
    g_autoptr(GstCaps) caps = gst_caps_truncate(gst_caps_copy(theirs));
    gst_caps_set_simple(caps, "width", G_TYPE_INT, (gint)width, "height", G_TYPE_INT, (gint)height,
                        "framerate", GST_TYPE_FRACTION, self->fps_n, self->fps_d, NULL);
    caps = gst_caps_fixate(g_steal_pointer(&caps));
    self->negotiated = gst_video_info_from_caps(&self->info, caps) &&
                       gst_pad_set_caps(self->srcpad, caps) && make_pool(self, caps);
    if (self->negotiated && self->segment)
        gst_pad_push_event(self->srcpad, g_steal_pointer(&self->segment));
    return self->negotiated;
}

static guint scaled(guint full, guint scale)
{
    return (full + scale - 1) / scale;
}

static int output_size(SightlineJpegDec *self, const GstMapInfo *map, guint *width, guint *height,
                       struct sl_error *error)
{
    const int status = sl_jpeg_size(self->jpeg, map->data, map->size, width, height, error);
    if (status < 0)
        return status;
    if (self->region[2]) {
        *width = self->region[2];
        *height = self->region[3];
    }
    *width = scaled(*width, self->scale);
    *height = scaled(*height, self->scale);
    return 0;
}

static int decode(SightlineJpegDec *self, const GstMapInfo *in, GstBuffer *out,
                  struct sl_error *error)
{
    const gboolean grey = GST_VIDEO_INFO_FORMAT(&self->info) == GST_VIDEO_FORMAT_GRAY8;
    const struct sl_jpeg_request request = {.pixels = grey ? SL_PIXELS_GREY : SL_PIXELS_RGB,
                                            .scale = self->scale,
                                            .x = self->region[0],
                                            .y = self->region[1],
                                            .width = self->region[2],
                                            .height = self->region[3]};
    struct sl_picture picture;
    GstMapInfo map;
    if (!gst_buffer_map(out, &map, GST_MAP_WRITE))
        return sl_error_set(error, -EIO, "cannot map the output buffer");
    const int status = sl_jpeg_decode(self->jpeg, in->data, in->size, &request, map.data,
                                      (guint)GST_VIDEO_INFO_PLANE_STRIDE(&self->info, 0), map.size,
                                      &picture, error);
    gst_buffer_unmap(out, &map);
    return status;
}

static void copy_head(GstBuffer *from, GstBuffer *to, gint64 arrival)
{
    const SightlinePartMeta *part = sightline_buffer_get_part_meta(from);
    SightlineInspectionMeta *inspection = sightline_buffer_add_inspection_meta(to);
    GST_BUFFER_PTS(to) = GST_BUFFER_PTS(from);
    GST_BUFFER_DURATION(to) = GST_BUFFER_DURATION(from);
    GST_BUFFER_OFFSET(to) = GST_BUFFER_OFFSET(from);
    gst_buffer_unset_flags(to, GST_BUFFER_FLAG_GAP);
    if (part)
        sightline_part_meta_copy(part, sightline_buffer_add_part_meta(to));
    else if (sightline_buffer_get_part_meta(to))
        sightline_buffer_add_part_meta(to); // clears what the pool kept
    inspection->arrival_ns = arrival;
}

// The picture cannot be judged; the frame still goes on, so that its part gets a verdict.
static void mark(GstBuffer *buffer, int status, const char *message)
{
    SightlineInspectionMeta *inspection = sightline_buffer_get_inspection_meta(buffer);
    GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_GAP);
    inspection->status = status;
    g_snprintf(inspection->message, sizeof(inspection->message), "picture: %s", message);
}

static GstFlowReturn decode_frame(SightlineJpegDec *self, GstBuffer *in, const GstMapInfo *map,
                                  gint64 arrival, GstBuffer **out)
{
    struct sl_error error = {""};
    guint width = 0, height = 0;
    int status = output_size(self, map, &width, &height, &error);
    if (status < 0) { // any size will do for a picture that is not there
        width = self->negotiated ? (guint)GST_VIDEO_INFO_WIDTH(&self->info) : 16;
        height = self->negotiated ? (guint)GST_VIDEO_INFO_HEIGHT(&self->info) : 16;
    }
    if (!negotiate(self, width, height))
        return GST_FLOW_NOT_NEGOTIATED;
    const GstFlowReturn flow = gst_buffer_pool_acquire_buffer(self->pool, out, NULL);
    if (flow != GST_FLOW_OK)
        return flow;
    copy_head(in, *out, arrival);
    if (status == 0)
        status = decode(self, map, *out, &error);
    if (status < 0)
        mark(*out, status, error.message);
    sightline_buffer_get_inspection_meta(*out)->decoded_ns = now_ns();
    return GST_FLOW_OK;
}

static GstFlowReturn chain(GstPad *pad, GstObject *parent, GstBuffer *in)
{
    SightlineJpegDec *self = SIGHTLINE_JPEG_DEC(parent);
    const gint64 arrival = now_ns();
    GstBuffer *out = NULL;
    GstMapInfo map;
    GstFlowReturn flow = GST_FLOW_ERROR;
    (void)pad;
    if (self->raw)
        return gst_pad_push(self->srcpad, in);
    if (gst_buffer_map(in, &map, GST_MAP_READ)) {
        flow = decode_frame(self, in, &map, arrival, &out);
        gst_buffer_unmap(in, &map);
    }
    gst_buffer_unref(in);
    return flow == GST_FLOW_OK ? gst_pad_push(self->srcpad, out) : flow;
}

// What can come in: JPEG, or what downstream takes as it is.
static gboolean sink_query(GstPad *pad, GstObject *parent, GstQuery *query)
{
    SightlineJpegDec *self = SIGHTLINE_JPEG_DEC(parent);
    if (GST_QUERY_TYPE(query) != GST_QUERY_CAPS)
        return gst_pad_query_default(pad, parent, query);
    g_autoptr(GstCaps) caps = gst_caps_from_string("image/jpeg");
    caps = gst_caps_merge(g_steal_pointer(&caps), gst_pad_peer_query_caps(self->srcpad, NULL));
    GstCaps *filter;
    gst_query_parse_caps(query, &filter);
    if (filter) {
        GstCaps *narrowed = gst_caps_intersect_full(filter, caps, GST_CAPS_INTERSECT_FIRST);
        gst_caps_unref(caps);
        caps = narrowed;
    }
    gst_query_set_caps_result(query, caps);
    return TRUE;
}

// JPEG's caps go downstream when the first picture tells its size.
static gboolean sink_event(GstPad *pad, GstObject *parent, GstEvent *event)
{
    SightlineJpegDec *self = SIGHTLINE_JPEG_DEC(parent);
    if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT && !self->raw) {
        gst_event_take(&self->segment, event);
        if (self->negotiated)
            gst_pad_push_event(self->srcpad, g_steal_pointer(&self->segment));
        return TRUE;
    }
    if (GST_EVENT_TYPE(event) != GST_EVENT_CAPS)
        return gst_pad_event_default(pad, parent, event);
    GstCaps *caps;
    gst_event_parse_caps(event, &caps);
    self->fps_n = 0;
    self->fps_d = 1;
    gst_structure_get_fraction(gst_caps_get_structure(caps, 0), "framerate", &self->fps_n,
                               &self->fps_d);
    drop_pool(self);
    self->raw = !gst_structure_has_name(gst_caps_get_structure(caps, 0), "image/jpeg");
    if (self->raw)
        return gst_pad_push_event(self->srcpad, event);
    gst_event_unref(event);
    return TRUE;
}

static GstStateChangeReturn change_state(GstElement *element, GstStateChange transition)
{
    SightlineJpegDec *self = SIGHTLINE_JPEG_DEC(element);
    struct sl_error error = {""};
    if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && sl_jpeg_new(&self->jpeg, &error) < 0) {
        GST_ELEMENT_ERROR(self, RESOURCE, FAILED, ("%s", error.message), (NULL));
        return GST_STATE_CHANGE_FAILURE;
    }
    const GstStateChangeReturn result =
        GST_ELEMENT_CLASS(sightline_jpeg_dec_parent_class)->change_state(element, transition);
    if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
        drop_pool(self);
        gst_clear_event(&self->segment);
        sl_jpeg_free(self->jpeg);
        self->jpeg = NULL;
    }
    return result;
}

static void sightline_jpeg_dec_init(SightlineJpegDec *self)
{
    self->scale = 1;
    self->fps_d = 1;
    self->sinkpad = gst_pad_new_from_static_template(&sink_template, "sink");
    gst_pad_set_chain_function(self->sinkpad, chain);
    gst_pad_set_event_function(self->sinkpad, sink_event);
    gst_pad_set_query_function(self->sinkpad, sink_query);
    gst_element_add_pad(GST_ELEMENT(self), self->sinkpad);
    self->srcpad = gst_pad_new_from_static_template(&src_template, "src");
    gst_pad_use_fixed_caps(self->srcpad);
    gst_element_add_pad(GST_ELEMENT(self), self->srcpad);
}

static void sightline_jpeg_dec_class_init(SightlineJpegDecClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    GstElementClass *element = GST_ELEMENT_CLASS(class);
    const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
    object->set_property = set_property;
    object->get_property = get_property;
    element->change_state = change_state;
    g_object_class_install_property(
        object, PROP_SCALE,
        g_param_spec_uint("scale", "scale", "Decode at 1/scale: 1, 2, 4 or 8", 1, 8, 1, flags));
    g_object_class_install_property(
        object, PROP_REGION,
        g_param_spec_string("region", "region",
                            "x,y,width,height in pixels of the full picture; empty: all of it",
                            NULL, flags));
    gst_element_class_add_static_pad_template(element, &sink_template);
    gst_element_class_add_static_pad_template(element, &src_template);
    gst_element_class_set_static_metadata(
        element, "JPEG decoder for inspection", "Codec/Decoder/Image",
        "Decodes only the planes, region and scale that are asked for", "Sightline");
}
