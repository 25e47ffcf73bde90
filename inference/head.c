// Heads: opening one, and what the detector families share.
#include "inference/head_family.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

float head_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

float head_logit(float p)
{
    return p <= 0 ? -INFINITY : p >= 1 ? INFINITY : logf(p / (1 - p)) - 1e-4f;
}

int head_refuse_shape(const struct sl_head *head, uint32_t output, struct sl_error *error,
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

bool head_has_dims(const struct sl_tensor *t, uint32_t rank, const int64_t *dims)
{
    if (t->rank != rank)
        return false;
    for (uint32_t i = 0; i < rank; i++)
        if (t->dims[i] != dims[i])
            return false;
    return true;
}

int64_t head_cells(const struct sl_head *head)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < head->n_maps; i++)
        sum += head->maps[i].height * head->maps[i].width;
    return sum;
}

uint32_t head_best_of(const float *scores, uint32_t count, int64_t step, float *best)
{
    uint32_t which = 0;
    for (uint32_t c = 1; c < count; c++)
        if (scores[c * step] > scores[which * step])
            which = c;
    *best = scores[which * step];
    return which;
}

void head_add_centred(struct sl_candidates *candidates, float x, float y, float width, float height,
                      float score, uint32_t class_id)
{
    const struct sl_detection d = {x - width / 2,  y - height / 2, x + width / 2,
                                   y + height / 2, score,          class_id};
    sl_candidates_add(candidates, &d);
}

static const struct family families[] = {
    [SL_HEAD_CENTRE] = {"centre", centre_check, centre_decode},
    [SL_HEAD_YOLOX] = {"yolox", yolox_check, yolox_decode},
    [SL_HEAD_YOLOV5] = {"yolov5", yolov5_check, yolov5_decode},
    [SL_HEAD_YOLOV8] = {"yolov8", yolov8_check, yolov8_decode},
    [SL_HEAD_FASTESTDET] = {"fastestdet", fastestdet_check, fastestdet_decode},
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
