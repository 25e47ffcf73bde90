// What the loss of a channel costs the layers that read it.
#include "inference/workshop/prune_impl.h"

#include "accel/tensor.h"
#include "inference/workshop/linear.h"
#include "inference/workshop/output_error.h"
#include "inference/workshop/samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Beyond that many inputs the normal equations take too long: inputs count as uncorrelated.
enum { MOST_INPUTS = 1536, MOST_VALUES = 16 << 20, LEAST_ROWS = 4096, TRIAL = 4 };
#define RIDGE 1e-3f // of the mean square of the inputs

static int take_weights(const struct graph *g, struct prune_reader *r, struct sl_error *error)
{
    const struct sl_node *node = &g->nodes[r->node];
    const struct sl_tensor *w = &g->tensors[node->inputs[1]];
    const float *values = w->data;
    r->input = node->inputs[0];
    r->m = (uint32_t)w->dims[0];
    r->area = (uint32_t)sl_dims_product(w, 2, w->rank);
    r->k = (uint32_t)w->dims[1] * r->area;
    r->weights = malloc((uint64_t)r->m * r->k * sizeof(*r->weights));
    r->power = calloc(r->k, sizeof(*r->power));
    r->error = calloc((uint64_t)w->dims[1], sizeof(*r->error));
    r->stale = true;
    r->effect = 1;
    if (!r->weights || !r->power || !r->error)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint64_t i = 0; i < (uint64_t)r->m * r->k; i++)
        r->weights[i] = (double)values[i];
    return 0;
}

static uint32_t rows_for(uint32_t k)
{
    const uint64_t wanted = 12ull * k, most = MOST_VALUES / (k ? k : 1);
    const uint64_t rows = wanted < LEAST_ROWS ? LEAST_ROWS : wanted;
    return (uint32_t)(rows > most ? most : rows);
}

// Energy of the outputs: the mean of |W x|^2.
static double output_energy(const struct prune_reader *r, const struct samples *s)
{
    double sum = 0;
    float *w = malloc((uint64_t)r->m * r->k * sizeof(*w));
    float *y = malloc((uint64_t)s->rows * r->m * sizeof(*y) + 1);
    if (w && y) {
        for (uint64_t i = 0; i < (uint64_t)r->m * r->k; i++)
            w[i] = (float)r->weights[i];
        linear_apply(y, s->exact, s->rows, r->k, w, r->m);
        for (uint64_t i = 0; i < (uint64_t)s->rows * r->m; i++)
            sum += (double)(y[i] * y[i]);
    }
    free(w);
    free(y);
    return sum / (s->rows ? s->rows : 1);
}

static int take_inputs(struct prune_reader *r, struct samples *s, struct sl_error *error)
{
    float *h = NULL, *means = malloc(2ull * r->k * sizeof(*means));
    double mean_power = 0;
    int status = means ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        samples_centre(s, means, means + r->k);
    free(means);
    for (uint32_t j = 0; status == 0 && j < r->k; j++) {
        for (uint32_t i = 0; i < s->rows; i++) {
            const double x = (double)s->exact[(uint64_t)i * r->k + j];
            r->power[j] += x * x / s->rows;
        }
        mean_power += r->power[j] / r->k;
    }
    if (status < 0)
        return status;
    r->energy = output_energy(r, s) + 1e-30;
    if (r->k > MOST_INPUTS)
        return 0;
    h = calloc((uint64_t)r->k * r->k, sizeof(*h));
    r->inverse = malloc((uint64_t)r->k * r->k * sizeof(*r->inverse));
    if (!h || !r->inverse) {
        free(h);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    linear_gram(h, r->k, s->exact, s->rows);
    for (uint64_t i = 0; i < (uint64_t)r->k * r->k; i++)
        h[i] /= (float)s->rows;
    status = linear_inverse(h, r->k, RIDGE * (float)mean_power + 1e-12f, r->inverse, error);
    free(h);
    return status;
}

static int see_node(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct prune_plan *plan = ctx;
    const struct graph *g = plan->graph;
    struct samples samples = {0};
    prune_tell(plan, "rating channels", node + 1, g->n_nodes);
    if (channels_rule(&plan->channels, &g->nodes[node]) != CHANNELS_MIX)
        return 0;
    struct prune_reader *r = &plan->readers[plan->n_readers++];
    *r = (struct prune_reader){.node = node};
    int status = take_weights(g, r, error);
    if (status == 0)
        status = samples_take(walk, node, 0, rows_for(r->k), &samples, error);
    if (status == 0)
        status = take_inputs(r, &samples, error);
    samples_free(&samples);
    return status < 0 ? sl_error_prefix(error, status, "node '%s'", g->nodes[node].name) : 0;
}

int prune_find_readers(struct prune_plan *plan, struct sl_error *error)
{
    struct walk walk = {.exact = plan->graph,
                        .calibration = plan->calibration,
                        .attention = &plan->attention,
                        .before = see_node,
                        .ctx = plan,
                        .single = true};
    plan->readers = calloc(plan->graph->n_nodes + 1, sizeof(*plan->readers));
    return plan->readers ? walk_run(&walk, error) : sl_error_set(error, -ENOMEM, "out of memory");
}

void prune_free_readers(struct prune_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_readers; i++) {
        free(plan->readers[i].inverse);
        free(plan->readers[i].weights);
        free(plan->readers[i].power);
        free(plan->readers[i].error);
    }
    free(plan->readers);
    plan->readers = NULL;
    plan->n_readers = 0;
}

// The block of the inverse that belongs to a channel, inverted: [area][area].
static int block_of(const struct prune_reader *r, uint32_t channel, double *block)
{
    const uint64_t first = (uint64_t)channel * r->area;
    for (uint32_t i = 0; i < r->area; i++)
        for (uint32_t j = 0; j < r->area; j++)
            block[i * r->area + j] = r->inverse[(first + i) * r->k + first + j];
    return linear_invert_small(block, r->area);
}

static double uncorrelated(const struct prune_reader *r, uint32_t channel)
{
    double sum = 0;
    for (uint32_t o = 0; o < r->m; o++)
        for (uint32_t j = channel * r->area; j < (channel + 1) * r->area; j++) {
            const double w = r->weights[(uint64_t)o * r->k + j];
            sum += w * w * r->power[j];
        }
    return sum;
}

// Sum over the outputs of w B w, for the channel's weights w and its block B.
static double with_refit(const struct prune_reader *r, uint32_t channel, const double *block)
{
    double sum = 0;
    for (uint32_t o = 0; o < r->m; o++) {
        const double *w = r->weights + (uint64_t)o * r->k + (uint64_t)channel * r->area;
        for (uint32_t i = 0; i < r->area; i++)
            for (uint32_t j = 0; j < r->area; j++)
                sum += w[i] * block[i * r->area + j] * w[j];
    }
    return sum;
}

int prune_rate(struct prune_reader *r, struct sl_error *error)
{
    if (!r->stale)
        return 0;
    double *block = malloc((uint64_t)r->area * r->area * sizeof(*block));
    if (!block)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t c = 0; c < r->k / r->area; c++) {
        // A channel that is gone has no weights and no block any more.
        const bool whole = r->inverse && block_of(r, c, block) == 0;
        r->error[c] = (whole ? with_refit(r, c, block) : uncorrelated(r, c)) / r->energy;
    }
    free(block);
    r->stale = false;
    return 0;
}

// to -= by * row, but for the channel's own places.
static void subtract(const struct prune_reader *r, uint64_t first, double by, const double *row,
                     double *to)
{
    if (by == 0)
        return;
    for (uint64_t j = 0; j < first; j++)
        to[j] -= by * row[j];
    for (uint64_t j = first + r->area; j < r->k; j++)
        to[j] -= by * row[j];
}

// Gauss elimination of the channel's rows and columns; the weights follow. `rows`: room for them.
static void eliminate(struct prune_reader *r, uint32_t channel, const double *block, double *rows)
{
    const uint64_t first = (uint64_t)channel * r->area, k = r->k;
    memset(rows, 0, r->area * k * sizeof(*rows));
    for (uint32_t i = 0; i < r->area; i++) // rows = block times the inverse's rows
        for (uint32_t l = 0; l < r->area; l++)
            for (uint64_t j = 0; j < k; j++)
                rows[i * k + j] += block[i * r->area + l] * r->inverse[(first + l) * k + j];
    for (uint32_t o = 0; o < r->m; o++)
        for (uint32_t i = 0; i < r->area; i++) {
            double *w = r->weights + (uint64_t)o * k;
            subtract(r, first, w[first + i], rows + i * k, w);
        }
    for (uint64_t i = 0; i < k; i++)
        for (uint32_t l = 0; l < r->area && (i < first || i >= first + r->area); l++)
            subtract(r, first, r->inverse[i * k + first + l], rows + l * k, r->inverse + i * k);
    for (uint64_t i = first; i < first + r->area; i++)
        for (uint64_t j = 0; j < k; j++)
            r->inverse[i * k + j] = r->inverse[j * k + i] = 0;
}

int prune_forget(struct prune_reader *r, uint32_t channel, struct sl_error *error)
{
    const uint64_t first = (uint64_t)channel * r->area;
    double *block = malloc((uint64_t)r->area * r->area * sizeof(*block));
    double *rows = malloc((uint64_t)r->area * r->k * sizeof(*rows));
    const bool ok = block && rows;
    if (ok && r->inverse && block_of(r, channel, block) == 0)
        eliminate(r, channel, block, rows);
    free(block);
    free(rows);
    for (uint32_t o = 0; ok && o < r->m; o++)
        for (uint64_t j = first; j < first + r->area; j++)
            r->weights[(uint64_t)o * r->k + j] = 0;
    r->stale = true;
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

// A copy of the reader from which the quarter of the channels is gone that costs least.
static int try_quarter(const struct prune_reader *r, struct prune_reader *trial, double *lost,
                       struct sl_error *error)
{
    const uint64_t mk = (uint64_t)r->m * r->k, kk = (uint64_t)r->k * r->k;
    const uint32_t channels = r->k / r->area;
    *trial = *r;
    trial->weights = malloc(mk * sizeof(double));
    trial->inverse = r->inverse ? malloc(kk * sizeof(double)) : NULL;
    trial->error = malloc(channels * sizeof(double));
    if (!trial->weights || !trial->error || (r->inverse && !trial->inverse))
        return sl_error_set(error, -ENOMEM, "out of memory");
    memcpy(trial->weights, r->weights, mk * sizeof(double));
    if (r->inverse)
        memcpy(trial->inverse, r->inverse, kk * sizeof(double));
    bool *gone = calloc(channels, sizeof(*gone));
    int status = gone ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    *lost = 0;
    for (uint32_t i = 0; i < (channels + TRIAL - 1) / TRIAL && status == 0; i++) {
        uint32_t least = UINT32_MAX;
        trial->stale = true;
        status = prune_rate(trial, error);
        for (uint32_t c = 0; c < channels; c++)
            if (!gone[c] && (least == UINT32_MAX || trial->error[c] < trial->error[least]))
                least = c;
        *lost += trial->error[least];
        gone[least] = true;
        if (status == 0)
            status = prune_forget(trial, least, error);
    }
    free(gone);
    return status;
}

static int measure(struct prune_plan *plan, struct prune_reader *r, struct output_error *outputs,
                   struct sl_error *error)
{
    struct graph changed;
    struct prune_reader trial = {0};
    double lost = 0, found = 0;
    int status = network_copy(plan->graph, &changed, error);
    if (status < 0)
        return status;
    struct sl_node *node = &changed.nodes[r->node];
    struct sl_tensor w = changed.tensors[node->inputs[1]];
    float *values = pool_alloc(&changed.pool, w.bytes);
    status = values ? try_quarter(r, &trial, &lost, error) : pool_error(&changed.pool, error);
    for (uint64_t i = 0; status == 0 && i < (uint64_t)r->m * r->k; i++)
        values[i] = (float)trial.weights[i];
    if (values) {
        uint32_t inputs[3] = {node->inputs[0], 0, node->n_inputs > 2 ? node->inputs[2] : 0};
        w.data = values;
        if (status == 0)
            status = graph_add_tensor(&changed, &w, &inputs[1], error);
        if (status == 0)
            status =
                graph_set_inputs(&changed, &changed.nodes[r->node], inputs, node->n_inputs, error);
        free(trial.weights);
        free(trial.inverse);
        free(trial.error);
    }
    if (status == 0)
        status = output_error_of(outputs, &changed, &found, error);
    graph_free(&changed);
    if (status == 0 && lost > 1e-12)
        r->effect = found / lost;
    return status;
}

int prune_measure_effects(struct prune_plan *plan, struct sl_error *error)
{
    struct output_error outputs;
    int status =
        output_error_begin(plan->graph, plan->calibration, &plan->attention, &outputs, error);
    for (uint32_t i = 0; i < plan->n_readers && status == 0; i++) {
        prune_tell(plan, "measuring layers", i + 1, plan->n_readers);
        status = measure(plan, &plan->readers[i], &outputs, error);
    }
    output_error_end(&outputs);
    return status;
}
