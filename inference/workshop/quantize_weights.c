// Weights of one layer: correction for the errors so far, rounding, and the mean error into the
// bias.
#include "inference/workshop/quantize_impl.h"

#include "inference/workshop/quantize_round.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 127, MOST_ROWS = 16384, LEAST_ROWS = 2048, MOST_INPUTS = 8192 };

// Lists the columns in which row `first` has weights; returns how many rows from it on have zeros
// in the same places. Sparse weights shall stay sparse.
static uint32_t same_zeros(const struct round_task *t, uint32_t first, uint32_t *columns,
                           uint32_t *count)
{
    const float *row = t->weights + (uint64_t)first * t->k;
    uint32_t end = first + 1;
    *count = 0;
    for (uint32_t j = 0; j < t->k; j++)
        if (row[j] != 0)
            columns[(*count)++] = j;
    for (bool same = true; end < t->m; end++) {
        for (uint32_t j = 0; j < t->k && same; j++)
            same = (row[j] == 0) == (t->weights[(uint64_t)end * t->k + j] == 0);
        if (!same)
            break;
    }
    return end - first;
}

static void gather(const float *from, uint32_t rows, uint32_t k, const uint32_t *columns,
                   uint32_t count, float *to)
{
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < count; j++)
            to[(uint64_t)i * count + j] = from[(uint64_t)i * k + columns[j]];
}

// Some rows as a task of their own, with the columns in which they have weights.
static int open_part(const struct round_task *t, uint32_t first, const uint32_t *columns,
                     struct round_task *part, float **weights, struct sl_error *error)
{
    const struct samples *s = &t->samples;
    const uint64_t values = (uint64_t)s->rows * part->k;
    part->samples = (struct samples){.rows = s->rows, .k = part->k, .held = s->held};
    part->samples.exact = malloc(values * sizeof(float) + 1);
    part->samples.changed = malloc(values * sizeof(float) + 1);
    part->weights = *weights = malloc((uint64_t)part->m * part->k * sizeof(float));
    if (!*weights || !part->samples.exact || !part->samples.changed)
        return sl_error_set(error, -ENOMEM, "out of memory");
    gather(s->exact, s->rows, t->k, columns, part->k, part->samples.exact);
    gather(s->changed, s->rows, t->k, columns, part->k, part->samples.changed);
    gather(t->weights + (uint64_t)first * t->k, part->m, t->k, columns, part->k, *weights);
    return round_open(part, error);
}

static int round_part(struct round_task *t, uint32_t first, uint32_t rows, const uint32_t *columns,
                      uint32_t count, bool *compensated, struct sl_error *error)
{
    struct round_task part = {.m = rows, .k = count, .span = count, .levels = LEVELS};
    float *weights = NULL;
    int status = open_part(t, first, columns, &part, &weights, error);
    if (status == 0)
        status = round_group(&part, compensated, error);
    for (uint32_t i = 0; i < rows && status == 0; i++) {
        t->scale[first + i] = part.scale[i];
        for (uint32_t j = 0; j < count; j++)
            t->q[(uint64_t)(first + i) * t->k + columns[j]] = part.q[(uint64_t)i * count + j];
    }
    round_close(&part);
    free(weights);
    return status;
}

// Rounds all rows; `compensated`: most of them with compensation.
static int round_all_rows(struct round_task *t, bool *compensated, struct sl_error *error)
{
    uint32_t *columns = malloc(t->k * sizeof(*columns)), better = 0;
    int status = columns ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    memset(t->q, 0, (uint64_t)t->m * t->k * sizeof(*t->q));
    for (uint32_t first = 0, rows = 0; first < t->m && status == 0; first += rows) {
        uint32_t count;
        bool part_compensated = false;
        rows = same_zeros(t, first, columns, &count);
        for (uint32_t i = 0; i < rows; i++)
            t->scale[first + i] = 1.0f / LEVELS;
        if (rows == t->m && count == t->k)
            status = round_group(t, &part_compensated, error);
        else if (count > 0)
            status = round_part(t, first, rows, columns, count, &part_compensated, error);
        better += part_compensated ? rows : 0;
    }
    *compensated = better * 2 > t->m;
    free(columns);
    return status;
}

// Samples of the rounded inputs, and everything that is decided from them.
static int fit_group(struct plan *plan, struct walk *walk, uint32_t node, uint32_t group,
                     struct round_task *t, float *bias_change, bool *compensated,
                     struct sl_error *error)
{
    const uint64_t wanted = (uint64_t)t->k * 8;
    const uint32_t rows = wanted > MOST_ROWS    ? MOST_ROWS
                          : wanted < LEAST_ROWS ? LEAST_ROWS
                                                : (uint32_t)wanted;
    float *means[2] = {malloc(t->k * sizeof(float)), malloc(t->k * sizeof(float))};
    float *rounded = malloc(t->k * sizeof(*rounded));
    int status = means[0] && means[1] && rounded
                     ? samples_take(walk, node, group, rows, &t->samples, error)
                     : sl_error_set(error, -ENOMEM, "out of memory");
    (void)plan;
    if (status == 0) {
        samples_centre(&t->samples, means[0], means[1]);
        status = round_all_rows(t, compensated, error);
    }
    for (uint32_t i = 0; i < t->m && status == 0; i++) {
        const uint64_t row = (uint64_t)i * t->k;
        for (uint32_t j = 0; j < t->k; j++)
            rounded[j] = t->q[row + j] * t->scale[i];
        bias_change[i] = samples_mean_error(t->weights + row, rounded, means, t->k);
    }
    free(means[0]);
    free(means[1]);
    free(rounded);
    return status;
}

static bool can_fit(const struct plan *plan, const struct sl_node *node,
                    const struct weight_rows *rows)
{
    return plan->options->method == QUANTIZE_BEST && rows->k <= MOST_INPUTS &&
           node->op != SL_OP_CONV_TRANSPOSE;
}

// Puts the rounded weights back into the network that the walk goes on with.
static int set_constants(struct plan *plan, uint32_t node, const struct layer_weights *w,
                         const struct weight_rows *rows, const float *bias_change,
                         struct sl_error *error)
{
    struct weight_rows rounded = *rows;
    rounded.values = malloc((uint64_t)rows->m * rows->k * sizeof(float) + 1);
    if (!rounded.values)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < rows->m; i++)
        for (uint32_t j = 0; j < rows->k; j++)
            rounded.values[(uint64_t)i * rows->k + j] =
                (float)w->values[weight_rows_index(plan->graph, &plan->graph->nodes[node], i, j)] *
                w->scale[i];
    const int status = weight_rows_write(&plan->changed, node, &rounded, bias_change, error);
    free(rounded.values);
    return status;
}

static int round_rows(struct plan *plan, struct walk *walk, uint32_t node,
                      const struct weight_rows *rows, struct layer_weights *w, float *bias_change,
                      struct sl_error *error)
{
    const struct sl_node *n = &plan->graph->nodes[node];
    const uint32_t each = rows->m / rows->groups;
    uint32_t n_compensated = 0;
    int status = 0;
    for (uint32_t group = 0; group < rows->groups && status == 0; group++) {
        struct round_task t = {.m = each,
                               .k = rows->k,
                               .span = rows->k,
                               .levels = LEVELS,
                               .weights = rows->values + (uint64_t)group * each * rows->k};
        bool compensated = false;
        status = round_open(&t, error);
        if (status == 0 && can_fit(plan, n, rows))
            status = fit_group(plan, walk, node, group, &t, bias_change + group * each,
                               &compensated, error);
        else if (status == 0)
            round_nearest(&t, t.weights, NULL, plan->options->method == QUANTIZE_BEST);
        for (uint32_t i = 0; i < each && status == 0; i++) {
            w->scale[group * each + i] = t.scale[i];
            for (uint32_t j = 0; j < rows->k; j++)
                w->values[weight_rows_index(plan->graph, n, group * each + i, j)] =
                    (int8_t)t.q[(uint64_t)i * rows->k + j];
        }
        n_compensated += compensated;
        round_close(&t);
    }
    w->rounding = n_compensated * 2 > rows->groups ? ROUNDED_COMPENSATED : ROUNDED_NEAREST;
    return status;
}

int weights_round(struct plan *plan, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct layer_weights *w = &plan->weights[node];
    struct weight_rows rows = {0};
    int status = weight_rows_read(plan->graph, &plan->graph->nodes[node], &rows, error);
    if (status < 0)
        return status;
    float *bias_change = calloc(rows.m, sizeof(*bias_change));
    w->n_channels = rows.m;
    w->values = malloc((uint64_t)rows.m * rows.k);
    w->scale = malloc(rows.m * sizeof(*w->scale));
    status = bias_change && w->values && w->scale
                 ? round_rows(plan, walk, node, &rows, w, bias_change, error)
                 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        status = set_constants(plan, node, w, &rows, bias_change, error);
    free(bias_change);
    free(rows.values);
    return status;
}
