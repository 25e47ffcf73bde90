// Inside of the quantiser: what is decided for each tensor and node, and who decides it.
#ifndef SL_INFERENCE_WORKSHOP_QUANTIZE_IMPL_H
#define SL_INFERENCE_WORKSHOP_QUANTIZE_IMPL_H

#include "inference/workshop/quantize.h"
#include "inference/workshop/walk.h"
#include "inference/workshop/weight_rows.h"

enum range_kind {
    RANGE_MINMAX,
    RANGE_PERCENTILE,
    RANGE_PERCENTILE_WIDE,
    RANGE_SQUARED_ERROR,
    RANGE_DIVERGENCE,
    RANGE_KINDS,
    RANGE_GIVEN = RANGE_KINDS, // the file brought it
};
extern const char *const range_names[RANGE_KINDS + 1];

struct range {
    float low, high; // low <= 0 <= high
};

// Real = (q - zero_point) * scale, q from 0 to 255.
struct rounding {
    float scale;
    int32_t zero_point;
};

// Tensors whose integers move between each other unchanged have one range: a group.
struct tensor_group {
    struct range seen;
    struct range candidates[RANGE_KINDS];
    double error[RANGE_KINDS]; // at the layers that read it
    enum range_kind chosen;
    uint32_t *bins;
    struct rounding rounding;
    struct rounding given; // by the file; scale 0: none
    bool given_differ;     // it brought several
};

struct layer_weights { // of one convolution or product
    int8_t *values;    // in the weight tensor's own layout
    float *scale;      // per output channel
    uint32_t n_channels;
    enum quantize_rounding rounding;
};

struct plan {
    struct graph *graph;  // float; equalised in place
    struct graph changed; // the same with the quantised weights as float numbers
    const struct calibration *calibration;
    const struct quantize_options *options;
    struct quantize_report *report;
    bool *kept;                    // per node: stays in float
    bool *wanted;                  // per tensor: will be integers
    uint32_t *parent;              // per tensor: union-find over groups
    struct tensor_group *groups;   // per tensor, used at the group's root
    struct layer_weights *weights; // per node
    uint32_t room, n_nodes;        // of the tables per tensor and per node
    double output_noise[2];        // sums of squares of the network's outputs and of their errors
    uint32_t *layer;               // per node: its row in the report, or UINT32_MAX
};

// True if the node's integers come out of it: all that it reads and writes is quantised.
bool plan_is_integer(const struct plan *plan, uint32_t node);
// The number of a tensor's group, and the group.
uint32_t plan_root(const struct plan *plan, uint32_t tensor);
struct tensor_group *plan_group(const struct plan *plan, uint32_t tensor);
// Which tensors become integers, and which of them together. Again after `kept` has changed.
int plan_tensors(struct plan *plan, struct sl_error *error);

struct rounding range_rounding(struct range range);
void round_values(struct rounding rounding, const float *from, float *to, uint64_t count);

// Ranges of all groups.
int ranges_find(struct plan *plan, struct sl_error *error);
// Fills candidates from bins that divide `seen` evenly.
enum { RANGE_BINS = 2048 };
void ranges_from_bins(struct tensor_group *group);

int equalise(struct plan *plan, struct sl_error *error);

// Quantises one layer in the middle of a walk: sets plan->weights and the constants of `changed`.
int weights_round(struct plan *plan, struct walk *walk, uint32_t node, struct sl_error *error);

// Which layers cost how much; sets `kept`.
int sensitivity_choose(struct plan *plan, struct sl_error *error);

// The graph with integers.
int plan_apply(struct plan *plan, struct graph *out, struct sl_error *error);

#endif
