// Convolutions of a tape: windows as the columns of a matrix, group by group.
#include "inference/workshop/tape_conv.h"

#include "accel/tensor.h"

#include <cblas.h>
#include <string.h>

struct shape {
    const struct sl_conv_attrs *attrs;
    const struct tape_map *x, *y;
    int64_t groups, in, out; // channels of a group
    int64_t k, positions;    // rows and columns of the matrix of windows
};

static struct shape shape_of(const struct tape *t, const struct sl_node *node)
{
    struct shape s = {.attrs = &node->attrs.conv,
                      .x = &t->maps[node->inputs[0]],
                      .y = &t->maps[node->outputs[0]],
                      .groups = node->attrs.conv.group};
    s.in = s.x->channels / s.groups;
    s.out = s.y->channels / s.groups;
    s.k = s.in * s.attrs->kernel[0] * s.attrs->kernel[1];
    s.positions = s.y->height * s.y->width;
    return s;
}

uint64_t tape_columns(const struct tape *t, const struct sl_node *node)
{
    const struct shape s = shape_of(t, node);
    return (uint64_t)(s.k * s.positions);
}

// One row of the matrix: a tap of a channel at all positions. With `back`, added to the channel.
static void tap(const struct shape *s, float *plane, int64_t ky, int64_t kx, float *row, bool back)
{
    const struct sl_conv_attrs *a = s->attrs;
    for (int64_t i = 0; i < s->y->height; i++) {
        const int64_t v = i * a->stride[0] - a->pad[0] + ky * a->dilation[0];
        float *out = row + i * s->y->width;
        if (v < 0 || v >= s->x->height) {
            if (!back)
                memset(out, 0, (size_t)s->y->width * sizeof(*out));
            continue;
        }
        float *in = plane + v * s->x->width;
        const int64_t first = kx * a->dilation[1] - a->pad[1];
        for (int64_t j = 0; j < s->y->width; j++) {
            const int64_t u = first + j * a->stride[1];
            const bool inside = u >= 0 && u < s->x->width;
            if (!back)
                out[j] = inside ? in[u] : 0;
            else if (inside)
                in[u] += out[j];
        }
    }
}

static void columns(const struct shape *s, int64_t group, float *x, float *matrix, bool back)
{
    const int64_t kh = s->attrs->kernel[0], kw = s->attrs->kernel[1];
    for (int64_t c = 0; c < s->in; c++)
        for (int64_t k = 0; k < kh * kw; k++)
            tap(s, x + (group * s->in + c) * s->x->height * s->x->width, k / kw, k % kw,
                matrix + (c * kh * kw + k) * s->positions, back);
}

void tape_conv_forward(struct tape *t, uint32_t n)
{
    const struct shape s = shape_of(t, &t->graph->nodes[n]);
    const struct tape_layer *l = &t->layers[t->layer[n]];
    for (int64_t g = 0; g < s.groups; g++) {
        float *y = s.y->value + g * s.out * s.positions;
        columns(&s, g, s.x->value, t->columns, false);
        for (int64_t o = 0; o < s.out; o++)
            for (int64_t p = 0; p < s.positions; p++)
                y[o * s.positions + p] = l->biases[g * s.out + o];
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s.out, (int)s.positions,
                    (int)s.k, 1, l->weights + g * s.out * s.k, (int)s.k, t->columns,
                    (int)s.positions, 1, y, (int)s.positions);
    }
}

void tape_conv_backward(struct tape *t, uint32_t n)
{
    const struct shape s = shape_of(t, &t->graph->nodes[n]);
    struct tape_layer *l = &t->layers[t->layer[n]];
    const bool further = t->graph->nodes[n].inputs[0] != t->graph->inputs[0];
    for (int64_t g = 0; g < s.groups; g++) {
        const float *dy = s.y->grad + g * s.out * s.positions;
        columns(&s, g, s.x->value, t->columns, false);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s.out, (int)s.k, (int)s.positions,
                    1, dy, (int)s.positions, t->columns, (int)s.positions, 1,
                    l->weight_grads + g * s.out * s.k, (int)s.k);
        for (int64_t o = 0; o < s.out; o++) {
            double sum = 0;
            for (int64_t p = 0; p < s.positions; p++)
                sum += (double)dy[o * s.positions + p];
            l->bias_grads[g * s.out + o] += (float)sum;
        }
        if (!further)
            continue;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)s.k, (int)s.positions, (int)s.out,
                    1, l->weights + g * s.out * s.k, (int)s.k, dy, (int)s.positions, 0,
                    t->column_grads, (int)s.positions);
        columns(&s, g, s.x->grad, t->column_grads, true);
    }
}
