// Expected rounding noise.
#include "inference/workshop/equalise_noise.h"

#include "accel/tensor.h"
#include "inference/workshop/weight_rows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static void sum_up(struct noise_reader *r, const struct weight_rows *w)
{
    for (uint32_t i = 0; i < w->m; i++)
        for (uint32_t j = 0; j < w->k; j++) {
            const float v = w->values[(uint64_t)i * w->k + j];
            const uint64_t at = (uint64_t)i * r->per_row + j / r->area;
            r->energy[at] += v * v;
            r->greatest[at] = fmaxf(r->greatest[at], fabsf(v));
        }
}

int noise_reader_open(const struct graph *graph, uint32_t node, const uint32_t *classes,
                      struct noise_reader *out, struct sl_error *error)
{
    const struct sl_node *n = &graph->nodes[node];
    const struct sl_tensor *w = &graph->tensors[n->inputs[1]];
    struct weight_rows rows;
    const int status = weight_rows_read(graph, n, &rows, error);
    if (status < 0)
        return status;
    struct noise_reader r = {.node = node,
                             .range = out->range,
                             .channels = (uint32_t)graph->tensors[n->inputs[0]].dims[1],
                             .rows = rows.m,
                             .rows_per_group = rows.m / rows.groups,
                             .classes = classes,
                             .area = (uint32_t)sl_dims_product(w, 2, w->rank)};
    r.per_row = rows.k / r.area;
    r.energy = calloc((uint64_t)r.rows * r.per_row + 1, sizeof(*r.energy));
    r.greatest = calloc((uint64_t)r.rows * r.per_row + 1, sizeof(*r.greatest));
    r.low = calloc(r.channels, sizeof(*r.low));
    r.high = calloc(r.channels, sizeof(*r.high));
    r.moment = calloc(r.channels, sizeof(*r.moment));
    const bool ok = r.energy && r.greatest && r.low && r.high && r.moment;
    if (ok)
        sum_up(&r, &rows);
    free(rows.values);
    *out = r;
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

void noise_reader_close(struct noise_reader *r)
{
    free(r->energy);
    free(r->greatest);
    free(r->low);
    free(r->high);
    free(r->moment);
}

void noise_reader_see(const struct graph *graph, struct noise_reader *r, const float *values,
                      double share)
{
    const struct sl_tensor *t = &graph->tensors[graph->nodes[r->node].inputs[0]];
    const uint64_t area = (uint64_t)sl_dims_product(t, 2, t->rank);
    for (uint32_t c = 0; c < r->channels; c++) {
        const float *x = values + c * area;
        double sum = 0;
        for (uint64_t k = 0; k < area; k++) {
            r->low[c] = fminf(r->low[c], x[k]);
            r->high[c] = fmaxf(r->high[c], x[k]);
            sum += (double)(x[k] * x[k]);
        }
        r->moment[c] += share * sum / (double)area;
    }
}

static uint32_t first_channel(const struct noise_reader *r, uint32_t row)
{
    return row / r->rows_per_group * r->per_row;
}

void noise_reader_finish(struct noise_reader *r)
{
    r->power = 1e-12;
    for (uint32_t i = 0; i < r->rows; i++)
        for (uint32_t j = 0; j < r->per_row; j++)
            r->power += (double)r->energy[(uint64_t)i * r->per_row + j] *
                        r->moment[first_channel(r, i) + j];
}

float noise_most(const struct noise_reader *r, uint32_t channel)
{
    return fmaxf(r->high[channel], -r->low[channel]);
}

float noise_weight(const struct noise_reader *r, uint32_t channel)
{
    float most = 0, all = 1e-12f;
    for (uint32_t i = 0; i < r->rows; i++)
        for (uint32_t j = 0; j < r->per_row; j++) {
            const float w = r->greatest[(uint64_t)i * r->per_row + j];
            all = fmaxf(all, w);
            if (first_channel(r, i) + j == channel)
                most = fmaxf(most, w);
        }
    return most / all;
}

static double noise_of(const struct noise_reader *r, const float *scale, double step)
{
    double noise = 0;
    for (uint32_t i = 0; i < r->rows; i++) {
        const float *energy = r->energy + (uint64_t)i * r->per_row;
        const float *greatest = r->greatest + (uint64_t)i * r->per_row;
        const uint32_t first = first_channel(r, i);
        double power = 0, input = 0;
        float most = 0;
        for (uint32_t j = 0; j < r->per_row; j++) {
            const float s = scale[r->classes[first + j]];
            power += (double)(energy[j] * s * s);
            most = fmaxf(most, greatest[j] * s);
            input += r->moment[first + j] / (double)(s * s);
        }
        noise += step * step / 12 * power +
                 (double)(most * most) / (127.0 * 127 * 12) * input * (double)r->area;
    }
    return noise / r->power;
}

double noise_expected(const struct noise_reader *const *readers, uint32_t count, const float *scale,
                      struct noise_ranges *ranges)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        ranges->rows[readers[i]->range].low = ranges->rows[readers[i]->range].high = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < readers[i]->channels; c++) {
            const float s = scale[readers[i]->classes[c]];
            float *low = &ranges->rows[readers[i]->range].low;
            float *high = &ranges->rows[readers[i]->range].high;
            *low = fminf(*low, readers[i]->low[c] / s);
            *high = fmaxf(*high, readers[i]->high[c] / s);
        }
    for (uint32_t i = 0; i < count; i++) {
        const double width = (double)ranges->rows[readers[i]->range].high -
                             (double)ranges->rows[readers[i]->range].low;
        sum += noise_of(readers[i], scale, width / 255);
    }
    return sum;
}
