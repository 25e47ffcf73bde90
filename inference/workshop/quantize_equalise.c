// Equalisation: channels of a tensor between two convolutions are brought to similar ranges. The
// first layer's rows are divided by what the second layer's inputs are multiplied with; with ReLU,
// leaky ReLU or nothing between them the network computes the same.
#include "inference/workshop/quantize_impl.h"

#include "accel/tensor.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    uint32_t first, second, tensor; // nodes, and what lies between them
    uint32_t channels;
    float *most;    // per channel: the greatest absolute value on the calibration pictures
    double *moment; // per channel: mean square
};

static bool scales_through(const struct sl_activation *a)
{
    return a->kind == SL_ACT_NONE || a->kind == SL_UNARY_RELU || a->kind == SL_UNARY_LEAKY_RELU;
}

static bool is_depthwise(const struct graph *g, const struct sl_node *node)
{
    return node->attrs.conv.group > 1 && g->tensors[node->inputs[1]].dims[1] == 1;
}

static bool fits(const struct graph *g, const struct sl_node *first, const struct sl_node *second)
{
    return first->op == SL_OP_CONV && second->op == SL_OP_CONV && weight_rows_exist(g, first) &&
           weight_rows_exist(g, second) && scales_through(&first->activation) &&
           (second->attrs.conv.group == 1 || is_depthwise(g, second));
}

// Convolutions whose only reader is another convolution.
static int find_pairs(struct plan *plan, struct pair **out, uint32_t *count, struct sl_error *error)
{
    struct graph *g = plan->graph;
    struct graph_index index;
    struct pair *pairs = calloc(g->n_nodes + 1, sizeof(*pairs));
    int status =
        pairs ? graph_index(g, &index, error) : sl_error_set(error, -ENOMEM, "out of memory");
    *count = 0;
    *out = pairs;
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        const struct sl_node *second = &g->nodes[n];
        if (second->op != SL_OP_CONV || index.readers[second->inputs[0]] != 1 ||
            index.writer[second->inputs[0]] == UINT32_MAX)
            continue;
        const uint32_t first = index.writer[second->inputs[0]];
        if (!fits(g, &g->nodes[first], second))
            continue;
        struct pair *p = &pairs[(*count)++];
        *p = (struct pair){.first = first, .second = n, .tensor = second->inputs[0]};
        p->channels = (uint32_t)g->tensors[p->tensor].dims[1];
        p->most = calloc(p->channels, sizeof(*p->most));
        p->moment = calloc(p->channels, sizeof(*p->moment));
        if (!p->most || !p->moment)
            status = sl_error_set(error, -ENOMEM, "out of memory");
    }
    if (pairs && status == 0)
        graph_index_free(g, &index);
    return status;
}

struct measure {
    struct plan *plan;
    struct pair *pairs;
    uint32_t count;
};

static int see(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct measure *m = ctx;
    (void)error;
    for (uint32_t i = 0; i < m->count; i++) {
        struct pair *p = &m->pairs[i];
        const struct sl_tensor *t = &m->plan->graph->tensors[p->tensor];
        const uint64_t area = (uint64_t)sl_dims_product(t, 2, t->rank);
        for (uint32_t c = 0; c < p->channels; c++) {
            const float *x = values[i] + c * area;
            double sum = 0;
            for (uint64_t k = 0; k < area; k++) {
                p->most[c] = fmaxf(p->most[c], fabsf(x[k]));
                sum += (double)(x[k] * x[k]);
            }
            p->moment[c] += sum / (double)area / m->plan->calibration->count;
        }
    }
    if (m->plan->options->progress)
        m->plan->options->progress(m->plan->options->ctx, "measuring channels", picture + 1,
                                   m->plan->calibration->count);
    return 0;
}

// The second layer's weights that channel c meets, for output o: [kernel area] of them.
static const float *met_by(const struct graph *g, const struct sl_node *second, uint32_t c,
                           uint32_t o, uint64_t *area)
{
    const struct sl_tensor *w = &g->tensors[second->inputs[1]];
    *area = (uint64_t)sl_dims_product(w, 2, w->rank);
    if (is_depthwise(g, second))
        return (const float *)w->data + o * *area;
    return (const float *)w->data + ((uint64_t)o * (uint64_t)w->dims[1] + c) * *area;
}

static bool meets(const struct graph *g, const struct sl_node *second, uint32_t c, uint32_t o)
{
    if (!is_depthwise(g, second))
        return true;
    const uint32_t each =
        (uint32_t)(g->tensors[second->inputs[1]].dims[0] / second->attrs.conv.group);
    return o / each == c;
}

// Expected squared error in the second layer's results when channel c is divided by scale[c]:
// rounding of the tensor (one step for all channels) and of the weights (one per output).
static double expected_noise(const struct graph *g, const struct pair *p, const float *scale)
{
    const struct sl_node *second = &g->nodes[p->second];
    const uint32_t outputs = (uint32_t)g->tensors[second->inputs[1]].dims[0];
    double most = 0, noise = 0;
    for (uint32_t c = 0; c < p->channels; c++)
        most = fmax(most, (double)(p->most[c] / scale[c]));
    const double step = most / 255;
    for (uint32_t o = 0; o < outputs; o++) {
        double power = 0, input = 0, greatest = 0;
        for (uint32_t c = 0; c < p->channels; c++) {
            uint64_t area;
            const float *w = meets(g, second, c, o) ? met_by(g, second, c, o, &area) : NULL;
            for (uint64_t k = 0; w && k < area; k++) {
                const double v = (double)(w[k] * scale[c]);
                power += v * v;
                greatest = fmax(greatest, fabs(v));
                input += p->moment[c] / (double)(scale[c] * scale[c]);
            }
        }
        noise += step * step / 12 * power + greatest * greatest / (127.0 * 127 * 12) * input;
    }
    return noise;
}

static float greatest_weight(const struct graph *g, const struct sl_node *second, uint32_t c)
{
    const uint32_t outputs = (uint32_t)g->tensors[second->inputs[1]].dims[0];
    float most = 0;
    for (uint32_t o = 0; o < outputs; o++) {
        uint64_t area;
        const float *w = meets(g, second, c, o) ? met_by(g, second, c, o, &area) : NULL;
        for (uint64_t k = 0; w && k < area; k++)
            most = fmaxf(most, fabsf(w[k]));
    }
    return most;
}

// scale = (activation range)^share / (weight range)^(1 - share), its greatest value 1.
static void propose(const struct graph *g, const struct pair *p, float share, float *scale)
{
    float most = 0;
    for (uint32_t c = 0; c < p->channels; c++) {
        const float w = greatest_weight(g, &g->nodes[p->second], c);
        const bool usable = p->most[c] > 1e-9f && w > 1e-9f;
        scale[c] = usable ? powf(p->most[c], share) / powf(w, 1 - share) : 0;
        most = fmaxf(most, scale[c]);
    }
    for (uint32_t c = 0; c < p->channels; c++)
        scale[c] = most > 0 && scale[c] > 0 ? fmaxf(scale[c] / most, 1.0f / 64) : 1;
}

static float *copy_floats(struct graph *g, const struct sl_tensor *t)
{
    return pool_copy(&g->pool, t->data, t->bytes);
}

static int replace(struct graph *g, struct sl_node *node, uint32_t input, float *data,
                   struct sl_error *error)
{
    struct sl_tensor copy = g->tensors[node->inputs[input]];
    uint32_t inputs[3], number;
    memcpy(inputs, node->inputs, node->n_inputs * sizeof(*inputs));
    copy.data = data;
    const int status = graph_add_tensor(g, &copy, &number, error);
    inputs[input] = number;
    return status < 0 ? status : graph_set_inputs(g, node, inputs, node->n_inputs, error);
}

static int scale_pair(struct graph *g, const struct pair *p, const float *scale,
                      struct sl_error *error)
{
    struct sl_node *first = &g->nodes[p->first], *second = &g->nodes[p->second];
    const struct sl_tensor *w1 = &g->tensors[first->inputs[1]],
                           *w2 = &g->tensors[second->inputs[1]];
    const bool bias = first->n_inputs > 2 && first->inputs[2] != SL_NO_TENSOR;
    const uint64_t row = (uint64_t)sl_dims_product(w1, 1, w1->rank);
    const uint64_t area = (uint64_t)sl_dims_product(w2, 2, w2->rank);
    float *a = copy_floats(g, w1), *b = copy_floats(g, w2);
    float *c = bias ? copy_floats(g, &g->tensors[first->inputs[2]]) : NULL;
    if (!a || !b || (bias && !c))
        return pool_error(&g->pool, error);
    for (uint32_t i = 0; i < p->channels; i++) {
        for (uint64_t k = 0; k < row; k++)
            a[i * row + k] /= scale[i];
        if (bias)
            c[i] /= scale[i];
    }
    const uint64_t outputs = (uint64_t)w2->dims[0], inputs = (uint64_t)w2->dims[1];
    const uint64_t each = outputs / (uint64_t)second->attrs.conv.group;
    for (uint64_t o = 0; o < outputs; o++)
        for (uint64_t i = 0; i < inputs; i++)
            for (uint64_t k = 0; k < area; k++)
                b[(o * inputs + i) * area + k] *=
                    scale[second->attrs.conv.group > 1 ? o / each : i];
    int status = replace(g, first, 1, a, error);
    if (status == 0)
        status = replace(g, second, 1, b, error);
    if (status == 0 && bias)
        status = replace(g, first, 2, c, error);
    return status;
}

static int equalise_pair(struct plan *plan, struct pair *p, struct sl_error *error)
{
    static const float shares[] = {0.5f, 0.75f, 1.0f};
    struct graph *g = plan->graph;
    float *scale = malloc(p->channels * sizeof(*scale)),
          *best = malloc(p->channels * sizeof(*best));
    int status = scale && best ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t c = 0; c < p->channels && status == 0; c++)
        scale[c] = 1;
    const double before = status == 0 ? expected_noise(g, p, scale) : 0;
    double least = before;
    for (size_t i = 0; i < sizeof(shares) / sizeof(*shares) && status == 0; i++) {
        propose(g, p, shares[i], scale);
        const double found = expected_noise(g, p, scale);
        if (found < least) {
            least = found;
            memcpy(best, scale, p->channels * sizeof(*best));
        }
    }
    if (status == 0 && least < 0.95 * before) {
        status = scale_pair(g, p, best, error);
        for (uint32_t c = 0; c < p->channels; c++) { // the next pair's first layer has changed
            p->most[c] /= best[c];
            p->moment[c] /= (double)(best[c] * best[c]);
        }
        if (plan->layer[p->second] != UINT32_MAX)
            plan->report->layers[plan->layer[p->second]].equalised = true;
    }
    free(scale);
    free(best);
    return status;
}

int equalise(struct plan *plan, struct sl_error *error)
{
    struct measure m = {.plan = plan};
    uint32_t *tensors = NULL;
    int status = find_pairs(plan, &m.pairs, &m.count, error);
    if (status == 0 && m.count > 0) {
        tensors = calloc(m.count, sizeof(*tensors));
        if (!tensors)
            status = sl_error_set(error, -ENOMEM, "out of memory");
        for (uint32_t i = 0; i < m.count && status == 0; i++)
            tensors[i] = m.pairs[i].tensor;
        if (status == 0)
            status =
                calibration_run(plan->graph, plan->calibration, tensors, m.count, see, &m, error);
    }
    for (uint32_t i = 0; i < m.count && status == 0; i++)
        status = equalise_pair(plan, &m.pairs[i], error);
    for (uint32_t i = 0; i < m.count; i++) {
        free(m.pairs[i].most);
        free(m.pairs[i].moment);
    }
    free(m.pairs);
    free(tensors);
    return status;
}
