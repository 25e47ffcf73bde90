// Where on the calibration pictures something is to be seen.
#include "inference/workshop/attention.h"

#include "accel/tensor.h"
#include "inference/workshop/heads.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct heads {
    const struct graph *graph;
    uint32_t tensors[CALIBRATION_TENSORS], count;
    double **mean, **square; // [head][channel]
    uint64_t *seen;          // values per channel
    struct attention *out;
};

static uint64_t area_of(const struct sl_tensor *t)
{
    return (uint64_t)(t->dims[2] * t->dims[3]);
}

static int see_moments(void *ctx, uint32_t picture, const float *const *values,
                       struct sl_error *error)
{
    struct heads *h = ctx;
    (void)picture;
    (void)error;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct sl_tensor *t = &h->graph->tensors[h->tensors[i]];
        const uint64_t area = area_of(t);
        h->seen[i] += area;
        for (uint32_t c = 0; c < (uint32_t)t->dims[1]; c++)
            for (uint64_t k = 0; k < area; k++) {
                const double x = (double)values[i][c * area + k];
                h->mean[i][c] += x;
                h->square[i][c] += x * x;
            }
    }
    return 0;
}

// Adds the mean squared deviation of a head's channels to the cells of the grid below its
// positions.
static void add_deviation(const struct heads *h, uint32_t head, const float *values, float *map)
{
    const struct sl_tensor *t = &h->graph->tensors[h->tensors[head]];
    const uint32_t rows = h->out->rows, columns = h->out->columns;
    const int64_t height = t->dims[2], width = t->dims[3], channels = t->dims[1];
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t x = 0; x < columns; x++) {
            const int64_t at = y * height / rows * width + x * width / columns;
            double sum = 0;
            for (int64_t c = 0; c < channels; c++) {
                const double d = (double)values[c * height * width + at] - h->mean[head][c];
                sum += d * d / (h->square[head][c] + 1e-20);
            }
            map[y * columns + x] += (float)(sum / (double)channels);
        }
}

// What stands beside something belongs to it.
static void spread(const float *from, uint32_t rows, uint32_t columns, float *to)
{
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t x = 0; x < columns; x++) {
            float most = 0;
            for (uint32_t v = y ? y - 1 : 0; v <= y + 1 && v < rows; v++)
                for (uint32_t u = x ? x - 1 : 0; u <= x + 1 && u < columns; u++)
                    most = fmaxf(most, from[v * columns + u]);
            to[y * columns + x] = most;
        }
}

static int see_maps(void *ctx, uint32_t picture, const float *const *values, struct sl_error *error)
{
    struct heads *h = ctx;
    const uint32_t cells = h->out->rows * h->out->columns;
    float *map = calloc(cells, sizeof(*map)), *wide = calloc(cells, sizeof(*wide));
    double sum = 0;
    h->out->maps[picture] = wide;
    for (uint32_t i = 0; map && wide && i < h->count; i++)
        add_deviation(h, i, values[i], map);
    if (map && wide)
        spread(map, h->out->rows, h->out->columns, wide);
    const bool ok = map && wide;
    free(map);
    if (!ok)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < cells; i++)
        sum += (double)wide[i] / cells;
    for (uint32_t i = 0; i < cells; i++)
        wide[i] = sum > 1e-12 ? (float)((double)wide[i] / sum) : 1;
    return 0;
}

static int take_moments(struct heads *h, struct sl_error *error)
{
    h->mean = calloc(h->count + 1ull, sizeof(*h->mean));
    h->square = calloc(h->count + 1ull, sizeof(*h->square));
    h->seen = calloc(h->count + 1ull, sizeof(*h->seen));
    bool ok = h->mean && h->square && h->seen;
    for (uint32_t i = 0; i < h->count && ok; i++) {
        const struct sl_tensor *t = &h->graph->tensors[h->tensors[i]];
        h->mean[i] = calloc((uint64_t)t->dims[1], sizeof(double));
        h->square[i] = calloc((uint64_t)t->dims[1], sizeof(double));
        ok = h->mean[i] && h->square[i];
        h->out->rows = h->out->rows > t->dims[2] ? h->out->rows : (uint32_t)t->dims[2];
        h->out->columns = h->out->columns > t->dims[3] ? h->out->columns : (uint32_t)t->dims[3];
    }
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

// Sums into means and variances.
static void finish_moments(struct heads *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        for (int64_t c = 0; c < h->graph->tensors[h->tensors[i]].dims[1]; c++) {
            h->mean[i][c] /= (double)h->seen[i];
            h->square[i][c] =
                fmax(0, h->square[i][c] / (double)h->seen[i] - h->mean[i][c] * h->mean[i][c]);
        }
}

static void free_heads(struct heads *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        free(h->mean ? h->mean[i] : NULL);
        free(h->square ? h->square[i] : NULL);
    }
    free(h->mean);
    free(h->square);
    free(h->seen);
}

int attention_find(const struct graph *graph, const struct calibration *calibration,
                   struct attention *out, struct sl_error *error)
{
    struct attention a = {.pictures = calibration->count};
    struct heads h = {.graph = graph, .out = &a};
    int status = heads_find(graph, h.tensors, &h.count, CALIBRATION_TENSORS, error);
    if (status < 0 || h.count == 0) {
        *out = (struct attention){0};
        return status;
    }
    status = take_moments(&h, error);
    if (status == 0)
        status = calibration_run(graph, calibration, h.tensors, h.count, see_moments, &h, error);
    if (status == 0) {
        finish_moments(&h);
        a.maps = calloc(a.pictures, sizeof(*a.maps));
        status = a.maps
                     ? calibration_run(graph, calibration, h.tensors, h.count, see_maps, &h, error)
                     : sl_error_set(error, -ENOMEM, "out of memory");
    }
    free_heads(&h);
    if (status < 0)
        attention_free(&a);
    else
        *out = a;
    return status;
}

void attention_free(struct attention *a)
{
    for (uint32_t i = 0; a->maps && i < a->pictures; i++)
        free(a->maps[i]);
    free(a->maps);
    *a = (struct attention){0};
}

float attention_at(const struct attention *a, uint32_t picture, int64_t y, int64_t x,
                   int64_t height, int64_t width)
{
    if (!a->maps)
        return 1;
    return a->maps[picture][y * a->rows / height * a->columns + x * a->columns / width];
}
