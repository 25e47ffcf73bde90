// One layer in the middle of a walk: what its blocks cost, and the weights that are left.
#include "inference/workshop/sparse_impl.h"

#include "inference/workshop/linear.h"
#include "inference/workshop/samples.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_VALUES = 24 << 20, LEAST_ROWS = 4096 };
// Shares of the mean second moment of the inputs: how far weights may move for what the pictures
// say, and what keeps the inverse stable.
static const float PULL = 0.01f, DAMP = 0.002f;

static uint32_t rows_for(uint32_t k)
{
    const uint64_t wanted = 16ull * k, most = MOST_VALUES / k;
    const uint64_t rows = wanted < LEAST_ROWS ? LEAST_ROWS : wanted;
    return (uint32_t)(rows > most ? most : rows);
}

// What is known about one layer in the middle of a walk.
struct fit {
    struct weight_rows rows;
    struct samples samples; // without their means
    float *means[2];        // [k] of the exact and of the changed inputs
    float *h;               // [k][k] of the changed inputs
    float power;            // mean of its diagonal
};

static int open_fit(const struct sparse_plan *plan, const struct walk *walk, uint32_t node,
                    struct fit *f, struct sl_error *error)
{
    int status = weight_rows_read(plan->graph, &plan->graph->nodes[node], &f->rows, error);
    const uint64_t k = f->rows.k;
    if (status == 0)
        status = samples_take(walk, node, 0, rows_for(f->rows.k), &f->samples, error);
    if (status < 0)
        return status;
    f->means[0] = malloc(k * sizeof(float));
    f->means[1] = malloc(k * sizeof(float));
    f->h = calloc(k * k, sizeof(*f->h));
    if (!f->means[0] || !f->means[1] || !f->h)
        return sl_error_set(error, -ENOMEM, "out of memory");
    samples_centre(&f->samples, f->means[0], f->means[1]);
    linear_gram(f->h, k, f->samples.changed, f->samples.rows);
    double sum = 0;
    for (uint64_t i = 0; i < k; i++)
        sum += (double)f->h[i * k + i];
    f->power = (float)(sum / (double)k) + 1e-12f;
    return 0;
}

static void close_fit(struct fit *f)
{
    samples_free(&f->samples);
    free(f->rows.values);
    free(f->means[0]);
    free(f->means[1]);
    free(f->h);
}

// The mean error of the results into the bias.
static void balance(const struct fit *f, const float *thinned, float *bias_change)
{
    const uint64_t k = f->rows.k, m = f->rows.m;
    for (uint64_t i = 0; i < m; i++)
        bias_change[i] =
            samples_mean_error(f->rows.values + i * k, thinned + i * k, f->means, f->rows.k);
}

// Half of all blocks; returns what they cost.
static double choose_half(const struct sparse_task *task, uint32_t *count)
{
    const struct sparse_layout *l = &task->layout;
    double lost = 0;
    for (uint32_t band = 0; band < l->n_bands; band++)
        for (uint32_t run = 0; run < l->n_runs; run++) {
            const uint32_t half = (l->run[run + 1] - l->run[run] + 1) / 2;
            count[band * l->n_runs + run] = half;
            for (uint32_t i = 0; i < half; i++)
                lost += (double)task->cost[(uint64_t)band * l->n_blocks + l->run[run] + i];
        }
    return lost;
}

// What the layer's errors are worth: half of its blocks go, alone in the network.
static int measure(struct sparse_plan *plan, const struct fit *f, struct sparse_task *task,
                   struct sl_error *error)
{
    const struct sparse_layout *l = &task->layout;
    struct weight_rows thinned = f->rows;
    struct graph changed;
    double found = 0;
    int status = network_copy(plan->graph, &changed, error);
    if (status < 0)
        return status;
    thinned.values =
        pool_copy(&changed.pool, f->rows.values, (uint64_t)f->rows.m * f->rows.k * sizeof(float));
    uint32_t *count = pool_array(&changed.pool, (uint64_t)l->n_bands * l->n_runs, sizeof(*count));
    float *bias_change = pool_array(&changed.pool, f->rows.m, sizeof(*bias_change));
    if (!thinned.values || !count || !bias_change)
        status = pool_error(&changed.pool, error);
    const double lost = status == 0 ? choose_half(task, count) : 0;
    if (status == 0)
        status = sparse_thin(l, f->h, DAMP * f->power, count, thinned.values, NULL, error);
    if (status == 0) {
        balance(f, thinned.values, bias_change);
        status = weight_rows_write(&changed, task->node, &thinned, bias_change, error);
    }
    if (status == 0)
        status = output_error_of(&plan->outputs, &changed, &found, error);
    graph_free(&changed);
    task->worth = lost > 1e-12 ? found / lost : 0;
    return status;
}

int sparse_rate_layer(struct sparse_plan *plan, struct walk *walk, struct sparse_task *task,
                      struct sl_error *error)
{
    struct fit f = {0};
    int status = open_fit(plan, walk, task->node, &f, error);
    if (status == 0)
        status =
            sparse_thin(&task->layout, f.h, DAMP * f.power, NULL, f.rows.values, task->cost, error);
    if (status == 0)
        status = measure(plan, &f, task, error);
    close_fit(&f);
    return status;
}

// What makes up for the errors of the layers before.
static int correct(struct fit *f, float *weights, struct sl_error *error)
{
    const uint64_t k = f->rows.k;
    float *cross = calloc(k * k, sizeof(*cross));
    if (!cross)
        return sl_error_set(error, -ENOMEM, "out of memory");
    linear_cross(cross, k, k, f->samples.changed, f->samples.exact, f->samples.rows);
    const int status =
        linear_correct(f->h, cross, k, PULL * f->power, f->rows.values, f->rows.m, weights, error);
    free(cross);
    return status;
}

static int thin_layer(struct sparse_plan *plan, const struct sparse_task *t, struct fit *f,
                      struct sl_error *error)
{
    const uint64_t k = f->rows.k, m = f->rows.m;
    struct weight_rows thinned = f->rows;
    float *bias_change = calloc(m, sizeof(*bias_change));
    thinned.values = malloc(m * k * sizeof(float));
    int status = thinned.values && bias_change ? correct(f, thinned.values, error)
                                               : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        status =
            sparse_thin(&t->layout, f->h, DAMP * f->power, t->count, thinned.values, NULL, error);
    if (status == 0)
        balance(f, thinned.values, bias_change);
    if (status == 0)
        status = weight_rows_write(&plan->changed, t->node, &thinned, bias_change, error);
    free(thinned.values);
    free(bias_change);
    return status;
}

int sparse_thin_layer(struct sparse_plan *plan, struct walk *walk, const struct sparse_task *task,
                      struct sl_error *error)
{
    struct fit f = {0};
    int status = open_fit(plan, walk, task->node, &f, error);
    if (status == 0)
        status = thin_layer(plan, task, &f, error);
    close_fit(&f);
    return status;
}

// --- for comparison: the smallest blocks of the layer, and nothing else

struct block {
    double size; // mean square
    uint32_t band, number;
};

static int by_size(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->band != y->band)
        return x->band < y->band ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

// Runs over the weights of a block: adds up their squares, or makes them zero.
static double visit_block(const struct sparse_layout *l, uint32_t band, uint32_t number,
                          float *weights, bool clear)
{
    double sum = 0;
    for (uint32_t r = band * l->band; r < band * l->band + sparse_band_rows(l, band); r++)
        for (uint32_t p = l->start[number]; p < l->start[number + 1]; p++) {
            float *w = &weights[(uint64_t)r * l->k + l->column[p]];
            sum += (double)(*w * *w);
            *w = clear ? 0 : *w;
        }
    return sum;
}

static void clear_smallest(const struct sparse_layout *l, double share, struct block *blocks,
                           float *weights)
{
    const uint64_t count = (uint64_t)l->n_bands * l->n_blocks;
    double left = share * (double)l->m * l->k;
    for (uint64_t i = 0; i < count; i++) {
        struct block *b = &blocks[i];
        *b = (struct block){0, (uint32_t)(i / l->n_blocks), (uint32_t)(i % l->n_blocks)};
        b->size = visit_block(l, b->band, b->number, weights, false) /
                  ((double)sparse_band_rows(l, b->band) *
                   (l->start[b->number + 1] - l->start[b->number]));
    }
    qsort(blocks, count, sizeof(*blocks), by_size);
    for (uint64_t i = 0; i < count && left > 0; i++) {
        const uint32_t columns = l->start[blocks[i].number + 1] - l->start[blocks[i].number];
        visit_block(l, blocks[i].band, blocks[i].number, weights, true);
        left -= (double)sparse_band_rows(l, blocks[i].band) * columns;
    }
}

int sparse_magnitude(struct sparse_plan *plan, const struct sparse_task *task,
                     struct sl_error *error)
{
    const struct sparse_layout *l = &task->layout;
    struct weight_rows rows = {0};
    struct block *blocks = malloc((uint64_t)l->n_bands * l->n_blocks * sizeof(*blocks));
    int status = blocks
                     ? weight_rows_read(plan->graph, &plan->graph->nodes[task->node], &rows, error)
                     : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0) {
        clear_smallest(l, plan->options->sparsity, blocks, rows.values);
        status = weight_rows_write(&plan->changed, task->node, &rows, NULL, error);
    }
    free(rows.values);
    free(blocks);
    return status;
}
