// Comparing detections of two networks.
#include "inference/workshop/judge.h"

#include "inference/head.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Weaker detections are noise in both networks.
static const float FLOOR = 0.03f, SAME_OBJECT = 0.5f;

struct found {
    uint32_t count;
    struct sl_detection *rows;
};

struct judge {
    const struct sl_model *model;
    struct sl_head *head;
    struct calibration held; // pointers into the calibration's pictures
    struct found *exact;     // per picture
    struct sl_candidates candidates;
    uint32_t n_outputs, outputs[SL_MAX_OUTPUTS]; // of the graph that runs, in the head's order
    double error, size;
};

bool judge_is_held(const struct calibration *calibration, uint32_t picture)
{
    return calibration->count < 8 || picture % 4 == 3;
}

static int take_pictures(struct judge *j, const struct calibration *from, struct sl_error *error)
{
    j->held = (struct calibration){.elements = from->elements,
                                   .inputs = calloc(from->count, sizeof(*from->inputs))};
    if (!j->held.inputs)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < from->count; i++)
        if (judge_is_held(from, i))
            j->held.inputs[j->held.count++] = from->inputs[i];
    j->exact = calloc(j->held.count, sizeof(*j->exact));
    return j->exact ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

static void detect(struct judge *j, const float *const *values)
{
    const struct sl_head_contract *head = &j->model->head;
    j->candidates.limit = SL_MAX_CANDIDATES;
    sl_head_decode(j->head, values, FLOOR, &j->candidates);
    sl_candidates_suppress(&j->candidates, head->nms_iou, head->nms_per_class);
}

static int remember(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct judge *j = ctx;
    struct found *f = &j->exact[picture];
    detect(j, values);
    f->count = j->candidates.count;
    f->rows = malloc(f->count * sizeof(*f->rows) + 1);
    if (!f->rows)
        return sl_error_set(error, -ENOMEM, "out of memory");
    memcpy(f->rows, j->candidates.rows, f->count * sizeof(*f->rows));
    return 0;
}

static double square(double x)
{
    return x * x;
}

// The strongest row that is the same object as `d` and not taken, or UINT32_MAX.
static uint32_t counterpart(const struct sl_candidates *c, const bool *taken,
                            const struct sl_detection *d)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (!taken[i] && c->rows[i].class_id == d->class_id &&
            sl_box_overlap(&c->rows[i], d) >= SAME_OBJECT)
            return i;
    return UINT32_MAX;
}

static int compare(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct judge *j = ctx;
    const struct found *f = &j->exact[picture];
    bool taken[SL_MAX_CANDIDATES] = {false};
    (void)error;
    detect(j, values);
    for (uint32_t i = 0; i < f->count; i++) {
        const struct sl_detection *d = &f->rows[i];
        const uint32_t k = counterpart(&j->candidates, taken, d);
        const double weight = square((double)d->score);
        j->size += weight;
        if (k == UINT32_MAX) {
            j->error += weight;
            continue;
        }
        taken[k] = true;
        j->error += square((double)(d->score - j->candidates.rows[k].score)) +
                    weight * square((double)(1 - sl_box_overlap(d, &j->candidates.rows[k])));
    }
    for (uint32_t k = 0; k < j->candidates.count; k++)
        if (!taken[k])
            j->error += square((double)j->candidates.rows[k].score);
    return 0;
}

// The graph's outputs in the order in which the head names them.
static int find_outputs(struct judge *j, const struct graph *graph, struct sl_error *error)
{
    const struct sl_head_contract *head = &j->model->head;
    j->n_outputs = head->n_outputs;
    for (uint32_t i = 0; i < head->n_outputs; i++) {
        uint32_t k = 0;
        while (k < graph->n_outputs &&
               strcmp(graph->tensors[graph->outputs[k]].name, head->outputs[i]) != 0)
            k++;
        if (k == graph->n_outputs)
            return sl_error_set(error, -EINVAL, "head: the network has no output '%s'",
                                head->outputs[i]);
        j->outputs[i] = graph->outputs[k];
    }
    return 0;
}

static int run(struct judge *j, const struct graph *graph, calibration_each each,
               struct sl_error *error)
{
    const int status = find_outputs(j, graph, error);
    return status < 0 ? status
                      : calibration_run(graph, &j->held, j->outputs, j->n_outputs, each, j, error);
}

int judge_new(const struct sl_model *model, const struct graph *graph,
              const struct calibration *calibration, struct judge **out, struct sl_error *error)
{
    struct judge *j = calloc(1, sizeof(*j));
    if (!j)
        return sl_error_set(error, -ENOMEM, "out of memory");
    j->model = model;
    int status = sl_head_new(model, &j->head, error);
    if (status == 0)
        status = take_pictures(j, calibration, error);
    if (status == 0)
        status = run(j, graph, remember, error);
    if (status < 0) {
        judge_free(j);
        return status;
    }
    *out = j;
    return 0;
}

void judge_free(struct judge *j)
{
    if (!j)
        return;
    for (uint32_t i = 0; j->exact && i < j->held.count; i++)
        free(j->exact[i].rows);
    free(j->exact);
    free(j->held.inputs);
    sl_head_free(j->head);
    free(j);
}

int judge_error(struct judge *j, const struct graph *graph, double *out, struct sl_error *error)
{
    j->error = j->size = 0;
    const int status = run(j, graph, compare, error);
    *out = j->error / (j->size + 1e-9);
    return status;
}
