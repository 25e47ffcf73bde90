// The YOLO families: yolox, yolov5, yolov8.
#include "inference/head_family.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

static int rows_check(struct sl_head *head, struct sl_error *error, int64_t rows)
{
    const int64_t dims[3] = {1, rows, 5 + (int64_t)head->model->n_classes};
    char expected[96];
    snprintf(expected, sizeof(expected), "1 x %lld x %lld (5 + classes)", (long long)rows,
             (long long)dims[2]);
    if (head->model->head.n_outputs != 1 || !head_has_dims(head->tensors[0], 3, dims))
        return head_refuse_shape(head, 0, error, expected);
    return 0;
}

int yolox_check(struct sl_head *head, struct sl_error *error)
{
    return rows_check(head, error, head_cells(head));
}

void yolox_decode(struct sl_head *head, const float *const *outputs, float floor,
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
            const uint32_t which = head_best_of(row + 5, classes, 1, &best);
            if (best * row[4] >= floor)
                head_add_centred(candidates, (row[0] + (float)(k % m->width)) * m->stride,
                                 (row[1] + (float)(k / m->width)) * m->stride,
                                 expf(row[2]) * m->stride, expf(row[3]) * m->stride, best * row[4],
                                 which);
        }
    }
}

int yolov5_check(struct sl_head *head, struct sl_error *error)
{
    const struct sl_head_contract *contract = &head->model->head;
    const int64_t anchors = contract->n_anchors ? contract->n_anchors : 3;
    head->decoded = contract->n_outputs == 1 && head->tensors[0]->rank == 3;
    if (head->decoded)
        return rows_check(head, error, head_cells(head) * anchors);
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
        if (!(head->last ? head_has_dims(head->tensors[i], 5, last)
                         : head_has_dims(head->tensors[i], 4, planes)))
            return head_refuse_shape(head, i, error,
                                     "anchors x (5 + classes) on the stride's grid");
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
        const uint32_t which = head_best_of(row + 5, classes, 1, &best);
        if (best * row[4] >= floor)
            head_add_centred(candidates, row[0], row[1], row[2], row[3], best * row[4], which);
    }
}

// `v` is the first of the 5 + C values of one anchor at one cell, `step` apart.
static void yolov5_cell(const struct sl_head *head, const struct map *m, const float *v,
                        int64_t step, const float anchor[2], int64_t cell, float floor,
                        struct sl_candidates *candidates)
{
    float best;
    const float object = head_sigmoid(v[4 * step]);
    if (!(object >= floor) || isinf(v[4 * step]))
        return;
    const uint32_t which = head_best_of(v + 5 * step, head->model->n_classes, step, &best);
    const float score = object * head_sigmoid(best);
    if (!(score >= floor) || isinf(best))
        return;
    const float w = 2 * head_sigmoid(v[2 * step]), h = 2 * head_sigmoid(v[3 * step]);
    head_add_centred(candidates,
                     (2 * head_sigmoid(v[0]) - 0.5f + (float)(cell % m->width)) * m->stride,
                     (2 * head_sigmoid(v[step]) - 0.5f + (float)(cell / m->width)) * m->stride,
                     w * w * anchor[0], h * h * anchor[1], score, which);
}

void yolov5_decode(struct sl_head *head, const float *const *outputs, float floor,
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

int yolov8_check(struct sl_head *head, struct sl_error *error)
{
    const int64_t classes = head->model->n_classes;
    const int64_t dims[3] = {1, 4 + classes, head_cells(head)};
    head->decoded = head->model->head.n_outputs == 1 && head->tensors[0]->rank == 3;
    if (head->decoded)
        return head_has_dims(head->tensors[0], 3, dims)
                   ? 0
                   : head_refuse_shape(head, 0, error, "1 x (4 + classes) x cells of all strides");
    if (head->model->head.n_outputs != head->n_maps)
        return head_refuse_shape(head, 0, error, "one output per stride, or one decoded output");
    head->bins = head->tensors[0]->rank == 4 ? (head->tensors[0]->dims[1] - classes) / 4 : 0;
    for (uint32_t i = 0; i < head->n_maps; i++) {
        const struct map *m = &head->maps[i];
        const int64_t planes[4] = {1, 4 * head->bins + classes, m->height, m->width};
        if (head->bins < 1 || !head_has_dims(head->tensors[i], 4, planes))
            return head_refuse_shape(head, i, error, "1 x (4 bins + classes) on the stride's grid");
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
    const float lowest = head_logit(floor);
    for (int64_t k = 0; k < n; k++) {
        float best, side[4];
        const uint32_t which =
            head_best_of(v + 4 * head->bins * n + k, head->model->n_classes, n, &best);
        if (!(best >= lowest) || !(head_sigmoid(best) >= floor) || isinf(best))
            continue;
        for (int s = 0; s < 4; s++)
            side[s] = head->bins == 1 ? v[s * n + k]
                                      : expected_bin(v + s * head->bins * n + k, head->bins, n);
        const float x = (float)(k % m->width) + 0.5f, y = (float)(k / m->width) + 0.5f;
        const struct sl_detection d = {(x - side[0]) * m->stride, (y - side[1]) * m->stride,
                                       (x + side[2]) * m->stride, (y + side[3]) * m->stride,
                                       head_sigmoid(best),        which};
        sl_candidates_add(candidates, &d);
    }
}

void yolov8_decode(struct sl_head *head, const float *const *outputs, float floor,
                   struct sl_candidates *candidates)
{
    for (uint32_t i = 0; !head->decoded && i < head->n_maps; i++)
        yolov8_map(head, &head->maps[i], outputs[i], floor, candidates);
    const int64_t n = head->decoded ? head->tensors[0]->dims[2] : 0;
    for (int64_t k = 0; k < n; k++) {
        const float *v = outputs[0] + k;
        float best;
        const uint32_t which = head_best_of(v + 4 * n, head->model->n_classes, n, &best);
        if (best >= floor)
            head_add_centred(candidates, v[0], v[n], v[2 * n], v[3 * n], best, which);
    }
}
