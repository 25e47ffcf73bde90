// How much would mAP change with other pictures? The paired bootstrap.
#include "inference/metrics_impl.h"

#include "inference/random.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void draw(uint32_t *weights, uint32_t count, uint64_t *random)
{
    memset(weights, 0, count * sizeof(*weights));
    for (uint32_t i = 0; i < count; i++)
        weights[random_below(random, count)]++;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static struct sl_interval interval(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), by_value);
    const uint32_t last = count - 1;
    return (struct sl_interval){values[(uint32_t)floor(0.025 * last)],
                                values[(uint32_t)ceil(0.975 * last)]};
}

static double mean_or_zero(struct sl_metrics *m, const uint32_t *weights)
{
    const double mean = m ? metrics_mean(m, AREA_ALL, weights) : 0;
    return isnan(mean) ? 0 : mean;
}

int sl_metrics_bootstrap(struct sl_metrics *a, struct sl_metrics *b, uint32_t resamples,
                         uint64_t seed, struct sl_bootstrap *out, struct sl_error *error)
{
    if (resamples == 0 || a->n_pictures == 0 || (b && b->n_pictures != a->n_pictures))
        return sl_error_set(error, -EINVAL, "the bootstrap needs the same pictures twice");
    int status = metrics_sort(a, error);
    if (status == 0 && b)
        status = metrics_sort(b, error);
    if (status < 0)
        return status;
    const uint32_t count = (uint32_t)a->n_pictures;
    uint32_t *weights = calloc(count, sizeof(*weights));
    double *values[3] = {NULL};
    for (int i = 0; i < 3; i++)
        values[i] = calloc(resamples, sizeof(*values[i]));
    if (!weights || !values[0] || !values[1] || !values[2])
        status = sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; status == 0 && i < resamples; i++) {
        draw(weights, count, &seed);
        values[0][i] = mean_or_zero(a, weights);
        values[1][i] = mean_or_zero(b, weights);
        values[2][i] = values[0][i] - values[1][i];
    }
    if (status == 0)
        *out = (struct sl_bootstrap){interval(values[0], resamples), interval(values[1], resamples),
                                     interval(values[2], resamples)};
    for (int i = 0; i < 3; i++)
        free(values[i]);
    free(weights);
    return status;
}
