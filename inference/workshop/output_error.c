// Errors of a changed network's outputs.
#include "inference/workshop/output_error.h"

#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PICTURES = 4 };

// A channel's error counts in proportion to its own size, but not below what is usual: channels
// that are nearly always 0 do not matter.
static double relative_error(const struct output_error *outputs, uint32_t picture,
                             const struct sl_tensor *t, const float *exact, const float *found)
{
    const struct attention *attention = t->rank == 4 ? outputs->attention : NULL;
    const uint32_t axis = t->rank == 4 ? 1 : t->rank - 1;
    const uint64_t channels = t->rank ? (uint64_t)t->dims[axis] : 1;
    const uint64_t inner = t->rank ? (uint64_t)sl_dims_product(t, axis + 1, t->rank) : 1;
    const uint64_t total = (uint64_t)sl_elements(t), outer = total / (channels * inner);
    double logs = 0, sum = 0;
    double *size = calloc(2 * channels, sizeof(*size)), *noise = size ? size + channels : NULL;
    if (!size)
        return 0;
    for (uint64_t o = 0; o < outer; o++)
        for (uint64_t c = 0; c < channels; c++)
            for (uint64_t k = 0; k < inner; k++) {
                const uint64_t at = (o * channels + c) * inner + k;
                const double e = (double)(exact[at] - found[at]);
                const double by =
                    attention
                        ? (double)attention_at(attention, picture, (int64_t)k / t->dims[3],
                                               (int64_t)k % t->dims[3], t->dims[2], t->dims[3])
                        : 1;
                size[c] += by * (double)(exact[at] * exact[at]);
                noise[c] += by * e * e;
            }
    for (uint64_t c = 0; c < channels; c++)
        logs += log(size[c] + 1e-20) / (double)channels;
    for (uint64_t c = 0; c < channels; c++)
        sum += noise[c] / (size[c] + 0.1 * exp(logs)) / (double)channels;
    free(size);
    return sum;
}

static int keep_exact(void *ctx, uint32_t picture, const float *const *values,
                      struct sl_error *error)
{
    struct output_error *o = ctx;
    const struct graph *g = o->graph;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const struct sl_tensor *t = &g->tensors[g->outputs[i]];
        float *copy = malloc(t->bytes);
        if (!copy)
            return sl_error_set(error, -ENOMEM, "out of memory");
        memcpy(copy, values[i], t->bytes);
        o->exact[picture * g->n_outputs + i] = copy;
    }
    return 0;
}

static int compare(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct output_error *o = ctx;
    const struct graph *g = o->graph;
    (void)error;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        o->sum += relative_error(o, picture, &g->tensors[g->outputs[i]],
                                 o->exact[picture * g->n_outputs + i], values[i]);
    return 0;
}

int output_error_begin(const struct graph *graph, const struct calibration *calibration,
                       const struct attention *attention, struct output_error *out,
                       struct sl_error *error)
{
    *out = (struct output_error){.graph = graph, .attention = attention, .few = *calibration};
    if (out->few.count > MOST_PICTURES)
        out->few.count = MOST_PICTURES;
    out->exact = calloc((uint64_t)out->few.count * graph->n_outputs, sizeof(*out->exact));
    if (!out->exact)
        return sl_error_set(error, -ENOMEM, "out of memory");
    return calibration_run(graph, &out->few, graph->outputs, graph->n_outputs, keep_exact, out,
                           error);
}

int output_error_of(struct output_error *outputs, const struct graph *changed, double *out,
                    struct sl_error *error)
{
    outputs->sum = 0;
    const int status = calibration_run(changed, &outputs->few, changed->outputs, changed->n_outputs,
                                       compare, outputs, error);
    if (status == 0)
        *out = outputs->sum;
    return status;
}

void output_error_end(struct output_error *outputs)
{
    for (uint32_t i = 0; outputs->exact && i < outputs->few.count * outputs->graph->n_outputs; i++)
        free(outputs->exact[i]);
    free(outputs->exact);
    outputs->exact = NULL;
}
