// Building source bins from the configuration: one row per kind.
#include "pipeline/source.h"

#include "pipeline/v4l2_controls.h"

struct kind {
    GstElement *(*make)(const struct sl_config_source *source, GString *remarks, GError **error);
    const gchar *(*place)(const struct sl_config_source *source);
    gdouble (*rate)(const struct sl_config_source *source);
};

static GstElement *make_element(const gchar *factory, GError **error)
{
    GstElement *element = gst_element_factory_make(factory, NULL);
    if (!element)
        g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                    "GStreamer element '%s' is not installed", factory);
    return element;
}

// element ! caps, with the caps filter's pad outside.
static GstElement *with_caps(GstElement *element, GstCaps *caps, GError **error)
{
    GstElement *bin = gst_bin_new(NULL), *filter = make_element("capsfilter", error);
    gst_bin_add(GST_BIN(bin), element);
    if (!filter) {
        gst_object_unref(gst_object_ref_sink(bin));
        gst_caps_unref(caps);
        return NULL;
    }
    g_object_set(filter, "caps", caps, NULL);
    gst_caps_unref(caps);
    gst_bin_add(GST_BIN(bin), filter);
    gst_element_link(element, filter);
    g_autoptr(GstPad) pad = gst_element_get_static_pad(filter, "src");
    gst_element_add_pad(bin, gst_ghost_pad_new("src", pad));
    return bin;
}

static GstCaps *frame_caps(guint format, guint width, guint height, gdouble rate)
{
    static const gchar *const raw[] = {
        [SL_FORMAT_YUYV] = "YUY2", [SL_FORMAT_GREY] = "GRAY8", [SL_FORMAT_NV12] = "NV12"};
    gint n, d;
    GstCaps *caps =
        format == SL_FORMAT_MJPEG
            ? gst_caps_new_empty_simple("image/jpeg")
            : gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, raw[format], NULL);
    gst_caps_set_simple(caps, "width", G_TYPE_INT, (gint)width, "height", G_TYPE_INT, (gint)height,
                        NULL);
    if (rate > 0) {
        gst_util_double_to_fraction(rate, &n, &d);
        gst_caps_set_simple(caps, "framerate", GST_TYPE_FRACTION, n, d, NULL);
    }
    return caps;
}

static GstElement *make_v4l2(const struct sl_config_source *source, GString *remarks,
                             GError **error)
{
    const struct sl_config_v4l2 *c = source->v4l2;
    if (!sl_v4l2_controls_apply(c, remarks, error))
        return NULL;
    GstElement *element = make_element("v4l2src", error);
    if (!element)
        return NULL;
    g_object_set(element, "device", c->device, NULL);
    return with_caps(element, frame_caps(c->format, c->width, c->height, c->rate), error);
}

static GstElement *make_pictures(const struct sl_config_source *source, GString *remarks,
                                 GError **error)
{
    GstElement *bin, *element = make_element("sightlinepicturesrc", error);
    (void)remarks;
    if (!element)
        return NULL;
    g_object_set(element, "location", source->pictures->directory, "rate", source->pictures->rate,
                 "loop", source->pictures->loop, NULL);
    bin = with_caps(element, gst_caps_new_empty_simple("image/jpeg"), error);
    return bin;
}

static GstElement *make_line(const struct sl_config_source *source, GString *remarks,
                             GError **error)
{
    const struct sl_config_line *c = source->line;
    GstElement *element = make_element("sightlinelinesrc", error);
    (void)remarks;
    if (!element)
        return NULL;
    g_object_set(element, "product-seed", c->product_seed, "seed", c->seed, "defect-rate",
                 c->defect_rate, "blur", c->blur_px, "noise", c->noise, "light", c->light, "shift",
                 c->shift_px, "rotation", c->rotation_deg, NULL);
    return with_caps(element, frame_caps(c->format, c->width, c->height, c->rate), error);
}

static GstElement *make_custom(const struct sl_config_source *source, GString *remarks,
                               GError **error)
{
    (void)remarks;
    return gst_parse_bin_from_description(source->custom->launch, TRUE, error);
}

static const gchar *v4l2_place(const struct sl_config_source *source)
{
    return source->v4l2->device;
}

static const gchar *pictures_place(const struct sl_config_source *source)
{
    return source->pictures->directory;
}

static const gchar *line_place(const struct sl_config_source *source)
{
    (void)source;
    return "simulated line";
}

static const gchar *custom_place(const struct sl_config_source *source)
{
    return source->custom->launch;
}

static gdouble v4l2_rate(const struct sl_config_source *source)
{
    return source->v4l2->rate;
}

static gdouble pictures_rate(const struct sl_config_source *source)
{
    return source->pictures->rate;
}

static gdouble line_rate(const struct sl_config_source *source)
{
    return source->line->rate;
}

static gdouble custom_rate(const struct sl_config_source *source)
{
    (void)source;
    return 0;
}

static const struct kind kinds[] = {
    [SL_SOURCE_V4L2] = {make_v4l2, v4l2_place, v4l2_rate},
    [SL_SOURCE_PICTURES] = {make_pictures, pictures_place, pictures_rate},
    [SL_SOURCE_LINE] = {make_line, line_place, line_rate},
    [SL_SOURCE_CUSTOM] = {make_custom, custom_place, custom_rate},
};

GstElement *sl_source_bin_new(const struct sl_config_source *source, GString *remarks,
                              GError **error)
{
    return kinds[source->type].make(source, remarks, error);
}

const gchar *sl_source_place(const struct sl_config_source *source)
{
    return kinds[source->type].place(source);
}

gint64 sl_source_period_ns(const struct sl_config_source *source)
{
    const gdouble rate = kinds[source->type].rate(source);
    return rate > 0 ? (gint64)(1e9 / rate) : 0;
}

gboolean sl_source_ends(const struct sl_config_source *source)
{
    return source->type == SL_SOURCE_PICTURES && !source->pictures->loop;
}
