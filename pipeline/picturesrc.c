// sightlinepicturesrc: the JPEG pictures of a folder, one per part.
#include "pipeline/elements.h"

#include "inference/dataset.h"
#include "pipeline/meta.h"

#include <errno.h>
#include <gst/base/gstpushsrc.h>
#include <stdlib.h>
#include <string.h>

#define SIGHTLINE_TYPE_PICTURE_SRC (sightline_picture_src_get_type())
G_DECLARE_FINAL_TYPE(SightlinePictureSrc, sightline_picture_src, SIGHTLINE, PICTURE_SRC, GstPushSrc)

enum { FILE_LIMIT = 64 << 20 };

struct _SightlinePictureSrc {
    GstPushSrc parent;
    gchar *location;
    gdouble rate;
    gboolean loop;
    struct sl_dataset dataset;
    struct sl_jpeg *jpeg;
    guint64 part;
};

G_DEFINE_TYPE(SightlinePictureSrc, sightline_picture_src, GST_TYPE_PUSH_SRC)

enum { PROP_LOCATION = 1, PROP_RATE, PROP_LOOP };

static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS("image/jpeg"));

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    SightlinePictureSrc *self = SIGHTLINE_PICTURE_SRC(object);
    (void)spec;
    if (id == PROP_LOCATION) {
        g_free(self->location);
        self->location = g_value_dup_string(value);
    } else if (id == PROP_RATE) {
        self->rate = g_value_get_double(value);
        gst_base_src_set_live(GST_BASE_SRC(self), self->rate > 0);
    } else {
        self->loop = g_value_get_boolean(value);
    }
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    SightlinePictureSrc *self = SIGHTLINE_PICTURE_SRC(object);
    (void)spec;
    if (id == PROP_LOCATION)
        g_value_set_string(value, self->location);
    else if (id == PROP_RATE)
        g_value_set_double(value, self->rate);
    else
        g_value_set_boolean(value, self->loop);
}

static gboolean start(GstBaseSrc *base)
{
    SightlinePictureSrc *self = SIGHTLINE_PICTURE_SRC(base);
    struct sl_error error = {""};
    self->part = 0;
    if (self->location &&
        sl_dataset_open(self->location, SL_DATASET_ANY, &self->dataset, &error) == 0 &&
        sl_jpeg_new(&self->jpeg, &error) == 0)
        return TRUE;
    GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND,
                      ("%s", self->location ? error.message : "no location is set"), (NULL));
    return FALSE;
}

static gboolean stop(GstBaseSrc *base)
{
    SightlinePictureSrc *self = SIGHTLINE_PICTURE_SRC(base);
    sl_dataset_close(&self->dataset);
    sl_jpeg_free(self->jpeg);
    self->jpeg = NULL;
    return TRUE;
}

// A buffer with the file's bytes; NULL and a message where it cannot be read.
static GstBuffer *read_buffer(const char *path, struct sl_error *error)
{
    void *bytes;
    gsize size;
    if (sl_read_file(path, FILE_LIMIT, &bytes, &size, error) < 0)
        return NULL;
    return gst_buffer_new_wrapped_full(0, bytes, size, 0, size, bytes, free);
}

// The truth is known where there is a label file and the picture's size can be read.
static void add_truth(SightlinePictureSrc *self, guint index, GstBuffer *buffer,
                      SightlinePartMeta *meta)
{
    struct sl_truth truth;
    struct sl_error error = {""};
    GstMapInfo map;
    uint32_t width = 0, height = 0;
    if (!self->dataset.samples[index].labels || !gst_buffer_map(buffer, &map, GST_MAP_READ))
        return;
    const gboolean sized =
        sl_jpeg_size(self->jpeg, map.data, map.size, &width, &height, &error) == 0;
    gst_buffer_unmap(buffer, &map);
    if (!sized)
        return;
    if (sl_dataset_truth(&self->dataset, index, NULL, SL_MAX_CLASSES, width, height, &truth,
                         &error) < 0) {
        GST_ELEMENT_WARNING(self, STREAM, FAILED, ("%s", error.message), (NULL));
        return;
    }
    meta->n_truth = (gint)MIN(truth.count, SL_PART_MAX_TRUTH);
    for (gint i = 0; i < meta->n_truth; i++)
        meta->truth[i] = truth.rows[i].box;
    sl_truth_free(&truth);
}

static void describe(SightlinePictureSrc *self, guint index, GstBuffer *buffer)
{
    const struct sl_sample *sample = &self->dataset.samples[index];
    SightlinePartMeta *meta = sightline_buffer_add_part_meta(buffer);
    struct sl_error error = {""};
    g_strlcpy(meta->part_id, sample->name, sizeof(meta->part_id));
    add_truth(self, index, buffer, meta);
    if (!sample->reference)
        return;
    meta->reference = read_buffer(sample->reference, &error);
    meta->reference_serial = index + 1;
    if (!meta->reference)
        GST_ELEMENT_WARNING(self, RESOURCE, READ, ("%s", error.message), (NULL));
}

static void stamp(SightlinePictureSrc *self, GstBuffer *buffer)
{
    GST_BUFFER_OFFSET(buffer) = self->part;
    if (self->rate <= 0)
        return;
    GST_BUFFER_PTS(buffer) = (GstClockTime)((gdouble)self->part / self->rate * GST_SECOND);
    GST_BUFFER_DURATION(buffer) = (GstClockTime)(GST_SECOND / self->rate);
}

// A file that cannot be read is an empty picture: the part is judged ERROR, not left out.
static GstFlowReturn create(GstPushSrc *push, GstBuffer **out)
{
    SightlinePictureSrc *self = SIGHTLINE_PICTURE_SRC(push);
    struct sl_error error = {""};
    if (self->part >= self->dataset.count && !self->loop)
        return GST_FLOW_EOS;
    const guint index = (guint)(self->part % self->dataset.count);
    GstBuffer *buffer = read_buffer(self->dataset.samples[index].picture, &error);
    if (!buffer) {
        GST_ELEMENT_WARNING(self, RESOURCE, READ, ("%s", error.message), (NULL));
        buffer = gst_buffer_new();
    }
    describe(self, index, buffer);
    stamp(self, buffer);
    self->part++;
    *out = buffer;
    return GST_FLOW_OK;
}

static void get_times(GstBaseSrc *base, GstBuffer *buffer, GstClockTime *start_time,
                      GstClockTime *end_time)
{
    (void)base;
    *start_time = GST_BUFFER_PTS(buffer);
    *end_time = GST_CLOCK_TIME_NONE;
}

static void finalize(GObject *object)
{
    g_free(SIGHTLINE_PICTURE_SRC(object)->location);
    G_OBJECT_CLASS(sightline_picture_src_parent_class)->finalize(object);
}

static void sightline_picture_src_init(SightlinePictureSrc *self)
{
    gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}

static void sightline_picture_src_class_init(SightlinePictureSrcClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    GstBaseSrcClass *base = GST_BASE_SRC_CLASS(class);
    const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
    object->set_property = set_property;
    object->get_property = get_property;
    object->finalize = finalize;
    g_object_class_install_property(
        object, PROP_LOCATION,
        g_param_spec_string("location", "location", "Folder of the pictures", NULL, flags));
    g_object_class_install_property(
        object, PROP_RATE,
        g_param_spec_double("rate", "rate", "Pictures per second; 0: as fast as they are taken", 0,
                            1000, 0, flags));
    g_object_class_install_property(
        object, PROP_LOOP,
        g_param_spec_boolean("loop", "loop", "Begin again after the last", FALSE, flags));
    gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(class), &src_template);
    gst_element_class_set_static_metadata(
        GST_ELEMENT_CLASS(class), "Pictures of a folder", "Source/Image",
        "JPEG files with templates and truth where known", "Sightline");
    base->start = start;
    base->stop = stop;
    base->get_times = get_times;
    GST_PUSH_SRC_CLASS(class)->create = create;
}
