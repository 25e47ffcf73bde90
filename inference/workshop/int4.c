// Weights in 15 levels, fitted to the calibration pictures.
#include "inference/workshop/int4.h"

#include "inference/onnx_write.h"
#include "inference/workshop/quantize_round.h"
#include "inference/workshop/weight_rows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { LEAST_ROWS = 2048, MOST_ROWS = 16384, MOST_INPUTS = 8192 };

struct work {
    struct graph *changed;
    workshop_progress progress;
    void *ctx;
    struct int4_report *report;
    double output_noise[2];
};

// Dense layers whose rows lie in the file as they are multiplied.
static bool can_round(const struct graph *g, const struct sl_node *node,
                      const struct weight_rows *rows)
{
    const struct sl_tensor *weights = &g->tensors[node->inputs[1]];
    return rows->groups == 1 && node->op != SL_OP_CONV_TRANSPOSE && rows->k <= MOST_INPUTS &&
           sl_onnx_weight_storage(weights, SL_WEIGHTS_INT4) == SL_WEIGHTS_INT4 &&
           (uint64_t)weights->dims[0] == rows->m && weight_rows_index(g, node, 0, 1) == 1;
}

static void take_results(const struct round_task *t, float *const means[2], float *values,
                         float *bias_change)
{
    for (uint32_t i = 0; i < t->m; i++) {
        const uint64_t row = (uint64_t)i * t->k;
        for (uint32_t j = 0; j < t->k; j++)
            values[row + j] = t->q[row + j] * t->scale[(uint64_t)i * round_scales(t) + j / t->span];
        bias_change[i] = samples_mean_error(t->weights + row, values + row, means, t->k);
    }
}

static int round_layer(struct work *work, struct walk *walk, uint32_t node,
                       const struct weight_rows *rows, struct sl_error *error)
{
    struct round_task t = {.m = rows->m,
                           .k = rows->k,
                           .weights = rows->values,
                           .span = SL_INT4_GROUP,
                           .levels = SL_INT4_LEVELS};
    struct weight_rows rounded = *rows;
    const uint32_t wanted = rows->k * 8 < LEAST_ROWS  ? LEAST_ROWS
                            : rows->k * 8 > MOST_ROWS ? MOST_ROWS
                                                      : rows->k * 8;
    float *means[2] = {malloc(t.k * sizeof(float)), malloc(t.k * sizeof(float))};
    float *bias_change = malloc(t.m * sizeof(float));
    bool compensated = false;
    rounded.values = malloc((uint64_t)t.m * t.k * sizeof(float));
    int status = means[0] && means[1] && bias_change && rounded.values
                     ? round_open(&t, error)
                     : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        status = samples_take(walk, node, 0, wanted, &t.samples, error);
    if (status == 0) {
        samples_centre(&t.samples, means[0], means[1]);
        status = round_group(&t, &compensated, error);
    }
    if (status == 0) {
        take_results(&t, means, rounded.values, bias_change);
        status = weight_rows_write(work->changed, node, &rounded, bias_change, error);
        work->report->n_layers++;
        work->report->n_compensated += compensated;
    }
    round_close(&t);
    free(means[0]);
    free(means[1]);
    free(bias_change);
    free(rounded.values);
    return status;
}

static int before(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct work *work = ctx;
    const struct graph *g = walk->exact;
    struct weight_rows rows = {0};
    if (work->progress)
        work->progress(work->ctx, "rounding weights", node + 1, g->n_nodes);
    if (!weight_rows_exist(g, &g->nodes[node]))
        return 0;
    int status = weight_rows_read(g, &g->nodes[node], &rows, error);
    if (status == 0 && can_round(g, &g->nodes[node], &rows))
        status = round_layer(work, walk, node, &rows, error);
    free(rows.values);
    return status < 0 ? sl_error_prefix(error, status, "node '%s'", g->nodes[node].name) : 0;
}

static int after(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct work *work = ctx;
    (void)error;
    for (uint32_t i = 0; i < walk->exact->n_outputs; i++) {
        const uint32_t tensor = walk->exact->outputs[i];
        const struct walk_values *v = &walk->values[tensor];
        if (tensor != walk->exact->nodes[node].outputs[0])
            continue;
        for (uint32_t p = 0; p < walk->calibration->count; p++)
            for (uint64_t k = 0; k < v->exact_elements; k++) {
                const double e = (double)(v->exact[p][k] - v->changed[p][k]);
                work->output_noise[0] += (double)(v->exact[p][k] * v->exact[p][k]);
                work->output_noise[1] += e * e;
            }
    }
    return 0;
}

int int4_round(struct network *network, const struct calibration *calibration,
               workshop_progress progress, void *ctx, struct int4_report *out,
               struct sl_error *error)
{
    struct graph changed;
    struct int4_report report = {0};
    struct work work = {.changed = &changed, .progress = progress, .ctx = ctx, .report = &report};
    int status = network_copy(&network->graph, &changed, error);
    if (status < 0)
        return status;
    struct walk walk = {.exact = &network->graph,
                        .changed = &changed,
                        .calibration = calibration,
                        .before = before,
                        .after = after,
                        .ctx = &work};
    status = walk_run(&walk, error);
    if (status == 0)
        status = network_replace(network, &changed, error);
    graph_free(&changed);
    report.output_snr_db =
        (float)(10 * log10((work.output_noise[0] + 1e-30) / (work.output_noise[1] + 1e-30)));
    if (status == 0)
        *out = report;
    return status;
}
