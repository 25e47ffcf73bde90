// Thinning of one layer: which block costs least, and what makes up for it.
#include "inference/workshop/sparse_impl.h"

#include "inference/workshop/linear.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BLOCK = 64, LEAST_RUN = 128 };
// Multiply-adds that updating the inverses of one layer may take.
#define MOST_WORK 1e11

static uint32_t run_columns(const struct sparse_layout *l, struct sparse_pattern pattern)
{
    const double steps = (double)l->n_bands * l->k / pattern.inputs;
    const double most = MOST_WORK / (steps * l->k / 2 * pattern.inputs);
    return most >= l->k ? l->k : most < LEAST_RUN ? LEAST_RUN : (uint32_t)most;
}

int sparse_layout_make(uint32_t m, uint32_t k, uint32_t area, struct sparse_pattern pattern,
                       struct sparse_layout *out, struct sl_error *error)
{
    struct sparse_layout l = {.m = m, .k = k, .band = pattern.outputs};
    const uint32_t channels = k / area;
    uint32_t place = 0;
    l.n_bands = (m + l.band - 1) / l.band;
    l.column = malloc(k * sizeof(*l.column));
    l.start = malloc((k + 1ull) * sizeof(*l.start));
    l.run = malloc((k + 1ull) * sizeof(*l.run));
    if (!l.column || !l.start || !l.run) {
        sparse_layout_free(&l);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    for (uint32_t c = 0; c < channels; c += pattern.inputs)
        for (uint32_t tap = 0; tap < area; tap++) {
            l.start[l.n_blocks++] = place;
            for (uint32_t i = c; i < c + pattern.inputs && i < channels; i++)
                l.column[place++] = i * area + tap;
        }
    l.start[l.n_blocks] = place;
    const uint32_t columns = run_columns(&l, pattern);
    for (uint32_t b = 0; b < l.n_blocks; b++)
        if (b == 0 || l.start[b + 1] - l.start[l.run[l.n_runs - 1]] > columns)
            l.run[l.n_runs++] = b;
    l.run[l.n_runs] = l.n_blocks;
    *out = l;
    return 0;
}

void sparse_layout_free(struct sparse_layout *layout)
{
    free(layout->column);
    free(layout->start);
    free(layout->run);
    *layout = (struct sparse_layout){0};
}

// One band in one run. Places count from the run's first one.
struct thinning {
    uint32_t rows, own, reach; // own: places of the run; reach: places up to the layer's end
    uint32_t *start;           // [n_blocks + 1] of the blocks, from the run's first place
    uint32_t n_blocks;
    float *w;            // [rows][reach]
    float *g;            // [own][reach]: inverse second moments of what is left
    float *t;            // [MOST_BLOCK][reach]
    unsigned char *gone; // [n_blocks]
};

// l lT = the block's part of g, in double; false if that is not positive definite any more.
static bool factor_block(const struct thinning *t, uint32_t from, uint32_t n, double *l)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j <= i; j++) {
            double sum = (double)t->g[(uint64_t)(from + i) * t->reach + from + j];
            for (uint32_t c = 0; c < j; c++)
                sum -= l[i * n + c] * l[j * n + c];
            if (i == j && !(sum > 0))
                return false;
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    return true;
}

// wT (block of g)^-1 w, summed over the rows: the squared error that the loss of the block adds.
static double block_cost(const struct thinning *t, uint32_t block)
{
    const uint32_t from = t->start[block], n = t->start[block + 1] - from;
    double l[MOST_BLOCK * MOST_BLOCK], z[MOST_BLOCK], cost = 0;
    if (!factor_block(t, from, n, l))
        return DBL_MAX;
    for (uint32_t r = 0; r < t->rows; r++)
        for (uint32_t i = 0; i < n; i++) {
            z[i] = (double)t->w[(uint64_t)r * t->reach + from + i];
            for (uint32_t c = 0; c < i; c++)
                z[i] -= l[i * n + c] * z[c];
            z[i] /= l[i * n + i];
            cost += z[i] * z[i];
        }
    return cost;
}

static uint32_t cheapest(const struct thinning *t, double *cost)
{
    uint32_t best = UINT32_MAX;
    *cost = DBL_MAX;
    for (uint32_t b = 0; b < t->n_blocks; b++) {
        const double c = t->gone[b] ? DBL_MAX : block_cost(t, b);
        if (!t->gone[b] && (best == UINT32_MAX || c < *cost)) {
            *cost = c;
            best = b;
        }
    }
    return best;
}

// t = (block of g)^-1 (rows of g of the block).
static void solve_block(struct thinning *t, uint32_t from, uint32_t n)
{
    double l[MOST_BLOCK * MOST_BLOCK];
    float share[MOST_BLOCK];
    if (!factor_block(t, from, n, l)) { // nothing is left in it that others could make up for
        memset(t->t, 0, (uint64_t)n * t->reach * sizeof(*t->t));
        return;
    }
    memcpy(t->t, t->g + (uint64_t)from * t->reach, (uint64_t)n * t->reach * sizeof(*t->t));
    for (uint32_t i = 0; i < n; i++) {
        float *row = t->t + (uint64_t)i * t->reach;
        for (uint32_t c = 0; c < i; c++)
            share[c] = (float)l[i * n + c];
        linear_subtract(row, t->reach, share, t->t, i);
        linear_scale(row, t->reach, (float)(1 / l[i * n + i]));
    }
    for (uint32_t i = n; i-- > 0;) {
        float *row = t->t + (uint64_t)i * t->reach;
        for (uint32_t c = i + 1; c < n; c++)
            share[c] = (float)l[c * n + i];
        linear_subtract(row, t->reach, share + i + 1, row + t->reach, n - i - 1);
        linear_scale(row, t->reach, (float)(1 / l[i * n + i]));
    }
}

static void remove_block(struct thinning *t, uint32_t block)
{
    const uint32_t from = t->start[block], n = t->start[block + 1] - from;
    float share[MOST_BLOCK];
    solve_block(t, from, n);
    t->gone[block] = 1;
    for (uint32_t r = 0; r < t->rows; r++) {
        float *w = t->w + (uint64_t)r * t->reach;
        memcpy(share, w + from, n * sizeof(*share));
        linear_subtract(w, t->reach, share, t->t, n);
    }
    for (uint32_t b = 0; b < t->n_blocks; b++)
        for (uint32_t p = t->start[b]; p < t->start[b + 1] && !t->gone[b]; p++) {
            float *g = t->g + (uint64_t)p * t->reach;
            memcpy(share, g + from, n * sizeof(*share));
            linear_subtract(g, t->reach, share, t->t, n);
        }
}

static void thin_band(struct thinning *t, uint32_t count, float *cost)
{
    memset(t->gone, 0, t->n_blocks);
    for (uint32_t i = 0; i < count; i++) {
        double added;
        const uint32_t block = cheapest(t, &added);
        remove_block(t, block);
        if (cost)
            cost[i] = (float)fmin(added, (double)FLT_MAX);
    }
    for (uint32_t b = 0; b < t->n_blocks; b++) // zero exactly, whatever was rounded
        for (uint32_t r = 0; r < t->rows && t->gone[b]; r++)
            memset(t->w + (uint64_t)r * t->reach + t->start[b], 0,
                   (t->start[b + 1] - t->start[b]) * sizeof(*t->w));
}

// The run's rows of the inverse of h without the columns before it. u is the factor of the inverse
// of h: what stands below and right of a place is the factor of the inverse of the rest.
static int run_inverse(const float *u, uint32_t k, uint32_t first, uint32_t own, float *g,
                       struct sl_error *error)
{
    const uint32_t reach = k - first;
    float *wide = malloc((uint64_t)own * reach * sizeof(*wide));
    float *narrow = malloc((uint64_t)own * own * sizeof(*narrow));
    const bool ok = wide && narrow;
    for (uint32_t i = 0; ok && i < own; i++) {
        const float *row = u + (uint64_t)(first + i) * k + first;
        memcpy(wide + (uint64_t)i * reach, row, reach * sizeof(*wide));
        memcpy(narrow + (uint64_t)i * own, row, own * sizeof(*narrow));
    }
    if (ok) {
        memset(g, 0, (uint64_t)own * reach * sizeof(*g));
        linear_cross(g, own, reach, narrow, wide, own);
    }
    free(wide);
    free(narrow);
    return ok ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

struct work {
    const struct sparse_layout *layout;
    const uint32_t *count;
    float *weights, *cost; // weights: [m][k], columns by place
    float *u, *base;       // factor of the inverse; the run's part of it, before any removal
    struct thinning t;
};

static void load_band(struct work *w, uint32_t band, uint32_t first, float *to, bool back)
{
    const struct sparse_layout *l = w->layout;
    for (uint32_t r = 0; r < w->t.rows; r++) {
        float *at = w->weights + (uint64_t)(band * l->band + r) * l->k + first;
        float *own = to + (uint64_t)r * w->t.reach;
        memcpy(back ? at : own, back ? own : at, w->t.reach * sizeof(*own));
    }
}

static int thin_run(struct work *w, uint32_t run, struct sl_error *error)
{
    const struct sparse_layout *l = w->layout;
    const uint32_t block = l->run[run], first = l->start[block];
    struct thinning *t = &w->t;
    t->n_blocks = l->run[run + 1] - block;
    for (uint32_t b = 0; b <= t->n_blocks; b++)
        t->start[b] = l->start[block + b] - first;
    t->own = t->start[t->n_blocks];
    t->reach = l->k - first;
    const int status = run_inverse(w->u, l->k, first, t->own, w->base, error);
    for (uint32_t band = 0; band < l->n_bands && status == 0; band++) {
        const uint32_t count = w->count ? w->count[band * l->n_runs + run] : t->n_blocks;
        t->rows = sparse_band_rows(l, band);
        load_band(w, band, first, t->w, false);
        memcpy(t->g, w->base, (uint64_t)t->own * t->reach * sizeof(*t->g));
        thin_band(t, count, w->cost ? w->cost + (uint64_t)band * l->n_blocks + block : NULL);
        if (w->count)
            load_band(w, band, first, t->w, true);
    }
    return status;
}

// The widest run decides how much memory the inverses take.
static uint32_t widest_run(const struct sparse_layout *l)
{
    uint32_t most = 0;
    for (uint32_t r = 0; r < l->n_runs; r++) {
        const uint32_t own = l->start[l->run[r + 1]] - l->start[l->run[r]];
        most = own > most ? own : most;
    }
    return most;
}

static int take_memory(struct work *w, struct sl_error *error)
{
    const struct sparse_layout *l = w->layout;
    const uint64_t k = l->k, own = widest_run(l);
    w->u = malloc(k * k * sizeof(*w->u));
    w->base = malloc(own * k * sizeof(*w->base));
    w->weights = malloc(l->m * k * sizeof(*w->weights));
    w->t.g = malloc(own * k * sizeof(*w->t.g));
    w->t.w = malloc(l->band * k * sizeof(*w->t.w));
    w->t.t = malloc(MOST_BLOCK * k * sizeof(*w->t.t));
    w->t.start = malloc((l->n_blocks + 1ull) * sizeof(*w->t.start));
    w->t.gone = malloc(l->n_blocks + 1ull);
    return w->u && w->base && w->weights && w->t.g && w->t.w && w->t.t && w->t.start && w->t.gone
               ? 0
               : sl_error_set(error, -ENOMEM, "out of memory for a layer of %u x %u weights", l->m,
                              l->k);
}

static void free_memory(struct work *w)
{
    free(w->u);
    free(w->base);
    free(w->weights);
    free(w->t.g);
    free(w->t.w);
    free(w->t.t);
    free(w->t.start);
    free(w->t.gone);
}

// h with rows and columns by place.
static float *moved(const struct sparse_layout *l, const float *h)
{
    float *out = malloc((uint64_t)l->k * l->k * sizeof(*out));
    for (uint32_t i = 0; out && i < l->k; i++)
        for (uint32_t j = 0; j < l->k; j++)
            out[(uint64_t)i * l->k + j] = h[(uint64_t)l->column[i] * l->k + l->column[j]];
    return out;
}

static void move_weights(const struct sparse_layout *l, float *weights, float *by_place, bool back)
{
    for (uint32_t i = 0; i < l->m; i++)
        for (uint32_t j = 0; j < l->k; j++) {
            float *at = &weights[(uint64_t)i * l->k + l->column[j]];
            float *place = &by_place[(uint64_t)i * l->k + j];
            *(back ? at : place) = back ? *place : *at;
        }
}

int sparse_thin(const struct sparse_layout *layout, const float *h, float ridge,
                const uint32_t *count, float *weights, float *cost, struct sl_error *error)
{
    struct work w = {.layout = layout, .count = count, .cost = cost};
    int status = take_memory(&w, error);
    float *by_place = status == 0 ? moved(layout, h) : NULL;
    if (status == 0 && !by_place)
        status = sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        status = linear_inverse_factor(by_place, layout->k, ridge, w.u, error);
    if (status == 0)
        move_weights(layout, weights, w.weights, false);
    for (uint32_t run = 0; run < layout->n_runs && status == 0; run++)
        status = thin_run(&w, run, error);
    if (status == 0 && count)
        move_weights(layout, weights, w.weights, true);
    free(by_place);
    free_memory(&w);
    return status;
}
