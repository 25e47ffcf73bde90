// One model on several back ends: do they find the same on every picture?
//
//     backends [--pictures N] BACKEND BACKEND…
//
// Detections of the shipped model on DeepPCB's test pictures are compared number by number with
// those of the first back end. Exit status: 0 the same everywhere, 1 not, 77 there are no pictures
// or no such back end here.
#include "inference/dataset.h"
#include "inference/detect.h"
#include "inference/model.h"
#include "inference/picture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8, FILE_LIMIT = 64 << 20, SIDE = 4096 };

static struct sl_jpeg *jpeg;
static uint8_t *pixels[2]; // picture, reference

static int read_grey(const char *path, uint8_t *to, struct sl_picture *out, struct sl_error *error)
{
    void *bytes = NULL;
    size_t size = 0;
    uint32_t width, height;
    const struct sl_jpeg_request request = {.pixels = SL_PIXELS_GREY, .scale = 1};
    int status = sl_read_file(path, FILE_LIMIT, &bytes, &size, error);
    if (status == 0)
        status = sl_jpeg_size(jpeg, bytes, size, &width, &height, error);
    if (status == 0)
        status = sl_jpeg_decode(jpeg, bytes, size, &request, to, width, SIDE * SIDE, out, error);
    free(bytes);
    return status;
}

static int find(struct sl_detector *detector, const struct sl_sample *sample,
                struct sl_detect_result *result, struct sl_error *error)
{
    struct sl_picture picture, reference;
    int status = read_grey(sample->picture, pixels[0], &picture, error);
    if (status == 0)
        status = read_grey(sample->reference, pixels[1], &reference, error);
    if (status == 0)
        status = sl_detector_set_reference(detector, &reference, error);
    if (status == 0)
        status = sl_detector_run(detector, &picture, SL_NO_DEADLINE, result, error);
    return status == -ERANGE ? 0 : status; // a board that cannot be aligned has no detections
}

static bool same(const struct sl_detect_result *a, const struct sl_detect_result *b)
{
    return a->count == b->count &&
           memcmp(a->detections, b->detections, a->count * sizeof(*a->detections)) == 0;
}

struct comparison {
    struct sl_detector *detectors[MOST];
    char **names;
    int count;
    uint32_t found, differ[MOST];
};

static int compare(struct comparison *c, const struct sl_sample *sample, struct sl_error *error)
{
    static struct sl_detect_result results[MOST];
    for (int i = 0; i < c->count; i++) {
        int status = find(c->detectors[i], sample, &results[i], error);
        if (status)
            return sl_error_prefix(error, status, "%s on %s", sample->name, c->names[i]);
        if (i > 0 && !same(&results[i], &results[0])) {
            c->differ[i]++;
            printf("%s: %s finds %u, %s %u or others\n", sample->name, c->names[0],
                   results[0].count, c->names[i], results[i].count);
        }
    }
    c->found += results[0].count;
    return 0;
}

static int open_all(struct comparison *c, const struct sl_model *model, struct sl_error *error)
{
    for (int i = 0; i < c->count; i++) {
        int status = sl_detector_new(model, c->names[i], &c->detectors[i], error);
        if (status)
            return status;
    }
    return 0;
}

static int compare_all(struct comparison *c, const struct sl_dataset *dataset, uint32_t limit,
                       struct sl_error *error)
{
    uint32_t count = limit < dataset->count ? limit : dataset->count;
    int status = 0, differ = 0;
    for (uint32_t i = 0; status == 0 && i < count; i++)
        status = compare(c, &dataset->samples[i], error);
    for (int i = 1; status == 0 && i < c->count; i++) {
        printf("%s: %u detections on %u pictures, %u pictures differ from %s\n", c->names[i],
               c->found, count, c->differ[i], c->names[0]);
        differ += c->differ[i] > 0;
    }
    return status ? status : differ;
}

int main(int argc, char **argv)
{
    struct sl_error error = {""};
    struct sl_dataset dataset;
    struct sl_model_source *source;
    const struct sl_model *model = NULL;
    uint32_t limit = UINT32_MAX;
    if (argc > 2 && strcmp(argv[1], "--pictures") == 0) {
        limit = (uint32_t)strtoul(argv[2], NULL, 10);
        argc -= 2;
        argv += 2;
    }
    struct comparison c = {.names = argv + 1, .count = argc - 1};
    if (c.count < 2 || c.count > MOST || limit == 0) {
        fprintf(stderr, "usage: backends [--pictures N] BACKEND BACKEND…\n");
        return 2;
    }
    const char *shared = getenv("SIGHTLINE_SHARED");
    char folder[1024];
    snprintf(folder, sizeof(folder), "%s/data/deeppcb/test",
             shared ? shared : SL_SOURCE_DIR "/../shared");
    if (sl_dataset_open(folder, SL_DATASET_ANY, &dataset, &error) != 0) {
        printf("skipped: %s\n", error.message);
        return 77;
    }
    for (int i = 0; i < 2; i++)
        pixels[i] = malloc(SIDE * SIDE);
    int status = sl_jpeg_new(&jpeg, &error);
    if (status == 0)
        status = sl_model_source_directory(SL_SOURCE_DIR "/deploy/models/pcb", &source, &error);
    if (status == 0)
        status = sl_model_load(source, &model, &error);
    if (status == 0)
        status = open_all(&c, model, &error);
    bool absent = status == -ENOENT || status == -ENODEV;
    if (status == 0)
        status = compare_all(&c, &dataset, limit, &error);
    if (status < 0)
        printf("%s%s\n", absent ? "skipped: " : "", error.message);
    for (int i = 0; i < c.count; i++)
        sl_detector_free(c.detectors[i]);
    sl_model_unref(model);
    sl_dataset_close(&dataset);
    sl_jpeg_free(jpeg);
    free(pixels[0]);
    free(pixels[1]);
    return absent ? 77 : status != 0;
}
