// Rows of a layer's input matrix, drawn from the calibration pictures.
#include "inference/workshop/samples.h"

#include "accel/tensor.h"
#include "inference/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const struct sl_node *node;
    const struct sl_tensor *x, *y;
    uint32_t k, first_channel;
    int64_t positions; // of the output
};

static int64_t side(const struct sl_tensor *t, int axis)
{
    return t->rank == 3 && axis == 0 ? 1 : t->dims[t->rank - 2 + (uint32_t)axis];
}

static void read_window(const struct reader *r, const float *x, int64_t position, float *row)
{
    const struct sl_conv_attrs *a = &r->node->attrs.conv;
    const int64_t width = side(r->y, 1), ih = side(r->x, 0), iw = side(r->x, 1);
    const int64_t top = position / width * a->stride[0] - a->pad[0];
    const int64_t left = position % width * a->stride[1] - a->pad[1];
    const int64_t area = a->kernel[0] * a->kernel[1];
    for (uint32_t c = 0; c < r->k / (uint32_t)area; c++) {
        const float *plane = x + (int64_t)(r->first_channel + c) * ih * iw;
        for (int64_t ky = 0; ky < a->kernel[0]; ky++) {
            const int64_t y = top + ky * a->dilation[0];
            for (int64_t kx = 0; kx < a->kernel[1]; kx++) {
                const int64_t at = left + kx * a->dilation[1];
                const bool inside = y >= 0 && y < ih && at >= 0 && at < iw;
                *row++ = inside ? plane[y * iw + at] : 0;
            }
        }
    }
}

static void read_row(const struct reader *r, const float *x, int64_t position, float *row)
{
    if (r->node->op == SL_OP_CONV)
        read_window(r, x, position, row);
    else
        memcpy(row, x + position * r->k, r->k * sizeof(*row));
}

static struct reader open_reader(const struct graph *graph, const struct sl_node *node,
                                 uint32_t group)
{
    const struct sl_tensor *x = &graph->tensors[node->inputs[0]];
    const struct sl_tensor *w = &graph->tensors[node->inputs[1]];
    struct reader r = {.node = node, .x = x, .y = &graph->tensors[node->outputs[0]]};
    if (node->op == SL_OP_CONV) {
        r.k = (uint32_t)sl_dims_product(w, 1, w->rank);
        r.first_channel = group * (uint32_t)w->dims[1];
        r.positions = side(r.y, 0) * side(r.y, 1);
    } else {
        r.k = (uint32_t)x->dims[x->rank - 1];
        r.positions = sl_elements(x) / (r.k ? r.k : 1);
    }
    return r;
}

// Every fourth picture is held out.
static uint32_t picture_of(uint32_t index, uint32_t pictures, uint32_t kept)
{
    if (kept == pictures)
        return index;
    return index < kept ? index + index / 3 : 4 * (index - kept) + 3;
}

// Positions of one picture's output: all of them, or at random.
struct drawer {
    const struct walk *walk;
    const struct reader *reader;
    int64_t each;
    uint64_t state;
    double *sums; // of what the positions count, up to each; NULL: all alike
};

// Half of what a position counts is the same for all.
static void begin_picture(struct drawer *d, uint32_t picture)
{
    const int64_t height = side(d->reader->y, 0), width = side(d->reader->y, 1);
    double sum = 0;
    for (int64_t i = 0; d->sums && i < d->reader->positions; i++) {
        sum += 1 + (double)attention_at(d->walk->attention, picture, i / width, i % width, height,
                                        width);
        d->sums[i] = sum;
    }
}

static int64_t draw(struct drawer *d, int64_t k)
{
    const int64_t positions = d->reader->positions;
    if (!d->sums)
        return d->each == positions ? k : (int64_t)(random_next(&d->state) % (uint64_t)positions);
    const double at = (double)(random_next(&d->state) >> 11) * 0x1p-53 * d->sums[positions - 1];
    int64_t low = 0, high = positions - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (d->sums[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int begin_drawing(struct drawer *d, struct sl_error *error)
{
    const struct attention *attention = d->walk->attention;
    if (!attention || !attention->maps || d->reader->y->rank != 4)
        return 0;
    d->sums = malloc((uint64_t)d->reader->positions * sizeof(*d->sums) + 1);
    return d->sums ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

int samples_take(const struct walk *walk, uint32_t node, uint32_t group, uint32_t at_least,
                 struct samples *out, struct sl_error *error)
{
    const struct sl_node *n = &walk->exact->nodes[node];
    const struct walk_values *v = &walk->values[n->inputs[0]];
    const struct reader r = open_reader(walk->exact, n, group);
    const uint32_t pictures = walk->calibration->count, held = pictures >= 8 ? pictures / 4 : 0;
    int64_t each = ((int64_t)at_least + pictures - 1) / pictures;
    if (each > r.positions)
        each = r.positions;
    struct drawer drawer = {.walk = walk, .reader = &r, .each = each, .state = 1};
    struct samples s = {.k = r.k, .rows = (uint32_t)each * pictures, .held = (uint32_t)each * held};
    s.exact = malloc((uint64_t)s.rows * s.k * sizeof(*s.exact) + 1);
    s.changed = malloc((uint64_t)s.rows * s.k * sizeof(*s.changed) + 1);
    if (!s.exact || !s.changed || begin_drawing(&drawer, error) < 0) {
        samples_free(&s);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    for (uint32_t i = 0, row = 0; i < pictures; i++) {
        const uint32_t p = picture_of(i, pictures, pictures - held);
        begin_picture(&drawer, p);
        for (int64_t k = 0; k < each; k++, row++) {
            const int64_t at = draw(&drawer, k);
            read_row(&r, v->exact[p], at, s.exact + (uint64_t)row * s.k);
            read_row(&r, v->changed[p], at, s.changed + (uint64_t)row * s.k);
        }
    }
    free(drawer.sums);
    *out = s;
    return 0;
}

void samples_free(struct samples *samples)
{
    free(samples->exact);
    free(samples->changed);
    *samples = (struct samples){0};
}

static void centre(float *x, uint32_t rows, uint32_t k, float *mean)
{
    for (uint32_t j = 0; j < k; j++) {
        double sum = 0;
        for (uint32_t i = 0; i < rows; i++)
            sum += (double)x[(uint64_t)i * k + j];
        mean[j] = rows ? (float)(sum / rows) : 0;
        for (uint32_t i = 0; i < rows; i++)
            x[(uint64_t)i * k + j] -= mean[j];
    }
}

void samples_centre(struct samples *s, float *exact_mean, float *changed_mean)
{
    centre(s->exact, s->rows, s->k, exact_mean);
    centre(s->changed, s->rows, s->k, changed_mean);
}

float samples_mean_error(const float *exact, const float *changed, float *const means[2],
                         uint32_t k)
{
    double sum = 0;
    for (uint32_t j = 0; j < k; j++)
        sum += (double)(exact[j] * means[0][j]) - (double)(changed[j] * means[1][j]);
    return (float)sum;
}
