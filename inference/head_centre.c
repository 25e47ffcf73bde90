// Heads of the kind `centre`: class logits and distances on one grid per stride.
#include "inference/head_family.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int centre_check(struct sl_head *head, struct sl_error *error)
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
        if (!head_has_dims(head->tensors[2 * i], 4, classes))
            return head_refuse_shape(head, 2 * i, error, expected);
        snprintf(expected, sizeof(expected), "1 x 4 x %lld x %lld", (long long)m->height,
                 (long long)m->width);
        if (!head_has_dims(head->tensors[2 * i + 1], 4, boxes))
            return head_refuse_shape(head, 2 * i + 1, error, expected);
    }
    head->best = calloc((size_t)head_cells(head), sizeof(*head->best));
    head->which = calloc((size_t)head_cells(head), sizeof(*head->which));
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

void centre_decode(struct sl_head *head, const float *const *outputs, float floor,
                   struct sl_candidates *candidates)
{
    const float lowest = head_logit(floor);
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
                head_sigmoid(head->best[k]),    head->which[k]};
            if (d.score >= floor)
                sl_candidates_add(candidates, &d);
        }
    }
}
