// FastestDet: one grid, one box per cell.
#include "inference/head_family.h"

#include <math.h>
#include <stdio.h>

int fastestdet_check(struct sl_head *head, struct sl_error *error)
{
    const struct map *m = &head->maps[0];
    const int64_t classes = head->model->n_classes;
    const int64_t joined[4] = {1, 5 + classes, m->height, m->width};
    const int64_t planes[3] = {1, 4, classes};
    char expected[96];
    head->decoded = head->model->head.n_outputs == 1;
    snprintf(expected, sizeof(expected), "1 x %lld x %lld x %lld (objectness, box, classes)",
             (long long)joined[1], (long long)m->height, (long long)m->width);
    if (head->decoded)
        return head_has_dims(head->tensors[0], 4, joined) && head->n_maps == 1
                   ? 0
                   : head_refuse_shape(head, 0, error, expected);
    if (head->model->head.n_outputs != 3)
        return head_refuse_shape(head, 0, error,
                                 "one output, or three: objectness, box and class logits");
    for (uint32_t i = 0; i < 3; i++) {
        const int64_t dims[4] = {1, planes[i], m->height, m->width};
        snprintf(expected, sizeof(expected), "1 x %lld x %lld x %lld", (long long)planes[i],
                 (long long)m->height, (long long)m->width);
        if (!head_has_dims(head->tensors[i], 4, dims))
            return head_refuse_shape(head, i, error, expected);
    }
    return 0;
}

// The greatest of `count` probabilities that are given as logits, by softmax.
static float best_softmax(const float *logits, uint32_t count, int64_t step, uint32_t *which)
{
    float most, sum = 0;
    *which = head_best_of(logits, count, step, &most);
    for (uint32_t c = 0; c < count; c++)
        sum += expf(logits[c * step] - most);
    return 1 / sum;
}

void fastestdet_decode(struct sl_head *head, const float *const *outputs, float floor,
                       struct sl_candidates *candidates)
{
    const struct map *m = &head->maps[0];
    const int64_t n = m->height * m->width;
    const uint32_t classes = head->model->n_classes;
    const float *object = outputs[0];
    const float *box = head->decoded ? outputs[0] + n : outputs[1];
    const float *class = head->decoded ? outputs[0] + 5 * n : outputs[2];
    const float width = (float)head->model->input.width, height = (float)head->model->input.height;
    for (int64_t k = 0; k < n; k++) {
        uint32_t which;
        float best;
        if (head->decoded)
            which = head_best_of(class + k, classes, n, &best);
        else
            best = best_softmax(class + k, classes, n, &which);
        const float present = head->decoded ? object[k] : head_sigmoid(object[k]);
        const float score = powf(present, 0.6f) * powf(best, 0.4f);
        if (!(score >= floor) || isinf(score))
            continue;
        head_add_centred(candidates, (tanhf(box[k]) + (float)(k % m->width)) * m->stride,
                         (tanhf(box[n + k]) + (float)(k / m->width)) * m->stride,
                         head_sigmoid(box[2 * n + k]) * width,
                         head_sigmoid(box[3 * n + k]) * height, score, which);
    }
}
