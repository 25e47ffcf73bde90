// The detector: preprocess, register, infer, decode, keep what counts.
#include "inference/detect.h"

#include "inference/head.h"
#include "inference/preprocess.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct mask {
    uint32_t count;
    float (*points)[2]; // pixels of the reference as it was given
};

struct sl_detector {
    const struct sl_model *model;
    struct sl_accel *accel;
    struct sl_program *program;
    struct sl_preprocess *preprocess;
    struct sl_register *registration;
    struct sl_head *head;
    bool register_pictures, has_reference;
    struct sl_fit_map reference_map;
    struct sl_registration placed; // the last one, in pixels of the input
    float thresholds[SL_MAX_CLASSES];
    uint32_t n_masks;
    struct mask *masks;
    uint8_t *grey;      // the picture, input size
    uint8_t *colour[3]; // the same in colour; NULL if the model takes none
    uint8_t *reference; // as given, scaled to the input
    uint8_t *warped;    // laid on the picture
    float *input;       // the program's tensor
    const float *outputs[SL_MAX_OUTPUTS];
    struct sl_candidates candidates;
};

static float since_us(int64_t *last)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec, before = *last;
    *last = now;
    return (float)(now - before) / 1e3f;
}

static bool uses(const struct sl_model *model, uint32_t low, uint32_t high)
{
    for (uint32_t i = 0; i < model->input.n_channels; i++)
        if (model->input.channels[i] >= low && model->input.channels[i] <= high)
            return true;
    return false;
}

static size_t plane_size(const struct sl_model *model)
{
    return (size_t)model->input.width * model->input.height;
}

static int take_planes(struct sl_detector *d, struct sl_error *error)
{
    const size_t size = plane_size(d->model);
    const bool colour = uses(d->model, SL_CHANNEL_R, SL_CHANNEL_B);
    d->grey = malloc(size);
    d->reference = malloc(size);
    d->warped = malloc(size);
    bool ok = d->grey && d->reference && d->warped;
    for (int i = 0; i < 3 && colour; i++)
        ok = (d->colour[i] = malloc(size)) != NULL && ok;
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory for the input's planes");
}

// The program's tensors are what the model's contract says.
static int take_tensors(struct sl_detector *d, struct sl_error *error)
{
    const struct sl_graph *graph = d->model->graph;
    const struct sl_input_contract *input = &d->model->input;
    const struct sl_tensor *t = &graph->tensors[graph->inputs[0]];
    size_t bytes = 0;
    d->input = sl_program_input(d->program, 0, &bytes);
    if (graph->n_inputs != 1 || t->dtype != SL_F32 ||
        bytes != plane_size(d->model) * input->n_channels * sizeof(float))
        return sl_error_set(error, -EINVAL,
                            "model '%s': expected one float32 input of %u x %u x %u",
                            d->model->name, input->n_channels, input->height, input->width);
    for (uint32_t i = 0; i < d->model->head.n_outputs; i++)
        for (uint32_t k = 0; k < graph->n_outputs; k++)
            if (!strcmp(graph->tensors[graph->outputs[k]].name, d->model->head.outputs[i]))
                d->outputs[i] = sl_program_output(d->program, k, &bytes);
    return 0;
}

static int build(struct sl_detector *d, const char *backend, struct sl_error *error)
{
    int status = sl_head_new(d->model, &d->head, error);
    if (status == 0)
        status = sl_accel_open(backend, &d->accel, error);
    if (status == 0)
        status = sl_accel_load(d->accel, d->model->graph, &d->program, error);
    if (status == 0)
        status = take_tensors(d, error);
    if (status == 0)
        status = take_planes(d, error);
    if (status == 0)
        status = sl_preprocess_new(&d->model->input, &d->preprocess, error);
    if (status == 0 && sl_model_needs_reference(d->model))
        status =
            sl_register_new(d->model->input.width, d->model->input.height, &d->registration, error);
    return status;
}

int sl_detector_new(const struct sl_model *model, const char *backend, struct sl_detector **out,
                    struct sl_error *error)
{
    struct sl_detector *d = calloc(1, sizeof(*d));
    if (!d)
        return sl_error_set(error, -ENOMEM, "out of memory");
    d->model = sl_model_ref(model);
    d->register_pictures = true;
    for (uint32_t i = 0; i < model->n_classes; i++)
        d->thresholds[i] = model->classes[i].threshold;
    const int status = build(d, backend, error);
    if (status < 0) {
        sl_detector_free(d);
        return sl_error_prefix(error, status, "model '%s'", model->name);
    }
    *out = d;
    return 0;
}

static void free_masks(struct sl_detector *d)
{
    for (uint32_t i = 0; i < d->n_masks; i++)
        free(d->masks[i].points);
    free(d->masks);
    d->masks = NULL;
    d->n_masks = 0;
}

void sl_detector_free(struct sl_detector *d)
{
    if (!d)
        return;
    free_masks(d);
    sl_head_free(d->head);
    sl_register_free(d->registration);
    sl_preprocess_free(d->preprocess);
    sl_accel_unload(d->program);
    sl_accel_close(d->accel);
    sl_model_unref(d->model);
    free(d->grey);
    for (int i = 0; i < 3; i++)
        free(d->colour[i]);
    free(d->reference);
    free(d->warped);
    free(d);
}

static struct sl_picture plane_view(const struct sl_detector *d, const uint8_t *plane)
{
    const struct sl_input_contract *input = &d->model->input;
    return (struct sl_picture){
        SL_PIXELS_GREY, input->width, input->height, {plane}, {input->width}};
}

int sl_detector_set_reference(struct sl_detector *d, const struct sl_picture *reference,
                              struct sl_error *error)
{
    if (!sl_model_needs_reference(d->model))
        return sl_error_set(error, -EINVAL, "model '%s' takes no reference", d->model->name);
    d->has_reference = false;
    int status =
        sl_preprocess_planes(d->preprocess, reference, true,
                             (uint8_t *[3]){d->reference, NULL, NULL}, &d->reference_map, error);
    const struct sl_picture view = plane_view(d, d->reference);
    if (status == 0)
        status = sl_register_set_reference(d->registration, &view, error);
    if (status < 0)
        return sl_error_prefix(error, status, "reference");
    d->has_reference = true;
    return 0;
}

void sl_detector_clear_reference(struct sl_detector *d)
{
    d->has_reference = false;
}

int sl_detector_set_thresholds(struct sl_detector *d, const float *thresholds, uint32_t count,
                               struct sl_error *error)
{
    if (count != d->model->n_classes)
        return sl_error_set(error, -EINVAL, "expected %u thresholds, found %u", d->model->n_classes,
                            count);
    for (uint32_t i = 0; i < count; i++)
        if (!(thresholds[i] >= 0 && thresholds[i] <= 1))
            return sl_error_set(error, -EINVAL, "threshold of '%s': expected 0 to 1, found %g",
                                d->model->classes[i].name, (double)thresholds[i]);
    memcpy(d->thresholds, thresholds, count * sizeof(*thresholds));
    return 0;
}

int sl_detector_set_masks(struct sl_detector *d, const struct sl_mask *masks, uint32_t count,
                          struct sl_error *error)
{
    struct mask *copies = calloc(count ? count : 1, sizeof(*copies));
    bool ok = copies != NULL;
    for (uint32_t i = 0; i < count && ok; i++) {
        copies[i].count = masks[i].count;
        copies[i].points =
            malloc((masks[i].count ? masks[i].count : 1) * sizeof(*copies[i].points));
        ok = copies[i].points != NULL;
        if (ok && masks[i].count)
            memcpy(copies[i].points, masks[i].points, masks[i].count * sizeof(*copies[i].points));
    }
    free_masks(d);
    d->masks = copies;
    d->n_masks = copies ? count : 0;
    if (ok)
        return 0;
    free_masks(d);
    return sl_error_set(error, -ENOMEM, "out of memory for %u masks", count);
}

void sl_detector_set_registration(struct sl_detector *d, bool on)
{
    d->register_pictures = on;
}

// Lays the reference on the picture; says by how much in pixels of the picture that was given.
static int align(struct sl_detector *d, const struct sl_fit_map *map, struct sl_detect_result *out,
                 struct sl_error *error)
{
    const struct sl_input_contract *input = &d->model->input;
    if (!d->has_reference)
        return sl_error_set(error, -ENODATA, "model '%s' needs a reference picture and has none",
                            d->model->name);
    if (!d->register_pictures) {
        memcpy(d->warped, d->reference, plane_size(d->model));
        return 0;
    }
    const struct sl_register_limits limits = {input->max_shift_px, input->max_rotation_deg, 0.5f};
    const struct sl_picture picture = plane_view(d, d->grey);
    const int status =
        sl_register_find(d->registration, &picture, &limits, &out->registration, error);
    if (status == 0)
        sl_register_warp(d->registration, &out->registration, &picture, d->warped, input->width);
    out->registered = status == 0;
    d->placed = out->registration;
    out->registration.dx_px /= map->scale_x;
    out->registration.dy_px /= map->scale_y;
    return status;
}

static void fill_tensor(struct sl_detector *d)
{
    const struct sl_input_contract *input = &d->model->input;
    const size_t size = plane_size(d->model);
    for (uint32_t i = 0; i < input->n_channels; i++) {
        const uint32_t channel = input->channels[i];
        const uint8_t *plane = channel == SL_CHANNEL_PICTURE ? d->grey
                               : channel == SL_CHANNEL_REFERENCE
                                   ? d->warped
                                   : d->colour[channel - SL_CHANNEL_R];
        sl_preprocess_normalise(plane, size, input->mean[i], input->std[i], d->input + i * size);
    }
}

static int prepare(struct sl_detector *d, const struct sl_picture *picture, struct sl_fit_map *map,
                   struct sl_detect_result *out, int64_t *clock, struct sl_error *error)
{
    int status = 0;
    if (uses(d->model, SL_CHANNEL_PICTURE, SL_CHANNEL_REFERENCE))
        status = sl_preprocess_planes(d->preprocess, picture, true,
                                      (uint8_t *[3]){d->grey, NULL, NULL}, map, error);
    if (status == 0 && d->colour[0])
        status = sl_preprocess_planes(d->preprocess, picture, false, d->colour, map, error);
    out->timings.preprocess_us = since_us(clock);
    if (status == 0 && d->registration)
        status = align(d, map, out, error);
    out->timings.registration_us = since_us(clock);
    if (status == 0)
        fill_tensor(d);
    out->timings.preprocess_us += since_us(clock);
    return status;
}

// Even-odd rule: is the point inside the polygon?
static bool inside(const struct mask *mask, float x, float y)
{
    bool in = false;
    for (uint32_t i = 0, k = mask->count - 1; i < mask->count; k = i++) {
        const float *a = mask->points[i], *b = mask->points[k];
        if ((a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0])
            in = !in;
    }
    return in;
}

// From the picture to the input, back by the registration, and from the input to the reference.
static void to_reference(const struct sl_detector *d, const struct sl_fit_map *map, float *x,
                         float *y)
{
    const float cx = (float)d->model->input.width / 2, cy = (float)d->model->input.height / 2;
    const float angle = d->placed.rotation_deg * 0.017453293f, c = cosf(angle), s = sinf(angle);
    const float px = *x * map->scale_x + map->offset_x - cx - d->placed.dx_px;
    const float py = *y * map->scale_y + map->offset_y - cy - d->placed.dy_px;
    *x = (cx + c * px + s * py - d->reference_map.offset_x) / d->reference_map.scale_x;
    *y = (cy - s * px + c * py - d->reference_map.offset_y) / d->reference_map.scale_y;
}

static bool is_masked(const struct sl_detector *d, const struct sl_fit_map *map,
                      const struct sl_detection *box)
{
    float x = (box->x1 + box->x2) / 2, y = (box->y1 + box->y2) / 2;
    if (d->n_masks && d->has_reference)
        to_reference(d, map, &x, &y);
    for (uint32_t i = 0; i < d->n_masks; i++)
        if (d->masks[i].count && inside(&d->masks[i], x, y))
            return true;
    return false;
}

static float clamp(float value, float high)
{
    return fminf(fmaxf(value, 0), high);
}

static void keep(struct sl_detector *d, const struct sl_picture *picture,
                 const struct sl_fit_map *map, struct sl_detect_result *out)
{
    const float width = (float)picture->width, height = (float)picture->height;
    for (uint32_t i = 0; i < d->candidates.count && out->count < SL_MAX_DETECTIONS; i++) {
        struct sl_detection box = d->candidates.rows[i];
        box.x1 = clamp((box.x1 - map->offset_x) / map->scale_x, width);
        box.x2 = clamp((box.x2 - map->offset_x) / map->scale_x, width);
        box.y1 = clamp((box.y1 - map->offset_y) / map->scale_y, height);
        box.y2 = clamp((box.y2 - map->offset_y) / map->scale_y, height);
        if (box.x1 < box.x2 && box.y1 < box.y2 && box.score >= d->thresholds[box.class_id] &&
            !is_masked(d, map, &box))
            out->detections[out->count++] = box;
    }
}

static void decode(struct sl_detector *d, const struct sl_picture *picture,
                   const struct sl_fit_map *map, struct sl_detect_result *out)
{
    const struct sl_head_contract *head = &d->model->head;
    float floor = 1;
    for (uint32_t i = 0; i < d->model->n_classes; i++)
        floor = fminf(floor, d->thresholds[i]);
    d->candidates.limit = head->type == SL_HEAD_CENTRE && head->max_detections < SL_MAX_CANDIDATES
                              ? head->max_detections
                              : SL_MAX_CANDIDATES;
    sl_head_decode(d->head, d->outputs, fmaxf(floor, head->min_score), &d->candidates);
    sl_candidates_suppress(&d->candidates, head->nms_iou, head->nms_per_class);
    if (d->candidates.count > head->max_detections)
        d->candidates.count = head->max_detections;
    keep(d, picture, map, out);
}

int sl_detector_prepare(struct sl_detector *d, const struct sl_picture *picture,
                        const float **tensor, struct sl_error *error)
{
    struct sl_fit_map map;
    struct sl_detect_result result;
    int64_t clock = 0;
    d->placed = (struct sl_registration){0};
    since_us(&clock);
    const int status = prepare(d, picture, &map, &result, &clock, error);
    if (status == 0)
        *tensor = d->input;
    return status;
}

int sl_detector_run(struct sl_detector *d, const struct sl_picture *picture, int64_t deadline_ns,
                    struct sl_detect_result *out, struct sl_error *error)
{
    struct sl_fit_map map;
    int64_t clock = 0;
    out->count = 0;
    out->registered = false;
    d->placed = (struct sl_registration){0};
    out->registration = (struct sl_registration){0};
    out->timings = (struct sl_detect_timings){0};
    since_us(&clock);
    int status = prepare(d, picture, &map, out, &clock, error);
    if (status == 0 && clock > deadline_ns)
        status = sl_error_set(error, -ETIMEDOUT, "the deadline passed before the inference");
    if (status == 0)
        status = sl_program_run(d->program, deadline_ns, error);
    out->timings.inference_us = since_us(&clock);
    if (status == 0)
        decode(d, picture, &map, out);
    out->timings.head_us = since_us(&clock);
    return status;
}

const struct sl_model *sl_detector_model(const struct sl_detector *d)
{
    return d->model;
}

void sl_detector_status(struct sl_detector *d, struct sl_accel_status *out)
{
    sl_accel_status(d->accel, out);
}

struct sl_program *sl_detector_program(struct sl_detector *d)
{
    return d->program;
}
