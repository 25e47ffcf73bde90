// Decoding of the detector families.
#include "inference/head.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct map { // one stride's grid
    int64_t height, width;
    float stride;
};

struct sl_head {
    const struct sl_model *model;
    const struct family *family;
    uint32_t n_maps;
    struct map maps[SL_MAX_STRIDES];
    const struct sl_tensor *tensors[SL_MAX_OUTPUTS];
    bool decoded; // yolov5, yolov8: one output in pixels
    bool last;    // yolov5 raw: the 5 + C values stand last
    int64_t bins; // yolov8 raw
    float *best;  // centre: highest logit of each cell, and its class
    uint32_t *which;
};

struct family {
    const char *name;
    int (*check)(struct sl_head *head, struct sl_error *error);
    void (*decode)(struct sl_head *head, const float *const *outputs, float floor,
                   struct sl_candidates *candidates);
};

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

// The logit whose sigmoid is p, a little lower so that rounding never loses a candidate.
static float logit(float p)
{
    return p <= 0 ? -INFINITY : p >= 1 ? INFINITY : logf(p / (1 - p)) - 1e-4f;
}

static int refuse_shape(const struct sl_head *head, uint32_t output, struct sl_error *error,
                        const char *expected)
{
    const struct sl_tensor *t = head->tensors[output];
    char found[160] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < t->rank; i++)
        used += (size_t)snprintf(found + used, sizeof(found) - used, "%s%lld", i ? " x " : "",
                                 (long long)t->dims[i]);
    return sl_error_set(error, -EINVAL, "output '%s' of head %s: expected %s, found %s",
                        head->model->head.outputs[output], head->family->name, expected, found);
}

static bool has_dims(const struct sl_tensor *t, uint32_t rank, const int64_t *dims)
{
    if (t->rank != rank)
        return false;
    for (uint32_t i = 0; i < rank; i++)
        if (t->dims[i] != dims[i])
            return false;
    return true;
}

static int64_t cells(const struct sl_head *head)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < head->n_maps; i++)
        sum += head->maps[i].height * head->maps[i].width;
    return sum;
}

static int centre_check(struct sl_head *head, struct sl_error *error)
{
    const struct sl_model *model = head->model;
    char expected[96];
    if (model->head.n_outputs != 2 * head->n_maps)
        return sl_error_set(error, -EINVAL,
                            "head centre: expected two outputs (logits, boxes) per stride, found "
                            "%u outputs and %u strides",
                            model->head.n_outputs, head->n_maps);
    for (uint32_t i = 0; i < head->n_maps; i++) {
        const struct map *m = &head->maps[i];
        const int64_t classes[4] = {1, model->n_classes, m->height, m->width};
        const int64_t boxes[4] = {1, 4, m->height, m->width};
        snprintf(expected, sizeof(expected), "1 x %u classes x %lld x %lld", model->n_classes,
                 (long long)m->height, (long long)m->width);
        if (!has_dims(head->tensors[2 * i], 4, classes))
            return refuse_shape(head, 2 * i, error, expected);
        snprintf(expected, sizeof(expected), "1 x 4 x %lld x %lld", (long long)m->height,
                 (long long)m->width);
        if (!has_dims(head->tensors[2 * i + 1], 4, boxes))
            return refuse_shape(head, 2 * i + 1, error, expected);
    }
    head->best = calloc((size_t)cells(head), sizeof(*head->best));
    head->which = calloc((size_t)cells(head), sizeof(*head->which));
    if (!head->best || !head->which)
        return sl_error_set(error, -ENOMEM, "out of memory");
    return 0;
}

static void highest_class(const struct sl_head *head, const struct map *m, const float *logits)
{
    const int64_t n = m->height * m->width;
    for (int64_t i = 0; i < n; i++) {
        head->best[i] = logits[i];
        head->which[i] = 0;
    }
    for (uint32_t c = 1; c < head->model->n_classes; c++) {
        const float *plane = logits + c * n;
        for (int64_t i = 0; i < n; i++) {
            const bool higher = plane[i] > head->best[i];
            head->best[i] = higher ? plane[i] : head->best[i];
            head->which[i] = higher ? c : head->which[i];
        }
    }
}

static bool is_peak(const struct sl_head *head, const struct map *m, int64_t row, int64_t column)
{
    const int64_t reach = head->model->head.peak_window / 2;
    const float value = head->best[row * m->width + column];
    for (int64_t y = row - reach; y <= row + reach; y++)
        for (int64_t x = column - reach; x <= column + reach; x++)
            if (y >= 0 && x >= 0 && y < m->height && x < m->width &&
                head->best[y * m->width + x] > value)
                return false;
    return true;
}

static void centre_decode(struct sl_head *head, const float *const *outputs, float floor,
                          struct sl_candidates *candidates)
{
    const float lowest = logit(floor);
    for (uint32_t i = 0; i < head->n_maps; i++) {
        const struct map *m = &head->maps[i];
        const int64_t n = m->height * m->width;
        const float *box = outputs[2 * i + 1];
        highest_class(head, m, outputs[2 * i]);
        for (int64_t k = 0; k < n; k++) {
            if (!(head->best[k] >= lowest) || isinf(head->best[k]) ||
                !is_peak(head, m, k / m->width, k % m->width))
                continue;
            const float x = ((float)(k % m->width) + 0.5f) * m->stride;
            const float y = ((float)(k / m->width) + 0.5f) * m->stride;
            const struct sl_detection d = {
                x - box[k] * m->stride,         y - box[n + k] * m->stride,
                x + box[2 * n + k] * m->stride, y + box[3 * n + k] * m->stride,
                sigmoid(head->best[k]),         head->which[k]};
            if (d.score >= floor)
                sl_candidates_add(candidates, &d);
        }
    }
}

// The best class of `count` scores `step` apart.
static uint32_t best_of(const float *scores, uint32_t count, int64_t step, float *best)
{
    uint32_t which = 0;
    for (uint32_t c = 1; c < count; c++)
        if (scores[c * step] > scores[which * step])
            which = c;
    *best = scores[which * step];
    return which;
}

static void add_centred(struct sl_candidates *candidates, float x, float y, float width,
                        float height, float score, uint32_t class_id)
{
    const struct sl_detection d = {x - width / 2,  y - height / 2, x + width / 2,
                                   y + height / 2, score,          class_id};
    sl_candidates_add(candidates, &d);
}

static int rows_check(struct sl_head *head, struct sl_error *error, int64_t rows)
{
    const int64_t dims[3] = {1, rows, 5 + (int64_t)head->model->n_classes};
    char expected[96];
    snprintf(expected, sizeof(expected), "1 x %lld x %lld (5 + classes)", (long long)rows,
             (long long)dims[2]);
    if (head->model->head.n_outputs != 1 || !has_dims(head->tensors[0], 3, dims))
        return refuse_shape(head, 0, error, expected);
    return 0;
}

static int yolox_check(struct sl_head *head, struct sl_error *error)
{
    return rows_check(head, error, cells(head));
}

static void yolox_decode(struct sl_head *head, const float *const *outputs, float floor,
                         struct sl_candidates *candidates)
{
    const uint32_t classes = head->model->n_classes;
    const float *row = outputs[0];
    for (uint32_t i = 0; i < head->n_maps; i++) {
        const struct map *m = &head->maps[i];
        for (int64_t k = 0; k < m->height * m->width; k++, row += 5 + classes) {
            float best;
            if (!(row[4] >= floor))
                continue;
            const uint32_t which = best_of(row + 5, classes, 1, &best);
            if (best * row[4] >= floor)
                add_centred(candidates, (row[0] + (float)(k % m->width)) * m->stride,
                            (row[1] + (float)(k / m->width)) * m->stride, expf(row[2]) * m->stride,
                            expf(row[3]) * m->stride, best * row[4], which);
        }
    }
}

static int yolov5_check(struct sl_head *head, struct sl_error *error)
{
    const struct sl_head_contract *contract = &head->model->head;
    const int64_t anchors = contract->n_anchors ? contract->n_anchors : 3;
    head->decoded = contract->n_outputs == 1 && head->tensors[0]->rank == 3;
    if (head->decoded)
        return rows_check(head, error, cells(head) * anchors);
    if (contract->n_outputs != head->n_maps || contract->n_anchors == 0)
        return sl_error_set(error, -EINVAL,
                            "head yolov5: raw outputs need one per stride and head.anchors; found "
                            "%u outputs, %u strides, %u anchors",
                            contract->n_outputs, head->n_maps, contract->n_anchors);
    const int64_t values = 5 + (int64_t)head->model->n_classes;
    head->last = head->tensors[0]->rank == 5;
    for (uint32_t i = 0; i < head->n_maps; i++) {
        const struct map *m = &head->maps[i];
        const int64_t last[5] = {1, anchors, m->height, m->width, values};
        const int64_t planes[4] = {1, anchors * values, m->height, m->width};
        if (!(head->last ? has_dims(head->tensors[i], 5, last)
                         : has_dims(head->tensors[i], 4, planes)))
            return refuse_shape(head, i, error, "anchors x (5 + classes) on the stride's grid");
    }
    return 0;
}

static void yolov5_rows(struct sl_head *head, const float *row, float floor,
                        struct sl_candidates *candidates)
{
    const uint32_t classes = head->model->n_classes;
    for (int64_t k = 0; k < head->tensors[0]->dims[1]; k++, row += 5 + classes) {
        float best;
        if (!(row[4] >= floor))
            continue;
        const uint32_t which = best_of(row + 5, classes, 1, &best);
        if (best * row[4] >= floor)
            add_centred(candidates, row[0], row[1], row[2], row[3], best * row[4], which);
    }
}

// `v` is the first of the 5 + C values of one anchor at one cell, `step` apart.
static void yolov5_cell(const struct sl_head *head, const struct map *m, const float *v,
                        int64_t step, const float anchor[2], int64_t cell, float floor,
                        struct sl_candidates *candidates)
{
    float best;
    const float object = sigmoid(v[4 * step]);
    if (!(object >= floor) || isinf(v[4 * step]))
        return;
    const uint32_t which = best_of(v + 5 * step, head->model->n_classes, step, &best);
    const float score = object * sigmoid(best);
    if (!(score >= floor) || isinf(best))
        return;
    const float w = 2 * sigmoid(v[2 * step]), h = 2 * sigmoid(v[3 * step]);
    add_centred(candidates, (2 * sigmoid(v[0]) - 0.5f + (float)(cell % m->width)) * m->stride,
                (2 * sigmoid(v[step]) - 0.5f + (float)(cell / m->width)) * m->stride,
                w * w * anchor[0], h * h * anchor[1], score, which);
}

static void yolov5_decode(struct sl_head *head, const float *const *outputs, float floor,
                          struct sl_candidates *candidates)
{
    const struct sl_head_contract *contract = &head->model->head;
    const int64_t values = 5 + (int64_t)head->model->n_classes;
    if (head->decoded) {
        yolov5_rows(head, outputs[0], floor, candidates);
        return;
    }
    for (uint32_t i = 0; i < head->n_maps; i++) {
        const struct map *m = &head->maps[i];
        const int64_t n = m->height * m->width;
        for (uint32_t a = 0; a < contract->n_anchors; a++)
            for (int64_t k = 0; k < n; k++)
                yolov5_cell(head, m,
                            head->last ? outputs[i] + (a * n + k) * values
                                       : outputs[i] + a * values * n + k,
                            head->last ? 1 : n, contract->anchors[i][a], k, floor, candidates);
    }
}

static int yolov8_check(struct sl_head *head, struct sl_error *error)
{
    const int64_t classes = head->model->n_classes;
    const int64_t dims[3] = {1, 4 + classes, cells(head)};
    head->decoded = head->model->head.n_outputs == 1 && head->tensors[0]->rank == 3;
    if (head->decoded)
        return has_dims(head->tensors[0], 3, dims)
                   ? 0
                   : refuse_shape(head, 0, error, "1 x (4 + classes) x cells of all strides");
    if (head->model->head.n_outputs != head->n_maps)
        return refuse_shape(head, 0, error, "one output per stride, or one decoded output");
    head->bins = head->tensors[0]->rank == 4 ? (head->tensors[0]->dims[1] - classes) / 4 : 0;
    for (uint32_t i = 0; i < head->n_maps; i++) {
        const struct map *m = &head->maps[i];
        const int64_t planes[4] = {1, 4 * head->bins + classes, m->height, m->width};
        if (head->bins < 1 || !has_dims(head->tensors[i], 4, planes))
            return refuse_shape(head, i, error, "1 x (4 bins + classes) on the stride's grid");
    }
    return 0;
}

// The mean of a distribution given as logits.
static float expected_bin(const float *logits, int64_t bins, int64_t step)
{
    float most = -INFINITY, sum = 0, mean = 0;
    for (int64_t b = 0; b < bins; b++)
        most = fmaxf(most, logits[b * step]);
    for (int64_t b = 0; b < bins; b++) {
        const float e = expf(logits[b * step] - most);
        sum += e;
        mean += e * (float)b;
    }
    return mean / sum;
}

static void yolov8_map(const struct sl_head *head, const struct map *m, const float *v, float floor,
                       struct sl_candidates *candidates)
{
    const int64_t n = m->height * m->width;
    const float lowest = logit(floor);
    for (int64_t k = 0; k < n; k++) {
        float best, side[4];
        const uint32_t which =
            best_of(v + 4 * head->bins * n + k, head->model->n_classes, n, &best);
        if (!(best >= lowest) || !(sigmoid(best) >= floor) || isinf(best))
            continue;
        for (int s = 0; s < 4; s++)
            side[s] = head->bins == 1 ? v[s * n + k]
                                      : expected_bin(v + s * head->bins * n + k, head->bins, n);
        const float x = (float)(k % m->width) + 0.5f, y = (float)(k / m->width) + 0.5f;
        const struct sl_detection d = {(x - side[0]) * m->stride,
                                       (y - side[1]) * m->stride,
                                       (x + side[2]) * m->stride,
                                       (y + side[3]) * m->stride,
                                       sigmoid(best),
                                       which};
        sl_candidates_add(candidates, &d);
    }
}

static void yolov8_decode(struct sl_head *head, const float *const *outputs, float floor,
                          struct sl_candidates *candidates)
{
    for (uint32_t i = 0; !head->decoded && i < head->n_maps; i++)
        yolov8_map(head, &head->maps[i], outputs[i], floor, candidates);
    const int64_t n = head->decoded ? head->tensors[0]->dims[2] : 0;
    for (int64_t k = 0; k < n; k++) {
        const float *v = outputs[0] + k;
        float best;
        const uint32_t which = best_of(v + 4 * n, head->model->n_classes, n, &best);
        if (best >= floor)
            add_centred(candidates, v[0], v[n], v[2 * n], v[3 * n], best, which);
    }
}

static const struct family families[] = {
    [SL_HEAD_CENTRE] = {"centre", centre_check, centre_decode},
    [SL_HEAD_YOLOX] = {"yolox", yolox_check, yolox_decode},
    [SL_HEAD_YOLOV5] = {"yolov5", yolov5_check, yolov5_decode},
    [SL_HEAD_YOLOV8] = {"yolov8", yolov8_check, yolov8_decode},
};

static int find_outputs(struct sl_head *head, struct sl_error *error)
{
    const struct sl_graph *graph = head->model->graph;
    const struct sl_head_contract *contract = &head->model->head;
    for (uint32_t i = 0; i < contract->n_outputs; i++) {
        uint32_t k = 0;
        const char *name = contract->outputs[i];
        while (k < graph->n_outputs && strcmp(graph->tensors[graph->outputs[k]].name, name) != 0)
            k++;
        if (k == graph->n_outputs)
            return sl_error_set(error, -EINVAL, "head: the network has no output '%s'", name);
        head->tensors[i] = &graph->tensors[graph->outputs[k]];
        if (head->tensors[i]->dtype != SL_F32)
            return sl_error_set(error, -ENOTSUP, "head: output '%s' must be float32", name);
    }
    return contract->n_outputs ? 0 : sl_error_set(error, -EINVAL, "head: no outputs are named");
}

static int find_maps(struct sl_head *head, struct sl_error *error)
{
    const struct sl_input_contract *input = &head->model->input;
    for (uint32_t i = 0; i < head->model->head.n_strides; i++) {
        const uint32_t stride = head->model->head.strides[i];
        if (stride == 0 || input->width % stride || input->height % stride)
            return sl_error_set(error, -EINVAL,
                                "head: stride %u does not divide the input of %u x %u", stride,
                                input->width, input->height);
        head->maps[head->n_maps++] =
            (struct map){input->height / stride, input->width / stride, (float)stride};
    }
    return head->n_maps ? 0 : sl_error_set(error, -EINVAL, "head: no strides are given");
}

int sl_head_new(const struct sl_model *model, struct sl_head **out, struct sl_error *error)
{
    const uint32_t type = model->head.type;
    if (type >= sizeof(families) / sizeof(families[0]) || !families[type].check)
        return sl_error_set(error, -EINVAL, "head type %u is not known", type);
    struct sl_head *head = calloc(1, sizeof(*head));
    if (!head)
        return sl_error_set(error, -ENOMEM, "out of memory");
    head->model = model;
    head->family = &families[type];
    int status = find_outputs(head, error);
    if (status == 0)
        status = find_maps(head, error);
    if (status == 0)
        status = head->family->check(head, error);
    if (status < 0) {
        sl_head_free(head);
        return status;
    }
    *out = head;
    return 0;
}

void sl_head_free(struct sl_head *head)
{
    if (!head)
        return;
    free(head->best);
    free(head->which);
    free(head);
}

void sl_head_decode(struct sl_head *head, const float *const *outputs, float floor,
                    struct sl_candidates *candidates)
{
    candidates->count = 0;
    head->family->decode(head, outputs, floor, candidates);
}
