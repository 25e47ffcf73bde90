// A model with what a camera asks of it.
#include "pipeline/served.h"

#include <errno.h>
#include <string.h>

struct threshold {
    gchar *class_name;
    gfloat value;
};

struct mask {
    guint count;
    gfloat (*points)[2];
};

static void clear_threshold(gpointer data)
{
    g_free(((struct threshold *)data)->class_name);
}

static void clear_mask(gpointer data)
{
    g_free(((struct mask *)data)->points);
}

void sl_served_settings_init(struct sl_served_settings *settings)
{
    settings->backend = g_strdup("cpu");
    settings->reference_path = NULL;
    settings->floor = 1;
    settings->thresholds = g_array_new(FALSE, FALSE, sizeof(struct threshold));
    g_array_set_clear_func(settings->thresholds, clear_threshold);
    settings->masks = g_array_new(FALSE, FALSE, sizeof(struct mask));
    g_array_set_clear_func(settings->masks, clear_mask);
}

void sl_served_settings_clear(struct sl_served_settings *settings)
{
    g_free(settings->backend);
    g_free(settings->reference_path);
    g_array_unref(settings->thresholds);
    g_array_unref(settings->masks);
}

void sl_served_settings_threshold(struct sl_served_settings *settings, const gchar *class_name,
                                  gfloat value)
{
    const struct threshold threshold = {g_strdup(class_name), value};
    g_array_append_val(settings->thresholds, threshold);
}

void sl_served_settings_mask(struct sl_served_settings *settings, const gfloat (*points)[2],
                             guint count)
{
    const struct mask mask = {count, g_memdup2(points, count * sizeof(*points))};
    g_array_append_val(settings->masks, mask);
}

static int apply_thresholds(struct sl_served *s, struct sl_error *error)
{
    gfloat values[SL_MAX_CLASSES], *thresholds = s->thresholds;
    for (guint c = 0; c < s->model->n_classes; c++)
        thresholds[c] = s->model->classes[c].threshold;
    for (guint i = 0; i < s->settings->thresholds->len; i++) {
        const struct threshold *t = &g_array_index(s->settings->thresholds, struct threshold, i);
        guint c = 0;
        while (c < s->model->n_classes && strcmp(s->model->classes[c].name, t->class_name))
            c++;
        if (c == s->model->n_classes)
            return sl_error_set(error, -EINVAL, "threshold: model '%s' has no class '%s'",
                                s->model->name, t->class_name);
        thresholds[c] = t->value;
    }
    for (guint c = 0; c < s->model->n_classes; c++)
        values[c] = MIN(thresholds[c], s->settings->floor);
    return sl_detector_set_thresholds(s->detector, values, s->model->n_classes, error);
}

gboolean sl_served_counts(const struct sl_served *served, const struct sl_detection *detection)
{
    return detection->score >= served->thresholds[detection->class_id];
}

static int apply_masks(struct sl_served *s, struct sl_error *error)
{
    g_autofree struct sl_mask *masks = g_new0(struct sl_mask, s->settings->masks->len + 1);
    for (guint i = 0; i < s->settings->masks->len; i++) {
        const struct mask *m = &g_array_index(s->settings->masks, struct mask, i);
        masks[i] = (struct sl_mask){m->count, (const float(*)[2])m->points};
    }
    return sl_detector_set_masks(s->detector, masks, s->settings->masks->len, error);
}

// Decodes a reference picture and gives it to the detector.
static int use_reference(struct sl_served *s, const void *bytes, gsize size, struct sl_error *error)
{
    uint32_t width, height;
    struct sl_picture picture;
    const struct sl_jpeg_request request = {.pixels = SL_PIXELS_GREY, .scale = 1};
    int status = sl_jpeg_size(s->jpeg, bytes, size, &width, &height, error);
    if (status < 0)
        return status;
    const gsize needed = (gsize)width * height;
    if (needed > s->reference_capacity) {
        s->reference = g_realloc(s->reference, needed);
        s->reference_capacity = needed;
    }
    status = sl_jpeg_decode(s->jpeg, bytes, size, &request, s->reference, width, needed, &picture,
                            error);
    return status < 0 ? status : sl_detector_set_reference(s->detector, &picture, error);
}

static int load_recipe_reference(struct sl_served *s, struct sl_error *error)
{
    g_autofree gchar *bytes = NULL;
    g_autoptr(GError) problem = NULL;
    gsize size;
    if (!s->settings->reference_path || !sl_model_needs_reference(s->model))
        return 0;
    if (!g_file_get_contents(s->settings->reference_path, &bytes, &size, &problem))
        return sl_error_set(error, -ENOENT, "reference: %s", problem->message);
    const int status = use_reference(s, bytes, size, error);
    return status < 0
               ? sl_error_prefix(error, status, "reference '%s'", s->settings->reference_path)
               : 0;
}

static int prepare(struct sl_served *s, struct sl_error *error)
{
    int status = sl_detector_new(s->model, s->settings->backend, &s->detector, error);
    if (status == 0)
        status = apply_thresholds(s, error);
    if (status == 0)
        status = apply_masks(s, error);
    if (status == 0)
        status = sl_jpeg_new(&s->jpeg, error);
    if (status == 0)
        status = load_recipe_reference(s, error);
    return status;
}

int sl_served_new(struct sl_model_source *source, const struct sl_served_settings *settings,
                  struct sl_served **out, struct sl_error *error)
{
    const struct sl_model *model = NULL;
    int status = sl_model_load(source, &model, error);
    if (status < 0)
        return status;
    struct sl_served *s = g_new0(struct sl_served, 1);
    s->settings = settings;
    s->model = model;
    status = prepare(s, error);
    if (status == 0)
        *out = s;
    else
        sl_served_free(s);
    return status;
}

void sl_served_free(struct sl_served *s)
{
    if (!s)
        return;
    sl_detector_free(s->detector);
    sl_model_unref(s->model);
    sl_jpeg_free(s->jpeg);
    g_free(s->reference);
    g_free(s);
}

int sl_served_fits(const struct sl_served *now, const struct sl_served *next,
                   struct sl_error *error)
{
    const struct sl_model *a = now->model, *b = next->model;
    if (a->n_classes != b->n_classes)
        return sl_error_set(error, -EINVAL, "expected %u classes, found %u", a->n_classes,
                            b->n_classes);
    for (guint i = 0; i < a->n_classes; i++)
        if (strcmp(a->classes[i].name, b->classes[i].name) != 0)
            return sl_error_set(error, -EINVAL, "class %u: expected '%s', found '%s'", i,
                                a->classes[i].name, b->classes[i].name);
    const gboolean colour[2] = {a->input.channels[0] >= SL_CHANNEL_R,
                                b->input.channels[0] >= SL_CHANNEL_R};
    if (colour[0] != colour[1])
        return sl_error_set(error, -EINVAL, "expected a model for %s pictures",
                            colour[0] ? "colour" : "grey");
    return 0;
}

static int use_part_reference(struct sl_served *s, GstBuffer *reference, struct sl_error *error)
{
    GstMapInfo map;
    if (!reference || !gst_buffer_map(reference, &map, GST_MAP_READ))
        return sl_error_set(error, -EIO, "the part's own cannot be read");
    const int status = use_reference(s, map.data, map.size, error);
    gst_buffer_unmap(reference, &map);
    return status;
}

int sl_served_reference(struct sl_served *s, guint serial, GstBuffer *reference,
                        struct sl_error *error)
{
    if (!sl_model_needs_reference(s->model))
        return 0;
    if (serial != s->reference_serial) {
        s->reference_serial = serial;
        // No part may be judged by the reference of the one before it.
        sl_detector_clear_reference(s->detector);
        s->reference_status =
            serial ? use_part_reference(s, reference, error) : load_recipe_reference(s, error);
        if (s->reference_status < 0)
            g_strlcpy(s->reference_message, error->message, sizeof(s->reference_message));
    }
    return s->reference_status < 0
               ? sl_error_set(error, s->reference_status, "reference: %s", s->reference_message)
               : 0;
}
