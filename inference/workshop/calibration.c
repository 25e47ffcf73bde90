// Pictures into input tensors, and runs over all of them.
#include "inference/workshop/calibration.h"

#include "accel/accel.h"
#include "inference/dataset.h"
#include "inference/detect.h"
#include "inference/picture.h"
#include "inference/workshop/network.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FILE_LIMIT = 64 << 20, USUAL_COUNT = 64 };

struct loader {
    const struct sl_model *model;
    struct sl_detector *detector;
    struct sl_jpeg *jpeg;
    uint8_t *pixels[2]; // the picture, the reference
};

static bool is_jpeg(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && *name != '.' && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sl_sample *)a)->name, ((const struct sl_sample *)b)->name);
}

// A folder of pictures and nothing else.
static int open_plain(const char *path, struct sl_dataset *out, struct sl_error *error)
{
    struct sl_dataset found = {0};
    int status = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return sl_error_set(error, -errno, "%s: %s", path, strerror(errno));
    for (struct dirent *entry; status == 0 && (entry = readdir(folder));) {
        struct sl_sample *grown;
        if (!is_jpeg(entry->d_name))
            continue;
        grown = realloc(found.samples, (found.count + 1) * sizeof(*grown));
        if (!grown) {
            status = -ENOMEM;
            break;
        }
        found.samples = grown;
        struct sl_sample *s = &found.samples[found.count];
        *s = (struct sl_sample){.name = strdup(entry->d_name)};
        if (asprintf(&s->picture, "%s/%s", path, entry->d_name) < 0)
            s->picture = NULL;
        found.count++;
        status = s->name && s->picture ? 0 : -ENOMEM;
    }
    closedir(folder);
    if (status < 0) {
        sl_dataset_close(&found);
        return sl_error_set(error, status, "out of memory");
    }
    if (found.count == 0)
        return sl_error_set(error, -ENOENT,
                            "%s: no pictures; expected NAME.jpg, NAME_test.jpg with NAME_temp.jpg, "
                            "or images/NAME.jpg",
                            path);
    qsort(found.samples, found.count, sizeof(*found.samples), by_name);
    *out = found;
    return 0;
}

static int open_pictures(const char *path, struct sl_dataset *out, struct sl_error *error)
{
    const int status = sl_dataset_open(path, SL_DATASET_ANY, out, error);
    return status == -ENOENT ? open_plain(path, out, error) : status;
}

static int read_picture(struct loader *l, const char *path, bool grey, int slot,
                        struct sl_picture *out, struct sl_error *error)
{
    const uint32_t step = grey ? 1 : 3;
    const struct sl_jpeg_request request = {.pixels = grey ? SL_PIXELS_GREY : SL_PIXELS_RGB,
                                            .scale = 1};
    void *bytes = NULL;
    size_t size;
    uint32_t width = 0, height = 0;
    int status = sl_read_file(path, FILE_LIMIT, &bytes, &size, error);
    if (status < 0)
        return status;
    status = sl_jpeg_size(l->jpeg, bytes, size, &width, &height, error);
    const size_t need = (size_t)width * height * step;
    uint8_t *pixels = status == 0 ? realloc(l->pixels[slot], need ? need : 1) : NULL;
    if (status == 0 && !pixels)
        status = sl_error_set(error, -ENOMEM, "out of memory");
    if (pixels)
        l->pixels[slot] = pixels;
    if (status == 0)
        status =
            sl_jpeg_decode(l->jpeg, bytes, size, &request, pixels, width * step, need, out, error);
    free(bytes);
    return status < 0 ? sl_error_prefix(error, status, "%s", path) : 0;
}

static int set_reference(struct loader *l, const struct sl_sample *sample, struct sl_error *error)
{
    struct sl_picture reference;
    if (!sl_model_needs_reference(l->model))
        return 0;
    if (!sample->reference)
        return sl_error_set(error, -ENOENT,
                            "%s: the model needs a template, %s_temp.jpg is missing",
                            sample->picture, sample->name);
    const int status = read_picture(l, sample->reference, true, 1, &reference, error);
    return status < 0 ? status : sl_detector_set_reference(l->detector, &reference, error);
}

// One picture's input tensor; none is added if the part cannot be judged on it.
static int read_input(struct loader *l, const struct sl_sample *sample, struct calibration *c,
                      struct sl_error *error)
{
    float **out = &c->inputs[c->count];
    const bool grey = l->model->input.channels[0] <= SL_CHANNEL_REFERENCE;
    struct sl_picture picture;
    const float *tensor = NULL;
    int status = set_reference(l, sample, error);
    if (status == 0)
        status = read_picture(l, sample->picture, grey, 0, &picture, error);
    if (status == 0)
        status = sl_detector_prepare(l->detector, &picture, &tensor, error);
    if (status == -ERANGE || status == -ENODATA) // moved too far, or blank
        return 0;
    if (status < 0)
        return status;
    *out = malloc(c->elements * sizeof(float));
    if (!*out)
        return sl_error_set(error, -ENOMEM, "out of memory for the calibration pictures");
    memcpy(*out, tensor, c->elements * sizeof(float));
    if (picture.width != l->model->input.width || picture.height != l->model->input.height)
        if (c->fitted++ == 0)
            snprintf(c->first, sizeof(c->first), "%s is %u x %u", sample->name, picture.width,
                     picture.height);
    c->count++;
    return 0;
}

static int open_loader(struct loader *l, const struct sl_model *model, struct sl_error *error)
{
    l->model = model;
    const int status = sl_jpeg_new(&l->jpeg, error);
    return status < 0 ? status : sl_detector_new(model, "cpu", &l->detector, error);
}

static void close_loader(struct loader *l)
{
    sl_detector_free(l->detector);
    sl_jpeg_free(l->jpeg);
    free(l->pixels[0]);
    free(l->pixels[1]);
}

static int read_all(struct loader *l, const struct sl_dataset *pictures, uint32_t most,
                    workshop_progress progress, void *ctx, struct calibration *out,
                    struct sl_error *error)
{
    const uint32_t total = pictures->count < most ? pictures->count : most;
    int status = 0;
    out->inputs = calloc(total, sizeof(*out->inputs));
    if (!out->inputs)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < total && status == 0; i++) {
        const uint32_t from = (uint32_t)((uint64_t)i * pictures->count / total);
        status = read_input(l, &pictures->samples[from], out, error);
        if (progress)
            progress(ctx, "reading pictures", i + 1, total);
    }
    return status;
}

int calibration_load(const struct sl_model *model, const char *folder, uint32_t least,
                     uint32_t most, workshop_progress progress, void *ctx, struct calibration *out,
                     struct sl_error *error)
{
    struct sl_dataset pictures = {0};
    struct loader l = {0};
    struct calibration c = {.elements = (uint64_t)model->input.width * model->input.height *
                                        model->input.n_channels};
    int status = open_pictures(folder, &pictures, error);
    if (status < 0)
        return status;
    if (pictures.count < least)
        status = sl_error_set(error, -EINVAL,
                              "%s: %u pictures, expected at least %u: ranges and corrections that "
                              "come from fewer do not hold for the next picture",
                              folder, pictures.count, least);
    if (status == 0)
        status = open_loader(&l, model, error);
    if (status == 0)
        status = read_all(&l, &pictures, most ? most : USUAL_COUNT, progress, ctx, &c, error);
    if (status == 0 && c.count < least)
        status = sl_error_set(error, -EINVAL,
                              "%s: only %u of %u pictures could be registered to their templates, "
                              "expected at least %u",
                              folder, c.count, pictures.count, least);
    close_loader(&l);
    sl_dataset_close(&pictures);
    if (status < 0)
        calibration_free(&c);
    else
        *out = c;
    return status;
}

void calibration_note(const struct calibration *c, const struct sl_model *model,
                      const char *command)
{
    if (c->fitted)
        fprintf(stderr,
                "sightline model %s: %u of %u pictures are not %u x %u (%s): they are fitted as "
                "model.yaml says\n",
                command, c->fitted, c->count, model->input.width, model->input.height, c->first);
}

void calibration_free(struct calibration *calibration)
{
    for (uint32_t i = 0; i < calibration->count; i++)
        free(calibration->inputs[i]);
    free(calibration->inputs);
    *calibration = (struct calibration){0};
}

static int run_all(struct sl_program *program, const struct calibration *calibration,
                   const float *const *values, calibration_each each, void *ctx,
                   struct sl_error *error)
{
    size_t bytes;
    int status = 0;
    for (uint32_t i = 0; i < calibration->count && status == 0; i++) {
        memcpy(sl_program_input(program, 0, &bytes), calibration->inputs[i],
               calibration->elements * sizeof(float));
        status = sl_program_run(program, SL_NO_DEADLINE, error);
        if (status == 0)
            status = each(ctx, i, values, error);
    }
    return status;
}

int calibration_run(const struct graph *graph, const struct calibration *calibration,
                    const uint32_t *tensors, uint32_t count, calibration_each each, void *ctx,
                    struct sl_error *error)
{
    const float *values[CALIBRATION_TENSORS];
    struct pool pool;
    struct sl_graph cut;
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    size_t bytes;
    if (count > CALIBRATION_TENSORS)
        return sl_error_set(error, -E2BIG, "%u tensors at a time, at most %d", count,
                            CALIBRATION_TENSORS);
    pool_init(&pool, 8ull << 30);
    int status = network_cut(graph, tensors, count, &pool, &cut, error);
    if (status == 0)
        status = sl_accel_open("cpu", &accel, error);
    if (status == 0)
        status = sl_accel_load(accel, &cut, &program, error);
    for (uint32_t i = 0; i < count && status == 0; i++)
        values[i] = sl_program_output(program, i, &bytes);
    if (status == 0)
        status = run_all(program, calibration, values, each, ctx, error);
    sl_accel_unload(program);
    sl_accel_close(accel);
    pool_free(&pool);
    return status;
}
