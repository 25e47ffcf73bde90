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

// Rows and columns of the result whose window has the tap inside of the map: [first, end).
static void inside(int64_t offset, int64_t stride, int64_t from, int64_t to, int64_t *first,
                   int64_t *end)
{
    *first = offset < 0 ? (-offset + stride - 1) / stride : 0;
    *first = *first < to ? *first : to;
    *end = offset < from ? (from - offset + stride - 1) / stride : 0;
    *end = *end < to ? *end : to;
    *end = *end > *first ? *end : *first;
}

static void gather(float *out, const float *in, int64_t stride, int64_t count)
{
    if (stride == 1)
        memcpy(out, in, (size_t)count * sizeof(*out));
    else
        for (int64_t j = 0; j < count; j++)
            out[j] = in[j * stride];
}

static void scatter(const float *from, float *to, int64_t stride, int64_t count)
{
    for (int64_t j = 0; j < count; j++)
        to[j * stride] += from[j];
}

// One row of the matrix: a tap of a channel at all positions. With `back`, added to the channel.
static void tap(const struct shape *s, float *plane, int64_t ky, int64_t kx, float *row, bool back)
{
    const struct sl_conv_attrs *a = s->attrs;
    const int64_t dy = ky * a->dilation[0] - a->pad[0], dx = kx * a->dilation[1] - a->pad[1];
    const int64_t width = s->y->width;
    int64_t top, bottom, left, right;
    inside(dy, a->stride[0], s->x->height, s->y->height, &top, &bottom);
    inside(dx, a->stride[1], s->x->width, width, &left, &right);
    if (!back) {
        memset(row, 0, (size_t)(top * width) * sizeof(*row));
        memset(row + bottom * width, 0, (size_t)((s->y->height - bottom) * width) * sizeof(*row));
    }
    for (int64_t i = top; i < bottom; i++) {
        float *out = row + i * width;
        float *in = plane + (i * a->stride[0] + dy) * s->x->width + left * a->stride[1] + dx;
        if (back) {
            scatter(out + left, in, a->stride[1], right - left);
            continue;
        }
        memset(out, 0, (size_t)left * sizeof(*out));
        gather(out + left, in, a->stride[1], right - left);
        memset(out + right, 0, (size_t)(width - right) * sizeof(*out));
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

// Each position reads itself alone: the map is the matrix.
static bool is_pointwise(const struct shape *s)
{
    const struct sl_conv_attrs *a = s->attrs;
    bool is = s->x->height == s->y->height && s->x->width == s->y->width;
    for (int i = 0; i < 2; i++)
        is = is && a->kernel[i] == 1 && a->stride[i] == 1 && a->pad[i] == 0 && a->pad[i + 2] == 0;
    return is;
}

// The windows of a group; `room` where they have to be written.
static float *windows(const struct shape *s, int64_t group, float *room)
{
    if (is_pointwise(s))
        return s->x->value + group * s->in * s->positions;
    columns(s, group, s->x->value, room, false);
    return room;
}

void tape_conv_forward(struct tape *t, uint32_t n)
{
    const struct shape s = shape_of(t, &t->graph->nodes[n]);
    const struct tape_layer *l = &t->layers[t->layer[n]];
    for (int64_t g = 0; g < s.groups; g++) {
        float *y = s.y->value + g * s.out * s.positions;
        const float *x = windows(&s, g, t->columns);
        for (int64_t o = 0; o < s.out; o++)
            for (int64_t p = 0; p < s.positions; p++)
                y[o * s.positions + p] = l->biases[g * s.out + o];
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s.out, (int)s.positions,
                    (int)s.k, 1, l->weights + g * s.out * s.k, (int)s.k, x, (int)s.positions, 1, y,
                    (int)s.positions);
    }
}

void tape_conv_backward(struct tape *t, uint32_t n)
{
    const struct shape s = shape_of(t, &t->graph->nodes[n]);
    struct tape_layer *l = &t->layers[t->layer[n]];
    const bool further = t->graph->nodes[n].inputs[0] != t->graph->inputs[0];
    for (int64_t g = 0; g < s.groups; g++) {
        const float *dy = s.y->grad + g * s.out * s.positions;
        const float *x = windows(&s, g, t->columns);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s.out, (int)s.k, (int)s.positions,
                    1, dy, (int)s.positions, x, (int)s.positions, 1,
                    l->weight_grads + g * s.out * s.k, (int)s.k);
        for (int64_t o = 0; o < s.out; o++) {
            double sum = 0;
            for (int64_t p = 0; p < s.positions; p++)
                sum += (double)dy[o * s.positions + p];
            l->bias_grads[g * s.out + o] += (float)sum;
        }
        if (!further)
            continue;
        const bool pointwise = is_pointwise(&s);
        float *dx = pointwise ? s.x->grad + g * s.in * s.positions : t->column_grads;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)s.k, (int)s.positions, (int)s.out,
                    1, l->weights + g * s.out * s.k, (int)s.k, dy, (int)s.positions, pointwise, dx,
                    (int)s.positions);
        if (!pointwise)
            columns(&s, g, s.x->grad, dx, true);
    }
}
