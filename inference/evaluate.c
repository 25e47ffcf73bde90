// Evaluation: every picture through the detector, every detection against the truth.
#include "inference/evaluate.h"

#include "inference/picture.h"
#include "inference/random.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 64 << 20 };

struct buffer {
    uint8_t *bytes;
    size_t capacity;
};

struct run {
    const struct sl_model *model;
    const struct sl_evaluate_options *options;
    struct sl_detector *detector;
    struct sl_jpeg *jpeg;
    struct buffer picture, reference, moved;
    struct sl_detect_result result;
    uint64_t random;
    double registration_ms, total_ms;
};

static int reserve(struct buffer *buffer, size_t size, struct sl_error *error)
{
    if (size <= buffer->capacity)
        return 0;
    uint8_t *grown = realloc(buffer->bytes, size);
    if (!grown)
        return sl_error_set(error, -ENOMEM, "out of memory");
    buffer->bytes = grown;
    buffer->capacity = size;
    return 0;
}

static bool takes_grey(const struct sl_model *model)
{
    return model->input.channels[0] <= SL_CHANNEL_REFERENCE;
}

static int load_jpeg(struct run *run, const char *path, bool grey, struct buffer *buffer,
                     struct sl_picture *out, struct sl_error *error)
{
    void *bytes = NULL;
    size_t size = 0;
    uint32_t width, height;
    const uint32_t step = grey ? 1 : 3;
    const struct sl_jpeg_request request = {.pixels = grey ? SL_PIXELS_GREY : SL_PIXELS_RGB,
                                            .scale = 1};
    int status = sl_read_file(path, FILE_LIMIT, &bytes, &size, error);
    if (status < 0)
        return status;
    status = sl_jpeg_size(run->jpeg, bytes, size, &width, &height, error);
    if (status == 0)
        status = reserve(buffer, (size_t)width * height * step, error);
    if (status == 0)
        status = sl_jpeg_decode(run->jpeg, bytes, size, &request, buffer->bytes, width * step,
                                (size_t)width * height * step, out, error);
    free(bytes);
    return status < 0 ? sl_error_prefix(error, status, "%s", path) : 0;
}

// From -1 to 1.
static float random_signed(uint64_t *state)
{
    return (float)(random_next(state) >> 40) * 0x1p-23f - 1;
}

static uint8_t sample(const struct sl_picture *p, float x, float y, uint32_t step, uint32_t channel)
{
    const float cx = fminf(fmaxf(x, 0), (float)p->width - 1);
    const float cy = fminf(fmaxf(y, 0), (float)p->height - 1);
    const uint32_t x0 = (uint32_t)cx, y0 = (uint32_t)cy;
    const uint32_t x1 = x0 + 1 < p->width ? x0 + 1 : x0, y1 = y0 + 1 < p->height ? y0 + 1 : y0;
    const float fx = cx - (float)x0, fy = cy - (float)y0;
    const uint8_t *a = p->plane[0] + (size_t)y0 * p->stride[0] + channel;
    const uint8_t *b = p->plane[0] + (size_t)y1 * p->stride[0] + channel;
    const float top = (float)a[x0 * step] * (1 - fx) + (float)a[x1 * step] * fx;
    const float bottom = (float)b[x0 * step] * (1 - fx) + (float)b[x1 * step] * fx;
    return (uint8_t)lrintf(top * (1 - fy) + bottom * fy);
}

// Moves a box with the picture; what is then less than half visible is to be ignored.
static void move_label(struct sl_label *label, const struct sl_registration *by, float width,
                       float height)
{
    struct sl_detection *box = &label->box;
    const float angle = by->rotation_deg * 0.017453293f, c = cosf(angle), s = sinf(angle);
    const float x = (box->x1 + box->x2 - width) / 2, y = (box->y1 + box->y2 - height) / 2;
    const float mx = c * x - s * y + by->dx_px + width / 2;
    const float my = s * x + c * y + by->dy_px + height / 2;
    const float hx = (box->x2 - box->x1) / 2, hy = (box->y2 - box->y1) / 2;
    const float x1 = fmaxf(mx - hx, 0), x2 = fminf(mx + hx, width);
    const float y1 = fmaxf(my - hy, 0), y2 = fminf(my + hy, height);
    const bool visible = x1 < x2 && y1 < y2 && (x2 - x1) * (y2 - y1) >= 2 * hx * hy;
    *box = (struct sl_detection){x1, y1, fmaxf(x2, x1), fmaxf(y2, y1), 1, box->class_id};
    if (!visible && label->use == SL_LABEL_COUNTS)
        label->use = SL_LABEL_IGNORED;
}

// The picture as it would be if the part lay elsewhere; beyond the edge the border goes on.
static int move_picture(struct run *run, struct sl_picture *picture, struct sl_truth *truth,
                        struct sl_registration *by, struct sl_error *error)
{
    const struct sl_evaluate_options *o = run->options;
    const uint32_t step = picture->pixels == SL_PIXELS_GREY ? 1 : 3;
    const float cx = (float)(picture->width - 1) / 2, cy = (float)(picture->height - 1) / 2;
    *by = (struct sl_registration){random_signed(&run->random) * o->jitter_px,
                                   random_signed(&run->random) * o->jitter_px,
                                   random_signed(&run->random) * o->jitter_deg, 1};
    const float angle = by->rotation_deg * 0.017453293f, c = cosf(angle), s = sinf(angle);
    const int status = reserve(&run->moved, (size_t)picture->width * picture->height * step, error);
    if (status < 0)
        return status;
    uint8_t *dst = run->moved.bytes;
    for (uint32_t y = 0; y < picture->height; y++) {
        for (uint32_t x = 0; x < picture->width; x++) {
            const float px = (float)x - cx - by->dx_px, py = (float)y - cy - by->dy_px;
            for (uint32_t k = 0; k < step; k++)
                *dst++ = sample(picture, cx + c * px + s * py, cy - s * px + c * py, step, k);
        }
    }
    picture->plane[0] = run->moved.bytes;
    picture->stride[0] = picture->width * step;
    for (uint32_t i = 0; i < truth->count; i++)
        move_label(&truth->rows[i], by, (float)picture->width, (float)picture->height);
    return 0;
}

// How far apart the found and the true position put the corners of the picture.
static float corner_error(const struct sl_registration *a, const struct sl_registration *b,
                          const struct sl_picture *picture)
{
    const float angle = (a->rotation_deg - b->rotation_deg) * 0.017453293f;
    const float reach = hypotf((float)picture->width, (float)picture->height) / 2;
    return hypotf(a->dx_px - b->dx_px, a->dy_px - b->dy_px) + fabsf(angle) * reach;
}

static int set_reference(struct run *run, const struct sl_sample *sample, struct sl_error *error)
{
    struct sl_picture reference;
    if (!sl_model_needs_reference(run->model))
        return 0;
    if (!sample->reference)
        return sl_error_set(error, -ENOENT,
                            "%s: the model needs a template, %s_temp.jpg is missing",
                            sample->picture, sample->name);
    int status = load_jpeg(run, sample->reference, true, &run->reference, &reference, error);
    if (status == 0)
        status = sl_detector_set_reference(run->detector, &reference, error);
    return status;
}

static int judge(struct run *run, const struct sl_picture *picture, const struct sl_truth *truth,
                 const struct sl_registration *moved, struct sl_evaluation *out,
                 struct sl_error *error)
{
    int status = sl_detector_run(run->detector, picture, SL_NO_DEADLINE, &run->result, error);
    const struct sl_detect_timings *t = &run->result.timings;
    if (status == -ERANGE || status == -ENODATA)
        out->unaligned++;
    else if (status < 0)
        return status;
    const float registration = t->registration_us / 1e3f;
    run->registration_ms += (double)registration;
    out->registration_ms_max = fmaxf(out->registration_ms_max, registration);
    run->total_ms +=
        (double)(registration + (t->preprocess_us + t->inference_us + t->head_us) / 1e3f);
    if (run->result.registered)
        out->registration_error_px_max =
            fmaxf(out->registration_error_px_max,
                  corner_error(&run->result.registration, moved, picture));
    return sl_metrics_add(out->metrics, run->result.detections, run->result.count, truth->rows,
                          truth->count, error);
}

static int one_sample(struct run *run, const struct sl_dataset *dataset, uint32_t index,
                      struct sl_evaluation *out, struct sl_error *error)
{
    const struct sl_sample *sample = &dataset->samples[index];
    struct sl_picture picture;
    struct sl_truth truth = {0, NULL};
    struct sl_registration moved = {0};
    int status =
        load_jpeg(run, sample->picture, takes_grey(run->model), &run->picture, &picture, error);
    if (status == 0)
        status = set_reference(run, sample, error);
    if (status == 0)
        status = sl_dataset_truth(dataset, index, run->model->classes, run->model->n_classes,
                                  picture.width, picture.height, &truth, error);
    if (status == 0 && (run->options->jitter_px > 0 || run->options->jitter_deg > 0))
        status = move_picture(run, &picture, &truth, &moved, error);
    if (status == 0)
        status = judge(run, &picture, &truth, &moved, out, error);
    if (status == 0 && run->options->judged)
        run->options->judged(run->options->ctx, index, &run->result, &truth);
    sl_truth_free(&truth);
    return status;
}

// Average precision needs the weak detections too; the model's thresholds count afterwards.
static int open_run(struct run *run, struct sl_evaluation *out, struct sl_error *error)
{
    float lowest[SL_MAX_CLASSES];
    for (uint32_t i = 0; i < run->model->n_classes; i++)
        lowest[i] = run->model->head.min_score;
    int status = sl_detector_new(run->model, run->options->backend, &run->detector, error);
    if (status == 0)
        status = sl_detector_set_thresholds(run->detector, lowest, run->model->n_classes, error);
    if (status == 0)
        status = sl_jpeg_new(&run->jpeg, error);
    if (status == 0)
        status = sl_metrics_new(run->model->n_classes, run->options->metric, run->options->overlap,
                                &out->metrics, error);
    if (status == 0)
        sl_detector_set_registration(run->detector, !run->options->no_registration);
    return status;
}

static void close_run(struct run *run)
{
    sl_jpeg_free(run->jpeg);
    sl_detector_free(run->detector);
    free(run->picture.bytes);
    free(run->reference.bytes);
    free(run->moved.bytes);
    free(run);
}

static int summarise(struct run *run, struct sl_evaluation *out, struct sl_error *error)
{
    float thresholds[SL_MAX_CLASSES];
    for (uint32_t i = 0; i < run->model->n_classes; i++)
        thresholds[i] = run->model->classes[i].threshold;
    out->registration_ms_mean = (float)(run->registration_ms / out->pictures);
    out->ms_per_picture = (float)(run->total_ms / out->pictures);
    return sl_metrics_summary(out->metrics, thresholds, out->per_class, &out->summary, error);
}

int sl_evaluate(const struct sl_model *model, const struct sl_dataset *dataset,
                const struct sl_evaluate_options *options, struct sl_evaluation *out,
                struct sl_error *error)
{
    const uint32_t total =
        options->limit && options->limit < dataset->count ? options->limit : dataset->count;
    struct run *run = calloc(1, sizeof(*run));
    if (!run)
        return sl_error_set(error, -ENOMEM, "out of memory");
    run->model = model;
    run->options = options;
    run->random = options->seed;
    memset(out, 0, sizeof(*out));
    int status = open_run(run, out, error);
    while (status == 0 && out->pictures < total) {
        status = one_sample(run, dataset, out->pictures, out, error);
        out->pictures++;
        if (options->progress)
            options->progress(options->ctx, options->what, out->pictures, total);
    }
    if (status == 0)
        status = summarise(run, out, error);
    close_run(run);
    if (status < 0)
        sl_evaluation_free(out);
    return status;
}

void sl_evaluation_free(struct sl_evaluation *evaluation)
{
    sl_metrics_free(evaluation->metrics);
    evaluation->metrics = NULL;
}
