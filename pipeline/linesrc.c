// sightlinelinesrc: a live source of simulated boards.
#include "pipeline/elements.h"

#include "inference/picture.h"
#include "pipeline/line/board.h"
#include "pipeline/meta.h"

#include <gst/base/gstpushsrc.h>
#include <gst/video/video.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIGHTLINE_TYPE_LINE_SRC (sightline_line_src_get_type())
G_DECLARE_FINAL_TYPE(SightlineLineSrc, sightline_line_src, SIGHTLINE, LINE_SRC, GstPushSrc)

struct _SightlineLineSrc {
    GstPushSrc parent;
    guint product_seed, seed, quality;
    struct sl_line_params params;
    struct sl_line_product *product;
    GstBuffer *reference; // golden picture, JPEG
    GstVideoInfo info;
    gboolean jpeg;
    guint8 *pixels, *encoded;
    gsize encoded_capacity;
    guint64 part; // counts boards
};

G_DEFINE_TYPE(SightlineLineSrc, sightline_line_src, GST_TYPE_PUSH_SRC)

enum {
    PROP_PRODUCT_SEED = 1,
    PROP_SEED,
    PROP_QUALITY,
    PROP_MAX_DEFECTS,
    PROP_DEFECT_RATE,
    PROP_SHIFT,
    PROP_ROTATION,
    PROP_BLUR,
    PROP_NOISE,
    PROP_LIGHT,
};

#define CAPS_SIZE                                                                                  \
    "width = (int) [ 128, 4096 ], height = (int) [ 128, 4096 ], framerate = (fraction) [ 0/1, "    \
    "1000/1 ]"
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src", GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS("video/x-raw, format = (string) GRAY8, " CAPS_SIZE "; image/jpeg, " CAPS_SIZE));

// The property's place in the parameters, or NULL.
static double *parameter(SightlineLineSrc *self, guint id)
{
    switch (id) {
    case PROP_DEFECT_RATE:
        return &self->params.defect_rate;
    case PROP_SHIFT:
        return &self->params.shift_px;
    case PROP_ROTATION:
        return &self->params.rotation_deg;
    case PROP_BLUR:
        return &self->params.blur_px;
    case PROP_NOISE:
        return &self->params.noise;
    case PROP_LIGHT:
        return &self->params.light;
    default:
        return NULL;
    }
}

static guint *counted(SightlineLineSrc *self, guint id)
{
    switch (id) {
    case PROP_PRODUCT_SEED:
        return &self->product_seed;
    case PROP_SEED:
        return &self->seed;
    case PROP_QUALITY:
        return &self->quality;
    default:
        return &self->params.max_defects;
    }
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    SightlineLineSrc *self = SIGHTLINE_LINE_SRC(object);
    (void)spec;
    if (parameter(self, id))
        *parameter(self, id) = g_value_get_double(value);
    else
        *counted(self, id) = g_value_get_uint(value);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    SightlineLineSrc *self = SIGHTLINE_LINE_SRC(object);
    (void)spec;
    if (parameter(self, id))
        g_value_set_double(value, *parameter(self, id));
    else
        g_value_set_uint(value, *counted(self, id));
}

static gboolean encode(SightlineLineSrc *self, const guint8 *pixels, gsize *size)
{
    const guint width = (guint)GST_VIDEO_INFO_WIDTH(&self->info);
    const struct sl_picture picture = {
        SL_PIXELS_GREY, width, (guint)GST_VIDEO_INFO_HEIGHT(&self->info), {pixels}, {width}};
    struct sl_error error = {""};
    if (sl_jpeg_encode(&picture, (int)self->quality, &self->encoded, &self->encoded_capacity, size,
                       &error) == 0)
        return TRUE;
    GST_ELEMENT_ERROR(self, STREAM, ENCODE, ("%s", error.message), (NULL));
    return FALSE;
}

static void drop_product(SightlineLineSrc *self)
{
    sl_line_product_free(self->product);
    self->product = NULL;
    gst_clear_buffer(&self->reference);
    g_clear_pointer(&self->pixels, g_free);
}

static gboolean make_product(SightlineLineSrc *self)
{
    const guint width = (guint)GST_VIDEO_INFO_WIDTH(&self->info);
    const guint height = (guint)GST_VIDEO_INFO_HEIGHT(&self->info);
    const char *problem = sl_line_params_problem(&self->params);
    gsize size;
    drop_product(self);
    if (problem || sl_line_product_new(width, height, self->product_seed, &self->product) < 0) {
        GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS,
                          ("cannot make a board of %u x %u pixels%s%s", width, height,
                           problem ? ": out of range: " : "", problem ? problem : ""),
                          (NULL));
        return FALSE;
    }
    self->pixels = g_malloc((gsize)width * height);
    if (!encode(self, sl_line_product_picture(self->product), &size))
        return FALSE;
    self->reference = gst_buffer_new_memdup(self->encoded, size);
    return TRUE;
}

static gboolean set_caps(GstBaseSrc *base, GstCaps *caps)
{
    SightlineLineSrc *self = SIGHTLINE_LINE_SRC(base);
    const GstStructure *s = gst_caps_get_structure(caps, 0);
    gint width = 0, height = 0, fps_n = 0, fps_d = 1;
    self->jpeg = gst_structure_has_name(s, "image/jpeg");
    gst_structure_get_int(s, "width", &width);
    gst_structure_get_int(s, "height", &height);
    gst_structure_get_fraction(s, "framerate", &fps_n, &fps_d);
    if (width < 1 || height < 1 ||
        !gst_video_info_set_format(&self->info, GST_VIDEO_FORMAT_GRAY8, (guint)width,
                                   (guint)height))
        return FALSE;
    GST_VIDEO_INFO_FPS_N(&self->info) = fps_n;
    GST_VIDEO_INFO_FPS_D(&self->info) = fps_d;
    return make_product(self);
}

static GstCaps *fixate(GstBaseSrc *base, GstCaps *caps)
{
    caps = gst_caps_truncate(gst_caps_make_writable(caps));
    GstStructure *s = gst_caps_get_structure(caps, 0);
    gst_structure_fixate_field_nearest_int(s, "width", 640);
    gst_structure_fixate_field_nearest_int(s, "height", 640);
    gst_structure_fixate_field_nearest_fraction(s, "framerate", 10, 1);
    return GST_BASE_SRC_CLASS(sightline_line_src_parent_class)->fixate(base, caps);
}

// Buffers of one size, used again and again.
static gboolean decide_allocation(GstBaseSrc *base, GstQuery *query)
{
    SightlineLineSrc *self = SIGHTLINE_LINE_SRC(base);
    GstCaps *caps = NULL;
    g_autoptr(GstBufferPool) pool = gst_buffer_pool_new();
    GstStructure *config = gst_buffer_pool_get_config(pool);
    const guint size = (guint)GST_VIDEO_INFO_SIZE(&self->info) + 65536;
    gst_query_parse_allocation(query, &caps, NULL);
    gst_buffer_pool_config_set_params(config, caps, size, 4, 0);
    if (!gst_buffer_pool_set_config(pool, config))
        return FALSE;
    while (gst_query_get_n_allocation_pools(query) > 0)
        gst_query_remove_nth_allocation_pool(query, 0);
    gst_query_add_allocation_pool(query, pool, size, 4, 0);
    return TRUE;
}

static void stamp(SightlineLineSrc *self, GstBuffer *buffer)
{
    const gint n = GST_VIDEO_INFO_FPS_N(&self->info), d = GST_VIDEO_INFO_FPS_D(&self->info);
    GST_BUFFER_OFFSET(buffer) = self->part;
    if (n > 0) {
        GST_BUFFER_PTS(buffer) =
            gst_util_uint64_scale(self->part * GST_SECOND, (guint64)d, (guint64)n);
        GST_BUFFER_DURATION(buffer) = gst_util_uint64_scale(GST_SECOND, (guint64)d, (guint64)n);
    }
}

static void describe(SightlineLineSrc *self, GstBuffer *buffer, const struct sl_line_truth *truth)
{
    SightlinePartMeta *meta = sightline_buffer_add_part_meta(buffer);
    g_snprintf(meta->part_id, sizeof(meta->part_id), "board-%" G_GUINT64_FORMAT, self->part + 1);
    gst_buffer_replace(&meta->reference, self->reference);
    meta->reference_serial = self->product_seed + 1;
    meta->n_truth = (gint)truth->count;
    for (guint i = 0; i < truth->count; i++) {
        const struct sl_line_defect *d = &truth->defects[i];
        meta->truth[i] = (struct sl_detection){d->x1, d->y1, d->x2, d->y2, 1, d->class_id};
    }
}

static GstFlowReturn fill(GstPushSrc *push, GstBuffer *buffer)
{
    SightlineLineSrc *self = SIGHTLINE_LINE_SRC(push);
    const guint width = (guint)GST_VIDEO_INFO_WIDTH(&self->info);
    gsize size = (gsize)width * (guint)GST_VIDEO_INFO_HEIGHT(&self->info);
    struct sl_line_truth truth;
    sl_line_board_render(self->product, (guint64)self->seed << 32 | (self->part & 0xffffffff),
                         &self->params, self->pixels, width, &truth);
    if (self->jpeg && !encode(self, self->pixels, &size))
        return GST_FLOW_ERROR;
    gst_buffer_resize(buffer, 0, (gssize)size);
    gst_buffer_fill(buffer, 0, self->jpeg ? self->encoded : self->pixels, size);
    stamp(self, buffer);
    describe(self, buffer, &truth);
    self->part++;
    return GST_FLOW_OK;
}

// GstBaseSrc waits until this time: the line's speed.
static void get_times(GstBaseSrc *base, GstBuffer *buffer, GstClockTime *start, GstClockTime *end)
{
    (void)base;
    *start = GST_BUFFER_PTS(buffer);
    *end = GST_CLOCK_TIME_NONE;
}

static gboolean start(GstBaseSrc *base)
{
    SIGHTLINE_LINE_SRC(base)->part = 0;
    return TRUE;
}

static gboolean stop(GstBaseSrc *base)
{
    drop_product(SIGHTLINE_LINE_SRC(base));
    return TRUE;
}

static void finalize(GObject *object)
{
    SightlineLineSrc *self = SIGHTLINE_LINE_SRC(object);
    drop_product(self);
    free(self->encoded);
    G_OBJECT_CLASS(sightline_line_src_parent_class)->finalize(object);
}

static void sightline_line_src_init(SightlineLineSrc *self)
{
    self->product_seed = self->seed = 1;
    self->quality = 95;
    self->params = sl_line_default_params;
    gst_video_info_init(&self->info);
    gst_base_src_set_live(GST_BASE_SRC(self), TRUE);
    gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}

static void install(GObjectClass *class, guint id, const char *name, const char *blurb, double most,
                    double usual)
{
    g_object_class_install_property(
        class, id,
        g_param_spec_double(name, name, blurb, 0, most, usual,
                            G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS));
}

static void install_count(GObjectClass *class, guint id, const char *name, const char *blurb,
                          guint least, guint most, guint usual)
{
    g_object_class_install_property(class, id,
                                    g_param_spec_uint(name, name, blurb, least, most, usual,
                                                      G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS));
}

static void sightline_line_src_class_init(SightlineLineSrcClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    GstBaseSrcClass *base = GST_BASE_SRC_CLASS(class);
    const struct sl_line_params *usual = &sl_line_default_params;
    object->set_property = set_property;
    object->get_property = get_property;
    object->finalize = finalize;
    install_count(object, PROP_PRODUCT_SEED, "product-seed", "Seed of the golden board", 0,
                  G_MAXUINT - 1, 1);
    install_count(object, PROP_SEED, "seed", "Seed of the parts", 0, G_MAXUINT, 1);
    install_count(object, PROP_QUALITY, "quality", "JPEG quality", 1, 100, 95);
    install_count(object, PROP_MAX_DEFECTS, "max-defects", "Most defects on a bad board", 0,
                  SL_LINE_MAX_DEFECTS, usual->max_defects);
    install(object, PROP_DEFECT_RATE, "defect-rate", "Share of boards with defects", 1,
            usual->defect_rate);
    install(object, PROP_SHIFT, "shift", "Boards lie up to this far off (pixels)", 100,
            usual->shift_px);
    install(object, PROP_ROTATION, "rotation", "and up to this turned (degrees)", 10,
            usual->rotation_deg);
    install(object, PROP_BLUR, "blur", "Sigma of the lens (pixels)", 2, usual->blur_px);
    install(object, PROP_NOISE, "noise", "Sigma of the sensor (grey levels)", 40, usual->noise);
    install(object, PROP_LIGHT, "light", "Unevenness of the light", 0.5, usual->light);
    gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(class), &src_template);
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(class), "Simulated line", "Source/Video",
        "Circuit boards with known defects on a conveyor", "Sightline");
    base->set_caps = set_caps;
    base->fixate = fixate;
    base->decide_allocation = decide_allocation;
    base->get_times = get_times;
    base->start = start;
    base->stop = stop;
    GST_PUSH_SRC_CLASS(class)->fill = fill;
}
