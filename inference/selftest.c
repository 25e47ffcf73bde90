// Running the golden pictures.
#include "inference/selftest.h"

#include "inference/head.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct expected {
    uint32_t count;
    struct sl_detection rows[SL_MAX_DETECTIONS];
};

static int decode_component(struct sl_model_source *source, struct sl_jpeg *jpeg, const char *name,
                            bool grey, uint8_t **pixels, struct sl_picture *out,
                            struct sl_error *error)
{
    const void *bytes;
    size_t size;
    uint32_t width, height;
    int status = source->component(source, name, &bytes, &size, error);
    if (status == 0)
        status = sl_jpeg_size(jpeg, bytes, size, &width, &height, error);
    if (status < 0)
        return sl_error_prefix(error, status, "%s", name);
    const uint32_t step = grey ? 1 : 3;
    const struct sl_jpeg_request request = {.pixels = grey ? SL_PIXELS_GREY : SL_PIXELS_RGB,
                                            .scale = 1};
    const size_t total = (size_t)width * height * step;
    free(*pixels);
    *pixels = malloc(total);
    if (!*pixels)
        return sl_error_set(error, -ENOMEM, "%s: out of memory", name);
    status = sl_jpeg_decode(jpeg, bytes, size, &request, *pixels, width * step, total, out, error);
    return status < 0 ? sl_error_prefix(error, status, "%s", name) : 0;
}

static int read_expected(const struct sl_model *model, const char *name, struct expected *out,
                         struct sl_error *error)
{
    const void *bytes;
    size_t size;
    const int status = model->source->component(model->source, name, &bytes, &size, error);
    if (status < 0)
        return status;
    char text[SL_MAX_DETECTIONS * 64], *rest = text, *line;
    if (size >= sizeof(text))
        return sl_error_set(error, -E2BIG, "%s: too long", name);
    memcpy(text, bytes, size);
    text[size] = '\0';
    out->count = 0;
    for (int number = 1; (line = strsep(&rest, "\n")); number++) {
        struct sl_detection d;
        int end = 0;
        if (line[strspn(line, " \t\r")] == '\0')
            continue;
        if (out->count == SL_MAX_DETECTIONS ||
            sscanf(line, "%f %f %f %f %u %f%n", &d.x1, &d.y1, &d.x2, &d.y2, &d.class_id, &d.score,
                   &end) != 6 ||
            line[(size_t)end + strspn(line + end, " \t\r")] || d.class_id >= model->n_classes)
            return sl_error_set(error, -EINVAL,
                                "%s:%d: expected 'x1 y1 x2 y2 class score', found '%.60s'", name,
                                number, line);
        out->rows[out->count++] = d;
    }
    return 0;
}

static bool agrees(const struct sl_detection *a, const struct sl_detection *b,
                   const struct sl_golden_limits *limits)
{
    return a->class_id == b->class_id && sl_box_overlap(a, b) >= limits->overlap &&
           fabsf(a->score - b->score) <= limits->score;
}

static const struct sl_detection *missing(const struct sl_detection *of, uint32_t n_of,
                                          const struct sl_detection *in, uint32_t n_in,
                                          const struct sl_golden_limits *limits)
{
    for (uint32_t i = 0; i < n_of; i++) {
        uint32_t k = 0;
        while (k < n_in && !agrees(&of[i], &in[k], limits))
            k++;
        if (k == n_in)
            return &of[i];
    }
    return NULL;
}

static int compare(const struct sl_model *model, const char *name, const struct expected *expected,
                   const struct sl_detect_result *result, const struct sl_golden_limits *limits,
                   struct sl_error *error)
{
    const struct sl_detection *d =
        missing(expected->rows, expected->count, result->detections, result->count, limits);
    const char *what = "was not found";
    if (!d) {
        d = missing(result->detections, result->count, expected->rows, expected->count, limits);
        what = "was not expected";
    }
    if (!d)
        return 0;
    return sl_error_set(error, -EILSEQ, "golden picture '%s': %s at %.0f,%.0f (score %.2f) %s",
                        name, model->classes[d->class_id].name, (double)(d->x1 + d->x2) / 2,
                        (double)(d->y1 + d->y2) / 2, (double)d->score, what);
}

static int run_golden(struct sl_detector *detector, struct sl_jpeg *jpeg,
                      const struct sl_golden *golden, uint8_t **pixels, struct expected *expected,
                      struct sl_detect_result *result, const struct sl_golden_limits *limits,
                      struct sl_error *error)
{
    const struct sl_model *model = sl_detector_model(detector);
    const bool grey = model->input.channels[0] == SL_CHANNEL_PICTURE ||
                      model->input.channels[0] == SL_CHANNEL_REFERENCE;
    struct sl_picture picture;
    int status = read_expected(model, golden->expect, expected, error);
    if (status == 0 && golden->reference) {
        status =
            decode_component(model->source, jpeg, golden->reference, true, pixels, &picture, error);
        if (status == 0)
            status = sl_detector_set_reference(detector, &picture, error);
    }
    if (status == 0)
        status =
            decode_component(model->source, jpeg, golden->picture, grey, pixels, &picture, error);
    if (status == 0)
        status = sl_detector_run(detector, &picture, SL_NO_DEADLINE, result, error);
    if (status == 0)
        status = compare(model, golden->picture, expected, result, limits, error);
    return status;
}

int sl_model_selftest(struct sl_detector *detector, const struct sl_golden_limits *limits,
                      struct sl_error *error)
{
    const struct sl_golden_limits usual = {SL_GOLDEN_OVERLAP, SL_GOLDEN_SCORE};
    const struct sl_model *model = sl_detector_model(detector);
    struct sl_jpeg *jpeg = NULL;
    uint8_t *pixels = NULL;
    struct expected *expected = malloc(sizeof(*expected));
    struct sl_detect_result *result = malloc(sizeof(*result));
    int status = sl_jpeg_new(&jpeg, error);
    if (!expected || !result)
        status = sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < model->n_golden && status == 0; i++)
        status = run_golden(detector, jpeg, &model->golden[i], &pixels, expected, result,
                            limits ? limits : &usual, error);
    sl_jpeg_free(jpeg);
    free(pixels);
    free(expected);
    free(result);
    return status;
}
