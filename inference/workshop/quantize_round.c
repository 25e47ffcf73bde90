// Rounding of the weights of one group of a layer.
#include "inference/workshop/quantize_round.h"

#include "inference/workshop/linear.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Of the mean second moment: keeps the compensation of rounding stable.
static const float DAMP = 0.01f;

static float level(float value, float scale, float most)
{
    return fminf(fmaxf(rintf(value / scale), -most), most);
}

uint32_t round_scales(const struct round_task *t)
{
    return (t->k + t->span - 1) / t->span;
}

static uint64_t scale_at(const struct round_task *t, uint32_t i, uint32_t j)
{
    return (uint64_t)i * round_scales(t) + j / t->span;
}

// The scale of some weights: with `weight` (or NULL for the same everywhere) the one with the least
// weighted squared error, else the one that just holds the greatest number.
static float find_scale(const float *row, uint32_t k, float levels, const float *weight,
                        bool search)
{
    float most = 0;
    for (uint32_t j = 0; j < k; j++)
        most = fmaxf(most, fabsf(row[j]));
    if (!(most > 1e-12f))
        return 1 / levels;
    float best = most / levels;
    double least = DBL_MAX;
    for (int step = 0; step < 40 && search; step++) {
        const float scale = most / levels * (1 - 0.0125f * (float)step);
        double sum = 0;
        for (uint32_t j = 0; j < k; j++) {
            const float e = row[j] - level(row[j], scale, levels) * scale;
            sum += (double)(e * e * (weight ? weight[j] : 1));
        }
        if (sum < least) {
            least = sum;
            best = scale;
        }
    }
    return best;
}

void round_close(struct round_task *t)
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

static void take_moments(struct round_task *t)
{
    const uint32_t rows = t->samples.rows - t->samples.held, k = t->k;
    linear_gram(t->h, k, t->samples.changed, rows);
    linear_cross(t->cross, k, k, t->samples.changed, t->samples.exact, rows);
    for (uint32_t j = 0; j < k; j++)
        t->diagonal[j] = t->h[(uint64_t)j * k + j] + 1e-12f;
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

static int compensate(struct round_task *t, struct sl_error *error)
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
            const float *u = factor + (uint64_t)j * k;
            const float scale = t->scale[scale_at(t, i, order[j].at)];
            const float q = level(row[j], scale, t->levels);
            const float e = (row[j] - q * scale) / u[j];
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

// The sum of the squared errors of the group's results on rows from `first` on, for given whole
// numbers.
static int result_error(const struct round_task *t, const float *q, const float *scale,
                        uint32_t first, double *out, struct sl_error *error)
{
    const uint32_t rows = t->samples.rows - first, k = t->k, m = t->m;
    float *w = malloc((uint64_t)m * k * sizeof(*w));
    float *a = malloc((uint64_t)rows * m * sizeof(*a) + 1);
    float *b = malloc((uint64_t)rows * m * sizeof(*b) + 1);
    *out = 0;
    if (w && a && b) {
        for (uint64_t i = 0; i < (uint64_t)m * k; i++)
            w[i] = q[i] * scale[scale_at(t, (uint32_t)(i / k), (uint32_t)(i % k))];
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

void round_nearest(struct round_task *t, const float *weights, const float *diagonal, bool search)
{
    for (uint32_t i = 0; i < t->m; i++) {
        const float *row = weights + (uint64_t)i * t->k;
        for (uint32_t j = 0; j < t->k; j += t->span)
            t->scale[scale_at(t, i, j)] =
                find_scale(row + j, t->k - j < t->span ? t->k - j : t->span, t->levels,
                           diagonal ? diagonal + j : NULL, search);
        for (uint32_t j = 0; j < t->k; j++)
            t->q[(uint64_t)i * t->k + j] = level(row[j], t->scale[scale_at(t, i, j)], t->levels);
    }
}

int round_open(struct round_task *t, struct sl_error *error)
{
    const uint64_t mk = (uint64_t)t->m * t->k, kk = (uint64_t)t->k * t->k;
    t->h = calloc(kk, sizeof(*t->h));
    t->cross = calloc(kk, sizeof(*t->cross));
    t->diagonal = malloc(t->k * sizeof(*t->diagonal));
    t->target = malloc(mk * sizeof(*t->target));
    t->scale = malloc((uint64_t)t->m * round_scales(t) * sizeof(*t->scale));
    t->q = malloc(mk * sizeof(*t->q));
    return t->h && t->cross && t->diagonal && t->target && t->scale && t->q
               ? 0
               : sl_error_set(error, -ENOMEM, "out of memory");
}

// Nearest, then compensated: for the weights as they are, and for corrected ones that may move
// little or much.
enum { WAYS = 4 };
static const float pulls[WAYS] = {0, 0, 0.5f, 0.05f};

static int round_way(struct round_task *t, int way, struct sl_error *error)
{
    int status = 0;
    if (way < 2)
        memcpy(t->target, t->weights, (uint64_t)t->m * t->k * sizeof(*t->target));
    else
        status = linear_correct(t->h, t->cross, t->k, pulls[way] * mean_diagonal(t->h, t->k),
                                t->weights, t->m, t->target, error);
    if (status < 0)
        return status;
    round_nearest(t, t->target, t->diagonal, true);
    return way == 0 ? 0 : compensate(t, error);
}

int round_group(struct round_task *t, bool *compensated, struct sl_error *error)
{
    const uint64_t mk = (uint64_t)t->m * t->k, scales = (uint64_t)t->m * round_scales(t);
    const uint32_t first = t->samples.held ? t->samples.rows - t->samples.held : 0;
    float *q = malloc(mk * sizeof(*q)), *scale = malloc(scales * sizeof(*scale));
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
        memcpy(scale, t->scale, scales * sizeof(*scale));
    }
    if (status == 0) {
        memcpy(t->q, q, mk * sizeof(*q));
        memcpy(t->scale, scale, scales * sizeof(*scale));
    }
    free(q);
    free(scale);
    return status;
}
