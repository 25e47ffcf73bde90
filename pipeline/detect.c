// sightlinedetect: a model on every frame; what it finds is attached to the buffer.
#include "pipeline/elements.h"

#include "inference/picture.h"
#include "pipeline/meta.h"
#include "pipeline/trial.h"

#include <errno.h>
#include <gst/base/gstbasetransform.h>
#include <gst/video/video.h>
#include <string.h>

#define SIGHTLINE_TYPE_DETECT (sightline_detect_get_type())
G_DECLARE_FINAL_TYPE(SightlineDetect, sightline_detect, SIGHTLINE, DETECT, GstBaseTransform)

struct _SightlineDetect {
    GstBaseTransform parent;
    gchar *model_path;
    guint deadline_ms;
    gboolean roi_meta, messages;
    struct sl_served_settings settings;
    struct sl_trial trial; // what serves, and what is tried beside it
    GstVideoInfo info;
    guint32 pixels; // enum sl_pixels of the negotiated format
};

G_DEFINE_TYPE(SightlineDetect, sightline_detect, GST_TYPE_BASE_TRANSFORM)

enum { PROP_MODEL = 1, PROP_BACKEND, PROP_REFERENCE, PROP_DEADLINE, PROP_ROI_META, PROP_MESSAGES };

static const struct {
    GstVideoFormat format;
    guint32 pixels;
} formats[] = {
    {GST_VIDEO_FORMAT_GRAY8, SL_PIXELS_GREY}, {GST_VIDEO_FORMAT_NV12, SL_PIXELS_NV12},
    {GST_VIDEO_FORMAT_I420, SL_PIXELS_I420},  {GST_VIDEO_FORMAT_YUY2, SL_PIXELS_YUYV},
    {GST_VIDEO_FORMAT_RGB, SL_PIXELS_RGB},    {GST_VIDEO_FORMAT_BGR, SL_PIXELS_BGR},
    {GST_VIDEO_FORMAT_RGBx, SL_PIXELS_RGBX},  {GST_VIDEO_FORMAT_BGRx, SL_PIXELS_BGRX},
};

// Grey formats first: what is negotiated when a decoder may choose and the model takes grey.
#define FORMATS        "{ GRAY8, NV12, I420, YUY2, RGB, BGR, RGBx, BGRx }"
#define COLOUR_FORMATS "{ RGB, BGR, RGBx, BGRx, NV12, I420, YUY2, GRAY8 }"
static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS(GST_VIDEO_CAPS_MAKE(FORMATS)));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS(GST_VIDEO_CAPS_MAKE(FORMATS)));

static gchar **text_property(SightlineDetect *self, guint id)
{
    return id == PROP_MODEL     ? &self->model_path
           : id == PROP_BACKEND ? &self->settings.backend
                                : &self->settings.reference_path;
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    SightlineDetect *self = SIGHTLINE_DETECT(object);
    (void)spec;
    if (id == PROP_DEADLINE) {
        self->deadline_ms = g_value_get_uint(value);
    } else if (id == PROP_ROI_META) {
        self->roi_meta = g_value_get_boolean(value);
    } else if (id == PROP_MESSAGES) {
        self->messages = g_value_get_boolean(value);
    } else {
        g_free(*text_property(self, id));
        *text_property(self, id) = g_value_dup_string(value);
    }
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    SightlineDetect *self = SIGHTLINE_DETECT(object);
    (void)spec;
    if (id == PROP_DEADLINE)
        g_value_set_uint(value, self->deadline_ms);
    else if (id == PROP_ROI_META)
        g_value_set_boolean(value, self->roi_meta);
    else if (id == PROP_MESSAGES)
        g_value_set_boolean(value, self->messages);
    else
        g_value_set_string(value, *text_property(self, id));
}

void sightline_detect_set_threshold(GstElement *element, const gchar *class_name, gfloat value)
{
    sl_served_settings_threshold(&SIGHTLINE_DETECT(element)->settings, class_name, value);
}

void sightline_detect_set_floor(GstElement *element, gfloat floor)
{
    SIGHTLINE_DETECT(element)->settings.floor = floor;
}

void sightline_detect_add_mask(GstElement *element, const gfloat (*points)[2], guint count)
{
    sl_served_settings_mask(&SIGHTLINE_DETECT(element)->settings, points, count);
}

gboolean sightline_detect_get_status(GstElement *element, struct sl_accel_status *out)
{
    return sl_trial_accelerator(&SIGHTLINE_DETECT(element)->trial, out);
}

const struct sl_model *sightline_detect_get_model(GstElement *element)
{
    return sl_trial_model(&SIGHTLINE_DETECT(element)->trial);
}

struct sl_trial *sightline_detect_get_trial(GstElement *element)
{
    return &SIGHTLINE_DETECT(element)->trial;
}

const struct sl_served_settings *sightline_detect_get_settings(GstElement *element)
{
    return &SIGHTLINE_DETECT(element)->settings;
}

static int load(SightlineDetect *self, struct sl_error *error)
{
    struct sl_model_source *source = NULL;
    struct sl_served *served = NULL;
    if (!self->model_path)
        return sl_error_set(error, -EINVAL, "no model is set");
    int status = sl_model_source_directory(self->model_path, &source, error);
    if (status == 0)
        status = sl_served_new(source, &self->settings, &served, error);
    if (status == 0)
        sl_trial_begin(&self->trial, served);
    return status;
}

static gboolean start(GstBaseTransform *base)
{
    SightlineDetect *self = SIGHTLINE_DETECT(base);
    struct sl_error error = {""};
    if (load(self, &error) == 0)
        return TRUE;
    GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("%s", error.message), (NULL));
    return FALSE;
}

static gboolean stop(GstBaseTransform *base)
{
    sl_trial_end(&SIGHTLINE_DETECT(base)->trial);
    return TRUE;
}

static gboolean set_caps(GstBaseTransform *base, GstCaps *in, GstCaps *out)
{
    SightlineDetect *self = SIGHTLINE_DETECT(base);
    (void)out;
    self->pixels = 0;
    if (!gst_video_info_from_caps(&self->info, in))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].format == GST_VIDEO_INFO_FORMAT(&self->info))
            self->pixels = formats[i].pixels;
    return self->pixels != 0;
}

// What a decoder upstream should choose first.
static GstCaps *transform_caps(GstBaseTransform *base, GstPadDirection direction, GstCaps *caps,
                               GstCaps *filter)
{
    SightlineDetect *self = SIGHTLINE_DETECT(base);
    g_autoptr(GstCaps) wanted = NULL;
    const struct sl_model *model = sl_trial_model(&self->trial);
    const gboolean colour = model && model->input.channels[0] >= SL_CHANNEL_R;
    sl_model_unref(model);
    (void)direction;
    wanted = gst_caps_from_string(colour ? GST_VIDEO_CAPS_MAKE(COLOUR_FORMATS)
                                         : GST_VIDEO_CAPS_MAKE(FORMATS));
    GstCaps *result = gst_caps_intersect_full(wanted, caps, GST_CAPS_INTERSECT_FIRST);
    if (filter) {
        GstCaps *narrowed = gst_caps_intersect_full(result, filter, GST_CAPS_INTERSECT_FIRST);
        gst_caps_unref(result);
        result = narrowed;
    }
    return result;
}

static gboolean view(SightlineDetect *self, GstVideoFrame *frame, struct sl_picture *picture)
{
    *picture = (struct sl_picture){.pixels = self->pixels,
                                   .width = (guint)GST_VIDEO_FRAME_WIDTH(frame),
                                   .height = (guint)GST_VIDEO_FRAME_HEIGHT(frame)};
    for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES(frame) && i < 3; i++) {
        picture->plane[i] = GST_VIDEO_FRAME_PLANE_DATA(frame, i);
        picture->stride[i] = (guint)GST_VIDEO_FRAME_PLANE_STRIDE(frame, i);
    }
    return TRUE;
}

static gint64 deadline_of(SightlineDetect *self, const SightlinePartMeta *part, gint64 arrival)
{
    if (self->deadline_ms == 0)
        return SL_NO_DEADLINE;
    const gint64 begin = part && part->capture_ns > 0 ? part->capture_ns : arrival;
    return begin + (gint64)self->deadline_ms * 1000000;
}

static void attach(const struct sl_model *model, GstBuffer *buffer,
                   const struct sl_detect_result *result)
{
    for (guint i = 0; i < result->count; i++) {
        const struct sl_detection *d = &result->detections[i];
        GstVideoRegionOfInterestMeta *roi = gst_buffer_add_video_region_of_interest_meta(
            buffer, model->classes[d->class_id].name, (guint)d->x1, (guint)d->y1,
            (guint)(d->x2 - d->x1), (guint)(d->y2 - d->y1));
        gst_video_region_of_interest_meta_add_param(
            roi,
            gst_structure_new("detection", "confidence", G_TYPE_DOUBLE, (gdouble)d->score, NULL));
    }
}

static void announce(SightlineDetect *self, const struct sl_model *model,
                     const SightlineInspectionMeta *meta, const SightlinePartMeta *part)
{
    g_autoptr(GString) found = g_string_new(NULL);
    for (guint i = 0; i < meta->result.count; i++) {
        const struct sl_detection *d = &meta->result.detections[i];
        g_string_append_printf(found, "%s%s %.2f at %.0f,%.0f", i ? "; " : "",
                               model->classes[d->class_id].name, (gdouble)d->score,
                               (gdouble)(d->x1 + d->x2) / 2, (gdouble)(d->y1 + d->y2) / 2);
    }
    gst_element_post_message(
        GST_ELEMENT(self),
        gst_message_new_element(
            GST_OBJECT(self),
            gst_structure_new(
                "sightline-inspection", "part", G_TYPE_STRING, part ? part->part_id : "", "status",
                G_TYPE_INT, meta->status, "message", G_TYPE_STRING, meta->message, "defects",
                G_TYPE_UINT, meta->result.count, "found", G_TYPE_STRING, found->str, "inference-us",
                G_TYPE_DOUBLE, (gdouble)meta->result.timings.inference_us, NULL)));
}

static int inspect(SightlineDetect *self, struct sl_served *served, GstBuffer *buffer,
                   SightlineInspectionMeta *meta, const SightlinePartMeta *part,
                   struct sl_error *error)
{
    GstVideoFrame frame;
    struct sl_picture picture;
    int status = sl_served_reference(served, part ? part->reference_serial : 0,
                                     part ? part->reference : NULL, error);
    if (status < 0)
        return status;
    if (!gst_video_frame_map(&frame, &self->info, buffer, GST_MAP_READ))
        return sl_error_set(error, -EIO, "cannot map the picture");
    view(self, &frame, &picture);
    status = sl_detector_run(served->detector, &picture, deadline_of(self, part, meta->arrival_ns),
                             &meta->result, error);
    if (status == 0)
        sl_trial_frame_offer(&self->trial, &picture, part, &meta->result);
    gst_video_frame_unmap(&frame);
    return status;
}

static GstFlowReturn transform_ip(GstBaseTransform *base, GstBuffer *buffer)
{
    SightlineDetect *self = SIGHTLINE_DETECT(base);
    const SightlinePartMeta *part = sightline_buffer_get_part_meta(buffer);
    SightlineInspectionMeta *meta = sightline_buffer_get_inspection_meta(buffer);
    struct sl_error error = {""};
    // A decoder of ours has begun it; else what stands there is left over from the buffer's last
    // use.
    if (!meta || meta->done_ns) {
        meta = sightline_buffer_add_inspection_meta(buffer);
        meta->arrival_ns = meta->decoded_ns = g_get_monotonic_time() * 1000;
    }
    const gboolean decoded = meta->status == 0;
    struct sl_served *served = sl_trial_frame_begin(&self->trial);
    if (decoded) {
        meta->status = inspect(self, served, buffer, meta, part, &error);
        if (meta->status < 0)
            g_strlcpy(meta->message, error.message, sizeof(meta->message));
    }
    meta->done_ns = g_get_monotonic_time() * 1000;
    if (self->roi_meta)
        attach(served->model, buffer, &meta->result);
    if (self->messages)
        announce(self, served->model, meta, part);
    sl_trial_frame_end(&self->trial, decoded ? meta->status : 0, meta->message);
    return GST_FLOW_OK;
}

static void finalize(GObject *object)
{
    SightlineDetect *self = SIGHTLINE_DETECT(object);
    g_free(self->model_path);
    sl_served_settings_clear(&self->settings);
    sl_trial_clear(&self->trial);
    G_OBJECT_CLASS(sightline_detect_parent_class)->finalize(object);
}

static void sightline_detect_init(SightlineDetect *self)
{
    sl_served_settings_init(&self->settings);
    sl_trial_init(&self->trial);
    self->roi_meta = self->messages = TRUE;
    gst_base_transform_set_in_place(GST_BASE_TRANSFORM(self), TRUE);
}

static void install(GObjectClass *class, guint id, const char *name, const char *blurb)
{
    g_object_class_install_property(
        class, id,
        g_param_spec_string(name, name, blurb, NULL, G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS));
}

static void sightline_detect_class_init(SightlineDetectClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    GstElementClass *element = GST_ELEMENT_CLASS(class);
    GstBaseTransformClass *base = GST_BASE_TRANSFORM_CLASS(class);
    const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
    object->set_property = set_property;
    object->get_property = get_property;
    object->finalize = finalize;
    install(object, PROP_MODEL, "model", "Folder of the model (with model.yaml)");
    install(object, PROP_BACKEND, "backend", "What runs the model, for example cpu");
    install(object, PROP_REFERENCE, "reference", "Golden picture of the part (JPEG)");
    g_object_class_install_property(
        object, PROP_DEADLINE,
        g_param_spec_uint(
            "deadline-ms", "deadline-ms",
            "A frame that cannot be done so soon after its capture is an error; 0: none", 0,
            G_MAXUINT, 0, flags));
    g_object_class_install_property(
        object, PROP_ROI_META,
        g_param_spec_boolean("roi-meta", "roi-meta",
                             "Attach GstVideoRegionOfInterestMeta for other elements", TRUE,
                             flags));
    g_object_class_install_property(
        object, PROP_MESSAGES,
        g_param_spec_boolean("post-messages", "post-messages",
                             "Post an element message with every frame's detections", TRUE, flags));
    gst_element_class_add_static_pad_template(element, &sink_template);
    gst_element_class_add_static_pad_template(element, &src_template);
    gst_element_class_set_static_metadata(element, "Defect detector", "Filter/Analyzer/Video",
                                          "Runs a model on every frame", "Sightline");
    base->start = start;
    base->stop = stop;
    base->set_caps = set_caps;
    base->transform_caps = transform_caps;
    base->transform_ip = transform_ip;
    base->passthrough_on_same_caps = FALSE;
}
