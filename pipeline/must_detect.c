// The site's must-detect pictures, by two models.
#include "pipeline/must_detect.h"

#include "inference/dataset.h"
#include "inference/evaluate.h"
#include "inference/head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What one model found, of all objects in the order of the pictures.
struct finds {
    const struct sl_model *model;
    bool *found;
    uint32_t *picture; // of each
    size_t count, capacity;
    bool failed; // no memory
};

static void finds_free(struct finds *f)
{
    free(f->found);
    free(f->picture);
}

static bool add(struct finds *f, bool found, uint32_t picture)
{
    if (f->count == f->capacity) {
        const size_t capacity = f->capacity ? 2 * f->capacity : 256;
        bool *more = realloc(f->found, capacity * sizeof(*more));
        f->found = more ? more : f->found;
        uint32_t *pictures = more ? realloc(f->picture, capacity * sizeof(*pictures)) : NULL;
        f->picture = pictures ? pictures : f->picture;
        if (!pictures)
            return false;
        f->capacity = capacity;
    }
    f->found[f->count] = found;
    f->picture[f->count++] = picture;
    return true;
}

// The free object of the detection's class that it overlaps most; `n` if none enough.
static uint32_t best_object(const struct sl_truth *truth, const bool *taken,
                            const struct sl_detection *d)
{
    uint32_t best = truth->count;
    float most = SL_HIT_OVERLAP;
    for (uint32_t i = 0; i < truth->count; i++) {
        const float overlap = sl_box_overlap(&truth->rows[i].box, d);
        if (taken[i] || truth->rows[i].box.class_id != d->class_id || overlap <= most)
            continue;
        most = overlap;
        best = i;
    }
    return best;
}

static void on_judged(void *ctx, uint32_t picture, const struct sl_detect_result *result,
                      const struct sl_truth *truth)
{
    struct finds *f = ctx;
    bool *taken = calloc(truth->count + 1, sizeof(*taken));
    f->failed = f->failed || !taken;
    for (uint32_t i = 0; taken && i < result->count; i++) {
        const struct sl_detection *d = &result->detections[i];
        if (d->score >= f->model->classes[d->class_id].threshold)
            taken[best_object(truth, taken, d)] = true; // the last one is nobody's
    }
    for (uint32_t i = 0; taken && i < truth->count; i++)
        if (truth->rows[i].use == SL_LABEL_COUNTS && !add(f, taken[i], picture))
            f->failed = true;
    free(taken);
}

static int look(struct finds *f, const struct sl_dataset *dataset, const char *backend,
                struct sl_error *error)
{
    struct sl_evaluation *evaluation = calloc(1, sizeof(*evaluation));
    const struct sl_evaluate_options how = {
        .backend = backend, .metric = SL_METRIC_DEEPPCB, .judged = on_judged, .ctx = f};
    if (!evaluation)
        return sl_error_set(error, -ENOMEM, "out of memory");
    int status = sl_evaluate(f->model, dataset, &how, evaluation, error);
    if (status == 0 && f->failed)
        status = sl_error_set(error, -ENOMEM, "out of memory");
    sl_evaluation_free(evaluation);
    free(evaluation);
    return status;
}

static int compare(const struct finds *now, const struct finds *before,
                   const struct sl_dataset *dataset, struct sl_error *error)
{
    size_t missed = 0, newly = 0, first = 0;
    for (size_t i = 0; i < now->count; i++) {
        const bool miss = !now->found[i], is_new = miss && (!before || before->found[i]);
        first = is_new && newly == 0 ? i : first;
        missed += miss;
        newly += is_new;
    }
    if (newly == 0)
        return 0;
    const char *name = dataset->samples[now->picture[first]].name;
    return sl_error_set(
        error, -EILSEQ,
        "must-detect set: %zu of %zu objects missed, %zu of them %s; the first in %s", missed,
        now->count, newly, before ? "found by the model that serves" : "and all are wanted", name);
}

static bool same_classes(const struct sl_model *a, const struct sl_model *b)
{
    for (uint32_t i = 0; a->n_classes == b->n_classes && i < a->n_classes; i++)
        if (strcmp(a->classes[i].name, b->classes[i].name) != 0)
            return false;
    return a->n_classes == b->n_classes;
}

// What serves, if it can be run: that it cannot is not the new model's fault.
static bool look_before(struct finds *then, const struct sl_dataset *dataset, const char *backend)
{
    struct sl_error problem = {""};
    const bool ran = then->model && look(then, dataset, backend, &problem) == 0;
    if (then->model && !ran)
        fprintf(stderr,
                "sightline-selftest: the model that serves cannot be run: %s; every object of the "
                "must-detect set is wanted\n",
                problem.message);
    return ran;
}

// Labels are read for each model: a file may have been edited in between.
static bool same_objects(const struct finds *a, const struct finds *b)
{
    return a->count == b->count &&
           (a->count == 0 || !memcmp(a->picture, b->picture, a->count * sizeof(*a->picture)));
}

int sl_must_detect(const struct sl_model *model, const struct sl_model *before, const char *folder,
                   const char *backend, struct sl_error *error)
{
    struct sl_dataset dataset = {0};
    struct finds now = {.model = model}, then = {.model = before};
    if (before && !same_classes(model, before))
        return sl_error_set(error, -EINVAL,
                            "must-detect set: expected the classes of the model that serves");
    int status = sl_dataset_open(folder, SL_DATASET_ANY, &dataset, error);
    if (status == 0)
        status = look(&now, &dataset, backend, error);
    const bool compared = status == 0 && look_before(&then, &dataset, backend);
    if (compared && !same_objects(&now, &then))
        status = sl_error_set(error, -ESTALE,
                              "must-detect set: %s: expected %zu objects as before, found %zu: the "
                              "labels changed meanwhile",
                              folder, now.count, then.count);
    if (status == 0)
        status = compare(&now, compared ? &then : NULL, &dataset, error);
    finds_free(&now);
    finds_free(&then);
    sl_dataset_close(&dataset);
    return status;
}
