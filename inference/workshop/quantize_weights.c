// Weights of one layer: correction for the errors so far, rounding, and the mean error into the
// bias.
#include "inference/workshop/quantize_impl.h"

#include "accel/tensor.h"
#include "inference/workshop/linear.h"
#include "inference/workshop/samples.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 127, MOST_ROWS = 16384, LEAST_ROWS = 2048, MOST_INPUTS = 8192 };
// Of the mean second moment: keeps the compensation of rounding stable.
static const float DAMP = 0.01f;

static float level(float value, float scale)
{
    return fminf(fmaxf(rintf(value / scale), -LEVELS), LEVELS);
}

// The scale of one row: with `weight` (or NULL for the same everywhere) the one with the least
// weighted squared error, else the one that just holds the greatest number.
static float row_scale(const float *row, uint32_t k, const float *weight, bool search)
{
    float most = 0;
    for (uint32_t j = 0; j < k; j++)
        most = fmaxf(most, fabsf(row[j]));
    if (!(most > 1e-12f))
        return 1.0f / LEVELS;
    float best = most / LEVELS;
    double least = DBL_MAX;
    for (int step = 0; step < 40 && search; step++) {
        const float scale = most / LEVELS * (1 - 0.0125f * (float)step);
        double sum = 0;
        for (uint32_t j = 0; j < k; j++) {
            const float e = row[j] - level(row[j], scale) * scale;
            sum += (double)(e * e * (weight ? weight[j] : 1));
        }
        if (sum < least) {
            least = sum;
            best = scale;
        }
    }
    return best;
}

// What one group of a layer looks like while its weights are rounded.
struct task {
    uint32_t m, k;        // rows (output channels) and inputs of this group
    const float *weights; // [m][k], float
    struct samples samples;
    float *h, *cross; // [k][k]: second moments of the rounded inputs, and with the exact ones
    float *diagonal;  // [k] of h
    float *target;    // [m][k]: the corrected weights
    float *scale;     // [m]
    float *q;         // [m][k], whole numbers
};

static void free_task(struct task *t)
{
    samples_free(&t->samples);
    free(t->h);
    free(t->cross);
    free(t->diagonal);
    free(t->target);
    free(t->scale);
    free(t->q);
}

static float mean_diagonal(const float *h, uint32_t k)
{
    double sum = 0;
    for (uint32_t i = 0; i < k; i++)
        sum += (double)h[(uint64_t)i * k + i];
    return (float)(sum / k) + 1e-12f;
}

static void take_moments(struct task *t)
{
    const uint32_t rows = t->samples.rows - t->samples.held, k = t->k;
    linear_gram(t->h, k, t->samples.changed, rows);
    linear_cross(t->cross, k, k, t->samples.exact, t->samples.changed, rows);
    for (uint32_t j = 0; j < k; j++)
        t->diagonal[j] = t->h[(uint64_t)j * k + j] + 1e-12f;
}

// target = argmin |w x - w' x'|^2 + pull |w' - w|^2 over the rows that are not held out.
static int correct(struct task *t, float share, struct sl_error *error)
{
    const uint32_t k = t->k;
    const float pull = share * mean_diagonal(t->h, k);
    float *right = calloc((uint64_t)t->m * k, sizeof(*right));
    if (!right)
        return sl_error_set(error, -ENOMEM, "out of memory");
    // right = w (cross + pull I): w as "rows" times a matrix that is not symmetric.
    for (uint32_t i = 0; i < t->m; i++) {
        for (uint32_t j = 0; j < k; j++) {
            const float w = t->weights[(uint64_t)i * k + j];
            for (uint32_t c = 0; w != 0 && c < k; c++)
                right[(uint64_t)i * k + c] += w * t->cross[(uint64_t)j * k + c];
            right[(uint64_t)i * k + j] += w * pull;
        }
    }
    const int status = linear_solve(t->h, k, pull, right, t->m, t->target, error);
    free(right);
    return status;
}

// Columns by falling second moment: the inputs that matter most are rounded first, the others make
// up for it.
struct column {
    float weight;
    uint32_t at;
};

static int by_weight(const void *a, const void *b)
{
    const struct column *x = a, *y = b;
    return x->weight < y->weight   ? 1
           : x->weight > y->weight ? -1
                                   : (x->at > y->at) - (x->at < y->at);
}

static int compensate(struct task *t, struct sl_error *error)
{
    const uint32_t k = t->k;
    struct column *order = malloc(k * sizeof(*order));
    float *sorted = malloc((uint64_t)k * k * sizeof(*sorted));
    float *factor = malloc((uint64_t)k * k * sizeof(*factor));
    float *row = malloc(k * sizeof(*row));
    int status =
        order && sorted && factor && row ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t j = 0; j < k && status == 0; j++)
        order[j] = (struct column){t->h[(uint64_t)j * k + j], j};
    if (status == 0) {
        qsort(order, k, sizeof(*order), by_weight);
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t j = 0; j < k; j++)
                sorted[(uint64_t)i * k + j] = t->h[(uint64_t)order[i].at * k + order[j].at];
        status = linear_inverse_factor(sorted, k, DAMP * mean_diagonal(t->h, k), factor, error);
    }
    for (uint32_t i = 0; i < t->m && status == 0; i++) {
        for (uint32_t j = 0; j < k; j++)
            row[j] = t->target[(uint64_t)i * k + order[j].at];
        for (uint32_t j = 0; j < k; j++) {
            const float *u = factor + (uint64_t)j * k, q = level(row[j], t->scale[i]);
            const float e = (row[j] - q * t->scale[i]) / u[j];
            t->q[(uint64_t)i * k + order[j].at] = q;
            for (uint32_t c = j + 1; c < k; c++)
                row[c] -= e * u[c];
        }
    }
    free(order);
    free(sorted);
    free(factor);
    free(row);
    return status;
}

// The mean squared error of the group's results on rows from `first` on, for given whole numbers.
static int result_error(const struct task *t, const float *q, const float *scale, uint32_t first,
                        double *out, struct sl_error *error)
{
    const uint32_t rows = t->samples.rows - first, k = t->k, m = t->m;
    float *w = malloc((uint64_t)m * k * sizeof(*w));
    float *a = malloc((uint64_t)rows * m * sizeof(*a) + 1);
    float *b = malloc((uint64_t)rows * m * sizeof(*b) + 1);
    *out = 0;
    if (w && a && b) {
        for (uint64_t i = 0; i < (uint64_t)m * k; i++)
            w[i] = q[i] * scale[i / k];
        linear_apply(a, t->samples.exact + (uint64_t)first * k, rows, k, t->weights, m);
        linear_apply(b, t->samples.changed + (uint64_t)first * k, rows, k, w, m);
        for (uint64_t i = 0; i < (uint64_t)rows * m; i++)
            *out += (double)((a[i] - b[i]) * (a[i] - b[i]));
    }
    const bool ok = w && a && b;
    free(w);
    free(a);
    free(b);
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

static void nearest(struct task *t, const float *weights, const float *diagonal, bool search)
{
    for (uint32_t i = 0; i < t->m; i++) {
        const float *row = weights + (uint64_t)i * t->k;
        t->scale[i] = row_scale(row, t->k, diagonal, search);
        for (uint32_t j = 0; j < t->k; j++)
            t->q[(uint64_t)i * t->k + j] = level(row[j], t->scale[i]);
    }
}

static int take_memory(struct task *t, struct sl_error *error)
{
    const uint64_t mk = (uint64_t)t->m * t->k, kk = (uint64_t)t->k * t->k;
    t->h = calloc(kk, sizeof(*t->h));
    t->cross = calloc(kk, sizeof(*t->cross));
    t->diagonal = malloc(t->k * sizeof(*t->diagonal));
    t->target = malloc(mk * sizeof(*t->target));
    t->scale = malloc(t->m * sizeof(*t->scale));
    t->q = malloc(mk * sizeof(*t->q));
    return t->h && t->cross && t->diagonal && t->target && t->scale && t->q
               ? 0
               : sl_error_set(error, -ENOMEM, "out of memory");
}

// Nearest, then compensated: for the weights as they are, and for corrected ones that may move
// little or much.
enum { WAYS = 4 };
static const float pulls[WAYS] = {0, 0, 0.5f, 0.05f};

static int round_way(struct task *t, int way, struct sl_error *error)
{
    int status = 0;
    if (way < 2)
        memcpy(t->target, t->weights, (uint64_t)t->m * t->k * sizeof(*t->target));
    else
        status = correct(t, pulls[way], error);
    if (status < 0)
        return status;
    nearest(t, t->target, t->diagonal, true);
    return way == 0 ? 0 : compensate(t, error);
}

// Rounds one group in the way that is best on the pictures that were held out.
static int round_group(struct task *t, bool *compensated, struct sl_error *error)
{
    const uint64_t mk = (uint64_t)t->m * t->k;
    const uint32_t first = t->samples.held ? t->samples.rows - t->samples.held : 0;
    float *q = malloc(mk * sizeof(*q)), *scale = malloc(t->m * sizeof(*scale));
    double least = DBL_MAX, found = 0;
    int status = q && scale ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        take_moments(t);
    for (int way = 0; way < WAYS && status == 0; way++) {
        status = round_way(t, way, error);
        if (status == 0)
            status = result_error(t, t->q, t->scale, first, &found, error);
        if (status < 0 || found >= least)
            continue;
        least = found;
        *compensated = way > 0;
        memcpy(q, t->q, mk * sizeof(*q));
        memcpy(scale, t->scale, t->m * sizeof(*scale));
    }
    if (status == 0) {
        memcpy(t->q, q, mk * sizeof(*q));
        memcpy(t->scale, scale, t->m * sizeof(*scale));
    }
    free(q);
    free(scale);
    return status;
}

// Lists the columns in which row `first` has weights; returns how many rows from it on have zeros
// in the same places. Sparse weights shall stay sparse.
static uint32_t same_zeros(const struct task *t, uint32_t first, uint32_t *columns, uint32_t *count)
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
static int open_part(const struct task *t, uint32_t first, const uint32_t *columns,
                     struct task *part, float **weights, struct sl_error *error)
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
    return take_memory(part, error);
}

static int round_part(struct task *t, uint32_t first, uint32_t rows, const uint32_t *columns,
                      uint32_t count, bool *compensated, struct sl_error *error)
{
    struct task part = {.m = rows, .k = count};
    float *weights = NULL;
    int status = open_part(t, first, columns, &part, &weights, error);
    if (status == 0)
        status = round_group(&part, compensated, error);
    for (uint32_t i = 0; i < rows && status == 0; i++) {
        t->scale[first + i] = part.scale[i];
        for (uint32_t j = 0; j < count; j++)
            t->q[(uint64_t)(first + i) * t->k + columns[j]] = part.q[(uint64_t)i * count + j];
    }
    free_task(&part);
    free(weights);
    return status;
}

// Rounds all rows; `compensated`: most of them with compensation.
static int round_all_rows(struct task *t, bool *compensated, struct sl_error *error)
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
                     struct task *t, float *bias_change, bool *compensated, struct sl_error *error)
{
    const uint64_t wanted = (uint64_t)t->k * 8;
    const uint32_t rows = wanted > MOST_ROWS    ? MOST_ROWS
                          : wanted < LEAST_ROWS ? LEAST_ROWS
                                                : (uint32_t)wanted;
    float *means[2] = {malloc(t->k * sizeof(float)), malloc(t->k * sizeof(float))};
    int status = means[0] && means[1] ? samples_take(walk, node, group, rows, &t->samples, error)
                                      : sl_error_set(error, -ENOMEM, "out of memory");
    (void)plan;
    if (status == 0) {
        samples_centre(&t->samples, means[0], means[1]);
        status = round_all_rows(t, compensated, error);
    }
    for (uint32_t i = 0; i < t->m && status == 0; i++) {
        double sum = 0;
        for (uint32_t j = 0; j < t->k; j++) {
            const uint64_t at = (uint64_t)i * t->k + j;
            sum += (double)(t->weights[at] * means[0][j]) -
                   (double)(t->q[at] * t->scale[i] * means[1][j]);
        }
        bias_change[i] = (float)sum;
    }
    free(means[0]);
    free(means[1]);
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
        struct task t = {
            .m = each, .k = rows->k, .weights = rows->values + (uint64_t)group * each * rows->k};
        bool compensated = false;
        status = take_memory(&t, error);
        if (status == 0 && can_fit(plan, n, rows))
            status = fit_group(plan, walk, node, group, &t, bias_change + group * each,
                               &compensated, error);
        else if (status == 0)
            nearest(&t, t.weights, NULL, plan->options->method == QUANTIZE_BEST);
        for (uint32_t i = 0; i < each && status == 0; i++) {
            w->scale[group * each + i] = t.scale[i];
            for (uint32_t j = 0; j < rows->k; j++)
                w->values[weight_rows_index(plan->graph, n, group * each + i, j)] =
                    (int8_t)t.q[(uint64_t)i * rows->k + j];
        }
        n_compensated += compensated;
        free_task(&t);
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
