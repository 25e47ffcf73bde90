// Inside of the thinning of weights: one layer's weights in bands and blocks.
#ifndef SL_INFERENCE_WORKSHOP_SPARSE_IMPL_H
#define SL_INFERENCE_WORKSHOP_SPARSE_IMPL_H

#include "inference/workshop/output_error.h"
#include "inference/workshop/sparse.h"
#include "inference/workshop/walk.h"
#include "inference/workshop/weight_rows.h"

// How a layer's weights [m][k] are divided. A band is `outputs` rows; its columns lie so that those
// of a block are neighbours; a run is some blocks whose columns are thinned together while later
// ones can still make up for them.
struct sparse_layout {
    uint32_t m, k;
    uint32_t band, n_bands; // rows of a band; the last may have fewer
    uint32_t n_blocks, n_runs;
    uint32_t *column; // [k] column of the weights at each place
    uint32_t *start;  // [n_blocks + 1] first place of each block
    uint32_t *run;    // [n_runs + 1] first block of each run
};

int sparse_layout_make(uint32_t m, uint32_t k, uint32_t area, struct sparse_pattern pattern,
                       struct sparse_layout *out, struct sl_error *error);
void sparse_layout_free(struct sparse_layout *layout);
static inline uint32_t sparse_band_rows(const struct sparse_layout *l, uint32_t band)
{
    const uint32_t left = l->m - band * l->band;
    return left < l->band ? left : l->band;
}

// Removes blocks from `weights` [m][k], cheapest first, and lets the others make up for them.
// h [k][k]: second moments of the inputs, in the weights' order of columns; `ridge` is added to its
// diagonal.
// count [n_bands * n_runs]: how many blocks of each band and run, or NULL for all, each run as if
// those before it were whole; then cost [n_bands * n_blocks] gets what the first, second …
// removal in each run of each band added to the squared error.
int sparse_thin(const struct sparse_layout *layout, const float *h, float ridge,
                const uint32_t *count, float *weights, float *cost, struct sl_error *error);

// One layer of the network while it is decided what it loses.
struct sparse_task {
    uint32_t node;
    struct sparse_layout layout;
    uint32_t *count; // [n_bands * n_runs] blocks to be removed
    float *cost;     // [n_bands * n_blocks] as from sparse_thin
    double worth;    // of a squared error in its results: what that did to the outputs
    int64_t uses;    // multiply-accumulates per weight
    struct sparse_layer *row;
};

struct sparse_plan {
    struct graph *graph, changed;
    const struct calibration *calibration;
    const struct sparse_options *options;
    struct sparse_report *report;
    struct sparse_task *tasks;
    uint32_t n_tasks;
    uint32_t *task; // per node: its task, or UINT32_MAX
    uint32_t *row;  // per node: its row in the report, or UINT32_MAX
    double output_noise[2];
    struct attention attention;
    struct output_error outputs; // while layers are rated
};

// Before the layer's results are computed: its costs and their worth; and its new weights in
// plan->changed.
int sparse_rate_layer(struct sparse_plan *plan, struct walk *walk, struct sparse_task *task,
                      struct sl_error *error);
int sparse_thin_layer(struct sparse_plan *plan, struct walk *walk, const struct sparse_task *task,
                      struct sl_error *error);
// The layer without its smallest blocks, in plan->changed.
int sparse_magnitude(struct sparse_plan *plan, const struct sparse_task *task,
                     struct sl_error *error);

// Shares out `wanted` multiply-accumulates among the tasks: fills `count`. -ERANGE.
int sparse_share(struct sparse_task *tasks, uint32_t n_tasks, int64_t wanted, int64_t all,
                 struct sl_error *error);

#endif
