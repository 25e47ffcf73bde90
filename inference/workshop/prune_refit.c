// The layers that remain make up for the channels that went.
#include "inference/workshop/prune_impl.h"

#include "accel/tensor.h"
#include "inference/workshop/linear.h"
#include "inference/workshop/samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_VALUES = 16 << 20, LEAST_ROWS = 6144, MOST_INPUTS = 4096, ROUNDS = 12 };
#define RIDGE 1e-3f // of the mean square of the inputs, towards the weights before

// One layer, or one group of a depthwise layer, in which `k` inputs and `m` outputs are left.
struct fit {
    uint32_t rows, k, m;
    float *x;       // [rows][k] as the smaller network has it
    float *aim;     // [rows][m] results of the whole network, before the activation
    float *target;  // [rows][m] what is fitted now
    float *start;   // [m][k] the weights before
    float *weights; // [m][k]
    float *bias;    // [m]
    bool half;      // below a ReLU: what is negative may be anything negative
};

struct work {
    struct prune_plan *plan;
    struct graph *changed;
    double output_noise[2];
};

static bool goes(const struct channels *c, uint32_t tensor, uint32_t i)
{
    return c->gone[channels_slot(c, tensor, i)];
}

// Rows of the inputs' columns that stay.
static uint32_t list_inputs(const struct channels *c, const struct sl_node *node, uint32_t area,
                            uint32_t channels, uint32_t *columns)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < channels; i++)
        for (uint32_t k = 0; k < area && !goes(c, node->inputs[0], i); k++)
            columns[count++] = i * area + k;
    return count;
}

static uint32_t list_outputs(const struct channels *c, uint32_t tensor, uint32_t count,
                             uint32_t *out)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!goes(c, tensor, i))
            out[left++] = i;
    return left;
}

static int take_fit(struct fit *fit, struct sl_error *error)
{
    const uint64_t rows = fit->rows, k = fit->k, m = fit->m;
    fit->x = malloc(rows * k * sizeof(float) + 1);
    fit->aim = malloc(rows * m * sizeof(float) + 1);
    fit->target = malloc(rows * m * sizeof(float) + 1);
    fit->start = malloc(m * k * sizeof(float) + 1);
    fit->weights = malloc(m * k * sizeof(float) + 1);
    fit->bias = calloc(m + 1, sizeof(float));
    return fit->x && fit->aim && fit->target && fit->start && fit->weights && fit->bias
               ? 0
               : sl_error_set(error, -ENOMEM, "out of memory");
}

static void free_fit(struct fit *fit)
{
    free(fit->x);
    free(fit->aim);
    free(fit->target);
    free(fit->start);
    free(fit->weights);
    free(fit->bias);
}

static void column_means(const float *x, uint32_t rows, uint32_t k, float *mean)
{
    double *sum = calloc(k + 1ull, sizeof(*sum));
    for (uint64_t i = 0; sum && i < rows; i++)
        for (uint32_t j = 0; j < k; j++)
            sum[j] += (double)x[i * k + j];
    for (uint32_t j = 0; sum && j < k; j++)
        mean[j] = (float)(sum[j] / (rows ? rows : 1));
    free(sum);
}

// One least squares fit of `target`, with a bias: everything is taken relative to its mean.
static int solve(struct fit *fit, const float *x, const float *x_mean, const float *h, float ridge,
                 struct sl_error *error)
{
    const uint64_t k = fit->k, m = fit->m;
    float *cross = malloc(m * k * sizeof(*cross)), *mean = malloc((m + 1) * sizeof(*mean));
    float *y = malloc(fit->rows * m * sizeof(*y) + 1);
    int status = cross && mean && y ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0) {
        column_means(fit->target, fit->rows, fit->m, mean);
        for (uint64_t i = 0; i < fit->rows; i++)
            for (uint64_t o = 0; o < m; o++)
                y[i * m + o] = fit->target[i * m + o] - mean[o];
        for (uint64_t i = 0; i < m * k; i++)
            cross[i] = ridge * fit->start[i];
        linear_cross(cross, m, k, y, x, fit->rows);
        status = linear_solve(h, k, ridge, cross, m, fit->weights, error);
    }
    for (uint64_t o = 0; o < m && status == 0; o++) {
        double sum = (double)mean[o];
        for (uint64_t j = 0; j < k; j++)
            sum -= (double)(fit->weights[o * k + j] * x_mean[j]);
        fit->bias[o] = (float)sum;
    }
    free(cross);
    free(mean);
    free(y);
    return status;
}

// Where the aim is negative and ReLU follows, any negative result will do: the fit's own.
static void loosen(struct fit *fit)
{
    linear_apply(fit->target, fit->x, fit->rows, fit->k, fit->weights, fit->m);
    for (uint64_t i = 0; i < fit->rows; i++)
        for (uint32_t o = 0; o < fit->m; o++) {
            float *t = &fit->target[i * fit->m + o];
            const float aim = fit->aim[i * fit->m + o];
            *t = aim > 0 ? aim : fminf(*t + fit->bias[o], 0);
        }
}

static int run_fit(struct fit *fit, struct sl_error *error)
{
    const uint64_t k = fit->k, rows = fit->rows;
    float *x = malloc(rows * k * sizeof(*x) + 1), *mean = malloc((k + 1) * sizeof(*mean));
    float *h = calloc(k * k + 1, sizeof(*h)), power = 0;
    int status = x && mean && h ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0) {
        column_means(fit->x, fit->rows, fit->k, mean);
        for (uint64_t i = 0; i < rows * k; i++)
            x[i] = fit->x[i] - mean[i % k];
        linear_gram(h, k, x, rows);
        for (uint64_t j = 0; j < k; j++)
            power += h[j * k + j] / (float)k;
        memcpy(fit->target, fit->aim, rows * fit->m * sizeof(float));
    }
    for (int round = 0; round < (fit->half ? ROUNDS : 1) && status == 0; round++) {
        if (round > 0)
            loosen(fit);
        status = solve(fit, x, mean, h, RIDGE * power + 1e-12f, error);
    }
    free(x);
    free(mean);
    free(h);
    return status;
}

static uint32_t rows_for(uint32_t k)
{
    const uint64_t wanted = 16ull * k, most = MOST_VALUES / (k ? k : 1);
    const uint64_t rows = wanted < LEAST_ROWS ? LEAST_ROWS : wanted;
    return (uint32_t)(rows > most ? most : rows);
}

// The layer as it is being changed: new constants that start as the old ones.
struct constants {
    struct sl_tensor weight, bias;
    float *w, *b;
    uint32_t k; // inputs of a row
};

static int open_constants(struct graph *g, const struct sl_node *node, struct constants *out,
                          struct sl_error *error)
{
    const bool has_bias = node->n_inputs > 2 && node->inputs[2] != SL_NO_TENSOR;
    out->weight = g->tensors[node->inputs[1]];
    const int64_t m = out->weight.dims[0];
    out->bias = has_bias ? g->tensors[node->inputs[2]]
                         : (struct sl_tensor){.name = node->name,
                                              .dtype = SL_F32,
                                              .rank = 1,
                                              .dims = {m},
                                              .bytes = (uint64_t)m * sizeof(float)};
    out->k = (uint32_t)sl_dims_product(&out->weight, 1, out->weight.rank);
    out->w = pool_copy(&g->pool, out->weight.data, out->weight.bytes);
    out->b = has_bias ? pool_copy(&g->pool, out->bias.data, out->bias.bytes)
                      : pool_alloc(&g->pool, out->bias.bytes);
    return out->w && out->b ? 0 : pool_error(&g->pool, error);
}

static int set_constants(struct graph *g, uint32_t node, struct constants *c,
                         struct sl_error *error)
{
    uint32_t inputs[3] = {g->nodes[node].inputs[0], 0, 0};
    c->weight.data = c->w;
    c->bias.data = c->b;
    int status = graph_add_tensor(g, &c->weight, &inputs[1], error);
    if (status == 0)
        status = graph_add_tensor(g, &c->bias, &inputs[2], error);
    return status < 0 ? status : graph_set_inputs(g, &g->nodes[node], inputs, 3, error);
}

// Weights that compute or read what is gone.
static void clear_gone(const struct channels *c, const struct sl_node *node, uint32_t area,
                       bool dense, struct constants *out)
{
    for (uint32_t o = 0; o < (uint32_t)out->weight.dims[0]; o++) {
        const bool row = goes(c, node->outputs[0], o);
        if (row)
            out->b[o] = 0;
        for (uint32_t j = 0; j < out->k; j++)
            if (row || (dense && goes(c, node->inputs[0], j / area)))
                out->w[(uint64_t)o * out->k + j] = 0;
    }
}

// Samples into the fit: inputs that stay, and what the whole layer made of all of its inputs.
static int fill_fit(struct fit *fit, const struct samples *s, const struct constants *exact,
                    const uint32_t *columns, const uint32_t *outputs, struct sl_error *error)
{
    const uint64_t k_all = s->k;
    float *w = malloc((uint64_t)fit->m * k_all * sizeof(*w) + 1);
    if (!w)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t o = 0; o < fit->m; o++) {
        const float *row = exact->w + (uint64_t)outputs[o] * k_all;
        memcpy(w + o * k_all, row, k_all * sizeof(*w));
        for (uint32_t j = 0; j < fit->k; j++)
            fit->start[(uint64_t)o * fit->k + j] = row[columns[j]];
    }
    linear_apply(fit->aim, s->exact, fit->rows, k_all, w, fit->m);
    for (uint64_t i = 0; i < fit->rows; i++) {
        for (uint32_t o = 0; o < fit->m; o++)
            fit->aim[i * fit->m + o] += exact->b[outputs[o]];
        for (uint32_t j = 0; j < fit->k; j++)
            fit->x[i * fit->k + j] = s->changed[i * k_all + columns[j]];
    }
    free(w);
    return 0;
}

// Fits the outputs `outputs`, which all read the inputs `columns` of group `group`.
static int fit_outputs(struct work *work, struct walk *walk, uint32_t node, uint32_t group,
                       const uint32_t *columns, uint32_t k, const uint32_t *outputs, uint32_t m,
                       struct constants *c, struct sl_error *error)
{
    const struct sl_node *n = &work->plan->graph->nodes[node];
    struct samples samples = {0};
    struct fit fit = {.k = k, .m = m, .half = n->activation.kind == SL_UNARY_RELU};
    int status = samples_take(walk, node, group, rows_for(c->k), &samples, error);
    fit.rows = samples.rows;
    if (status == 0)
        status = take_fit(&fit, error);
    if (status == 0)
        status = fill_fit(&fit, &samples, c, columns, outputs, error);
    samples_free(&samples);
    if (status == 0)
        status = run_fit(&fit, error);
    for (uint32_t o = 0; o < m && status == 0; o++) {
        float *row = c->w + (uint64_t)outputs[o] * c->k;
        for (uint32_t j = 0; j < k; j++)
            row[columns[j]] = fit.weights[(uint64_t)o * k + j];
        c->b[outputs[o]] = fit.bias[o];
    }
    free_fit(&fit);
    return status;
}

static int fit_dense(struct work *work, struct walk *walk, uint32_t node, uint32_t area,
                     struct constants *c, struct sl_error *error)
{
    const struct channels *channels = &work->plan->channels;
    const struct sl_node *n = &work->plan->graph->nodes[node];
    const uint32_t m_all = (uint32_t)c->weight.dims[0];
    uint32_t *columns = malloc((c->k + 1ull) * sizeof(*columns));
    uint32_t *outputs = malloc((m_all + 1ull) * sizeof(*outputs));
    int status = columns && outputs ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0) {
        const uint32_t k = list_inputs(channels, n, area, c->k / area, columns);
        const uint32_t m = list_outputs(channels, n->outputs[0], m_all, outputs);
        if (k > 0 && m > 0)
            status = fit_outputs(work, walk, node, 0, columns, k, outputs, m, c, error);
    }
    free(columns);
    free(outputs);
    return status;
}

static int fit_depthwise(struct work *work, struct walk *walk, uint32_t node, struct constants *c,
                         struct sl_error *error)
{
    const struct channels *channels = &work->plan->channels;
    const struct sl_node *n = &work->plan->graph->nodes[node];
    uint32_t *columns = malloc((c->k + 1ull) * sizeof(*columns));
    int status = columns ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t j = 0; columns && j < c->k; j++)
        columns[j] = j;
    for (uint32_t o = 0; o < (uint32_t)c->weight.dims[0] && status == 0; o++)
        if (!goes(channels, n->outputs[0], o))
            status = fit_outputs(work, walk, node, o, columns, c->k, &o, 1, c, error);
    free(columns);
    return status;
}

static bool is_exact(const struct walk *walk, uint32_t tensor)
{
    const struct walk_values *v = &walk->values[tensor];
    for (uint32_t p = 0; p < walk->calibration->count; p++)
        if (memcmp(v->exact[p], v->changed[p], v->exact_elements * sizeof(float)) != 0)
            return false;
    return true;
}

static int before(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct work *work = ctx;
    struct prune_plan *plan = work->plan;
    const struct sl_node *n = &plan->graph->nodes[node];
    const enum channel_rule rule = channels_rule(&plan->channels, n);
    const bool dense = rule == CHANNELS_MIX;
    struct constants c;
    prune_tell(plan, plan->options->refit ? "refitting layers" : "checking layers", node + 1,
               plan->graph->n_nodes);
    if (n->op != SL_OP_CONV || (rule != CHANNELS_MIX && rule != CHANNELS_KEEP))
        return 0;
    const struct sl_tensor *w = &plan->graph->tensors[n->inputs[1]];
    const uint32_t area = (uint32_t)sl_dims_product(w, 2, w->rank);
    int status = open_constants(work->changed, n, &c, error);
    if (status == 0 && plan->options->refit && c.k <= MOST_INPUTS && !is_exact(walk, n->inputs[0]))
        status = dense ? fit_dense(work, walk, node, area, &c, error)
                       : fit_depthwise(work, walk, node, &c, error);
    if (status < 0)
        return sl_error_prefix(error, status, "node '%s'", n->name);
    clear_gone(&plan->channels, n, area, dense, &c);
    return set_constants(work->changed, node, &c, error);
}

// Signal and noise of the channels that are left.
static void add_noise(const struct prune_plan *plan, const struct walk *walk, uint32_t tensor,
                      double sums[2])
{
    const struct walk_values *v = &walk->values[tensor];
    const uint32_t channels = plan->channels.count[tensor];
    const uint64_t area = channels ? v->exact_elements / channels : v->exact_elements;
    for (uint32_t p = 0; p < walk->calibration->count; p++)
        for (uint32_t c = 0; c < (channels ? channels : 1); c++)
            for (uint64_t i = c * area; i < (c + 1) * area; i++) {
                if (channels && goes(&plan->channels, tensor, c))
                    break;
                const double e = (double)(v->exact[p][i] - v->changed[p][i]);
                sums[0] += (double)(v->exact[p][i] * v->exact[p][i]);
                sums[1] += e * e;
            }
}

static float decibel(const double sums[2])
{
    return (float)(10 * log10((sums[0] + 1e-30) / (sums[1] + 1e-30)));
}

static int after(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct work *work = ctx;
    struct prune_plan *plan = work->plan;
    const struct graph *g = plan->graph;
    const uint32_t t = g->nodes[node].outputs[0];
    double sums[2] = {0, 0};
    (void)error;
    if (plan->layer[node] != UINT32_MAX) {
        add_noise(plan, walk, t, sums);
        plan->report->layers[plan->layer[node]].snr_db = decibel(sums);
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == t)
            add_noise(plan, walk, t, work->output_noise);
    return 0;
}

int prune_refit(struct prune_plan *plan, struct graph *out, struct sl_error *error)
{
    struct work work = {.plan = plan, .changed = out};
    struct walk walk = {.exact = plan->graph,
                        .changed = out,
                        .calibration = plan->calibration,
                        .attention = &plan->attention,
                        .before = before,
                        .after = after,
                        .ctx = &work};
    int status = network_copy(plan->graph, out, error);
    if (status < 0)
        return status;
    status = walk_run(&walk, error);
    if (status < 0)
        graph_free(out);
    plan->report->output_snr_db = decibel(work.output_noise);
    return status;
}
